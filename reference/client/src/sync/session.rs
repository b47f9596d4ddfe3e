//! One session over one channel (`spec/sync.md`, section 3.3). Both roles are the same.
//!
//! ```text
//!  HELLO both ways --> STATE of each common folder --> INDEX of what differs --> REQUEST / BLOCK --> DONE of each
//!  --> BYE both ways --> close
//!          \--- BYE at once: it goes on over another channel (HSK-059) ---^
//! ```

use std::sync::Arc;

use meshproof_proto::channel::Peer;
use meshproof_proto::codec::Id;
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::sync::message::Request;
use meshproof_proto::sync::{Decoder, Entry, Kind, Message, State};
use meshproof_proto::ticket::Role;
use meshproof_proto::ticket::pair::{Grounds, SharedFolder};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};

use super::apply::Apply;
use super::bound::{Bound, Share};
use super::claims::Member;
use super::fetch::{Fetch, Fetched, Want};
use super::forks::{learn_forks, write_forks};
use super::keepers::{Keeper, Questions};
use super::land::Landing;
use super::progress::{Progress, Report, SkipReason};
use super::pulse::Pulse;
use super::take::{Differing, check_state, differing, state, take};
use super::upload::{Gate, Job, Upload};
use super::writers::seen;
use super::{Direction, Folder};
use crate::error::{Error, Result};
use crate::transport::{Connection, Incoming};

/// How many requests of the peer may be unanswered: far above what waits in an honest window, and a bound for others.
const MAX_UNANSWERED: usize = 65_536;

/// Runs a session to its end; blocks. Folders are synchronised that both devices want and the ticket maps on both.
///
/// # Errors
/// The first failure. What was completely received until then is in place, nothing else (SYN-033).
pub fn run(connection: Connection, folders: &[Arc<Folder>], progress: &dyn Progress) -> Result<Report> {
    let Connection { peer, initiator, relayed, mut incoming, outgoing } = connection;
    let user = user_of(&peer, initiator);
    // SYN-005: the ticket, not the peer, says what two devices share.
    let common: Vec<(&Arc<Folder>, &SharedFolder)> = {
        let granted = |folder: &Id| peer.grounds.folders.iter().find(|shared| shared.folder == *folder);
        let mut common: Vec<_> = folders.iter().filter_map(|f| Some((f, granted(&f.id())?))).collect();
        common.sort_by_key(|(folder, _)| folder.id());
        common
    };
    let mut hello = Vec::new();
    Message::Hello(common.iter().map(|(folder, _)| folder.id()).collect()).write(&mut hello);
    outgoing.send(hello);

    let all: Vec<&Folder> = common.iter().map(|(folder, _)| &***folder).collect();
    let gate = Gate::new(outgoing.clone());
    // This one takes memory for what waits; that of the standard library for all that may wait, five mebibytes a session.
    let (jobs, mut work) = mpsc::channel(MAX_UNANSWERED);
    let upload = Upload {
        folders: &all,
        outgoing: outgoing.clone(),
        gate: &gate,
        progress,
        peer: peer.device,
        open: None,
        kept: all.iter().map(|_| None).collect(),
        content: 0,
        guest: (relayed && peer.grounds.user.is_none()).then_some(user),
    };
    let shared =
        common.iter().map(|(folder, roles)| Shared::new(folder, roles, initiator, progress)).collect();
    let share = {
        let outgoing = outgoing.clone();
        Share::new(user, move || outgoing.give_up())
    };
    let session = Session {
        folders: &all,
        shared,
        share,
        started: false,
        peer: peer.device,
        progress,
        fetch: Fetch::new(common.iter().map(|(folder, _)| Member::enter(folder)).collect()),
        land: Landing::new(common.iter().map(|(folder, _)| (*folder).clone()).collect()),
        questions: Questions::default(),
        gate: &gate,
        jobs,
        said_bye: false,
        heard_bye: false,
        report: Report::default(),
        pulse: outgoing.pulse(),
    };
    let device = peer.device;
    let result = std::thread::scope(|scope| {
        let upload = scope.spawn(move || upload.run(&mut work));
        let join = |upload: std::thread::ScopedJoinHandle<'_, Result<u64>>| {
            upload.join().unwrap_or(Err(Error::Peer("the sending thread panicked")))
        };
        match session.run(&mut incoming) {
            Ok(mut report) => {
                outgoing.pulse().waits(false);
                report.bytes_sent = join(upload)?; // all is sent: nothing follows close_notify
                outgoing.close();
                wait_for_close(&mut incoming)?;
                Ok(report)
            }
            Err(error) => {
                outgoing.abort(); // section 5
                outgoing.pulse().waits(false);
                drop(incoming);
                let _ = join(upload);
                Err(error)
            }
        }
    });
    progress.ended(device, &result);
    result
}

/// Whose device the peer is; the device itself if the ticket does not say.
fn user_of(peer: &Peer, initiator: bool) -> Id {
    let Grounds { initiator_user, responder_user, .. } = peer.grounds;
    (if initiator { responder_user } else { initiator_user }).unwrap_or(peer.device)
}

fn wait_for_close(incoming: &mut mpsc::Receiver<Incoming>) -> Result<()> {
    while let Some(next) = incoming.blocking_recv() {
        if let Incoming::Failed(error) = next {
            return Err(error);
        }
    }
    Ok(())
}

/// A folder of the session.
#[allow(clippy::struct_excessive_bools)] // they are independent
struct Shared<'a> {
    apply: Apply<'a>,
    /// Whether both devices named it in HELLO.
    agreed: bool,
    /// Whether the peer's entries count.
    takes: bool,
    /// Whether own entries are given.
    gives: bool,
    /// Whether they may not be.
    reads_only: bool,
    /// What this device said of the folder.
    mine: Option<State>,
    /// What the peer did, and where that differs.
    theirs: Option<(Box<State>, Differing)>,
    received: Vec<Entry>,
    /// The last that came, kept or not.
    last: Option<Id>,
    bound: Bound,
    index_read: bool,
    /// How many files are on their way.
    wanted: usize,
    done: bool,
    /// Whether the peer has all that it wants.
    peer_done: bool,
    /// Whether what the peer keeps counts: a reader may have nothing to give tomorrow.
    counts: bool,
    /// What the peer keeps of what is to go here, once it was asked.
    keeper: Option<Keeper>,
}

impl<'a> Shared<'a> {
    fn new(folder: &'a Folder, roles: &SharedFolder, initiator: bool, progress: &'a dyn Progress) -> Self {
        let (mut own, mut theirs) = (roles.initiator_role, roles.responder_role);
        if !initiator {
            std::mem::swap(&mut own, &mut theirs);
        }
        // SYN-023: what a reader says about a folder does not count.
        let may_write = theirs != Role::Reader || deviates(req::SYN_023);
        Self {
            apply: Apply::new(folder, progress),
            agreed: false,
            takes: may_write && folder.direction() != Direction::SendOnly,
            gives: own != Role::Reader && folder.direction() != Direction::ReceiveOnly,
            reads_only: own == Role::Reader,
            mine: None,
            theirs: None,
            received: Vec::new(),
            last: None,
            bound: Bound::default(),
            index_read: false,
            wanted: 0,
            done: false,
            peer_done: false,
            counts: may_write,
            keeper: None,
        }
    }
}

struct Session<'a> {
    folders: &'a [&'a Folder],
    shared: Vec<Shared<'a>>,
    /// What it holds of the peer's indexes.
    share: Share,
    /// Whether the peer's HELLO came.
    started: bool,
    peer: Id,
    progress: &'a dyn Progress,
    fetch: Fetch,
    land: Landing,
    questions: Questions,
    gate: &'a Gate,
    jobs: mpsc::Sender<Job>,
    said_bye: bool,
    heard_bye: bool,
    report: Report,
    pulse: &'a Pulse,
}

impl<'a> Session<'a> {
    fn run(mut self, incoming: &mut mpsc::Receiver<Incoming>) -> Result<Report> {
        let mut result = self.exchange(incoming);
        if result.is_err() || self.report.moved {
            // What is complete and verified stays (SYN-033 is about the rest).
            while let Some(landed) = self.land.wait() {
                result = result.and(landed.and_then(|fetched| self.handle_fetched(fetched)));
            }
            for shared in &mut self.shared {
                let committed = shared.apply.commit(&mut self.report);
                result = result.and(committed);
            }
        }
        result.map(|()| self.report)
    }

    /// Gives files their names that are complete, in all folders.
    fn commit(&mut self, how: impl Fn(&mut Apply<'a>, &mut Report) -> Result<()>) -> Result<()> {
        self.shared.iter_mut().try_for_each(|shared| how(&mut shared.apply, &mut self.report))
    }

    fn exchange(&mut self, incoming: &mut mpsc::Receiver<Incoming>) -> Result<()> {
        let mut decoder = Decoder::default();
        loop {
            while let Some(landed) = self.land.next() {
                self.handle_fetched(landed?)?;
            }
            self.go_on()?;
            if self.said_bye && self.heard_bye {
                break;
            }
            let next = match incoming.try_recv() {
                Ok(next) => Some(next),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => {
                    self.land.hurry();
                    if let Some(landed) = self.land.wait() {
                        self.handle_fetched(landed?)?;
                        continue;
                    }
                    if !self.fetch.has_small() {
                        // Nothing joins them soon.
                        self.commit(Apply::commit)?;
                    }
                    self.pulse.waits(self.fetch.is_owed(&self.questions));
                    let next = incoming.blocking_recv();
                    self.pulse.works();
                    next
                }
            };
            if !matches!(next, Some(Incoming::Data(_))) {
                // What came before the end counts before it.
                while let Some(landed) = self.land.wait() {
                    self.handle_fetched(landed?)?;
                }
            }
            let content = match next {
                Some(Incoming::Data(content)) => content,
                Some(Incoming::Failed(error)) => return Err(error),
                Some(Incoming::Finish) => {
                    self.report.moved = true;
                    continue;
                }
                Some(Incoming::Closed) if !self.started => {
                    // It wants no session on this channel.
                    self.report.moved = true;
                    return Ok(());
                }
                Some(Incoming::Closed) => return Err(RuleError::from(req::SYN_015).into()),
                None => return Err(Error::Peer("it ended the session early")),
            };
            self.pulse.came(content.len());
            decoder.push(&content);
            self.commit(Apply::commit_old)?;
            while let Some(message) = decoder.next()? {
                self.pulse.beat();
                self.handle(message)?;
            }
        }
        // Whoever has and gave all has nothing to go on with.
        self.report.moved &= self.shared.iter().any(|s| s.agreed && !(s.done && s.peer_done));
        Ok(())
    }

    fn handle(&mut self, message: Message) -> Result<()> {
        let answers = matches!(message, Message::Block { .. } | Message::Manifest { .. });
        demand(answers || !self.heard_bye, req::SYN_015)?;
        match message {
            Message::Hello(theirs) => self.handle_hello(&theirs),
            Message::State(theirs) => self.handle_state(theirs),
            Message::Index { folder, last, entries } => self.handle_index(folder, last, entries),
            Message::Request(request) => self.handle_request(request),
            Message::Block { request, content } => {
                let bytes = content.as_ref().map_or(0, Vec::len) as u64;
                self.report.bytes_received += bytes;
                self.progress.received(self.peer, 0, bytes);
                if let Some((number, hash, is_kept)) = self.questions.answer(request, content.as_ref())? {
                    let keeper = self.shared[number].keeper.as_mut().filter(|_| is_kept);
                    keeper.into_iter().for_each(|keeper| keeper.note(hash));
                    return Ok(());
                }
                let fetched = self.fetch.block(request, content, self.folders)?;
                self.handle_fetched(fetched)
            }
            Message::ManifestRequest(asked) => match self.agreed(asked.folder)? {
                Some(number) => self.job(Job::Manifest(number, asked)),
                None => Ok(()),
            },
            Message::Manifest { request, chunks } => {
                let fetched = self.fetch.manifest(request, chunks, self.folders)?;
                self.handle_fetched(fetched)
            }
            Message::Done(folder) => {
                let shared = self.shared.iter_mut().find(|shared| shared.apply.folder_id() == folder);
                shared.into_iter().for_each(|shared| shared.peer_done = true);
                Ok(())
            }
            Message::Writers { folder, cards } => match self.told_before_index(folder)? {
                Some(folder) => folder.learn(cards),
                None => Ok(()),
            },
            Message::Forks { folder, forks } => match self.told_before_index(folder)? {
                Some(folder) => learn_forks(folder, &forks),
                None => Ok(()),
            },
            Message::Bye => {
                self.heard_bye = true;
                let early = self.shared.iter().any(|shared| shared.agreed && !shared.peer_done);
                self.report.moved |= early && !deviates(req::HSK_059);
                Ok(())
            }
        }
    }

    fn handle_hello(&mut self, theirs: &[Id]) -> Result<()> {
        demand(!self.started, req::SYN_015)?;
        self.started = true;
        let mut states = Vec::new();
        let mut indexes = 0;
        for shared in &mut self.shared {
            shared.agreed = theirs.contains(&shared.apply.folder_id());
            if shared.agreed {
                self.report.folders.push(shared.apply.folder_id());
                if !deviates(req::SYN_061) {
                    write_cards(shared.apply.folder, &mut states)?;
                }
                write_forks(shared.apply.folder, &mut states)?;
                let mine = state(shared.apply.folder, shared.gives)?;
                Message::State(Box::new(mine.clone())).write(&mut states);
                shared.mine = Some(mine);
                indexes += 1;
            }
        }
        self.gate.opens_after(indexes);
        self.gate.send_at_once(states);
        Ok(())
    }

    fn handle_state(&mut self, mut theirs: Box<State>) -> Result<()> {
        let Some(number) = self.agreed(theirs.folder)? else { return Ok(()) };
        let shared = &mut self.shared[number];
        demand(shared.theirs.is_none(), req::SYN_015)?;
        let Some(mine) = &shared.mine else { return Ok(()) };
        check_state(shared.apply.folder, Some(self.peer), &mut theirs)?;
        let differing = differing(&mine.digests, &theirs.digests);
        shared.theirs = Some((theirs, differing));
        let gives = shared.gives;
        self.job(Job::Index(number, Box::new(if gives { differing } else { [false; 256] })))
    }

    /// SYN-004: the number of a folder of this session.
    fn agreed(&self, folder: Id) -> Result<Option<usize>> {
        let number = self.shared.iter().position(|s| s.agreed && s.apply.folder_id() == folder);
        demand(number.is_some(), req::SYN_004)?;
        Ok(number)
    }

    /// The folder of this session of which the peer tells something that has its place before the end of its INDEX.
    fn told_before_index(&mut self, folder: Id) -> Result<Option<&Folder>> {
        let Some(number) = self.agreed(folder)? else { return Ok(None) };
        let shared = &self.shared[number];
        demand(!shared.index_read, req::SYN_015)?;
        Ok(Some(shared.apply.folder))
    }

    fn handle_index(&mut self, folder: Id, last: bool, entries: Vec<Entry>) -> Result<()> {
        let Some(number) = self.agreed(folder)? else { return Ok(()) };
        let shared = &mut self.shared[number];
        demand(!shared.index_read && shared.theirs.is_some(), req::SYN_015)?;
        // SYN-006 also when messages for two folders take turns.
        let first = entries.first().map(|entry| entry.id);
        demand(shared.last.is_none() || first.is_none() || first > shared.last, req::SYN_006)?;
        shared.last = entries.last().map(|entry| entry.id).or(shared.last);
        shared.bound.take(&entries, &self.share, shared.takes)?;
        if shared.takes {
            shared.received.extend(entries);
        } // else SYN-023, or this device's own choice
        shared.index_read = last;
        if !last {
            return Ok(());
        }
        let received = std::mem::take(&mut shared.received);
        if let (true, Some((theirs, differing))) = (shared.takes, &shared.theirs) {
            take(shared.apply.folder, self.peer, theirs, differing, received, &mut self.report)?;
        }
        shared.bound.give_back(&self.share);
        // What this device does not want to take says nothing of the peer.
        let complete = shared.theirs.as_ref().is_some_and(|(theirs, _)| theirs.complete);
        shared.apply.folder.note_giving(self.peer, shared.counts && complete);
        self.plan(number)
    }

    /// Finds out what is needed of a folder's contents.
    fn plan(&mut self, number: usize) -> Result<()> {
        let shared = &mut self.shared[number];
        for theirs in shared.apply.plan(&mut self.report)? {
            if let Kind::File { size, .. } | Kind::Link { size, .. } = theirs.kind {
                self.progress.expected(self.peer, 1, size);
            }
            shared.wanted += 1;
            self.fetch.want(Want { folder: number, theirs });
        }
        Ok(())
    }

    fn handle_request(&mut self, request: Request) -> Result<()> {
        match self.agreed(request.folder)? {
            Some(number) => self.job(Job::Answer(number, request)),
            None => Ok(()),
        }
    }

    fn handle_fetched(&mut self, fetched: Fetched) -> Result<()> {
        let (want, ready) = match fetched {
            Fetched::Part => return Ok(()),
            Fetched::Small(small) => {
                self.land.put(small);
                return Ok(());
            }
            Fetched::Complete(want, ready) => (want, Ok(ready)),
            Fetched::Elsewhere(want) => {
                let shared = &mut self.shared[want.folder];
                shared.wanted -= 1;
                if shared.apply.waited_for(&want.theirs.path, &mut self.report)? {
                    return self.plan(want.folder);
                }
                return Ok(());
            }
            Fetched::Gone(want) => (want, Err(SkipReason::Gone)),
            Fetched::NoRoom(want, needed, free) => (want, Err(SkipReason::NoRoom(needed, free))),
        };
        if ready.is_ok() {
            self.fetch.arrived(&want);
        }
        let shared = &mut self.shared[want.folder];
        shared.wanted -= 1;
        let path = want.theirs.path.clone();
        match ready {
            Ok(ready) => {
                self.report.files_received += 1;
                self.progress.received(self.peer, 1, 0);
                shared.apply.stage(want.theirs, ready, &mut self.report)?;
            }
            Err(reason) => shared.apply.leave(&path, reason, &mut self.report),
        }
        if shared.apply.waited_for(&path, &mut self.report)? {
            return self.plan(want.folder);
        }
        Ok(())
    }

    /// Asks for more content; says DONE and BYE when it is time.
    fn go_on(&mut self) -> Result<()> {
        let mut out = Vec::new();
        // HSK-059: whoever goes on elsewhere asks for nothing more here.
        while !self.report.moved
            && let Some(fetched) = self.fetch.ask(self.folders, self.land.bytes(), &mut out)?
        {
            self.handle_fetched(fetched)?;
        }
        if !out.is_empty() {
            self.gate.send(std::mem::take(&mut out));
        }
        self.ask_keepers(&mut out)?;
        for (number, shared) in self.shared.iter_mut().enumerate() {
            // No DONE comes behind BYE (SYN-015), which was early then.
            let ready = !shared.done && !self.said_bye;
            let Some(keeper) = shared.keeper.as_ref().filter(|_| ready) else { continue };
            if self.questions.is_over(number) {
                shared.apply.finish(keeper, &mut self.report)?;
                if shared.reads_only {
                    shared.apply.tell_unsent(&mut self.report)?;
                }
                shared.done = true;
                Message::Done(shared.apply.folder_id()).write(&mut out);
            }
        }
        let all_done = self.shared.iter().all(|shared| shared.done || !shared.agreed);
        // What was asked for twice, and came, is still to be answered.
        let complete = all_done && self.fetch.is_idle() && self.fetch.is_answered();
        let is_answered = self.fetch.is_answered() && self.questions.is_answered();
        let moves = self.report.moved && is_answered && !deviates(req::HSK_060);
        if self.started && !self.said_bye && (complete || moves) {
            self.said_bye = true;
            Message::Bye.write(&mut out);
        }
        if !out.is_empty() {
            self.gate.send(out);
        }
        Ok(())
    }

    /// SYN-150: of the folders whose contents are here, asks who keeps what is to go.
    fn ask_keepers(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let ready = |shared: &&mut Shared<'_>| {
            shared.agreed && shared.index_read && shared.wanted == 0 && shared.keeper.is_none()
        };
        for (number, shared) in self.shared.iter_mut().enumerate() {
            if !ready(&shared) {
                continue;
            }
            let saw = shared.theirs.as_ref().filter(|_| shared.counts).map(|(theirs, _)| seen(&theirs.heads));
            let keeper = Keeper::peer(saw.unwrap_or_default());
            if !self.report.moved {
                self.questions.ask(number, shared.apply.to_give_up(&keeper)?);
            }
            shared.keeper = Some(keeper);
        }
        // HSK-059
        if self.report.moved {
            self.questions.give_up();
        }
        let fetch = &mut self.fetch;
        self.questions.write(self.folders, || fetch.number(), out);
        Ok(())
    }

    fn job(&self, job: Job) -> Result<()> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Error::Peer("more requests than it reads answers"),
            TrySendError::Closed(_) => Error::Peer("it takes no answers any more"),
        })
    }
}

/// SYN-061: the cards of all writers, as many in a message as fit.
fn write_cards(folder: &Folder, out: &mut Vec<u8>) -> Result<()> {
    let cards = folder.index().writers(folder.id())?;
    for cards in cards.chunks(1_000) {
        Message::Writers { folder: folder.id(), cards: cards.to_vec() }.write(out);
    }
    Ok(())
}
