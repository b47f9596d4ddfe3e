//! The cloud of the reference in this process, without a socket: requests in, answers out.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request};
use meshproof_cloud::{Clock, Config, PasswordCost, Service};
use meshproof_kit::vectors::fixtures::ISSUER_B;
use meshproof_proto::time::UnixTime;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

const PASSWORD: &str = "correct horse";

/// One cloud for all runs, and two people.
pub(crate) struct Cloud {
    runtime: Runtime,
    router: Router,
    pub(crate) alice: Vec<String>,
    pub(crate) bob: Vec<String>,
    pub(crate) user: String,
    folders: usize,
    _data: TempDir,
}

/// A clock that stands still: tickets stay good.
struct Standing;

impl Clock for Standing {
    fn now(&self) -> UnixTime {
        UnixTime(meshproof_kit::vectors::fixtures::NOW)
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: axum::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A request in the making.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Name and value; what is no header is left out.
    pub(crate) headers: Vec<(&'a str, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Cloud {
    /// The cloud, for as long as a run lasts. A run that panicked leaves it as it is: whatever it did is in a folder of its own.
    pub(crate) fn get() -> MutexGuard<'static, Self> {
        static CLOUD: LazyLock<Mutex<Cloud>> = LazyLock::new(|| Mutex::new(Cloud::start()));
        CLOUD.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start() -> Self {
        let data = TempDir::new().expect("a temporary directory");
        let mut config = Config::new(data.path());
        config.issuer_key = Some(ISSUER_B.pkcs8());
        config.identity.passwords = PasswordCost::FOR_TESTS;
        config.services.retain(|service| ![Service::Desktop, Service::Relay].contains(service));
        config.clock = Arc::new(Standing);
        config.identity.limits.tickets_per_user.burst = 1_000_000; // it is one person for all runs
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let router = meshproof_cloud::service(&config).expect("a cloud");
        let (alice, bob, user) = (Vec::new(), Vec::new(), String::new());
        let mut cloud = Self { runtime, router, alice, bob, user, folders: 0, _data: data };
        (cloud.alice, cloud.user) = cloud.sign_up("alice");
        (cloud.bob, _) = cloud.sign_up("bob");
        cloud
    }

    fn sign_up(&self, name: &str) -> (Vec<String>, String) {
        let credentials = json!({"name": name, "password": PASSWORD});
        let made = self.json("POST", "/identity/users", &[], &credentials).expect(201);
        let token = self.json("POST", "/identity/token", &[], &credentials).expect(200);
        let bearer = format!("Bearer {}", token["token"].as_str().unwrap_or_default());
        let headers = vec![("authorization", bearer.into_bytes())];
        let traded =
            self.ask(Ask { method: "POST", path: "/tickets", headers, body: Vec::new() }).expect(200);
        let texts = traded["tickets"].as_array().into_iter().flatten().filter_map(Value::as_str);
        (texts.map(str::to_owned).collect(), made["user"].as_str().unwrap_or_default().to_owned())
    }

    /// A new folder of Alice's: its path, and her tickets for it.
    pub(crate) fn folder(&mut self) -> (String, Vec<String>) {
        self.folders += 1;
        let name = format!("folder {}", self.folders);
        let made = self.json("POST", "/mesh/objects", &self.alice, &json!({ "name": name }));
        let mut tickets = self.alice.clone();
        tickets.extend(
            made.headers
                .get_all("mesh-ticket")
                .iter()
                .filter_map(|value| value.to_str().ok())
                .map(str::to_owned),
        );
        let path = made.header("location").unwrap_or_default().to_owned();
        assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
        (path, tickets)
    }

    /// Removes it.
    pub(crate) fn remove(&self, (path, tickets): &(String, Vec<String>)) {
        let got = self.json("GET", path, tickets, &Value::Null);
        let tag = got.header("etag").unwrap_or("*").as_bytes().to_vec();
        let headers = vec![("authorization", authorization(tickets)), ("if-match", tag)];
        let gone = self.ask(Ask { method: "DELETE", path, headers, body: Vec::new() });
        assert_eq!(gone.status, 204, "a folder cannot be deleted: {}", String::from_utf8_lossy(&gone.body));
    }

    /// Sends JSON, or nothing for null.
    pub(crate) fn json(&self, method: &str, path: &str, tickets: &[String], body: &Value) -> Answer {
        let mut headers = vec![("content-type", b"application/json".to_vec())];
        if !tickets.is_empty() {
            headers.push(("authorization", authorization(tickets)));
        }
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.ask(Ask { method, path, headers, body })
    }

    /// Sends a request. What is none by HTTP itself, a server never gets to see: 400.
    pub(crate) fn ask(&self, ask: Ask<'_>) -> Answer {
        let mut request = Request::builder().method(ask.method).uri(ask.path);
        for (name, value) in ask.headers {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                request = request.header(name, value);
            }
        }
        let Ok(request) = request.body(Body::from(ask.body)) else {
            return Answer { status: 400, headers: axum::http::HeaderMap::new(), body: Vec::new() };
        };
        self.runtime.block_on(async {
            let Ok(response) = self.router.clone().oneshot(request).await;
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, 16 << 20).await.expect("the body of an answer comes to its end");
            Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.to_vec() }
        })
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// What holds for every answer: the service does not fail, and a refusal is a problem document that names its rule (GPH-008).
    pub(crate) fn check(&self) {
        let text = String::from_utf8_lossy(&self.body);
        assert!(self.status < 500 || self.status == 507, "the service failed: {} {text}", self.status);
        if self.status < 400 || self.status == 400 && self.body.is_empty() {
            return;
        }
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let rule = problem["requirement"].as_str().unwrap_or_default();
        let is_rule = |rule: &str| rule.len() == 7 && rule.as_bytes()[3] == b'-' && rule.is_ascii();
        assert!(is_rule(rule) && problem["status"] == self.status, "GPH-008: {} {text}", self.status);
    }
}

/// The field `Authorization` with these tickets.
pub(crate) fn authorization(tickets: &[String]) -> Vec<u8> {
    format!("MeshTicket {}", tickets.join(",")).into_bytes()
}
