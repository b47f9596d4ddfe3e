//! Whatever we accept, samael accepts, and reads the same from it.

use meshproof_interop::sample::Sample;
use meshproof_interop::{judge, sample, tool};
use meshproof_proto::ticket::Ticket;
use samael::attribute::Attribute;
use samael::schema::Assertion;

#[test]
fn samael_verifies_and_reads_every_ticket_that_we_accept() {
    let samples = sample::accepted().unwrap();
    let mut keys = 0;
    for sample in &samples {
        let (name, ticket) = (&sample.name, sample.ours.as_ref().unwrap());
        if ticket.confirmation.is_some() {
            // samael 0.0.22 expects text in SubjectConfirmationData and cannot read a key, so only the signature can be asked.
            let said = judge::samael_signature(sample).unwrap();
            assert!(said.is_ok(), "{name}: {said:?}");
            assert!(parse(sample).is_err(), "{name}: samael has learnt to read keys; test them here");
            keys += 1;
        } else {
            let verified = judge::samael(sample).unwrap().unwrap_or_else(|error| panic!("{name}: {error}"));
            compare(name, &verified, ticket);
            compare(name, &parse(sample).unwrap(), ticket);
        }
    }
    let count = samples.len();
    tool::say(&format!(
        "samael verified {count} of {count} tickets, and read the same from {}",
        count - keys
    ));
}

fn parse(sample: &Sample) -> Result<Assertion, String> {
    let text = String::from_utf8(sample.bytes.clone().unwrap()).unwrap();
    text.parse().map_err(|error: Box<dyn std::error::Error>| error.to_string())
}

/// All that samael has a place for; it has none for AuthzDecisionStatement.
fn compare(name: &str, theirs: &Assertion, ours: &Ticket) {
    let seconds = |time: u64| i64::try_from(time).unwrap();
    assert_eq!(theirs.id, format!("_{}", ours.id), "{name}");
    assert_eq!(theirs.version, "2.0");
    assert_eq!(theirs.issue_instant.timestamp(), seconds(ours.issue_instant.0), "{name}");
    assert_eq!(theirs.issuer.value.as_ref(), Some(&ours.issuer), "{name}");

    let subject = theirs.subject.as_ref().unwrap();
    assert_eq!(subject.name_id.as_ref().unwrap().value, ours.subject.to_string(), "{name}");
    let [confirmation] = &subject.subject_confirmations.as_deref().unwrap() else { panic!("{name}") };
    assert_eq!(confirmation.method.as_deref(), Some("urn:oasis:names:tc:SAML:2.0:cm:bearer"), "{name}");

    let conditions = theirs.conditions.as_ref().unwrap();
    assert_eq!(conditions.not_before.unwrap().timestamp(), seconds(ours.not_before.0), "{name}");
    assert_eq!(conditions.not_on_or_after.unwrap().timestamp(), seconds(ours.not_on_or_after.0), "{name}");
    let [restriction] = &conditions.audience_restrictions.as_deref().unwrap() else { panic!("{name}") };
    assert_eq!(restriction.audience, std::slice::from_ref(&ours.audience), "{name}");

    let authn: Vec<_> = theirs
        .authn_statements
        .iter()
        .flatten()
        .map(|statement| {
            let context = statement.authn_context.as_ref().unwrap();
            let class = context.value.as_ref().unwrap().value.clone().unwrap();
            (statement.authn_instant.unwrap().timestamp(), class)
        })
        .collect();
    let expected: Vec<_> =
        ours.authn.iter().map(|authn| (seconds(authn.instant.0), authn.class.clone())).collect();
    assert_eq!(authn, expected, "{name}");

    let statements = theirs.attribute_statements.iter().flatten();
    let attributes: Vec<_> = statements.flat_map(|statement| &statement.attributes).collect();
    let facts = &ours.attributes;
    assert_eq!(values(&attributes, "key"), texts(&facts.keys), "{name}");
    assert_eq!(values(&attributes, "claim"), texts(&facts.claims), "{name}");
    assert_eq!(values(&attributes, "mapping"), texts(&facts.mappings), "{name}");
}

fn values(attributes: &[&Attribute], name: &str) -> Vec<String> {
    let name = Some(format!("urn:meshproof:attribute:{name}"));
    let named = attributes.iter().filter(|attribute| attribute.name == name);
    named.flat_map(|attribute| &attribute.values).map(|value| value.value.clone().unwrap()).collect()
}

fn texts<T: ToString>(facts: &[T]) -> Vec<String> {
    facts.iter().map(T::to_string).collect()
}

#[test]
fn samael_refuses_the_right_ticket_under_the_wrong_key() {
    let mut samples = meshproof_interop::fresh::samples().unwrap();
    let other = samples.first().unwrap().keys.clone();
    let sample = samples.last_mut().unwrap();
    sample.keys = other;
    assert!(judge::samael_signature(sample).unwrap().is_err());
}
