//! What goes of the versions of a folder when they are too old or take too much (SYN-141).
//!
//! For a week no number of later versions drives one away: else who may write a file only had to write it often. Where room
//! lacks, what others wrote in between goes before what was there first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use meshproof_proto::codec::Id;
use meshproof_proto::time::UnixTime;

use super::disk;
use super::progress::{Progress, SkipReason, Skipped};
use super::versions::{self, DIRECTORY, Limits, Version};

/// How long a version stays, whatever came after it.
const WEEK: u64 = 7 * DAY;
const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;
/// What the smallest file takes of a disk.
const BLOCK: u64 = 4_096;
/// The first versions of a week take more than their room as long as so much of the disk is free.
const SPARE: u64 = 2 * 1024 * 1024 * 1024;

/// How soon a version goes when room lacks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// Its week is over.
    Old,
    /// One of its path is from the same hour, and older.
    OfHour,
    /// The same of its day.
    OfDay,
    /// The first of its day, and not of the week.
    Day,
    /// What was there before anything else of the week.
    First,
}

/// Removes what is beyond the limits, and tells of what should have stayed for its week and could not.
pub(super) fn prune(root: &Path, folder: Id, limits: &Limits, progress: &dyn Progress) {
    for lost in prune_at(root, limits, crate::now(), disk::free(root)) {
        tracing::warn!("{}: {}", lost.path, SkipReason::VersionGone);
        progress.skipped(folder, &Skipped { path: lost.path, reason: SkipReason::VersionGone });
    }
}

/// Returns what was the only one of its path for its week.
fn prune_at(root: &Path, limits: &Limits, now: UnixTime, free: Option<u64>) -> Vec<Version> {
    let age = |version: &Version| now.0.saturating_sub(version.replaced.0);
    let mut of_path: BTreeMap<String, usize> = BTreeMap::new();
    let mut kept = Vec::new();
    for version in versions::list(root, None) {
        let number = of_path.entry(version.path.clone()).or_default();
        *number += 1;
        let too_many = *number > limits.number && age(&version) > WEEK;
        if too_many || age(&version) > limits.days.saturating_mul(DAY) {
            remove(root, &version);
        } else {
            kept.push(version);
        }
    }
    let lost = make_room(root, limits, rank(kept, age), free);
    let _ = std::fs::remove_dir(root.join(DIRECTORY)); // if it is empty
    lost
}

/// What goes first is first; among equals the oldest.
fn rank(mut kept: Vec<Version>, age: impl Fn(&Version) -> u64) -> Vec<(Worth, Version)> {
    let (mut first, mut days, mut hours) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    kept.reverse();
    let worth = |version: Version| {
        let (path, time) = (&version.path, version.replaced.0);
        let worth = if age(&version) > WEEK {
            Worth::Old
        } else {
            // In all three sets, whatever it is the first of.
            let is_first = first.insert(path.clone());
            let of_day = days.insert((path.clone(), time / DAY));
            let of_hour = hours.insert((path.clone(), time / HOUR));
            match (is_first, of_day, of_hour) {
                (true, ..) => Worth::First,
                (_, true, _) => Worth::Day,
                (.., true) => Worth::OfDay,
                _ => Worth::OfHour,
            }
        };
        (worth, version)
    };
    let mut ranked: Vec<(Worth, Version)> = kept.into_iter().map(worth).collect();
    ranked.sort_by_key(|(worth, _)| *worth);
    ranked
}

fn make_room(
    root: &Path,
    limits: &Limits,
    ranked: Vec<(Worth, Version)>,
    mut free: Option<u64>,
) -> Vec<Version> {
    let takes = |version: &Version| version.size.max(BLOCK);
    let mut bytes = ranked.iter().fold(0_u64, |bytes, (_, version)| bytes.saturating_add(takes(version)));
    // Who gave them less wants less.
    let may_grow = limits.bytes >= Limits::default().bytes;
    let mut lost = Vec::new();
    for (worth, version) in ranked {
        let has_spare = may_grow && free.is_some_and(|free| free >= SPARE);
        if bytes <= limits.bytes || worth == Worth::First && has_spare {
            break;
        }
        bytes = bytes.saturating_sub(takes(&version));
        free = free.map(|free| free.saturating_add(version.size));
        remove(root, &version);
        if worth == Worth::First {
            lost.push(version);
        }
    }
    lost
}

fn remove(root: &Path, version: &Version) {
    let file = version.file(root);
    let _ = std::fs::remove_file(&file);
    let above = file.ancestors().skip(1).take_while(|above| !above.ends_with(DIRECTORY));
    above.take_while(|above| std::fs::remove_dir(above).is_ok()).for_each(drop);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: Option<u64> = Some(1 << 50);

    fn put(root: &Path, time: &str, path: &str, size: u64) {
        let file = root.join(DIRECTORY).join(format!("{time}-000")).join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::File::create(file).unwrap().set_len(size).unwrap();
    }

    fn time(text: &str) -> UnixTime {
        UnixTime::parse(text).unwrap()
    }

    fn kept(root: &Path) -> Vec<String> {
        let name = |version: Version| format!("{} {}", version.replaced, version.path);
        let mut kept: Vec<String> = versions::list(root, None).into_iter().map(name).collect();
        kept.sort();
        kept
    }

    #[test]
    fn no_number_of_later_versions_drives_one_away_within_a_week() {
        let root = tempfile::tempdir().unwrap();
        for second in 0..30 {
            put(root.path(), &format!("20200101T0000{second:02}Z"), "a", 10);
        }
        let limits = Limits { number: 20, ..Limits::default() };
        prune_at(root.path(), &limits, time("2020-01-07T00:00:00Z"), PLENTY);
        assert_eq!(kept(root.path()).len(), 30);
        prune_at(root.path(), &limits, time("2020-01-09T00:00:00Z"), PLENTY);
        assert_eq!(kept(root.path()).len(), 20, "afterwards the number counts");
        prune_at(root.path(), &limits, time("2020-02-09T00:00:00Z"), PLENTY);
        assert!(!root.path().join(DIRECTORY).exists());
    }

    #[test]
    fn what_was_there_first_goes_last() {
        let root = tempfile::tempdir().unwrap();
        let times = [
            "20200101T000000Z", // older than a week
            "20200110T100000Z", // the first
            "20200110T100500Z",
            "20200110T110000Z",
            "20200111T000000Z",
            "20200111T000001Z",
        ];
        for at in times {
            put(root.path(), at, "a", 10);
        }
        put(root.path(), "20200111T000002Z", "deep/er/b", 10);
        let now = time("2020-01-12T00:00:00Z");
        let mut went = Vec::new();
        for number in (0..7).rev() {
            let before = kept(root.path());
            let limits = Limits { bytes: number * BLOCK, ..Limits::default() };
            let lost = prune_at(root.path(), &limits, now, PLENTY);
            let after = kept(root.path());
            assert_eq!(after.len() as u64, number);
            assert_eq!(lost.len(), usize::from(number < 2), "only the first are told of");
            went.extend(before.into_iter().filter(|one| !after.contains(one)));
        }
        assert_eq!(
            went,
            [
                "2020-01-01T00:00:00Z a",
                "2020-01-10T10:05:00Z a",
                "2020-01-11T00:00:01Z a",
                "2020-01-10T11:00:00Z a",
                "2020-01-11T00:00:00Z a",
                "2020-01-10T10:00:00Z a",
                "2020-01-11T00:00:02Z deep/er/b",
            ]
        );
    }

    #[test]
    fn one_above_the_room_stays_while_the_disk_has_some() {
        let root = tempfile::tempdir().unwrap();
        let limits = Limits::default();
        put(root.path(), "20200110T100000Z", "large", limits.bytes + 1);
        let now = time("2020-01-12T00:00:00Z");
        assert!(prune_at(root.path(), &limits, now, PLENTY).is_empty());
        assert_eq!(kept(root.path()).len(), 1);
        let lost = prune_at(root.path(), &limits, now, Some(SPARE - 1));
        assert_eq!(lost.iter().map(|version| version.path.as_str()).collect::<Vec<_>>(), ["large"]);
        assert!(kept(root.path()).is_empty());
        put(root.path(), "20200110T100000Z", "large", limits.bytes);
        let less = Limits { bytes: limits.bytes - 1, ..limits };
        assert_eq!(prune_at(root.path(), &less, now, PLENTY).len(), 1, "its user wants less");
    }
}
