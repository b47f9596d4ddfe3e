//! The cloud as what passes changes on between devices (sync.md section 4.10): it may show what it likes.

use super::{DIRECT, check, enrolled};
use crate::catalog::Part;
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::double::{Double, Seen};
use crate::oracle::crypto::hex;
use crate::oracle::sync::{Entry, Fields, Id, head, id_of};
use crate::target::client::{accepted, rejected};
use crate::target::fixture::PeerFixture;

const TAKEN: &str = "client.cloud.taken";
const PUT: &str = "client.cloud.put";
/// The file that is in the cloud and on no device.
const SHOWN: &str = "shown";

pub(super) fn checks() -> Vec<Check> {
    let shown = |id: &str, reqs: &'static [&'static str], title: &str, show: fn(&Double, Entry, &[u8])| {
        check(Part::Sync, &format!("client.cloud.{id}"), reqs, title, move |context| async move {
            let (double, client) = enrolled(&context).await?;
            double.store_bytes();
            let content = context.random::<300>();
            show(&double, by_third(&content), &content);
            let answer = client.sync().await?;
            demand!(client.content(SHOWN).is_none(), "the client takes what is not to be believed");
            demand_asked(&double).await?;
            rejected("sync", &answer)
        })
        .twin(TAKEN)
    };
    vec![
        check(
            Part::Sync,
            TAKEN,
            &["SYN-085", "STO-051"],
            "the cloud has a change of a device that is not online, and its content",
            taken,
        )
        .twin(DIRECT),
        check(
            Part::Sync,
            PUT,
            &["SYN-084"],
            "the cloud gets the states of what the client changes, then its head",
            put,
        )
        .twin(DIRECT),
        shown(
            "forged",
            &["SYN-086", "SYN-052"],
            "the cloud changes a bit of a signature",
            |double, mut entry, content| {
                let mut proofs = entry.proofs();
                proofs[0].signature[0] ^= 1;
                entry.proofs = Some(proofs);
                double.show_state(entry.id, entry.bytes());
                double.hold(*blake3::hash(content).as_bytes(), content);
            },
        ),
        shown(
            "misplaced",
            &["SYN-086"],
            "the cloud shows a state under the identifier of another entry",
            |double, entry, content| {
                double.show_state(id_of("another"), entry.bytes());
                double.hold(*blake3::hash(content).as_bytes(), content);
            },
        ),
        shown(
            "wrong-bytes",
            &["STO-052"],
            "the cloud gives other bytes than the state says",
            |double, entry, content| {
                let mut other = content.to_vec();
                other[0] ^= 1;
                double.show_state(entry.id, entry.bytes());
                double.hold(*blake3::hash(content).as_bytes(), &other);
            },
        ),
        shown(
            "withheld",
            &["SYN-088"],
            "the cloud shows the head of a device and not its changes",
            |double, _, _| {
                let head = head(PeerFixture::FOLDER, PeerFixture::DEVICE_Z, 7, [7; 32]);
                double.show_head(PeerFixture::DEVICE_Z, head.bytes());
            },
        ),
        check(
            Part::Sync,
            "client.cloud.rolled-back",
            &["SYN-087"],
            "the cloud shows again what the client had before",
            rolled_back,
        )
        .twin(PUT),
    ]
}

/// A file of the user's third device.
fn by_third(content: &[u8]) -> Entry {
    let writer = PeerFixture::DEVICE_Z;
    Entry::file(SHOWN, content).by(writer, 1, &[(writer, 7)])
}

/// Whether the client asked for states at all: else nothing was found out.
async fn demand_asked(double: &Double) -> Verdict {
    let seen = double.seen().await;
    let asked = seen.requests.iter().any(|(line, _)| line.contains("/feeds/states/"));
    demand!(asked, "the client does not ask for the states of the folder");
    Ok(())
}

async fn taken(context: Context) -> Verdict {
    let (double, client) = enrolled(&context).await?;
    double.store_bytes();
    let content = context.random::<300>();
    let entry = by_third(&content);
    double.show_state(entry.id, entry.bytes());
    double.hold(*blake3::hash(&content).as_bytes(), &content);
    let head = head(PeerFixture::FOLDER, PeerFixture::DEVICE_Z, 7, [7; 32]);
    double.show_head(PeerFixture::DEVICE_Z, head.bytes());
    accepted("sync", &client.sync().await?)?;
    demand!(client.content(SHOWN).as_deref() == Some(&content), "the file did not come from the cloud");
    Ok(())
}

async fn put(context: Context) -> Verdict {
    let (double, client) = enrolled(&context).await?;
    double.store_bytes();
    client.write("own", b"what the client wrote")?;
    accepted("sync", &client.sync().await?)?;
    let seen = double.seen().await;
    let (at, entry) = state_of(&seen, "own")?;
    let heads: Vec<usize> = (0..seen.put.len()).filter(|at| seen.put[*at].0.starts_with("heads/")).collect();
    demand!(heads.first().is_some_and(|head| *head > at), "there is no head behind the state");
    let mut fields = Fields(&seen.put[heads[0]].1);
    let Some(head) = fields.head() else {
        return Err(Stop::Fail("what was put as a head is none".to_owned()));
    };
    let counted =
        entry.version.iter().any(|(device, counter)| (*device, *counter) == (head.device, head.counter));
    demand!(counted, "the head counts {}, and the state of the last change does not", head.counter);
    Ok(())
}

/// The last state that the client put of the entry with this name, and where that was.
fn state_of(seen: &Seen, name: &str) -> Result<(usize, Entry), Stop> {
    let parsed = |bytes: &Vec<u8>| Fields(bytes).entry();
    let mut states = seen.put.iter().enumerate().filter(|(_, (what, _))| what.starts_with("entries/"));
    let found =
        states.rfind(|(_, (_, bytes))| parsed(bytes).is_some_and(|entry| entry.name == name.as_bytes()));
    let found = found.and_then(|(at, (what, bytes))| Some((at, what.clone(), parsed(bytes)?)));
    match found {
        Some((at, what, entry)) if what.ends_with(&hex(&entry.id)) => Ok((at, entry)),
        Some((_, what, _)) => Err(Stop::Fail(format!("the state is at {what}, which is not its identifier"))),
        None => Err(Stop::Fail(format!("the cloud did not get the state of {name}"))),
    }
}

async fn rolled_back(context: Context) -> Verdict {
    let (double, client) = enrolled(&context).await?;
    double.store_bytes();
    client.write("own", b"first")?;
    accepted("sync", &client.sync().await?)?;
    let (at, entry) = state_of(&double.seen().await, "own")?;
    let first = double.seen().await.put[at].1.clone();
    client.write("own", b"second, and longer")?;
    accepted("sync", &client.sync().await?)?;
    let newest = version_of(&double, &entry.id).await?;
    double.look_away();
    double.show_state(entry.id, first);
    let answer = client.sync().await?;
    demand!(client.content("own").as_deref() == Some(b"second, and longer"), "the client goes back as well");
    demand!(version_of(&double, &entry.id).await? == newest, "the client does not put its state again");
    rejected("sync", &answer)
}

/// The version of the last state that the client put of this entry.
async fn version_of(double: &Double, entry: &Id) -> Result<Vec<(Id, u64)>, Stop> {
    let (_, state) = state_of(&double.seen().await, "own")?;
    demand!(state.id == *entry, "the entry has another identifier than before");
    Ok(state.version)
}
