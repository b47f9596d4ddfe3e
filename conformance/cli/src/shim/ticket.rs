//! `vectors/ticket/`.

use std::str::FromStr;

use meshproof_proto::crypto::Provider;
use meshproof_proto::ticket::set::TicketSet;
use meshproof_proto::ticket::{
    self, Action, Attributes, Authn, Authz, Issuer, Presenter, Subject, Ticket, Verifier,
};
use serde_json::{Value, json};

use super::fields::{Fields, missing, spki_value};
use super::{Ran, Stop, none};
use meshproof_proto::codec::{Id, hex};

pub(super) fn verify(p: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let mut verifier = verifier(p, group, group.text("audience")?)?;
    revoke(&mut verifier, test)?;
    let bytes = ticket::parse::decode(test.text("ticket")?)?;
    let key = match test.fields("presenter").value("spki") {
        Value::Null => None,
        // A key that no ticket can confirm proves nothing.
        key => spki_value(key).ok(),
    };
    let presenter = key.as_ref().map_or(Presenter::Anyone, Presenter::Holder);
    verifier.verify(&bytes, test.time("now")?, presenter)?;
    Ok(none())
}

pub(super) fn issue(p: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let key = p.private_key(&group.base64("issuer_key")?).map_err(|_| missing("issuer_key", "a key"))?;
    let bytes = match ticket_of(test.fields("fields"))? {
        Some(ticket) => Issuer::new(p, key).issue(&ticket)?,
        None => {
            return Err(meshproof_proto::error::Error::ApiMisuse("no such ticket can be expressed").into());
        }
    };
    Ok(json!({"ticket": String::from_utf8_lossy(&bytes)}))
}

pub(super) fn set(p: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let mut verifier = verifier(p, group, group.text("audience")?)?;
    revoke(&mut verifier, test)?;
    let action = Action::parse(test.text("action")?).ok_or_else(|| missing("action", "an action"))?;
    let set = TicketSet::verify(&verifier, test.text("header")?, test.time("now")?)?;
    let principal = set.authorise(test.text("resource")?, action)?;
    Ok(json!({"principal": principal.to_string()}))
}

pub(super) fn pair(p: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let responder = test.id("responder")?;
    let verifier = verifier(p, group, &ticket::device_audience(responder))?;
    let bytes = ticket::parse::decode(test.text("ticket")?)?;
    let ticket = verifier.verify(&bytes, test.time("now")?, Presenter::CheckedByCaller)?;
    let own = test.spki("responder_spki")?.fingerprint(p);
    let grounds = ticket::pair::grounds(&ticket, responder, &own)?;
    let folders: Vec<Value> = grounds
        .folders
        .iter()
        .map(|shared| {
            json!({
                "folder": shared.folder.to_string(),
                "initiator_role": shared.initiator_role.name(),
                "responder_role": shared.responder_role.name(),
            })
        })
        .collect();
    Ok(json!({
        "initiator": grounds.initiator.to_string(),
        "initiator_fingerprint": ticket.confirmation.as_ref().map(|key| hex(&key.fingerprint(p))),
        "user": grounds.user.map(|user| user.to_string()),
        "folders": folders,
    }))
}

/// A verifier that trusts the issuers of the group.
pub(super) fn verifier(
    p: &'static dyn Provider,
    group: Fields<'_>,
    audience: &str,
) -> Result<Verifier, Stop> {
    let mut verifier = Verifier::new(p, audience);
    for issuer in group.list("issuers") {
        let issuer = Fields::new(issuer);
        let keys = issuer.list("keys").iter().map(spki_value).collect::<Result<Vec<_>, _>>()?;
        verifier
            .trust(issuer.text("name")?, &keys)
            .map_err(|_| missing("issuers", "one or two keys each"))?;
    }
    Ok(verifier)
}

fn revoke(verifier: &mut Verifier, test: Fields<'_>) -> Result<(), Stop> {
    for name in test.list("revoked") {
        let subject = name.as_str().and_then(Subject::parse);
        verifier.revoke(subject.ok_or_else(|| missing("revoked", "a list of subjects"))?);
    }
    Ok(())
}

/// The ticket of these fields, or `None` where our types cannot even say it.
fn ticket_of(fields: Fields<'_>) -> Result<Option<Ticket>, Stop> {
    let facts = fields.fields("attributes");
    let confirmation = match fields.value("confirmation") {
        Value::Null => None,
        key => match spki_value(key) {
            Ok(key) => Some(key),
            Err(_) => return Ok(None),
        },
    };
    let authz: Option<Vec<Authz>> = fields.list("authz").iter().map(|a| authz(Fields::new(a))).collect();
    let attributes = parse_all(facts.list("key"))
        .zip(parse_all(facts.list("claim")))
        .zip(parse_all(facts.list("mapping")));
    let id = fields.text("id")?.strip_prefix('_').and_then(Id::parse);
    let (Some(id), Some(subject), Some(authz), Some(((keys, claims), mappings))) =
        (id, Subject::parse(fields.text("subject")?), authz, attributes)
    else {
        return Ok(None);
    };
    let authn = match fields.value("authn") {
        Value::Null => None,
        authn => {
            let authn = Fields::new(authn);
            Some(Authn { instant: authn.time("instant")?, class: authn.text("class")?.to_owned() })
        }
    };
    Ok(Some(Ticket {
        id,
        issue_instant: fields.time("issue_instant")?,
        issuer: fields.text("issuer")?.to_owned(),
        subject,
        confirmation,
        not_before: fields.time("not_before")?,
        not_on_or_after: fields.time("not_on_or_after")?,
        audience: fields.text("audience")?.to_owned(),
        authn,
        authz,
        attributes: Attributes { keys, claims, mappings },
    }))
}

fn authz(fields: Fields<'_>) -> Option<Authz> {
    let permit = match fields.text("decision").ok()? {
        "Permit" => true,
        "Deny" => false,
        _ => return None,
    };
    let actions =
        fields.list("actions").iter().map(|name| Action::parse(name.as_str()?)).collect::<Option<_>>()?;
    Some(Authz { permit, resource: fields.text("resource").ok()?.to_owned(), actions })
}

fn parse_all<T: FromStr>(values: &[Value]) -> Option<Vec<T>> {
    values.iter().map(|value| value.as_str()?.parse().ok()).collect()
}
