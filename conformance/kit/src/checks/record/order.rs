//! record.md section 4.2: records in sequence, key updates, and how a channel ends.

use super::{HONEST, accepted, check, greeted, hello_record, refused};
use crate::check::{Check, Context, Stop, Verdict};
use crate::checks::sync::session::Session;
use crate::oracle::record::{CLOSE_NOTIFY, DATA, Direction, KEY_UPDATE};
use crate::target::channel::{Broken, Channel, Record};
use crate::target::peer::{Ending, How};

pub(super) fn checks() -> Vec<Check> {
    [sequence(), updates(), ends()].concat()
}

fn sequence() -> Vec<Check> {
    let mac = &["REC-011"];
    let two = "rec.open.empty";
    vec![
        refused("rec.mac.replayed", mac, "the same record twice", two, |direction| {
            let empty = direction.seal(DATA, &[], 0);
            [&empty[..], &empty, &hello_record(direction)].concat()
        }),
        refused("rec.mac.omitted", mac, "the second record without the first", two, |direction| {
            direction.seal(DATA, &[], 0);
            hello_record(direction)
        }),
        refused("rec.mac.reordered", mac, "the second record before the first", two, |direction| {
            let first = direction.seal(DATA, &[], 0);
            [hello_record(direction), first].concat()
        }),
        check("rec.mac.reflected", mac, "the first record of the device sent back to it", reflected)
            .twin(HONEST),
        check("rec.mac.other-session", mac, "a record of another session", other_session).twin(HONEST),
        refused(
            "rec.dead.after-mac",
            &["REC-018"],
            "a record with a wrong tag, and the right ones behind it",
            two,
            |direction| {
                let mut wrong = direction.clone().seal(DATA, &[], 0);
                wrong[10] ^= 1;
                // Whether the device counted the wrong record or not, one of these would open.
                [wrong, hello_record(direction), hello_record(direction)].concat()
            },
        ),
        refused(
            "rec.dead.after-type",
            &["REC-018"],
            "a record of unknown type, and a right one behind it",
            two,
            |direction| [direction.seal(9, &[], 0), hello_record(direction)].concat(),
        ),
    ]
}

fn updates() -> Vec<Check> {
    let update = &["REC-015"];
    let honest = "rec.update.honest";
    vec![
        accepted(honest, update, "a key_update, and a HELLO under the next secret", |direction| {
            let update = direction.seal(KEY_UPDATE, &[], 0);
            direction.update();
            [update, hello_record(direction)].concat()
        }),
        accepted(
            "rec.update.three",
            update,
            "three key_updates, and a HELLO under the fourth secret",
            |direction| {
                let mut bytes = Vec::new();
                for _ in 0..3 {
                    bytes.extend(direction.seal(KEY_UPDATE, &[], 0));
                    direction.update();
                }
                bytes.extend(hello_record(direction));
                bytes
            },
        ),
        refused(
            "rec.update.old-keys",
            update,
            "a key_update, and a HELLO under the old secret",
            honest,
            |direction| [direction.seal(KEY_UPDATE, &[], 0), hello_record(direction)].concat(),
        ),
        refused(
            "rec.update.number-kept",
            update,
            "a key_update after which the numbers go on",
            honest,
            |direction| {
                let update = direction.seal(KEY_UPDATE, &[], 0);
                let seq = direction.seq;
                direction.update();
                direction.seq = seq;
                [update, hello_record(direction)].concat()
            },
        ),
    ]
}

fn ends() -> Vec<Check> {
    let closed = "rec.close.honest";
    vec![
        check(
            closed,
            &["REC-002"],
            "a device that has nothing more to say ends with close_notify",
            honest_close,
        )
        .twin(HONEST),
        check(
            "rec.close.early",
            &["REC-002"],
            "close_notify after HELLO is answered with close_notify",
            early_close,
        )
        .twin(HONEST),
        check("rec.close.after", &["REC-017"], "a HELLO behind close_notify is not answered", after_close)
            .twin(closed),
        check("rec.close.missing", &["REC-016"], "TCP ends without close_notify", truncated)
            .twin("rec.close.early"),
        check("rec.close.in-record", &["REC-016"], "TCP ends within a record", |context| async move {
            let mut channel = greeted(&context).await?;
            let record = hello_record(&mut channel.sending);
            channel.conn.send("half a record", &record[..record.len() / 2]).await?;
            channel.conn.finish().await?;
            channel.conn.expect_silent_close().await
        })
        .twin(closed),
    ]
}

async fn reflected(context: Context) -> Verdict {
    // The first record of the device, as it came: its HELLO, read here without opening it.
    let mut channel = Channel::open(&context).await?;
    let ended = |ending: Ending| ending.instead_of("the device's HELLO");
    let mut record = channel.conn.read_exact(3).await.map_err(ended)?;
    let length = usize::from(record[1]) << 8 | usize::from(record[2]);
    record.extend(channel.conn.read_exact(length + 32).await.map_err(ended)?);
    channel.conn.send("the device's own record", &record).await?;
    channel.conn.expect_silent_close().await
}

async fn other_session(context: Context) -> Verdict {
    let mut other = Direction::new(&context.random::<32>());
    let mut channel = greeted(&context).await?;
    channel.conn.send("a record under other keys", &hello_record(&mut other)).await?;
    channel.conn.expect_silent_close().await
}

/// A whole session without anything to exchange: both sides say BYE, then both close (sync.md section 3.1).
async fn honest_close(context: Context) -> Verdict {
    let mut session = Session::open(&context).await?;
    session.exchange(Vec::new()).await?;
    session.finish().await
}

async fn early_close(context: Context) -> Verdict {
    let mut channel = greeted(&context).await?;
    channel.send_close().await?;
    channel.conn.finish().await?;
    loop {
        match channel.read().await {
            Ok(Record::CloseNotify) => return Ok(()),
            Ok(Record::Data(_)) => {}
            Err(broken) => return Err(broken.instead_of("close_notify")),
        }
    }
}

async fn after_close(context: Context) -> Verdict {
    let mut channel = greeted(&context).await?;
    let close = channel.sending.seal(CLOSE_NOTIFY, &[], 0);
    let record = hello_record(&mut channel.sending);
    channel.conn.send("close_notify and a record", &[close, record].concat()).await?;
    // The device may say close_notify for its own direction. It may not take the HELLO and send INDEX.
    loop {
        match channel.read().await {
            Ok(Record::CloseNotify) => {}
            Ok(Record::Data(_)) => {
                return Err(Stop::Fail("the device answered a record behind close_notify".to_owned()));
            }
            Err(broken) if broken.is_end() => return Ok(()),
            Err(broken) => return Err(broken.instead_of("the end of the connection")),
        }
    }
}

/// A truncated channel has failed, and a failure closes without a byte; a closed one is answered with `close_notify`.
async fn truncated(context: Context) -> Verdict {
    let mut channel = greeted(&context).await?;
    channel.conn.finish().await?;
    match channel.read().await {
        Err(Broken::Ended(Ending { bytes, how: How::Closed | How::Reset })) if bytes.is_empty() => Ok(()),
        Ok(Record::CloseNotify) => Err(Stop::Fail(
            "the device took the end of TCP for close_notify and answered with its own".to_owned(),
        )),
        Ok(Record::Data(_)) => Err(Stop::Fail("the device went on after the end of TCP".to_owned())),
        Err(broken) => Err(broken.instead_of("a silent close")),
    }
}
