//! Signing in and out.

use reqwest::Method;
use serde_json::json;

use super::{Browser, Page};
use crate::common::{Answer, PASSWORD, World};

const PAGES: [&str; 5] = [
    "/desktop/",
    "/desktop/devices",
    "/desktop/folders/0123/",
    "/desktop/folders/0123/members",
    "/desktop/folders/0123/file?path=a",
];

#[tokio::test]
async fn pages_want_a_session() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    assert_eq!(browser.get("/desktop").await.location(), "/desktop/");
    for cookie in ["", "__Host-mesh=", "__Host-mesh=abc", "other=x"] {
        cookie.clone_into(&mut browser.cookie);
        for page in PAGES {
            let found = browser.get(page).await.location();
            assert!(found.starts_with("/desktop/sign-in?next=/desktop/"), "{page}: {found}");
        }
    }
    let sent = browser.form("/desktop/folders", &[("name", "a")]).await.location();
    assert_eq!(sent, "/desktop/sign-in?next=/desktop/");
}

#[tokio::test]
async fn an_account_is_made_and_used() {
    let world = World::new().await;
    let browser = Browser::of(&world, "ann").await;
    browser.get("/desktop/").await.is(200).has("ann").has("There is no folder yet");

    // Signing in again, from the page that was asked for.
    let mut form = vec![("name", "ann"), ("password", PASSWORD), ("next", "/desktop/devices?a=b")];
    let signed_in = Browser::new(&world).form("/desktop/sign-in", &form).await;
    assert_eq!(signed_in.location(), "/desktop/devices?a=b");
    for elsewhere in ["https://b.example/", "//b.example", "/\\b.example", "/desktop/\n"] {
        form[2].1 = elsewhere;
        let signed_in = Browser::new(&world).form("/desktop/sign-in", &form).await;
        assert_eq!(signed_in.location(), "/desktop/", "{elsewhere}");
    }

    for (field, sentence) in [(0, "Name or password is wrong."), (1, "Name or password is wrong.")] {
        let mut form = [("name", "ann"), ("password", PASSWORD)];
        form[field].1 = "something else";
        let refused = Browser::new(&world).form("/desktop/sign-in", &form).await.is(403);
        refused.has(sentence);
        assert!(!refused.headers.contains_key("set-cookie"));
    }
    for (name, password, again, sentence) in [
        ("ann", PASSWORD, PASSWORD, "This name is taken."),
        ("A", PASSWORD, PASSWORD, "A name has 2 to 63 characters"),
        ("bob", "short", "short", "at least 8 characters"),
        ("bob", PASSWORD, "another one", "The two passwords are not the same."),
    ] {
        let form = [("name", name), ("password", password), ("again", again)];
        let refused = Browser::new(&world).form("/desktop/register", &form).await;
        refused.has(sentence).lacks(password);
        assert!(refused.status.is_client_error() && !refused.headers.contains_key("set-cookie"));
    }

    // Out: a cookie that was kept is worth nothing.
    let page = browser.send("/desktop/sign-out", &[]).await;
    assert_eq!(page.headers["set-cookie"], "__Host-mesh=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
    assert!(browser.get("/desktop/").await.location().starts_with("/desktop/sign-in"));
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let world = World::new().await;
    let first = Browser::of(&world, "ann").await;
    let sign_in = async |password| {
        let mut browser = Browser::new(&world);
        let form = [("name", "ann"), ("password", password)];
        let request = browser.form_request("/desktop/sign-in", &form).header("origin", &world.url);
        let page = Page::of(request.header("user-agent", "a browser <b>")).await;
        browser.take_cookie(&page);
        browser
    };
    let second = sign_in(PASSWORD).await;
    let page = first.get("/desktop/account").await.is(200);
    page.has("a browser &#60;b&#62;").has("127.0.0.1").has("this browser");
    let other = page.between("/desktop/account/sessions/", "\"").unwrap().to_owned();
    second.get("/desktop/").await.is(200);
    first.send(&format!("/desktop/account/sessions/{other}"), &[]).await.location();
    assert!(second.get("/desktop/account").await.location().starts_with("/desktop/sign-in"));

    let third = sign_in(PASSWORD).await;
    let change = |password: &'static str, again: &'static str| {
        let (first, new) = (&first, "battery staple");
        let fields = [("password", password), ("new", new), ("again", again)];
        async move { first.send("/desktop/account/password", &fields).await }
    };
    change(PASSWORD, "battery stable").await.is(422);
    assert!(change("wrong password", "battery staple").await.status.is_client_error());
    third.get("/desktop/account").await.is(200);
    change(PASSWORD, "battery staple").await.location();
    assert!(third.get("/desktop/account").await.location().starts_with("/desktop/sign-in"));
    first.get("/desktop/account").await.is(200);
    sign_in("battery staple").await.get("/desktop/").await.is(200);
}

#[tokio::test]
async fn the_cookie_is_for_this_host_alone_and_new_each_time() {
    let world = World::with(|config| config.identity.token_lifetime = 3_600).await;
    let mut browser = Browser::of(&world, "ann").await;
    let form = [("name", "ann"), ("password", PASSWORD)];
    let mut seen = vec![browser.cookie.clone()];
    for known in [browser.cookie.clone(), "__Host-mesh=chosen-by-somebody-else".into()] {
        // A session that somebody knows from before does not become that of who signs in.
        browser.cookie = known;
        let page = browser.form("/desktop/sign-in", &form).await;
        let set = page.headers["set-cookie"].to_str().unwrap().to_owned();
        assert!(set.starts_with("__Host-mesh="), "{set}");
        for part in ["; Path=/;", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Max-Age=3600"] {
            assert!(set.contains(part), "{set}");
        }
        assert!(!set.contains("Domain"), "{set}");
        browser.take_cookie(&page);
        assert!(!seen.contains(&browser.cookie), "the same cookie twice");
        seen.push(browser.cookie.clone());
    }
    let chosen = Browser { cookie: "__Host-mesh=chosen-by-somebody-else".into(), ..Browser::new(&world) };
    assert!(chosen.get("/desktop/").await.location().starts_with("/desktop/sign-in"));
}

#[tokio::test]
async fn a_session_outlives_its_tickets_and_ends_with_its_token() {
    let world = World::with(|config| config.identity.token_lifetime = 3_600).await;
    let browser = Browser::of(&world, "ann").await;
    let folder = browser.folder("docs", "cloud").await;
    for _ in 0..5 {
        browser.get(&folder).await.is(200);
        world.clock.advance(601); // all tickets are over
        browser.get(&folder).await.is(200);
    }
    world.clock.advance(600);
    let Page { status, .. } = browser.get(&folder).await;
    assert_eq!(status, 303);
}

#[tokio::test]
async fn a_session_that_ended_elsewhere_opens_no_page() {
    let world = World::new().await;
    let browser = Browser::of(&world, "ann").await;
    browser.get("/desktop/").await.is(200); // has tickets from now on
    let token =
        world.post("/identity/token", json!({"name": "ann", "password": PASSWORD})).await.text("token");
    let bearer = |method, path: &str| world.http.request(method, world.url(path)).bearer_auth(&token);
    let sessions = Answer::of(bearer(Method::GET, "/identity/sessions")).await;
    for session in sessions.body["items"].as_array().unwrap() {
        if session["current"] == false {
            let path = session["links"]["self"].as_str().unwrap();
            Answer::of(bearer(Method::DELETE, path)).await.is(204);
        }
    }
    assert!(browser.get("/desktop/").await.location().starts_with("/desktop/sign-in"));
    let sent = browser.send("/desktop/folders", &[("name", "a")]).await.location();
    assert!(sent.starts_with("/desktop/sign-in"), "{sent}");
}
