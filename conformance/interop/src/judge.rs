//! What other software says about a ticket. A judge is given the configured keys, as a verifier is, and no more: it does
//! not know audiences, clocks or possession.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::sample::Sample;
use crate::tool;

/// What xmlsec1 says, and with what words if it refuses.
pub fn xmlsec1(sample: &Sample) -> Result<Result<(), String>> {
    let dir = tempfile::tempdir()?;
    let (ticket, key_file) = (dir.path().join("ticket.xml"), dir.path().join("key.der"));
    let Some(bytes) = &sample.bytes else { return Ok(Err("not base64".into())) };
    std::fs::write(&ticket, bytes)?;
    let mut said = "no key".to_owned();
    for key in &sample.keys {
        std::fs::write(&key_file, key)?;
        let mut command = Command::new("xmlsec1");
        command.args(["--verify", "--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:assertion:Assertion"]);
        command.arg("--pubkey-der").arg(&key_file).arg(&ticket);
        let out = tool::run(&mut command, &[])?;
        if out.status.success() {
            return Ok(Ok(()));
        }
        said = String::from_utf8_lossy(&out.stderr).into_owned();
    }
    Ok(Err(said))
}

/// What signxml and lxml say.
#[derive(Clone, Debug)]
pub struct Signxml {
    /// Refused, and with what words.
    pub refused: Option<String>,
    /// Whether what signxml says is signed is the whole ticket without its signature.
    pub signed_all: bool,
    /// Whether lxml's exclusive canonical form of the ticket is the ticket.
    pub canonical: bool,
}

/// What signxml and lxml say of all samples.
pub fn signxml(samples: &[Sample]) -> Result<Vec<Signxml>> {
    let said = python("signxml", samples)?.into_iter().map(|line| Signxml {
        refused: line["refused"].as_str().map(str::to_owned),
        signed_all: line["signed_all"] == true,
        canonical: line["canonical"] == true,
    });
    Ok(said.collect())
}

/// Judges of `judges.py` that say yes, or no and why.
pub const PYTHON: [&str; 3] = ["bergshamra", "pysaml2", "python3-saml"];

/// What one of [`PYTHON`] says of all samples.
pub fn by_python(judge: &str, samples: &[Sample]) -> Result<Vec<Result<(), String>>> {
    let said = python(judge, samples)?;
    Ok(said.iter().map(|line| line["refused"].as_str().map_or(Ok(()), |why| Err(why.to_owned()))).collect())
}

/// Shows all samples to one process of `judges.py`.
fn python(judge: &str, samples: &[Sample]) -> Result<Vec<Value>> {
    let lines: Vec<_> = samples
        .iter()
        .map(|sample| {
            let keys: Vec<_> = sample.keys.iter().map(|key| STANDARD.encode(key)).collect();
            let ticket = sample.bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
            json!({"ticket": ticket, "keys": keys}).to_string()
        })
        .collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/judges.py");
    let out = tool::output(tool::python()?.arg(script).arg(judge), lines.join("\n").as_bytes())?;
    let said: Vec<Value> =
        String::from_utf8(out)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(said.len() == samples.len(), "{} answers to {} tickets", said.len(), samples.len());
    Ok(said)
}

/// The tickets that the SAML 2.0 schema does not validate, with the validator's words.
pub fn schema_violations(samples: &[Sample]) -> Result<Vec<String>> {
    let schema = Path::new("/usr/share/xml/opensaml/saml-schema-assertion-2.0.xsd");
    ensure!(schema.exists(), "no {}: run conformance/interop/install.sh", schema.display());
    let dir = tempfile::tempdir()?;
    let mut command = Command::new("xmllint");
    command.env("XML_CATALOG_FILES", concat!(env!("CARGO_MANIFEST_DIR"), "/catalog.xml"));
    command.args(["--nonet", "--noout", "--schema"]).arg(schema).current_dir(dir.path());
    for (at, sample) in samples.iter().enumerate() {
        let name = format!("{at}.xml");
        std::fs::write(dir.path().join(&name), sample.bytes.as_ref().context("no bytes")?)?;
        command.arg(name);
    }
    let out = tool::run(&mut command, &[])?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let unconfirmed = samples.iter().enumerate().filter(|(at, _)| {
        let line = format!("{at}.xml validates");
        !said.lines().any(|said| said == line)
    });
    Ok(unconfirmed
        .map(|(at, sample)| {
            let prefix = format!("{at}.xml");
            let why: Vec<_> = said.lines().filter(|line| line.starts_with(&prefix)).collect();
            format!("{}: {}", sample.name, why.join("; "))
        })
        .collect())
}

/// What samael says: that all signatures verify, and what is left when all else is cut away, the way its service
/// provider reads a response.
#[cfg(feature = "xmlsec")]
pub fn samael(sample: &Sample) -> Result<Result<samael::schema::Assertion, String>> {
    Ok(samael_signature(sample)?
        .and_then(|signed| signed.parse().map_err(|error| format!("cannot parse: {error}"))))
}

/// The part of a ticket that samael says is signed.
#[cfg(feature = "xmlsec")]
pub fn samael_signature(sample: &Sample) -> Result<Result<String, String>> {
    use samael::crypto::{CertificateDer, Crypto, CryptoProvider, ReduceMode};

    let keys: Vec<CertificateDer> =
        sample.keys.iter().map(|key| Ok(certificate(key)?.into())).collect::<Result<_>>()?;
    let Some(bytes) = &sample.bytes else { return Ok(Err("not base64".into())) };
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(Err("not UTF-8".into())) };
    let signed = Crypto::reduce_xml_to_signed(text, &keys, ReduceMode::default());
    Ok(signed.map_err(|error| format!("{error:?}")))
}

/// A certificate around a key: samael takes keys no other way. Nobody looks at who signed it.
#[cfg(feature = "xmlsec")]
fn certificate(spki: &[u8]) -> Result<Vec<u8>> {
    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::x509::X509Builder;
    use std::sync::LazyLock;

    static SIGNER: LazyLock<PKey<openssl::pkey::Private>> = LazyLock::new(|| {
        let rsa = openssl::rsa::Rsa::generate(2048).expect("OpenSSL makes keys");
        PKey::from_rsa(rsa).expect("an RSA key is a key")
    });
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    builder.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
    builder.set_not_after(Asn1Time::days_from_now(1)?.as_ref())?;
    builder.set_pubkey(&*PKey::public_key_from_der(spki)?)?;
    builder.sign(&SIGNER, MessageDigest::sha256())?;
    Ok(builder.build().to_der()?)
}
