//! What is issued verifies; what is changed anywhere does not. Rules one by one are tested by `vectors/ticket/`.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::*;
use crate::crypto::{DEFAULT, Provider, RUSTCRYPTO};
use crate::requirement as req;
use crate::test_keys::{DEVICE_X, DEVICE_Y, ISSUER_A, pkcs8};

const NOW: UnixTime = UnixTime(1_211_000_000);
const USER: Id = Id([1; 16]);
const X: Id = Id([2; 16]);
const Y: Id = Id([3; 16]);
const FOLDER: Id = Id([4; 16]);

fn issuer() -> Issuer {
    Issuer::new(DEFAULT, DEFAULT.private_key(&pkcs8(ISSUER_A)).unwrap())
}

fn verifier(provider: &'static dyn Provider, audience: &str) -> Verifier {
    let mut verifier = Verifier::new(provider, audience);
    verifier.trust("urn:meshproof:test", &[issuer().key().spki().clone()]).unwrap();
    verifier
}

fn key_of(pem: &str) -> crate::crypto::Spki {
    DEFAULT.private_key(&pkcs8(pem)).unwrap().spki().clone()
}

fn pair_ticket() -> Ticket {
    Ticket {
        id: Id([9; 16]),
        issue_instant: NOW,
        issuer: "urn:meshproof:test".to_string(),
        subject: Subject::Device(X),
        confirmation: Some(key_of(DEVICE_X)),
        not_before: NOW,
        not_on_or_after: NOW.plus(600),
        audience: device_audience(Y),
        authn: None,
        authz: Vec::new(),
        attributes: Attributes {
            keys: alloc::vec![KeyBinding { device: Y, fingerprint: key_of(DEVICE_Y).fingerprint(DEFAULT) }],
            claims: alloc::vec![Claim { device: X, user: USER }],
            mappings: alloc::vec![
                Mapping { folder: FOLDER, device: X, role: Role::Owner },
                Mapping { folder: FOLDER, device: Y, role: Role::Reader },
            ],
        },
    }
}

fn user_ticket(resource: &str, permit: bool) -> Ticket {
    Ticket {
        subject: Subject::User(USER),
        confirmation: None,
        audience: "urn:meshproof:cloud".to_string(),
        authn: Some(Authn { instant: NOW, class: "urn:x".to_string() }),
        authz: alloc::vec![Authz {
            permit,
            resource: resource.to_string(),
            actions: alloc::vec![Action::Read, Action::Write],
        }],
        attributes: Attributes::default(),
        ..pair_ticket()
    }
}

#[test]
fn a_pair_ticket_names_its_grounds() {
    let bytes = issuer().issue(&pair_ticket()).unwrap();
    for provider in [DEFAULT, RUSTCRYPTO] {
        let verifier = verifier(provider, &device_audience(Y));
        let holder = key_of(DEVICE_X);
        let ticket = verifier.verify(&bytes, NOW, Presenter::Holder(&holder)).unwrap();
        assert_eq!(*ticket, pair_ticket());
        let grounds = pair::grounds(&ticket, Y, &key_of(DEVICE_Y).fingerprint(provider)).unwrap();
        assert_eq!(grounds.user, None);
        assert_eq!(grounds.folders.len(), 1);
        assert_eq!(grounds.folders[0].responder_role, Role::Reader);
        let elsewhere = verifier.verify(&bytes, NOW, Presenter::Anyone).unwrap_err();
        assert!(elsewhere.is(req::TKT_025));
    }
}

#[test]
fn a_set_permits_what_it_says_and_no_more() {
    let issuer = issuer();
    let set = |tickets: &[Ticket]| {
        let field: Vec<_> = tickets.iter().map(|t| issue::encode(&issuer.issue(t).unwrap())).collect();
        set::TicketSet::verify(&verifier(DEFAULT, "urn:meshproof:cloud"), &field.join(","), NOW).unwrap()
    };
    let mesh = set(&[user_ticket("/mesh", true)]);
    assert_eq!(mesh.authorise("/mesh", Action::Write), Ok(Subject::User(USER)));
    assert!(mesh.authorise("/mesh", Action::Control).unwrap_err().is(req::TKT_035));
    assert!(mesh.authorise("/mesh/objects/1", Action::Read).unwrap_err().is(req::TKT_035));
    let denied = set(&[user_ticket("/mesh", true), user_ticket("/mesh", false)]);
    assert!(denied.authorise("/mesh", Action::Read).unwrap_err().is(req::TKT_030));
}

#[test]
fn what_was_verified_before_may_be_refused_now() {
    let bytes = issuer().issue(&user_ticket("/mesh", true)).unwrap();
    let mut verifier = verifier(DEFAULT, "urn:meshproof:cloud");
    let ticket = verifier.verify(&bytes, NOW, Presenter::Anyone).unwrap();
    let again = |verifier: &Verifier, now| verifier.verify_again(&ticket, now, Presenter::Anyone);
    assert_eq!(again(&verifier, NOW), Ok(()));
    assert!(again(&verifier, ticket.not_on_or_after).unwrap_err().is(req::TKT_014));
    let elsewhere = self::verifier(DEFAULT, "urn:meshproof:other");
    assert!(again(&elsewhere, NOW).unwrap_err().is(req::TKT_024));
    // The issuer has another key now.
    let mut other = Verifier::new(DEFAULT, "urn:meshproof:cloud");
    assert!(again(&other, NOW).unwrap_err().is(req::TKT_019));
    other.trust(ticket.issuer.clone(), &[key_of(DEVICE_X)]).unwrap();
    assert!(again(&other, NOW).unwrap_err().is(req::TKT_021));
    verifier.revoke(ticket.subject);
    assert!(again(&verifier, NOW).unwrap_err().is(req::TKT_026));
}

#[test]
fn an_issuer_refuses_what_no_verifier_accepts() {
    let mut long = pair_ticket();
    long.not_on_or_after = NOW.plus(601);
    assert!(issuer().issue(&long).is_err());
    let mut odd = user_ticket("/mesh<", true);
    assert!(issuer().issue(&odd).is_err());
    odd.authz.clear();
    odd.authn = None;
    assert!(issuer().issue(&odd).is_err());
}

#[test]
fn every_changed_byte_is_noticed() {
    let bytes = issuer().issue(&pair_ticket()).unwrap();
    let verifier = verifier(DEFAULT, &device_audience(Y));
    for at in 0..bytes.len() {
        for value in [bytes[at] ^ 1, b'A', b' ', 0] {
            let mut changed = bytes.clone();
            changed[at] = value;
            let same = changed == bytes;
            let verified = verifier.verify(&changed, NOW, Presenter::CheckedByCaller);
            assert_eq!(verified.is_ok(), same, "byte {at} = {value}");
        }
        assert_eq!(parse::broken(&bytes[..at]), Some(req::TKT_006), "cut at {at}");
    }
}

/// Section 4.2 goes rule by rule over the whole ticket: that a later statement breaks an earlier rule decides.
#[test]
fn rules_are_in_order_over_all_statements() {
    let broken = |ticket: &Ticket, changes: &[(&str, &str)]| {
        let mut text = alloc::string::String::from_utf8(issuer().issue(ticket).unwrap()).unwrap();
        for (from, to) in changes {
            let (before, after) = text.rsplit_once(from).unwrap();
            text = [before, to, after].concat();
        }
        parse::broken(text.as_bytes())
    };
    let mut rights = user_ticket("/mesh", true);
    rights.authz.push(Authz { permit: false, ..rights.authz[0].clone() });
    rights.authz[0].actions = alloc::vec![Action::Control];
    let unknown = (">Control<", ">Execute<");
    assert_eq!(broken(&rights, &[unknown]), Some(req::TKT_015));
    assert_eq!(broken(&rights, &[unknown, ("\"Deny\"", "\"Maybe\"")]), Some(req::TKT_013));
    // The end of the last claim.
    let end =
        "</saml2:AttributeValue></saml2:Attribute><saml2:Attribute Name=\"urn:meshproof:attribute:mapping";
    let longer = ["x", end].concat();
    assert_eq!(broken(&pair_ticket(), &[(end, &longer)]), Some(req::TKT_017));
    let repeated = ("attribute:mapping", "attribute:key");
    assert_eq!(broken(&pair_ticket(), &[(end, &longer), repeated]), Some(req::TKT_016));
}
