//! Sharing and devices.

use serde_json::json;

use super::Browser;
use crate::common::{DEVICE_X, World};

#[tokio::test]
async fn a_folder_is_shared() {
    let world = World::new().await;
    let ann = Browser::of(&world, "ann").await;
    let bob = Browser::of(&world, "bob").await;
    let folder = ann.folder("Documents", "cloud").await;
    ann.upload(&folder, "", "a.txt", b"text").await.is(204);
    bob.get(&folder).await.is(404);

    let members = format!("{folder}members");
    ann.send(&members, &[("name", "bob"), ("role", "reader")]).await.location();
    ann.send(&members, &[("name", "bob"), ("role", "reader")]).await.is(409).has("invited already");

    // Withdrawn, declined, accepted.
    let page = ann.get(&members).await;
    let sent = page.between("/invitations/", "\"").unwrap().to_owned();
    ann.send(&format!("{folder}invitations/{sent}"), &[]).await.location();
    for answer in ["decline", "accept"] {
        bob.get("/desktop/").await.lacks("Documents");
        ann.send(&members, &[("name", "bob"), ("role", "reader")]).await.location();
        let page = bob.get("/desktop/").await;
        page.has("ann invites you to Documents");
        let id = page.between("/desktop/invitations/", "\"").unwrap().to_owned();
        bob.send(&format!("/desktop/invitations/{id}"), &[("answer", answer)]).await.location();
    }
    bob.get("/desktop/").await.has("Documents").lacks("invites you");
    bob.get(&folder).await.is(200).has("a.txt").lacks("data-upload").lacks("Delete");
    bob.upload(&folder, "", "b.txt", b"x").await.is(422);
    bob.send(&format!("{folder}remove"), &[("path", "a.txt")]).await.is(403);
    bob.send(&format!("{folder}directories"), &[("path", ""), ("name", "d")]).await.is(403);
    bob.get(&members).await.is(200).has("ann").lacks("Share with somebody");
    bob.send(&members, &[("name", "bob"), ("role", "owner")]).await.is(403);

    // A larger role holds at once, although bob's tickets are still those of a reader.
    let page = ann.get(&members).await;
    let user = page.text();
    let user = user.split("/members/").skip(1).map(|rest| &rest[..32]);
    for user in user.map(str::to_owned).collect::<Vec<_>>() {
        ann.send(&format!("{members}/{user}"), &[("role", "contributor")]).await.location();
    }
    bob.upload(&folder, "", "b.txt", b"x").await.is(204);
    bob.send(&format!("{folder}remove"), &[("path", "a.txt")]).await.location();
    ann.get(&folder).await.has("b.txt").lacks("a.txt");

    // Leaving.
    let page = bob.get(&members).await;
    let own = page.between("/members/", "\"").unwrap().to_owned();
    assert_eq!(bob.send(&format!("{members}/{own}"), &[("role", "none")]).await.location(), "/desktop/");
    bob.get(&folder).await.is(404);
}

#[tokio::test]
async fn devices_come_and_go() {
    let world = World::new().await;
    let browser = Browser::of(&world, "ann").await;
    browser.get("/desktop/").await.has("No device has joined yet");
    let ann = world.signed_in("ann").await;
    let laptop = ann.claimed(DEVICE_X).await;
    browser.get("/desktop/").await.has("a device").has("away");
    let device = ann.device(&laptop, DEVICE_X).await;
    let body = json!({"addresses": ["192.0.2.1:4000"], "ttl": 60});
    device.put(&format!("/mesh/devices/{laptop}/endpoints"), body).await.is(200);
    browser.get("/desktop/").await.has("online");
    browser.get("/desktop/devices").await.has("192.0.2.1:4000").has("online");
    world.clock.advance(60);
    browser.get("/desktop/devices").await.has("away").lacks("192.0.2.1");

    let url = format!("/desktop/devices/{laptop}");
    browser.send(&format!("{url}/name"), &[("name", "Laptop")]).await.location();
    browser.get(&format!("{url}/revocation")).await.is(200).has("Revoke “Laptop”?");
    let bob = Browser::of(&world, "bob").await;
    for path in ["name", "revocation"] {
        bob.send(&format!("{url}/{path}"), &[("name", "mine")]).await.is(403);
    }
    browser.send(&format!("{url}/revocation"), &[]).await.location();
    browser.get("/desktop/devices").await.lacks("Laptop");
    device.get("/mesh").await.refused(401, "TKT-031");
}

#[tokio::test]
async fn news_are_told() {
    let world = World::new().await;
    let ann = Browser::of(&world, "ann").await;
    let folder = ann.folder("Documents", "cloud").await;
    ann.upload(&folder, "", "a.txt", b"text").await.is(204);
    for page in ["/desktop/news".to_owned(), format!("{folder}news")] {
        let page = ann.get(&page).await.is(200);
        page.has("wrote a.txt").has("<b>ann</b>").has("file?path=a.txt").lacks("Older");
    }
    for n in 0..30 {
        ann.upload(&folder, "", &format!("{n}.txt"), format!("text {n}").as_bytes()).await.is(204);
    }
    let first = ann.get(&format!("{folder}news")).await.is(200);
    first.has("wrote 29.txt").lacks("wrote a.txt");
    let older = first.between("href=\"?before=", "\"").expect("a next page").to_owned();
    ann.get(&format!("{folder}news?before={older}")).await.is(200).has("wrote a.txt").lacks("wrote 29.txt");
    ann.get(&format!("{folder}news?before=x")).await.is(410);
}
