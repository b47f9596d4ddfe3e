//! `/mesh/objects/{folder}/writers`: whom devices believe to have written what (`spec/sync.md`, section 3.5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::codec::{Id, hex, hex_array};
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::sync::Card;
use serde_json::{Value, json};

use super::access::{Granted, ReadFolder};
use super::page::Page;
use super::paths;
use crate::problem::Problem;
use crate::state::App;
use crate::store::Span;
use crate::store::writers::Writer;

/// The cards of all who write or once wrote in the folder (GPH-151, GPH-152).
pub(crate) async fn list(
    Granted { app, ids: [folder], .. }: Granted<ReadFolder, 1>,
    page: Page,
) -> Result<axum::Json<Value>, Problem> {
    app.store.note_writers(folder).await?;
    let writers = signed(&app, folder, page.span()).await?;
    let tag = |writer: &Writer| writer.signed_by.chars().take(32).collect();
    let item = |writer: &Writer| (tag(writer), representation(writer));
    Ok(page.of(&paths::writers(folder), writers, |writer| writer.device.to_string(), item))
}

/// The cards, each signed by the issuer's key of now. However many ask after a rollover, each is signed once.
async fn signed(app: &App, folder: Id, span: Span) -> Result<Vec<Writer>, Problem> {
    let ring = app.keys.ring();
    let by = hex(&ring.issuer.key().spki().fingerprint(DEFAULT));
    let is_signed = |writers: &[Writer]| writers.iter().all(|writer| writer.signed_by == by);
    let writers = app.store.writers(folder, span.clone()).await?;
    if is_signed(&writers) {
        return Ok(writers);
    }
    let turn = app.signing.of(folder);
    let _turn = turn.lock().await;
    // Who had the turn before may have signed them.
    let mut writers = app.store.writers(folder, span).await?;
    if is_signed(&writers) {
        return Ok(writers);
    }
    let sign = move || {
        let mut new = Vec::new();
        for writer in writers.iter_mut().filter(|writer| writer.signed_by != by) {
            let key = hex_array(&writer.key).unwrap_or_default();
            let signature = ring.issuer.key().sign(&Card::statement(folder, writer.device, &key));
            (writer.signed_by, writer.signature) = (by.clone(), STANDARD.encode(signature));
            new.push(writer.clone());
        }
        (writers, new)
    };
    let (writers, new) = tokio::task::spawn_blocking(sign).await.map_err(Problem::internal)?;
    app.store.keep_cards(folder, new).await?;
    Ok(writers)
}

/// Whether who claims a device with this signing key has it (GPH-150): it signed for this device and its RSA key.
pub(super) fn is_proved(device: Id, fingerprint: &str, key: &str, signature: Option<&str>) -> bool {
    let parts = hex_array::<32>(fingerprint).zip(hex_array::<32>(key));
    let Some(((fingerprint, key), signature)) = parts.zip(signature.and_then(hex_array::<64>)) else {
        return false;
    };
    let statement = [b"meshproof device key", &device.0[..], &fingerprint].concat();
    DEFAULT.verify(&key, &statement, &signature)
}

fn representation(writer: &Writer) -> Value {
    json!({
        "device": writer.device.to_string(),
        "key": writer.key,
        "signature": writer.signature,
        "links": { "self": paths::device(writer.device) },
    })
}
