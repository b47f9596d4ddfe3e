//! Watermarks: how far somebody has come in a feed (`spec/graph.md`, section 3.4). To clients they are opaque.
//!
//! The text is `{epoch}-{number}`, the epoch being 16 hexadecimal digits of a hash over the epoch of the database and the
//! feed: so that of another feed, or of a time before a restored backup, is known for what it is.

use meshproof_proto::codec::{Id, hex};
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::requirement::{self as req, demand_some};

use crate::problem::Problem;
use crate::state::App;

/// The watermark of a change.
pub(crate) fn write(app: &App, feed: Id, seq: u64) -> String {
    format!("{}-{seq}", epoch(app, feed))
}

/// The number of the change, if it is a watermark of this feed (GPH-061). That the feed came so far is for the store to
/// say.
pub(crate) fn read(app: &App, feed: Id, text: &str) -> Result<u64, Problem> {
    let number = text.strip_prefix(&epoch(app, feed)).and_then(|rest| rest.strip_prefix('-'));
    let plain = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_digit());
    let number = number.filter(plain).and_then(|digits| digits.parse().ok());
    Ok(demand_some(number, req::GPH_061, || 0)?)
}

fn epoch(app: &App, feed: Id) -> String {
    let hash = DEFAULT.sha256(&[b"meshproof/1 watermark", app.store.epoch().as_bytes(), &feed.0]);
    hex(hash.get(..8).unwrap_or_default())
}
