//! A cloud on 127.0.0.1 with a clock of its own, and users and devices that talk to it over HTTPS.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_cloud::{Clock, Config, PasswordCost, Running, start};
use meshproof_proto::codec::{hex, hex_array};
use meshproof_proto::crypto::{DEFAULT, PrivateKey};
use meshproof_proto::identity::{self, Binding, Purpose};
use meshproof_proto::time::UnixTime;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::contract::CONTRACT;

pub(crate) const ISSUER_A: &str = include_str!("../../../../vectors/keys/issuer-a.pem");
pub(crate) const DEVICE_X: &str = include_str!("../../../../vectors/keys/device-x.pem");
pub(crate) const DEVICE_Y: &str = include_str!("../../../../vectors/keys/device-y.pem");
pub(crate) const DEVICE_Z: &str = include_str!("../../../../vectors/keys/device-z.pem");
pub(crate) const DEVICE_3072: &str = include_str!("../../../../vectors/keys/device-3072.pem");
pub(crate) const DEVICE_WEAK: &str = include_str!("../../../../vectors/keys/device-weak-1024.pem");

pub(crate) const PASSWORD: &str = "correct horse";

/// A clock that stands still until it is moved.
pub(crate) struct ManualClock(AtomicU64);

impl ManualClock {
    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixTime {
        UnixTime(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct World {
    pub(crate) url: String,
    pub(crate) ca_pem: String,
    /// `None` if the cloud is another process.
    pub(crate) running: Option<Running>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) http: Client,
    data: Option<tempfile::TempDir>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// A cloud in a folder of its own, configured by `change`.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut world = Self::on(data.path(), change).await;
        world.data = Some(data);
        world
    }

    /// A cloud on this data directory.
    pub(crate) async fn on(data: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let clock = Arc::new(ManualClock(AtomicU64::new(meshproof_cloud::SystemClock.now().0)));
        let mut config = Config::new(data);
        config.identity.passwords = PasswordCost::FOR_TESTS;
        config.clock = clock.clone();
        change(&mut config);
        let running = start(config).await.unwrap();
        let mut world = Self::at(running.url.clone(), running.ca_pem.clone());
        (world.running, world.clock) = (Some(running), clock);
        world
    }

    /// A cloud that runs already.
    pub(crate) fn at(url: String, ca_pem: String) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = client(&ca_pem, false);
        Self { url, ca_pem, running: None, clock: Arc::new(ManualClock(AtomicU64::new(0))), http, data: None }
    }

    /// A client that speaks HTTP/1.1 only.
    pub(crate) fn http1(&self) -> Client {
        client(&self.ca_pem, true)
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.http.post(self.url(path)).json(&body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.http.get(self.url(path))).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The clock reading.
    pub(crate) fn clock_now(&self) -> u64 {
        self.clock.now().0
    }

    /// A user who is registered and signed in.
    pub(crate) async fn user(&self, name: &str) -> Session<'_> {
        let made = self.post("/identity/users", json!({"name": name, "password": PASSWORD})).await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
        let mut session = self.signed_in(name).await;
        session.id = made.text("user");
        session
    }

    /// A user who was registered before, signed in. Its `id` is not known.
    pub(crate) async fn signed_in(&self, name: &str) -> Session<'_> {
        let mut session = self.session(name);
        session.sign_in().await;
        session
    }

    /// A user who was registered before and is yet to sign in. Its `id` is not known.
    pub(crate) fn session(&self, name: &str) -> Session<'_> {
        Session { name: name.into(), ..self.bearer(Vec::new()) }
    }

    /// Who has these tickets, whoever that is.
    pub(crate) fn bearer(&self, tickets: Vec<String>) -> Session<'_> {
        Session { world: self, id: String::new(), name: String::new(), tickets, token: String::new() }
    }
}

fn client(ca_pem: &str, http1: bool) -> Client {
    let ca = reqwest::Certificate::from_pem(ca_pem.as_bytes()).unwrap();
    let builder = Client::builder().tls_certs_only([ca]);
    if http1 { builder.http1_only().build().unwrap() } else { builder.build().unwrap() }
}

/// A user or device with tickets.
pub(crate) struct Session<'a> {
    pub(crate) world: &'a World,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) tickets: Vec<String>,
    pub(crate) token: String,
}

impl<'a> Session<'a> {
    /// Gets a token and fresh tickets.
    pub(crate) async fn sign_in(&mut self) {
        let credentials = json!({"name": self.name, "password": PASSWORD});
        let token = self.world.post("/identity/token", credentials).await;
        assert_eq!(token.status, StatusCode::OK, "{:?}", token.body);
        self.token = token.text("token");
        let traded =
            Answer::of(self.world.http.post(self.world.url("/tickets")).bearer_auth(&self.token)).await;
        assert_eq!(traded.status, StatusCode::OK, "{:?}", traded.body);
        self.tickets = strings(&traded.body["tickets"]);
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        etag: Option<&str>,
    ) -> Answer {
        let mut request = self
            .world
            .http
            .request(method, self.world.url(path))
            .header("authorization", format!("MeshTicket {}", self.tickets.join(",")));
        if let Some(body) = body {
            request = request.json(&body);
        }
        if let Some(etag) = etag {
            request = request.header("if-match", etag);
        }
        let answer = Answer::of(request).await;
        if let Some(ticket) = answer.headers.get("mesh-ticket") {
            assert!(!ticket.is_empty());
        }
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body), None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body), None).await
    }

    pub(crate) async fn put_media(&self, folder: &str, hash: &str, bytes: &[u8]) -> Answer {
        let url = self.world.url(&format!("{folder}/media/{hash}"));
        let request = self.world.http.put(url).body(bytes.to_vec());
        Answer::of(request.header("authorization", format!("MeshTicket {}", self.tickets.join(",")))).await
    }

    /// A new folder, with its ticket in the set from now on. Returns the path.
    pub(crate) async fn folder(&mut self, body: Value) -> String {
        let made = self.post("/mesh/objects", body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
        self.tickets.push(made.headers["mesh-ticket"].to_str().unwrap().to_owned());
        made.headers["location"].to_str().unwrap().to_owned()
    }

    /// Asks somebody into a folder, who accepts and has the ticket from then on. Returns the answer to the acceptance.
    pub(crate) async fn share(&self, folder: &str, with: &mut Session<'_>, role: &str) -> Answer {
        let invited =
            self.post(&format!("{folder}/invitations"), json!({"name": with.name, "role": role})).await;
        invited.is(201);
        let accepted =
            with.post(&format!("/mesh/invitations/{}", invited.text("invitation")), json!({})).await;
        accepted.is(201);
        with.tickets.push(accepted.headers["mesh-ticket"].to_str().unwrap().to_owned());
        accepted
    }

    /// Claims a device with this key. Returns the pending device's representation.
    pub(crate) async fn claim(&self, pem: &str) -> Answer {
        let body = json!({"name": "a device", "spki": spki(pem)});
        self.post("/mesh/devices", body).await
    }

    /// Claims a device and proves its key. Returns its identifier.
    pub(crate) async fn claimed(&self, pem: &str) -> String {
        let pending = self.claim(pem).await;
        assert_eq!(pending.status, StatusCode::CREATED, "{:?}", pending.body);
        let proof =
            json!({"answer": answer(pem, &pending.text("device"), Purpose::Claim, &pending.body["proof"])});
        let claimed = self.post(pending.body["links"]["proof"].as_str().unwrap(), proof).await;
        assert_eq!(claimed.status, StatusCode::OK, "{:?}", claimed.body);
        assert_eq!(claimed.text("state"), "claimed");
        claimed.text("device")
    }

    /// Signs a device in by its key.
    pub(crate) async fn device(&self, id: &str, pem: &str) -> Session<'a> {
        let challenge = self.world.post("/tickets/challenge", json!({"device": id})).await.body;
        let right = answer(pem, id, Purpose::SignIn, &challenge);
        let proof = json!({"device": id, "challenge": challenge["challenge"], "answer": right});
        let signed_in = self.world.post("/tickets/device", proof).await;
        assert_eq!(signed_in.status, StatusCode::OK, "{:?}", signed_in.body);
        let tickets = strings(&signed_in.body["tickets"]);
        Session { id: id.into(), ..self.world.bearer(tickets) }
    }
}

/// A response, read to its end, and one that `spec/openapi.yaml` describes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap<HeaderValue>,
    pub(crate) body: Value,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let (http, request) = request.build_split();
        let request = request.unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let answer = Self::read(http.execute(request).await.unwrap()).await;
        CONTRACT.check(&method, &path, answer.status, &answer.headers, &answer.bytes);
        answer
    }

    /// The same of a cloud that does not have all that `spec/openapi.yaml` describes.
    pub(crate) async fn of_less(request: reqwest::RequestBuilder) -> Self {
        Self::read(request.send().await.unwrap()).await
    }

    async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap().to_vec();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Self { status, headers, body, bytes }
    }

    pub(crate) fn text(&self, member: &str) -> String {
        self.body[member].as_str().unwrap_or_else(|| panic!("{member} of {:?}", self.body)).to_owned()
    }

    pub(crate) fn etag(&self) -> String {
        self.headers["etag"].to_str().unwrap().to_owned()
    }

    /// Checks that this is a problem document (GPH-008) that names the requirement.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, requirement: &str) {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let known = meshproof_proto::requirement::by_id(requirement).unwrap();
        let expected = json!({
            "type": format!("urn:meshproof:error:{}", known.error),
            "title": known.error.replace('-', " "),
            "status": status,
            "requirement": requirement,
        });
        assert_eq!(self.body, expected);
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        self
    }
}

pub(crate) fn strings(array: &Value) -> Vec<String> {
    array.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

pub(crate) fn pkcs8(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(text).unwrap()
}

pub(crate) fn private_key(pem: &str) -> Box<dyn PrivateKey> {
    DEFAULT.private_key(&pkcs8(pem)).unwrap()
}

pub(crate) fn spki(pem: &str) -> String {
    STANDARD.encode(private_key(pem).spki().der())
}

/// The audience of a cloud that is named as in [`Config::new`].
pub(crate) const AUDIENCE: &str = "urn:meshproof:cloud:localhost";

/// The answer of the device to a challenge, by the holder of the key.
pub(crate) fn answer(pem: &str, device: &str, purpose: Purpose, challenge: &Value) -> String {
    let device = meshproof_proto::codec::Id::parse(device).unwrap();
    bound_answer(pem, &Binding { purpose, device, audience: AUDIENCE }, challenge)
}

/// The answer to a challenge, good for what `binding` says.
pub(crate) fn bound_answer(pem: &str, binding: &Binding<'_>, challenge: &Value) -> String {
    let id = hex_array(challenge["challenge"].as_str().unwrap()).unwrap();
    let ciphertext = STANDARD.decode(challenge["ciphertext"].as_str().unwrap()).unwrap();
    let mut entropy = |out: &mut [u8]| getrandom::fill(out).unwrap();
    hex(&identity::answer(DEFAULT, &*private_key(pem), &id, &ciphertext, binding, &mut entropy))
}
