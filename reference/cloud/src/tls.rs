//! The cloud's own certification authority, kept in the data directory, and a certificate by it for every start.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use meshproof_proto::codec::hex;
use meshproof_proto::time::UnixTime;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::Error;
use crate::config::Config;
use crate::state::write_private;

const DAY: u64 = 86_400;

/// What the server presents, and what its clients have to trust.
pub(crate) struct Identity {
    pub(crate) config: Arc<rustls::ServerConfig>,
    pub(crate) ca_pem: String,
}

/// Loads the authority, or makes it, and certifies a fresh key for the configured names.
pub(crate) fn open(config: &Config) -> Result<Identity, Error> {
    let now = config.clock.now();
    let (authority, ca_pem) = open_authority(config, now)?;

    let key = KeyPair::generate().map_err(certificates)?;
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name = rcgen::DistinguishedName::new();
    leaf.distinguished_name
        .push(DnType::CommonName, config.names.first().map_or("localhost", String::as_str));
    for name in &config.names {
        leaf.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into().map_err(certificates)?),
        });
    }
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages.push(KeyUsagePurpose::DigitalSignature);
    leaf.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    set_validity(&mut leaf, now, 820);
    let certificate = leaf.signed_by(&key, &authority).map_err(certificates)?;

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)
        })
        .map_err(certificates)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Identity { config: Arc::new(tls), ca_pem })
}

/// The authority's key decides everything about it; `ca.pem` is what clients are given, and is written once.
fn open_authority(config: &Config, now: UnixTime) -> Result<(Issuer<'static, KeyPair>, String), Error> {
    let (key_path, pem_path) = (config.data.join("ca.key"), config.data.join("ca.pem"));
    let (key, stored) = match fs::read_to_string(&key_path).map(Zeroizing::new) {
        Ok(pem) => (KeyPair::from_pem(&pem).map_err(certificates)?, true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            (KeyPair::generate().map_err(certificates)?, false)
        }
        Err(e) => return Err(data(key_path, e)),
    };
    let mut params = CertificateParams::default();
    // The name is made from the key: two clouds' authorities are never confused, and a restart finds the same.
    let digest = meshproof_proto::crypto::DEFAULT.sha256(&[key.public_key_raw()]);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Meshproof CA {}", hex(&digest[..4])));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, now, 3_650);

    let ca_pem = match fs::read_to_string(&pem_path) {
        Ok(pem) if stored => pem,
        _ => {
            let pem = params.self_signed(&key).map_err(certificates)?.pem();
            write_private(&key_path, Zeroizing::new(key.serialize_pem()).as_bytes())?;
            fs::write(&pem_path, &pem).map_err(|e| data(pem_path, e))?;
            pem
        }
    };
    Ok((Issuer::new(params, key), ca_pem))
}

/// From the day before yesterday, for clients whose clock is behind, for this many days.
fn set_validity(params: &mut CertificateParams, now: UnixTime, days: u64) {
    let [year, month, day] = date(UnixTime(now.0.saturating_sub(2 * DAY)));
    params.not_before = rcgen::date_time_ymd(i32::from(year), low(month), low(day));
    let [year, month, day] = date(now.plus(days * DAY));
    params.not_after = rcgen::date_time_ymd(i32::from(year), low(month), low(day));
}

fn date(time: UnixTime) -> [u16; 3] {
    let text = time.to_string(); // YYYY-MM-DDT..
    [0..4, 5..7, 8..10].map(|range| text[range].parse().unwrap_or(1))
}

fn low(number: u16) -> u8 {
    u8::try_from(number).unwrap_or(1)
}

fn certificates(error: impl std::fmt::Display) -> Error {
    Error::Certificates(error.to_string())
}

fn data(path: PathBuf, source: std::io::Error) -> Error {
    Error::Data { path, source }
}
