//! What strangers cannot do: other sites, files of others, names of others.

use reqwest::Method;

use super::{BOUNDARY, Browser, Page, multipart};
use crate::common::World;

#[tokio::test]
async fn forms_of_other_sites_do_nothing() {
    let world = World::new().await;
    let ann = Browser::of(&world, "ann").await;
    let bob = Browser::of(&world, "bob").await;
    let folder = ann.folder("Documents", "cloud").await;
    let token = ann.token().await;
    assert_eq!(token, ann.token().await, "a session has one token");
    assert_ne!(token, bob.token().await);
    assert!(!ann.cookie.contains(&token));

    let own = world.url.as_str();
    let port: u16 = own.rsplit(':').next().unwrap().parse().unwrap();
    let other_port = format!("https://127.0.0.1:{}", port ^ 1);
    let plain = own.replace("https", "http");
    let url = format!("{folder}directories");
    let attempts: [(&str, Option<&str>, Option<&str>, &str); 9] = [
        ("no origin", None, None, &token),
        ("no origin, same site", None, Some("same-origin"), &token),
        ("a hidden origin", Some("null"), None, &token),
        ("another site", Some("https://b.example"), None, &token),
        ("another port", Some(&other_port), None, &token),
        ("without TLS", Some(&plain), None, &token),
        ("another site of the domain", Some(own), Some("same-site"), &token),
        ("no token", Some(own), None, ""),
        ("the token of another session", Some(own), None, &bob.token().await),
    ];
    for (what, origin, site, token) in attempts {
        let mut form = ann.form_request(&url, &[("path", ""), ("name", "dir"), ("token", token)]);
        let mut upload = ann
            .request(Method::POST, &format!("{folder}upload"))
            .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
            .body(multipart(&[("token", token), ("path", "")], "a.txt", b"text"));
        for (name, value) in [("origin", origin), ("sec-fetch-site", site)] {
            if let Some(value) = value {
                form = form.header(name, value);
                upload = upload.header(name, value);
            }
        }
        let (form, upload) = (Page::of(form).await, Page::of(upload).await);
        assert_eq!((form.status.as_u16(), upload.status.as_u16()), (403, 403), "{what}");
    }
    // Nor by signing somebody in.
    let form = [("name", "bob"), ("password", crate::common::PASSWORD)];
    let signed_in = ann.form_request("/desktop/sign-in", &form).header("origin", "https://b.example");
    let signed_in = Page::of(signed_in).await.is(403);
    assert!(!signed_in.headers.contains_key("set-cookie"));
    ann.get(&folder).await.is(200).has("Nothing is in here yet");

    // The twin: all is right.
    let form = ann.form_request(&url, &[("path", ""), ("name", "dir"), ("token", &token)]);
    Page::of(form.header("origin", own).header("sec-fetch-site", "same-origin")).await.is(303);
    ann.get(&folder).await.has("dir");
}

#[tokio::test]
async fn a_get_changes_nothing_that_a_form_changes() {
    let world = World::new().await;
    let ann = Browser::of(&world, "ann").await;
    let folder = ann.folder("Documents", "cloud").await;
    for path in ["directories", "upload", "name"] {
        ann.get(&format!("{folder}{path}?path=&name=x")).await.is(405);
    }
    ann.get("/desktop/sign-out").await.is(405);
    ann.get("/desktop/folders?name=x").await.is(405);
    ann.get("/desktop/").await.is(200);
}

#[tokio::test]
async fn every_page_forbids_what_it_does_not_need() {
    let world = World::new().await;
    let ann = Browser::of(&world, "ann").await;
    let folder = ann.folder("Documents", "cloud").await;
    ann.upload(&folder, "", "a.txt", b"text").await.is(204);
    let below =
        ["", "members", "settings", "removal", "file?path=a.txt", "rename?path=a.txt", "remove?path=a.txt"];
    let pages = below.map(|path| format!("{folder}{path}"));
    let others = [
        "/desktop/",
        "/desktop/account",
        "/desktop/devices",
        "/desktop/sign-in",
        "/desktop/register",
        "/desktop/nothing",
    ];
    let assets: Vec<String> = {
        let page = ann.get("/desktop/account").await.text();
        let quoted = page.split('"').filter(|text| text.starts_with("/desktop/assets/"));
        quoted.map(str::to_owned).collect()
    };
    assert_eq!(assets.len(), 4);
    for path in pages.iter().map(String::as_str).chain(others) {
        let page = ann.get(path).await;
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self';",
            "style-src 'self';",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(page.headers[name], value, "{path}: {name}");
        }
        // The policy would stop it; it is not there in the first place.
        let text = page.text().to_lowercase();
        for inline in [" style=", "<style", " onclick=", " onload=", " onerror=", "javascript:", "<script>"] {
            assert!(!text.contains(inline), "{path} has {inline}");
        }
        let own = text.matches("<script src=\"/desktop/assets/").count();
        assert!(own > 0 && own == text.matches("<script").count(), "{path}");
    }
    for path in assets {
        let asset = ann.get(&path).await.is(200);
        assert_eq!(asset.headers["cache-control"], "public, max-age=31536000, immutable", "{path}");
        assert_eq!(asset.headers["x-content-type-options"], "nosniff");
        let other = path.replace('-', "-0");
        ann.get(&other).await.is(404);
    }
}

#[tokio::test]
async fn bytes_of_users_are_never_pages() {
    let world = World::new().await;
    let ann = Browser::of(&world, "ann").await;
    let folder = ann.folder("Documents", "cloud").await;
    let script = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
    for (name, shown) in [
        ("a.html", "application/octet-stream"),
        ("a.svg", "application/octet-stream"),
        ("a.xml", "application/octet-stream"),
        ("a.pdf", "application/octet-stream"),
        ("a.js", "application/octet-stream"),
        ("none", "application/octet-stream"),
        ("a.png", "image/png"),
        ("a.MP4", "video/mp4"),
    ] {
        ann.upload(&folder, "", name, script).await.is(204);
        let page = ann.get(&format!("{folder}file?path={name}")).await.is(200);
        page.lacks("<script>").lacks("<svg xmlns='");
        let entry = page.between("/entries/", "/bytes").unwrap().to_owned();
        for (query, kind) in [("", "application/octet-stream"), ("?show=true", shown)] {
            let bytes = ann.get(&format!("{folder}entries/{entry}/bytes{query}")).await.is(200);
            assert_eq!(bytes.headers["content-type"], kind, "{name}{query}");
            let disposition = bytes.headers["content-disposition"].to_str().unwrap();
            let wanted = if kind == "application/octet-stream" { "attachment" } else { "inline" };
            assert!(disposition.starts_with(wanted), "{name}{query}: {disposition}");
            assert_eq!(bytes.headers["x-content-type-options"], "nosniff");
            assert_eq!(bytes.headers["content-security-policy"], "default-src 'none'; sandbox");
            assert_eq!(bytes.headers["cross-origin-resource-policy"], "same-origin");
        }
    }
}

#[tokio::test]
async fn names_are_text() {
    let world = World::new().await;
    let ann = Browser::of(&world, "ann").await;
    let name = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}";
    let folder = ann.folder(name, "cloud").await;
    ann.upload(&folder, "", "a&b'c;{{7}}.txt", b"</pre><script>alert(1)</script>").await.is(204);
    for path in [
        "/desktop/".to_owned(),
        folder.clone(),
        format!("{folder}members"),
        format!("{folder}settings"),
        format!("{folder}removal"),
        format!("{folder}file?path=a%26b%27c%3B%7B%7B7%7D%7D.txt"),
        format!("{folder}rename?path=a%26b%27c%3B%7B%7B7%7D%7D.txt"),
        format!("{folder}remove?path=a%26b%27c%3B%7B%7B7%7D%7D.txt"),
        format!("{folder}?path=%3Cscript%3Ealert(1)%3C/script%3E"),
        "/desktop/sign-in?next=%22%3E%3Cscript%3Ealert(1)%3C/script%3E".to_owned(),
        format!("{folder}?did=%3Cscript%3Ealert(1)%3C/script%3E"),
    ] {
        let page = ann.get(&path).await;
        page.lacks("<script>").lacks("<img src=x").lacks("\"'>").lacks("</pre><");
        assert!(!path.contains("folders") || page.text().contains("{{7") || page.status == 404, "{path}");
    }
}

/// Who says nothing more is given up, as everywhere, and as that needs no session, above all here.
#[tokio::test]
async fn a_form_that_does_not_go_on() {
    let idle = std::time::Duration::from_millis(200);
    let world = World::with(|config| config.body_idle = idle).await;
    let browser = Browser::new(&world);
    let form = browser.form_request("/desktop/sign-in", &[]).header("origin", &world.url);
    let silent = reqwest::Body::wrap(crate::uploads::Stalled(Some("name=ann".into())));
    let answer = tokio::time::timeout(100 * idle, Page::of(form.body(silent))).await;
    assert!(answer.expect("an answer").status.is_client_error());
}
