//! sync.md sections 4.1 and 4.2: what closes the channel.

use super::message::{self, Entry, kind, message};
use super::session::{Session, bring, look};
use super::{HONEST, check, name};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::ticket::uri;
use crate::target::fixture::PeerFixture;

pub(super) fn checks() -> Vec<Check> {
    let mut checks =
        vec![check(HONEST, &[], "a directory in an index appears in the device's own index", honest)];
    checks.extend(messages());
    checks.extend(entries());
    checks.extend(paths());
    checks.extend([
        check(
            "syn.folder.not-in-ticket",
            &["SYN-005"],
            "a ticket that maps no folder opens none",
            not_in_ticket,
        ),
        check(
            "syn.order.across-messages",
            &["SYN-006"],
            "an index of two messages whose paths fall",
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
        entry.as_ref().is_some_and(|entry| entry.kind == 2),
        "{path} is no directory in the index of the device"
    );
    Ok(())
}

/// A check that says HELLO, sends bytes, and demands that the channel ends.
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
        closes(
            "syn.state.index-after-last",
            &["SYN-015"],
            "an INDEX after the last of its folder",
            |context| {
                let first =
                    message::index(FOLDER, true, &[Entry::directory(&format!("{}-1", name(context)))]);
                let second =
                    message::index(FOLDER, true, &[Entry::directory(&format!("{}-2", name(context)))]);
                [first, second].concat()
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
        closes("syn.order.equal", &["SYN-006"], "an index with one path twice", |context| {
            let entry = Entry::directory(&name(context));
            message::index(FOLDER, true, &[entry.clone(), entry])
        }),
        closes("syn.order.falling", &["SYN-006"], "an index whose paths fall", |context| {
            let (a, b) = (format!("{}-a", name(context)), format!("{}-b", name(context)));
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            message::index(FOLDER, true, &[Entry::directory(&high), Entry::directory(&low)])
        }),
        entry("syn.entry.kind-3", "SYN-007", "an entry of kind 3", |entry| entry.kind = 3),
        entry("syn.entry.directory-size", "SYN-007", "a directory with a size", |entry| entry.size = 1),
        entry("syn.entry.directory-hash", "SYN-007", "a directory with a hash", |entry| entry.hash = [1; 32]),
        entry("syn.entry.tombstone-size", "SYN-007", "a tombstone with a size", |entry| {
            entry.kind = 0;
            entry.size = 1;
        }),
        entry("syn.version.empty", "SYN-008", "an empty version vector", |entry| entry.version.clear()),
        entry("syn.version.65", "SYN-008", "a version vector of 65 devices", |entry| {
            entry.version = (1..=65).map(|number| ([number; 16], 1)).collect();
        }),
        entry("syn.version.repeated", "SYN-008", "a version vector with one device twice", |entry| {
            entry.version = vec![(PeerFixture::DEVICE_X, 1), (PeerFixture::DEVICE_X, 2)];
        }),
        entry("syn.version.falling", "SYN-008", "a version vector whose devices fall", |entry| {
            entry.version = vec![(PeerFixture::DEVICE_Z, 1), (PeerFixture::DEVICE_X, 1)];
        }),
        entry("syn.version.zero", "SYN-008", "a version vector with a counter of 0", |entry| {
            entry.version = vec![(PeerFixture::DEVICE_X, 0)];
        }),
        entry("syn.version.too-large", "SYN-008", "a version vector with a counter of 2^48", |entry| {
            entry.version = vec![(PeerFixture::DEVICE_X, 1 << 48)];
        }),
        entry("syn.entry.lamport", "SYN-007", "an entry with a lamport of 2^48", |entry| {
            entry.lamport = 1 << 48;
        }),
    ]
}

/// Paths that are refused: name of the check, requirement, path behind the check's own directory name (`~`).
const PATHS: &[(&str, &str, &str)] = &[
    ("empty", "SYN-010", ""),
    ("absolute", "SYN-010", "/~"),
    ("dot", "SYN-010", "~/./a"),
    ("dot-dot", "SYN-010", "~/../../a"),
    ("dot-dot-first", "SYN-010", "../~"),
    ("empty-component", "SYN-010", "~//a"),
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
    ("inner-trailing-dot", "SYN-014", "~./a"),
    ("con", "SYN-014", "~/CON"),
    ("con-lower", "SYN-014", "~/con"),
    ("con-extension", "SYN-014", "~/Con.txt"),
    ("com1", "SYN-014", "~/COM1"),
    ("lpt9", "SYN-014", "~/lpt9.tar.gz"),
];

/// Paths that are taken: the valid twins of those above.
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
    let bad = PATHS.iter().map(|&(id, req, path)| {
        let title = format!("an entry with the path {:?}", path.replace('~', "x"));
        closes(&format!("syn.path.{id}"), &[req], &title, move |context| {
            message::index(FOLDER, true, &[Entry::directory(&path.replace('~', &name(context)))])
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
        closes("syn.path.4097", &["SYN-010"], "a path of 4,097 bytes", |context| {
            let base = name(context);
            let path: String = std::iter::repeat_n(base, 400).collect::<Vec<_>>().join("/");
            message::index(FOLDER, true, &[Entry::directory(&path[..4097])])
        }),
        closes("syn.path.component-256", &["SYN-011"], "a path with a component of 256 bytes", |context| {
            message::index(FOLDER, true, &[Entry::directory(&format!("{:x<256}", name(context)))])
        }),
        closes("syn.path.not-utf8", &["SYN-013"], "a path that is not UTF-8", |context| {
            let mut entry = Entry::directory(&name(context));
            entry.path.push(0xff);
            message::index(FOLDER, true, &[entry])
        }),
    ];
    bad.chain(good).chain(long).collect()
}

async fn fallen_order(context: Context) -> Verdict {
    let base = name(&context);
    let mut session = Session::open(&context).await?;
    let first = message::index(FOLDER, false, &[Entry::directory(&format!("{base}-b"))]);
    let second = message::index(FOLDER, true, &[Entry::directory(&format!("{base}-a"))]);
    session.send("two INDEX messages", &[first, second].concat()).await?;
    session.expect_close().await
}

/// Both devices name the folder, but the ticket rests on the user alone and maps nothing.
async fn not_in_ticket(context: Context) -> Verdict {
    let mut session =
        Session::open_with(&context, |ticket| ticket.attributes.retain(|(name, _)| name != uri::MAPPING))
            .await?;
    // The device has nothing to sync, so it may say BYE; it may not show an index, and ours is outside the session.
    let index = message::index(FOLDER, true, &[]);
    session.send("INDEX of a folder that is not mapped", &index).await?;
    loop {
        match session.read().await {
            Ok(message::Message::Index(..)) => {
                return Err(Stop::Fail(
                    "the device sent the index of a folder that the ticket does not map".to_owned(),
                ));
            }
            Ok(_) => {}
            // How it ends is for other checks.
            Err(_) => return Ok(()),
        }
    }
}
