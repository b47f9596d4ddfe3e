//! Live Desktop as a browser sees it.

mod codes;
mod files;
mod mesh;
mod passkeys;
mod security;
mod sessions;

use reqwest::header::{HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, StatusCode, redirect};

use crate::common::{PASSWORD, World};

/// What multipart bodies are divided by.
const BOUNDARY: &str = "----a-boundary";

/// A browser that keeps one cookie and follows no redirects.
pub(crate) struct Browser<'a> {
    pub(crate) world: &'a World,
    http: Client,
    pub(crate) cookie: String,
}

/// A page, or whatever came.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let ca = reqwest::Certificate::from_pem(world.ca_pem.as_bytes()).unwrap();
        let builder = Client::builder().tls_certs_only([ca]).redirect(redirect::Policy::none());
        Self { world, http: builder.build().unwrap(), cookie: String::new() }
    }

    /// One with the session of a new user.
    pub(crate) async fn of(world: &'a World, name: &str) -> Self {
        let mut browser = Self::new(world);
        let form = [("name", name), ("password", PASSWORD), ("again", PASSWORD), ("next", "")];
        let made = browser.form("/desktop/register", &form).await;
        assert_eq!(made.location(), "/desktop/", "{}", made.text());
        browser.take_cookie(&made);
        browser
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, self.world.url(path));
        if self.cookie.is_empty() { request } else { request.header("cookie", &self.cookie) }
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        Page::of(self.request(Method::GET, path)).await
    }

    /// Sends a form as it is.
    pub(crate) async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        Page::of(self.form_request(path, fields).header("origin", &self.world.url)).await
    }

    /// The same without saying where it comes from.
    pub(crate) fn form_request(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let kind = "application/x-www-form-urlencoded";
        self.request(Method::POST, path).header("content-type", kind).body(urlencoded(fields))
    }

    /// Sends a form with the token that the page at `/desktop/` gives.
    pub(crate) async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let token = self.token().await;
        let fields: Vec<_> = fields.iter().copied().chain([("token", token.as_str())]).collect();
        self.form(path, &fields).await
    }

    /// The token of this session's forms.
    pub(crate) async fn token(&self) -> String {
        let page = self.get("/desktop/").await;
        page.between("name=\"token\" value=\"", "\"").expect("a page with a form").to_owned()
    }

    /// Makes a folder; returns its page.
    pub(crate) async fn folder(&self, name: &str, storage: &str) -> String {
        let made = self.send("/desktop/folders", &[("name", name), ("storage", storage)]).await;
        made.location().split('?').next().unwrap().to_owned()
    }

    /// Sends a file as the script does.
    pub(crate) async fn upload(&self, folder: &str, path: &str, name: &str, bytes: &[u8]) -> Page {
        let token = self.token().await;
        self.upload_with(folder, &[("token", &token), ("path", path)], name, bytes).await
    }

    pub(crate) async fn upload_with(
        &self,
        folder: &str,
        fields: &[(&str, &str)],
        name: &str,
        bytes: &[u8],
    ) -> Page {
        let request = self.request(Method::POST, &format!("{folder}upload"));
        let request = request
            .header("origin", &self.world.url)
            .header("accept", "text/plain")
            .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
        Page::of(request.body(multipart(fields, name, bytes))).await
    }

    pub(crate) fn take_cookie(&mut self, page: &Page) {
        let set = page.headers[SET_COOKIE].to_str().unwrap();
        set.split(';').next().unwrap().clone_into(&mut self.cookie);
    }
}

impl Page {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, bytes: response.bytes().await.unwrap().to_vec() }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    /// Where it sends the browser.
    #[track_caller]
    pub(crate) fn location(&self) -> String {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text());
        self.headers[LOCATION].to_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn has(&self, text: &str) -> &Self {
        assert!(self.text().contains(text), "{text} is not in {}", self.text());
        self
    }

    #[track_caller]
    pub(crate) fn lacks(&self, text: &str) -> &Self {
        assert!(!self.text().contains(text), "{text} is in {}", self.text());
        self
    }

    pub(crate) fn between(&self, before: &str, after: &str) -> Option<&str> {
        let text = std::str::from_utf8(&self.bytes).ok()?;
        text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
    }
}

fn urlencoded(fields: &[(&str, &str)]) -> String {
    let escaped = |text: &str| text.bytes().fold(String::new(), |text, b| text + &format!("%{b:02X}"));
    let pairs = fields.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn multipart(fields: &[(&str, &str)], name: &str, bytes: &[u8]) -> Vec<u8> {
    let disposition = "Content-Disposition: form-data; name=";
    let field = |(field, value): &(&str, &str)| {
        format!("--{BOUNDARY}\r\n{disposition}\"{field}\"\r\n\r\n{value}\r\n")
    };
    let file = format!(
        "--{BOUNDARY}\r\n{disposition}\"file\"; filename=\"{name}\"\r\nContent-Type: text/html\r\n\r\n"
    );
    let body = fields.iter().map(field).chain([file]).collect::<Vec<_>>().concat();
    let end = format!("\r\n--{BOUNDARY}--\r\n");
    [body.as_bytes(), bytes, end.as_bytes()].concat()
}
