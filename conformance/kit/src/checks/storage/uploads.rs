//! storage.md section 4.3.

use serde_json::json;

use super::{Saver, check, delete, get, media, put};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::checks::graph::{Folder, success};
use crate::oracle::crypto::hex;
use crate::target::cloud::{Reply, call};
use crate::target::world::World;

const HONEST: &str = "sto.upload";

pub(super) fn checks() -> Vec<Check> {
    let negative = |id, reqs: &[&str], title, run| check(id, reqs, title, run).twin(HONEST);
    vec![
        check(
            HONEST,
            &["STO-014", "STO-016", "STO-019"],
            "bytes come in three requests and are read back",
            |context| Box::pin(honest(context)),
        ),
        negative("sto.upload.offset", &["STO-015"], "bytes that are not those that come next", |context| {
            Box::pin(wrong_offset(context))
        }),
        negative("sto.upload.too-long", &["STO-017"], "one byte more than was announced", |context| {
            Box::pin(too_long(context))
        }),
        negative("sto.upload.hash", &["STO-018"], "other bytes than were announced", |context| {
            Box::pin(wrong_hash(context))
        }),
        negative("sto.upload.quota", &["STO-020"], "unfinished uploads count, to the byte", |context| {
            Box::pin(counts(context))
        }),
        negative(
            "sto.upload.too-large",
            &["STO-021"],
            "an upload that the quota has no room for",
            |context| Box::pin(too_large(context)),
        ),
        negative("sto.upload.too-many", &["STO-022"], "the seventeenth unfinished upload", |context| {
            Box::pin(too_many(context))
        }),
        negative("sto.upload.cancel", &["STO-023", "STO-024"], "an upload that was deleted", |context| {
            Box::pin(cancel(context))
        }),
        negative("sto.upload.other-folder", &["STO-024"], "an upload into another folder", |context| {
            Box::pin(other_folder(context))
        }),
        negative("sto.upload.p2p", &["STO-028"], "an upload into a folder that is P2P-only", |context| {
            Box::pin(p2p(context))
        }),
        negative("sto.upload.stranger", &["STO-007"], "an upload into somebody else's folder", |context| {
            Box::pin(stranger(context))
        }),
    ]
}

/// Begins an upload of this content.
pub(super) async fn post(
    context: &Context,
    folder: &str,
    tickets: &[String],
    content: &[u8],
) -> Result<Reply, Stop> {
    announce(context, folder, tickets, &hex(blake3::hash(content).as_bytes()), content.len() as u64).await
}

pub(super) async fn append(
    context: &Context,
    upload: &str,
    tickets: &[String],
    offset: usize,
    bytes: &[u8],
) -> Result<Reply, Stop> {
    let request = call(context, "PATCH", upload).tickets(tickets);
    let request = request.header("content-type", "application/partial-upload");
    request.header("upload-offset", &offset.to_string()).body(bytes.to_vec()).send().await
}

async fn announce(
    context: &Context,
    folder: &str,
    tickets: &[String],
    hash: &str,
    length: u64,
) -> Result<Reply, Stop> {
    let body = json!({"hash": hash, "length": length});
    call(context, "POST", &format!("{folder}/uploads")).tickets(tickets).json(&body).send().await
}

/// An upload that has begun.
struct Upload {
    folder: Folder,
    path: String,
    content: Vec<u8>,
}

impl Upload {
    async fn new(context: &Context) -> Result<Upload, Stop> {
        let world = World::get(context).await?;
        let folder = Folder::new(context, &world, "cloud").await?;
        let content = context.random::<30_000>().to_vec();
        Upload::of(context, folder, content).await
    }

    async fn of(context: &Context, folder: Folder, content: Vec<u8>) -> Result<Upload, Stop> {
        let reply = post(context, &folder.path, &folder.tickets, &content).await?.expect(201)?;
        let Some(path) = reply.header("location").map(str::to_owned) else {
            return Err(Stop::Fail("the reply to the creation of an upload has no Location".to_owned()));
        };
        let told = reply.header("upload-offset");
        demand!(told == Some("0"), "a new upload has the Upload-Offset {told:?}");
        Ok(Upload { folder, path, content })
    }

    async fn patch(&self, context: &Context, offset: usize, bytes: &[u8]) -> Result<Reply, Stop> {
        append(context, &self.path, &self.folder.tickets, offset, bytes).await
    }

    /// Whether HEAD tells this offset.
    async fn is_at(&self, context: &Context, offset: usize) -> Verdict {
        let reply =
            call(context, "HEAD", &self.path).tickets(&self.folder.tickets).send().await?.expect(200)?;
        at(&reply, offset)
    }
}

fn at(reply: &Reply, offset: usize) -> Verdict {
    let told = reply.header("upload-offset").unwrap_or_default();
    demand!(told == offset.to_string(), "Upload-Offset is {told:?} where {offset} bytes were acknowledged");
    Ok(())
}

async fn honest(context: Context) -> Verdict {
    let upload = Upload::new(&context).await?;
    for (from, to) in [(0, 12_345), (12_345, 12_346)] {
        let reply = upload.patch(&context, from, &upload.content[from..to]).await?;
        at(&success(reply, "PATCH of an upload")?, to)?;
        upload.is_at(&context, to).await?;
    }
    let media = media(&upload.folder.path, &upload.content);
    get(&context, &media, &upload.folder.tickets).await?.expect_problem(404, "no-such-media")?;
    upload.patch(&context, 12_346, &upload.content[12_346..]).await?.expect(201)?;
    let reply = get(&context, &media, &upload.folder.tickets).await?.expect(200)?;
    demand!(reply.body == upload.content, "GET gives other bytes than were uploaded");
    get(&context, &upload.path, &upload.folder.tickets).await?.expect_problem(404, "no-such-upload")?;
    // A folder that holds the media has nothing new.
    let again = Upload::of(&context, upload.folder, upload.content).await?;
    again.patch(&context, 0, &again.content).await?.expect(200).map(drop)
}

async fn wrong_offset(context: Context) -> Verdict {
    let upload = Upload::new(&context).await?;
    success(upload.patch(&context, 0, &upload.content[..1_000]).await?, "PATCH of an upload")?;
    for offset in [0, 999, 1_001] {
        let reply = upload.patch(&context, offset, &upload.content[offset..offset + 10]).await?;
        let told = reply.header("upload-offset").map(str::to_owned);
        reply.expect_problem(409, "upload-offset-mismatch")?;
        demand!(told.as_deref() == Some("1000"), "the refusal has the Upload-Offset {told:?} and not 1000");
        upload.is_at(&context, 1_000).await?;
    }
    let request = call(&context, "PATCH", &upload.path).tickets(&upload.folder.tickets);
    request.body(upload.content[1_000..].to_vec()).send().await?.expect_problem(409, "upload-offset-mismatch")
}

async fn too_long(context: Context) -> Verdict {
    let upload = Upload::new(&context).await?;
    let more = [&upload.content[..], b"x"].concat();
    upload.patch(&context, 0, &more).await?.expect_problem(422, "upload-too-long")?;
    let media = media(&upload.folder.path, &more);
    get(&context, &media, &upload.folder.tickets).await?.expect_problem(404, "no-such-media")
}

async fn wrong_hash(context: Context) -> Verdict {
    let upload = Upload::new(&context).await?;
    let mut wrong = upload.content.clone();
    wrong[29_999] ^= 1;
    success(upload.patch(&context, 0, &wrong[..20_000]).await?, "PATCH of an upload")?;
    upload.patch(&context, 20_000, &wrong[20_000..]).await?.expect_problem(422, "media-hash-mismatch")?;
    for content in [&upload.content, &wrong] {
        let media = media(&upload.folder.path, content);
        get(&context, &media, &upload.folder.tickets).await?.expect_problem(404, "no-such-media")?;
    }
    get(&context, &upload.path, &upload.folder.tickets).await?.expect_problem(404, "no-such-upload")
}

async fn counts(context: Context) -> Verdict {
    let saver = Saver::new(&context).await?;
    let content = saver.bytes(&context)?;
    let upload = Upload::of(&context, saver.folder, content).await?;
    let (tickets, most) = (&upload.folder.tickets, upload.content.len() - 100);
    success(upload.patch(&context, 0, &upload.content[..most]).await?, "PATCH of an upload")?;
    let [small, large] = [&context.random::<100>()[..], &context.random::<101>()[..]];
    let refused = media(&upload.folder.path, large);
    put(&context, &refused, tickets, large).await?.expect_problem(507, "quota-exceeded")?;
    put(&context, &media(&upload.folder.path, small), tickets, small).await?.expect(201)?;
    let last = upload.patch(&context, most, &upload.content[most..]).await?;
    last.expect_problem(507, "quota-exceeded")?;
    upload.is_at(&context, most).await?;
    success(delete(&context, &upload.path, tickets).await?, "DELETE of an upload")?;
    put(&context, &refused, tickets, large).await?.expect(201).map(drop)
}

async fn too_large(context: Context) -> Verdict {
    let Saver { folder, left, .. } = Saver::new(&context).await?;
    let hash = hex(&context.random::<32>());
    let (path, tickets) = (&folder.path, &folder.tickets);
    announce(&context, path, tickets, &hash, left).await?.expect(201)?;
    announce(&context, path, tickets, &hash, left + 1).await?.expect_problem(507, "quota-exceeded")
}

async fn too_many(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    for number in 0..16_u8 {
        post(&context, &folder.path, &folder.tickets, &[number]).await?.expect(201)?;
    }
    let more = post(&context, &folder.path, &folder.tickets, b"more").await?;
    more.expect_problem(409, "too-many-uploads")
}

async fn cancel(context: Context) -> Verdict {
    let upload = Upload::new(&context).await?;
    success(upload.patch(&context, 0, &upload.content[..1_000]).await?, "PATCH of an upload")?;
    let tickets = &upload.folder.tickets;
    delete(&context, &upload.path, tickets).await?.expect(204)?;
    get(&context, &upload.path, tickets).await?.expect_problem(404, "no-such-upload")?;
    let reply = upload.patch(&context, 1_000, &upload.content[1_000..]).await?;
    reply.expect_problem(404, "no-such-upload")?;
    delete(&context, &upload.path, tickets).await?.expect_problem(404, "no-such-upload")
}

async fn other_folder(context: Context) -> Verdict {
    let upload = Upload::new(&context).await?;
    let world = World::get(&context).await?;
    let other = Folder::new(&context, &world, "cloud").await?;
    let id = upload.path.rsplit('/').next().unwrap_or_default();
    let path = format!("{}/uploads/{id}", other.path);
    get(&context, &path, &other.tickets).await?.expect_problem(404, "no-such-upload")
}

async fn p2p(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "p2p").await?;
    let reply = post(&context, &folder.path, &folder.tickets, b"private").await?;
    reply.expect_problem(409, "folder-is-p2p")
}

async fn stranger(context: Context) -> Verdict {
    let upload = Upload::new(&context).await?;
    let world = World::get(&context).await?;
    let bob = &world.bob.grant.tickets;
    post(&context, &upload.folder.path, bob, b"x").await?.expect_problem(403, "not-authorised")?;
    get(&context, &upload.path, bob).await?.expect_problem(403, "not-authorised")?;
    let request = call(&context, "PATCH", &upload.path).tickets(bob).header("upload-offset", "0");
    request.body(b"x".to_vec()).send().await?.expect_problem(403, "not-authorised")?;
    delete(&context, &upload.path, bob).await?.expect_problem(403, "not-authorised")
}
