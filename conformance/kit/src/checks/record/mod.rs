//! record.md, against a device that accepts connections, and in [`calls`] one that opens them.
//!
//! | file | section |
//! |---|---|
//! | [`calls`] | 4.2, what an initiator reads |
//! | [`open`] | 4.2, one record at a time |
//! | [`order`] | 4.2, records in sequence, key updates, ends |
//!
//! What shows that a device that accepts took a record, was accepted: after HELLOs that share a folder, a device sends its INDEX (sync.md section
//! 3.1). So every check sends a HELLO, alone or behind the record in question, and looks for more than the device's HELLO.

mod calls;
mod open;
mod order;

use crate::catalog::Part;
use crate::check::{Check, Context, Role, Stop, Verdict};
use crate::checks::sync::message;
use crate::oracle::record::{DATA, Direction};
use crate::target::channel::{Channel, Record};
use crate::target::fixture::PeerFixture;

/// The checks of this part.
pub fn checks() -> Vec<Check> {
    [open::checks(), order::checks(), calls::checks()].concat()
}

/// A HELLO in one honest record, answered by INDEX.
const HONEST: &str = "rec.open.honest";

fn check<F, R>(id: &str, reqs: &[&str], title: &str, run: F) -> Check
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Verdict> + Send + 'static,
{
    Check::new(Role::Peer, Part::Record, id, reqs, title, run)
}

/// A channel whose device has said HELLO and now waits.
async fn greeted(context: &Context) -> Result<Channel, Stop> {
    let mut channel = Channel::open(context).await?;
    match channel.read().await {
        Ok(Record::Data(_)) => Ok(channel),
        Ok(Record::CloseNotify) => Err(Stop::Fail("the device closed the channel at once".to_owned())),
        Err(broken) => Err(broken.instead_of("the device's HELLO")),
    }
}

/// What a check sends, made from the kit's direction at its begin.
type Stream = fn(&mut Direction) -> Vec<u8>;

/// A check whose stream has to be accepted: the device goes on with INDEX.
fn accepted(id: &str, reqs: &[&str], title: &str, stream: Stream) -> Check {
    let check = check(id, reqs, title, move |context| async move {
        let mut channel = greeted(&context).await?;
        let bytes = stream(&mut channel.sending);
        channel.conn.send("records", &bytes).await?;
        match channel.read().await {
            Ok(Record::Data(_)) => Ok(()),
            Ok(Record::CloseNotify) => {
                Err(Stop::Fail("the device closed instead of sending INDEX".to_owned()))
            }
            Err(broken) => Err(broken.instead_of("INDEX")),
        }
    });
    if id == HONEST { check } else { check.twin(HONEST) }
}

/// A check whose stream has to kill the channel without another byte.
fn refused(id: &str, reqs: &[&str], title: &str, twin: &str, stream: Stream) -> Check {
    check(id, reqs, title, move |context| async move {
        let mut channel = greeted(&context).await?;
        let bytes = stream(&mut channel.sending);
        channel.conn.send("records", &bytes).await?;
        channel.conn.expect_silent_close().await
    })
    .twin(twin)
}

/// A HELLO with the folder of the fixture.
fn hello() -> Vec<u8> {
    message::hello(&[PeerFixture::FOLDER])
}

/// The same in a data record.
fn hello_record(direction: &mut Direction) -> Vec<u8> {
    direction.seal(DATA, &hello(), 0)
}
