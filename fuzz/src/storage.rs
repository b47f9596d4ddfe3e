//! What a cloud gives to a device of an encrypted folder: sealed objects and key records.

use std::sync::LazyLock;

use meshproof_kit::vectors;
use meshproof_proto::codec::{Id, hex_array};
use meshproof_proto::crypto::{DEFAULT, Provider, RUSTCRYPTO, Secret};
use meshproof_proto::error::Error;
use meshproof_proto::storage::keys::{FolderKeys, KeyRecord};
use meshproof_proto::storage::sealed::{Object, Opener, SealedEntry};

/// Folder, keys and the entry of the vectors, so that their objects are good input.
static KEYS: LazyLock<(FolderKeys, Id)> = LazyLock::new(|| {
    let test = vectors::all().iter().find(|test| test.kind == "StorageOpen").expect("storage vectors");
    let keys = test.group["keys"].as_array().into_iter().flatten();
    let mut keys = keys.filter_map(|key| hex_array(key.as_str()?)).map(Secret::new);
    let id = |text: &serde_json::Value| text.as_str().and_then(Id::parse).expect("an identifier");
    let mut all = FolderKeys::first(id(&test.group["folder"]), keys.next().expect("a key"));
    keys.for_each(|key| all.add(key));
    (all, id(&test.inputs["object"]))
});

/// Whatever a cloud gives: a record or entry that is read is written back as the same bytes, and a sealed object opens the same
/// in one piece and byte by byte, with both providers.
pub fn storage(data: &[u8]) {
    if let Ok(record) = KeyRecord::from_bytes(data) {
        assert_eq!(record.to_bytes(), data, "one record, one spelling");
    }
    if let Ok(entry) = SealedEntry::from_bytes(data) {
        assert_eq!(entry.to_bytes(), data, "one entry, one spelling");
        assert!(entry.path.components().all(|part| !matches!(part, "" | "." | "..")), "STO-067");
    }
    let whole = open(data, data.len().max(1), DEFAULT);
    assert_eq!(whole, open(data, 1, RUSTCRYPTO), "delivery or provider changed the result");
}

fn open(data: &[u8], step: usize, provider: &'static dyn Provider) -> Result<Vec<u8>, Error> {
    let (keys, entry) = &*KEYS;
    let (mut opener, mut out) = (Opener::new(provider, keys, Object::Entry(*entry)), Vec::new());
    for piece in data.chunks(step) {
        opener.push(piece, &mut out)?;
    }
    opener.finish(&mut out)?;
    Ok(out)
}
