//! storage.md section 4.8: bytes of encrypted folders.

use super::{Running, check, get, media, put, uploads};
use crate::check::{Check, Context, Verdict, demand};
use crate::checks::graph::{Encrypted, success};
use crate::oracle::storage::Sealed;

const TAKEN: &str = "sto.sealed.taken";

pub(super) fn checks() -> Vec<Check> {
    let refused =
        |id: &str, title: &str, run: fn(Context) -> Running| check(id, &["STO-080"], title, run).twin(TAKEN);
    vec![
        check(TAKEN, &[], "sealed bytes for an encrypted folder", |context| Box::pin(taken(context))),
        refused("sto.sealed.plain", "bytes that are not sealed for an encrypted folder", |context| {
            Box::pin(refuse(context, |_| b"plain bytes, and more of them than a header has".to_vec()))
        }),
        refused("sto.sealed.short", "fewer bytes than a header for an encrypted folder", |context| {
            Box::pin(refuse(context, |sealed| sealed.bytes()[..20].to_vec()))
        }),
        refused("sto.sealed.later", "bytes of a generation that the key record does not have", |context| {
            Box::pin(refuse(context, |sealed| Sealed { generation: 2, ..sealed }.bytes()))
        }),
        refused("sto.sealed.upload", "an upload of bytes that are not sealed", |context| {
            Box::pin(upload(context))
        }),
        check("sto.sealed.forgotten", &["STO-081"], "bytes from before a folder was encrypted", |context| {
            Box::pin(forgotten(context))
        })
        .twin(TAKEN),
    ]
}

fn sealed(context: &Context, one: &Encrypted) -> Sealed {
    let content = context.random::<700>();
    Sealed::content(one.id, (1, Encrypted::KEY), &content)
}

async fn taken(context: Context) -> Verdict {
    let one = Encrypted::with_key(&context).await?;
    let bytes = sealed(&context, &one).bytes();
    let path = media(&one.folder.path, &bytes);
    put(&context, &path, &one.folder.tickets, &bytes).await?.expect(201)?;
    let reply = get(&context, &path, &one.folder.tickets).await?.expect(200)?;
    demand!(reply.body == bytes, "GET gives other bytes than were PUT");
    let bytes = sealed(&context, &one).bytes();
    let upload = uploads::post(&context, &one.folder.path, &one.folder.tickets, &bytes).await?.expect(201)?;
    let at = upload.header("location").unwrap_or_default().to_owned();
    let reply = uploads::append(&context, &at, &one.folder.tickets, 0, &bytes).await?;
    success(reply, "an upload of sealed bytes").map(drop)
}

async fn refuse(context: Context, bytes: fn(Sealed) -> Vec<u8>) -> Verdict {
    let one = Encrypted::with_key(&context).await?;
    let bytes = bytes(sealed(&context, &one));
    let path = media(&one.folder.path, &bytes);
    put(&context, &path, &one.folder.tickets, &bytes).await?.expect_problem(422, "media-not-sealed")?;
    get(&context, &path, &one.folder.tickets).await?.expect_problem(404, "no-such-media")
}

async fn upload(context: Context) -> Verdict {
    let one = Encrypted::with_key(&context).await?;
    let bytes = context.random::<700>();
    let upload = uploads::post(&context, &one.folder.path, &one.folder.tickets, &bytes).await?.expect(201)?;
    let at = upload.header("location").unwrap_or_default().to_owned();
    let reply = uploads::append(&context, &at, &one.folder.tickets, 0, &bytes).await?;
    reply.expect_problem(422, "media-not-sealed")
}

async fn forgotten(context: Context) -> Verdict {
    let one = Encrypted::new(&context).await?;
    let bytes = context.random::<700>();
    let path = media(&one.folder.path, &bytes);
    put(&context, &path, &one.folder.tickets, &bytes).await?.expect(201)?;
    one.encrypt(&context).await?;
    get(&context, &path, &one.folder.tickets).await?.expect_problem(404, "no-such-media")
}
