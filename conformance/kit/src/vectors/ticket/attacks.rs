//! Attacks on SAML signatures: wrapping, and whatever can be added to or taken from the `ds:Signature` element. All of
//! them depart from the literal text (TKT-006), which is compared before all else.

use super::draft::{Cases, Draft, replacing};
use crate::oracle::crypto::{SHA1_PREFIX, base64, h, hmac, sign, sign_digest, spki};
use crate::oracle::ticket::TicketFields;
use crate::vectors::fixtures::{BOB, ticket_id, user};

const SYNTAX: (&str, &str) = ("TKT-006", "ticket-syntax");

pub(super) fn cases(cases: &mut Cases) {
    cases.from("user-authentication", Draft::user);
    wrapping(cases);
    signature_element(cases);
    wrong_crypto(cases);
}

/// The variants 1 to 8 of XML signature wrapping (Somorovsky and others, 2012), with an assertion in place of the
/// response: a good ticket is used twice, the evil one says another user.
fn wrapping(cases: &mut Cases) {
    for (number, comment) in [
        (
            1,
            "the evil ticket carries the good signature, the good ticket without it stands inside that signature",
        ),
        (2, "as 1, with the good ticket before the signature"),
        (3, "the evil ticket stands before the good one in a wrapper"),
        (4, "the evil ticket contains the good one"),
        (5, "the evil ticket carries the good signature, the good ticket without it follows"),
        (6, "the evil ticket carries the good signature, whose end contains the good ticket"),
        (7, "the good ticket stands in an Extensions element of the evil one"),
        (8, "the good ticket without signature stands in a ds:Object of the evil one's signature"),
    ] {
        cases.invalid(&format!("wrapping-{number}"), SYNTAX, comment, |draft| {
            draft.forge.after = Some(Box::new(move |good| wrapped(number, &good)));
        });
    }
    cases.invalid("wrapping-same-id", SYNTAX, "as 5, and both tickets have the same ID", |draft| {
        draft.forge.after =
            Some(Box::new(|good| wrapped(5, &good).replace(&evil().id, &Draft::user().fields.id)));
    });
}

fn evil() -> TicketFields {
    TicketFields { id: ticket_id("evil"), subject: user(BOB), ..Draft::user().fields }
}

fn wrapped(variant: u32, good: &str) -> String {
    let from = good.find("<ds:Signature ").unwrap_or_default();
    let to = good.find("</ds:Signature>").unwrap_or_default() + "</ds:Signature>".len();
    let signature = &good[from..to];
    let unsigned = good.replace(signature, "");
    let [head, tail] = evil().around_signature();
    let inside = |element: &str| signature.replace("</ds:Signature>", &format!("{element}</ds:Signature>"));
    let end = "</saml2:Assertion>";
    match variant {
        1 => format!("{head}{}{tail}", inside(&unsigned)),
        2 => format!("{head}{unsigned}{signature}{tail}"),
        3 => format!("<saml2p:Response>{head}{tail}{good}</saml2p:Response>"),
        4 => format!("{head}{}", tail.replace(end, &format!("{good}{end}"))),
        5 => format!("{head}{signature}{tail}{unsigned}"),
        6 => format!(
            "{head}{}{tail}",
            signature.replace("</ds:SignatureValue>", &format!("{unsigned}</ds:SignatureValue>"))
        ),
        7 => format!("{head}<saml2:Extensions>{good}</saml2:Extensions>{tail}"),
        _ => format!("{head}{}{tail}", inside(&format!("<ds:Object>{unsigned}</ds:Object>"))),
    }
}

fn signature_element(cases: &mut Cases) {
    // The digest leaves the signature out, and SignedInfo is unchanged: nothing but the grammar refuses these.
    let end = "</ds:SignatureValue>";
    let key = "<ds:KeyInfo><ds:KeyValue></ds:KeyValue></ds:KeyInfo>";
    for (id, comment, from, to) in [
        ("key-info", "a KeyInfo in the signature", end, format!("{end}{key}")),
        ("object", "a ds:Object in the signature", end, format!("{end}<ds:Object>x</ds:Object>")),
        ("object-empty", "an empty ds:Object in the signature", end, format!("{end}<ds:Object></ds:Object>")),
        ("id", "a signature with an Id", "#\"><ds:SignedInfo>", "#\" Id=\"s\"><ds:SignedInfo>".to_owned()),
        (
            "value-id",
            "a SignatureValue with an Id",
            "<ds:SignatureValue>",
            "<ds:SignatureValue Id=\"v\">".to_owned(),
        ),
        ("text", "text in the signature", end, format!("{end}x")),
        ("space", "a space in the signature", end, format!("{end} ")),
    ] {
        cases.invalid(&format!("signature-{id}"), SYNTAX, comment, |draft| {
            draft.forge.signature = Some(replacing(from, &to));
        });
    }
    // SignedInfo is signed as it stands.
    for (id, comment, from, to) in [
        ("reference-type", "a Reference with a Type", "<ds:Reference ", "<ds:Reference Type=\"urn:x\" "),
        ("reference-id", "a Reference with an Id", "<ds:Reference ", "<ds:Reference Id=\"r\" "),
        (
            "transform-extra",
            "a third transform",
            "</ds:Transforms>",
            "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"></ds:Transform></ds:Transforms>",
        ),
        (
            "transform-missing",
            "one transform",
            "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"></ds:Transform>",
            "",
        ),
        (
            "inclusive-namespaces",
            "a list of inclusive namespaces",
            "xml-exc-c14n#\"></ds:Transform>",
            "xml-exc-c14n#\"><ec:InclusiveNamespaces PrefixList=\"xs\"/></ds:Transform>",
        ),
        (
            "hmac-length",
            "an HMACOutputLength",
            "rsa-sha256\"></ds:SignatureMethod>",
            "rsa-sha256\"><ds:HMACOutputLength>0</ds:HMACOutputLength></ds:SignatureMethod>",
        ),
        (
            "reference-two",
            "two references",
            "</ds:Reference>",
            "</ds:Reference><ds:Reference URI=\"\"><ds:DigestValue></ds:DigestValue></ds:Reference>",
        ),
        ("reference-none", "no reference element", "<ds:Reference ", "<ds:Manifest "),
        ("signed-info-id", "a SignedInfo with an Id", "<ds:SignedInfo", "<ds:SignedInfo Id=\"i\""),
    ] {
        cases.invalid(&format!("signature-{id}"), SYNTAX, comment, |draft| {
            draft.forge.signed_info = Some(replacing(from, to));
            draft.forge.signature = Some(replacing(from, to));
        });
    }
    cases.invalid(
        "signature-namespace-inside",
        SYNTAX,
        "SignedInfo with its namespace in the ticket too",
        |draft| {
            let to = "<ds:SignedInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">";
            draft.forge.signature = Some(replacing("<ds:SignedInfo>", to));
        },
    );
    cases.invalid("signature-prefix", SYNTAX, "another prefix in the signature", |draft| {
        draft.forge.signature = Some(Box::new(|text| text.replace("ds:", "dsig:")));
    });
    cases.invalid("signature-missing", SYNTAX, "no signature", |draft| {
        draft.forge.signature = Some(Box::new(|_| String::new()));
    });
    cases.invalid("signature-empty-element", SYNTAX, "an empty signature element", |draft| {
        let empty = "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"></ds:Signature>";
        draft.forge.signature = Some(Box::new(|_| empty.to_owned()));
    });
    cases.invalid("signature-twice", SYNTAX, "the signature twice", |draft| {
        draft.forge.signature = Some(Box::new(|text| format!("{text}{text}")));
    });
    cases.invalid("signature-second-other", SYNTAX, "a second signature, of another ticket", |draft| {
        let key = &draft.key.private;
        let other = evil().issue(key);
        let from = other.find("<ds:Signature ").unwrap_or_default();
        let to = other.find("<saml2:Subject>").unwrap_or_default();
        let other = other[from..to].to_owned();
        draft.forge.signature = Some(Box::new(move |text| format!("{text}{other}")));
    });
    for (id, comment, before) in [
        ("at-end", "the signature at the end", "</saml2:Assertion>"),
        ("first", "the signature before Issuer", "<saml2:Issuer>"),
        ("after-subject", "the signature after Subject", "<saml2:Conditions "),
    ] {
        cases.invalid(&format!("signature-{id}"), SYNTAX, comment, move |draft| {
            draft.forge.after = Some(Box::new(move |text| {
                let from = text.find("<ds:Signature ").unwrap_or_default();
                let to = text.find("<saml2:Subject>").unwrap_or_default();
                let signature = text[from..to].to_owned();
                let unsigned = text.replace(&signature, "");
                unsigned.replacen(before, &format!("{signature}{before}"), 1)
            }));
        });
    }
}

/// Other algorithms, done right: the signature is good in its own terms.
fn wrong_crypto(cases: &mut Cases) {
    let algorithm = ("TKT-010", "ticket-algorithm");
    cases.invalid("method-rsa-sha1", algorithm, "RSA with SHA-1, correctly signed", |draft| {
        let method = "http://www.w3.org/2000/09/xmldsig#rsa-sha1";
        draft.signing(move |signing| method.clone_into(&mut signing.method));
        draft.forge.signer =
            Some(Box::new(|key, text| sign_digest(key, SHA1_PREFIX, &sha1(text.as_bytes()))));
    });
    cases.invalid(
        "method-hmac-public-key",
        algorithm,
        "HMAC with the issuer's public key as the secret",
        |draft| {
            let method = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256";
            draft.signing(move |signing| method.clone_into(&mut signing.method));
            draft.forge.signer =
                Some(Box::new(|key, text| hmac(&spki(&key.to_public_key()), &[text.as_bytes()]).to_vec()));
        },
    );
    let digest = ("TKT-010", "ticket-algorithm");
    cases.invalid("digest-method-sha1-right", digest, "a SHA-1 digest that is right", |draft| {
        let value = base64(&sha1(draft.fields.unsigned().as_bytes()));
        // A digest of 20 bytes also breaks TKT-020, which comes later.
        draft.signing(move |signing| {
            "http://www.w3.org/2000/09/xmldsig#sha1".clone_into(&mut signing.digest_method);
            signing.digest.clone_from(&value);
        });
    });
    let signature = ("TKT-021", "ticket-signature");
    cases.invalid(
        "signature-sha1-inside",
        signature,
        "a SHA-1 signature under the name of SHA-256",
        |draft| {
            draft.forge.signer =
                Some(Box::new(|key, text| sign_digest(key, SHA1_PREFIX, &sha1(text.as_bytes()))));
        },
    );
    cases.invalid(
        "signature-hmac-inside",
        signature,
        "an HMAC with the public key under the name of RSA",
        |draft| {
            draft.forge.signer =
                Some(Box::new(|key, text| hmac(&spki(&key.to_public_key()), &[text.as_bytes()]).to_vec()));
        },
    );
    cases.invalid("signature-no-digest-info", signature, "a digest signed without its DigestInfo", |draft| {
        draft.forge.signer = Some(Box::new(|key, text| sign_digest(key, &[], &h(&[text.as_bytes()]))));
    });
    cases.invalid(
        "signature-over-wire-form",
        signature,
        "signed over SignedInfo as it stands in the ticket",
        |draft| {
            draft.forge.signer = Some(Box::new(|key, text| {
                let text = text.replacen(" xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"", "", 1);
                sign(key, text.as_bytes())
            }));
        },
    );
    cases.invalid(
        "signature-over-assertion",
        signature,
        "signed over the ticket rather than SignedInfo",
        |draft| {
            let unsigned = draft.fields.unsigned();
            draft.forge.signer = Some(Box::new(move |key, _| sign(key, unsigned.as_bytes())));
        },
    );
}

/// SHA-1 (FIPS 180-4, with its names), for signatures that have to be refused. The kit has no other use for it.
#[allow(clippy::many_single_char_names)]
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded.chunks(64) {
        let mut w: Vec<u32> = block.chunks(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
        for t in 16..80 {
            w.push((w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (t, word) in w.iter().enumerate() {
            let (f, k) = match t / 20 {
                0 => ((b & c) | (!b & d), 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc_u32),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, value) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(value);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::sha1;
    use crate::oracle::crypto::hex;

    #[test]
    fn sha1_of_abc() {
        // FIPS 180-4, example of a one-block message.
        assert_eq!(hex(&sha1(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
