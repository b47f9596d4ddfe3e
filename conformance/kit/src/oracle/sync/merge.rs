//! Section 4.3: one entry out of two.

use std::collections::BTreeMap;

use super::{Content, Entry, Id, Proof};

/// Of each device a counter: a version, or a context.
type Counters = [(Id, u64)];

/// Merges two entries of one identifier. The contexts are what each side has seen. `None` where it is to be ignored.
pub fn merge(a: &Entry, b: &Entry, contexts: (&Counters, &Counters)) -> Option<Entry> {
    let mut version: BTreeMap<Id, u64> = BTreeMap::new();
    for (device, counter) in a.version.iter().chain(&b.version) {
        let joined = version.entry(*device).or_default();
        *joined = (*joined).max(*counter);
    }
    let place = if a.place >= b.place { a } else { b };
    let gone = if a.place == b.place { a.gone | b.gone } else { place.gone };
    let mut contents: Vec<Content> = Vec::new();
    for (own, other, context) in [(a, b, contexts.1), (b, a, contexts.0)] {
        for content in &own.contents {
            if contents.iter().any(|taken| taken.stamp == content.stamp) {
                continue;
            }
            let there = other.contents.iter().find(|there| there.stamp == content.stamp);
            let seen = has(&other.version, content) || has(context, content);
            match there {
                Some(there) => contents.push(Content { gone: content.gone | there.gone, ..content.clone() }),
                None if !seen => contents.push(content.clone()),
                None => {}
            }
        }
    }
    if contents.is_empty() {
        contents = a
            .contents
            .iter()
            .chain(&b.contents)
            .max_by_key(|content| content.stamp)
            .cloned()
            .into_iter()
            .collect();
    }
    contents.sort_by_key(|content| content.stamp);
    let (before, theirs) = (a.proofs(), b.proofs());
    let ok = version.len() <= 64 && contents.len() <= 16;
    let mut entry = Entry {
        id: a.id,
        parent: place.parent,
        name: place.name.clone(),
        place: place.place,
        gone,
        contents,
        version: version.into_iter().collect(),
        proofs: None,
    };
    let mut proofs: Vec<Proof> = Vec::new();
    for proof in before.iter().chain(&theirs).filter(|proof| entry.needs(proof)) {
        if proofs.iter().all(|other| other.dot() != proof.dot()) {
            proofs.push(proof.clone());
        }
    }
    proofs.sort_by_key(Proof::dot);
    let ok = ok && proofs.len() <= 255 && theirs.iter().all(|proof| proof.deleted.len() <= 32);
    entry.proofs = Some(proofs);
    ok.then_some(entry)
}

fn has(counters: &Counters, content: &Content) -> bool {
    let stamp = content.stamp;
    counters.iter().any(|(device, counter)| *device == stamp.writer && stamp.counter <= *counter)
}
