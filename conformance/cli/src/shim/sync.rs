//! Entries, what they become together, and their paths.

use meshproof_proto::codec::{Id, Reader, hex, hex_array};
use meshproof_proto::crypto::{Provider, Spki};
use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::sync::{
    Card, Context, Decoder, Entry, Head, Kind, Message, Name, Tree, digest as digests, merge as merge_entries,
};
use serde_json::{Value, json};

use super::fields::{Fields, missing};
use super::{Ran, Stop};

pub(super) fn name(test: Fields<'_>) -> Ran {
    // What is not UTF-8 is refused where the name is read.
    let bytes = test.hex("name")?;
    let name = match std::str::from_utf8(&bytes) {
        Ok(text) => Name::parse(text)?,
        Err(_) => {
            return Err(meshproof_proto::error::Error::from(meshproof_proto::requirement::SYN_013).into());
        }
    };
    Ok(json!({"folded": name.folded()}))
}

pub(super) fn ignore(test: Fields<'_>) -> Ran {
    let directory = test.value("directory").as_bool().ok_or_else(|| missing("directory", "true or false"))?;
    let ignores =
        meshproof_client::sync::ignore::ignores(&test.hex("patterns")?, test.text("path")?, directory);
    Ok(json!({"ignored": ignores}))
}

pub(super) fn index(test: Fields<'_>) -> Ran {
    let body = test.hex("body")?;
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut decoder = Decoder::default();
    decoder.push(&[&[2], &length.to_be_bytes()[..], &body].concat());
    match decoder.next()? {
        Some(Message::Index { entries, .. }) => {
            Ok(json!({"ids": entries.iter().map(|entry| entry.id.to_string()).collect::<Vec<_>>()}))
        }
        _ => Err(missing("body", "that of an INDEX")),
    }
}

pub(super) fn merge(test: Fields<'_>) -> Ran {
    let entry = |name: &str| Entry::from_bytes(&test.hex(name)?).map_err(Stop::from);
    let context = |name: &str| -> Result<Context, Stop> {
        let counter = |pair: &Value| Some((Id::parse(pair[0].as_str()?)?, pair[1].as_u64()?));
        let counters: Option<_> = test.list(name).iter().map(counter).collect();
        counters.map(Context).ok_or_else(|| missing(name, "a list of devices and counters"))
    };
    let contexts = (context("mine_context")?, context("theirs_context")?);
    match merge_entries(&entry("mine")?, &entry("theirs")?, (&contexts.0, &contexts.1)) {
        Some(entry) => Ok(json!({"entry": hex(&entry.to_bytes())})),
        None => Err(Stop::Refused(Value::Null)),
    }
}

pub(super) fn view(test: Fields<'_>) -> Ran {
    let tree = Tree::of(&entries(test)?);
    let path = |item: &meshproof_proto::sync::Item| {
        let kind = match item.kind {
            Kind::File { .. } => 1,
            Kind::Directory => 2,
            Kind::Link { .. } => 3,
        };
        json!({"path": item.path.as_str(), "id": item.id.to_string(), "kind": kind, "copy": item.copy})
    };
    Ok(json!({"paths": tree.items.iter().map(path).collect::<Vec<_>>()}))
}

pub(super) fn digest(test: Fields<'_>) -> Ran {
    Ok(json!({"digest": hex(&digests::digest(&entries(test)?))}))
}

/// What writers signed, and what the issuer did.
pub(super) fn signed(p: &dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let folder = group.id("folder")?;
    let bytes = test.hex("bytes")?;
    let mut fields = Reader::new(&bytes);
    let key = |device: Id| -> Result<[u8; 32], Stop> {
        let of = |pair: &&Value| pair[0] == device.to_string();
        let key = test.list("keys").iter().find(of).and_then(|pair| hex_array(pair[1].as_str()?));
        key.ok_or_else(|| missing("keys", "the key of a writer"))
    };
    match test.text("what")? {
        "entry" => {
            let entry = Entry::read(&mut fields)?;
            for proof in &entry.proofs {
                let signed = proof.verify(p, (folder, entry.id), &key(proof.stamp.writer)?);
                demand(signed, req::SYN_052)?;
            }
        }
        "head" => {
            let head = Head::read(&mut fields)?;
            demand(head.verify(p, folder, &key(head.device)?), req::SYN_055)?;
        }
        _ => {
            let spki = Spki::parse(&group.hex("issuer")?).ok();
            let issuer = spki.and_then(|spki| p.public_key(&spki).ok());
            let issuer = issuer.ok_or_else(|| missing("issuer", "an SPKI"))?;
            let card = Card::read(&mut fields)?;
            demand(card.verify(folder, &*issuer), req::SYN_056)?;
        }
    }
    Ok(json!({}))
}

fn entries(test: Fields<'_>) -> Result<Vec<Entry>, Stop> {
    let bytes = test.hex_list("entries")?;
    bytes.iter().map(|bytes| Entry::from_bytes(bytes).map_err(Stop::from)).collect()
}
