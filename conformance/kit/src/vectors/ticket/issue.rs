//! `vectors/ticket/issue.json`: the ticket that an issuer writes for given fields. RSASSA-PKCS1-v1_5 has no randomness,
//! so every issuer writes the same bytes.

use serde_json::{Value, json};

use crate::oracle::ticket::{ConfirmationKey, TicketFields, time};
use crate::vectors::envelope::{File, Group, Test};
use crate::vectors::fixtures::{
    ALICE, BOB, CLOUD, DEVICE_X, DEVICE_Y, FOLDER, ISSUER, ISSUER_A, KEY_3072, KEY_X, KEY_Y, Key, NOW,
    OTHER_FOLDER, device, ticket_id, user,
};

pub(super) fn file() -> File {
    let group = Group {
        kind: "TicketIssue",
        fields: json!({"issuer_key": ISSUER_A.pkcs8_text()}),
        tests: valid().into_iter().chain(invalid()).collect(),
    };
    File {
        part: "ticket",
        name: "issue",
        algorithm: "Meshproof ticket: SAML 2.0 profile, RSASSA-PKCS1-v1_5 with SHA-256",
        header: &[
            "spec/ticket.md section 4.1: write the ticket of these fields; the ID is given rather than drawn",
            "attributes are written in the order key, claim, mapping, and left out where they have no value",
            "invalid: no ticket of the grammar has these fields, so an issuer must not emit one",
        ],
        groups: vec![group],
    }
}

/// The fields of a user's authentication ticket, some of them replaced.
fn fields(changes: Value) -> Value {
    let mut fields = json!({
        "id": ticket_id("issued"),
        "issue_instant": NOW,
        "issuer": ISSUER,
        "subject": user(ALICE),
        "confirmation": null,
        "not_before": NOW,
        "not_on_or_after": NOW + 600,
        "audience": CLOUD,
        "authn": null,
        "authz": [],
        "attributes": {"key": [], "claim": [], "mapping": []},
    });
    if let (Some(fields), Value::Object(changes)) = (fields.as_object_mut(), changes) {
        fields.extend(changes);
    }
    fields
}

fn authn() -> Value {
    json!({"instant": NOW - 60, "class": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"})
}

fn authz(decision: &str, resource: &str, actions: &[&str]) -> Value {
    json!({"decision": decision, "resource": resource, "actions": actions})
}

fn attributes(device: &str) -> Value {
    let (x, y) = (KEY_X.fingerprint(), KEY_Y.fingerprint());
    json!({
        "key": [format!("{device} {x}"), format!("{DEVICE_Y} {y}")],
        "claim": [format!("{device} {ALICE}"), format!("{DEVICE_Y} {ALICE}")],
        "mapping": [format!("{FOLDER} {device} owner"), format!("{FOLDER} {DEVICE_Y} contributor")],
    })
}

fn pair(key: &Key) -> Value {
    fields(json!({
        "subject": device(DEVICE_X),
        "audience": device(DEVICE_Y),
        "confirmation": key.spki_text(),
        "attributes": attributes(DEVICE_X),
    }))
}

fn valid() -> Vec<Test> {
    let folder = format!("/mesh/objects/{FOLDER}");
    let other = format!("/mesh/objects/{OTHER_FOLDER}");
    let read = authz("Permit", &folder, &["Read"]);
    let all = authz("Permit", &folder, &["Read", "Write", "Delete", "Control"]);
    let denied = authz("Deny", &other, &["Write"]);
    let key_only =
        json!({"key": [format!("{DEVICE_X} {}", KEY_X.fingerprint())], "claim": [], "mapping": []});
    let mapping_only = json!({"key": [], "claim": [], "mapping": [format!("{FOLDER} {DEVICE_X} reader")]});
    let list = [
        ("user-authentication", "a user's authentication ticket", fields(json!({"authn": authn()}))),
        (
            "device-authentication",
            "a device's authentication ticket",
            fields(json!({"authn": authn(), "subject": device(DEVICE_X)})),
        ),
        ("authorization", "one right on one folder", fields(json!({"authz": [read.clone()]}))),
        ("authorization-all", "all rights on one folder", fields(json!({"authz": [all.clone()]}))),
        ("authorization-deny", "rights and a denial", fields(json!({"authz": [all, denied]}))),
        ("authorization-16", "sixteen statements", fields(json!({"authz": vec![read.clone(); 16]}))),
        (
            "all-statements",
            "all kinds of statements",
            fields(json!({
                "authn": authn(), "authz": [read], "attributes": attributes(DEVICE_X),
            })),
        ),
        ("pair", "a pair ticket", pair(&KEY_X)),
        ("pair-3072", "a pair ticket with a key of 3,072 bits", pair(&KEY_3072)),
        ("attribute-key", "the key attribute alone", fields(json!({"attributes": key_only}))),
        ("attribute-mapping", "the mapping attribute alone", fields(json!({"attributes": mapping_only}))),
        (
            "other-user",
            "another user and ID",
            fields(json!({
                "authn": authn(), "subject": user(BOB), "id": ticket_id("issued to bob"),
            })),
        ),
        (
            "lifetime-1",
            "a lifetime of one second",
            fields(json!({"authn": authn(), "not_on_or_after": NOW + 1})),
        ),
        (
            "leap-day",
            "times of a leap day",
            fields(json!({
                "authn": {"instant": 1_709_251_199_u64, "class": "urn:x"},
                "issue_instant": 1_709_251_199_u64,
                "not_before": 1_709_251_199_u64,
                "not_on_or_after": 1_709_251_200_u64,
            })),
        ),
    ];
    list.into_iter()
        .map(|(id, comment, fields)| {
            let (text, unsigned, signed_info) = issue(&fields);
            Test::valid(&name(id), comment, &["TKT-001"], json!({"fields": fields}))
                .expect(json!({"ticket": text}))
                .intermediates(json!({"unsigned": unsigned, "signed_info": signed_info}))
        })
        .collect()
}

fn invalid() -> Vec<Test> {
    let with = |changes: Value| {
        let mut all = json!({"authn": authn()});
        if let (Some(all), Value::Object(changes)) = (all.as_object_mut(), changes) {
            all.extend(changes);
        }
        fields(all)
    };
    let rights = |resource: &str| fields(json!({"authz": [authz("Permit", resource, &["Read"])]}));
    let list = [
        (
            "lifetime-601",
            "user-authentication",
            "TKT-002",
            "601 s",
            with(json!({"not_on_or_after": NOW + 601})),
        ),
        ("lifetime-0", "lifetime-1", "TKT-002", "no lifetime", with(json!({"not_on_or_after": NOW}))),
        ("no-statement", "user-authentication", "TKT-001", "nothing to say", fields(json!({}))),
        (
            "id-uppercase",
            "user-authentication",
            "TKT-001",
            "an ID in capitals",
            with(json!({
                "id": ticket_id("issued").to_uppercase(),
            })),
        ),
        (
            "id-no-underscore",
            "user-authentication",
            "TKT-001",
            "an ID without its underscore",
            with(json!({"id": ticket_id("issued").trim_start_matches('_')})),
        ),
        ("id-empty", "user-authentication", "TKT-001", "an empty ID", with(json!({"id": ""}))),
        (
            "subject-mail",
            "user-authentication",
            "TKT-001",
            "a mail address",
            with(json!({"subject": "a@b.example"})),
        ),
        (
            "issuer-space",
            "user-authentication",
            "TKT-001",
            "a space in a uri",
            with(json!({"issuer": "https://a b/"})),
        ),
        ("resource-markup", "authorization", "TKT-001", "markup in a resource", rights("/a\"><x y=\"")),
        ("resource-ampersand", "authorization", "TKT-001", "an ampersand in a resource", rights("/a&b")),
        ("resource-257", "authorization", "TKT-001", "257 bytes", rights(&format!("/{}", "r".repeat(256)))),
        (
            "actions-order",
            "authorization",
            "TKT-001",
            "actions in another order",
            fields(json!({
                "authz": [authz("Permit", &format!("/mesh/objects/{FOLDER}"), &["Write", "Read"])],
            })),
        ),
        (
            "statements-17",
            "authorization-16",
            "TKT-001",
            "seventeen statements",
            fields(json!({
                "authz": vec![authz("Permit", &format!("/mesh/objects/{FOLDER}"), &["Read"]); 17],
            })),
        ),
        (
            "attribute-value",
            "attribute-key",
            "TKT-001",
            "a value that section 3.1 does not know",
            fields(json!({
                "attributes": {"key": ["x"], "claim": [], "mapping": []},
            })),
        ),
    ];
    list.into_iter()
        .map(|(id, twin, rule, comment, fields)| {
            Test::invalid(&name(id), &name(twin), comment, &[rule], "", json!({"fields": fields}))
        })
        .collect()
}

fn name(id: &str) -> String {
    format!("ticket.issue.{id}")
}

/// The ticket, its unsigned form and its `signed-info`, by the oracle.
fn issue(fields: &Value) -> (String, String, String) {
    let fields: TicketFields = crate::vectors::reader::issue_fields(fields).expect("fields of this file");
    let unsigned = fields.unsigned();
    let signed_info = crate::oracle::ticket::Signing::over(&unsigned, &fields.id).signed_info();
    // A confirmation key is written in its shortest form, a time as the grammar has it.
    debug_assert!(
        fields.confirmation.as_ref().is_none_or(|ConfirmationKey { exponent, .. }| exponent == "AQAB")
    );
    debug_assert!(time::from_text(&fields.not_before).is_some());
    (fields.issue(&ISSUER_A.private), unsigned, signed_info)
}
