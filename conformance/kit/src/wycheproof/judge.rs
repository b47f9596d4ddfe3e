//! One test: what it says has to come out, and what came out.

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{NoKey, Primitives, Verdict};
use crate::oracle::crypto::{from_hex, hex, is_device_key, private_key_from_der, public_key_from_spki};

/// HKDF gives no more.
const HKDF_LONGEST: u64 = 255 * 32;

/// What a test says of its input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Valid,
    Invalid,
    /// A library may take it or refuse it.
    Acceptable,
}

/// Runs a test, if it is of a primitive that the protocol uses.
pub(super) fn judge(
    algorithm: &Value,
    group: &Value,
    test: &Value,
    by: &dyn Primitives,
) -> anyhow::Result<Verdict> {
    let wanted = match test["result"].as_str().context("no result")? {
        "valid" => Wanted::Valid,
        "invalid" => Wanted::Invalid,
        "acceptable" => Wanted::Acceptable,
        other => bail!("the result {other:?} is none"),
    };
    let algorithm = algorithm.as_str().unwrap_or_default();
    match (group["type"].as_str().unwrap_or("no type"), algorithm) {
        ("MacTest", "HMACSHA256") => mac(group, test, wanted, by),
        ("HkdfTest", "HKDF-SHA-256") => hkdf(test, wanted, by),
        ("AeadTest", "AES-GCM") => counter_mode(group, test, wanted, by),
        ("RsassaPkcs1Verify", _) => rsa_verify(group, test, wanted, by),
        ("RsassaPkcs1Generate", _) => rsa_sign(group, test, wanted, by),
        ("RsaesOaepDecrypt", _) => oaep(group, test, wanted, by),
        ("XdhComp", _) => x25519(group, test, wanted, by),
        ("EddsaVerify", _) => ed25519(group, test, wanted, by),
        ("MLKEMTest" | "MLKEMEncapsTest" | "MLKEMKeyGen", _) if group["parameterSet"] != "ML-KEM-768" => {
            left_out("ML-KEM of other parameters than 768")
        }
        ("MLKEMTest", _) => decapsulate(test, wanted, by),
        ("MLKEMEncapsTest", _) => encapsulate(test, wanted, by),
        ("MLKEMKeyGen", _) => kem_key(test, wanted, by),
        (kind, "") => left_out(kind),
        (kind, algorithm) => left_out(&format!("{algorithm}, {kind}")),
    }
}

fn mac(group: &Value, test: &Value, wanted: Wanted, by: &dyn Primitives) -> anyhow::Result<Verdict> {
    if group["tagSize"].as_u64().is_some_and(|bits| bits != 256) {
        return left_out("HMAC with a tag cut short");
    }
    let tag = by.hmac(&bytes(test, "key")?, &bytes(test, "msg")?);
    Ok(verdict(wanted, tag[..] == bytes(test, "tag")?))
}

fn hkdf(test: &Value, wanted: Wanted, by: &dyn Primitives) -> anyhow::Result<Verdict> {
    let length = test["size"].as_u64().context("no size")?;
    if length > HKDF_LONGEST {
        return left_out("HKDF of more bytes than it gives");
    }
    let [ikm, salt, info] = ["ikm", "salt", "info"].map(|name| bytes(test, name));
    let okm = by.hkdf(&salt?, &ikm?, &info?, usize::try_from(length)?);
    Ok(verdict(wanted, okm == bytes(test, "okm")?))
}

/// There is no file of AES-CTR, but GCM has it inside: behind a nonce of 96 bits the text begins at the counter 2.
fn counter_mode(group: &Value, test: &Value, wanted: Wanted, by: &dyn Primitives) -> anyhow::Result<Verdict> {
    if wanted != Wanted::Valid || group["keySize"] != 128 || group["ivSize"] != 96 {
        return left_out("AES-GCM but for the AES-128-CTR in it");
    }
    let (key, iv) = (bytes(test, "key")?, bytes(test, "iv")?);
    let mut block = [0; 16];
    block[..12].copy_from_slice(&sized::<12>(&iv).context("iv is not of 12 bytes")?);
    block[15] = 2;
    let text = by.aes_ctr(&sized(&key).context("key is not of 16 bytes")?, &block, &bytes(test, "msg")?);
    Ok(verdict(wanted, text == bytes(test, "ct")?))
}

fn rsa_verify(group: &Value, test: &Value, wanted: Wanted, by: &dyn Primitives) -> anyhow::Result<Verdict> {
    if group["sha"] != "SHA-256" {
        return left_out("RSASSA-PKCS1-v1_5 with another hash than SHA-256");
    }
    let spki = first(group, &["publicKeyDer", "keyDer"])?;
    if !public_key_from_spki(&spki).is_some_and(|key| is_device_key(&key)) {
        return left_out(OTHER_KEY);
    }
    Ok(match by.rsa_verify(&spki, &bytes(test, "msg")?, &bytes(test, "sig")?) {
        Ok(taken) => verdict(wanted, taken),
        Err(NoKey) => Verdict::Failed(NO_KEY.to_owned()),
    })
}

fn rsa_sign(group: &Value, test: &Value, wanted: Wanted, by: &dyn Primitives) -> anyhow::Result<Verdict> {
    if group["sha"] != "SHA-256" {
        return left_out("RSASSA-PKCS1-v1_5 with another hash than SHA-256");
    }
    // The oldest files have the key in another form only.
    let Ok(key) = first(group, &["privateKeyPkcs8", "privateKeyDer"]) else { return left_out(OTHER_FORM) };
    if !is_private_device_key(&key) {
        return left_out(OTHER_KEY);
    }
    Ok(match by.rsa_sign(&key, &bytes(test, "msg")?) {
        Ok(signature) => verdict(wanted, signature == bytes(test, "sig")?),
        Err(NoKey) => Verdict::Failed(NO_KEY.to_owned()),
    })
}

fn oaep(group: &Value, test: &Value, wanted: Wanted, by: &dyn Primitives) -> anyhow::Result<Verdict> {
    if group["sha"] != "SHA-256" || group["mgfSha"] != "SHA-256" {
        return left_out("RSAES-OAEP with another hash than SHA-256");
    }
    let key = bytes(group, "privateKeyPkcs8")?;
    if !is_private_device_key(&key) {
        return left_out(OTHER_KEY);
    }
    let message = bytes(test, "msg")?;
    Ok(match by.oaep_decrypt(&key, &bytes(test, "label")?, &bytes(test, "ct")?) {
        Ok(Some(found)) if wanted != Wanted::Invalid && found != message => {
            Verdict::Failed(format!("it decrypts to {} where {} is right", hex(&found), hex(&message)))
        }
        Ok(found) => verdict(wanted, found.is_some()),
        Err(NoKey) => Verdict::Failed(NO_KEY.to_owned()),
    })
}

fn x25519(group: &Value, test: &Value, wanted: Wanted, by: &dyn Primitives) -> anyhow::Result<Verdict> {
    if group["curve"] != "curve25519" {
        return left_out("XDH on another curve than curve25519");
    }
    let (secret, peer) = (bytes(test, "private")?, bytes(test, "public")?);
    let (Some(secret), Some(peer)) = (sized(&secret), sized(&peer)) else { return left_out(LENGTH) };
    let right = bytes(test, "shared")?;
    Ok(match by.x25519(&secret, &peer) {
        // The protocol is stricter than RFC 7748 (HSK-043).
        Some(_) if right == [0; 32] => Verdict::Failed("it gives a secret of zeros".to_owned()),
        None if right == [0; 32] => Verdict::Passed,
        Some(shared) if wanted != Wanted::Invalid && shared[..] != right => {
            Verdict::Failed(format!("the secret is {} where {} is right", hex(&shared), hex(&right)))
        }
        shared => verdict(wanted, shared.is_some()),
    })
}

fn ed25519(group: &Value, test: &Value, wanted: Wanted, by: &dyn Primitives) -> anyhow::Result<Verdict> {
    let key = if group["publicKey"].is_null() { &group["key"] } else { &group["publicKey"] };
    if key["curve"] != "edwards25519" {
        return left_out("EdDSA on another curve than edwards25519");
    }
    let key = sized(&bytes(key, "pk")?).context("pk is not of 32 bytes")?;
    let (message, signature) = (bytes(test, "msg")?, bytes(test, "sig")?);
    let Some(signature) = sized(&signature) else { return left_out(LENGTH) };
    Ok(verdict(wanted, by.ed25519_verify(&key, &message, &signature)))
}

fn decapsulate(test: &Value, wanted: Wanted, by: &dyn Primitives) -> anyhow::Result<Verdict> {
    if !by.kem_takes_seeds() {
        return draws_itself(by);
    }
    let [seed, ciphertext] = ["seed", "c"].map(|name| bytes(test, name));
    let (Some(seed), Some(ciphertext)) = (sized(&seed?), sized(&ciphertext?)) else {
        return left_out(LENGTH);
    };
    let (key, secret) = by.kem_decapsulate(&seed, &ciphertext);
    // Some leave the key to the files about keys.
    let key_is_right = test["ek"].is_null() || key == bytes(test, "ek")?;
    Ok(verdict(wanted, key_is_right && secret[..] == bytes(test, "K")?))
}

fn encapsulate(test: &Value, wanted: Wanted, by: &dyn Primitives) -> anyhow::Result<Verdict> {
    let [key, m] = ["ek", "m"].map(|name| bytes(test, name));
    let (Some(key), Some(m)) = (sized(&key?), sized(&m?)) else { return left_out(LENGTH) };
    if wanted == Wanted::Valid && !by.kem_takes_seeds() {
        return draws_itself(by);
    }
    let found = by.kem_encapsulate(&key, &m);
    let right = match found {
        Some((ciphertext, secret)) if wanted == Wanted::Valid => {
            ciphertext == bytes(test, "c")? && secret[..] == bytes(test, "K")?
        }
        found => found.is_some(),
    };
    Ok(verdict(wanted, right))
}

fn kem_key(test: &Value, wanted: Wanted, by: &dyn Primitives) -> anyhow::Result<Verdict> {
    if !by.kem_takes_seeds() {
        return draws_itself(by);
    }
    let Some(seed) = sized(&bytes(test, "seed")?) else { return left_out(LENGTH) };
    let (key, _) = by.kem_decapsulate(&seed, &[0; 1088]);
    Ok(verdict(wanted, key == bytes(test, "ek")?))
}

const OTHER_KEY: &str = "RSA keys that no device may have (TKT-012, HSK-020)";
const OTHER_FORM: &str = "RSA keys that are not in PKCS#8";
const LENGTH: &str = "inputs of a length that no message has";
const NO_KEY: &str = "the key is not loaded, though a device may have it";

fn draws_itself(by: &dyn Primitives) -> anyhow::Result<Verdict> {
    left_out(&format!("ML-KEM-768 with given seeds: {} draws its own", by.name()))
}

fn is_private_device_key(pkcs8: &[u8]) -> bool {
    private_key_from_der(pkcs8).is_some_and(|key| is_device_key(&key.to_public_key()))
}

#[allow(clippy::unnecessary_wraps)] // it is what the callers return
fn left_out(what: &str) -> anyhow::Result<Verdict> {
    Ok(Verdict::LeftOut(what.to_owned()))
}

/// Whether something was taken, and the right thing came of it.
fn verdict(wanted: Wanted, taken: bool) -> Verdict {
    match (wanted, taken) {
        (Wanted::Valid, false) => {
            Verdict::Failed("refused, or the result is another, where it is valid".to_owned())
        }
        (Wanted::Invalid, true) => Verdict::Failed("taken where it is invalid".to_owned()),
        _ => Verdict::Passed,
    }
}

fn bytes(of: &Value, name: &str) -> anyhow::Result<Vec<u8>> {
    let text = of[name].as_str().with_context(|| format!("no {name}"))?;
    from_hex(text).with_context(|| format!("{name} is not hexadecimal"))
}

fn first(of: &Value, names: &[&str]) -> anyhow::Result<Vec<u8>> {
    let name =
        names.iter().find(|name| of[**name].is_string()).with_context(|| format!("no {}", names[0]))?;
    bytes(of, name)
}

fn sized<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}
