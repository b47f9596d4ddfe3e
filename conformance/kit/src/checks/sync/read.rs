//! sync.md sections 4.1 and 4.2: what closes the channel.

use super::message::{self, Entry, Message, State, kind, message};
use super::session::{Session, bring, look};
use super::{HONEST, check, name};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::sync::head;
use crate::oracle::ticket::uri;
use crate::target::fixture::PeerFixture;

pub(super) fn checks() -> Vec<Check> {
    let mut checks =
        vec![check(HONEST, &[], "a directory in an index appears in the device's own index", honest)];
    checks.extend(messages());
    checks.extend(states());
    checks.extend(entries());
    checks.extend(paths());
    checks.extend([
        check(
            "syn.state.index-first",
            &["SYN-015"],
            "an INDEX before the STATE of its folder",
            |context| async move {
                let mut session = Session::greet(&context, |_| {}).await?;
                session.send("INDEX", &message::index(FOLDER, true, &[])).await?;
                session.expect_close().await
            },
        ),
        check(
            "syn.folder.not-in-ticket",
            &["SYN-005"],
            "a ticket that maps no folder opens none",
            not_in_ticket,
        ),
        check(
            "syn.order.across-messages",
            &["SYN-006"],
            "an index of two messages whose identifiers fall",
            fallen_order,
        ),
    ]);
    checks
}

const FOLDER: [u8; 16] = PeerFixture::FOLDER;

async fn honest(context: Context) -> Verdict {
    let path = name(&context);
    bring(&context, vec![Entry::directory(&path)], &[]).await?;
    let entry = look(&context, &path).await?;
    demand!(entry.is_some(), "the index of the device does not have {path}");
    demand!(
        entry.as_ref().is_some_and(|entry| entry.contents[0].kind == 2),
        "{path} is no directory in the index of the device"
    );
    Ok(())
}

/// A check that says HELLO and STATE, sends bytes, and demands that the channel ends.
fn closes(
    id: &str,
    reqs: &[&str],
    title: &str,
    bytes: impl Fn(&Context) -> Vec<u8> + Send + Sync + 'static,
) -> Check {
    check(id, reqs, title, move |context| {
        let bytes = bytes(&context);
        async move {
            let mut session = Session::open(&context).await?;
            session.send("what must not be taken", &bytes).await?;
            session.expect_close().await
        }
    })
}

fn messages() -> Vec<Check> {
    vec![
        closes("syn.type.0", &["SYN-001"], "a message of type 0", |_| message(0, &[])),
        closes("syn.type.9", &["SYN-001"], "a message of type 9", |_| message(9, &[])),
        closes("syn.type.255", &["SYN-001"], "a message of type 255", |_| message(255, &[])),
        closes("syn.length.too-large", &["SYN-002"], "the header of a message of 1,048,577 bytes", |_| {
            vec![kind::INDEX, 0, 0x10, 0, 1]
        }),
        closes("syn.length.huge", &["SYN-002"], "the header of a message of 4 GiB", |_| {
            vec![kind::INDEX, 255, 255, 255, 255]
        }),
        closes("syn.state.hello-twice", &["SYN-015"], "a second HELLO", |_| message::hello(&[FOLDER])),
        closes("syn.state.block-unasked", &["SYN-015"], "a BLOCK that answers no REQUEST", |_| {
            message::block(7, 0, b"unasked")
        }),
        closes("syn.state.state-twice", &["SYN-015"], "a second STATE", |_| {
            message::state(&State::different(FOLDER))
        }),
        closes(
            "syn.state.index-after-last",
            &["SYN-015"],
            "an INDEX after the last of its folder",
            |context| {
                let [first, second] = two(context);
                [message::index(FOLDER, true, &[first]), message::index(FOLDER, true, &[second])].concat()
            },
        ),
        closes("syn.fields.done-short", &["SYN-003"], "DONE with a folder of 15 bytes", |_| {
            message(kind::DONE, &[1; 15])
        }),
        closes("syn.fields.bye-long", &["SYN-003"], "BYE with a byte", |_| message(kind::BYE, &[0])),
        closes(
            "syn.fields.index-count",
            &["SYN-003"],
            "INDEX with one entry fewer than it says",
            |context| {
                let mut bytes = message::index(FOLDER, true, &[Entry::directory(&name(context))]);
                // Type and len, folder, last, and the last byte of the count.
                bytes[5 + 16 + 1 + 3] = 2;
                bytes
            },
        ),
        closes(
            "syn.fields.index-trailing",
            &["SYN-003"],
            "INDEX with a byte behind its entries",
            |context| {
                let mut body = message::index(FOLDER, true, &[Entry::directory(&name(context))]).split_off(5);
                body.push(0);
                message(kind::INDEX, &body)
            },
        ),
        closes("syn.folder.state-outside", &["SYN-004"], "STATE for a folder outside the session", |_| {
            message::state(&State::different(PeerFixture::OTHER_FOLDER))
        }),
        closes("syn.folder.index-outside", &["SYN-004"], "INDEX for a folder outside the session", |_| {
            message::index(PeerFixture::OTHER_FOLDER, true, &[])
        }),
        closes(
            "syn.folder.request-outside",
            &["SYN-004"],
            "REQUEST for a folder outside the session",
            |_| message::request(1, PeerFixture::OTHER_FOLDER, [1; 32], 0, 10),
        ),
        closes("syn.request.too-long", &["SYN-009"], "REQUEST for 262,145 bytes", |_| {
            message::request(1, FOLDER, [1; 32], 0, 262_145)
        }),
    ]
}

/// What is wrong with the first STATE.
fn states() -> Vec<Check> {
    let (x, z) = (PeerFixture::DEVICE_X, PeerFixture::DEVICE_Z);
    let context = |id: &str, req: &str, title: &str, context: Vec<([u8; 16], u64)>| {
        let heads =
            context.into_iter().map(|(device, counter)| head(FOLDER, device, counter, [1; 32])).collect();
        let state = message::state(&State { heads, ..State::different(FOLDER) });
        closes_before_state(id, req, title, state)
    };
    let mut short = message::state(&State::different(FOLDER)).split_off(5);
    short.truncate(short.len() - 16);
    vec![
        closes_before_state(
            "syn.state.short",
            "SYN-003",
            "STATE with 255 digests",
            message(kind::STATE, &short),
        ),
        context("syn.context.falling", "SYN-028", "a context whose devices fall", vec![(z, 1), (x, 1)]),
        context("syn.context.zero", "SYN-028", "a context with a counter of 0", vec![(x, 0)]),
        context("syn.context.too-large", "SYN-028", "a context with a counter of 2^48", vec![(x, 1 << 48)]),
    ]
}

/// As [`closes`], right after HELLO.
fn closes_before_state(id: &str, req: &str, title: &str, bytes: Vec<u8>) -> Check {
    check(id, &[req], title, move |context| {
        let bytes = bytes.clone();
        async move {
            let mut session = Session::greet(&context, |_| {}).await?;
            session.send("what must not be taken", &bytes).await?;
            session.expect_close().await
        }
    })
}

fn entries() -> Vec<Check> {
    let entry = |id: &str, req: &str, title: &str, change: fn(&mut Entry)| {
        closes(id, &[req], title, move |context| {
            let mut entry = Entry::directory(&name(context));
            change(&mut entry);
            message::index(FOLDER, true, &[entry])
        })
    };
    let (x, z) = (PeerFixture::DEVICE_X, PeerFixture::DEVICE_Z);
    debug_assert!(x < z, "the checks below need X before Z");
    vec![
        closes("syn.order.equal", &["SYN-006"], "an index with one entry twice", |context| {
            let entry = Entry::directory(&name(context));
            message::index(FOLDER, true, &[entry.clone(), entry])
        }),
        closes("syn.order.falling", &["SYN-006"], "an index whose identifiers fall", |context| {
            let [low, high] = two(context);
            message::index(FOLDER, true, &[high, low])
        }),
        entry("syn.entry.kind-0", "SYN-007", "a content of kind 0", |entry| entry.contents[0].kind = 0),
        entry("syn.entry.kind-4", "SYN-007", "a content of kind 4", |entry| entry.contents[0].kind = 4),
        entry("syn.entry.directory-size", "SYN-007", "a directory with a size", |entry| {
            entry.contents[0].size = 1;
        }),
        entry("syn.entry.directory-hash", "SYN-007", "a directory with a hash", |entry| {
            entry.contents[0].hash = [1; 32];
        }),
        entry("syn.entry.link-empty", "SYN-007", "a symbolic link to nothing", |entry| {
            entry.contents[0].kind = 3;
        }),
        entry("syn.entry.link-long", "SYN-007", "a symbolic link of 4,097 bytes", |entry| {
            (entry.contents[0].kind, entry.contents[0].size) = (3, 4_097);
        }),
        entry("syn.entry.gone", "SYN-003", "an entry that is gone more than once", |entry| entry.gone = 2),
        entry("syn.identity.root", "SYN-024", "an entry with the identifier of the folder", |entry| {
            entry.id = [0; 16];
        }),
        entry("syn.identity.own-parent", "SYN-024", "an entry that is in itself", |entry| {
            entry.parent = entry.id;
        }),
        entry("syn.stamp.zero", "SYN-025", "a place whose stamp has the counter 0", |entry| {
            entry.place.counter = 0;
        }),
        entry("syn.stamp.beyond", "SYN-025", "a content whose stamp is beyond the version", |entry| {
            entry.contents[0].stamp.counter = 2;
        }),
        entry("syn.stamp.stranger", "SYN-025", "a place by a device that is not in the version", |entry| {
            entry.place.writer = PeerFixture::DEVICE_Z;
        }),
        entry("syn.contents.none", "SYN-026", "an entry without contents", |entry| entry.contents.clear()),
        entry("syn.contents.repeated", "SYN-026", "an entry with one content twice", |entry| {
            entry.contents.push(entry.contents[0].clone());
        }),
        entry("syn.contents.17", "SYN-026", "an entry with 17 contents", |entry| {
            entry.version = vec![(PeerFixture::DEVICE_X, 17)];
            entry.contents = (1..=17)
                .map(|counter| {
                    let mut content = entry.contents[0].clone();
                    (content.stamp.counter, content.kind, content.size) = (counter, 1, counter);
                    content
                })
                .collect();
        }),
        entry("syn.version.empty", "SYN-008", "an empty version vector", |entry| entry.version.clear()),
        entry("syn.version.65", "SYN-008", "a version vector of 65 devices", |entry| {
            entry.version =
                (1..=64).map(|number| ([number; 16], 1)).chain([(entry.place.writer, 1)]).collect();
            entry.version.sort_unstable();
        }),
        entry("syn.version.repeated", "SYN-008", "a version vector with one device twice", |entry| {
            entry.version = vec![(PeerFixture::DEVICE_X, 1), (PeerFixture::DEVICE_X, 2)];
        }),
        entry("syn.version.falling", "SYN-008", "a version vector whose devices fall", |entry| {
            entry.version = vec![(PeerFixture::DEVICE_Z, 1), (PeerFixture::DEVICE_X, 1)];
        }),
        entry("syn.version.zero", "SYN-008", "a version vector with a counter of 0", |entry| {
            entry.version.push((PeerFixture::DEVICE_Z, 0));
        }),
        entry("syn.version.too-large", "SYN-008", "a version vector with a counter of 2^48", |entry| {
            entry.version = vec![(PeerFixture::DEVICE_X, 1 << 48)];
        }),
        entry("syn.entry.lamport", "SYN-007", "an entry with a lamport of 2^48", |entry| {
            entry.place.lamport = 1 << 48;
        }),
    ]
}

/// Names that are refused: name of the check, requirement, name with that of the check's own in it (`~`).
const NAMES: &[(&str, &str, &str)] = &[
    ("empty", "SYN-010", ""),
    ("absolute", "SYN-010", "/~"),
    ("dot", "SYN-010", "."),
    ("dot-dot", "SYN-010", ".."),
    ("leads-out", "SYN-010", "../~"),
    ("of-two", "SYN-010", "~/a"),
    ("trailing-slash", "SYN-010", "~/"),
    ("backslash", "SYN-012", "~\\a"),
    ("colon", "SYN-012", "~:a"),
    ("star", "SYN-012", "~*"),
    ("question", "SYN-012", "~?"),
    ("quote", "SYN-012", "~\""),
    ("less", "SYN-012", "~<"),
    ("greater", "SYN-012", "~>"),
    ("pipe", "SYN-012", "~|"),
    ("nul", "SYN-012", "~\0a"),
    ("newline", "SYN-012", "~\na"),
    ("delete", "SYN-012", "~\u{7f}a"),
    ("decomposed", "SYN-013", "~e\u{301}"),
    ("angstrom", "SYN-013", "~\u{212b}"),
    ("trailing-dot", "SYN-014", "~."),
    ("trailing-space", "SYN-014", "~ "),
    ("con", "SYN-014", "CON"),
    ("con-lower", "SYN-014", "con"),
    ("con-extension", "SYN-014", "Con.~"),
    ("com1", "SYN-014", "COM1"),
    ("lpt9", "SYN-014", "lpt9.tar.gz"),
];

/// Paths that are taken: the valid twins of the names above.
const GOOD_PATHS: &[(&str, &str)] = &[
    ("dots", "~/...a"),
    ("composed", "~\u{e9}"),
    ("com0", "~/COM0"),
    ("console", "~/console"),
    ("space-inside", "~ a"),
    ("hidden", "~/.hidden"),
    ("emoji", "~\u{1f4be}"),
];

fn paths() -> Vec<Check> {
    let bad = NAMES.iter().map(|&(id, req, own)| {
        let title = format!("an entry with the name {:?}", own.replace('~', "x"));
        closes(&format!("syn.path.{id}"), &[req], &title, move |context| {
            let mut entry = Entry::directory(&name(context));
            entry.name = own.replace('~', &name(context)).into_bytes();
            message::index(FOLDER, true, &[entry])
        })
    });
    let good = GOOD_PATHS.iter().map(|&(id, path)| {
        let title = format!("an entry with the path {:?} is taken", path.replace('~', "x"));
        check(&format!("syn.path-good.{id}"), &[], &title, move |context| async move {
            let base = name(&context);
            let path = path.replace('~', &base);
            let mut entries = vec![Entry::directory(&path)];
            if let Some((parent, _)) = path.split_once('/') {
                entries.push(Entry::directory(parent));
            }
            bring(&context, entries, &[]).await?;
            demand!(look(&context, &path).await?.is_some(), "the index of the device does not have {path:?}");
            Ok(())
        })
    });
    let long = [
        closes("syn.path.component-256", &["SYN-011"], "a name of 256 bytes", |context| {
            message::index(FOLDER, true, &[Entry::directory(&format!("{:x<256}", name(context)))])
        }),
        closes("syn.path.not-utf8", &["SYN-013"], "a name that is not UTF-8", |context| {
            let mut entry = Entry::directory(&name(context));
            entry.name.push(0xff);
            message::index(FOLDER, true, &[entry])
        }),
    ];
    bad.chain(good).chain(long).collect()
}

async fn fallen_order(context: Context) -> Verdict {
    let [low, high] = two(&context);
    let mut session = Session::open(&context).await?;
    let first = message::index(FOLDER, false, &[high]);
    let second = message::index(FOLDER, true, &[low]);
    session.send("two INDEX messages", &[first, second].concat()).await?;
    session.expect_close().await
}

/// Two directories, ascending.
fn two(context: &Context) -> [Entry; 2] {
    let mut two = [1, 2].map(|n| Entry::directory(&format!("{}-{n}", name(context))));
    two.sort_by_key(|entry| entry.id);
    two
}

/// Both devices name the folder, but the ticket rests on the user alone and maps nothing.
async fn not_in_ticket(context: Context) -> Verdict {
    let mut session =
        Session::open_with(&context, |ticket| ticket.attributes.retain(|(name, _)| name != uri::MAPPING))
            .await?;
    // The device has nothing to sync, so it may say BYE; it may not say what it has, and our STATE is outside the session.
    // How it ends is for other checks; that it never says anything more shows nothing.
    while let Some(message) = session.read_or_end().await? {
        match message {
            Message::Index(..) | Message::State(_) => {
                return Err(Stop::Fail(
                    "the device said what it has of a folder that the ticket does not map".to_owned(),
                ));
            }
            Message::Bye => break,
            _ => {}
        }
    }
    Ok(())
}
