//! Whatever three devices do and in whatever order they meet: in the end all have the same, and what all have is not lost.

mod common;

use std::collections::BTreeSet;

use common::{Node, X, Y, Z, sync};
use meshproof_proto::crypto::DEFAULT;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Write { node: usize, path: usize },
    Remove { node: usize, path: usize },
    Rename { node: usize, from: usize, to: usize },
    Sync { from: usize, to: usize },
}

const PATHS: [&str; 5] = ["a.txt", "b", "d/a.txt", "d/e/b", "f/b"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (node, path) = (0..3_usize, 0..PATHS.len());
    let step = prop_oneof![
        4 => (node.clone(), path.clone()).prop_map(|(node, path)| Step::Write { node, path }),
        2 => (node.clone(), path.clone()).prop_map(|(node, path)| Step::Remove { node, path }),
        1 => (node.clone(), path.clone(), path).prop_map(|(node, from, to)| Step::Rename { node, from, to }),
        3 => (node, 1..3_usize).prop_map(|(from, n)| Step::Sync { from, to: (from + n) % 3 }),
    ];
    prop::collection::vec(step, 1..24)
}

async fn converge(steps: Vec<Step>) {
    let nodes = [X, Y, Z].map(|id| Node::new(DEFAULT, id));
    for (number, step) in steps.iter().enumerate() {
        match *step {
            Step::Write { node, path } => nodes[node].write(PATHS[path], format!("content {number}")),
            Step::Remove { node, path } => drop(std::fs::remove_file(nodes[node].root.join(PATHS[path]))),
            Step::Rename { node, from, to } => {
                let (from, to) = (nodes[node].root.join(PATHS[from]), nodes[node].root.join(PATHS[to]));
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                let _ = std::fs::rename(from, to);
            }
            Step::Sync { from, to } => drop(sync(&nodes[from], &nodes[to]).await),
        }
    }
    let contents =
        |node: &Node| -> BTreeSet<String> { node.tree().keys().filter_map(|path| node.read(path)).collect() };
    let before: Vec<BTreeSet<String>> = nodes.iter().map(contents).collect();
    for _ in 0..3 {
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            sync(&nodes[from], &nodes[to]).await;
        }
    }
    assert_eq!(nodes[0].tree(), nodes[1].tree());
    assert_eq!(nodes[1].tree(), nodes[2].tree());
    let (mine, theirs) = sync(&nodes[0], &nodes[2]).await;
    assert_eq!((mine.bytes_sent, theirs.bytes_sent, mine.deleted, theirs.deleted), (0, 0, 0, 0), "at rest");
    let after = contents(&nodes[0]);
    // What was on all three devices is nobody's older version.
    for content in before[0].intersection(&before[1]).filter(|content| before[2].contains(*content)) {
        assert!(after.contains(content), "{content} is lost");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn three_devices_come_to_the_same(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(converge(steps));
    }
}
