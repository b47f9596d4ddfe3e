//! Encoding, size, bytes and the literal text: TKT-003 to TKT-006. Unless a comment says otherwise, digest and signature
//! are right for the changed bytes, so that nothing but the rule under test can refuse the ticket.

use super::draft::{Cases, Draft, replacing};
use crate::oracle::crypto::{base64, h};
use crate::oracle::ticket::{Decision, LARGEST};
use crate::vectors::fixtures::authorization;

const ENCODING: (&str, &str) = ("TKT-003", "ticket-encoding");
const LARGE: (&str, &str) = ("TKT-004", "ticket-too-large");
const BYTES: (&str, &str) = ("TKT-005", "ticket-bytes");
const SYNTAX: (&str, &str) = ("TKT-006", "ticket-syntax");

pub(super) fn cases(cases: &mut Cases) {
    cases.base(
        "user-authentication",
        "a user's authentication ticket",
        &["TKT-003", "TKT-006", "TKT-014", "TKT-020", "TKT-021", "TKT-024"],
        Draft::user,
    );
    encoding(cases);
    size(cases);
    cases.from("user-authentication", Draft::user);
    bytes(cases);
    literal(cases);
    canonical_elsewhere(cases);
    cases.base(
        "authorization",
        "rights of a user on a folder",
        &["TKT-006", "TKT-013", "TKT-015"],
        Draft::rights,
    );
    statements(cases);
}

/// The user's ticket with a class so long that base64url ends with one byte in two digits.
fn odd() -> Draft {
    let mut draft = Draft::user();
    while draft.text().len() % 3 != 1 {
        if let Some((_, class)) = &mut draft.fields.authn {
            class.push('x');
        }
    }
    draft
}

fn encoding(cases: &mut Cases) {
    cases.base("encoding-odd-length", "base64url whose last digit has unused bits", &["TKT-003"], odd);
    let edit = |change: fn(String) -> String| move |draft: &mut Draft| draft.header = Some(Box::new(change));
    cases.invalid("encoding-padding", ENCODING, "padded with ==", edit(|token| token + "=="));
    cases.invalid("encoding-one-padding", ENCODING, "padded with one =", edit(|token| token + "="));
    cases.invalid(
        "encoding-trailing-bits",
        ENCODING,
        "an unused bit of the last digit is 1",
        edit(|mut token| {
            let last = token.pop().unwrap_or('A');
            token.push(char::from(last as u8 + 1));
            token
        }),
    );
    cases.invalid("encoding-leading-space", ENCODING, "a space before it", edit(|token| format!(" {token}")));
    cases.invalid("encoding-trailing-space", ENCODING, "a space after it", edit(|token| token + " "));
    cases.invalid(
        "encoding-line-break",
        ENCODING,
        "a line feed inside",
        edit(|mut token| {
            token.insert(76, '\n');
            token
        }),
    );
    cases.invalid(
        "encoding-plus",
        ENCODING,
        "a digit of the other alphabet: +",
        edit(|mut token| {
            token.replace_range(10..11, "+");
            token
        }),
    );
    cases.invalid(
        "encoding-slash",
        ENCODING,
        "a digit of the other alphabet: /",
        edit(|mut token| {
            token.replace_range(10..11, "/");
            token
        }),
    );
    cases.invalid(
        "encoding-dangling-digit",
        ENCODING,
        "a number of digits that no bytes have",
        edit(|token| token + "AAA"),
    );
    cases.invalid(
        "encoding-percent",
        ENCODING,
        "percent-encoded digit",
        edit(|token| token.replacen('P', "%50", 1)),
    );
    cases.invalid("encoding-none", SYNTAX, "no digits at all", edit(|_| String::new()));
}

/// An authorization ticket of exactly so many bytes, by the length of its resources.
fn sized(size: usize) -> Draft {
    let mut draft = Draft::new(authorization("sized"));
    draft.fields.authz = (0..16).map(|i| Decision::new("Permit", &format!("/{i:02}"), &["Read"])).collect();
    for i in 0..16 {
        let missing = size - draft.text().len();
        let resource = &mut draft.fields.authz[i].resource;
        let room = 256 - resource.len();
        resource.push_str(&"r".repeat(missing.min(room)));
    }
    assert_eq!(draft.text().len(), size);
    draft
}

fn size(cases: &mut Cases) {
    cases.base("size-8192", "the largest ticket", &["TKT-004"], || sized(LARGEST));
    cases.from("size-8192", || sized(LARGEST + 1));
    cases.invalid("size-8193", LARGE, "one byte more", |_| {});
    cases.from("size-8192", || sized(LARGEST));
    cases.invalid("size-100000", LARGE, "filled up with spaces", |draft| {
        draft.bytes = Some(Box::new(|bytes| bytes.resize(100_000, b' ')));
    });
}

fn bytes(cases: &mut Cases) {
    let class = "PasswordProtectedTransport<";
    for (id, comment, to) in [
        ("byte-nul", "a NUL in a text", "Password\0<"),
        ("byte-tab", "a tab in a text", "Password\t<"),
        ("byte-line-feed", "a line feed in a text", "Password\n<"),
        ("byte-carriage-return", "a carriage return in a text", "Password\r<"),
        ("byte-delete", "0x7F in a text", "Password\u{7f}<"),
        ("byte-utf8", "a letter of two bytes in UTF-8", "Passw\u{f6}rd<"),
        ("byte-full-width", "a full-width look-alike", "\u{ff30}assword<"),
    ] {
        cases.invalid(id, BYTES, comment, |draft| draft.replace(class, to));
    }
    let at = |change: fn(&mut Vec<u8>)| move |draft: &mut Draft| draft.bytes = Some(Box::new(change));
    cases.invalid(
        "byte-order-mark",
        BYTES,
        "a byte order mark before it",
        at(|bytes| {
            bytes.splice(0..0, [0xef, 0xbb, 0xbf]);
        }),
    );
    cases.invalid("byte-trailing-line-feed", BYTES, "a line feed after it", at(|bytes| bytes.push(b'\n')));
    cases.invalid("byte-trailing-nul", BYTES, "a NUL after it", at(|bytes| bytes.push(0)));
    cases.invalid("byte-lone-0x80", BYTES, "a byte that is no UTF-8 after it", at(|bytes| bytes.push(0x80)));
    cases.invalid(
        "byte-utf16",
        BYTES,
        "in UTF-16",
        at(|bytes| {
            *bytes = bytes.iter().flat_map(|byte| [0, *byte]).collect();
        }),
    );
}

/// Departures from the literal text, signed over the bytes as they are.
fn literal(cases: &mut Cases) {
    const SUBJECT_END: &str = "</saml2:NameID><saml2:SubjectConfirmation \
                               Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"></saml2:SubjectConfirmation>";
    const AUDIENCE: &str = "<saml2:AudienceRestriction><saml2:Audience>https://cloud.mesh.example/</saml2:Audience>\
                            </saml2:AudienceRestriction>";
    let doctype = "<!DOCTYPE saml2:Assertion [<!ENTITY e \"x\">]><saml2:Assertion ";
    let doubled = SUBJECT_END.replace("</saml2:NameID>", "");
    let table = [
        (
            "xml-declaration",
            "an XML declaration",
            "<saml2:Assertion ",
            "<?xml version=\"1.0\"?><saml2:Assertion ",
        ),
        ("doctype", "a DOCTYPE", "<saml2:Assertion ", "<!DOCTYPE saml2:Assertion><saml2:Assertion "),
        ("doctype-entity", "a DOCTYPE that defines an entity", "<saml2:Assertion ", doctype),
        ("comment-before", "a comment before it", "<saml2:Assertion ", "<!-- --><saml2:Assertion "),
        ("comment-inside", "a comment between elements", "<saml2:Subject>", "<!-- --><saml2:Subject>"),
        ("comment-after", "a comment after it", "</saml2:Assertion>", "</saml2:Assertion><!-- -->"),
        ("processing-instruction", "a processing instruction", "<saml2:Subject>", "<?a b?><saml2:Subject>"),
        ("space-between-elements", "a space between elements", "<saml2:Subject>", " <saml2:Subject>"),
        ("space-before", "a space before it", "<saml2:Assertion ", " <saml2:Assertion "),
        ("space-after", "a space after it", "</saml2:Assertion>", "</saml2:Assertion> "),
        ("space-in-start-tag", "a second space in a tag", "<saml2:Assertion ", "<saml2:Assertion  "),
        ("space-before-tag-end", "a space at the end of a tag", "Version=\"2.0\">", "Version=\"2.0\" >"),
        ("space-in-end-tag", "a space in an end tag", "</saml2:Issuer>", "</saml2:Issuer >"),
        ("space-around-equals", "spaces around =", "Version=\"2.0\"", "Version = \"2.0\""),
        ("single-quotes", "single quotes", "Version=\"2.0\"", "Version='2.0'"),
        (
            "attribute-order",
            "attributes in another order",
            "NotBefore=\"2026-09-21T14:13:20Z\" NotOnOrAfter=\"2026-09-21T14:23:20Z\"",
            "NotOnOrAfter=\"2026-09-21T14:23:20Z\" NotBefore=\"2026-09-21T14:13:20Z\"",
        ),
        ("attribute-repeated", "an attribute twice", " Version=\"2.0\"", " Version=\"2.0\" Version=\"2.0\""),
        ("attribute-added", "an attribute more", " Version=\"2.0\"", " Version=\"2.0\" Extra=\"1\""),
        ("namespace-added", "a namespace more", " Version=\"2.0\"", " Version=\"2.0\" xmlns:xs=\"urn:x\""),
        ("namespace-other", "another SAML namespace", "SAML:2.0:assertion\" ID", "SAML:1.0:assertion\" ID"),
        ("version", "another version", "Version=\"2.0\"", "Version=\"2.1\""),
        ("version-missing", "no version", " Version=\"2.0\"", ""),
        ("self-closing", "a self-closing tag", "cm:bearer\"></saml2:SubjectConfirmation>", "cm:bearer\"/>"),
        ("issuer-format", "an Issuer with a Format", "<saml2:Issuer>", "<saml2:Issuer Format=\"urn:x\">"),
        ("name-format", "a NameID of another Format", "nameid-format:persistent", "nameid-format:transient"),
        ("name-qualifier", "a NameID with a qualifier", "persistent\">", "persistent\" NameQualifier=\"x\">"),
        ("confirmation-sender-vouches", "another confirmation method", "cm:bearer", "cm:sender-vouches"),
        ("confirmation-missing", "no confirmation", SUBJECT_END, "</saml2:NameID>"),
        ("confirmation-two", "two confirmations", "</saml2:Subject>", &format!("{doubled}</saml2:Subject>")),
        ("subject-missing-end", "a missing end tag", "</saml2:Subject>", ""),
        ("audience-missing", "no audience restriction", AUDIENCE, ""),
        (
            "audience-two",
            "two audiences",
            "</saml2:Audience>",
            "</saml2:Audience><saml2:Audience>https://other.example/</saml2:Audience>",
        ),
        (
            "restriction-two",
            "two audience restrictions",
            "</saml2:AudienceRestriction>",
            "</saml2:AudienceRestriction><saml2:AudienceRestriction><saml2:Audience>urn:x</saml2:Audience>\
             </saml2:AudienceRestriction>",
        ),
        (
            "one-time-use",
            "a OneTimeUse condition",
            "</saml2:Conditions>",
            "<saml2:OneTimeUse/></saml2:Conditions>",
        ),
        (
            "conditions-empty-second",
            "two Conditions",
            "</saml2:Conditions>",
            "</saml2:Conditions><saml2:Conditions/>",
        ),
        (
            "advice",
            "an Advice element",
            "</saml2:Conditions>",
            "</saml2:Conditions><saml2:Advice></saml2:Advice>",
        ),
        (
            "session-index",
            "a SessionIndex",
            "<saml2:AuthnStatement ",
            "<saml2:AuthnStatement SessionIndex=\"1\" ",
        ),
        (
            "statement-unknown",
            "an unknown statement",
            "</saml2:Assertion>",
            "<saml2:Statement/></saml2:Assertion>",
        ),
        ("end-missing", "no end tag", "</saml2:Assertion>", ""),
        ("end-twice", "two end tags", "</saml2:Assertion>", "</saml2:Assertion></saml2:Assertion>"),
        ("text-after", "text after it", "</saml2:Assertion>", "</saml2:Assertion>x"),
        ("second-root", "a second root", "</saml2:Assertion>", "</saml2:Assertion><x></x>"),
        ("audience-space", "a space in a uri", "cloud.mesh.example", "cloud.mesh example"),
        ("audience-empty", "an empty uri", "<saml2:Audience>https://cloud.mesh.example/", "<saml2:Audience>"),
        ("element-case", "an element in other letters", "<saml2:Subject>", "<saml2:subject>"),
    ];
    for (id, comment, from, to) in table {
        cases.invalid(&format!("syntax-{id}"), SYNTAX, comment, |draft| draft.replace(from, to));
    }
    for (id, comment, from, to) in [
        ("name-comment", "a comment inside the NameID", "user:a11ce", "user:<!-- -->a11ce"),
        ("name-cdata", "CDATA inside the NameID", "user:a11ce", "user:<![CDATA[a11ce]]>"),
        (
            "name-character-reference",
            "a character reference inside the NameID",
            "user:a11ce",
            "user:&#97;11ce",
        ),
        ("name-element", "an element inside the NameID", "user:a11ce", "user:<x></x>a11ce"),
        ("audience-entity", "an entity in the audience", "cloud.mesh", "cloud&amp;mesh"),
        ("subject-two", "two names", "</saml2:NameID>", "</saml2:NameID><saml2:NameID>x</saml2:NameID>"),
    ] {
        cases.invalid(&format!("syntax-{id}"), SYNTAX, comment, |draft| draft.replace(from, to));
    }
    cases.invalid("syntax-prefix", SYNTAX, "the prefix saml in place of saml2 throughout", |draft| {
        let renamed = |text: &str| text.replace("saml2:", "saml:").replace(":saml2=", ":saml=");
        let digest = base64(&h(&[renamed(&draft.fields.unsigned()).as_bytes()]));
        draft.signing(move |signing| signing.digest.clone_from(&digest));
        draft.forge.after = Some(Box::new(move |text| renamed(&text)));
    });
    cases.invalid("syntax-empty-document", SYNTAX, "no element at all, one space", |draft| {
        draft.bytes = Some(Box::new(|bytes| *bytes = vec![b' ']));
    });
    for (id, share) in [("half", 2), ("third", 3)] {
        cases.invalid(&format!("syntax-cut-{id}"), SYNTAX, "the ticket cut short", move |draft| {
            draft.bytes = Some(Box::new(move |bytes| bytes.truncate(bytes.len() / share)));
        });
    }
}

/// Changed after signing in ways that Canonical XML undoes: a general SAML verifier accepts these.
fn canonical_elsewhere(cases: &mut Cases) {
    for (id, comment, from, to) in [
        ("comment", "a comment", "<saml2:Subject>", "<!-- --><saml2:Subject>"),
        (
            "xml-declaration",
            "an XML declaration",
            "<saml2:Assertion ",
            "<?xml version=\"1.0\"?><saml2:Assertion ",
        ),
        ("doctype", "a DOCTYPE", "<saml2:Assertion ", "<!DOCTYPE saml2:Assertion><saml2:Assertion "),
        ("single-quotes", "single quotes", "Version=\"2.0\"", "Version='2.0'"),
        ("self-closing", "a self-closing tag", "cm:bearer\"></saml2:SubjectConfirmation>", "cm:bearer\"/>"),
        ("space-in-tag", "a space at the end of a tag", "Version=\"2.0\">", "Version=\"2.0\" >"),
        ("space-in-end-tag", "a space in an end tag", "</saml2:Issuer>", "</saml2:Issuer >"),
        (
            "unused-namespace",
            "a namespace that nothing uses",
            "<saml2:Subject>",
            "<saml2:Subject xmlns:x=\"urn:x\">",
        ),
        ("signature-comment", "a comment in the signature", "<ds:SignedInfo>", "<ds:SignedInfo><!-- -->"),
        ("signature-self-closing", "a self-closing tag in the signature", "></ds:DigestMethod>", "/>"),
    ] {
        let comment = format!("{comment}, added after signing where Canonical XML drops it");
        cases.invalid(&format!("c14n-{id}"), SYNTAX, &comment, |draft| draft.replace_after(from, to));
    }
    cases.invalid(
        "c14n-name-comment",
        SYNTAX,
        "a comment added inside the NameID after signing: a library that reads the first text node sees another user",
        |draft| draft.replace_after("user:a11ce000", "user:a11ce<!-- -->000"),
    );
    cases.invalid(
        "c14n-character-reference",
        SYNTAX,
        "a character reference for a letter of the NameID, after signing",
        |draft| draft.replace_after("user:a11ce", "user:&#x61;11ce"),
    );
    cases.invalid("c14n-attribute-order", SYNTAX, "attributes in another order, after signing", |draft| {
        draft.forge.after = Some(Box::new(|text| {
            replacing("xmlns:saml2", "Version=\"2.0\" xmlns:saml2")(text.replacen(
                " Version=\"2.0\">",
                ">",
                1,
            ))
        }));
    });
}

/// Statements: their order, number and inner literals.
fn statements(cases: &mut Cases) {
    cases.valid("statements-16", "TKT-006", "sixteen statements", |draft| {
        draft.fields.authz = vec![draft.fields.authz[0].clone(); 16];
    });
    cases.beside("statements-16", "statements-17", SYNTAX, "seventeen statements", |draft| {
        draft.fields.authz = vec![draft.fields.authz[0].clone(); 17];
    });
    cases.valid("resource-256", "TKT-006", "a uri of 256 bytes", |draft| {
        draft.fields.authz[0].resource = format!("/{}", "r".repeat(255));
    });
    cases.beside("resource-256", "resource-257", SYNTAX, "a uri of 257 bytes", |draft| {
        draft.fields.authz[0].resource = format!("/{}", "r".repeat(256));
    });
    for (id, comment, resource) in [
        ("empty", "an empty resource", ""),
        ("query", "a query in a resource", "/mesh?x=1"),
        ("percent", "a percent-encoding in a resource", "/mesh/%2e%2e"),
        ("entity", "an entity in a resource", "/mesh/&amp;"),
        ("space", "a space in a resource", "/mesh/a b"),
        ("angle", "an angle bracket in a resource", "/mesh/<b"),
    ] {
        cases.invalid(&format!("resource-{id}"), SYNTAX, comment, |draft| {
            draft.fields.authz[0].resource = resource.into();
        });
    }
    let action = "action:rwedc\">Read";
    cases.invalid("action-namespace", SYNTAX, "actions of another namespace", |draft| {
        draft.replace(action, "action:ghpp\">Read");
    });
    cases.invalid("action-namespace-missing", SYNTAX, "an action without namespace", |draft| {
        draft.replace(" Namespace=\"urn:oasis:names:tc:SAML:1.0:action:rwedc\"", "");
    });
    cases.invalid("action-none", SYNTAX, "a statement without action", |draft| {
        draft.fields.authz[0].actions.clear();
    });
    cases.invalid("evidence", SYNTAX, "a statement with Evidence", |draft| {
        draft.replace("</saml2:AuthzDecisionStatement>", "<saml2:Evidence/></saml2:AuthzDecisionStatement>");
    });
    cases.invalid("decision-order", SYNTAX, "Resource before Decision", |draft| {
        draft.forge.before_digest = Some(Box::new(|text| {
            let (head, tail) = text.split_once(" Decision=\"Permit\"").unwrap_or_default();
            format!("{head}{}", tail.replacen("\">", "\" Decision=\"Permit\">", 1))
        }));
    });
    cases.valid(
        "statements-mixed",
        "TKT-006",
        "an authentication statement before an authorization",
        |draft| {
            draft.fields.authn = Draft::user().fields.authn;
        },
    );
    cases.beside(
        "statements-mixed",
        "statements-swapped",
        SYNTAX,
        "the authorization comes first",
        |draft| {
            let authn = authn_text();
            draft.replace("</saml2:Assertion>", &format!("{authn}</saml2:Assertion>"));
        },
    );
    cases.beside(
        "statements-mixed",
        "authentication-two",
        SYNTAX,
        "two authentication statements",
        |draft| {
            draft.fields.authn = Draft::user().fields.authn;
            let authn = authn_text();
            draft.replace("<saml2:AuthnStatement ", &format!("{authn}<saml2:AuthnStatement "));
        },
    );
}

/// The authentication statement of the user's ticket.
fn authn_text() -> String {
    let text = Draft::user().text();
    let from = text.find("<saml2:AuthnStatement ").unwrap_or_default();
    let to = text.find("</saml2:Assertion>").unwrap_or_default();
    text[from..to].to_owned()
}
