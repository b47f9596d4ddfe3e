//! Passkeys, as the script of the pages uses them.

use serde_json::Value;

use super::{Browser, Page};
use crate::authenticator::Authenticator;
use crate::common::World;

async fn sign_in(browser: &Browser<'_>, passkey: &mut Authenticator, next: &str) -> Page {
    let asked = browser.form("/desktop/sign-in/passkey/options", &[]).await;
    let body = passkey.sign_in(&json(&asked));
    let mut fields: Vec<_> = members(&body).collect();
    fields.push(("next", next));
    browser.form("/desktop/sign-in/passkey", &fields).await
}

fn json(page: &Page) -> Value {
    assert_eq!(page.headers["content-type"], "application/json", "{}", page.text());
    serde_json::from_slice(&page.bytes).unwrap()
}

fn members(body: &Value) -> impl Iterator<Item = (&str, &str)> {
    body.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
}

#[tokio::test]
async fn a_passkey_is_added_used_and_removed() {
    let world = World::new().await;
    let browser = Browser::of(&world, "ann").await;
    let origin = format!("data-origin=\"https://localhost:{}\"", world.url.rsplit(':').next().unwrap());
    browser.get("/desktop/account").await.is(200).has(&origin).has("Add a passkey").lacks("Remove");

    let mut passkey = Authenticator::new();
    let body = passkey.register(&json(&browser.send("/desktop/account/passkeys/options", &[]).await));
    let mut fields: Vec<_> = members(&body).collect();
    fields.push(("label", "key ring <b>"));
    let added = browser.send("/desktop/account/passkeys", &fields).await.location();
    browser.get(&added).await.has("The passkey was added.").has("key ring &#60;b&#62;").has("never used");

    let mut other = Browser::new(&world);
    other.get("/desktop/sign-in").await.has(&origin).has("Sign in with a passkey");
    other.get("/desktop/register").await.lacks("Sign in with a passkey");
    let signed_in = sign_in(&other, &mut passkey, "/desktop/devices").await;
    assert_eq!(signed_in.location(), "/desktop/devices");
    other.take_cookie(&signed_in);
    let page = other.get("/desktop/account").await.is(200);
    page.has("last used <time").lacks("never used");

    let path = page.between("action=\"/desktop/account/passkeys/", "\"").unwrap();
    let removed = other.send(&format!("/desktop/account/passkeys/{path}"), &[]).await.location();
    other.get(&removed).await.has("The passkey was removed.").lacks("key ring");
    let refused = sign_in(&Browser::new(&world), &mut passkey, "").await.is(403);
    refused.has("This passkey does not sign in here");
    assert!(!refused.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn passkeys_are_added_from_pages_of_the_session() {
    let world = World::new().await;
    let browser = Browser::of(&world, "ann").await;
    for path in ["/desktop/account/passkeys/options", "/desktop/account/passkeys"] {
        browser.form(path, &[]).await.is(403);
        assert!(Browser::new(&world).form(path, &[]).await.location().starts_with("/desktop/sign-in"));
    }
    let elsewhere = browser.form_request("/desktop/sign-in/passkey/options", &[]);
    Page::of(elsewhere.header("origin", "https://mesh.example")).await.is(403);
}

#[tokio::test]
async fn pages_of_a_cloud_without_passwords_or_passkeys() {
    let world = World::with(|config| config.identity.passkey_sign_in = false).await;
    let browser = Browser::of(&world, "ann").await;
    browser.get("/desktop/account").await.is(200).lacks("passkey");
    Browser::new(&world)
        .get("/desktop/sign-in")
        .await
        .has("type=\"password\"")
        .lacks("Sign in with a passkey");
    let world = World::with(|config| config.identity.password_sign_in = false).await;
    let page = Browser::new(&world).get("/desktop/sign-in").await;
    page.has("Sign in with a passkey").lacks("type=\"password\"").lacks("Create an account");
}
