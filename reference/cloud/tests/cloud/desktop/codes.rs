//! A program without a browser is signed in at a page.

use serde_json::json;

use super::Browser;
use crate::common::{Answer, World};

#[tokio::test]
async fn a_person_signs_a_program_in() {
    let world = World::new().await;
    let codes = codes(&world).await;
    let user_code = codes["user_code"].as_str().unwrap();
    let link = codes["verification_uri_complete"].as_str().unwrap().strip_prefix(&world.url).unwrap();
    let question = json!({ "device_code": codes["device_code"] });

    // Whoever is not signed in signs in first, and is then asked.
    let signed_out = Browser::new(&world).get(link).await.location();
    assert_eq!(signed_out, format!("/desktop/sign-in?next=/desktop/codes%3Fcode%3D{user_code}"));
    let ann = Browser::of(&world, "ann").await;
    ann.get("/desktop/codes").await.is(200).has("The code that the program shows");
    let page = ann.get(link).await.is(200);
    page.has(user_code).has("a &#60;b&#62;program&#60;/b&#62;");
    world.post("/identity/codes/token", question.clone()).await.is(202);

    // A form that no page of this session gave decides nothing.
    let stolen = [("code", user_code), ("answer", "allow"), ("token", "another session's")];
    ann.form("/desktop/codes", &stolen).await.is(403);
    ann.send("/desktop/codes", &[("code", user_code)]).await.is(422);
    world.post("/identity/codes/token", question.clone()).await.is(202);

    let decided = ann.send("/desktop/codes", &[("code", user_code), ("answer", "allow")]).await.location();
    ann.get(&decided).await.has("The program is signed in.");
    let request = program(&world, "/identity/codes/token").json(&question);
    Answer::of(request).await.is(200);
    ann.get("/desktop/account").await.has("a &#60;b&#62;program");
    world.post("/identity/codes/token", question).await.refused(401, "IDN-072");
    ann.get(link).await.is(404).has("No program waits with this code.");
}

#[tokio::test]
async fn a_code_ends() {
    let world = World::new().await;
    let codes = codes(&world).await;
    let question = json!({ "device_code": codes["device_code"] });
    let ann = Browser::of(&world, "ann").await;
    world.clock.advance(601);
    world.post("/identity/codes/token", question).await.refused(401, "IDN-072");
    let page = format!("/desktop/codes?code={}", codes["user_code"].as_str().unwrap());
    ann.get(&page).await.is(404);
    for odd in ["%2F..%2F..", "%00", "%F0%9F%98%80", "........", "AEIOU"] {
        ann.get(&format!("/desktop/codes?code={odd}")).await.is(404);
    }
}

async fn codes(world: &World) -> serde_json::Value {
    Answer::of(program(world, "/identity/codes")).await.is(200).body.clone()
}

/// A request of a program with an odd name.
fn program(world: &World, path: &str) -> reqwest::RequestBuilder {
    world.http.post(world.url(path)).header("user-agent", "a <b>program</b>")
}
