//! relay.md, against a relay of which the kit has the key.
//!
//! | file | section |
//! |---|---|
//! | [`join`] | 4.1, from the first byte to JOINED |
//! | [`forward`] | 4.2, what comes after |

mod forward;
mod join;

use crate::catalog::Part;
use crate::check::{Check, Context, Role, Stop, Verdict};
use crate::oracle::relay::{JOINED, PassFields, WAITING};
use crate::target::peer::PeerConn;
use crate::target::relay::{expect, join as send_join, pass};

/// The checks of this part.
pub fn checks() -> Vec<Check> {
    [join::checks(), forward::checks()].concat()
}

/// An honest JOIN that is alone, from which the negative checks differ in one thing.
const ALONE: &str = "rly.join.alone";
/// An honest circuit.
const BOTH: &str = "rly.join.both";

fn check<F, R>(id: &str, reqs: &[&str], title: &str, run: F) -> Check
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Verdict> + Send + 'static,
{
    Check::new(Role::Relay, Part::Relay, id, reqs, title, run)
}

/// A connection that was told to wait.
async fn waiting(context: &Context, pass: &PassFields) -> Result<PeerConn, Stop> {
    let mut conn = send_join(context, pass).await?;
    expect(&mut conn, "WAITING", &WAITING, false).await?;
    Ok(conn)
}

/// A circuit: the two connections, joined, and the pass of the first.
async fn circuit(context: &Context) -> Result<(PeerConn, PeerConn, PassFields), Stop> {
    let caller_pass = pass(context)?;
    let mut caller = waiting(context, &caller_pass).await?;
    let mut called = send_join(context, &PassFields { side: 1, ..caller_pass.clone() }).await?;
    expect(&mut caller, "JOINED", &JOINED, false).await?;
    expect(&mut called, "JOINED", &JOINED, false).await?;
    Ok((caller, called, caller_pass))
}
