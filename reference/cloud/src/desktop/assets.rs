//! Style sheet, scripts and icon. Their names hold the hash of their bytes, so browsers keep them for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};

use super::failure::Failure;
use super::pages::Refusal;

/// A file of the desktop itself.
struct Asset {
    name: String,
    kind: &'static str,
    bytes: &'static [u8],
}

/// The paths of all assets, for templates.
pub(crate) struct Paths {
    pub(crate) style: String,
    pub(crate) script: String,
    pub(crate) passkeys: String,
    pub(crate) icon: String,
}

static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("desktop", "css", "text/css", include_bytes!("assets/desktop.css")));
static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("desktop", "js", "text/javascript", include_bytes!("assets/desktop.js")));
static PASSKEYS: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("passkeys", "js", "text/javascript", include_bytes!("assets/passkeys.js")));
static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_bytes!("assets/icon.svg")));

pub(crate) static PATHS: LazyLock<Paths> = LazyLock::new(|| Paths {
    style: STYLE.path(),
    script: SCRIPT.path(),
    passkeys: PASSKEYS.path(),
    icon: ICON.path(),
});

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, bytes: &'static [u8]) -> Self {
        let hash = blake3::hash(bytes).to_hex();
        Self { name: format!("{stem}-{}.{extension}", &hash[..16]), kind, bytes }
    }

    fn path(&self) -> String {
        format!("/desktop/assets/{}", self.name)
    }
}

/// An asset by its name.
pub(super) async fn get(Path(name): Path<String>) -> Result<Response, Refusal> {
    let found = [&*STYLE, &*SCRIPT, &*PASSKEYS, &*ICON].into_iter().find(|asset| asset.name == name);
    let asset = found.ok_or_else(Failure::nothing_here)?;
    let fields = [(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((fields, asset.bytes).into_response())
}
