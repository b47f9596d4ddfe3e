//! The primitives of both providers against the OpenSSL command line, on keys and data drawn on the spot.

use meshproof_interop::fresh::{bytes, providers, random};
use meshproof_interop::openssl::OpenSsl;
use meshproof_interop::tool;
use meshproof_proto::codec::hex;
use meshproof_proto::crypto::{KeyBits, Spki, expand, extract};

const LABELS: [&[u8]; 3] = [b"meshp2p/1 kR", b"meshp2p/1 kI", b"x"];
/// Lengths around those of blocks.
const LENGTHS: [usize; 9] = [0, 1, 15, 16, 17, 63, 64, 65, 1_000];

fn data(length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    random(&mut out);
    out
}

#[test]
#[ignore = "needs openssl: conformance/interop/run.sh"]
fn keys_made_here_load_there_and_the_other_way_round() {
    let openssl = OpenSsl::new().unwrap();
    for (bits, name) in [(KeyBits::B2048, "2048"), (KeyBits::B3072, "3072")] {
        for maker in providers() {
            openssl.file("made.der", &maker.generate_key(bits, &mut random)).unwrap();
            openssl.run("pkey -inform DER -in made.der -check -noout", &[]).unwrap();
            openssl
                .run(&format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{name} -out theirs.pem"), &[])
                .unwrap();
            // As DER, genpkey writes the older PKCS#1 form.
            openssl.run("pkcs8 -topk8 -nocrypt -in theirs.pem -outform DER -out theirs.der", &[]).unwrap();
            for file in ["made.der", "theirs.der"] {
                let spki =
                    openssl.run(&format!("pkey -inform DER -in {file} -pubout -outform DER"), &[]).unwrap();
                assert_eq!(Spki::parse(&spki).unwrap().der(), spki, "OpenSSL's encoding is the one we read");
                let pkcs8 = std::fs::read(openssl.dir().join(file)).unwrap();
                for user in providers() {
                    let key = user.private_key(&pkcs8).unwrap();
                    assert_eq!(key.spki().der(), spki, "{file} in {}", user.name());
                    assert_eq!(hex(&key.spki().fingerprint(user)), digest(&openssl, &spki));
                }
            }
        }
    }
    tool::say("openssl and both providers agree about keys, SPKI and fingerprints");
}

fn digest(openssl: &OpenSsl, input: &[u8]) -> String {
    hex(&openssl.run("dgst -sha256 -binary", input).unwrap())
}

#[test]
#[ignore = "needs openssl: conformance/interop/run.sh"]
fn oaep_in_both_directions() {
    let openssl = OpenSsl::new().unwrap();
    for (provider, bits) in providers().into_iter().zip([KeyBits::B2048, KeyBits::B3072]) {
        let pkcs8 = provider.generate_key(bits, &mut random);
        openssl.file("key.der", &pkcs8).unwrap();
        for user in providers() {
            let key = user.private_key(&pkcs8).unwrap();
            let public = user.public_key(key.spki()).unwrap();
            for label in LABELS {
                let (options, message) = (OpenSsl::oaep(label), bytes::<32>());
                let theirs = format!("pkeyutl -encrypt -keyform DER -inkey key.der {options}");
                let ciphertext = openssl.run(&theirs, &message).unwrap();
                let open = |label: &[u8]| key.decrypt(label, &ciphertext, &mut random);
                assert_eq!(open(label).unwrap()[..], message, "openssl to {}", user.name());
                assert!(open(b"another label").is_none());

                let ciphertext = public.encrypt(label, &message, &mut random);
                let theirs = format!("pkeyutl -decrypt -keyform DER -inkey key.der {options}");
                assert_eq!(openssl.run(&theirs, &ciphertext).unwrap(), message, "{} to openssl", user.name());
                let other =
                    format!("pkeyutl -decrypt -keyform DER -inkey key.der {}", OpenSsl::oaep(b"other"));
                assert!(!openssl.succeeds(&other, &ciphertext).unwrap());
            }
        }
    }
    tool::say("RSAES-OAEP with labels passes between openssl and both providers in both directions");
}

#[test]
#[ignore = "needs openssl: conformance/interop/run.sh"]
fn pkcs1_signatures_in_both_directions() {
    let openssl = OpenSsl::new().unwrap();
    for provider in providers() {
        for bits in [KeyBits::B2048, KeyBits::B3072] {
            let pkcs8 = provider.generate_key(bits, &mut random);
            let key = provider.private_key(&pkcs8).unwrap();
            openssl.file("key.der", &pkcs8).unwrap();
            openssl.file("public.der", key.spki().der()).unwrap();
            for message in LENGTHS.map(data) {
                let ours = key.sign(&message);
                let theirs = openssl.run("dgst -sha256 -sign key.der -keyform DER", &message).unwrap();
                // The scheme is deterministic.
                assert_eq!(ours, theirs, "{}", provider.name());
                assert!(provider.public_key(key.spki()).unwrap().verify(&message, &theirs));
                openssl.file("signature", &ours).unwrap();
                let verify = "dgst -sha256 -verify public.der -keyform DER -signature signature";
                assert!(openssl.succeeds(verify, &message).unwrap());
                assert!(!openssl.succeeds(verify, b"another message").unwrap());
            }
        }
    }
    tool::say("RSASSA-PKCS1-v1_5 signatures of openssl and both providers are the same bytes");
}

#[test]
#[ignore = "needs openssl: conformance/interop/run.sh"]
fn macs_and_derived_keys() {
    let openssl = OpenSsl::new().unwrap();
    for key in [1, 32, 64, 65, 200].map(data) {
        for message in LENGTHS.map(data) {
            let arguments = format!("dgst -sha256 -mac HMAC -macopt hexkey:{} -binary", hex(&key));
            let theirs = openssl.run(&arguments, &message).unwrap();
            for provider in providers() {
                // In two parts, for the seam takes parts.
                let (head, tail) = message.split_at(message.len() / 2);
                assert_eq!(provider.mac_key(&key).mac(&[head, tail])[..], theirs, "{}", provider.name());
            }
        }
    }
    for info in [b"one".to_vec(), data(80)] {
        let (salt, secret) = (bytes::<32>(), bytes::<64>());
        let parts = format!(
            "-kdfopt hexsalt:{} -kdfopt hexkey:{} -kdfopt hexinfo:{}",
            hex(&salt),
            hex(&secret),
            hex(&info)
        );
        let arguments = format!("kdf -binary -keylen 100 -kdfopt digest:SHA256 {parts} HKDF");
        let theirs = openssl.run(&arguments, &[]).unwrap();
        for provider in providers() {
            let ours = expand::<100>(provider, &extract(provider, &salt, &secret), &[&info]);
            assert_eq!(ours[..], theirs, "{}", provider.name());
        }
    }
    tool::say("HMAC-SHA256 and HKDF-SHA256 of openssl and both providers agree");
}

#[test]
#[ignore = "needs openssl: conformance/interop/run.sh"]
fn counter_mode() {
    let openssl = OpenSsl::new().unwrap();
    for plain in LENGTHS.map(data) {
        let (key, mut block) = (bytes::<16>(), bytes::<16>());
        // OpenSSL counts in all 128 bits, the protocol in the last 32, from 0: keep away from the carry.
        block[12] = 0;
        let arguments = format!("enc -aes-128-ctr -K {} -iv {}", hex(&key), hex(&block));
        let theirs = openssl.run(&arguments, &plain).unwrap();
        for provider in providers() {
            let mut ours = plain.clone();
            provider.ctr_key(&key).apply(&block, &mut ours);
            assert_eq!(ours, theirs, "{}", provider.name());
        }
    }
    tool::say("AES-128-CTR of openssl and both providers agrees");
}
