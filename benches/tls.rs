//! What our handshake is compared with: mutual TLS 1.3 of rustls over aws-lc-rs, with RSA-2048 certificates on both sides,
//! in memory, without resumption.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig, ServerConnection,
    SideData, version,
};

use crate::pkcs8;

const SERVER: &str = "y.example";
/// Room for a flight with two certificates.
const FLIGHT: usize = 16 * 1024;

/// The key exchanges that have a counterpart among our suites.
pub const EXCHANGES: [(&str, &dyn SupportedKxGroup); 2] =
    [("x25519", kx_group::X25519), ("x25519 and ml-kem-768", kx_group::X25519MLKEM768)];

/// A client and a server that know each other's authority.
pub struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// With one key exchange.
    pub fn new(exchange: &'static dyn SupportedKxGroup) -> Self {
        let authority_key = rsa(include_str!("../vectors/keys/issuer-a.pem"));
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).expect("a certificate");
        let authority_key = Issuer::new(params, authority_key);
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).expect("an authority");
        let roots = Arc::new(roots);

        let leaf = |name: &str, pem: &str| -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
            let params = CertificateParams::new([name.to_owned()]).expect("a name");
            let leaf = params.signed_by(&rsa(pem), &authority_key).expect("a certificate");
            (vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(pkcs8(pem)).into())
        };
        let provider =
            Arc::new(CryptoProvider { kx_groups: vec![exchange], ..aws_lc_rs::default_provider() });
        let (chain, key) = leaf("x.example", include_str!("../vectors/keys/device-x.pem"));
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(chain, key)
            .expect("a key");
        client.resumption = Resumption::disabled();
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
        let (chain, key) = leaf(SERVER, include_str!("../vectors/keys/device-y.pem"));
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .expect("TLS 1.3")
            .with_client_cert_verifier(clients.build().expect("a verifier"))
            .with_single_cert(chain, key)
            .expect("a key");
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let name = ServerName::try_from(SERVER).expect("a name");
        Self { client: Arc::new(client), server: Arc::new(server), name }
    }

    /// A whole handshake, the work of both sides.
    pub fn handshake(&self) {
        let mut client = ClientConnection::new(self.client.clone(), self.name.clone()).expect("a client");
        let mut server = ServerConnection::new(self.server.clone()).expect("a server");
        let mut wire = Vec::with_capacity(FLIGHT);
        while client.is_handshaking() || server.is_handshaking() {
            carry(&mut client, &mut server, &mut wire);
            carry(&mut server, &mut client, &mut wire);
        }
        assert!(server.peer_certificates().is_some(), "the client showed its certificate");
    }
}

fn carry<A: SideData, B: SideData>(
    from: &mut ConnectionCommon<A>,
    to: &mut ConnectionCommon<B>,
    wire: &mut Vec<u8>,
) {
    wire.clear();
    while from.wants_write() {
        from.write_tls(wire).expect("memory");
    }
    let mut rest = &wire[..];
    while !rest.is_empty() {
        to.read_tls(&mut rest).expect("memory");
        to.process_new_packets().expect("a good message");
    }
}

fn rsa(pem: &str) -> KeyPair {
    KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8(pem).into(), &PKCS_RSA_SHA256).expect("a test key")
}
