//! record.md, against a device that opened the connection: it reads what the kit sends as the responder.

use super::open::changed;
use crate::catalog::Part;
use crate::check::{Check, Context, Role, Stop, Verdict, demand};
use crate::checks::handshake::calls::HONEST as CALL;
use crate::oracle::record::{CLOSE_NOTIFY, DATA, Direction, KEY_UPDATE, TICKET};
use crate::target::caller::{self, Call, Dial, contents};
use crate::target::channel::{Channel, Record};

/// The exchange that the negative checks differ from in one thing.
const HONEST: &str = "rec.call.honest";
/// What the kit sends.
const WORDS: &[u8] = b"what the responder says";

pub(super) fn checks() -> Vec<Check> {
    [honest(), wrong()].concat()
}

/// What a check sends, made from the kit's direction at its begin.
type Stream = fn(&mut Direction) -> Vec<u8>;

fn check<R>(id: &str, reqs: &[&str], title: &str, run: impl Fn(Context) -> R + Send + Sync + 'static) -> Check
where
    R: Future<Output = Verdict> + Send + 'static,
{
    Check::new(Role::Initiator, Part::Record, id, reqs, title, run).in_turn(caller::TURN)
}

fn honest() -> Vec<Check> {
    let taken = |id: &str, reqs: &[&str], title: &str, stream: Stream| {
        let check = check(id, reqs, title, move |context| takes(context, stream));
        if id == HONEST { check.twin(CALL) } else { check.twin(HONEST) }
    };
    vec![
        taken(HONEST, &["REC-002"], "words both ways, and close_notify both ways", |direction| {
            direction.seal(DATA, WORDS, 0)
        }),
        taken("rec.call.padded", &[], "a record with padding", |direction| direction.seal(DATA, WORDS, 200)),
        taken("rec.call.key-update", &["REC-015"], "a key_update, then words", |direction| {
            let update = direction.seal(KEY_UPDATE, &[], 0);
            direction.update();
            [update, direction.seal(DATA, WORDS, 0)].concat()
        }),
        taken("rec.call.empty", &[], "a record without content, then words", |direction| {
            [direction.seal(DATA, &[], 0), direction.seal(DATA, WORDS, 0)].concat()
        }),
    ]
}

fn wrong() -> Vec<Check> {
    let refused = |id: &str, req: &'static str, title: &str, stream: Stream| {
        check(&format!("rec.call.{id}"), &[req], title, move |context| refuses(context, req, stream, false))
            .twin(HONEST)
    };
    vec![
        refused("len-zero", "REC-010", "a len of 0, and nothing behind it", |_| vec![0, 0, 0]),
        refused("len-too-large", "REC-010", "a len of 65,537, and nothing behind it", |_| vec![1, 0, 1]),
        refused("mac", "REC-011", "a record with a bit flipped", |direction| {
            changed(direction.seal(DATA, WORDS, 0), |record| record[3] ^= 1)
        }),
        refused("mac-omitted", "REC-011", "the second record without the first", |direction| {
            direction.seal(DATA, WORDS, 0);
            direction.seal(DATA, WORDS, 0)
        }),
        refused("zeros", "REC-012", "a plaintext of zeros", |direction| direction.seal_plaintext(&[0; 40])),
        refused("type-5", "REC-013", "a record of type 5", |direction| direction.seal(5, WORDS, 0)),
        refused("type-ticket", "REC-013", "a ticket record, which only an initiator sends", |direction| {
            direction.seal(TICKET, WORDS, 0)
        }),
        refused("close-content", "REC-014", "a close_notify with content", |direction| {
            direction.seal(CLOSE_NOTIFY, WORDS, 0)
        }),
        refused("old-keys", "REC-015", "words under the secret from before a key_update", |direction| {
            [direction.seal(KEY_UPDATE, &[], 0), direction.seal(DATA, WORDS, 0)].concat()
        }),
        refused("after-close", "REC-017", "words after close_notify", |direction| {
            [direction.seal(CLOSE_NOTIFY, &[], 0), direction.seal(DATA, WORDS, 0)].concat()
        }),
        check("rec.call.truncated", &["REC-016"], "the end of TCP without close_notify", |context| {
            refuses(context, "REC-016", |direction| direction.seal(DATA, WORDS, 0), true)
        })
        .twin(HONEST),
    ]
}

/// A channel that the device opened, on which it says a few words.
async fn opened(context: &Context) -> Result<(Call, Channel), Stop> {
    let said: [u8; 24] = context.random();
    let mut call = Call::start(context, &Dial { send: vec![said.to_vec()], ..Dial::new(context) }).await?;
    let mut channel = call.receive().await?.establish().await?;
    match channel.read().await {
        Ok(Record::Data(heard)) => demand!(heard == said, "the device says other words than it was told to"),
        Ok(Record::CloseNotify) => return Err(Stop::Fail("the device closed at once".to_owned())),
        Err(broken) => return Err(broken.instead_of("the words that the device was told to say")),
    }
    Ok((call, channel))
}

async fn takes(context: Context, stream: Stream) -> Verdict {
    let (mut call, mut channel) = opened(&context).await?;
    let bytes = stream(&mut channel.sending);
    channel.conn.send("records", &bytes).await?;
    channel.send_close().await?;
    match channel.read().await {
        Ok(Record::CloseNotify) => {}
        Ok(Record::Data(_)) => return Err(Stop::Fail("the device says more than it was told to".to_owned())),
        Err(broken) => return Err(broken.instead_of("close_notify")),
    }
    let output = call.demand_accepted().await?;
    demand!(contents(&output).as_deref() == Some(WORDS), "the device reports other contents than were sent");
    Ok(())
}

async fn refuses(context: Context, requirement: &str, stream: Stream, fin: bool) -> Verdict {
    let (mut call, mut channel) = opened(&context).await?;
    let bytes = stream(&mut channel.sending);
    channel.conn.send("records", &bytes).await?;
    if fin {
        channel.conn.finish().await?;
    }
    call.demand_rejected(requirement).await
}
