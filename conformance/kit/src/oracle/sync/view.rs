//! Section 4.4: the paths of a folder.

use std::collections::{BTreeMap, BTreeSet};

use super::{Content, Entry, Id, ROOT, Stamp, fold, name};
use crate::oracle::crypto::hex;

/// One path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The path.
    pub path: String,
    /// Whose it is.
    pub id: Id,
    /// The content. `None` for a directory that is there because of what is in it.
    pub content: Option<Content>,
    /// Whether it is a copy.
    pub copy: bool,
}

struct Wants<'a> {
    entry: &'a Entry,
    content: Option<Content>,
    copy: bool,
    stamp: Stamp,
}

/// The view of these entries, by path.
pub fn view(entries: &[Entry]) -> Vec<Shown> {
    let by_id: BTreeMap<Id, &Entry> = entries.iter().map(|entry| (entry.id, entry)).collect();
    let mut parents: BTreeMap<Id, Id> = entries.iter().map(|entry| (entry.id, entry.parent)).collect();
    // 1. Cycles.
    for start in entries {
        let mut way = vec![start.id];
        while let Some(parent) = parents.get(&way[way.len() - 1]).copied() {
            if let Some(from) = way.iter().position(|id| *id == parent) {
                let last = way[from..].iter().max_by_key(|id| by_id[*id].place).copied();
                parents.insert(last.expect("a cycle has entries"), ROOT);
                break;
            }
            way.push(parent);
        }
    }
    // 2. What is shown.
    let mut shown: BTreeSet<Id> = BTreeSet::new();
    let mut holding: BTreeSet<Id> = BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.is_living()) {
        let mut way = vec![entry.id];
        while let Some(parent) = parents.get(&way[way.len() - 1]).copied() {
            way.push(parent);
        }
        if way.last() == Some(&ROOT) {
            way.pop();
            holding.extend(&way[1..]);
            shown.extend(way);
        }
    }
    let mut all = Vec::new();
    directory(&by_id, &parents, &shown, &holding, ROOT, "", &mut all);
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

fn directory(
    by_id: &BTreeMap<Id, &Entry>,
    parents: &BTreeMap<Id, Id>,
    shown: &BTreeSet<Id>,
    holding: &BTreeSet<Id>,
    parent: Id,
    prefix: &str,
    all: &mut Vec<Shown>,
) {
    // 3. What each entry shows.
    let mut wants = Vec::new();
    for entry in shown.iter().filter(|id| parents[*id] == parent).map(|id| by_id[id]) {
        let holds = holding.contains(&entry.id);
        let main = entry.main().filter(|main| entry.is_living() && (!holds || main.kind == 2)).cloned();
        let mut equal: Vec<(u8, u64, [u8; 32])> = main.iter().map(kind).collect();
        wants.push(Wants { entry, content: main, copy: false, stamp: entry.place });
        if !entry.is_living() {
            continue;
        }
        let mut others: Vec<&Content> = entry.living();
        others.sort_by_key(|content| content.stamp);
        for content in others {
            if content.kind != 2 && !equal.contains(&kind(content)) {
                equal.push(kind(content));
                wants.push(Wants { entry, content: Some(content.clone()), copy: true, stamp: content.stamp });
            }
        }
    }
    // 4 and 5. Names.
    wants.sort_by(|a, b| a.copy.cmp(&b.copy).then(b.stamp.cmp(&a.stamp)).then(a.entry.id.cmp(&b.entry.id)));
    let mut taken = BTreeSet::new();
    let (mut named, mut rest) = (Vec::new(), Vec::new());
    for want in wants {
        let own = want.entry.text();
        if !want.copy && taken.insert(fold(&own)) {
            named.push((own, want));
        } else {
            rest.push(want);
        }
    }
    for want in rest {
        let mut choices = (1..).map(|attempt| marked(&want.entry.text(), want.stamp, attempt));
        let choice = choices.find(|choice| !taken.contains(&fold(choice))).expect("one is free");
        taken.insert(fold(&choice));
        named.push((choice, want));
    }
    for (own, want) in named {
        let path = format!("{prefix}{own}");
        if path.len() > 4_096 {
            continue;
        }
        if !want.copy && want.content.as_ref().is_none_or(|content| content.kind == 2) {
            directory(by_id, parents, shown, holding, want.entry.id, &format!("{path}/"), all);
        }
        all.push(Shown { path, id: want.entry.id, content: want.content, copy: want.copy });
    }
}

fn kind(content: &Content) -> (u8, u64, [u8; 32]) {
    (content.kind, content.size, content.hash)
}

fn marked(own: &str, stamp: Stamp, attempt: usize) -> String {
    let again = if attempt == 1 { String::new() } else { format!(" {attempt}") };
    let mark = format!(" (conflict {} {}{again})", &hex(&stamp.writer)[..8], stamp.lamport);
    let dot = own.rfind('.').filter(|dot| *dot > 0 && own.len() - dot - 1 <= 32).unwrap_or(own.len());
    let (stem, extension) = own.split_at(dot);
    let mut stem = stem.to_owned();
    loop {
        let choice = format!("{stem}{mark}{extension}");
        if name(choice.as_bytes()).is_ok() || stem.pop().is_none() {
            return choice;
        }
    }
}
