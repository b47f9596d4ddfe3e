//! `vectors/ticket/set.json`: does this set of tickets permit this action?

use serde_json::{Value, json};

use super::draft::Draft;
use crate::oracle::ticket::{Decision, TicketFields};
use crate::vectors::envelope::{File, Group, Test};
use crate::vectors::fixtures::{
    ALICE, BOB, CLOUD, DEVICE_X, FOLDER, ISSUER, ISSUER_A, ISSUER_EVIL, NOW, OTHER_FOLDER, authorization,
    device, issuers, pair, ticket_id, user,
};

pub(super) fn file() -> File {
    let mut sets = Sets(Vec::new());
    sets.granted();
    sets.refused();
    File {
        part: "ticket",
        name: "set",
        algorithm: "Meshproof ticket set",
        header: &[
            "spec/ticket.md section 4.4: header is what follows 'Authorization: MeshTicket '",
            "valid: the action is granted to the principal",
        ],
        groups: vec![Group {
            kind: "TicketSet",
            fields: json!({"issuers": issuers(&[(ISSUER, &[&ISSUER_A])]), "audience": CLOUD}),
            tests: sets.0,
        }],
    }
}

struct Sets(Vec<Test>);

fn resource() -> String {
    format!("/mesh/objects/{FOLDER}")
}

fn permit(id: &str, actions: &[&str]) -> Draft {
    rights(id, Decision::new("Permit", &resource(), actions))
}

fn deny(id: &str, actions: &[&str]) -> Draft {
    rights(id, Decision::new("Deny", &resource(), actions))
}

fn rights(id: &str, decision: Decision) -> Draft {
    Draft::new(TicketFields { authz: vec![decision], ..authorization(id) })
}

fn inputs(tokens: &[String], action: &str) -> Value {
    json!({"now": NOW, "header": tokens.join(","), "resource": resource(), "action": action, "revoked": []})
}

fn tokens(drafts: &[Draft]) -> Vec<String> {
    drafts.iter().map(Draft::token).collect()
}

fn name(id: &str) -> String {
    format!("ticket.set.{id}")
}

impl Sets {
    fn valid(&mut self, id: &str, reqs: &[&str], comment: &str, inputs: Value) {
        self.valid_for(&user(ALICE), id, reqs, comment, inputs);
    }

    fn valid_for(&mut self, principal: &str, id: &str, reqs: &[&str], comment: &str, inputs: Value) {
        self.0.push(Test::valid(&name(id), comment, reqs, inputs).expect(json!({"principal": principal})));
    }

    fn invalid(&mut self, id: &str, twin: &str, reqs: &[&str], reason: &str, comment: &str, inputs: Value) {
        self.0.push(Test::invalid(&name(id), &name(twin), comment, reqs, reason, inputs));
    }

    fn granted(&mut self) {
        let set = || tokens(&[Draft::user(), permit("permit", &["Read", "Write"])]);
        self.valid("permit", &["TKT-028", "TKT-029"], "authentication and a right", inputs(&set(), "Read"));
        self.valid("second-action", &[], "the second action of the right", inputs(&set(), "Write"));
        let reversed: Vec<String> = set().into_iter().rev().collect();
        self.valid("reversed", &[], "a set has no order", inputs(&reversed, "Read"));
        let one = Draft::new(TicketFields { authn: Draft::user().fields.authn, ..authorization("both") });
        self.valid("one-ticket", &[], "both statements in one ticket", inputs(&tokens(&[one]), "Read"));
        let facts = Draft::new(TicketFields {
            attributes: pair("facts").attributes,
            ..permit("facts", &["Read"]).fields
        });
        let set = tokens(&[Draft::user(), facts]);
        self.valid(
            "facts-beside",
            &["TKT-017"],
            "what pair tickets say, beside a right",
            inputs(&set, "Read"),
        );
        let of_device = |draft: Draft| Draft {
            fields: TicketFields { subject: device(DEVICE_X), ..draft.fields },
            ..draft
        };
        let set = tokens(&[Draft::device(), of_device(permit("of a device", &["Read"]))]);
        self.valid_for(&device(DEVICE_X), "device", &[], "a device and its right", inputs(&set, "Read"));
        self.valid("sixteen", &["TKT-027"], "sixteen tickets", inputs(&many(16), "Read"));
        let set = tokens(&[Draft::user(), permit("permit", &["Read"]), deny("deny", &["Write"])]);
        self.valid("deny-other-action", &["TKT-030"], "a denial of another action", inputs(&set, "Read"));
        let other = Decision::new("Deny", &format!("/mesh/objects/{OTHER_FOLDER}"), &["Read"]);
        let set = tokens(&[Draft::user(), permit("permit", &["Read"]), rights("deny", other)]);
        self.valid("deny-other-resource", &["TKT-030"], "a denial on another resource", inputs(&set, "Read"));
    }

    fn refused(&mut self) {
        let set = || vec![Draft::user(), permit("permit", &["Read", "Write"])];
        let (rule, reason) = (["TKT-027"], "ticket-set");
        self.invalid("seventeen", "sixteen", &rule, reason, "seventeen tickets", inputs(&many(17), "Read"));
        let same = vec![Draft::user().token(); 17];
        self.invalid(
            "seventeen-same",
            "sixteen",
            &rule,
            reason,
            "one ticket 17 times",
            inputs(&same, "Read"),
        );

        // The error is that of the ticket.
        let mut bad = |id: &str, (req, reason): (&str, &str), comment: &str, extra: &[Draft]| {
            let set = [tokens(&set()), tokens(extra)].concat();
            self.invalid(id, "permit", &["TKT-028", req], reason, comment, inputs(&set, "Read"));
        };
        let spare = || permit("spare", &["Read"]);
        let expired = |draft: Draft| {
            let not_before = crate::oracle::ticket::time::to_text(NOW - 600);
            let fields = TicketFields {
                not_before,
                not_on_or_after: crate::oracle::ticket::time::to_text(NOW),
                ..draft.fields
            };
            Draft { fields, ..draft }
        };
        let forged = || Draft { key: &ISSUER_EVIL, ..spare() };
        bad("one-expired", ("TKT-014", "ticket-expired"), "a further ticket is expired", &[expired(spare())]);
        bad(
            "one-forged",
            ("TKT-021", "ticket-signature"),
            "a further ticket is signed with a wrong key",
            &[forged()],
        );
        let two = [expired(spare()), forged()];
        bad(
            "two-bad",
            ("TKT-014", "ticket-expired"),
            "a further ticket is expired, and one behind it forged",
            &two,
        );
        let two = [forged(), expired(spare())];
        bad(
            "two-bad-reversed",
            ("TKT-021", "ticket-signature"),
            "a further ticket is forged, and one behind it expired",
            &two,
        );
        let other = TicketFields { audience: "https://other.mesh.example/".into(), ..spare().fields };
        let audience = ("TKT-024", "ticket-audience");
        bad(
            "one-for-another-service",
            audience,
            "a further ticket is for another audience",
            &[Draft::new(other)],
        );
        bad(
            "one-garbage",
            ("TKT-005", "ticket-bytes"),
            "a further ticket is no ticket",
            &[Draft { header: Some(Box::new(|_| "AAAA".to_owned())), ..spare() }],
        );
        let holder = TicketFields { subject: user(ALICE), audience: CLOUD.into(), ..Draft::pair().fields };
        bad(
            "one-holder-of-key",
            ("TKT-025", "ticket-possession"),
            "a further ticket needs a proof that HTTP has not",
            &[Draft::new(holder)],
        );
        bad(
            "one-padded",
            ("TKT-003", "ticket-encoding"),
            "a further ticket is padded",
            &[Draft { header: Some(Box::new(|t| t + "=")), ..spare() }],
        );
        for (id, (req, reason), comment, header) in [
            ("empty", ("TKT-006", "ticket-syntax"), "no ticket", String::new()),
            (
                "comma-at-end",
                ("TKT-006", "ticket-syntax"),
                "a comma at the end",
                tokens(&set()).join(",") + ",",
            ),
            ("comma-twice", ("TKT-006", "ticket-syntax"), "two commas", tokens(&set()).join(",,")),
            (
                "comma-space",
                ("TKT-003", "ticket-encoding"),
                "a space after a comma",
                tokens(&set()).join(", "),
            ),
            (
                "semicolon",
                ("TKT-003", "ticket-encoding"),
                "a semicolon for a comma",
                tokens(&set()).join(";"),
            ),
        ] {
            self.invalid(id, "permit", &["TKT-028", req], reason, comment, inputs(&[header], "Read"));
        }
        self.invalid(
            "revoked",
            "permit",
            &["TKT-028", "TKT-026"],
            "ticket-revoked",
            "the user is revoked",
            {
                let mut inputs = inputs(&tokens(&set()), "Read");
                inputs["revoked"] = json!([user(ALICE)]);
                inputs
            },
        );
        self.subjects();
        self.denials();
    }

    fn subjects(&mut self) {
        let (rule, reason) = (["TKT-029"], "ticket-set-subject");
        let of = |subject: String, draft: Draft| Draft {
            fields: TicketFields { subject, ..draft.fields },
            ..draft
        };
        let set = tokens(&[Draft::user(), of(user(BOB), permit("bob's", &["Read"]))]);
        self.invalid(
            "right-of-another",
            "permit",
            &rule,
            reason,
            "another user's right",
            inputs(&set, "Read"),
        );
        let set = tokens(&[Draft::device(), permit("permit", &["Read", "Write"])]);
        self.invalid(
            "device-with-right-of-user",
            "permit",
            &rule,
            reason,
            "a device, a user's right",
            inputs(&set, "Read"),
        );
        let set = tokens(&[Draft::user(), permit("permit", &["Read"]), of(user(BOB), Draft::user())]);
        self.invalid("two-users", "permit", &rule, reason, "two users sign in", inputs(&set, "Read"));
        let set = tokens(&[
            Draft::user(),
            permit("permit", &["Read"]),
            of(device(ALICE), permit("device", &["Read"])),
        ]);
        self.invalid(
            "same-digits",
            "permit",
            &rule,
            reason,
            "a device of the user's digits",
            inputs(&set, "Read"),
        );
    }

    fn denials(&mut self) {
        let (rule, reason) = (["TKT-030"], "action-denied");
        let (allow, refuse) = (permit("permit", &["Read", "Write"]), deny("deny", &["Read"]));
        let mut set = tokens(&[Draft::user(), allow, refuse]);
        self.invalid(
            "deny-after-permit",
            "deny-other-action",
            &rule,
            reason,
            "permitted, then denied",
            inputs(&set, "Read"),
        );
        set.reverse();
        self.invalid(
            "deny-before-permit",
            "deny-other-action",
            &rule,
            reason,
            "denied, then permitted",
            inputs(&set, "Read"),
        );
        let mut both = permit("both", &["Read", "Write"]);
        both.fields.authz.push(Decision::new("Deny", &resource(), &["Read"]));
        let set = tokens(&[Draft::user(), both]);
        self.invalid(
            "deny-in-same-ticket",
            "permit",
            &rule,
            reason,
            "denied in the same ticket",
            inputs(&set, "Read"),
        );

        let (rule, reason) = (["TKT-035"], "action-not-permitted");
        let set = tokens(&[Draft::user(), permit("permit", &["Read", "Write"])]);
        self.invalid(
            "other-action",
            "permit",
            &rule,
            reason,
            "an action that no ticket permits",
            inputs(&set, "Delete"),
        );
        let set = tokens(&[Draft::user()]);
        self.invalid("no-right", "permit", &rule, reason, "authentication alone", inputs(&set, "Read"));
        let set = tokens(&[permit("permit", &["Read", "Write"])]);
        self.invalid(
            "no-authentication",
            "permit",
            &rule,
            reason,
            "a right alone: there is no principal",
            inputs(&set, "Read"),
        );
        // Without a principal no decision is looked at.
        self.invalid(
            "denial-alone",
            "permit",
            &rule,
            reason,
            "a denial alone: there is no principal",
            inputs(&tokens(&[deny("deny", &["Read"])]), "Read"),
        );
        let facts = Draft::new(TicketFields {
            authz: Vec::new(),
            attributes: pair("facts").attributes,
            ..permit("facts", &["Read"]).fields
        });
        let set = tokens(&[Draft::user(), facts]);
        self.invalid(
            "facts-alone",
            "facts-beside",
            &rule,
            reason,
            "what pair tickets say, and no right",
            inputs(&set, "Read"),
        );
        for (id, comment, path) in [
            ("other-resource", "a right on another resource", format!("/mesh/objects/{OTHER_FOLDER}")),
            ("parent", "a right on the resource above", "/mesh/objects".to_owned()),
            ("child", "a right on a resource below", format!("{}/feeds", resource())),
            ("slash", "a right on the resource with a slash", format!("{}/", resource())),
            ("capitals", "a right on the resource in capitals", resource().to_uppercase()),
        ] {
            let set = tokens(&[Draft::user(), rights(id, Decision::new("Permit", &path, &["Read"]))]);
            self.invalid(id, "permit", &rule, reason, comment, inputs(&set, "Read"));
        }
    }
}

/// Authentication and so many tickets in all, the last of which gives the right.
fn many(count: usize) -> Vec<String> {
    let mut set = vec![Draft::user()];
    for i in 2..count {
        set.push(rights(&format!("filler {i}"), Decision::new("Permit", &format!("/{i}"), &["Read"])));
    }
    set.push(permit("permit", &["Read", "Write"]));
    debug_assert!(set.iter().all(|draft| draft.fields.id != ticket_id("")));
    tokens(&set)
}
