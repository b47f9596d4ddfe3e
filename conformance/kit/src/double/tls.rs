//! Certificates of the double: an authority that its clients trust, one that they do not, and what these sign.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a server shows when a client connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// One that is right in all.
    #[default]
    Good,
    /// The same by an authority that the client was not given.
    OtherAuthority,
    /// The same, but its time is over.
    Expired,
    /// The same for another host.
    OtherHost,
}

/// An authority of this run.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

static TRUSTED: LazyLock<Authority> = LazyLock::new(|| Authority::new("Meshproof kit"));
static STRANGE: LazyLock<Authority> = LazyLock::new(|| Authority::new("Somebody else"));

/// The authority that clients are told to trust, in PEM.
pub fn ca_pem() -> &'static str {
    &TRUSTED.pem
}

/// A server on 127.0.0.1 with such a certificate. It speaks HTTP/1.1.
pub fn server(certificate: Certificate) -> anyhow::Result<Arc<ServerConfig>> {
    let key = KeyPair::generate().context("a key for a certificate")?;
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name = named("the double");
    leaf.subject_alt_names.push(match certificate {
        Certificate::OtherHost => SanType::DnsName("cloud.mesh.example".try_into()?),
        _ => SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    });
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages.push(KeyUsagePurpose::DigitalSignature);
    leaf.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    leaf.not_before = rcgen::date_time_ymd(2020, 1, 1);
    let ends = if certificate == Certificate::Expired { 2021 } else { 2099 };
    leaf.not_after = rcgen::date_time_ymd(ends, 1, 1);
    let authority = if certificate == Certificate::OtherAuthority { &STRANGE } else { &TRUSTED };
    let signed = leaf.signed_by(&key, &authority.issuer).context("a certificate")?;

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![signed.der().clone()], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a system with random numbers makes keys");
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2099, 1, 1);
        let pem = params.self_signed(&key).expect("a key signs itself").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}
