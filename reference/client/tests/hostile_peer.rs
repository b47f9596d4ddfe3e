//! A peer that speaks the handshake properly and then breaks the rules of `spec/sync.md`.

mod common;

use common::{
    FOLDER, Node, RawPeer, Serving, X, Y, connect, file, gone, serve, sign_new, signed, state, sync,
    versioned,
};
use meshproof_client::sync::{Direction, NoProgress, Report, SkipReason, Skipped, TEMP_PREFIX, scan};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::entry::{MAX_COUNTER, Stamp};
use meshproof_proto::sync::message::Request;
use meshproof_proto::sync::proof::{Deleted, Part};
use meshproof_proto::sync::{Entry, Kind, Message, Proof, Version};
use meshproof_proto::ticket::Role;

async fn raw(role: Role) -> (Node, Serving, RawPeer) {
    let node = Node::new(DEFAULT, Y);
    node.write("mine", "content of mine");
    let serving = serve(&node).await;
    let peer = RawPeer::connect(X, &node, &serving.address, role).await;
    (node, serving, peer)
}

/// The session failed by this rule, and the folder is as it was.
async fn refused(node: &Node, serving: &Serving, id: &str) {
    let error = serving.ended().await.unwrap_err();
    assert!(error.starts_with(id), "{error}");
    assert_eq!(node.tree().keys().collect::<Vec<_>>(), ["mine"]);
    assert_eq!(node.root.parent().unwrap().read_dir().unwrap().count(), 4, "folder and index.db, -shm, -wal");
}

/// An INDEX whose only name, of the same length as `safe`, is patched in after encoding.
fn index_with_path(safe: &str, path: &str) -> Vec<u8> {
    assert_eq!(safe.len(), path.len());
    let (mut bytes, entries) = (Vec::new(), vec![file(safe, b"evil", X, 9)]);
    Message::Hello(vec![FOLDER]).write(&mut bytes);
    state().write(&mut bytes);
    Message::Index { folder: FOLDER, last: true, entries }.write(&mut bytes);
    let at = bytes.windows(safe.len()).position(|window| window == safe.as_bytes()).unwrap();
    bytes[at..at + path.len()].copy_from_slice(path.as_bytes());
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_leave_the_folder() {
    for (path, id) in [
        ("../../etc/evil", "SYN-010"),
        ("/tmp/evil-file", "SYN-010"),
        ("dir/../../evil", "SYN-010"),
        ("c:\\windows\\evi", "SYN-012"),
        ("nul.txt.evil-f", "SYN-014"),
    ] {
        let (node, serving, peer) = raw(Role::Owner).await;
        peer.send_bytes(index_with_path("aaaaaaaaaaaaaa", path));
        refused(&node, &serving, id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_with_another_hash_is_discarded() {
    for content in [&b"other bytes"[..], b"short", b"longer than it said"] {
        let (node, serving, mut peer) = raw(Role::Owner).await;
        peer.offer(vec![file("theirs", b"right bytes", X, 1)]);
        let request = peer.wait(|m| if let Message::Request(r) = m { Some(r.request) } else { None }).await;
        peer.send(&[Message::Block { request: request.unwrap(), content: Some(content.to_vec()) }]);
        refused(&node, &serving, "SYN-030").await;
        while peer.next().await.is_some() {} // ends with close_notify (section 5); a truncation would panic
    }
}

/// What no disk has room for is left out and told, and the other files come (SYN-075).
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_room_keeps_no_other_from_coming() {
    let (node, serving, mut peer) = raw(Role::Owner).await;
    let mut large = file("large", b"one of many", X, 1);
    large.contents[0].kind = Kind::File { size: 1 << 60, hash: MediaHash::of(b"one of many") };
    let mut entries = vec![signed(large), file("small", b"content", X, 2)];
    entries.sort_by_key(|entry| entry.id);
    peer.offer(entries);
    let request = peer.wait(|m| if let Message::Request(r) = m { Some(r) } else { None }).await.unwrap();
    assert_eq!(request.hash, MediaHash::of(b"content"));
    peer.send(&[
        Message::Block { request: request.request, content: Some(b"content".to_vec()) },
        Message::Done(FOLDER),
        Message::Bye,
    ]);
    while peer.next().await.is_some() {}
    peer.connection.outgoing.close();
    let report = serving.ended().await.unwrap();
    let [(FOLDER, Skipped { path, reason: SkipReason::NoRoom(needed, free) })] = &report.skipped[..] else {
        panic!("{report:?}")
    };
    assert!(path == "large" && needed > free, "{path}: {needed} and {free}");
    assert_eq!(node.read("small").as_deref(), Some("content"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_with_the_hash_of_another() {
    let (node, serving, peer) = raw(Role::Owner).await;
    let mut entry = file("theirs", b"", X, 1);
    entry.contents[0].kind = Kind::File { size: 0, hash: MediaHash::of(b"not empty") };
    peer.offer(vec![signed(entry)]);
    refused(&node, &serving, "SYN-007").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_content_of_the_folder_is_sent() {
    let (node, serving, mut peer) = raw(Role::Owner).await;
    // A file of the device that is in no folder, and one that was in the folder.
    std::fs::write(node.root.parent().unwrap().join("secret"), "secret").unwrap();
    let request = |request, content: &[u8], offset, length| {
        let hash = MediaHash::of(content);
        Message::Request(Request { request, folder: FOLDER, hash, offset, length })
    };
    peer.offer(Vec::new());
    let hash = peer.wait(|m| matches!(m, Message::Index { .. }).then_some(())).await;
    assert!(hash.is_some());
    peer.send(&[request(1, b"secret", 0, 6), request(2, b"content of mine", 8, 7)]);
    let block = |m| if let Message::Block { request, content } = m { Some((request, content)) } else { None };
    assert_eq!(peer.wait(block).await, Some((1, None)), "SYN-034");
    assert_eq!(peer.wait(block).await, Some((2, Some(b"of mine".to_vec()))));
    node.write("mine", "changed meanwhile");
    peer.send(&[request(3, b"content of mine", 0, 15)]);
    assert_eq!(peer.wait(block).await, Some((3, None)), "SYN-032");
    peer.send(&[request(4, b"content of mine", u64::MAX, 15)]);
    assert_eq!(peer.wait(block).await, Some((4, None)));
    peer.send(&[Message::Done(FOLDER), Message::Bye]);
    while peer.next().await.is_some() {}
    peer.connection.outgoing.close();
    serving.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_put_in_the_place_of_a_file_leads_nowhere() {
    let (node, _serving, mut peer) = raw(Role::Owner).await;
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), "content of mine").unwrap();
    peer.offer(Vec::new());
    peer.wait(|m| matches!(m, Message::Index { .. }).then_some(())).await.unwrap();
    node.remove("mine");
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.path(), node.root.join("mine")).unwrap();
    let hash = MediaHash::of(b"content of mine");
    peer.send(&[Message::Request(Request { request: 1, folder: FOLDER, hash, offset: 0, length: 15 })]);
    let block = |m| if let Message::Block { content, .. } = m { Some(content) } else { None };
    assert_eq!(peer.wait(block).await, Some(None), "SYN-034");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_writes_is_ignored() {
    let (node, serving, mut peer) = raw(Role::Reader).await;
    let mut entries = vec![gone(file("mine", b"", X, 9)), file("theirs", b"evil", X, 9)];
    entries.sort_by_key(|entry| entry.id);
    peer.offer(entries);
    peer.send(&[Message::Done(FOLDER), Message::Bye]);
    let mut asked = false;
    while let Some(message) = peer.next().await {
        asked |= matches!(message, Message::Request(_));
    }
    peer.connection.outgoing.close();
    assert!(!asked, "SYN-023");
    serving.ended().await.unwrap();
    assert_eq!(node.tree().keys().collect::<Vec<_>>(), ["mine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_outside_the_session() {
    let other = Id([0xAA; 16]);
    let request = Request { request: 1, folder: other, hash: MediaHash::of(b"x"), offset: 0, length: 1 };
    for message in [
        Message::Index { folder: other, last: true, entries: vec![file("theirs", b"evil", X, 9)] },
        Message::Request(request),
    ] {
        let (node, serving, peer) = raw(Role::Owner).await;
        peer.send(&[Message::Hello(vec![other, FOLDER]), message]);
        refused(&node, &serving, "SYN-004").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_before_hello_and_one_after_its_last() {
    let (node, serving, peer) = raw(Role::Owner).await;
    peer.send(&[Message::Index { folder: FOLDER, last: true, entries: Vec::new() }]);
    refused(&node, &serving, "SYN-004").await;

    let (node, serving, peer) = raw(Role::Owner).await;
    peer.send(&[
        Message::Hello(vec![FOLDER]),
        Message::Index { folder: FOLDER, last: true, entries: Vec::new() },
    ]);
    refused(&node, &serving, "SYN-015").await;

    let (node, serving, peer) = raw(Role::Owner).await;
    peer.offer(Vec::new());
    peer.send(&[Message::Index { folder: FOLDER, last: true, entries: vec![file("late", b"evil", X, 9)] }]);
    refused(&node, &serving, "SYN-015").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_in_the_middle_of_a_block_leaves_nothing() {
    let (node, serving, mut peer) = raw(Role::Owner).await;
    let content = vec![7; 600_000];
    let mut entries = vec![file("large", &content, X, 1), file("small", b"small", X, 2)];
    entries.sort_by_key(|entry| entry.id);
    peer.offer(entries);
    let mut requests = Vec::new();
    while requests.len() < 4 {
        requests.extend(peer.wait(|m| if let Message::Request(r) = m { Some(r) } else { None }).await);
    }
    // Two blocks of three of the large file, the small one, and the start of a block.
    let mut bytes = Vec::new();
    for request in requests.iter().filter(|r| r.offset != 524_288) {
        let of = if request.length == 5 { &b"small"[..] } else { &content[..request.length as usize] };
        Message::Block { request: request.request, content: Some(of.to_vec()) }.write(&mut bytes);
    }
    let last = requests.iter().find(|r| r.offset == 524_288).unwrap();
    Message::Block { request: last.request, content: Some(content[524_288..].to_vec()) }.write(&mut bytes);
    bytes.truncate(bytes.len() - 1);
    peer.send_bytes(bytes);
    peer.connection.outgoing.close();
    assert!(serving.ended().await.is_err());
    // SYN-033: what is complete may stay; of the rest there is no trace.
    let tree = node.tree();
    assert!(!tree.contains_key("large"), "{tree:?}");
    assert!(tree.keys().all(|path| !path.starts_with(TEMP_PREFIX)), "{tree:?}");
    assert_eq!(node.read("small").as_deref(), Some("small"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_under_a_temporary_name_is_not_taken() {
    let (node, serving, mut peer) = raw(Role::Owner).await;
    let path = format!("{TEMP_PREFIX}x");
    peer.offer(vec![file(&path, b"evil", X, 9)]);
    peer.send(&[Message::Done(FOLDER), Message::Bye]);
    while peer.next().await.is_some() {}
    peer.connection.outgoing.close();
    serving.ended().await.unwrap();
    assert_eq!(node.tree().keys().collect::<Vec<_>>(), ["mine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_the_ticket_does_not_map_is_left_out() {
    // SYN-005: both want it, the peer is the same user's, and still.
    let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
    y.write("mine", "1");
    let serving = serve(&y).await;
    let target = common::target(&x.device, &y.device, &[]);
    let verifier = meshproof_client::responder::pair_verifier(
        &y.device,
        common::ISSUER,
        &[common::issuer().key().spki().clone()],
    );
    let grounds = meshproof_client::transport::grounds_of(&verifier.unwrap(), &x.device, &target).unwrap();
    assert!(grounds.grounds.folders.is_empty());
    let connection =
        meshproof_client::transport::dial(&serving.address, x.device.clone(), &target, grounds).await;
    let progress = std::sync::Arc::new(meshproof_client::sync::NoProgress);
    let report = meshproof_client::responder::sync(connection.unwrap(), vec![x.folder.clone()], progress)
        .await
        .unwrap();
    assert!(report.folders.is_empty() && serving.ended().await.unwrap().folders.is_empty());
    assert!(x.tree().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn send_only_and_receive_only() {
    let (x, y) = (Node::with(DEFAULT, X, Direction::SendOnly), Node::new(DEFAULT, Y));
    x.write("from x", "1");
    y.write("from y", "2");
    sync(&x, &y).await;
    assert_eq!(x.tree().keys().collect::<Vec<_>>(), ["from x"]);
    assert_eq!(y.tree().keys().collect::<Vec<_>>(), ["from x", "from y"]);

    let (x, y) = (Node::with(DEFAULT, X, Direction::ReceiveOnly), Node::new(DEFAULT, Y));
    x.write("from x", "1");
    y.write("from y", "2");
    sync(&x, &y).await;
    assert_eq!(x.tree().keys().collect::<Vec<_>>(), ["from x", "from y"]);
    assert_eq!(y.tree().keys().collect::<Vec<_>>(), ["from y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_for_another_device_opens_nothing() {
    let (x, y, z) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y), Node::new(DEFAULT, common::Z));
    let serving = serve(&y).await;
    // The ticket is for Z, the connection reaches Y.
    let refused = connect(&x.device, &z.device, &serving.address, (Role::Owner, Role::Owner)).await;
    assert!(refused.is_err());
    assert!(serving.ended().await.unwrap_err().starts_with("HSK-014"));
}

/// A version of 64 devices that nobody knows, `changes` of each.
fn full(changes: u64) -> Version {
    Version::new((100..164).map(|n| (Id([n; 16]), changes)).collect()).unwrap()
}

/// A whole session with a contributor that has these files and says these things of others.
async fn contribute(node: &Node, contents: &[&[u8]], mut entries: Vec<Entry>) -> Report {
    let serving = serve(node).await;
    let mut peer = RawPeer::connect(X, node, &serving.address, Role::Contributor).await;
    entries.sort_by_key(|entry| entry.id);
    peer.offer(entries);
    peer.send(&[Message::Done(FOLDER), Message::Bye]);
    while let Some(message) = peer.next().await {
        let Message::Request(Request { request, hash, .. }) = message else { continue };
        let content = contents.iter().find(|content| MediaHash::of(content) == hash);
        peer.send(&[Message::Block { request, content: content.map(|content| content.to_vec()) }]);
    }
    peer.connection.outgoing.close();
    serving.ended().await.unwrap()
}

fn reasons(skipped: &[Skipped]) -> Vec<(&str, String)> {
    skipped.iter().map(|skipped| (&*skipped.path, skipped.reason.to_string())).collect()
}

/// What an honest device gets of the folder in a session of its own.
async fn seen_by_another(node: &Node) -> Node {
    let other = Node::new(DEFAULT, common::Z);
    sync(&other, node).await;
    node.folder.index().entries(FOLDER).expect("the index can be read");
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_too_many_devices_is_ignored() {
    let directory = |mut entry: Entry| {
        entry.contents[0].kind = Kind::Directory;
        signed(entry)
    };
    for change in [gone, |entry| entry, directory] {
        let node = Node::new(DEFAULT, Y);
        node.write("mine", "content of mine");
        let evil = change(versioned(file("mine", b"evil", X, 9), full(1)));
        let entries = vec![evil, file("theirs", b"honest", X, 1)];
        let report = contribute(&node, &[b"evil", b"honest"], entries).await;

        let skipped: Vec<_> = report.skipped.into_iter().map(|(_, skipped)| skipped).collect();
        assert!(matches!(&reasons(&skipped)[..], [("mine", why)] if why.contains("SYN-016")), "{skipped:?}");
        assert_eq!(node.entry("mine").unwrap().version.counters().len(), 1);
        let other = seen_by_another(&node).await;
        assert_eq!(other.read("mine").as_deref(), Some("content of mine"));
        assert_eq!(other.read("theirs").as_deref(), Some("honest"));
    }
}

/// A deleted file, and that X deleted it again and again, each time with 254 things that there never were.
fn overdone(name: &str, counters: std::ops::RangeInclusive<u64>) -> Entry {
    let mut entry = gone(file(name, b"evil", X, 1));
    entry.version = Version::new(vec![(X, *counters.end())]).unwrap();
    let deleted: Vec<Deleted> =
        (1..=255).map(|counter| Deleted { part: Part::Content, change: (X, counter) }).collect();
    for counter in counters {
        let stamp = Stamp { lamport: counter, writer: X, counter };
        entry.proofs.push(Proof { deleted: deleted.clone(), ..Proof::new(stamp, None, None) });
    }
    sign_new(entry)
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_fit_and_together_do_not_stop_nobody() {
    let node = Node::new(DEFAULT, Y);
    node.write("mine", "content of mine");
    for (counters, beside) in [(2..=150, "first"), (151..=255, "second")] {
        let entries = vec![overdone("evil", counters), file(beside, b"honest", X, 1)];
        let report = contribute(&node, &[b"honest"], entries).await;
        let skipped: Vec<_> = report.skipped.into_iter().map(|(_, skipped)| skipped).collect();
        let is_told = |why: &String| why.contains("SYN-160") && why.contains(&X.to_string());
        assert!(matches!(&reasons(&skipped)[..], [("evil", why)] if is_told(why)), "{skipped:?}");
    }
    let other = seen_by_another(&node).await;
    assert_eq!(other.tree(), node.tree());
    assert_eq!(other.tree().keys().collect::<Vec<_>>(), ["first", "mine", "second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_no_version_can_say_stays_and_is_reported() {
    let node = Node::new(DEFAULT, Y);
    node.write("mine", "content of mine");
    // Two paths that are new here, and one whose version has all changes of this device and no room for one more.
    let entries = |content: &[u8], n| {
        let at_its_end = Version::new(vec![(X, n), (Y, MAX_COUNTER)]).unwrap();
        vec![
            versioned(file("edited", content, X, n), full(n)),
            versioned(file("gone", content, X, n), full(n)),
            versioned(file("mine", content, X, MAX_COUNTER), at_its_end),
        ]
    };
    contribute(&node, &[b"theirs"], entries(b"theirs", 1)).await;
    assert_eq!(node.read("edited").as_deref(), Some("theirs"));
    let before = ["edited", "gone", "mine"].map(|path| node.entry(path));

    node.write("edited", "a later edit");
    node.write("mine", "a later edit");
    node.write("new", "something new");
    node.remove("gone");
    let found = scan(&node.folder, &NoProgress).unwrap();
    assert!(reasons(&found.skipped).iter().all(|(_, why)| why.contains("SYN-016")), "{:?}", found.skipped);
    assert_eq!(found.skipped.iter().map(|s| &*s.path).collect::<Vec<_>>(), ["edited", "mine", "gone"]);
    assert_eq!((found.changed, found.deleted), (1, 0));
    let after = ["edited", "gone", "mine"].map(|path| node.entry(path));
    assert!(before == after, "as they were");

    // A newer version of the peer does not replace the edits, which it does not know.
    contribute(&node, &[b"newer"], entries(b"newer", 2)).await;
    assert_eq!(node.read("edited").as_deref(), Some("a later edit"));
    assert_eq!(node.read("mine").as_deref(), Some("a later edit"));
    assert_eq!(node.read("gone"), None);

    // All else goes on, also with the Lamport counter at its end.
    let other = seen_by_another(&node).await;
    assert_eq!(other.entry("new").unwrap().lamport(), MAX_COUNTER);
    assert_eq!(other.read("new").as_deref(), Some("something new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_beyond_its_end_is_refused() {
    // No version can be made with such a counter, so another one is patched.
    let (node, serving, peer) = raw(Role::Contributor).await;
    let marked = 0x0000_1122_3344_5566_u64;
    let version = Version::new(vec![(X, 1), (Y, marked)]).unwrap();
    let (mut bytes, entries) = (Vec::new(), vec![signed(Entry { version, ..file("mine", b"evil", X, 9) })]);
    Message::Hello(vec![FOLDER]).write(&mut bytes);
    state().write(&mut bytes);
    Message::Index { folder: FOLDER, last: true, entries }.write(&mut bytes);
    let at = bytes.windows(8).position(|window| window == marked.to_be_bytes()).unwrap();
    bytes[at..at + 8].copy_from_slice(&(1_u64 << 63).to_be_bytes());
    peer.send_bytes(bytes);
    refused(&node, &serving, "SYN-008").await;
    assert_eq!(node.entry("mine").unwrap().version.counters().len(), 1);
    assert_eq!(seen_by_another(&node).await.read("mine").as_deref(), Some("content of mine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_told_what_was_not_sent() {
    let (x, y) = (Node::new(DEFAULT, X), Node::new(DEFAULT, Y));
    y.write("theirs", "1");
    x.write("mine", "2");
    let serving = serve(&y).await;
    let connection =
        connect(&x.device, &y.device, &serving.address, (Role::Reader, Role::Owner)).await.unwrap();
    let progress = std::sync::Arc::new(NoProgress);
    let report =
        meshproof_client::responder::sync(connection, vec![x.folder.clone()], progress).await.unwrap();
    serving.ended().await.unwrap();
    let skipped: Vec<_> = report.skipped.into_iter().map(|(_, skipped)| skipped).collect();
    assert!(matches!(&reasons(&skipped)[..], [("mine", why)] if why.contains("only read")), "{skipped:?}");
    assert_eq!(x.tree().len(), 2);
    assert_eq!(y.tree().keys().collect::<Vec<_>>(), ["theirs"]);
}
