//! graph.md section 4.5.

use serde_json::json;

use super::{Folder, check, success};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::target::cloud::call;
use crate::target::world::{World, etag};

const HONEST: &str = "gph.entry.put";

pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![
        check(
            HONEST,
            &["GPH-011"],
            "an entry is written, read back, and changes its ETag with its content",
            put,
        ),
        check(
            "gph.entry.attributes",
            &["GPH-006"],
            "an entry keeps the time and properties that were written; others than texts, or too many, are refused",
            attributes,
        )
        .twin(HONEST),
        check(
            "gph.entry.if-match",
            &["GPH-012", "GPH-013"],
            "an existing entry without or with a stale ETag",
            if_match,
        )
        .twin(HONEST),
        check(
            "gph.entry.deleted",
            &["GPH-051", "GPH-052", "GPH-053"],
            "a deleted entry is gone and listed as deleted",
            deleted,
        )
        .twin(HONEST),
        check("gph.entry.media", &["GPH-103"], "the bytes of an entry are found by its link", media).twin(HONEST),
    ];
    for (id, path) in PATHS {
        let title = format!("an entry with the path {path:?}");
        let check = check(&format!("gph.entry.path-{id}"), &["GPH-050"], &title, move |context| async move {
            let world = World::get(&context).await?;
            let folder = Folder::new(&context, &world, "cloud").await?;
            let (entry, body) = folder.entry(&context, &world, path);
            let reply = call(&context, "PUT", &entry).tickets(&folder.tickets).json(&body).send().await?;
            reply.expect_problem(422, "path-unacceptable")
        });
        checks.push(check.twin(HONEST));
    }
    checks
}

/// A path for each rule of sync.md section 4.2.
const PATHS: [(&str, &str); 7] = [
    ("empty", ""),
    ("absolute", "/etc/passwd"),
    ("dot-dot", "a/../../b"),
    ("backslash", "a\\b"),
    ("decomposed", "e\u{301}"),
    ("reserved", "a/nul.txt"),
    ("trailing-dot", "a."),
];

async fn put(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let (path, mut body) = folder.entry(&context, &world, "a/hello.txt");
    success(
        call(&context, "PUT", &path).tickets(&folder.tickets).json(&body).send().await?,
        "PUT of an entry",
    )?;
    let read = call(&context, "GET", &path).tickets(&folder.tickets).send().await?.expect(200)?.json()?;
    for member in ["path", "kind", "size", "hash", "version"] {
        demand!(
            read[member] == body[member],
            "{member} is {} and was written as {}",
            read[member],
            body[member]
        );
    }
    let before = etag(&context, &folder.tickets, &path).await?;
    body["version"][&world.laptop.id] = json!(2);
    body["size"] = json!(6);
    let request = call(&context, "PUT", &path).tickets(&folder.tickets).header("if-match", &before);
    success(request.json(&body).send().await?, "PUT of an existing entry with its ETag")?;
    let after = etag(&context, &folder.tickets, &path).await?;
    demand!(before != after, "the ETag of an entry does not change with it");
    Ok(())
}

async fn attributes(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let (path, mut body) = folder.entry(&context, &world, "hello.txt");
    for refused in [json!({"colour": 1}), json!("red"), json!({"colour": "x".repeat(65_531)})] {
        body["properties"] = refused;
        let reply = call(&context, "PUT", &path).tickets(&folder.tickets).json(&body).send().await?;
        reply.expect_problem(422, "body-unacceptable")?;
    }
    body["properties"] = json!({"colour": "x".repeat(65_530)});
    body["modified"] = json!(1_200_000_000);
    let reply = call(&context, "PUT", &path).tickets(&folder.tickets).json(&body).send().await?;
    success(reply, "PUT of an entry with a time and properties")?;
    let read = call(&context, "GET", &path).tickets(&folder.tickets).send().await?.expect(200)?.json()?;
    for member in ["modified", "properties"] {
        demand!(read[member] == body[member], "{member} is not what was written");
    }
    Ok(())
}

async fn media(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let (path, body) = folder.entry(&context, &world, "hello.txt");
    let written = call(&context, "PUT", &path).tickets(&folder.tickets).json(&body).send().await?;
    let written = success(written, "PUT of an entry")?.json()?;
    let Some(link) = written["links"]["media"].as_str() else {
        return Err(Stop::Fail("the entry of a file has no links.media".to_owned()));
    };
    let send = |method| call(&context, method, link).tickets(&folder.tickets);
    success(send("PUT").body(b"hello".to_vec()).send().await?, "PUT of what links.media names")?;
    let bytes = send("GET").send().await?.expect(200)?.body;
    demand!(bytes == b"hello", "links.media names {} other bytes", bytes.len());
    let read = call(&context, "GET", &path).tickets(&folder.tickets).send().await?.expect(200)?.json()?;
    demand!(read["links"]["media"] == link, "links.media is {} after it was {link}", read["links"]["media"]);

    let (path, body) = folder.entry(&context, &world, "directory");
    let body = json!({"path": body["path"], "kind": "directory", "version": body["version"]});
    let directory = call(&context, "PUT", &path).tickets(&folder.tickets).json(&body).send().await?;
    let directory = success(directory, "PUT of a directory")?.json()?;
    demand!(directory["links"].get("media").is_none(), "a directory has links.media");
    Ok(())
}

async fn if_match(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let (path, body) = folder.entry(&context, &world, "hello.txt");
    success(
        call(&context, "PUT", &path).tickets(&folder.tickets).json(&body).send().await?,
        "PUT of an entry",
    )?;
    for method in ["PUT", "DELETE"] {
        for (if_match, status, error) in
            [(None, 428, "if-match-required"), (Some("\"no-such-etag\""), 412, "etag-mismatch")]
        {
            let mut request = call(&context, method, &path).tickets(&folder.tickets);
            if method == "PUT" {
                request = request.json(&body);
            }
            if let Some(etag) = if_match {
                request = request.header("if-match", etag);
            }
            request.send().await?.expect_problem(status, error)?;
        }
    }
    Ok(())
}

async fn deleted(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let (path, body) = folder.entry(&context, &world, "hello.txt");
    success(
        call(&context, "PUT", &path).tickets(&folder.tickets).json(&body).send().await?,
        "PUT of an entry",
    )?;
    let current = etag(&context, &folder.tickets, &path).await?;
    let request = call(&context, "DELETE", &path).tickets(&folder.tickets).header("if-match", &current);
    success(request.send().await?, "DELETE of an entry")?;
    call(&context, "GET", &path)
        .tickets(&folder.tickets)
        .send()
        .await?
        .expect_problem(410, "entry-deleted")?;
    let list = format!("{}/feeds/files/entries", folder.path);
    let list = call(&context, "GET", &list).tickets(&folder.tickets).send().await?.expect(200)?.json()?;
    let id = path.rsplit('/').next().unwrap_or_default();
    let item = list["items"].as_array().and_then(|items| items.iter().find(|item| item["entry"] == id));
    let Some(item) = item.and_then(|item| item.as_object()) else {
        return Err(Stop::Fail("the deleted entry is not listed".to_owned()));
    };
    demand!(
        item.get("deleted") == Some(&json!(true)),
        "the deleted entry is listed without `\"deleted\": true`"
    );
    let writer = item["version"].get(&world.alice.id).and_then(serde_json::Value::as_u64);
    demand!(
        writer == Some(1),
        "the version of the deleted entry does not count the deletion: {}",
        item["version"]
    );
    // GPH-010 gives every representation `links`; that is taken to hold for this one too.
    let allowed = ["entry", "path", "version", "etag", "deleted", "links"];
    let more: Vec<&String> = item.keys().filter(|member| !allowed.contains(&member.as_str())).collect();
    demand!(more.is_empty(), "the deleted entry is listed with {more:?}");
    Ok(())
}
