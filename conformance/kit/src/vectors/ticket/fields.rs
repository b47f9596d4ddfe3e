//! The slots of the grammar: TKT-007 to TKT-018. Digest and signature are right for the changed bytes.

use super::draft::{Cases, Draft, replacing};
use crate::oracle::crypto::{base64, modulus};
use crate::oracle::ticket::{Decision, uri};
use crate::vectors::fixtures::{
    ALICE, BOB, DEVICE_X, DEVICE_Y, DEVICE_Z, FOLDER, KEY_1024, KEY_2047, KEY_3072, KEY_3080, KEY_E3, KEY_X,
    KEY_Y, Key, claim_values, key_values, mapping_values, ticket_id,
};

const SYNTAX: (&str, &str) = ("TKT-006", "ticket-syntax");
const ID: (&str, &str) = ("TKT-007", "ticket-id");
const TIME: (&str, &str) = ("TKT-008", "ticket-time-syntax");
const REFERENCE: (&str, &str) = ("TKT-009", "ticket-reference");
const ALGORITHM: (&str, &str) = ("TKT-010", "ticket-algorithm");
const SUBJECT: (&str, &str) = ("TKT-011", "ticket-subject");
const KEY: (&str, &str) = ("TKT-012", "ticket-confirmation-key");
const DECISION: (&str, &str) = ("TKT-013", "ticket-decision");
const ACTION: (&str, &str) = ("TKT-015", "ticket-action");
const REPEATED: (&str, &str) = ("TKT-016", "ticket-attribute-repeated");
const ATTRIBUTE: (&str, &str) = ("TKT-017", "ticket-attribute");
const AMBIGUOUS: (&str, &str) = ("TKT-036", "ticket-attribute-ambiguous");
const EMPTY: (&str, &str) = ("TKT-018", "ticket-empty");

/// The slots of tickets for the cloud.
pub(super) fn cases(cases: &mut Cases) {
    cases.from("user-authentication", Draft::user);
    let id = ticket_id("user authentication");
    for (name, comment, value) in [
        ("uppercase", "hexadecimal in capitals", id.to_uppercase()),
        ("short", "31 digits", id[..32].to_owned()),
        ("long", "33 digits", format!("{id}0")),
        ("no-underscore", "no underscore", id[1..].to_owned()),
        ("other-digit", "a letter that is no hexadecimal digit", format!("{}g", &id[..32])),
        ("empty", "empty", String::new()),
        ("uuid", "a UUID with hyphens", "_a0a1a2a3-b0b1-c0c1-d0d1-e0e1e2e3e4e5".to_owned()),
    ] {
        cases.invalid(&format!("id-{name}"), ID, comment, |draft| draft.fields.id = value);
    }
    times(cases);
    for (name, comment, value) in [
        ("other", "another ID", format!("#{}", ticket_id("another"))),
        ("empty", "empty, the whole document", String::new()),
        ("no-hash", "the ID without #", id.clone()),
        ("external", "an external document", "https://evil.example/ticket".to_owned()),
        ("file", "a file", "file:///etc/passwd".to_owned()),
        ("xpointer-root", "an XPointer to the root", "#xpointer(/)".to_owned()),
        ("xpointer-id", "an XPointer to the ID", format!("#xpointer(id('{id}'))")),
        ("uppercase", "the ID in capitals", format!("#{}", id.to_uppercase())),
        ("prefix", "a part of the ID", format!("#{}", &id[..32])),
        ("two-hashes", "two #", format!("##{id}")),
    ] {
        cases.invalid(&format!("reference-{name}"), REFERENCE, comment, |draft| {
            draft.signing(move |signing| signing.reference.clone_from(&value));
        });
    }
    algorithms(cases);
    for (name, comment, value) in [
        ("uppercase", "hexadecimal in capitals", format!("{}{}", uri::USER, ALICE.to_uppercase())),
        ("short", "31 digits", format!("{}{}", uri::USER, &ALICE[1..])),
        ("long", "33 digits", format!("{}{ALICE}0", uri::USER)),
        ("folder", "neither user nor device", format!("urn:meshproof:folder:{FOLDER}")),
        ("bare", "no prefix", ALICE.to_owned()),
        ("mail", "a mail address", "alice@example.com".to_owned()),
        ("empty", "empty", String::new()),
        ("trailing-space", "a space after it", format!("{}{ALICE} ", uri::USER)),
        ("prefix-case", "the prefix in capitals", format!("URN:MESHPROOF:USER:{ALICE}")),
    ] {
        cases.invalid(&format!("subject-{name}"), SUBJECT, comment, |draft| draft.fields.subject = value);
    }
    cases.invalid("no-statement", EMPTY, "a ticket that says nothing", |draft| draft.fields.authn = None);
    cases.base("device-authentication", "a device's authentication ticket", &["TKT-011"], Draft::device);
    decisions(cases);
}

fn times(cases: &mut Cases) {
    for (name, comment, value) in [
        ("leap-day", "29 February of a leap year", "2024-02-29T23:59:59Z"),
        ("leap-day-2000", "29 February of a year that 400 divides", "2000-02-29T00:00:00Z"),
        ("first", "the first time", "1970-01-01T00:00:00Z"),
        ("last", "the last time", "9999-12-31T23:59:59Z"),
    ] {
        cases.valid(&format!("time-{name}"), "TKT-008", comment, |draft| {
            value.clone_into(&mut draft.fields.issue_instant);
        });
    }
    for (name, twin, comment, value) in [
        ("no-leap-day", "time-leap-day", "29 February of a common year", "2023-02-29T23:59:59Z"),
        (
            "no-leap-day-2100",
            "time-leap-day-2000",
            "29 February of a year that 100 divides",
            "2100-02-29T00:00:00Z",
        ),
        ("before-1970", "time-first", "a second before the first time", "1969-12-31T23:59:59Z"),
        ("year-0000", "time-first", "the year 0", "0000-01-01T00:00:00Z"),
        ("year-10000", "time-last", "a year of five digits", "10000-01-01T00:00:00Z"),
        ("month-00", "user-authentication", "month 0", "2026-00-21T14:13:20Z"),
        ("month-13", "user-authentication", "month 13", "2026-13-21T14:13:20Z"),
        ("day-00", "user-authentication", "day 0", "2026-09-00T14:13:20Z"),
        ("day-31", "user-authentication", "31 September", "2026-09-31T14:13:20Z"),
        ("day-32", "user-authentication", "32 January", "2026-01-32T14:13:20Z"),
        ("hour-24", "user-authentication", "hour 24", "2026-09-21T24:00:00Z"),
        ("minute-60", "user-authentication", "minute 60", "2026-09-21T14:60:20Z"),
        ("second-60", "user-authentication", "a leap second", "2016-12-31T23:59:60Z"),
        ("fraction", "user-authentication", "a fraction of a second", "2026-09-21T14:13:20.0Z"),
        ("offset", "user-authentication", "an offset in place of Z", "2026-09-21T14:13:20+00:00"),
        ("no-zone", "user-authentication", "no zone", "2026-09-21T14:13:20"),
        ("lower-case", "user-authentication", "t and z in small letters", "2026-09-21t14:13:20z"),
        ("space", "user-authentication", "a space in place of T", "2026-09-21 14:13:20Z"),
        ("one-digit", "user-authentication", "a month of one digit", "2026-9-21T14:13:20Z"),
        ("sign", "user-authentication", "a sign before a digit", "2026-+9-21T14:13:20Z"),
        ("date-only", "user-authentication", "a date", "2026-09-21"),
        ("week", "user-authentication", "a week date", "2026-W39-1T14:13:20Z"),
        ("empty", "user-authentication", "empty", ""),
    ] {
        cases.beside(twin, &format!("time-{name}"), TIME, &format!("IssueInstant: {comment}"), |draft| {
            value.clone_into(&mut draft.fields.issue_instant);
        });
    }
    let wrong = "2026-09-31T14:13:20Z";
    cases.invalid("time-not-before", TIME, "NotBefore: 31 September", |draft| {
        draft.fields.not_before = wrong.into();
    });
    cases.invalid("time-not-on-or-after", TIME, "NotOnOrAfter: 31 September", |draft| {
        draft.fields.not_on_or_after = wrong.into();
    });
    cases.invalid("time-authn-instant", TIME, "AuthnInstant: 31 September", |draft| {
        if let Some((instant, _)) = &mut draft.fields.authn {
            *instant = wrong.into();
        }
    });
}

fn algorithms(cases: &mut Cases) {
    for (name, comment, value) in [
        ("inclusive", "Canonical XML 1.0", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
        ("with-comments", "with comments", "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"),
        ("unknown", "unknown", "urn:x"),
        ("empty", "empty", ""),
    ] {
        cases.invalid(
            &format!("canonicalization-{name}"),
            ALGORITHM,
            &format!("canonicalization: {comment}"),
            |draft| {
                draft.signing(move |signing| value.clone_into(&mut signing.canonicalization));
            },
        );
    }
    for (name, comment, value) in [
        ("rsa-sha512", "RSA with SHA-512", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"),
        ("rsa-pss", "RSASSA-PSS", "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"),
        ("ecdsa", "ECDSA", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"),
        ("upper-case", "the right one in capitals", "http://www.w3.org/2001/04/XMLDSIG-MORE#RSA-SHA256"),
        ("https", "the right one by https", "https://www.w3.org/2001/04/xmldsig-more#rsa-sha256"),
        ("none", "none", "none"),
        ("empty", "empty", ""),
    ] {
        cases.invalid(
            &format!("method-{name}"),
            ALGORITHM,
            &format!("signature method: {comment}"),
            |draft| {
                draft.signing(move |signing| value.clone_into(&mut signing.method));
            },
        );
    }
    for (name, comment, value) in [
        ("sha1", "SHA-1", "http://www.w3.org/2000/09/xmldsig#sha1"),
        ("sha512", "SHA-512", "http://www.w3.org/2001/04/xmlenc#sha512"),
        ("md5", "MD5", "http://www.w3.org/2001/04/xmldsig-more#md5"),
    ] {
        cases.invalid(&format!("digest-method-{name}"), ALGORITHM, &format!("digest: {comment}"), |draft| {
            draft.signing(move |signing| value.clone_into(&mut signing.digest_method));
        });
    }
    for (name, comment, value) in [
        ("xslt", "XSLT", "http://www.w3.org/TR/1999/REC-xslt-19991116"),
        ("xpath", "XPath", "http://www.w3.org/TR/1999/REC-xpath-19991116"),
        ("base64", "base64", "http://www.w3.org/2000/09/xmldsig#base64"),
        ("decrypt", "decryption", "http://www.w3.org/2002/07/decrypt#XML"),
    ] {
        cases.invalid(&format!("transform-{name}"), ALGORITHM, &format!("a transform: {comment}"), |draft| {
            draft.signing(move |signing| value.clone_into(&mut signing.transforms[0]));
        });
    }
    cases.invalid("transforms-swapped", ALGORITHM, "the two transforms in the other order", |draft| {
        draft.signing(|signing| signing.transforms.swap(0, 1));
    });
    cases.invalid("transforms-same", ALGORITHM, "the enveloped transform twice", |draft| {
        draft.signing(|signing| signing.transforms[1] = signing.transforms[0].as_str().into());
    });
}

fn decisions(cases: &mut Cases) {
    cases.from("authorization", Draft::rights);
    cases.valid("decision-deny", "TKT-013", "a denial", |draft| {
        draft.fields.authz[0].decision = "Deny".into();
    });
    for (name, value) in [
        ("indeterminate", "Indeterminate"),
        ("lower-case", "permit"),
        ("unknown", "Allow"),
        ("longer", "Permitted"),
    ] {
        cases.invalid(&format!("decision-{name}"), DECISION, &format!("the decision {value}"), |draft| {
            draft.fields.authz[0].decision = value.into();
        });
    }
    for (name, comment, decision) in [
        ("quote", "the decision Permit\" x=\"", "Permit\" x=\""),
        ("greater", "the decision Permit>", "Permit>"),
        ("entity", "the decision P&#101;rmit", "P&#101;rmit"),
        ("empty", "an empty decision", ""),
        ("space", "a decision with a space", "Permit "),
    ] {
        cases.invalid(&format!("decision-{name}"), SYNTAX, comment, |draft| {
            draft.fields.authz[0].decision = decision.into();
        });
    }
    cases.invalid(
        "decision-second-statement",
        DECISION,
        "a second statement that is indeterminate",
        |draft| {
            let resource = draft.fields.authz[0].resource.clone();
            draft.fields.authz.push(Decision::new("Indeterminate", &resource, &["Read"]));
        },
    );
    let actions = |list: &'static [&'static str]| {
        move |draft: &mut Draft| {
            draft.fields.authz[0].actions = list.iter().map(|name| (*name).to_owned()).collect();
        }
    };
    cases.valid("actions-all", "TKT-015", "all actions", actions(&["Read", "Write", "Delete", "Control"]));
    cases.valid("actions-last", "TKT-015", "one action", actions(&["Control"]));
    cases.valid(
        "actions-gap",
        "TKT-015",
        "two actions that do not follow each other",
        actions(&["Read", "Control"]),
    );
    cases.invalid("action-unknown", ACTION, "an unknown action", actions(&["Read", "Execute"]));
    cases.invalid("action-repeated", ACTION, "an action twice", actions(&["Read", "Read"]));
    cases.invalid("action-order", ACTION, "actions in another order", actions(&["Write", "Read"]));
    cases.invalid("action-lower-case", ACTION, "an action in small letters", actions(&["read"]));
    cases.invalid("action-prefix", ACTION, "an action with more letters", actions(&["Reader"]));
    cases.invalid("action-empty", SYNTAX, "an empty action", actions(&[""]));
    cases.invalid("action-space", SYNTAX, "an action with a space", actions(&["Read "]));
    // Five actions break the number in the grammar and, since there are four names, TKT-015.
    let five = actions(&["Read", "Write", "Delete", "Control", "Control"]);
    cases.beside("actions-all", "actions-five", SYNTAX, "five actions", five);
}

/// The slots of pair tickets.
pub(super) fn pair_cases(cases: &mut Cases) {
    cases.base("pair", "a pair ticket", &["TKT-012", "TKT-016", "TKT-017", "TKT-025"], Draft::pair);
    confirmation(cases);
    attributes(cases);
    orders(cases);
}

fn confirmation(cases: &mut Cases) {
    let with = |key: &'static Key| {
        move |draft: &mut Draft| {
            draft.fields.confirmation = Some(key.confirmation());
            draft.presenter = serde_json::json!({"spki": key.spki_text()});
        }
    };
    cases.valid("confirmation-3072", "TKT-012", "a key of 3,072 bits", with(&KEY_3072));
    cases.beside("confirmation-3072", "confirmation-3080", KEY, "a key of 3,080 bits", with(&KEY_3080));
    cases.invalid("confirmation-2047", KEY, "a key of 2,047 bits", with(&KEY_2047));
    cases.invalid("confirmation-1024", KEY, "a key of 1,024 bits", with(&KEY_1024));
    cases.invalid("confirmation-exponent-3", KEY, "a key with exponent 3", with(&KEY_E3));
    for (name, comment, exponent) in [
        ("zero", "with a zero before it", "AAEAAQ=="),
        ("65539", "65539", "AQAD"),
        ("3", "3", "Aw=="),
        ("1", "1", "AQ=="),
    ] {
        cases.invalid(&format!("exponent-{name}"), KEY, &format!("the exponent {comment}"), |draft| {
            if let Some(key) = &mut draft.fields.confirmation {
                key.exponent = exponent.into();
            }
        });
    }
    cases.invalid("modulus-leading-zero", KEY, "a zero before the modulus, as DER has it", |draft| {
        if let Some(key) = &mut draft.fields.confirmation {
            key.modulus = base64(&[&[0][..], &modulus(&KEY_X.private.to_public_key())].concat());
        }
    });
    cases.invalid("modulus-even", KEY, "an even modulus, the product of no two large primes", |draft| {
        if let Some(key) = &mut draft.fields.confirmation {
            let mut even = modulus(&KEY_X.private.to_public_key());
            even[255] ^= 1;
            key.modulus = base64(&even);
        }
    });
    for (name, comment, change) in [
        ("empty", "an empty modulus", (|_| String::new()) as fn(String) -> String),
        ("space", "a space in the modulus", |text| format!("{} {}", &text[..76], &text[76..])),
        ("no-padding", "a modulus without padding", |text| text.trim_end_matches('=').to_owned()),
        ("url-alphabet", "a modulus with a digit of base64url", |text| {
            format!("{}_{}", &text[..9], &text[10..])
        }),
    ] {
        cases.invalid(
            &format!("modulus-{name}"),
            if name == "empty" { KEY } else { SYNTAX },
            comment,
            |draft| {
                if let Some(key) = &mut draft.fields.confirmation {
                    key.modulus = change(key.modulus.clone());
                }
            },
        );
    }
    cases.invalid("exponent-no-base64", SYNTAX, "an exponent of five digits of base64", |draft| {
        if let Some(key) = &mut draft.fields.confirmation {
            key.exponent = "AQABA".into();
        }
    });
    cases.invalid("confirmation-key-name", SYNTAX, "a KeyName beside the key", |draft| {
        draft.replace("<ds:KeyValue>", "<ds:KeyName>x</ds:KeyName><ds:KeyValue>");
    });
    cases.invalid("confirmation-recipient", SYNTAX, "a Recipient", |draft| {
        draft.replace("<saml2:SubjectConfirmationData>", "<saml2:SubjectConfirmationData Recipient=\"x\">");
    });
}

fn attributes(cases: &mut Cases) {
    // Sixty-five values that section 3.1 knows do not fit into 8,192 bytes, so that the limit of 64 cannot show.
    cases.invalid("values-none", SYNTAX, "an attribute without value", |draft| {
        draft.fields.attributes[0].1.clear();
    });
    cases.invalid("attributes-none", SYNTAX, "an attribute statement without attribute", |draft| {
        draft.fields.attributes.clear();
        draft.replace(
            "</saml2:Assertion>",
            "<saml2:AttributeStatement></saml2:AttributeStatement></saml2:Assertion>",
        );
    });
    cases.invalid("attributes-two", SYNTAX, "two attribute statements", |draft| {
        let text = "</saml2:Attribute></saml2:AttributeStatement><saml2:AttributeStatement>";
        draft.replace("</saml2:Attribute>", text);
    });
    cases.invalid("attribute-format", SYNTAX, "an attribute with NameFormat", |draft| {
        draft.replace("<saml2:Attribute Name=", "<saml2:Attribute NameFormat=\"urn:x\" Name=");
    });
    cases.invalid("attribute-type", SYNTAX, "a value with a type", |draft| {
        draft.replace("<saml2:AttributeValue>", "<saml2:AttributeValue xsi:type=\"xs:string\">");
    });
    cases.valid("attribute-order", "TKT-016", "attributes in another order", |draft| {
        draft.fields.attributes.reverse();
    });
    cases.invalid("attribute-repeated", REPEATED, "a name twice", |draft| {
        draft.fields.attributes.insert(1, key_values(&[(DEVICE_X, &KEY_X)]));
    });
    cases.invalid("attribute-repeated-apart", REPEATED, "a name twice with another between", |draft| {
        draft.fields.attributes.push(key_values(&[(DEVICE_Y, &KEY_Y)]));
    });
    cases.invalid("attribute-unknown", ATTRIBUTE, "an unknown name", |draft| {
        draft.fields.attributes.push(("urn:meshproof:attribute:admin".into(), vec!["true".into()]));
    });
    cases.invalid("attribute-name-case", ATTRIBUTE, "a name in other letters", |draft| {
        draft.fields.attributes[0].0 = "urn:meshproof:attribute:Key".into();
    });
    let fingerprint = KEY_X.fingerprint();
    for (name, comment, value) in [
        ("short", "a fingerprint of 63 digits", format!("{DEVICE_X} {}", &fingerprint[..63])),
        ("uppercase", "a fingerprint in capitals", format!("{DEVICE_X} {}", fingerprint.to_uppercase())),
        ("two-spaces", "two spaces", format!("{DEVICE_X}  {fingerprint}")),
        ("leading-space", "a space before it", format!(" {DEVICE_X} {fingerprint}")),
        ("one-word", "no device", fingerprint.clone()),
        ("third-word", "a word more", format!("{DEVICE_X} {fingerprint} x")),
        ("device-long", "a device of 33 digits", format!("{DEVICE_X}0 {fingerprint}")),
    ] {
        cases.invalid(&format!("key-value-{name}"), ATTRIBUTE, comment, |draft| {
            draft.fields.attributes[0].1[0] = value;
        });
    }
    cases.invalid("claim-value-three-words", ATTRIBUTE, "a claim with a role", |draft| {
        draft.fields.attributes[1] = claim_values(&[(DEVICE_X, &format!("{ALICE} owner"))]);
    });
    for (name, comment, role) in [
        ("unknown", "an unknown role", "writer"),
        ("case", "a role in other letters", "Owner"),
        ("empty", "no role", ""),
    ] {
        cases.invalid(&format!("mapping-role-{name}"), ATTRIBUTE, comment, |draft| {
            draft.fields.attributes[2] = mapping_values(&[(FOLDER, DEVICE_X, role)]);
        });
    }
    cases.invalid("key-twice", AMBIGUOUS, "two keys for one device", |draft| {
        draft.fields.attributes[0].1.push(format!("{DEVICE_Y} {}", KEY_X.fingerprint()));
    });
    cases.invalid("key-twice-equal", AMBIGUOUS, "one key twice", |draft| {
        let value = draft.fields.attributes[0].1[0].clone();
        draft.fields.attributes[0].1.push(value);
    });
    cases.invalid("claim-twice", AMBIGUOUS, "two users claim one device", |draft| {
        draft.fields.attributes[1].1.push(format!("{DEVICE_X} {BOB}"));
    });
    cases.invalid("mapping-twice", AMBIGUOUS, "two roles for one folder on one device", |draft| {
        draft.fields.attributes[2].1.push(format!("{FOLDER} {DEVICE_Y} owner"));
    });
    for (name, comment, value) in [
        ("ampersand", "an ampersand in a value", "a & b"),
        ("greater", "a > in a value", "a > b"),
        ("empty", "an empty value", ""),
    ] {
        cases.invalid(&format!("value-{name}"), SYNTAX, comment, |draft| {
            draft.fields.attributes[0].1.push(value.into());
        });
    }
}

/// A ticket with everything in it, and two statements of rights.
fn everything() -> Draft {
    let mut draft = Draft::pair();
    draft.fields.authn = Draft::user().fields.authn;
    draft.fields.authz = vec![Draft::rights().fields.authz[0].clone(); 2];
    draft
}

/// Two rules broken at once, in two places where both can be: section 4.2 goes rule by rule over the whole ticket, not
/// statement by statement, so the fault of the later rule stands first.
fn orders(cases: &mut Cases) {
    type Break = (&'static str, (&'static str, &'static str), fn(&mut Draft));
    let breaks: [Break; 12] = [
        ("syntax", SYNTAX, |draft| draft.fields.attributes[2].1[0].push('>')),
        ("id", ID, |draft| draft.fields.id.make_ascii_uppercase()),
        ("time", TIME, |draft| {
            if let Some((instant, _)) = &mut draft.fields.authn {
                *instant = "2026-09-31T14:13:20Z".into();
            }
        }),
        ("reference", REFERENCE, |draft| draft.signing(|signing| signing.reference = "#x".into())),
        ("algorithm", ALGORITHM, |draft| {
            let sha512 = || Some(replacing("xmlenc#sha256", "xmlenc#sha512"));
            (draft.forge.signed_info, draft.forge.signature) = (sha512(), sha512());
        }),
        ("subject", SUBJECT, |draft| draft.fields.subject = "urn:x".into()),
        ("key", KEY, |draft| {
            if let Some(key) = &mut draft.fields.confirmation {
                key.exponent = "AQAD".into();
            }
        }),
        ("decision", DECISION, |draft| draft.fields.authz[1].decision = "Indeterminate".into()),
        ("action", ACTION, |draft| draft.fields.authz[0].actions = vec!["Execute".into()]),
        ("repeated", REPEATED, |draft| draft.fields.attributes.push(key_values(&[(DEVICE_Z, &KEY_Y)]))),
        ("attribute", ATTRIBUTE, |draft| draft.fields.attributes[1].1.push("x".into())),
        ("ambiguous", AMBIGUOUS, |draft| {
            draft.fields.attributes[0].1.push(format!("{DEVICE_Y} {}", KEY_X.fingerprint()));
        }),
    ];
    cases.base("all-statements", "all kinds of statements", &["TKT-006"], everything);
    for (at, (first, rule, one)) in breaks.iter().enumerate() {
        for (second, _, other) in &breaks[at + 1..] {
            let (id, comment) = (format!("order-{first}-{second}"), format!("{first}, and {second}"));
            cases.invalid(&id, *rule, &comment, |draft| {
                one(draft);
                other(draft);
            });
        }
    }
}
