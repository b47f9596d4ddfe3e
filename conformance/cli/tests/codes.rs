//! `mesh login --browser`: somebody who is signed in at the cloud lets the device in.

use meshproof_client::Agent;
use meshproof_client::cloud::{DeviceCode, Elsewhere};
use meshproof_cloud::{Config, PasswordCost, start};
use meshproof_proto::crypto::KeyBits;
use serde_json::json;
use tokio::sync::oneshot;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_a_browser_signs_a_device_in() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("cloud"));
    config.identity.passwords = PasswordCost::FOR_TESTS;
    let running = start(config).await.unwrap();
    let ca = running.ca_pem.clone().into_bytes();
    let certificate = reqwest::Certificate::from_pem(&ca).unwrap();
    let browser = reqwest::Client::builder().tls_certs_only([certificate]).build().unwrap();
    let person = json!({ "name": "ann", "password": "correct horse" });
    let post = async |path: &str, token: &str, body: &serde_json::Value| {
        let request = browser.post(format!("{}{path}", running.url)).bearer_auth(token).json(body);
        request.send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
    };
    post("/identity/users", "", &person).await;
    let signed_in: serde_json::Value =
        serde_json::from_str(&post("/identity/token", "", &person).await).unwrap();
    let token = signed_in["token"].as_str().unwrap();

    let (show, shown) = oneshot::channel();
    let allow = async {
        let code: DeviceCode = shown.await.unwrap();
        assert_eq!(code.uri, format!("{}/desktop/codes", running.url));
        post(&format!("/identity/codes/{}", code.user_code), token, &json!({ "allow": true })).await;
    };
    let mut agent = Agent::open(&dir.path().join("home")).unwrap();
    let show = |code: &DeviceCode| drop(show.send(code.clone()));
    let login = agent.login_at(&running.url, Some(ca), &Elsewhere::Cloud, show);
    let (name, ()) = tokio::join!(login, allow);
    assert_eq!(name.unwrap(), "ann");
    agent.add_device("server", KeyBits::B2048).await.unwrap();
    running.shutdown().await.unwrap();
}
