//! `vectors/ticket/pair.json`: the P2P predicate.

use serde_json::{Value, json};

use super::draft::Draft;
use crate::oracle::ticket::uri;
use crate::vectors::envelope::{File, Group, Test};
use crate::vectors::fixtures::{
    ALICE, BOB, DEVICE_X, DEVICE_Y, DEVICE_Z, FOLDER, ISSUER, ISSUER_A, ISSUER_EVIL, KEY_X, KEY_Y, KEY_Z,
    NOW, OTHER_FOLDER, claim_values, device, issuers, key_values, mapping_values, user,
};

pub(super) fn file() -> File {
    let mut pairs = Pairs(Vec::new());
    pairs.related();
    pairs.unrelated();
    pairs.wrong_key();
    pairs.wrong_kind();
    File {
        part: "ticket",
        name: "pair",
        algorithm: "Meshproof P2P predicate",
        header: &[
            "spec/ticket.md section 4.5, after 4.3 with the responder's audience and possession of the ticket's key proved",
            "valid: the two devices are related, on the grounds in expect; folders are in the order of their identifiers",
        ],
        groups: vec![Group {
            kind: "TicketPair",
            fields: json!({"issuers": issuers(&[(ISSUER, &[&ISSUER_A])])}),
            tests: pairs.0,
        }],
    }
}

struct Pairs(Vec<Test>);

const KEYS: usize = 0;
const CLAIMS: usize = 1;
const MAPPINGS: usize = 2;

fn inputs(draft: &Draft) -> Value {
    json!({
        "now": draft.now,
        "ticket": draft.token(),
        "responder": DEVICE_Y,
        "responder_spki": KEY_Y.spki_text(),
    })
}

fn folder(folder: &str, initiator: &str, responder: &str) -> Value {
    json!({"folder": folder, "initiator_role": initiator, "responder_role": responder})
}

impl Pairs {
    fn valid(
        &mut self,
        id: &str,
        comment: &str,
        user: &Value,
        folders: &Value,
        change: impl FnOnce(&mut Draft),
    ) {
        let mut draft = Draft::pair();
        change(&mut draft);
        let test = Test::valid(&format!("ticket.pair.{id}"), comment, &["TKT-032"], inputs(&draft));
        self.0.push(test.expect(json!({
            "initiator": DEVICE_X,
            "initiator_fingerprint": KEY_X.fingerprint(),
            "user": user,
            "folders": folders,
        })));
    }

    fn invalid(
        &mut self,
        id: &str,
        twin: &str,
        rule: (&str, &str),
        comment: &str,
        change: impl FnOnce(&mut Draft),
    ) {
        let mut draft = Draft::pair();
        change(&mut draft);
        let (id, twin) = (format!("ticket.pair.{id}"), format!("ticket.pair.{twin}"));
        self.0.push(Test::invalid(&id, &twin, comment, &[rule.0], rule.1, inputs(&draft)));
    }

    fn related(&mut self) {
        let both = json!([folder(FOLDER, "owner", "reader")]);
        self.valid("user-and-folder", "one user and one folder", &json!(ALICE), &both, |_| {});
        self.valid("user", "one user, no folder", &json!(ALICE), &json!([]), |draft| {
            draft.fields.attributes.truncate(2);
        });
        self.valid("folder", "two users, one folder", &Value::Null, &both, |draft| {
            draft.fields.attributes[CLAIMS] = claim_values(&[(DEVICE_X, ALICE), (DEVICE_Y, BOB)]);
        });
        self.valid("folder-without-claims", "no claims, one folder", &Value::Null, &both, |draft| {
            draft.fields.attributes.remove(CLAIMS);
        });
        self.valid("of-all-kinds", "a sign-in and a right beside", &json!(ALICE), &both, |draft| {
            draft.fields.authn = Draft::user().fields.authn;
            draft.fields.authz = Draft::rights().fields.authz;
        });
        let two = json!([folder(FOLDER, "owner", "contributor"), folder(OTHER_FOLDER, "reader", "owner")]);
        self.valid("folders", "two folders, written in another order", &json!(ALICE), &two, |draft| {
            draft.fields.attributes[MAPPINGS] = mapping_values(&[
                (OTHER_FOLDER, DEVICE_Y, "owner"),
                (FOLDER, DEVICE_X, "owner"),
                (OTHER_FOLDER, DEVICE_X, "reader"),
                (FOLDER, DEVICE_Y, "contributor"),
            ]);
        });
        let one = json!([folder(FOLDER, "owner", "reader")]);
        self.valid(
            "folder-of-one-only",
            "a further folder on one device only",
            &json!(ALICE),
            &one,
            |draft| {
                draft.fields.attributes[MAPPINGS].1.push(format!("{OTHER_FOLDER} {DEVICE_X} owner"));
            },
        );
        self.valid("third-device", "a third device is named too", &json!(ALICE), &one, |draft| {
            draft.fields.attributes[KEYS].1.push(format!("{DEVICE_Z} {}", KEY_Z.fingerprint()));
            draft.fields.attributes[CLAIMS].1.push(format!("{DEVICE_Z} {BOB}"));
        });
    }

    fn unrelated(&mut self) {
        let rule = ("TKT-032", "pair-unrelated");
        self.invalid("other-user", "user", rule, "claimed by two users, no folder", |draft| {
            draft.fields.attributes[CLAIMS] = claim_values(&[(DEVICE_X, ALICE), (DEVICE_Y, BOB)]);
            draft.fields.attributes.truncate(2);
        });
        self.invalid("claim-of-initiator-only", "user", rule, "only the initiator is claimed", |draft| {
            draft.fields.attributes[CLAIMS] = claim_values(&[(DEVICE_X, ALICE)]);
            draft.fields.attributes.truncate(2);
        });
        self.invalid("claim-of-responder-only", "user", rule, "only the responder is claimed", |draft| {
            draft.fields.attributes[CLAIMS] = claim_values(&[(DEVICE_Y, ALICE)]);
            draft.fields.attributes.truncate(2);
        });
        self.invalid(
            "claim-of-third",
            "user",
            rule,
            "the user claims the initiator and a third device",
            |draft| {
                draft.fields.attributes[CLAIMS] = claim_values(&[(DEVICE_X, ALICE), (DEVICE_Z, ALICE)]);
                draft.fields.attributes.truncate(2);
            },
        );
        self.invalid("keys-alone", "user", rule, "neither claim nor mapping", |draft| {
            draft.fields.attributes.truncate(1);
        });
        self.invalid(
            "other-folder",
            "folder-without-claims",
            rule,
            "a folder on each, not the same",
            |draft| {
                draft.fields.attributes[MAPPINGS] =
                    mapping_values(&[(FOLDER, DEVICE_X, "owner"), (OTHER_FOLDER, DEVICE_Y, "owner")]);
                draft.fields.attributes.remove(CLAIMS);
            },
        );
        self.invalid(
            "mapping-of-initiator-only",
            "folder-without-claims",
            rule,
            "mapped on the initiator",
            |draft| {
                draft.fields.attributes[MAPPINGS] = mapping_values(&[(FOLDER, DEVICE_X, "owner")]);
                draft.fields.attributes.remove(CLAIMS);
            },
        );
        self.invalid(
            "mapping-of-responder-only",
            "folder-without-claims",
            rule,
            "mapped on the responder",
            |draft| {
                draft.fields.attributes[MAPPINGS] = mapping_values(&[(FOLDER, DEVICE_Y, "owner")]);
                draft.fields.attributes.remove(CLAIMS);
            },
        );
        self.invalid(
            "mapping-of-third",
            "folder-without-claims",
            rule,
            "mapped on a third device",
            |draft| {
                draft.fields.attributes[MAPPINGS] =
                    mapping_values(&[(FOLDER, DEVICE_X, "owner"), (FOLDER, DEVICE_Z, "owner")]);
                draft.fields.attributes.remove(CLAIMS);
            },
        );
    }

    fn wrong_key(&mut self) {
        let rule = ("TKT-033", "pair-responder-key");
        let twin = "user-and-folder";
        self.invalid("responder-key-other", twin, rule, "another key under the responder's name", |draft| {
            draft.fields.attributes[KEYS] = key_values(&[(DEVICE_X, &KEY_X), (DEVICE_Y, &KEY_Z)]);
        });
        self.invalid("responder-key-missing", twin, rule, "no key under the responder's name", |draft| {
            draft.fields.attributes[KEYS] = key_values(&[(DEVICE_X, &KEY_X)]);
        });
        self.invalid(
            "responder-key-under-other-name",
            twin,
            rule,
            "the responder's key under another name",
            |draft| {
                draft.fields.attributes[KEYS] = key_values(&[(DEVICE_X, &KEY_X), (DEVICE_Z, &KEY_Y)]);
            },
        );
        self.invalid(
            "responder-key-is-initiators",
            twin,
            rule,
            "the initiator's key under the responder's name",
            |draft| {
                draft.fields.attributes[KEYS] = key_values(&[(DEVICE_X, &KEY_X), (DEVICE_Y, &KEY_X)]);
            },
        );
        self.invalid("keys-missing", twin, rule, "no key attribute", |draft| {
            draft.fields.attributes.remove(KEYS);
        });
    }

    fn wrong_kind(&mut self) {
        let twin = "user-and-folder";
        let rule = ("TKT-034", "pair-bearer");
        self.invalid("bearer", twin, rule, "a bearer ticket", |draft| draft.fields.confirmation = None);
        self.invalid("of-user", twin, rule, "a ticket of a user", |draft| draft.fields.subject = user(ALICE));
        self.invalid(
            "of-user-with-digits-of-device",
            twin,
            rule,
            "a user with the device's digits",
            |draft| {
                draft.fields.subject = format!("{}{DEVICE_X}", uri::USER);
            },
        );
        // The predicate begins with a verified ticket.
        self.invalid("expired", twin, ("TKT-014", "ticket-expired"), "expired", |draft| {
            draft.now = NOW + 600;
        });
        self.invalid(
            "forged",
            twin,
            ("TKT-021", "ticket-signature"),
            "signed with an unknown key",
            |draft| {
                draft.key = &ISSUER_EVIL;
            },
        );
        self.invalid("for-third", twin, ("TKT-024", "ticket-audience"), "for a third device", |draft| {
            draft.fields.audience = device(DEVICE_Z);
        });
    }
}
