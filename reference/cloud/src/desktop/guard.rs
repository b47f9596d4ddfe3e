//! What holds for every request below `/desktop`: where writes may come from, and what a browser may do with answers.

use axum::extract::Request;
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERER, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::uri::{Authority, PathAndQuery};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::failure::Failure;
use super::pages::{self, Refusal};

/// Nothing inline, nothing from elsewhere, no frames around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// `same-origin` and not less: without a referrer browsers send `Origin: null`.
const FIELDS: [(HeaderName, &str); 7] = [
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, POLICY),
    (REFERRER_POLICY, "same-origin"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Refuses writes that another site made the browser send, makes pages of refusals, and adds the fields above where a
/// page has none of its own.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let reads = request.method().is_safe();
    let is_script = request.headers().get(ACCEPT).is_some_and(|accept| accept == "text/plain");
    let page = uri.path_and_query().map_or("/desktop/", PathAndQuery::as_str).to_owned();
    let before = page_before(request.headers(), &uri);
    let mut response = if reads || is_own(request.headers(), &uri) {
        next.run(request).await
    } else {
        let sentence = "This form was not sent from a page of this cloud.".to_owned();
        Refusal::from(Failure::Unacceptable(StatusCode::FORBIDDEN, sentence)).into_response()
    };
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        let then = if reads { Some(page) } else { before.clone() };
        response = match then {
            _ if is_script => (refusal.status, refusal.sentence).into_response(),
            Some(then) if refusal.signed_out => pages::sign_in::first(&then),
            None if refusal.signed_out => pages::sign_in::first("/desktop/"),
            _ => pages::refusal(&refusal, before.as_deref()),
        };
    }
    for (name, value) in FIELDS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Whether a request comes from a page of the host that it goes to. Every browser says so when it sends a form.
fn is_own(headers: &HeaderMap, uri: &Uri) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = uri.authority().map(Authority::as_str).or_else(|| text(&HOST));
    let origin = text(&ORIGIN).and_then(|origin| origin.strip_prefix("https://"));
    let site = text(&HeaderName::from_static("sec-fetch-site"));
    host.is_some() && origin == host && site.is_none_or(|site| site == "same-origin")
}

/// The path of the page from which the request comes, if it is one of ours.
fn page_before(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = uri.authority().map(Authority::as_str).or_else(|| text(&HOST))?;
    let path = text(&REFERER)?.strip_prefix("https://")?.strip_prefix(host)?;
    path.starts_with("/desktop/").then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_writes_come_from() {
        let own = |fields: &[(&'static str, &'static str)], uri: &'static str| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            is_own(&headers, &Uri::from_static(uri))
        };
        let (host, origin) = (("host", "a.example:8443"), ("origin", "https://a.example:8443"));
        assert!(own(&[host, origin], "/desktop/x"));
        assert!(own(&[origin], "https://a.example:8443/desktop/x"));
        assert!(own(&[host, origin, ("sec-fetch-site", "same-origin")], "/desktop/x"));
        assert!(!own(&[host, origin, ("sec-fetch-site", "cross-site")], "/desktop/x"));
        assert!(!own(&[host], "/desktop/x"));
        assert!(!own(&[origin], "/desktop/x"));
        for other in
            ["null", "https://b.example:8443", "https://a.example", "http://a.example:8443", "a.example:8443"]
        {
            let headers = HeaderMap::from_iter([
                (HOST, HeaderValue::from_static("a.example:8443")),
                (ORIGIN, HeaderValue::from_static(other)),
            ]);
            assert!(!is_own(&headers, &Uri::from_static("/desktop/x")), "{other}");
        }
    }
}
