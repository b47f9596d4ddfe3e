//! The cloud as a relying party of real OpenID Connect providers: npm's `oidc-provider`, two at once, and one that forges
//! (`provider.mjs`; `install.sh` installs it). Ignored in plain `cargo test`, for it needs Node; `run.sh` runs it.

#[path = "browser.rs"]
mod browser;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use meshproof_cloud::{Config, OidcProvider, PasswordCost, Running, start};
use serde_json::{Value, json};

use crate::browser::{Browser, Page, query, with_query};

const PASSWORD: &str = "correct horse";

/// A cloud with its providers.
struct World {
    cloud: Running,
    _data: tempfile::TempDir,
    node: Child,
    _lines: BufReader<ChildStdout>,
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.node.stdin.take());
        let _ = self.node.wait();
    }
}

impl World {
    async fn new() -> Self {
        let folder = std::env::var("MESHPROOF_INTEROP_NODE").expect("MESHPROOF_INTEROP_NODE: run.sh sets it");
        let mut node = Command::new("node")
            .arg("provider.mjs")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts");
        let mut lines = BufReader::new(node.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let ports: Value = serde_json::from_str(&line).expect("provider.mjs prints its ports");

        let data = tempfile::tempdir().unwrap();
        let mut config = Config::new(data.path());
        config.identity.passwords = PasswordCost::FOR_TESTS;
        config.identity.providers = ["a", "b", "forger"]
            .map(|name| OidcProvider {
                name: name.into(),
                issuer: format!("http://127.0.0.1:{}", ports[name]),
                client_id: "mesh".into(),
                client_secret: Some(format!("secret of {name}: &=+%")),
            })
            .into();
        let cloud = start(config).await.unwrap();
        let redirect = |name: &str| format!("{}/identity/federated/{name}/callback", cloud.url);
        let redirects = json!({ "redirects": { "a": redirect("a"), "b": redirect("b") } });
        writeln!(node.stdin.as_mut().unwrap(), "{redirects}").unwrap();
        line.clear();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { cloud, _data: data, node, _lines: lines }
    }

    /// A browser of whom the providers know as `account`.
    fn browser(&self, account: &str) -> Browser {
        Browser::new(&self.cloud.ca_pem, account)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.cloud.url)
    }

    /// Goes from `start` to the provider and through it. Returns the URL of the callback, which was not called yet.
    async fn to_callback(&self, browser: &mut Browser, provider: &str) -> String {
        let begun = browser.get(&self.url(&format!("/identity/federated/{provider}/start"))).await;
        assert_eq!(begun.status, 303, "{}", begun.text);
        self.through_provider(browser, &begun.location()).await
    }

    async fn through_provider(&self, browser: &mut Browser, location: &str) -> String {
        let mut next = location.to_owned();
        for _ in 0..10 {
            let page = browser.get(&next).await;
            next = page.location();
            if next.starts_with(&self.cloud.url) {
                return next;
            }
        }
        panic!("the provider does not come to its end: {next}");
    }

    async fn sign_in(&self, account: &str, provider: &str) -> Value {
        let mut browser = self.browser(account);
        let callback = self.to_callback(&mut browser, provider).await;
        let page = browser.get(&callback).await;
        assert_eq!(page.status, 200, "{}", page.text);
        page.json()
    }

    /// The user and name whose token this is.
    async fn who(&self, token: &Value) -> (String, String) {
        let mut browser = self.browser("nobody");
        let token = token["token"].as_str().unwrap();
        let grant = browser.post(&self.url("/tickets"), Some(token), None).await.json();
        let tickets: Vec<&str> =
            grant["tickets"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
        let mesh = browser.get_with_tickets(&self.url("/mesh"), &tickets.join(",")).await.json();
        (mesh["user"].as_str().unwrap().into(), mesh["name"].as_str().unwrap().into())
    }
}

#[track_caller]
fn refused(page: &Page, status: u16, requirement: &str) {
    assert_eq!((page.status, page.json()["requirement"].as_str().unwrap()), (status, requirement));
}

#[tokio::test]
#[ignore = "needs Node and oidc-provider: run.sh"]
async fn people_are_who_their_providers_say() {
    // IDN-042, IDN-044 (the providers insist on PKCE)
    let world = World::new().await;
    let first = world.who(&world.sign_in("ann", "a").await).await;
    assert!(first.1.starts_with("ann-"), "{}", first.1);
    assert_eq!(world.who(&world.sign_in("ann", "a").await).await, first, "the same user again");
    assert_ne!(world.who(&world.sign_in("bob", "a").await).await.0, first.0);
    let other = world.who(&world.sign_in("ann", "b").await).await;
    assert_ne!(other.0, first.0, "another issuer's ann");
    assert!(other.1.starts_with("b-"), "{}", other.1);
    let listed = world.browser("").get(&world.url("/identity/providers")).await.json();
    let names: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|item| &item["name"]).collect();
    assert_eq!(names, ["password", "a", "b", "forger", "passkey", "code"]);
    println!("interop: oidc-provider signs two people in at two providers, with code and PKCE");
}

#[tokio::test]
#[ignore = "needs Node and oidc-provider: run.sh"]
async fn callbacks_that_are_refused() {
    let world = World::new().await;
    // IDN-037: another state; another browser; another provider's path.
    let mut browser = world.browser("ann");
    let callback = world.to_callback(&mut browser, "a").await;
    let wrong = with_query(&callback, "state", "AAAA");
    refused(&browser.get(&wrong).await, 401, "IDN-037");
    let callback = world.to_callback(&mut browser, "a").await;
    refused(&world.browser("mallory").get(&callback).await, 401, "IDN-037");
    refused(&browser.get(&callback.replace("/a/callback", "/b/callback")).await, 401, "IDN-037");

    // IDN-038: the second time. A code that was used, in a new sign-in, is refused by the provider (IDN-040).
    let callback = world.to_callback(&mut browser, "a").await;
    assert_eq!(browser.get(&callback).await.status, 200);
    refused(&browser.get(&callback).await, 401, "IDN-038");
    let used = query(&callback, "code").unwrap();
    let callback = world.to_callback(&mut browser, "a").await;
    refused(&browser.get(&with_query(&callback, "code", &used)).await, 401, "IDN-040");

    // IDN-039: the answer of a, in a sign-in at b; no `iss`, though the provider promised it.
    let code_of_a = query(&world.to_callback(&mut world.browser("ann"), "a").await, "code").unwrap();
    let callback = world.to_callback(&mut browser, "b").await;
    let issuer_of_b = query(&callback, "iss").unwrap();
    let issuer_of_a = query(&world.to_callback(&mut world.browser("ann"), "a").await, "iss").unwrap();
    assert_ne!(issuer_of_a, issuer_of_b);
    let mixed = with_query(&with_query(&callback, "code", &code_of_a), "iss", &issuer_of_a);
    refused(&browser.get(&mixed).await, 401, "IDN-039");
    let callback = world.to_callback(&mut browser, "b").await;
    let without = callback.replace("&iss=", "&other=");
    refused(&browser.get(&without).await, 401, "IDN-039");

    // IDN-041, IDN-044: an authorisation request that somebody changed on its way.
    for (parameter, requirement) in [("nonce", "IDN-041"), ("code_challenge", "IDN-040")] {
        let begun = browser.get(&world.url("/identity/federated/a/start")).await;
        let changed = with_query(&begun.location(), parameter, &"A".repeat(43));
        let callback = world.through_provider(&mut browser, &changed).await;
        refused(&browser.get(&callback).await, 401, requirement);
    }
    // Who is not signed in at the provider, and says no.
    let callback = world.to_callback(&mut world.browser(""), "a").await;
    assert!(callback.contains("error=access_denied"), "{callback}");
    println!("interop: wrong state, replayed code, mixed-up issuer and wrong nonce are refused");
}

#[tokio::test]
#[ignore = "needs Node: run.sh"]
async fn forged_tokens() {
    // IDN-040; all are the first, but for one thing.
    let world = World::new().await;
    let mut browser = world.browser("ann");
    let kinds = [
        ("good", 200),
        ("wrong-key", 401),
        ("unknown-key", 401),
        ("none", 401),
        ("symmetric", 401),
        ("other-issuer", 401),
        ("other-client", 401),
        ("other-party", 401),
        ("expired", 401),
    ];
    for (kind, status) in kinds {
        let begun = browser.get(&world.url("/identity/federated/forger/start")).await;
        let (state, nonce) = (query(&begun.location(), "state"), query(&begun.location(), "nonce"));
        let path = format!("/identity/federated/forger/callback?state={}", state.unwrap());
        let page = browser.get(&world.url(&format!("{path}&code={kind}:{}", nonce.unwrap()))).await;
        if status == 200 {
            assert_eq!(page.status, 200, "{kind}: {}", page.text);
        } else {
            refused(&page, status, "IDN-040");
        }
    }
    println!("interop: {} kinds of forged ID tokens are refused", kinds.len() - 1);
}

#[tokio::test]
#[ignore = "needs Node and oidc-provider: run.sh"]
async fn pages_and_links() {
    let world = World::new().await;
    let mut browser = world.browser("ann");
    // A page: the token is in no URL, and for the cookie once.
    for bad in ["//evil.example", "https://evil.example", "/%5Cevil.example"] {
        let path = format!("/identity/federated/a/start?return={bad}");
        refused(&browser.get(&world.url(&path)).await, 422, "IDN-046");
    }
    let begun = browser.get(&world.url("/identity/federated/a/start?return=/desktop")).await;
    let callback = world.through_provider(&mut browser, &begun.location()).await;
    let back = browser.get(&callback).await;
    assert_eq!((back.status, back.location().as_str()), (303, "/desktop"));
    let path = world.url("/identity/federated/token");
    refused(&world.browser("mallory").post(&path, None, None).await, 401, "IDN-037");
    let token = browser.post(&path, None, None).await;
    assert_eq!(token.status, 200, "{}", token.text);
    refused(&browser.post(&path, None, None).await, 401, "IDN-037");

    // IDN-043, IDN-045: linking.
    let mut tokens = Vec::new();
    for name in ["carl", "dora"] {
        let credentials = json!({ "name": name, "password": PASSWORD });
        browser.post(&world.url("/identity/users"), None, Some(&credentials)).await;
        let token = browser.post(&world.url("/identity/token"), None, Some(&credentials)).await.json();
        tokens.push(token["token"].as_str().unwrap().to_owned());
    }
    let link = world.url("/identity/federated/b/link");
    refused(&browser.post(&link, None, None).await, 401, "IDN-007");
    for (token, linked) in tokens.iter().zip([true, false]) {
        let begun = browser.post(&link, Some(token), None).await.json();
        let location = begun["location"].as_str().unwrap();
        let callback = world.through_provider(&mut browser, location).await;
        let page = browser.get(&callback).await;
        if linked {
            assert_eq!((page.status, page.json()), (200, json!({ "linked": "b" })));
        } else {
            refused(&page, 409, "IDN-045");
        }
    }
    assert_eq!(world.who(&world.sign_in("ann", "b").await).await.1, "carl");

    // IDN-077: a link that ends after its session did.
    let carl = &tokens[0];
    let begun = browser.post(&world.url("/identity/federated/a/link"), Some(carl), None).await.json();
    let change = json!({ "password": PASSWORD, "new_password": "battery staple" });
    let credentials = json!({ "name": "carl", "password": PASSWORD });
    let other = browser.post(&world.url("/identity/token"), None, Some(&credentials)).await.json();
    let other = other["token"].as_str().unwrap().to_owned();
    let changed = browser.put_as(&world.url("/identity/password"), &other, &change).await;
    assert_eq!(changed.status, 204, "{}", changed.text);
    let callback = world.through_provider(&mut browser, begun["location"].as_str().unwrap()).await;
    refused(&browser.get(&callback).await, 401, "IDN-077");

    // IDN-075, IDN-076, IDN-058: what is linked is seen, and can be removed by its owner.
    let identities = world.url("/identity/federated/identities");
    let listed = browser.get_as(&identities, &other).await.json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    let one = world.url(listed["items"][0]["links"]["self"].as_str().unwrap());
    refused(&browser.delete_as(&one, &tokens[1]).await, 404, "IDN-076");
    assert_eq!(browser.delete_as(&one, &other).await.status, 204);
    refused(&browser.delete_as(&one, &other).await, 404, "IDN-076");
    assert_ne!(world.who(&world.sign_in("ann", "b").await).await.1, "carl");
    let alone = world.sign_in("erna", "b").await;
    let alone = alone["token"].as_str().unwrap();
    let last = browser.get_as(&identities, alone).await.json();
    let last = world.url(last["items"][0]["links"]["self"].as_str().unwrap());
    refused(&browser.delete_as(&last, alone).await, 409, "IDN-058");
    println!("interop: pages get their tokens by cookie; identities are linked once");
}

#[tokio::test]
#[ignore = "needs Node and oidc-provider: run.sh"]
async fn the_desktop_signs_in() {
    let world = World::new().await;
    let mut browser = world.browser("ann");
    let page = browser.get(&world.url("/desktop/sign-in?next=/desktop/news%3Fa%3Db")).await;
    let links = page.text.split("href=\"").filter(|text| text.starts_with("/identity/federated/a/start?"));
    let [link] = links.collect::<Vec<_>>()[..] else { panic!("not one link: {}", page.text) };
    let (link, text) = link.split_once("\">").unwrap();
    assert!(text.starts_with("Sign in with a</a>"), "{text}");
    let begun = browser.get(&world.url(link)).await;
    let callback = world.through_provider(&mut browser, &begun.location()).await;
    let back = browser.get(&callback).await.location();
    assert_eq!(back, "/desktop/sign-in/provider?next=/desktop/news%3Fa%3Db");
    // Nobody else's browser gets the session, and this one gets it once.
    let other = world.browser("bob").get(&world.url(&back)).await;
    assert!(other.status == 403 && other.text.contains("did not work"), "{other:?}");
    assert_eq!(browser.get(&world.url(&back)).await.location(), "/desktop/news?a=b");
    let home = browser.get(&world.url("/desktop/")).await;
    assert!(home.status == 200 && home.text.contains("ann"), "{home:?}");
    // Where the account is linked to is seen, and the only way in is kept (IDN-058).
    let account = browser.get(&world.url("/desktop/account")).await;
    let (_, form) =
        account.text.split_once("action=\"/desktop/account/identities/").expect("the identity is listed");
    let path = format!("/desktop/account/identities/{}", &form[..32]);
    let kept = browser.submit(&world.url(&path), &[("token", &account.hidden("token"))]).await;
    assert!(kept.status == 409 && kept.text.contains("the only way"), "{kept:?}");
    let again = browser.get(&world.url(&back)).await;
    assert!(again.status == 403 && again.text.contains("did not work"), "{again:?}");
}

#[tokio::test]
#[ignore = "needs Node and oidc-provider: run.sh"]
async fn programs_without_a_browser() {
    // IDN-047, RFC 8628
    let world = World::new().await;
    let mut program = world.browser("");
    let begun = program.post(&world.url("/identity/federated/a/device"), None, None).await;
    assert_eq!(begun.status, 200, "{}", begun.text);
    let begun = begun.json();
    let question = json!({ "device_code": begun["device_code"] });
    let ask = world.url("/identity/federated/a/device/token");
    assert_eq!(program.post(&ask, None, Some(&question)).await.status, 202);
    refused(&program.post(&ask.replace("/a/", "/b/"), None, Some(&question)).await, 401, "IDN-037");
    let other = json!({ "device_code": "AAAA" });
    refused(&program.post(&ask, None, Some(&other)).await, 401, "IDN-038");

    // The person: enters the code, confirms, signs in.
    let mut browser = world.browser("ann");
    let page = browser.get(begun["verification_uri"].as_str().unwrap()).await;
    let code = begun["user_code"].as_str().unwrap();
    let here = begun["verification_uri"].as_str().unwrap();
    let page = browser.submit(here, &[("xsrf", &page.hidden("xsrf")), ("user_code", code)]).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let mut page = browser
        .submit(here, &[("xsrf", &page.hidden("xsrf")), ("user_code", code), ("confirm", "yes")])
        .await;
    while page.status == 303 || page.status == 302 {
        page = browser.get(&page.location()).await;
    }
    assert_eq!(page.status, 200, "{}", page.text);

    // Too early by the interval: the provider is not asked. A program waits and asks again.
    let early = program.post(&ask, None, Some(&question)).await;
    assert_eq!((early.status, early.json()["slow_down"].as_bool()), (202, Some(true)), "{}", early.text); // IDN-069
    tokio::time::sleep(Duration::from_secs(begun["interval"].as_u64().unwrap())).await;
    let token = program.post(&ask, None, Some(&question)).await;
    assert_eq!(token.status, 200, "{}", token.text);
    assert!(world.who(&token.json()).await.1.starts_with("ann-"));
    refused(&program.post(&ask, None, Some(&question)).await, 401, "IDN-038");
    println!("interop: oidc-provider's device flow signs a program in");
}
