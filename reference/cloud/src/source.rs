//! Where a request comes from, as far as limits are concerned.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;

use crate::state::App;

/// How much of `User-Agent` is kept.
const MAX_AGENT: usize = 200;

/// The address of a client: IPv4 as it is, of IPv6 the first 64 bits, for those after them are the client's to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) address: String,
    /// `User-Agent`: as the client calls itself. Not to be believed.
    pub(crate) agent: String,
}

/// On requests of the network drive, which asks in this process. Nothing that comes from outside has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FromDrive;

impl FromRequestParts<App> for Source {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        let peer = peer.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let agent = parts.headers.get(USER_AGENT).and_then(|field| field.to_str().ok()).unwrap_or_default();
        let agent = agent.chars().take(MAX_AGENT).collect();
        let address = text_of(client(peer, &parts.headers, &app.config.identity.proxies));
        Ok(Self { address, agent })
    }
}

/// IPv4 as it is, of IPv6 the first 64 bits.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

fn text_of(address: IpAddr) -> String {
    match network(address) {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{address}/64"),
    }
}

/// Behind a proxy of ours the client is the last address in `X-Forwarded-For` that is no proxy of ours: what stands
/// before it is what the client says.
fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    if !proxies.contains(&peer.to_canonical()) {
        return peer;
    }
    let fields: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|field| field.to_str().ok()).collect();
    let addresses = fields.iter().rev().flat_map(|field| field.rsplit(','));
    let addresses = addresses.map_while(|text| text.trim().parse::<IpAddr>().ok());
    addresses.map(|address| address.to_canonical()).find(|address| !proxies.contains(address)).unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        let source = |text: &str| text_of(text.parse().unwrap());
        assert_eq!(source("192.0.2.7"), "192.0.2.7");
        assert_eq!(source("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(source("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(source("2001:db8:1:2::"), source("2001:db8:1:2:ffff::1"));
    }

    #[test]
    fn only_our_proxies_are_believed() {
        let (us, peer): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "192.0.2.7".parse().unwrap());
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "203.0.113.1, 198.51.100.1".parse().unwrap());
        headers.append("x-forwarded-for", "198.51.100.2,10.0.0.1".parse().unwrap());
        assert_eq!(client(peer, &headers, &[us]), peer, "the peer is no proxy");
        assert_eq!(client(us, &headers, &[us]).to_string(), "198.51.100.2");
        assert_eq!(client(us, &HeaderMap::new(), &[us]), us);
        headers.append("x-forwarded-for", "nonsense".parse().unwrap());
        assert_eq!(client(us, &headers, &[us]), us);
    }
}
