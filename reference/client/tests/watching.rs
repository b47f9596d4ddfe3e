//! What the system tells of a folder, and looking only there.

mod common;

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::{FOLDER, Node, X};
use meshproof_client::sync::{NoProgress, ScanReport, only, refresh, scan};
use meshproof_proto::crypto::DEFAULT;

/// Far more than it takes; a test that fails waits so long.
const PATIENCE: Duration = Duration::from_mins(1);

struct Watched {
    node: Node,
    told: Receiver<()>,
}

impl Watched {
    fn new(files: &[&str]) -> Self {
        let node = Node::new(DEFAULT, X);
        files.iter().for_each(|path| node.write(path, path));
        let (tell, told) = channel();
        node.folder.watch(move || _ = tell.send(())).unwrap();
        // A watch that just began knows nothing: all is looked at once.
        let report = refresh(&node.folder, &NoProgress).unwrap();
        assert!(report.present >= files.len() as u64);
        Self { node, told }
    }

    /// Looks whenever the system tells something, until `enough`. The sum of all looks.
    fn until(&self, enough: impl Fn(&Node) -> bool) -> ScanReport {
        let mut sum = ScanReport::default();
        while !enough(&self.node) {
            self.told.recv_timeout(PATIENCE).expect("the system tells of changes");
            let report = refresh(&self.node.folder, &NoProgress).unwrap();
            sum.present += report.present;
            sum.changed += report.changed;
            sum.deleted += report.deleted;
            sum.skipped.extend(report.skipped);
        }
        sum
    }
}

fn size(node: &Node, path: &str) -> Option<u64> {
    node.folder.index().get(FOLDER, path).unwrap()?.seen.map(|seen| seen.size)
}

/// After all that was told, a scan of all has nothing to add.
fn is_complete(node: &Node) {
    let report = scan(&node.folder, &NoProgress).unwrap();
    assert_eq!((report.changed, report.deleted), (0, 0));
}

#[test]
fn only_what_was_named_is_looked_at() {
    let files: Vec<String> = (0..500).map(|number| format!("dir-{}/{number}", number % 10)).collect();
    let watched = Watched::new(&files.iter().map(String::as_str).collect::<Vec<_>>());
    watched.node.write("dir-3/new", "new");
    let report = watched.until(|node| size(node, "dir-3/new") == Some(3));
    assert_eq!((report.changed, report.deleted), (1, 0));
    assert!(report.present < 10, "{} paths were looked at", report.present);
    watched.node.write("dir-3/new", "edited");
    let report = watched.until(|node| size(node, "dir-3/new") == Some(6));
    assert!(report.present < 10 && report.changed > 0);
    watched.node.remove("dir-3/new");
    let report = watched.until(|node| size(node, "dir-3/new").is_none());
    assert_eq!((report.changed, report.deleted), (0, 1));
    assert!(report.present < 10);
    assert!(watched.node.folder.take_news());
    assert!(!watched.node.folder.take_news());
    is_complete(&watched.node);
}

#[test]
fn a_new_directory_is_looked_at_with_all_that_is_in_it() {
    let watched = Watched::new(&["a"]);
    watched.node.write("new/deep/er/file", "content");
    watched.node.write("new/other", "content");
    watched.until(|node| size(node, "new/deep/er/file").is_some() && size(node, "new/other").is_some());
    is_complete(&watched.node);
}

#[test]
fn other_patterns_concern_all() {
    let watched = Watched::new(&["a.tmp", "b"]);
    watched.node.write(".meshignore", "*.tmp\n");
    watched.until(|node| size(node, ".meshignore").is_some());
    watched.node.write("c.tmp", "ignored");
    watched.node.write("d", "not");
    watched.until(|node| size(node, "d").is_some());
    assert!(size(&watched.node, "c.tmp").is_none());
    watched.node.remove(".meshignore");
    watched.until(|node| size(node, "c.tmp").is_some());
    is_complete(&watched.node);
}

/// Whoever waits for changes goes and gets what is chosen now.
#[test]
fn another_choice_is_news() {
    let watched = Watched::new(&["a/x", "b"]);
    assert!(watched.node.folder.take_news());
    only::choose(watched.node.folder.index(), FOLDER, &watched.node.root, &["a".into()]).unwrap();
    let report = watched.until(|node| node.folder.take_news());
    assert_eq!((report.changed, report.deleted), (0, 0));
    assert!(size(&watched.node, "b").is_some(), "it was there, and waits for others");
}

#[test]
fn what_is_not_watched_any_more_is_looked_at_as_a_whole() {
    let watched = Watched::new(&["a"]);
    watched.node.folder.unwatch();
    watched.node.write("b", "b");
    let report = refresh(&watched.node.folder, &NoProgress).unwrap();
    assert_eq!((report.present, report.changed), (2, 1));
}
