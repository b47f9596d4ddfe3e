//! handshake.md, against a device that accepts connections, and in [`calls`] one that opens them.
//!
//! | file | section |
//! |---|---|
//! | [`frames`] | 4.1, frames and their delivery |
//! | `m1` | 4.2, steps before decryption |
//! | [`box1`] | 4.2, steps after decryption |
//! | [`m3`] | 4.3 to 4.5 |
//! | [`calls`] | 4.4, the initiator |
//! | [`renewal`] | 4.6 |
//! | [`suites`] | 3, the suites that not everybody has |

mod box1;
pub(crate) mod calls;
mod frames;
mod m1;
mod m3;
mod renewal;
mod suites;

use crate::catalog::Part;
use crate::check::{Check, Context, Role, Stop, Verdict};
use crate::oracle::handshake::{Initiator, M1Fields, Reply};
use crate::oracle::ticket::TicketFields;
use crate::target::peer::{PeerConn, first_bytes, initiator, m1_fields};

/// The checks of this part.
pub fn checks() -> Vec<Check> {
    [
        frames::checks(),
        m1::checks(),
        box1::checks(),
        m3::checks(),
        calls::checks(),
        renewal::checks(),
        suites::checks(),
    ]
    .concat()
}

/// The honest M1 that the negative checks differ from in one thing.
const HONEST: &str = "hs.m1.honest";

fn check<F, R>(id: &str, reqs: &[&str], title: &str, run: F) -> Check
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Verdict> + Send + 'static,
{
    Check::new(Role::Peer, Part::Handshake, id, reqs, title, run)
}

/// How a responder has to answer an M1.
#[derive(Clone, Copy)]
enum Answer {
    /// With a right M2.
    M2,
    /// By closing without a byte.
    Silence,
    /// With an authentic REFUSE of this code, and by closing.
    Refuse(u16),
    /// With `NO_COMMON_SUITE`, and by closing.
    NoCommonSuite,
}

/// What a check changes in M1, after the oracle made an honest one.
type ChangeM1 = fn(&mut M1Fields);
/// What a check changes in the pair ticket before it is signed.
type ChangeTicket = fn(&mut TicketFields);

/// A check that sends one M1 and looks at the answer.
fn sends_m1(id: &str, reqs: &[&str], title: &str, answer: Answer, change: ChangeM1) -> Check {
    sends(id, reqs, title, answer, |_| {}, change)
}

/// The same for an honest M1 around a changed ticket.
fn sends_ticket(id: &str, reqs: &[&str], title: &str, answer: Answer, change: ChangeTicket) -> Check {
    sends(id, reqs, title, answer, change, |_| {})
}

fn sends(
    id: &str,
    reqs: &[&str],
    title: &str,
    answer: Answer,
    ticket: ChangeTicket,
    change: ChangeM1,
) -> Check {
    let check = check(id, reqs, title, move |context| async move {
        let initiator = m1(&context, ticket, change);
        let mut conn = PeerConn::dial(&context).await?;
        expect(&mut conn, &initiator, answer).await
    });
    if id == HONEST { check } else { check.twin(HONEST) }
}

/// An M1 with changes, and what its sender knows.
fn m1(context: &Context, ticket: ChangeTicket, change: ChangeM1) -> Initiator {
    let mut fields = m1_fields(context, ticket);
    change(&mut fields);
    initiator(&fields.k_r, &fields.build())
}

/// Sends an M1 and demands an answer.
async fn expect(conn: &mut PeerConn, initiator: &Initiator, answer: Answer) -> Verdict {
    let asked = conn.ask(initiator).await?;
    match answer {
        Answer::M2 => asked.expect_m2().map(|_| ()),
        Answer::Silence => asked.demand_silent(conn.context()),
        Answer::Refuse(code) => {
            let wanted = format!("REFUSE with code {code}");
            let frame = asked.answer.map_err(|ending| ending.instead_of(&wanted))?;
            match asked.initiator.read(&frame) {
                Ok(Reply::Refused(got)) if got == code => conn.expect_silent_close().await,
                Ok(Reply::Refused(got)) => Err(Stop::Fail(format!("expected {wanted}, got code {got}"))),
                Ok(Reply::M2 { .. }) => {
                    Err(Stop::Fail(format!("expected {wanted}, but the device answered M2")))
                }
                Ok(Reply::Retry(_)) => {
                    Err(Stop::Fail(format!("expected {wanted}, but the device answered RETRY")))
                }
                Err(rejection) => Err(Stop::Fail(format!("the answer is no authentic REFUSE: {rejection}"))),
            }
        }
        Answer::NoCommonSuite => {
            let frame = asked.answer.map_err(|ending| ending.instead_of("NO_COMMON_SUITE"))?;
            if frame != [6, 0, 0, 0] {
                let text = format!("expected NO_COMMON_SUITE, 06 00 00 00, got {}", first_bytes(&frame));
                return Err(Stop::Fail(text));
            }
            conn.expect_silent_close().await
        }
    }
}
