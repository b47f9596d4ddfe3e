//! Who writes in a folder, and whether they wrote what a peer or the cloud gives (`spec/sync.md`, section 4.9).

use std::collections::{BTreeMap, HashMap};

use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{Provider, Secret, SigningKey};
use meshproof_proto::requirement::{self as req, Requirement, demand, deviates};
use meshproof_proto::sync::wire::MAX_CONTEXT;
use meshproof_proto::sync::writer::{context, link};
use meshproof_proto::sync::{Card, Context, Entry, Fork, Head, Proof};

use super::Folder;
use super::index::{Batch, Clock};
use super::past::Past;
use crate::error::{Error, Result};

/// Below this many entries, threads cost more than they bring.
const FEW: usize = 256;

/// What signs the changes of a device.
pub struct Signer {
    device: Id,
    provider: &'static dyn Provider,
    key: Box<dyn SigningKey>,
}

impl Signer {
    /// The signing key of `device`, from the seed that it was made of.
    pub fn new(provider: &'static dyn Provider, device: Id, seed: &Secret) -> Self {
        Self { device, provider, key: provider.signing_key(seed) }
    }

    /// Whose key it is.
    pub fn device(&self) -> Id {
        self.device
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.key.public()
    }

    /// Signs.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message)
    }

    /// The key.
    pub fn key(&self) -> &dyn SigningKey {
        &*self.key
    }

    /// What computes.
    pub fn provider(&self) -> &'static dyn Provider {
        self.provider
    }
}

impl Folder {
    /// Remembers the cards that the issuer signed (SYN-056), as many as a STATE has room for (SYN-130). A device has one signing key for
    /// ever (SYN-057): the good cards are learnt before who shows another one is blamed.
    pub fn learn(&self, cards: Vec<Card>) -> Result<()> {
        let _lock = self.lock();
        let mut known = keys(self)?;
        // The own key is known without a card, but others want to see one (SYN-061).
        let kept = self.index().writers(self.id())?;
        let mut cards_of: HashMap<Id, [u8; 32]> = kept.iter().map(|card| (card.device, card.key)).collect();
        let issuers = self.issuers();
        let (mut new, mut blamed, mut dropped) = (Vec::new(), Ok(()), 0_usize);
        for card in cards {
            if cards_of.get(&card.device) == Some(&card.key) {
                continue;
            }
            let signed = issuers.iter().any(|issuer| card.verify(self.id(), &**issuer));
            if !signed && !deviates(req::SYN_056) {
                continue;
            }
            let same = known.get(&card.device).is_none_or(|key| *key == card.key);
            blamed = blamed.and(blame(same, req::SYN_057, card.device));
            if !same {
                continue;
            }
            if known.len() >= MAX_CONTEXT && !known.contains_key(&card.device) && !deviates(req::SYN_130) {
                dropped += 1;
                continue;
            }
            known.insert(card.device, card.key);
            cards_of.insert(card.device, card.key);
            new.push(card);
        }
        if dropped > 0 {
            tracing::warn!(
                folder = %self.id(),
                "the folder has {dropped} writers more than the {MAX_CONTEXT} that this device takes changes of (SYN-130): \
                 the cloud, or who gave it their cards, is wrong"
            );
        }
        if !new.is_empty() {
            self.index().add_writers(self.id(), &new)?;
        }
        blamed
    }

    /// The key that a writer signs with, if this device knows its card.
    pub fn writer_key(&self, writer: Id) -> Result<Option<[u8; 32]>> {
        Ok(keys(self)?.remove(&writer))
    }
}

/// Signs the changes of this device in the batch (SYN-059).
pub(super) fn sign(folder: &Folder, batch: &mut Batch, clock: &mut Clock) {
    let (signer, id) = (folder.signer(), folder.id());
    if deviates(req::SYN_059) {
        return;
    }
    let sign = |part: &mut [Entry]| -> Vec<(u64, Vec<u8>)> {
        part.iter_mut().flat_map(|entry| entry.sign(id, &*signer.key)).collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let changes: BTreeMap<u64, Vec<u8>> = if batch.entries.len() <= FEW || threads == 1 {
        sign(&mut batch.entries).into_iter().collect()
    } else {
        let size = batch.entries.len().div_ceil(threads);
        std::thread::scope(|scope| {
            let running: Vec<_> =
                batch.entries.chunks_mut(size).map(|part| scope.spawn(move || sign(part))).collect();
            let panicked = |panic| std::panic::resume_unwind(panic);
            running.into_iter().flat_map(|part| part.join().unwrap_or_else(panicked)).collect()
        })
    };
    clock.chain = changes.values().fold(clock.chain, |chain, change| link(&chain, change));
}

/// Says how far this device has come. One that lost its past says nothing until it has met all who may know of it: it would
/// say that it has seen what it has not.
pub(super) fn say_head(folder: &Folder, batch: &mut Batch, clock: &Clock, changed: bool) -> Result<()> {
    let (signer, index, id) = (folder.signer(), folder.index(), folder.id());
    let lost = matches!(index.past(id)?, Past::Lost | Past::Anew);
    let met = |device: &Id| *device == signer.device || index.has_met(id, *device).unwrap_or(false);
    let regained = lost && folder.devices().is_some_and(|devices| devices.iter().all(met));
    if regained {
        batch.past = Some(Past::Regained);
    } else if lost || !changed {
        return Ok(());
    }
    let mut context = index.context(id, signer.device)?;
    context.0.insert(signer.device, clock.counter);
    batch.contexts.push((signer.device, context));
    if !deviates(req::SYN_059) {
        batch.heads.push(Head::sign(id, signer.device, clock.counter, clock.chain, &*signer.key));
    }
    Ok(())
}

/// What became of the heads of a peer's STATE.
pub(super) enum Heads {
    /// The peer has seen this, by the word of those who wrote it.
    Seen(Vec<Head>),
    /// It has seen changes of this device that this device does not know, up to this.
    LostPast(u64),
}

/// SYN-055, SYN-058, SYN-060: believes of a peer's heads what their writers signed. Who only passes on what its writer forked is not to
/// blame (SYN-111).
pub(super) fn check_heads(folder: &Folder, peer: Option<Id>, theirs: Vec<Head>) -> Result<Heads> {
    let (keys, index) = (keys(folder)?, folder.index());
    let known: HashMap<Id, Head> =
        index.heads(folder.id())?.into_iter().map(|head| (head.device, head)).collect();
    let clock = folder.index().clock(folder.id())?;
    let mut seen = Vec::new();
    for head in theirs {
        let before = known.get(&head.device);
        if before == Some(&head) {
            seen.push(head);
            continue;
        }
        let Some(key) = keys.get(&head.device) else {
            if deviates(req::SYN_060) {
                seen.push(head);
            }
            continue;
        };
        let said = head.verify(folder.signer().provider(), folder.id(), key);
        blame(said, req::SYN_055, head.device)?;
        let fork = before.filter(|before| before.contradicts(&head));
        if head.device == folder.device() && said {
            let strange = folder.index().is_strange(folder.id(), head.counter, &head.chain)?;
            if strange || head.counter > clock.counter {
                return Ok(Heads::LostPast(head.counter));
            }
        }
        let forked = index.has_forked(folder.id(), head.device)?;
        match fork {
            Some(before) if peer.is_some_and(|peer| peer != head.device) => {
                index.add_fork(folder.id(), &Fork::Heads(Box::new([*before, head])))?;
            }
            _ if forked => {}
            fork => {
                blame(fork.is_none(), req::SYN_058, head.device)?;
                seen.push(head);
                continue;
            }
        }
        if deviates(req::SYN_111) {
            seen.push(head);
        }
    }
    Ok(Heads::Seen(seen))
}

/// What was seen by who has these heads.
pub(super) fn seen(heads: &[Head]) -> Context {
    context(heads)
}

/// Which of the entries are by writers that are known, and signed by them (SYN-052, SYN-053), and did not fork (SYN-110). `own` gives the entry that is
/// here already: what it has in common was verified when it came.
pub(super) fn check_entries(
    folder: &Folder,
    peer: Id,
    entries: &[Entry],
    own: impl Fn(Id) -> Option<Entry> + Sync,
) -> Result<Vec<Option<Id>>> {
    let keys = keys(folder)?;
    let check = |entry: &Entry| check_entry(folder, &keys, Some(peer), entry, own(entry.id).as_ref());
    on_all_processors(entries, |part| part.iter().map(check).collect())
}

/// The same for entries each of which stands for itself: one that is forged says nothing of the others.
pub(super) fn sift_entries(
    folder: &Folder,
    entries: &[Entry],
    own: impl Fn(Id) -> Option<Entry> + Sync,
) -> Result<Vec<Result<Option<Id>>>> {
    let keys = keys(folder)?;
    let check = |entry: &Entry| check_entry(folder, &keys, None, entry, own(entry.id).as_ref());
    on_all_processors(entries, |part| Ok(part.iter().map(check).collect()))
}

fn on_all_processors<T: Send>(
    entries: &[Entry],
    work: impl Fn(&[Entry]) -> Result<Vec<T>> + Sync,
) -> Result<Vec<T>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    if entries.len() <= FEW || threads == 1 {
        return work(entries);
    }
    let parts = std::thread::scope(|scope| {
        let (size, work) = (entries.len().div_ceil(threads), &work);
        let running: Vec<_> = entries.chunks(size).map(|part| scope.spawn(move || work(part))).collect();
        let panicked = |_| Err(Error::Peer("the verifying thread panicked"));
        running.into_iter().map(|part| part.join().unwrap_or_else(panicked)).collect::<Result<Vec<_>>>()
    })?;
    Ok(parts.into_iter().flatten().collect())
}

/// The writer that is not known, or that the `peer` is not and that forked, if there is one.
fn check_entry(
    folder: &Folder,
    keys: &HashMap<Id, [u8; 32]>,
    peer: Option<Id>,
    entry: &Entry,
    own: Option<&Entry>,
) -> Result<Option<Id>> {
    let provider = folder.signer().provider();
    let is_new = |proof: &&Proof| !own.is_some_and(|own| own.proofs.contains(proof));
    for proof in entry.proofs.iter().filter(is_new) {
        let writer = proof.stamp.writer;
        let Some(key) = keys.get(&writer) else {
            if deviates(req::SYN_053) {
                continue;
            }
            return Ok(Some(writer));
        };
        blame(proof.verify(provider, (folder.id(), entry.id), key), req::SYN_052, writer)?;
    }
    if let Some(fork) = own.and_then(|own| Fork::of(own, entry)) {
        let (writer, _) = fork.dot();
        let known = || folder.index().has_forked(folder.id(), writer);
        if let Some(peer) = peer {
            if (peer != writer || known()?) && !deviates(req::SYN_110) {
                return Ok(Some(writer));
            }
            folder.index().add_fork(folder.id(), &fork)?;
        }
        blame(false, req::SYN_054, writer)?;
    }
    Ok(None)
}

/// The keys of the writers that this device knows, its own among them.
pub(super) fn keys(folder: &Folder) -> Result<HashMap<Id, [u8; 32]>> {
    let cards = folder.index().writers(folder.id())?;
    let mut keys: HashMap<Id, [u8; 32]> = cards.into_iter().map(|card| (card.device, card.key)).collect();
    keys.insert(folder.device(), folder.signer().public());
    Ok(keys)
}

/// [`demand`], naming the writer that it is about.
pub(super) fn blame(holds: bool, requirement: Requirement, writer: Id) -> Result<()> {
    demand(holds, requirement).map_err(|rule| Error::Writer { rule, writer })
}
