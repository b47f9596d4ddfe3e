//! storage.md, against a cloud.
//!
//! | file | section |
//! |---|---|
//! | this | 4.1, media |
//! | [`ranges`] | 4.2, parts and conditions |
//! | [`uploads`] | 4.3, uploads that can be resumed |
//! | [`contents`] | 4.4, what the cloud holds, wants and leaves to devices |
//! | [`sealed`] | 4.8, bytes of encrypted folders |

mod contents;
mod ranges;
mod sealed;
mod uploads;

use crate::catalog::Part;
use crate::check::{Check, Context, Role, Stop, Verdict, demand};
use crate::checks::graph::{Folder, success};
use crate::oracle::crypto::hex;
use crate::target::cloud::{Reply, call};
use crate::target::world::{World, new_user};

const HONEST: &str = "sto.roundtrip";

/// The checks of this part.
pub fn checks() -> Vec<Check> {
    [media_checks(), ranges::checks(), uploads::checks(), contents::checks(), sealed::checks()].concat()
}

fn check(id: &str, reqs: &[&str], title: &str, run: fn(Context) -> Running) -> Check {
    Check::new(Role::Cloud, Part::Storage, id, reqs, title, run)
}

fn media_checks() -> Vec<Check> {
    let check = |id: &str, reqs: &[&str], title: &str, run: fn(Context) -> Running| {
        let check = check(id, reqs, title, run);
        if id == HONEST { check } else { check.twin(HONEST) }
    };
    vec![
        check(HONEST, &["STO-004"], "bytes are stored and read back", |context| Box::pin(roundtrip(context))),
        check("sto.empty", &["STO-004"], "no bytes are stored and read back", |context| {
            Box::pin(empty(context))
        }),
        check("sto.hash-mismatch", &["STO-001"], "bytes under a hash that is not theirs", |context| {
            Box::pin(mismatch(context))
        }),
        check("sto.quota", &["STO-002"], "one byte more than the quota", |context| Box::pin(quota(context))),
        check("sto.p2p", &["STO-003"], "bytes for a folder that is P2P-only", |context| {
            Box::pin(p2p(context))
        }),
        check("sto.other-folder", &["STO-005"], "a hash that another folder holds", |context| {
            Box::pin(other_folder(context))
        }),
        check("sto.stranger", &["STO-007"], "bytes of a folder that is somebody else's", |context| {
            Box::pin(stranger(context))
        }),
        check("sto.reader", &["STO-007"], "bytes stored, uploaded and deleted by a reader", |context| {
            Box::pin(reader(context))
        }),
    ]
}

type Running = std::pin::Pin<Box<dyn Future<Output = Verdict> + Send>>;

fn media(folder: &str, content: &[u8]) -> String {
    format!("{folder}/media/{}", hex(blake3::hash(content).as_bytes()))
}

async fn put(context: &Context, path: &str, tickets: &[String], content: &[u8]) -> Result<Reply, Stop> {
    let request =
        call(context, "PUT", path).tickets(tickets).header("content-type", "application/octet-stream");
    request.body(content.to_vec()).send().await
}

async fn get(context: &Context, path: &str, tickets: &[String]) -> Result<Reply, Stop> {
    call(context, "GET", path).tickets(tickets).send().await
}

async fn delete(context: &Context, path: &str, tickets: &[String]) -> Result<Reply, Stop> {
    call(context, "DELETE", path).tickets(tickets).send().await
}

async fn roundtrip(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let content: Vec<u8> = context.random::<100_000>().to_vec();
    let path = media(&folder.path, &content);
    put(&context, &path, &folder.tickets, &content).await?.expect(201)?;
    let reply = get(&context, &path, &folder.tickets).await?.expect(200)?;
    demand!(reply.body == content, "GET gives other bytes than were PUT");
    let hash = path.rsplit('/').next().unwrap_or_default();
    let etag = reply.header("etag").unwrap_or_default();
    demand!(etag == format!("\"{hash}\""), "the ETag is {etag} and not the hash in quotes");
    let head = call(&context, "HEAD", &path).tickets(&folder.tickets).send().await?.expect(200)?;
    demand!(head.body.is_empty(), "HEAD came with {} bytes", head.body.len());
    put(&context, &path, &folder.tickets, &content).await?.expect(200).map(|_| ())
}

async fn empty(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let path = media(&folder.path, b"");
    put(&context, &path, &folder.tickets, b"").await?.expect(201)?;
    let reply = get(&context, &path, &folder.tickets).await?.expect(200)?;
    demand!(reply.body.is_empty(), "GET gives {} bytes where none were PUT", reply.body.len());
    Ok(())
}

async fn mismatch(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let content = context.random::<1000>();
    let mut wrong = content;
    wrong[999] ^= 1;
    let path = media(&folder.path, &content);
    put(&context, &path, &folder.tickets, &wrong).await?.expect_problem(422, "media-hash-mismatch")?;
    for path in [path, media(&folder.path, &wrong)] {
        get(&context, &path, &folder.tickets).await?.expect_problem(404, "no-such-media")?;
    }
    Ok(())
}

/// Uploads this much at most to reach a quota.
const AFFORDABLE: u64 = 64 << 20;

/// A person of their own with a folder, for checks of the quota: the others need theirs.
struct Saver {
    world: World,
    folder: Folder,
    /// What may still be charged.
    left: u64,
}

impl Saver {
    async fn new(context: &Context) -> Result<Saver, Stop> {
        let mut world = World::get(context).await?;
        world.alice = new_user(context, "quota").await?;
        let folder = Folder::new(context, &world, "cloud").await?;
        let (quota, used) = accounts(context, &folder.tickets).await?;
        Ok(Saver { world, folder, left: quota.saturating_sub(used) })
    }

    /// As many bytes as are left, if the kit can send so many.
    fn bytes(&self, context: &Context) -> Result<Vec<u8>, Stop> {
        if self.left > AFFORDABLE {
            let left = self.left;
            return Err(Stop::NotApplicable(format!("{left} bytes of quota are more than the kit uploads")));
        }
        let block = context.random::<4096>();
        Ok(block.iter().copied().cycle().take(usize::try_from(self.left)?).collect())
    }
}

/// `quota` and `used` of the mesh.
async fn accounts(context: &Context, tickets: &[String]) -> Result<(u64, u64), Stop> {
    let mesh = get(context, "/mesh", tickets).await?.expect(200)?.json()?;
    let both = mesh["quota"].as_u64().zip(mesh["used"].as_u64());
    both.ok_or_else(|| Stop::Fail("the mesh has no `quota` and `used`".to_owned()))
}

async fn quota(context: Context) -> Verdict {
    let saver = Saver::new(&context).await?;
    let (folder, content) = (&saver.folder, saver.bytes(&context)?);
    put(&context, &media(&folder.path, &content), &folder.tickets, &content).await?.expect(201)?;
    let more = b"x";
    let path = media(&folder.path, more);
    put(&context, &path, &folder.tickets, more).await?.expect_problem(507, "quota-exceeded")?;
    get(&context, &path, &folder.tickets).await?.expect_problem(404, "no-such-media")
}

async fn p2p(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "p2p").await?;
    let path = media(&folder.path, b"private");
    put(&context, &path, &folder.tickets, b"private").await?.expect_problem(409, "folder-is-p2p")
}

async fn other_folder(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let (one, two) =
        (Folder::new(&context, &world, "cloud").await?, Folder::new(&context, &world, "cloud").await?);
    let content = context.random::<500>();
    success(put(&context, &media(&one.path, &content), &one.tickets, &content).await?, "PUT of media")?;
    get(&context, &media(&two.path, &content), &two.tickets).await?.expect_problem(404, "no-such-media")
}

async fn stranger(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let content = context.random::<500>();
    let path = media(&folder.path, &content);
    success(put(&context, &path, &folder.tickets, &content).await?, "PUT of media")?;
    let bob = &world.bob.grant.tickets;
    get(&context, &path, bob).await?.expect_problem(403, "not-authorised")?;
    put(&context, &path, bob, &content).await?.expect_problem(403, "not-authorised")
}

async fn reader(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let bob = folder.invite(&context, &world.bob, "reader").await?;
    let content = context.random::<500>();
    let path = media(&folder.path, &content);
    put(&context, &path, &bob, &content).await?.expect_problem(403, "not-authorised")?;
    uploads::post(&context, &folder.path, &bob, &content).await?.expect_problem(403, "not-authorised")?;
    success(put(&context, &path, &folder.tickets, &content).await?, "PUT of media")?;
    delete(&context, &path, &bob).await?.expect_problem(403, "not-authorised")
}
