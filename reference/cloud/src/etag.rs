//! Entity tags and preconditions (RFC 9110, section 13).

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::requirement::{self as req, demand, demand_some, deviates};

/// The spelling of an entity tag in fields and in the member `etag`.
pub(crate) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// Adds the field `ETag`.
pub(crate) fn set(response: &mut Response, etag: &str) {
    if let Ok(value) = HeaderValue::from_str(&quoted(etag)) {
        response.headers_mut().insert(ETAG, value);
    }
}

/// Compares `If-Match` with the current tag of a node that exists.
///
/// # Errors
/// GPH-012 without the field, GPH-013 if it does not name the tag.
pub(crate) fn check(headers: &HeaderMap, current: &str) -> Result<(), RuleError> {
    check_one_of(headers, &[current])
}

/// The same for a node of which several tags will do.
pub(crate) fn check_one_of(headers: &HeaderMap, tags: &[impl AsRef<str>]) -> Result<(), RuleError> {
    let named = |tag: &_| names(headers, AsRef::as_ref(tag));
    let named = tags.iter().map(named).reduce(|one, other| one.zip(other).map(|(one, other)| one || other));
    demand_some(named.flatten(), req::GPH_012, || true).and_then(|named| demand(named, req::GPH_013))
}

/// The same where the field is not needed (GPH-013).
pub(crate) fn check_if_any(headers: &HeaderMap, current: &str) -> Result<(), RuleError> {
    demand(names(headers, current).unwrap_or(true), req::GPH_013)
}

/// Whether `If-None-Match` names the tag, by weak comparison.
pub(crate) fn is_known(headers: &HeaderMap, current: &str) -> bool {
    let quoted = quoted(current);
    let fields = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = fields.flat_map(|field| field.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == quoted)
}

/// For a node that does not exist: the field is not needed, but nothing matches it (GPH-013).
pub(crate) fn check_absent(headers: &HeaderMap) -> Result<(), RuleError> {
    demand(!headers.contains_key(IF_MATCH), req::GPH_013)
}

/// For a node that may be written without `If-Match`: whether the field, if it is there, names the current tag.
pub(crate) fn may_write(headers: &HeaderMap, current: Option<&str>) -> bool {
    match current {
        Some(current) => names(headers, current).unwrap_or(true),
        None => !headers.contains_key(IF_MATCH),
    }
}

/// Whether `If-Match` names the tag, by strong comparison; `None` without the field.
fn names(headers: &HeaderMap, current: &str) -> Option<bool> {
    let quoted = quoted(current);
    headers.contains_key(IF_MATCH).then(|| {
        let fields = headers.get_all(IF_MATCH).iter().filter_map(|value| value.to_str().ok());
        fields.flat_map(|field| field.split(',')).map(str::trim).any(|tag| tag == "*" || tag == quoted)
    })
}

/// The header of a request that may be answered by "not modified".
pub(crate) fn condition(request: &Request) -> Option<HeaderMap> {
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    (reads && request.headers().contains_key(IF_NONE_MATCH)).then(|| request.headers().clone())
}

/// The answer to a client that has what it asks for (GPH-104). Media see to it themselves (STO-011).
pub(crate) fn not_modified(condition: Option<HeaderMap>, response: Response) -> Response {
    let fields = response.headers();
    let tag = fields.get(ETAG).and_then(|tag| tag.to_str().ok()?.strip_prefix('"')?.strip_suffix('"'));
    let has = condition.zip(tag).is_some_and(|(condition, tag)| is_known(&condition, tag));
    let node = fields.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if !has || !node || response.status() != StatusCode::OK || deviates(req::GPH_104) {
        return response;
    }
    let mut answer = StatusCode::NOT_MODIFIED.into_response();
    answer.headers_mut().extend(fields.get(ETAG).cloned().map(|tag| (ETAG, tag)));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match() {
        let broken = |field: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            field.map(|field| headers.insert(IF_MATCH, HeaderValue::from_static(field)));
            check(&headers, "abc").err().and_then(|e| e.requirement()).map(|r| r.id)
        };
        assert_eq!(broken(None), Some("GPH-012"));
        for wrong in ["\"abd\"", "abc", "W/\"abc\"", ""] {
            assert_eq!(broken(Some(wrong)), Some("GPH-013"), "{wrong}");
        }
        for right in ["\"abc\"", "\"x\", \"abc\"", "*"] {
            assert_eq!(broken(Some(right)), None, "{right}");
        }
    }

    #[test]
    fn if_none_match() {
        let known = |field: &'static str| {
            let fields = [(IF_NONE_MATCH, HeaderValue::from_static(field))];
            is_known(&fields.into_iter().collect(), "abc")
        };
        assert!(["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"].into_iter().all(known));
        assert!(!["\"abd\"", "abc", ""].into_iter().any(known));
        assert!(!is_known(&HeaderMap::new(), "abc"));
    }
}
