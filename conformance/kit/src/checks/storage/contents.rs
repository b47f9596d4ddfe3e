//! storage.md section 4.4. Nothing has to be filled for it: sizes that entries state stand in the line like bytes.

use serde_json::{Value, json};

use super::{Saver, accounts, check, delete, get, media, put};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::checks::graph::success;
use crate::oracle::crypto::hex;
use crate::target::cloud::{Reply, call};
use crate::target::world::etag;

const HONEST: &str = "sto.content.stored";

pub(super) fn checks() -> Vec<Check> {
    let twin = |id, reqs: &[&str], title, run| check(id, reqs, title, run).twin(HONEST);
    vec![
        check(
            HONEST,
            &["STO-030", "STO-031"],
            "the content of an entry is wanted, and stored when its bytes have come",
            |context| Box::pin(stored(context)),
        ),
        twin(
            "sto.content.p2p-only",
            &["STO-032"],
            "an entry whose content is larger than the quota",
            |context| Box::pin(p2p_only(context)),
        ),
        twin(
            "sto.content.space-is-freed",
            &["STO-033"],
            "space is freed by the deletion of an entry",
            |context| Box::pin(freed(context)),
        ),
        twin("sto.content.line", &["STO-033", "STO-034"], "what is wanted stands in its order", |context| {
            Box::pin(line(context))
        }),
        twin(
            "sto.content.deleted",
            &["STO-035"],
            "the last entry that names a media is deleted",
            |context| Box::pin(deleted(context)),
        ),
        twin("sto.content.replaced", &["STO-035"], "an entry names other content", |context| {
            Box::pin(replaced(context))
        }),
        twin(
            "sto.content.shared",
            &["STO-036"],
            "one of two entries that name a media is deleted",
            |context| Box::pin(shared(context)),
        ),
        twin("sto.content.in-use", &["STO-038"], "DELETE of a media that an entry names", |context| {
            Box::pin(in_use(context))
        }),
        twin("sto.content.to-p2p", &["STO-040", "STO-003"], "a folder becomes P2P-only", |context| {
            Box::pin(to_p2p(context))
        }),
        twin("sto.content.to-cloud", &["STO-041"], "a folder becomes a cloud folder again", |context| {
            Box::pin(to_cloud(context))
        }),
    ]
}

impl Saver {
    /// Writes an entry that names a content of this hash and size. Returns its path.
    async fn write(&self, context: &Context, name: &str, hash: &str, size: u64) -> Result<String, Stop> {
        let (path, mut body) = self.folder.entry(context, &self.world, name);
        (body["hash"], body["size"]) = (json!(hash), json!(size));
        let request = call(context, "PUT", &path).tickets(&self.folder.tickets).json(&body);
        success(request.send().await?, "PUT of an entry")?;
        Ok(path)
    }

    /// The same for bytes of which the kit has none.
    async fn claim(&self, context: &Context, name: &str, size: u64) -> Result<String, Stop> {
        self.write(context, name, &hex(&context.random::<32>()), size).await
    }

    /// The same for bytes that were PUT.
    async fn store(&self, context: &Context, name: &str, content: &[u8]) -> Result<String, Stop> {
        let media = media(&self.folder.path, content);
        success(put(context, &media, &self.folder.tickets, content).await?, "PUT of media")?;
        self.write(context, name, &hash(content), content.len() as u64).await
    }

    /// Fails unless the entry, by itself and in the list, tells this of its content.
    async fn expect(&self, context: &Context, entry: &str, cloud: &str) -> Verdict {
        let node = get(context, entry, &self.folder.tickets).await?.expect(200)?.json()?;
        demand!(node["cloud"] == cloud, "the entry tells cloud: {} and not {cloud}", node["cloud"]);
        let list = format!("{}/feeds/files/entries", self.folder.path);
        let items = self.items(context, &list).await?;
        let item = items.iter().find(|item| item["entry"] == node["entry"]);
        let told = item.map(|item| item["cloud"].clone()).unwrap_or_default();
        demand!(told == cloud, "the list of entries tells cloud: {told} and not {cloud}");
        Ok(())
    }

    async fn delete(&self, context: &Context, entry: &str) -> Verdict {
        let tickets = &self.folder.tickets;
        let tag = etag(context, tickets, entry).await?;
        let request = call(context, "DELETE", entry).tickets(tickets).header("if-match", &tag);
        success(request.send().await?, "DELETE of an entry").map(drop)
    }

    async fn items(&self, context: &Context, path: &str) -> Result<Vec<Value>, Stop> {
        let list = get(context, path, &self.folder.tickets).await?.expect(200)?.json()?;
        list["items"].as_array().cloned().ok_or_else(|| Stop::Fail(format!("{path} has no items")))
    }

    /// The hashes that are wanted.
    async fn wanted(&self, context: &Context) -> Result<Vec<String>, Stop> {
        let items = self.items(context, &format!("{}/wanted", self.folder.path)).await?;
        Ok(items.iter().map(|item| item["hash"].as_str().unwrap_or_default().to_owned()).collect())
    }

    async fn used(&self, context: &Context) -> Result<u64, Stop> {
        Ok(accounts(context, &self.folder.tickets).await?.1)
    }

    async fn change_storage(&self, context: &Context, storage: &str) -> Verdict {
        let (path, tickets) = (&self.folder.path, &self.folder.tickets);
        let tag = etag(context, tickets, path).await?;
        let request = call(context, "PATCH", path).tickets(tickets).header("if-match", &tag);
        let reply: Reply = request.json(&json!({"storage": storage})).send().await?;
        let told = success(reply, "PATCH of a folder's storage")?.text("storage")?;
        demand!(told == storage, "the answer tells the storage {told} and not {storage}");
        Ok(())
    }
}

fn hash(content: &[u8]) -> String {
    hex(blake3::hash(content).as_bytes())
}

async fn stored(context: Context) -> Verdict {
    let saver = Saver::new(&context).await?;
    let content = context.random::<1_000>();
    let entry = saver.write(&context, "a", &hash(&content), 1_000).await?;
    saver.expect(&context, &entry, "wanted").await?;
    let path = media(&saver.folder.path, &content);
    put(&context, &path, &saver.folder.tickets, &content).await?.expect(201)?;
    saver.expect(&context, &entry, "stored").await?;
    // The other way round: first the bytes, then the entry.
    let content = context.random::<1_000>();
    let entry = saver.store(&context, "b", &content).await?;
    saver.expect(&context, &entry, "stored").await?;
    // Whoever writes the entry need not know what became of its content.
    let content = context.random::<1_000>();
    let entry = saver.write(&context, "c", &hash(&content), 1_000).await?;
    let before = etag(&context, &saver.folder.tickets, &entry).await?;
    let path = media(&saver.folder.path, &content);
    put(&context, &path, &saver.folder.tickets, &content).await?.expect(201)?;
    let after = etag(&context, &saver.folder.tickets, &entry).await?;
    demand!(before != after, "the ETag of an entry does not change with `cloud`");
    let request = call(&context, "DELETE", &entry).tickets(&saver.folder.tickets).header("if-match", &before);
    success(request.send().await?, "DELETE with the ETag of before its bytes came").map(drop)
}

async fn p2p_only(context: Context) -> Verdict {
    let saver = Saver::new(&context).await?;
    let fits = saver.claim(&context, "fits", saver.left).await?;
    saver.expect(&context, &fits, "wanted").await?;
    let large = saver.claim(&context, "large", saver.left + 1).await?;
    saver.expect(&context, &large, "p2p-only").await
}

async fn freed(context: Context) -> Verdict {
    let saver = Saver::new(&context).await?;
    let small = saver.store(&context, "small", &context.random::<1_000>()).await?;
    let large = saver.claim(&context, "large", saver.left - 999).await?;
    saver.expect(&context, &large, "p2p-only").await?;
    demand!(saver.wanted(&context).await?.is_empty(), "`wanted` lists what finds no room");
    saver.delete(&context, &small).await?;
    saver.expect(&context, &large, "wanted").await?;
    demand!(saver.wanted(&context).await?.len() == 1, "`wanted` does not list what finds room again");
    Ok(())
}

async fn line(context: Context) -> Verdict {
    let saver = Saver::new(&context).await?;
    let half = saver.left / 2;
    // Written from the largest to the smallest; the line is the other way round.
    let large = saver.claim(&context, "large", half + 2).await?;
    saver.expect(&context, &large, "wanted").await?;
    let middle = saver.claim(&context, "middle", half - 1).await?;
    let small = saver.claim(&context, "small", 1).await?;
    for (entry, cloud) in [(&small, "wanted"), (&middle, "wanted"), (&large, "p2p-only")] {
        saver.expect(&context, entry, cloud).await?;
    }
    let mut twins = [hex(&context.random::<32>()), hex(&context.random::<32>())];
    twins.sort();
    for (name, hash) in [("z", &twins[1]), ("y", &twins[0])] {
        saver.write(&context, name, hash, 2).await?;
    }
    let wanted = saver.wanted(&context).await?;
    let hash_of = async |entry: &str| get(&context, entry, &saver.folder.tickets).await?.text("hash");
    let line = vec![hash_of(&small).await?, twins[0].clone(), twins[1].clone(), hash_of(&middle).await?];
    demand!(wanted == line, "`wanted` lists {wanted:?} and not {line:?}");
    // When the first in the line go, those behind move up.
    saver.delete(&context, &middle).await?;
    saver.expect(&context, &large, "wanted").await
}

async fn deleted(context: Context) -> Verdict {
    let saver = Saver::new(&context).await?;
    let before = saver.used(&context).await?;
    let content = context.random::<1_000>();
    let entry = saver.store(&context, "a", &content).await?;
    let used = saver.used(&context).await?;
    demand!(used == before + 1_000, "{used} bytes are charged where {} are held", before + 1_000);
    saver.delete(&context, &entry).await?;
    let used = saver.used(&context).await?;
    demand!(used == before, "{used} bytes are charged after the deletion, and {before} before");
    let path = media(&saver.folder.path, &content);
    get(&context, &path, &saver.folder.tickets).await?.expect_problem(404, "no-such-media")?;
    // The entry first, then its bytes: no other entry is waited for.
    let entry = saver.write(&context, "b", &hash(&content), 1_000).await?;
    for status in [201, 200] {
        put(&context, &path, &saver.folder.tickets, &content).await?.expect(status)?;
    }
    saver.delete(&context, &entry).await?;
    get(&context, &path, &saver.folder.tickets).await?.expect_problem(404, "no-such-media")
}

async fn replaced(context: Context) -> Verdict {
    let saver = Saver::new(&context).await?;
    let content = context.random::<1_000>();
    let entry = saver.store(&context, "a", &content).await?;
    let tickets = &saver.folder.tickets;
    let tag = etag(&context, tickets, &entry).await?;
    let (_, mut body) = saver.folder.entry(&context, &saver.world, "a");
    (body["hash"], body["size"]) = (json!(hex(&context.random::<32>())), json!(10));
    let request = call(&context, "PUT", &entry).tickets(tickets).header("if-match", &tag).json(&body);
    success(request.send().await?, "PUT of an entry")?;
    get(&context, &media(&saver.folder.path, &content), tickets)
        .await?
        .expect_problem(404, "no-such-media")?;
    saver.expect(&context, &entry, "wanted").await
}

async fn shared(context: Context) -> Verdict {
    let saver = Saver::new(&context).await?;
    let content = context.random::<1_000>();
    let first = saver.store(&context, "a", &content).await?;
    let second = saver.write(&context, "b", &hash(&content), 1_000).await?;
    saver.delete(&context, &first).await?;
    saver.expect(&context, &second, "stored").await?;
    let path = media(&saver.folder.path, &content);
    let reply = get(&context, &path, &saver.folder.tickets).await?.expect(200)?;
    demand!(reply.body == content, "GET gives other bytes than were PUT");
    Ok(())
}

async fn in_use(context: Context) -> Verdict {
    let saver = Saver::new(&context).await?;
    let (unnamed, named) = (context.random::<1_000>(), context.random::<1_000>());
    let tickets = &saver.folder.tickets;
    let path = media(&saver.folder.path, &unnamed);
    success(put(&context, &path, tickets, &unnamed).await?, "PUT of media")?;
    delete(&context, &path, tickets).await?.expect(204)?;
    get(&context, &path, tickets).await?.expect_problem(404, "no-such-media")?;
    saver.store(&context, "a", &named).await?;
    let path = media(&saver.folder.path, &named);
    delete(&context, &path, tickets).await?.expect_problem(409, "media-in-use")?;
    get(&context, &path, tickets).await?.expect(200).map(drop)
}

async fn to_p2p(context: Context) -> Verdict {
    let saver = Saver::new(&context).await?;
    let before = saver.used(&context).await?;
    let content = context.random::<1_000>();
    let stored = saver.store(&context, "a", &content).await?;
    let wanted = saver.claim(&context, "b", 1_000).await?;
    saver.change_storage(&context, "p2p").await?;
    for entry in [&stored, &wanted] {
        saver.expect(&context, entry, "p2p-only").await?;
    }
    let used = saver.used(&context).await?;
    demand!(used == before, "{used} bytes are charged after the change, and {before} before");
    let (path, tickets) = (media(&saver.folder.path, &content), &saver.folder.tickets);
    get(&context, &path, tickets).await?.expect_problem(404, "no-such-media")?;
    put(&context, &path, tickets, &content).await?.expect_problem(409, "folder-is-p2p")
}

async fn to_cloud(context: Context) -> Verdict {
    let saver = Saver::new(&context).await?;
    let content = context.random::<1_000>();
    let entry = saver.store(&context, "a", &content).await?;
    saver.change_storage(&context, "p2p").await?;
    let later = saver.claim(&context, "b", 500).await?;
    saver.expect(&context, &later, "p2p-only").await?;
    saver.change_storage(&context, "cloud").await?;
    for entry in [&entry, &later] {
        saver.expect(&context, entry, "wanted").await?;
    }
    let path = media(&saver.folder.path, &content);
    put(&context, &path, &saver.folder.tickets, &content).await?.expect(201)?;
    saver.expect(&context, &entry, "stored").await
}
