//! `vectors/ticket/verify.json`: is this ticket to be believed?

use serde_json::{Value, json};

use super::draft::{Cases, Draft};
use super::{attacks, fields, trust, wire};
use crate::vectors::envelope::{File, Group, Test};
use crate::vectors::fixtures::{
    CLOUD, DEVICE_Y, ISSUER, ISSUER_A, ISSUER_B, Key, OTHER_ISSUER, device, issuers,
};

pub(super) fn file() -> File {
    let mut cloud = Cases::new();
    wire::cases(&mut cloud);
    fields::cases(&mut cloud);
    attacks::cases(&mut cloud);
    trust::cases(&mut cloud);
    trust::kind_cases(&mut cloud);

    let mut at_device = Cases::new();
    fields::pair_cases(&mut at_device);
    trust::possession_cases(&mut at_device);
    trust::pair_kind_cases(&mut at_device);

    File {
        part: "ticket",
        name: "verify",
        algorithm: "Meshproof ticket: SAML 2.0 profile, RSASSA-PKCS1-v1_5 with SHA-256",
        header: &[
            "spec/ticket.md sections 4.2 and 4.3: verify a ticket as a service with this audience and clock",
        ],
        groups: vec![
            group(&[(ISSUER, &[&ISSUER_A])], CLOUD, cloud.tests),
            group(&[(ISSUER, &[&ISSUER_A])], &device(DEVICE_Y), at_device.tests),
            group(&[(ISSUER, &[&ISSUER_A, &ISSUER_B])], CLOUD, rollover()),
            group(&[(ISSUER, &[&ISSUER_A]), (OTHER_ISSUER, &[&ISSUER_B])], CLOUD, two_issuers()),
        ],
    }
}

fn group(trusted: &[(&str, &[&Key])], audience: &str, tests: Vec<Test>) -> Group {
    let fields: Value = json!({"issuers": issuers(trusted), "audience": audience});
    Group { kind: "TicketVerify", fields, tests }
}

/// An issuer with two keys.
fn rollover() -> Vec<Test> {
    let mut cases = Cases::new();
    cases.base("rollover-first-key", "signed with the first of two keys", &["TKT-021"], Draft::user);
    cases.valid("rollover-second-key", "TKT-021", "signed with the second of two keys", |draft| {
        draft.key = &ISSUER_B;
    });
    let rule = ("TKT-021", "ticket-signature");
    cases.invalid("rollover-neither-key", rule, "signed with a third key", |draft| {
        draft.key = &crate::vectors::fixtures::ISSUER_EVIL;
    });
    cases.tests
}

/// Two issuers with a key each.
fn two_issuers() -> Vec<Test> {
    let mut cases = Cases::new();
    cases.base("two-issuers", "the key of the issuer that the ticket names", &["TKT-021"], Draft::user);
    cases.valid("two-issuers-other", "TKT-021", "the other issuer and its key", |draft| {
        draft.fields.issuer = OTHER_ISSUER.into();
        draft.key = &ISSUER_B;
    });
    let rule = ("TKT-021", "ticket-signature");
    cases.invalid("key-of-another-issuer", rule, "signed with the key of another trusted issuer", |draft| {
        draft.key = &ISSUER_B;
    });
    cases.invalid(
        "name-of-another-issuer",
        rule,
        "names another trusted issuer than the one that signed",
        |draft| {
            draft.fields.issuer = OTHER_ISSUER.into();
        },
    );
    cases.tests
}
