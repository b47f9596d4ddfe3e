//! Folders and files.

use serde_json::json;

use super::{Browser, Page};
use crate::common::World;

/// The identifier of the entry whose page this is.
fn entry(page: &Page) -> String {
    page.between("/entries/", "/bytes").expect("a download").to_owned()
}

#[tokio::test]
async fn files_go_up_and_come_down() {
    let world = World::new().await;
    let browser = Browser::of(&world, "ann").await;
    let folder = browser.folder("Documents", "cloud").await;
    browser.get("/desktop/").await.has("Documents").has(&folder);
    browser.get(&folder).await.is(200).has("Nothing is in here yet");

    let made = browser.send(&format!("{folder}directories"), &[("path", ""), ("name", "Fotos")]).await;
    assert_eq!(made.location(), format!("{folder}?path=&did=made"));
    let bytes: Vec<u8> = (0..1_500_000u32).flat_map(u32::to_le_bytes).collect();
    browser.upload(&folder, "Fotos", "söm&e #1.bin", &bytes).await.is(204);
    browser.get(&format!("{folder}?path=Fotos")).await.is(200).has("söm&#38;e #1.bin").has("6.0 MB");

    let page = browser.get(&format!("{folder}file?path=Fotos/s%C3%B6m%26e%20%231.bin")).await.is(200);
    let download = browser.get(&format!("{folder}entries/{}/bytes", entry(&page))).await.is(200);
    assert!(download.bytes == bytes);
    assert_eq!(
        download.headers["content-disposition"],
        "attachment; filename*=UTF-8''s%C3%B6m%26e%20%231.bin"
    );

    // The graph has what any other client would have written: the writer is the user (as in GPH-053).
    let session = world.signed_in("ann").await;
    let user = session.get("/mesh").await.text("user");
    let id = folder.trim_matches('/').rsplit('/').next().unwrap();
    let list = session.get(&format!("/mesh/objects/{id}/feeds/files/entries")).await.body;
    let item = list["items"].as_array().unwrap().iter().find(|item| item["kind"] == "file").unwrap();
    assert_eq!(item["path"], "Fotos/söm&e #1.bin");
    assert_eq!(item["version"], json!({ user.as_str(): 1 }));
    assert_eq!(item["hash"], blake3::hash(&bytes).to_hex().as_str());
    assert_eq!(item["modified"], world.clock_now());
}

#[tokio::test]
async fn more_files_than_a_page_of_the_graph_has() {
    let world = World::new().await;
    let browser = Browser::of(&world, "ann").await;
    let folder = browser.folder("Documents", "cloud").await;
    let session = world.signed_in("ann").await;
    let id = folder.trim_matches('/').rsplit('/').next().unwrap();
    let entries = format!("/mesh/objects/{id}/feeds/files/entries");
    for hundred in 0..11 {
        let part = |n: u32| {
            let (href, path) = (format!("{entries}/{n:032x}"), format!("directory-{n}"));
            let body = json!({"path": path, "kind": "directory", "version": {}});
            json!({"method": "PUT", "href": href, "body": body})
        };
        let parts: Vec<_> = (hundred * 100..(hundred + 1) * 100).map(part).collect();
        let answer = session.post("/mesh/batch", json!({ "parts": parts })).await;
        answer.is(200);
        assert!(answer.body["items"].as_array().unwrap().iter().all(|item| item["status"] == 201));
    }
    assert_eq!(session.get(&entries).await.body["items"].as_array().unwrap().len(), 1_000);
    let page = browser.get(&folder).await;
    for n in 0..1_100 {
        page.has(&format!(">directory-{n}<"));
    }

    // Others change something: the pages ask only for that, and show all.
    let change = |n: u32, path: &str| {
        let href = format!("{entries}/{n:032x}");
        let body = json!({"path": path, "kind": "directory", "version": {}});
        json!({"method": "PUT", "href": href, "if_match": "*", "body": body})
    };
    let gone = json!({"method": "DELETE", "href": format!("{entries}/{:032x}", 8), "if_match": "*"});
    let parts = [change(7, "another-name"), gone];
    session.post("/mesh/batch", json!({ "parts": parts })).await.is(200);
    let page = browser.get(&folder).await;
    page.has(">another-name<").lacks(">directory-7<").lacks(">directory-8<").has(">directory-9<");

    // What was read for one is not shown to another.
    let other = Browser::of(&world, "bob").await;
    other.get(&folder).await.is(404);
}

#[tokio::test]
async fn the_same_name_twice() {
    let world = World::new().await;
    let browser = Browser::of(&world, "ann").await;
    let folder = browser.folder("Documents", "cloud").await;
    for text in ["one", "two", "three"] {
        browser.upload(&folder, "", "a.tar.gz", text.as_bytes()).await.is(204);
    }
    let page = browser.get(&folder).await;
    page.has(">a.tar.gz<").has(">a.tar (2).gz<").has(">a.tar (3).gz<");
    let token = browser.token().await;
    let fields = [("token", token.as_str()), ("path", ""), ("replace", "yes")];
    browser.upload_with(&folder, &fields, "a.tar.gz", b"four").await.is(204);
    browser.get(&folder).await.lacks("(4)");
    browser.get(&format!("{folder}file?path=a.tar.gz")).await.has(">four</pre>");
    // Decomposed names are composed, as paths are.
    browser.upload(&folder, "", "e\u{301}.txt", b"").await.is(204);
    browser.get(&folder).await.has("\u{e9}.txt");
    for (name, status) in [("a:b", 422), ("nul", 422), ("..", 422), ("C:\\x\\fine.txt", 204)] {
        browser.upload(&folder, "", name, b"x").await.is(status);
    }
    browser.get(&folder).await.has(">fine.txt<");
}

#[tokio::test]
async fn rename_move_and_delete() {
    let world = World::new().await;
    let browser = Browser::of(&world, "ann").await;
    let folder = browser.folder("Documents", "cloud").await;
    for (path, name) in [("", "a"), ("a", "b"), ("", "c")] {
        browser.send(&format!("{folder}directories"), &[("path", path), ("name", name)]).await.location();
    }
    browser.upload(&folder, "a/b", "deep.txt", b"deep").await.is(204);
    browser.upload(&folder, "", "top.txt", b"top").await.is(204);

    let rename = |path: &'static str, directory: &'static str, name: &'static str| {
        let (browser, url) = (&browser, format!("{folder}rename"));
        async move { browser.send(&url, &[("path", path), ("directory", directory), ("name", name)]).await }
    };
    let page = browser.get(&format!("{folder}rename?path=a")).await.is(200);
    page.has("<option value=\"c\">").lacks("<option value=\"a\"").lacks("<option value=\"a/b\"");
    assert_eq!(rename("a", "c", "moved").await.location(), format!("{folder}?path=c&did=renamed"));
    browser.get(&format!("{folder}file?path=c/moved/b/deep.txt")).await.is(200).has(">deep</pre>");
    browser.get(&format!("{folder}?path=a")).await.is(404);
    rename("top.txt", "", "top.md").await.location();
    rename("top.md", "", "top.md").await.location();
    for (path, directory, name) in [
        ("c", "c", "in-itself"),
        ("c", "c/moved", "in-itself"),
        ("top.md", "", "c"),
        ("top.md", "nowhere", "x"),
        ("top.md", "", "a/b"),
        ("nothing", "", "x"),
        ("", "", "x"),
    ] {
        let refused = rename(path, directory, name).await;
        assert!(refused.status.is_client_error(), "{path} -> {directory}/{name}: {refused:?}");
    }

    let url = format!("{folder}remove");
    browser.get(&format!("{url}?path=c")).await.is(200).has("all in it (1 file)");
    assert_eq!(browser.send(&url, &[("path", "c")]).await.location(), format!("{folder}?path=&did=removed"));
    let page = browser.get(&folder).await;
    page.has("top.md").lacks("path=c\"");
    browser.send(&url, &[("path", "c")]).await.is(404);
    // What was deleted can come again.
    browser.send(&format!("{folder}directories"), &[("path", ""), ("name", "c")]).await.location();
    browser.get(&format!("{folder}?path=c")).await.is(200).has("Nothing is in here yet");
}

#[tokio::test]
async fn a_folder_is_renamed_and_deleted() {
    let world = World::new().await;
    let browser = Browser::of(&world, "ann").await;
    let folder = browser.folder("Documents", "cloud").await;
    browser.send(&format!("{folder}name"), &[("name", "Papers")]).await.location();
    browser.get(&folder).await.has("Papers").lacks("Documents");
    browser.send(&format!("{folder}name"), &[("name", "")]).await.is(422);
    browser.get(&format!("{folder}removal")).await.is(200).has("0 files");
    assert_eq!(browser.send(&format!("{folder}removal"), &[]).await.location(), "/desktop/?did=removed");
    browser.get(&folder).await.is(404);
    browser.get("/desktop/").await.lacks("Papers");
}

#[tokio::test]
async fn bytes_that_the_cloud_does_not_take() {
    let world = World::with(|config| config.storage.quota = 1_000_000).await;
    let browser = Browser::of(&world, "ann").await;
    let folder = browser.folder("Documents", "cloud").await;
    browser.upload(&folder, "", "a", &vec![1; 700_000]).await.is(204);
    for length in [400_000, 1_100_000] {
        let refused = browser.upload(&folder, "", "b", &vec![2; length]).await.is(507);
        assert_eq!(refused.text(), "There is not enough room left in the cloud for this.");
    }
    browser.get(&folder).await.lacks(">b<");
    browser.get("/desktop/").await.has("700 kB of 1.0 MB used");

    let folder = browser.folder("Private", "p2p").await;
    browser.get(&folder).await.has("stay on its devices").lacks("data-upload");
    browser.upload(&folder, "", "a", b"x").await.is(409);
    // An entry whose bytes are elsewhere.
    let ann = world.signed_in("ann").await;
    let id = folder.trim_matches('/').rsplit('/').next().unwrap();
    let (entry, hash) = ("0a".repeat(16), "0b".repeat(32));
    let body = json!({"path": "far.txt", "kind": "file", "size": 3, "hash": hash, "version": {}});
    ann.put(&format!("/mesh/objects/{id}/feeds/files/entries/{entry}"), body).await.is(201);
    browser.get(&format!("{folder}file?path=far.txt")).await.is(200).has("does not hold the bytes");
    browser.get(&format!("{folder}entries/{entry}/bytes")).await.is(404);
}

#[tokio::test]
async fn an_upload_that_is_cut_short_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let world = World::on(data.path(), |_| ()).await;
    let browser = Browser::of(&world, "ann").await;
    let folder = browser.folder("Documents", "cloud").await;
    let token = browser.token().await;
    let whole = super::multipart(&[("token", &token), ("path", "")], "a", &vec![1; 300_000]);
    let request = browser
        .request(reqwest::Method::POST, &format!("{folder}upload"))
        .header("origin", &world.url)
        .header("content-type", format!("multipart/form-data; boundary={}", super::BOUNDARY));
    Page::of(request.body(whole[..200_000].to_vec())).await.is(400);
    browser.get(&folder).await.has("Nothing is in here yet");
    assert_eq!(data.path().join("spool").read_dir().unwrap().count(), 0);
    assert_eq!(data.path().join("incoming").read_dir().map_or(0, Iterator::count), 0);
}
