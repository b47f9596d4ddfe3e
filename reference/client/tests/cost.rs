//! What one change costs, by how much is in the folder: rows of the index that are read, which no machine makes fewer.

mod common;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{FOLDER, Node, X, Y, sync};
use meshproof_client::sync::{NoProgress, refresh};
use meshproof_proto::crypto::DEFAULT;

/// Far more than it takes; a test that fails waits so long.
const PATIENCE: Duration = Duration::from_mins(1);

/// A watched folder, in sync with another device's.
struct Pair {
    x: Node,
    y: Node,
    stirs: mpsc::Receiver<()>,
}

impl Pair {
    async fn new(files: usize) -> Self {
        let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
        for n in 0..files {
            x.write(&format!("dir{}/file{n}", n / 100), n.to_string());
        }
        let (tell, stirs) = mpsc::channel();
        for node in [&x, &y] {
            let tell = tell.clone();
            node.folder.watch(move || _ = tell.send(())).unwrap();
        }
        sync(&x, &y).await;
        sync(&x, &y).await; // what was written stirs; now nothing does any more
        assert!(x.folder.index().settled(FOLDER).unwrap() && y.folder.index().settled(FOLDER).unwrap());
        Self { x, y, stirs }
    }

    /// Does something on X, lets both look where the system says, and syncs. Returns how many rows were read on both, and how
    /// long it took.
    async fn change(&self, change: impl FnOnce(&Node)) -> (u64, Duration) {
        let rows = || self.x.folder.index().rows_read() + self.y.folder.index().rows_read();
        while self.stirs.try_recv().is_ok() {}
        change(&self.x);
        self.stirs.recv_timeout(PATIENCE).expect("the system tells");
        while self.stirs.recv_timeout(Duration::from_millis(100)).is_ok() {}
        let (before, begin) = (rows(), Instant::now());
        let looked = refresh(&self.x.folder, &NoProgress).unwrap();
        assert!(looked.changed + looked.deleted > 0, "{looked:?}");
        sync(&self.x, &self.y).await;
        let (rows, took) = (rows() - before, begin.elapsed());
        assert_eq!(self.x.tree(), self.y.tree());
        assert!(self.y.folder.index().settled(FOLDER).unwrap());
        (rows, took)
    }
}

type Change = (&'static str, fn(&Node));

const CHANGES: [Change; 4] = [
    ("an edit", |x| x.write("dir0/file7", "edited, and longer")),
    ("a new file", |x| x.write("dir1/new", "new")),
    ("a rename", |x| std::fs::rename(x.root.join("dir2/file201"), x.root.join("dir1/renamed")).unwrap()),
    ("a deletion", |x| x.remove("dir1/file101")),
];

#[tokio::test(flavor = "multi_thread")]
async fn one_change_reads_what_it_is_about() {
    let (small, large) = (Pair::new(300).await, Pair::new(3_000).await);
    for (what, change) in CHANGES {
        let ((few, _), (many, _)) = (small.change(change).await, large.change(change).await);
        println!("{what}: {few} rows at 300 files, {many} at 3,000");
        // An index is given by buckets, of which there are 256: of those that differ all that is in them.
        assert!(many < 500, "{what}: {many} rows");
        assert!(many < few + 200, "{what}: {few} rows at 300 files, {many} at 3,000");
    }
}

/// `cargo test -p meshproof-client --test cost -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and judges nothing"]
async fn how_long_one_change_takes() {
    let (small, large) = (Pair::new(1_000).await, Pair::new(100_000).await);
    for (what, change) in CHANGES {
        let ((few, short), (many, long)) = (small.change(change).await, large.change(change).await);
        let ratio = long.as_secs_f64() / short.as_secs_f64();
        println!(
            "{what}: {few} rows, {short:?} at 1,000; {many} rows, {long:?} at 100,000; ratio {ratio:.1}"
        );
    }
}

/// Each write of the index is flushed (SYN-152): there are as many as batches, not as files.
#[tokio::test(flavor = "multi_thread")]
async fn a_flush_is_for_many_files() {
    let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
    let files = 2_000;
    for n in 0..files {
        x.write(&format!("dir{}/file{n}", n / 100), n.to_string());
    }
    sync(&x, &y).await;
    assert_eq!(y.tree().len(), files + files / 100);
    let writes = [x.folder.writes(), y.folder.writes()];
    println!("{writes:?} writes for {files} files");
    assert!(writes.iter().all(|writes| *writes < 200), "{writes:?} writes for {files} files");
}
