//! graph.md section 4.16: encrypted folders. What is sealed, and how, is for devices to judge; the cloud keeps it.

use serde_json::{Value, json};

use super::{Folder, check, success};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::crypto::{base64, from_hex, hex, spki};
use crate::oracle::storage::{Id, Record, Sealed};
use crate::target::cloud::{Reply, call};
use crate::target::world::{Device, World, etag, signing_key_beside};

const KEPT: &str = "gph.key.kept";
const SEALED: &str = "gph.key.sealed-entry";
const STATE: &str = "gph.key.sealed-state";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(KEPT, &["GPH-200", "GPH-206"], "a key record is written and read back", kept),
        check("gph.key.stranger", &["GPH-201"], "a key record that another key signed", |context| {
            refused_first(context, Fault::Signature)
        })
        .twin(KEPT),
        check("gph.key.of-another", &["GPH-201"], "a key record of another device", |context| {
            refused_first(context, Fault::Writer)
        })
        .twin(KEPT),
        check("gph.key.by-person", &["GPH-201"], "a key record from a person", |context| {
            refused_first(context, Fault::Person)
        })
        .twin(KEPT),
        check("gph.key.first-is-2", &["GPH-202"], "a first key record of generation 2", |context| {
            refused_first(context, Fault::Generation)
        })
        .twin(KEPT),
        check("gph.key.skipped", &["GPH-202"], "generation 3 after 1", |context| refused_next(context, 3, 0))
            .twin(KEPT),
        check("gph.key.other-check", &["GPH-202"], "another key for a generation", |context| {
            refused_next(context, 1, 1)
        })
        .twin(KEPT),
        check("gph.key.back", &["GPH-202"], "generation 1 after 2", back).twin(KEPT),
        check(SEALED, &[], "a sealed entry in an encrypted folder", |context| async move {
            entry(&context, |_| ()).await?.expect(201).map(drop)
        }),
        check(
            "gph.key.named-entry",
            &["GPH-203"],
            "an entry with a path in an encrypted folder",
            |context| async move { plain(entry(&context, |body| body["path"] = "a name".into()).await?) },
        )
        .twin(SEALED),
        check(
            "gph.key.bare-entry",
            &["GPH-203"],
            "an entry with nothing sealed in an encrypted folder",
            |context| async move { plain(entry(&context, |body| body["properties"] = json!({})).await?) },
        )
        .twin(SEALED),
        check(
            "gph.key.other-property",
            &["GPH-203"],
            "an entry with another property in an encrypted folder",
            |context| async move {
                plain(entry(&context, |body| body["properties"]["note"] = "a word".into()).await?)
            },
        )
        .twin(SEALED),
        check(STATE, &[], "a sealed state in an encrypted folder", |context| async move {
            state(&context, true).await?.expect(201).map(drop)
        }),
        check(
            "gph.key.plain-state",
            &["GPH-208"],
            "a state that is not sealed in an encrypted folder",
            |context| async move { plain(state(&context, false).await?) },
        )
        .twin(STATE),
        check(
            "gph.key.forgotten",
            &["GPH-204"],
            "what was readable before a folder was encrypted",
            forgotten,
        )
        .twin(KEPT),
        check("gph.key.contributor", &["GPH-205"], "a folder that a contributor would encrypt", contributor)
            .twin(KEPT),
        check("gph.mapping.key", &["GPH-207"], "the key of a device in its mapping", mapping),
    ]
}

/// A folder on Alice's laptop, and how its device speaks of it.
pub(crate) struct Encrypted {
    pub world: World,
    pub folder: Folder,
    pub id: Id,
    /// The laptop's, for the folder.
    pub tickets: Vec<String>,
}

impl Encrypted {
    /// The key of generation 1.
    pub(crate) const KEY: [u8; 32] = [1; 32];

    /// The folder, which is not encrypted yet.
    pub(crate) async fn new(context: &Context) -> Result<Self, Stop> {
        let world = World::get(context).await?;
        let folder = Folder::new(context, &world, "cloud").await?;
        let id = folder.path.rsplit('/').next().and_then(from_hex).and_then(|id| id.try_into().ok());
        let Some(id) = id else {
            return Err(Stop::Fail("the path of a folder ends in no identifier".to_owned()));
        };
        let tickets = tickets(context, &folder, &world.laptop).await?;
        Ok(Self { world, folder, id, tickets })
    }

    /// The same with a key record of generation 1.
    pub(crate) async fn with_key(context: &Context) -> Result<Self, Stop> {
        let one = Self::new(context).await?;
        one.encrypt(context).await?;
        Ok(one)
    }

    /// The first key record.
    pub(crate) async fn encrypt(&self, context: &Context) -> Verdict {
        put(context, self, &self.record(&keys(1, 0)), None).await?.expect(201).map(drop)
    }

    fn record(&self, keys: &[[u8; 32]]) -> Vec<u8> {
        let laptop = &self.world.laptop;
        record(self.id, keys, laptop, laptop)
    }
}

/// The keys of so many generations; `other` makes them others.
fn keys(generations: u8, other: u8) -> Vec<[u8; 32]> {
    let [first, ..] = Encrypted::KEY;
    (0..generations).map(|later| [first + 16 * other + later; 32]).collect()
}

fn record(folder: Id, keys: &[[u8; 32]], writer: &Device, signer: &Device) -> Vec<u8> {
    let id = from_hex(&writer.id).and_then(|id| id.try_into().ok()).unwrap_or_default();
    let mut record = Record::new(folder, keys, id);
    if let Some(key) = keys.last() {
        record.wrap(folder, id, &writer.key.to_public_key(), key, &[5; 32]);
    }
    record.signed(folder, &signing_key_beside(&spki(&signer.key.to_public_key()))).bytes()
}

/// A device's tickets with one for the folder, which is younger.
async fn tickets(context: &Context, folder: &Folder, device: &Device) -> Result<Vec<String>, Stop> {
    let mut tickets = device.grant.tickets.clone();
    let ticket = call(context, "POST", &format!("{}/ticket", folder.path)).tickets(&tickets).send().await?;
    tickets.push(ticket.expect(200)?.text("ticket")?);
    Ok(tickets)
}

async fn put(context: &Context, of: &Encrypted, record: &[u8], tag: Option<&str>) -> Result<Reply, Stop> {
    put_by(context, of, &of.tickets, record, tag).await
}

async fn put_by(
    context: &Context,
    of: &Encrypted,
    tickets: &[String],
    record: &[u8],
    tag: Option<&str>,
) -> Result<Reply, Stop> {
    let request = call(context, "PUT", &format!("{}/key", of.folder.path)).tickets(tickets);
    let request = request.json(&json!({"record": base64(record)}));
    match tag {
        Some(tag) => request.header("if-match", tag).send().await,
        None => request.send().await,
    }
}

async fn get(context: &Context, of: &Encrypted, path: &str) -> Result<Reply, Stop> {
    call(context, "GET", path).tickets(&of.folder.tickets).send().await
}

async fn kept(context: Context) -> Verdict {
    let one = Encrypted::new(&context).await?;
    let path = format!("{}/key", one.folder.path);
    get(&context, &one, &path).await?.expect_problem(404, "no-such-node")?;
    let encrypted = get(&context, &one, &one.folder.path).await?.expect(200)?.json()?["encrypted"].clone();
    demand!(encrypted == false, "`encrypted` of a folder without a key record is {encrypted}");
    let mut tag: Option<String> = None;
    // A new one, the same for others, the next.
    for keys in [keys(1, 0), keys(1, 0), keys(2, 0)] {
        let record = one.record(&keys);
        let reply = put(&context, &one, &record, tag.as_deref()).await?;
        success(reply, "PUT of a key record")?;
        let reply = get(&context, &one, &path).await?.expect(200)?;
        let got = reply.json()?["record"].clone();
        demand!(got == base64(&record).as_str(), "GET gives another key record than was PUT");
        tag = reply.header("etag").map(str::to_owned);
    }
    let encrypted = get(&context, &one, &one.folder.path).await?.expect(200)?.json()?["encrypted"].clone();
    demand!(encrypted == true, "`encrypted` of a folder with a key record is {encrypted}");
    Ok(())
}

#[derive(Clone, Copy)]
enum Fault {
    Signature,
    Writer,
    Person,
    Generation,
}

async fn refused_first(context: Context, fault: Fault) -> Verdict {
    let one = Encrypted::new(&context).await?;
    let World { laptop, phone, .. } = &one.world;
    let unsigned = (422, "folder-key-unsigned");
    let (record, tickets, (status, error)) = match fault {
        Fault::Signature => (record(one.id, &keys(1, 0), laptop, phone), &one.tickets, unsigned),
        Fault::Writer => (record(one.id, &keys(1, 0), phone, phone), &one.tickets, unsigned),
        Fault::Person => (one.record(&keys(1, 0)), &one.folder.tickets, unsigned),
        Fault::Generation => (one.record(&keys(2, 0)), &one.tickets, (409, "folder-key-generation")),
    };
    put_by(&context, &one, tickets, &record, None).await?.expect_problem(status, error)?;
    get(&context, &one, &format!("{}/key", one.folder.path)).await?.expect_problem(404, "no-such-node")
}

async fn refused_next(context: Context, generations: u8, other: u8) -> Verdict {
    let one = Encrypted::with_key(&context).await?;
    refuse(&context, &one, &keys(generations, other)).await
}

async fn back(context: Context) -> Verdict {
    let one = Encrypted::with_key(&context).await?;
    let tag = etag(&context, &one.folder.tickets, &format!("{}/key", one.folder.path)).await?;
    put(&context, &one, &one.record(&keys(2, 0)), Some(&tag)).await?.expect(200)?;
    refuse(&context, &one, &keys(1, 0)).await
}

async fn refuse(context: &Context, one: &Encrypted, keys: &[[u8; 32]]) -> Verdict {
    let tag = etag(context, &one.folder.tickets, &format!("{}/key", one.folder.path)).await?;
    let reply = put(context, one, &one.record(keys), Some(&tag)).await?;
    reply.expect_problem(409, "folder-key-generation")
}

/// Writes a sealed entry that was changed so into an encrypted folder.
async fn entry(context: &Context, change: fn(&mut Value)) -> Result<Reply, Stop> {
    let one = Encrypted::with_key(context).await?;
    let (path, mut body) = one.folder.entry(context, &one.world, "");
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let object = from_hex(&name).and_then(|id| id.try_into().ok()).unwrap_or_default();
    let sealed = Sealed::entry(one.id, (1, Encrypted::KEY), object, context.random(), b"an entry");
    body["path"] = name.into();
    body["properties"] = json!({"sealed": base64(&sealed.bytes())});
    change(&mut body);
    call(context, "PUT", &path).tickets(&one.tickets).json(&body).send().await
}

/// Writes a state into an encrypted folder.
async fn state(context: &Context, is_sealed: bool) -> Result<Reply, Stop> {
    let one = Encrypted::with_key(context).await?;
    let object: Id = context.random();
    let entry = Sealed::entry(one.id, (1, Encrypted::KEY), object, context.random(), b"a state");
    let bytes = if is_sealed {
        Sealed { kind: 3, ..entry }.bytes()
    } else {
        b"plain bytes of a state, of some length".to_vec()
    };
    let path = format!("{}/feeds/states/entries/{}", one.folder.path, hex(&object));
    call(context, "PUT", &path).tickets(&one.tickets).json(&json!({"state": base64(&bytes)})).send().await
}

fn plain(reply: Reply) -> Verdict {
    reply.expect_problem(409, "folder-encrypted")
}

async fn forgotten(context: Context) -> Verdict {
    let one = Encrypted::new(&context).await?;
    let name = format!("secret-{}", hex(&context.random::<8>()));
    let (path, body) = one.folder.entry(&context, &one.world, &name);
    let reply = call(&context, "PUT", &path).tickets(&one.folder.tickets).json(&body).send().await?;
    success(reply, "PUT of an entry")?;
    let delta = format!("{}/feeds/files/sync", one.folder.path);
    let watermark = get(&context, &one, &delta).await?.expect(200)?.text("watermark")?;
    let state = format!("{}/feeds/states/entries/{}", one.folder.path, "5".repeat(32));
    let body = json!({"state": base64(name.as_bytes())});
    let reply = call(&context, "PUT", &state).tickets(&one.folder.tickets).json(&body).send().await?;
    success(reply, "PUT of a state")?;
    put(&context, &one, &one.record(&keys(1, 0)), None).await?.expect(201)?;
    for path in [&path, &state] {
        get(&context, &one, path).await?.expect_problem(404, "no-such-node")?;
    }
    let old = format!("{delta}?since={watermark}");
    get(&context, &one, &old).await?.expect_problem(410, "watermark-unknown")?;
    for path in
        [delta, format!("{}/feeds/files/entries", one.folder.path), format!("{}/news", one.folder.path)]
    {
        let reply = get(&context, &one, &path).await?.expect(200)?;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        demand!(!text.contains(&name), "{path} still has the name of an entry from before");
    }
    Ok(())
}

async fn contributor(context: Context) -> Verdict {
    let one = Encrypted::new(&context).await?;
    let World { bob, tablet, .. } = &one.world;
    one.folder.invite(&context, bob, "contributor").await?;
    let tickets = tickets(&context, &one.folder, tablet).await?;
    let record = record(one.id, &keys(1, 0), tablet, tablet);
    put_by(&context, &one, &tickets, &record, None).await?.expect_problem(403, "not-authorised")
}

async fn mapping(context: Context) -> Verdict {
    let one = Encrypted::new(&context).await?;
    let laptop = &one.world.laptop;
    let path = format!("{}/mappings/{}", one.folder.path, laptop.id);
    let reply = call(&context, "PUT", &path).tickets(&one.folder.tickets).json(&json!({})).send().await?;
    let key = success(reply, "the mapping of a folder")?.json()?["spki"].clone();
    let own = base64(&spki(&laptop.key.to_public_key()));
    demand!(key == own.as_str(), "the mapping of a device has the key {key}");
    Ok(())
}
