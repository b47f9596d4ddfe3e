//! Sealed objects, and the keys that they are under.

use meshproof_proto::codec::{hex, hex_array};
use meshproof_proto::crypto::{Provider, Secret};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::storage::keys::{By, FolderKeys, KeyRecord, RecoveryKey};
use meshproof_proto::storage::sealed::{self, Object, SealedEntry};
use serde_json::json;

use super::fields::{Fields, Script, missing};
use super::{Ran, Stop};

pub(super) fn seal(p: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let keys = keys(group, group, "keys")?.ok_or_else(|| missing("keys", "a list of keys"))?;
    let (object, content) = (object(test)?, test.hex("content")?);
    let nonce = match &object {
        Object::Content(hash) => sealed::nonce_of_content(p, &keys, hash),
        Object::Entry(_) | Object::State(_) | Object::Head(_) => test.id("nonce")?.0,
    };
    Ok(json!({"sealed": hex(&sealed::seal(p, &keys, &object, &nonce, &content)?)}))
}

pub(super) fn id(p: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let keys = keys(group, group, "keys")?.ok_or_else(|| missing("keys", "a list of keys"))?;
    Ok(json!({"id": sealed::id_in_graph(p, &keys, test.id("entry")?).to_string()}))
}

pub(super) fn open(p: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let keys = keys(group, group, "keys")?.ok_or_else(|| missing("keys", "a list of keys"))?;
    let content = sealed::open(p, &keys, object(test)?, &test.hex("sealed")?)?;
    Ok(json!({"length": content.len(), "hash": MediaHash::of(&content).to_string()}))
}

pub(super) fn entry(test: Fields<'_>) -> Ran {
    let entry = SealedEntry::from_bytes(&test.hex("content")?)?;
    let (kind, size) = entry.content.map_or((2, 0), |(size, _)| (1, size));
    Ok(json!({"path": entry.path.as_str(), "kind": kind, "size": size}))
}

pub(super) fn key(p: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let folder = group.id("folder")?;
    let writer = hex_array(group.text("writer")?).ok_or_else(|| missing("writer", "32 bytes"))?;
    let private = p.private_key(&group.base64("key")?).map_err(|_| missing("key", "a private key"))?;
    let recovery = match test.optional_hex("recovery")? {
        Some(bytes) => Some(bytes.try_into().map_err(|_| missing("recovery", "16 bytes"))?),
        None => None,
    };
    let recovery = recovery.map(RecoveryKey::new);
    let by = recovery.as_ref().map_or(By::Device(group.id("device")?, &*private), By::Recovery);
    let known = keys(group, test, "known")?;
    let signed = KeyRecord::from_bytes(&test.hex("record")?)?.verify(p, folder, &writer)?;
    let keys = signed.open(p, &by, known.as_ref(), &mut Script::new(Vec::new()))?;
    Ok(json!({"keys": keys.all().map(|key| hex(&**key)).collect::<Vec<_>>()}))
}

fn object(test: Fields<'_>) -> Result<Object, Stop> {
    let of = match test.number("kind")? {
        1 => Object::Entry,
        3 => Object::State,
        4 => Object::Head,
        _ => {
            let hash = MediaHash::parse(test.text("object")?).ok_or_else(|| missing("object", "a hash"))?;
            return Ok(Object::Content(hash));
        }
    };
    test.id("object").map(of)
}

/// `None` if the list is empty.
fn keys(group: Fields<'_>, of: Fields<'_>, name: &str) -> Result<Option<FolderKeys>, Stop> {
    let secret = |bytes: Vec<u8>| bytes.try_into().map(Secret::new).map_err(|_| missing(name, "keys"));
    let mut list = of.hex_list(name)?.into_iter().map(secret);
    let Some(first) = list.next().transpose()? else { return Ok(None) };
    let mut keys = FolderKeys::first(group.id("folder")?, first);
    for key in list {
        keys.add(key?);
    }
    Ok(Some(keys))
}
