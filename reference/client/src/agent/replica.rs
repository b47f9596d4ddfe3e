//! Syncing with the cloud as with a peer that is always online and that nobody trusts (`spec/sync.md`, section 4.10): its states
//! are taken, contents that no device gave are fetched, own states and the own head are put. What shows that it lies is noted.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::join_all;
use meshproof_proto::codec::{Id, Reader};
use meshproof_proto::requirement::{self as req, Requirement, demand, deviates};
use meshproof_proto::sync::{Entry, Head};

use super::Agent;
use super::seam::Seam;
use crate::cloud::{Cloud, CloudState, EntryWrite, state_body};
use crate::error::{Error, Result};
use crate::sync::replica::{self, Got, Source, Wanted};
use crate::sync::{Direction, Folder, Progress, Report, Shown, SkipReason, Skipped, Standing};

/// How often states are read and put again when somebody else put one meanwhile.
const ATTEMPTS: usize = 3;
/// So many states are put, or looked at again, at once.
const AT_ONCE: usize = 500;

/// What came of syncing a folder with the cloud.
#[derive(Debug, Default)]
pub struct CloudReport {
    /// Entries that were written or deleted, for people and programs that do not verify.
    pub entries: u64,
    /// Files whose bytes were sent.
    pub files: u64,
    /// The bytes.
    pub bytes: u64,
    /// Wanted files that this device has not, or not any more as they were.
    pub missing: u64,
    /// States that were put.
    pub states: u64,
    /// States that were taken over.
    pub taken: u64,
    /// Files whose content came from the cloud.
    pub files_received: u64,
    /// The bytes.
    pub bytes_received: u64,
    /// Files and directories that were removed here.
    pub deleted: u64,
    /// What could not be taken over.
    pub skipped: Vec<Skipped>,
    /// Why the cloud is not believed.
    pub doubts: Vec<CloudDoubt>,
}

/// Why the cloud is not believed.
#[derive(Debug)]
pub struct CloudDoubt {
    /// The rule that it broke, or that who wrote a state broke.
    pub rule: Requirement,
    /// What happened, in words.
    pub text: String,
}

/// One round of one folder with the cloud.
struct Visit<'a> {
    cloud: &'a Cloud,
    folder: &'a Arc<Folder>,
    seam: &'a Seam<'a>,
    report: CloudReport,
    /// The tags of the heads that the cloud showed.
    head_tags: HashMap<Id, String>,
    /// The own head as the cloud showed it.
    own_head: Vec<u8>,
    /// Whether all states were read again, for the cloud went back.
    read_anew: bool,
    /// Whether the cloud has all states as they are here.
    all_put: bool,
    /// Whether there may be contents that were not there before.
    news: bool,
}

impl Agent {
    /// Syncs a folder with the cloud.
    pub(super) async fn sync_states(
        &self,
        folder: &Arc<Folder>,
        seam: &Seam<'_>,
        progress: &Arc<dyn Progress>,
    ) -> Result<CloudReport> {
        let mut visit = Visit {
            cloud: seam.cloud(),
            folder,
            seam,
            report: CloudReport::default(),
            head_tags: HashMap::new(),
            own_head: Vec::new(),
            read_anew: false,
            all_put: false,
            news: false,
        };
        for attempt in 1..=ATTEMPTS {
            visit.read_all().await?;
            if folder.direction() == Direction::ReceiveOnly || visit.put_all().await? || attempt == ATTEMPTS {
                break;
            }
        }
        if folder.direction() != Direction::SendOnly && visit.news {
            visit.fetch(progress).await?;
        }
        if folder.direction() != Direction::ReceiveOnly {
            visit.put_head().await?;
        }
        Ok(visit.report)
    }
}

impl Visit<'_> {
    /// Heads first: whoever put one put its states before.
    async fn read_all(&mut self) -> Result<()> {
        let heads = self.cloud.heads(self.folder.id()).await?;
        self.read_states().await?;
        self.look_again().await?;
        self.judge_heads(&heads)?;
        let went_back = |doubt: &CloudDoubt| [req::SYN_087, req::SYN_088].contains(&doubt.rule);
        if self.report.doubts.iter().any(went_back) && !std::mem::replace(&mut self.read_anew, true) {
            // What else is not there any more is only seen by who looks at all of it.
            self.begin_anew()?;
            self.cloud.forget_entries(self.folder.id()).await;
            self.read_states().await?;
        }
        replica::all_taken(self.folder)
    }

    async fn read_states(&mut self) -> Result<()> {
        let (folder, index) = (self.folder.id(), self.folder.index());
        let mut mark = index.cloud_mark(folder)?;
        let mut anew = mark.is_none();
        if anew {
            self.begin_anew()?;
        }
        loop {
            let Some(page) = self.cloud.states_since(folder, mark.as_deref()).await? else {
                (mark, anew) = (None, true);
                self.begin_anew()?;
                continue;
            };
            self.news |= mark.as_deref() != Some(page.watermark.as_str());
            self.take(page.states, Some(&page.watermark))?;
            mark = Some(page.watermark);
            if !page.more {
                if anew {
                    for entry in index.not_shown_again(folder)? {
                        self.doubt(req::SYN_087, "withheld", entry, "a state is not there any more")?;
                    }
                }
                return Ok(());
            }
        }
    }

    fn begin_anew(&mut self) -> Result<()> {
        self.folder.index().begin_reading(self.folder.id())
    }

    /// States that could not be taken over before: a card may have come meanwhile.
    async fn look_again(&mut self) -> Result<()> {
        if self.folder.direction() == Direction::SendOnly {
            return Ok(()); // nothing is taken at all
        }
        let waiting = self.folder.index().waiting_states(self.folder.id(), AT_ONCE)?;
        if waiting.is_empty() {
            return Ok(());
        }
        let states = self.cloud.states_of(self.folder.id(), &waiting).await?;
        self.take(states, None)
    }

    /// Takes over what the cloud shows, as far as it is believed.
    fn take(&mut self, states: Vec<CloudState>, mark: Option<&str>) -> Result<()> {
        let (folder, index) = (self.folder.id(), self.folder.index());
        let mut all: HashMap<Id, (Shown, Option<Entry>)> = HashMap::new();
        for state in states {
            let before = index.shown(folder, state.id)?;
            let known = before.as_ref().and_then(|shown| shown.version.clone());
            let (standing, version, entry) = match self.seam.entry_in(state.id, &state.bytes) {
                Err(error) => {
                    let why = format!("a state is no entry ({error})");
                    self.doubt(req::SYN_086, "forged", state.id, &why)?;
                    (Standing::Refused, known, None)
                }
                Ok(entry) => {
                    let back = known.as_ref().is_some_and(|known| !entry.version.dominates(known));
                    if demand(!back, req::SYN_087).is_err() {
                        let why = "a state is older than one that it showed before";
                        self.doubt(req::SYN_087, "rolled-back", state.id, why)?;
                        (Standing::Refused, known, Some(entry))
                    } else {
                        (Standing::Waits, Some(entry.version.clone()), Some(entry))
                    }
                }
            };
            all.insert(state.id, (Shown { etag: state.etag, version, standing }, entry));
        }
        let takes = self.folder.direction() != Direction::SendOnly;
        let mut same = Vec::new();
        let mut candidates: Vec<(Id, Entry)> = Vec::new();
        for (id, (shown, entry)) in &mut all {
            let Some(entry) = entry.take() else { continue };
            if index.entry(folder, entry.id)?.as_ref() == Some(&entry) {
                shown.standing = Standing::Taken; // as it is here: most of what is shown is what was put
                same.push(entry);
            } else if takes {
                candidates.push((*id, entry));
            }
        }
        let entries: Vec<Entry> = candidates.iter().map(|(_, entry)| entry.clone()).collect();
        let mut report = Report::default();
        let taken = replica::take_states(self.folder, &entries, &mut report)?;
        self.report.skipped.extend(report.skipped.into_iter().map(|(_, skipped)| skipped));
        for ((id, entry), taken) in candidates.into_iter().zip(taken) {
            let Some((shown, _)) = all.get_mut(&id) else { continue };
            match taken {
                Ok(true) => {
                    if shown.standing == Standing::Waits {
                        shown.standing = Standing::Taken;
                        self.report.taken += 1;
                    }
                    same.push(entry);
                }
                Ok(false) => {}
                Err(Error::Writer { rule, writer }) => {
                    // Not by its writer: then it says nothing about what the cloud had.
                    shown.standing = Standing::Refused;
                    let before = index.shown(folder, id)?;
                    shown.version = before.and_then(|before| before.version);
                    let forked = rule.is(req::SYN_054);
                    let kind = if forked { "forked" } else { "forged" };
                    let why = format!("a state says of the device {writer} what {rule}");
                    self.doubt(if forked { req::SYN_054 } else { req::SYN_086 }, kind, id, &why)?;
                }
                Err(error) => return Err(error),
            }
        }
        let shown: Vec<(Id, Shown)> = all.into_iter().map(|(id, (shown, _))| (id, shown)).collect();
        index.show(folder, &shown, mark)?;
        if self.seam.seals() && shown.iter().any(|(_, shown)| shown.standing == Standing::Refused) {
            index.send_all(folder)?; // in whose place it is does not tell which of the own entries it is
        }
        let equal: Vec<Entry> = same
            .into_iter()
            .filter(|entry| index.entry(folder, entry.id).ok().flatten().as_ref() == Some(entry))
            .collect();
        index.sent(folder, &equal)
    }

    /// SYN-087, SYN-088: what the heads say of the cloud.
    fn judge_heads(&mut self, heads: &[CloudState]) -> Result<()> {
        let (folder, index) = (self.folder.id(), self.folder.index());
        let before: HashMap<Id, Head> =
            index.shown_heads(folder)?.into_iter().map(|head| (head.device, head)).collect();
        self.head_tags = heads.iter().map(|head| (head.id, head.etag.clone())).collect();
        let gone = before.keys().filter(|device| !self.head_tags.contains_key(*device));
        for device in gone.copied().collect::<Vec<Id>>() {
            self.doubt(req::SYN_087, "rolled-back", device, "the head of a device is not there any more")?;
        }
        let seen = index.context(folder, self.folder.device())?;
        for shown in heads {
            let bytes = self.seam.head_in(shown.id, &shown.bytes);
            let mut fields = Reader::new(&bytes);
            let head =
                Head::read(&mut fields).ok().filter(|head| fields.is_empty() && head.device == shown.id);
            let Some(head) = head else {
                self.doubt(req::SYN_086, "forged", shown.id, "a head is none")?;
                continue;
            };
            if head.device == self.folder.device() {
                self.own_head.clone_from(&bytes);
                replica::check_own_head(self.folder, head)?;
            } else {
                match replica::check_head(self.folder, head) {
                    Ok(Some(())) => {}
                    Ok(None) => continue, // SYN-060
                    Err(Error::Writer { rule, writer }) => {
                        let forked = rule.is(req::SYN_058);
                        let kind = if forked { "forked" } else { "forged" };
                        let why = format!("a head says of the device {writer} what {rule}");
                        self.doubt(if forked { req::SYN_058 } else { req::SYN_086 }, kind, shown.id, &why)?;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            let known = before.get(&head.device);
            if known.is_some_and(|known| known.counter == head.counter && known.chain != head.chain) {
                self.doubt(
                    req::SYN_058,
                    "forked",
                    shown.id,
                    "a device, or who has its key, told two things",
                )?;
                continue;
            }
            if demand(known.is_none_or(|known| known.counter <= head.counter), req::SYN_087).is_err() {
                let why = "the head of a device is older than one that it showed before";
                self.doubt(req::SYN_087, "rolled-back", shown.id, why)?;
                continue;
            }
            let has_all = index.most_shown(folder, head.device)? >= head.counter
                || seen.has((head.device, head.counter));
            if demand(has_all, req::SYN_088).is_err() {
                let why = "a device says that it put changes which the cloud does not show";
                self.doubt(req::SYN_088, "withheld", shown.id, why)?;
            }
            index.show_head(folder, &head)?;
        }
        Ok(())
    }

    /// SYN-084: puts the states of all that the cloud does not have as it is here. `false`: somebody put another meanwhile.
    async fn put_all(&mut self) -> Result<bool> {
        let (folder, index) = (self.folder.id(), self.folder.index());
        if deviates(req::SYN_084) {
            return Ok(true);
        }
        let (mut after, mut all) = (Id::default(), true);
        self.all_put = true;
        loop {
            let unsent = index.unsent(folder, after, AT_ONCE)?;
            let Some(last) = unsent.last() else { return Ok(all) };
            after = *last;
            let (mut entries, mut writes) = (Vec::new(), Vec::new());
            for id in unsent {
                let Some(entry) = index.entry(folder, id)? else {
                    index.not_to_be_sent(folder, id)?;
                    continue;
                };
                let (id, bytes) = self.seam.entry_out(&entry)?;
                let shown = index.shown(folder, id)?;
                let version = shown.as_ref().and_then(|shown| shown.version.as_ref());
                // What others wrote meanwhile is taken over first.
                if version.is_some_and(|version| !entry.version.dominates(version)) {
                    self.all_put = false;
                    continue;
                }
                let etag = shown.map(|shown| shown.etag);
                writes.push(EntryWrite { entry: id, body: Some(state_body(&bytes)), etag });
                entries.push(entry);
            }
            if writes.is_empty() {
                continue;
            }
            let (mut taken, mut put) = (Vec::new(), Vec::new());
            let results = match self.cloud.write_states(folder, &writes).await {
                Err(Error::Problem(problem)) if problem.error == "not-authorised" => {
                    self.all_put = false;
                    return Ok(true); // a reader
                }
                results => results?,
            };
            for ((entry, write), result) in entries.into_iter().zip(&writes).zip(results) {
                match result {
                    Ok(etag) => {
                        let (etag, version) = (etag.unwrap_or_default(), Some(entry.version.clone()));
                        taken.push((write.entry, Shown { etag, version, standing: Standing::Taken }));
                        put.push(entry);
                        self.report.states += 1;
                    }
                    Err(Error::Problem(problem)) if problem.error == "not-authorised" => {
                        self.all_put = false;
                        return Ok(true); // a reader
                    }
                    Err(Error::Problem(problem))
                        if ["etag-mismatch", "if-match-required"].contains(&&*problem.error) =>
                    {
                        (all, self.all_put) = (false, false);
                    }
                    // Too large, or no room: the others go.
                    Err(Error::Problem(problem))
                        if ["body-unacceptable", "metadata-full"].contains(&&*problem.error) =>
                    {
                        self.all_put = false;
                        let path = entry.place.name.as_str().to_owned();
                        let reason = SkipReason::Unreadable(problem.to_string());
                        self.report.skipped.push(Skipped { path, reason });
                    }
                    Err(error) => return Err(error),
                }
            }
            index.show(folder, &taken, None)?;
            index.sent(folder, &put)?;
        }
    }

    /// Says how far this device has come, once the states are there that show it.
    async fn put_head(&mut self) -> Result<()> {
        let (folder, index, own) = (self.folder.id(), self.folder.index(), self.folder.device());
        let head = index.heads(folder)?.into_iter().find(|head| head.device == own);
        let Some(head) = head.filter(|_| !deviates(req::SYN_084)) else { return Ok(()) };
        let mut bytes = Vec::new();
        head.write(&mut bytes);
        let counted = index.most_shown(folder, own)? >= head.counter;
        if !self.all_put || !counted || self.own_head == bytes {
            return Ok(());
        }
        let tag = self.head_tags.get(&own).map(String::as_str);
        let bytes = self.seam.head_out(own, bytes)?;
        match self.cloud.put_head(folder, own, &bytes, tag).await {
            Err(Error::Problem(problem)) if problem.error == "not-authorised" => Ok(()),
            put => {
                put?;
                index.show_head(folder, &head)
            }
        }
    }

    /// STO-051: contents that no device gave come from the cloud.
    async fn fetch(&mut self, progress: &Arc<dyn Progress>) -> Result<()> {
        let settled = self.folder.index().settled(self.folder.id())?;
        if settled || deviates(req::STO_051) {
            return Ok(());
        }
        let (wanted, mut asked) = tokio::sync::mpsc::channel::<Asked>(1);
        let (folder, watch) = (self.folder.clone(), progress.clone());
        let disk = tokio::task::spawn_blocking(move || replica::fetch(&folder, &Asking(wanted), &*watch));
        while let Some(Asked { wanted, answers }) = asked.recv().await {
            let one = |wanted: Wanted| Box::pin(get(self.seam, wanted)) as Getting<'_>;
            let all = join_all(wanted.into_iter().map(one).collect::<Vec<_>>()).await;
            let _ = answers.send(all);
        }
        let fetched = disk.await.unwrap_or(Err(Error::Peer("the fetching panicked")))?;
        self.report.files_received += fetched.report.files_received;
        self.report.bytes_received += fetched.report.bytes_received;
        self.report.deleted += fetched.report.deleted;
        self.report.skipped.extend(fetched.report.skipped.into_iter().map(|(_, skipped)| skipped));
        for (path, hash) in fetched.wrong {
            let why = format!("the content of {path} is not what its writer signed");
            self.doubt_of(req::STO_052, "wrong-bytes", &hash.to_string(), &why)?;
        }
        Ok(())
    }

    fn doubt(&mut self, rule: Requirement, kind: &str, about: Id, why: &str) -> Result<()> {
        let name = self.folder.index().entry(self.folder.id(), about)?;
        let name = name.map(|entry| format!(" ({})", entry.place.name.as_str())).unwrap_or_default();
        self.doubt_of(rule, kind, &about.to_string(), &format!("{why}: {about}{name}"))
    }

    fn doubt_of(&mut self, rule: Requirement, kind: &str, subject: &str, why: &str) -> Result<()> {
        let text = format!("the cloud is not to be believed ({}): {why}", rule.id);
        tracing::warn!(folder = %self.folder.id(), requirement = rule.id, "{text}");
        self.folder.index().doubt(self.folder.id(), kind, subject, &text)?;
        if self.report.doubts.iter().all(|doubt| doubt.text != text) {
            self.report.doubts.push(CloudDoubt { rule, text });
        }
        Ok(())
    }
}

/// What the thread that writes to the disk asks for.
struct Asked {
    wanted: Vec<Wanted>,
    answers: std::sync::mpsc::SyncSender<Vec<Result<Got>>>,
}

/// The side of that thread.
struct Asking(tokio::sync::mpsc::Sender<Asked>);

impl Source for Asking {
    fn fetch(&self, wanted: &[Wanted]) -> Vec<Result<Got>> {
        let (answers, answered) = std::sync::mpsc::sync_channel(1);
        let asked = self.0.blocking_send(Asked { wanted: wanted.to_vec(), answers });
        let gone = || wanted.iter().map(|_| Err(Error::Cloud("the sync was given up".into()))).collect();
        asked.ok().and_then(|()| answered.recv().ok()).unwrap_or_else(gone)
    }
}

type Getting<'a> = Pin<Box<dyn Future<Output = Result<Got>> + Send + 'a>>;

async fn get(seam: &Seam<'_>, wanted: Wanted) -> Result<Got> {
    match seam.media_in(wanted.hash, wanted.size, &wanted.to).await {
        Ok(()) => Ok(Got::Bytes),
        Err(Error::WrongBytes(_)) => Ok(Got::Wrong),
        Err(Error::Problem(problem)) if problem.error == "no-such-media" => Ok(Got::Nothing),
        Err(error) => Err(error),
    }
}
