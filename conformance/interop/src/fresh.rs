//! Tickets issued on the spot: every kind of `spec/ticket.md`, section 3.1, by both providers, with random content.

use anyhow::Result;
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{AWS_LC, DEFAULT, KeyBits, Provider, RUSTCRYPTO, Spki};
use meshproof_proto::ticket::{
    Action, Attributes, Authn, Authz, Claim, Issuer, KeyBinding, Mapping, Role, Subject, Ticket,
    device_audience,
};
use meshproof_proto::time::UnixTime;

use crate::sample::{Sample, verify_as_meant};

/// How many of each kind.
const EACH: usize = 4;
/// A second in which tickets differ in every digit from those of the vectors.
const START: u64 = 1_873_486_279;
/// All characters of `uri`.
const URI: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";

type Kind = (&'static str, fn() -> Result<Ticket>);

const KINDS: [Kind; 8] = [
    ("user authentication", || Ok(Ticket { authn: Some(authn()), ..blank(user()) })),
    ("device authentication", || Ok(Ticket { authn: Some(authn()), ..blank(device()) })),
    ("user authorization", || {
        Ok(Ticket { authz: (0..=below(15)).map(|_| authz()).collect(), ..blank(user()) })
    }),
    ("device authorization", || Ok(Ticket { authz: vec![authz()], ..blank(device()) })),
    ("both statements", || {
        Ok(Ticket { authn: Some(authn()), authz: vec![authz(), authz()], ..blank(user()) })
    }),
    ("pair by user", || pair(0)),
    ("pair by folder", || pair(1)),
    ("pair with many folders", || pair(9)),
];

/// Freshly issued tickets of every kind.
pub fn samples() -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for provider in [AWS_LC, RUSTCRYPTO] {
        for bits in [KeyBits::B2048, KeyBits::B3072] {
            let pkcs8 = AWS_LC.generate_key(bits, &mut random);
            let issuer = Issuer::new(provider, provider.private_key(&pkcs8)?);
            for (name, ticket) in KINDS.iter().flat_map(|(name, make)| (0..EACH).map(move |_| (name, make())))
            {
                let bytes = issuer.issue(&ticket?)?;
                let spki = issuer.key().spki();
                samples.push(Sample {
                    name: format!("fresh {name} by {} {bits:?}", provider.name()),
                    comment: String::new(),
                    reason: None,
                    ours: verify_as_meant(&bytes, spki),
                    bytes: Some(bytes),
                    keys: vec![spki.der().to_vec()],
                });
            }
        }
    }
    Ok(samples)
}

fn blank(subject: Subject) -> Ticket {
    let now = UnixTime(START + below(100_000_000) as u64);
    Ticket {
        id: id(),
        issue_instant: now,
        issuer: uri(),
        subject,
        confirmation: None,
        not_before: now,
        not_on_or_after: now.plus(1 + below(600) as u64),
        audience: uri(),
        authn: None,
        authz: Vec::new(),
        attributes: Attributes::default(),
    }
}

fn pair(folders: usize) -> Result<Ticket> {
    let (x, y, owner) = (id(), id(), id());
    let key = made_key(if folders == 0 { KeyBits::B3072 } else { KeyBits::B2048 })?;
    let role = || [Role::Reader, Role::Contributor, Role::Owner][below(3)];
    let mapped = |_| {
        let folder = id();
        [x, y].map(|device| Mapping { folder, device, role: role() })
    };
    Ok(Ticket {
        confirmation: Some(key),
        audience: device_audience(y),
        attributes: Attributes {
            keys: vec![KeyBinding { device: y, fingerprint: bytes() }],
            claims: [x, y].map(|device| Claim { device, user: owner }).into(),
            mappings: (0..folders).flat_map(mapped).collect(),
        },
        ..blank(Subject::Device(x))
    })
}

fn authn() -> Authn {
    Authn { instant: UnixTime(START - below(100_000) as u64), class: uri() }
}

fn authz() -> Authz {
    let chosen = 1 + below(15);
    let actions = Action::ALL.into_iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1);
    Authz {
        permit: below(2) == 0,
        resource: format!("/mesh/objects/{}", id()),
        actions: actions.map(|(_, action)| action).collect(),
    }
}

/// A uri of up to 64 random characters, so that sixteen of them leave a ticket below its largest size.
fn uri() -> String {
    let tail: String = (0..below(60)).map(|_| char::from(URI[below(URI.len())])).collect();
    format!("urn:{tail}x")
}

fn user() -> Subject {
    Subject::User(id())
}

fn device() -> Subject {
    Subject::Device(id())
}

fn id() -> Id {
    Id(bytes())
}

fn made_key(bits: KeyBits) -> Result<Spki> {
    let pkcs8 = DEFAULT.generate_key(bits, &mut random);
    Ok(DEFAULT.private_key(&pkcs8)?.spki().clone())
}

/// Providers to test, by way of the seam.
pub fn providers() -> [&'static dyn Provider; 2] {
    [AWS_LC, RUSTCRYPTO]
}

/// Random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    random(&mut out);
    out
}

/// Fills `out` from the operating system; the form in which proto takes entropy.
pub fn random(out: &mut [u8]) {
    getrandom::fill(out).expect("the operating system has random bytes");
}

/// A random number below `n`, near enough to uniform for tests.
fn below(n: usize) -> usize {
    (usize::from(u16::from_le_bytes(bytes())) * n) >> 16
}
