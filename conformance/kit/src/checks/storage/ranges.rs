//! storage.md section 4.2.

use super::{check, get, media, put};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::checks::graph::{Folder, success};
use crate::target::cloud::{Reply, call};
use crate::target::world::World;

const HONEST: &str = "sto.range";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(
            HONEST,
            &["STO-008", "STO-012"],
            "ranges of bytes at the start, inside and at the end",
            |context| Box::pin(ranges(context)),
        ),
        check("sto.range-ignored", &["STO-004"], "what is no single range of bytes is ignored", |context| {
            Box::pin(ignored(context))
        })
        .twin(HONEST),
        check("sto.range-behind-the-end", &["STO-009"], "a range behind the last byte", |context| {
            Box::pin(behind(context))
        })
        .twin(HONEST),
        check("sto.if-range", &["STO-010"], "a range of bytes that have another ETag", |context| {
            Box::pin(if_range(context))
        })
        .twin(HONEST),
        check("sto.if-none-match", &["STO-011"], "bytes that the client has", |context| {
            Box::pin(if_none_match(context))
        })
        .twin("sto.roundtrip"),
    ]
}

/// A media in a folder of its own.
struct Stored {
    folder: Folder,
    path: String,
    content: Vec<u8>,
}

impl Stored {
    async fn new(context: &Context) -> Result<Stored, Stop> {
        let world = World::get(context).await?;
        let folder = Folder::new(context, &world, "cloud").await?;
        let content = context.random::<10_000>().to_vec();
        let path = media(&folder.path, &content);
        success(put(context, &path, &folder.tickets, &content).await?, "PUT of media")?;
        Ok(Stored { folder, path, content })
    }

    async fn get(&self, context: &Context, fields: &[(&str, &str)]) -> Result<Reply, Stop> {
        let request = call(context, "GET", &self.path).tickets(&self.folder.tickets);
        fields.iter().fold(request, |request, (name, value)| request.header(name, value)).send().await
    }
}

async fn ranges(context: Context) -> Verdict {
    let stored = Stored::new(&context).await?;
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=0-4999", 0, 5_000),
        ("bytes=1234-5678", 1_234, 5_679),
        ("bytes=9999-", 9_999, 10_000),
        ("bytes=-1", 9_999, 10_000),
        ("bytes=-20000", 0, 10_000),
        ("bytes=9000-20000", 9_000, 10_000),
    ] {
        let reply = stored.get(&context, &[("range", range)]).await?.expect(206)?;
        let told = reply.header("content-range").unwrap_or_default();
        let right = format!("bytes {from}-{}/10000", to - 1);
        demand!(told == right, "{range}: Content-Range is {told:?} and not {right:?}");
        demand!(reply.body == stored.content[from..to], "{range}: these are not the bytes");
    }
    for (method, fields) in [("GET", &[][..]), ("GET", &[("range", "bytes=1-2")]), ("HEAD", &[])] {
        let request = call(&context, method, &stored.path).tickets(&stored.folder.tickets);
        let request = fields.iter().fold(request, |request, (name, value)| request.header(name, value));
        let accepted = request.send().await?.header("accept-ranges").map(str::to_owned);
        demand!(accepted.as_deref() == Some("bytes"), "{method}: Accept-Ranges is {accepted:?}");
    }
    Ok(())
}

async fn ignored(context: Context) -> Verdict {
    let stored = Stored::new(&context).await?;
    for range in ["bytes=5-2", "bytes=x-", "lines=0-1", "bytes=0-1,4-5", "bytes"] {
        let reply = stored.get(&context, &[("range", range)]).await?;
        // Several ranges may be served, in parts.
        if range.contains(',') && reply.status == 206 {
            continue;
        }
        demand!(reply.expect(200)?.body == stored.content, "{range}: these are not all the bytes");
    }
    Ok(())
}

async fn behind(context: Context) -> Verdict {
    let stored = Stored::new(&context).await?;
    for range in ["bytes=10000-", "bytes=10000-10001", "bytes=99999999999999999999-"] {
        let reply = stored.get(&context, &[("range", range)]).await?;
        let told = reply.header("content-range").unwrap_or_default().to_owned();
        reply.expect_problem(416, "range-not-satisfiable")?;
        demand!(told == "bytes */10000", "{range}: Content-Range is {told:?} and not \"bytes */10000\"");
    }
    Ok(())
}

async fn if_range(context: Context) -> Verdict {
    let stored = Stored::new(&context).await?;
    let reply = get(&context, &stored.path, &stored.folder.tickets).await?.expect(200)?;
    let etag = reply.header("etag").unwrap_or_default().to_owned();
    let range = ("range", "bytes=10-19");
    let same = stored.get(&context, &[range, ("if-range", &etag)]).await?.expect(206)?;
    demand!(same.body == stored.content[10..20], "with the ETag in If-Range these are not the bytes");
    for other in ["\"other\"", &format!("W/{etag}"), "Sat, 01 Jan 2000 00:00:00 GMT"] {
        let all = stored.get(&context, &[range, ("if-range", other)]).await?.expect(200)?;
        demand!(all.body == stored.content, "If-Range: {other}: these are not all the bytes");
    }
    Ok(())
}

async fn if_none_match(context: Context) -> Verdict {
    let stored = Stored::new(&context).await?;
    let reply = get(&context, &stored.path, &stored.folder.tickets).await?.expect(200)?;
    let etag = reply.header("etag").unwrap_or_default().to_owned();
    for known in [&etag, &format!("\"x\", {etag}"), "*"] {
        let reply = stored.get(&context, &[("if-none-match", known)]).await?.expect(304)?;
        demand!(reply.body.is_empty(), "304 came with {} bytes", reply.body.len());
    }
    let reply = stored.get(&context, &[("if-none-match", "\"other\"")]).await?.expect(200)?;
    demand!(reply.body == stored.content, "these are not the bytes");
    let wrong = stored.get(&context, &[("if-match", "\"other\"")]).await?;
    wrong.expect_problem(412, "etag-mismatch")
}
