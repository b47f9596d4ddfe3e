//! OPTIONS of every node (GPH-100), and the document that it refers to.

use axum::extract::MatchedPath;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::paths;

const OPENAPI: &str = include_str!("../../../../spec/openapi.yaml");

/// The schema of everything, without tickets.
pub(crate) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/yaml")], OPENAPI).into_response()
}

/// What a node is; which methods it has the router says in `Allow`. It is the same for everybody, whether or not there
/// is such a node, so it tells nothing.
pub(crate) fn describe(template: &MatchedPath, path: &str) -> axum::Json<Value> {
    let template = template.as_str();
    // As RFC 6901 wants it in a fragment.
    let pointer: String =
        template.chars().map(|c| if c == '/' { "~1".into() } else { c.to_string() }).collect();
    axum::Json(json!({
        "template": template,
        "news": news(path),
        "links": { "self": path, "schema": format!("{}#/paths/{pointer}", paths::OPENAPI) },
    }))
}

/// Where changes of the node are told, if anywhere.
fn news(path: &str) -> Option<String> {
    let below =
        |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let folder = path.strip_prefix(paths::FOLDERS).and_then(|rest| rest.split('/').nth(1));
    match folder {
        Some(folder) => Some(format!("{}/{folder}/news", paths::FOLDERS)),
        None => below(paths::MESH).then(|| paths::NEWS.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_changes_are_told() {
        for (path, told) in [
            ("/mesh", Some("/mesh/news")),
            ("/mesh/devices/a", Some("/mesh/news")),
            ("/mesh/objects", Some("/mesh/news")),
            ("/mesh/objects/a", Some("/mesh/objects/a/news")),
            ("/mesh/objects/a/members/b", Some("/mesh/objects/a/news")),
            ("/", None),
            ("/meshes", None),
            ("/contacts", None),
        ] {
            assert_eq!(news(path).as_deref(), told, "{path}");
        }
    }
}
