//! Entity tags and preconditions (RFC 9110, section 13).

use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::requirement::{self as req, demand, demand_some};

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

/// Whether `If-Match` names the tag, by strong comparison; `None` without the field.
fn names(headers: &HeaderMap, current: &str) -> Option<bool> {
    let quoted = quoted(current);
    headers.contains_key(IF_MATCH).then(|| {
        let fields = headers.get_all(IF_MATCH).iter().filter_map(|value| value.to_str().ok());
        fields.flat_map(|field| field.split(',')).map(str::trim).any(|tag| tag == "*" || tag == quoted)
    })
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
