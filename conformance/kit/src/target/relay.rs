//! A relay: the kit dials it and plays devices, with passes of its own making.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use super::peer::{PeerConn, now};
use crate::check::{Context, Stop, Verdict};
use crate::oracle::crypto::h;
use crate::oracle::relay::PassFields;

/// Where the relay under test is.
#[derive(Clone, Debug)]
pub struct RelayTarget {
    /// Where it accepts connections.
    pub address: SocketAddr,
    /// The `host:port` to which its passes are bound.
    pub name: String,
    /// The relay key.
    pub key: [u8; 32],
    /// Bytes that an account may send in a day, if it is few enough to be sent.
    pub quota: Option<u64>,
}

/// A pass for side 0 of a circuit, and an account, that were never used: the clock is in both, for relays remember earlier runs.
pub fn pass(context: &Context) -> Result<PassFields, Stop> {
    let relay = target(context)?;
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let fresh = h(&[&nanos.to_be_bytes(), &context.random::<16>()]);
    let (mut circuit, mut account) = ([0; 16], [0; 16]);
    circuit.copy_from_slice(&fresh[..16]);
    account.copy_from_slice(&fresh[16..]);
    let (key, address) = (relay.key.to_vec(), relay.name.clone());
    Ok(PassFields { key, address, circuit, side: 0, expires: now() + 60, account })
}

/// The relay under test.
pub fn target(context: &Context) -> Result<&RelayTarget, Stop> {
    let relay = context.targets().relay.as_ref();
    relay.ok_or_else(|| Stop::NotApplicable("no relay was given".to_owned()))
}

/// A connection to the relay under test.
pub async fn dial(context: &Context) -> Result<PeerConn, Stop> {
    PeerConn::connect(context, target(context)?.address).await
}

/// A connection that has sent a JOIN.
pub async fn join(context: &Context, pass: &PassFields) -> Result<PeerConn, Stop> {
    let mut conn = dial(context).await?;
    conn.send("JOIN", &pass.join()).await?;
    Ok(conn)
}

/// Demands these bytes, and for `closed` the end of the connection behind them.
pub async fn expect(conn: &mut PeerConn, name: &str, bytes: &[u8], closed: bool) -> Verdict {
    let got = conn.read_exact(bytes.len()).await.map_err(|ending| ending.instead_of(name))?;
    if got != bytes {
        return Err(Stop::Fail(format!("expected {name}, {bytes:02x?}, got {got:02x?}")));
    }
    if closed { conn.expect_silent_close().await } else { Ok(()) }
}
