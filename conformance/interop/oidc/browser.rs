//! As much of a browser as a sign-in needs: cookies, forms, redirects one at a time.

use std::collections::BTreeMap;

use reqwest::{Client, RequestBuilder, Url, redirect};
use serde_json::Value;

/// Somebody's browser. It gives every host all cookies that the host ever set, and `account` to the providers.
pub(crate) struct Browser {
    http: Client,
    account: String,
    cookies: BTreeMap<String, BTreeMap<String, String>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) text: String,
    location: Option<String>,
}

impl Browser {
    pub(crate) fn new(ca_pem: &str, account: &str) -> Self {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let ca = reqwest::Certificate::from_pem(ca_pem.as_bytes()).unwrap();
        let http = Client::builder().tls_certs_only([ca]).redirect(redirect::Policy::none()).build().unwrap();
        Self { http, account: account.into(), cookies: BTreeMap::new() }
    }

    pub(crate) async fn get(&mut self, url: &str) -> Page {
        self.send(url, self.http.get(url)).await
    }

    pub(crate) async fn get_with_tickets(&mut self, url: &str, tickets: &str) -> Page {
        let request = self.http.get(url).header("authorization", format!("MeshTicket {tickets}"));
        self.send(url, request).await
    }

    /// Posts JSON, or nothing, with a token or without.
    pub(crate) async fn post(&mut self, url: &str, token: Option<&str>, body: Option<&Value>) -> Page {
        let mut request = self.http.post(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(url, request).await
    }

    pub(crate) async fn get_as(&mut self, url: &str, token: &str) -> Page {
        self.send(url, self.http.get(url).bearer_auth(token)).await
    }

    pub(crate) async fn put_as(&mut self, url: &str, token: &str, body: &Value) -> Page {
        self.send(url, self.http.put(url).bearer_auth(token).json(body)).await
    }

    pub(crate) async fn delete_as(&mut self, url: &str, token: &str) -> Page {
        self.send(url, self.http.delete(url).bearer_auth(token)).await
    }

    /// Posts a form, as from a page of the same origin.
    pub(crate) async fn submit(&mut self, url: &str, fields: &[(&str, &str)]) -> Page {
        let mut form = Url::parse("form:").unwrap();
        form.query_pairs_mut().extend_pairs(fields);
        let origin = Url::parse(url).unwrap().origin().ascii_serialization();
        let request = self.http.post(url).header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("origin", origin);
        let body = form.query().unwrap_or_default().to_owned();
        self.send(url, request.body(body)).await
    }

    async fn send(&mut self, url: &str, request: RequestBuilder) -> Page {
        let url = Url::parse(url).unwrap();
        let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or_default());
        let jar = self.cookies.entry(host).or_default();
        let mut cookies: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !self.account.is_empty() {
            cookies.push(format!("account={}", self.account));
        }
        let response = request.header("cookie", cookies.join("; ")).send().await.unwrap();
        for field in response.headers().get_all("set-cookie") {
            let pair = field.to_str().unwrap().split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').unwrap();
            jar.insert(name.trim().into(), value.into());
        }
        let to = response.headers().get("location").map(|to| to.to_str().unwrap());
        // A path stays one: whether it is is for the tests to see. The providers' are made whole.
        let location = to.map(|to| match url.scheme() {
            "http" => url.join(to).unwrap().to_string(),
            _ => to.to_owned(),
        });
        let status = response.status().as_u16();
        Page { status, location, text: response.text().await.unwrap() }
    }
}

impl Page {
    #[track_caller]
    pub(crate) fn location(&self) -> String {
        self.location.clone().unwrap_or_else(|| panic!("no Location: {} {}", self.status, self.text))
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text))
    }

    /// The value of a hidden field.
    #[track_caller]
    pub(crate) fn hidden(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let found = self.text.split_once(&start).and_then(|(_, rest)| rest.split_once('"'));
        found.unwrap_or_else(|| panic!("no field {name}: {}", self.text)).0.to_owned()
    }
}

/// A parameter of a URL's query.
pub(crate) fn query(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The URL with another value for a parameter of its query.
pub(crate) fn with_query(url: &str, name: &str, value: &str) -> String {
    let mut changed = Url::parse(url).unwrap();
    let pairs: Vec<(String, String)> =
        changed.query_pairs().map(|(key, old)| (key.into_owned(), old.into_owned())).collect();
    changed.query_pairs_mut().clear().extend_pairs(
        pairs.iter().map(|(key, old)| (key.as_str(), if key == name { value } else { old.as_str() })),
    );
    changed.into()
}
