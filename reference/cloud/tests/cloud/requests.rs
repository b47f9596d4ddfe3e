//! What holds for every request (`spec/graph.md` section 4.1, `spec/ticket.md` section 4.4).

use crate::common::{Answer, ISSUER_A, World, pkcs8, private_key};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::ticket::issue::encode;
use meshproof_proto::ticket::parse::parse;
use meshproof_proto::ticket::{Action, Authz, Issuer, Ticket};
use reqwest::Method;
use serde_json::json;

fn with_tickets(world: &World, path: &str, field: &str) -> reqwest::RequestBuilder {
    world.http.get(world.url(path)).header("authorization", format!("MeshTicket {field}"))
}

#[tokio::test]
async fn without_tickets_only_the_root() {
    let world = World::new().await;
    let root = world.get("/").await;
    root.is(200);
    assert_eq!(root.body["links"]["mesh"], "/mesh");
    for path in ["/mesh", "/mesh/devices", "/mesh/objects", &format!("/mesh/objects/{}", "0".repeat(32))] {
        let answer = world.get(path).await;
        answer.refused(401, "GPH-001");
        assert_eq!(answer.headers["www-authenticate"], "MeshTicket");
    }
}

#[tokio::test]
async fn rejected_sets_are_all_alike() {
    let world = World::with(|config| config.issuer_key = Some(pkcs8(ISSUER_A))).await;
    let ann = world.user("ann").await;
    let bob = world.user("bob").await;
    let issuer = Issuer::new(DEFAULT, private_key(ISSUER_A));
    let bytes = URL_SAFE_NO_PAD.decode(&ann.tickets[0]).unwrap();
    let good = parse(&bytes).unwrap().ticket;
    let signed = |change: fn(&mut Ticket)| {
        let mut ticket = good.clone();
        change(&mut ticket);
        encode(&issuer.issue(&ticket).unwrap())
    };
    with_tickets(&world, "/mesh", &format!("{},{}", signed(|_| ()), ann.tickets[1])).send().await.unwrap();
    let expired = |ticket: &mut Ticket| {
        ticket.not_before.0 -= 600;
        ticket.not_on_or_after.0 -= 600;
    };
    let mut forged = bytes.clone();
    let at = forged.windows(5).position(|w| w == b"user:").unwrap() + 5;
    forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
    let seventeen = vec![ann.tickets[0].clone(); 17].join(",");
    for (what, field) in [
        ("nothing", String::new()),
        ("no base64", "?".into()),
        ("expired", signed(expired)),
        ("another audience", signed(|ticket| ticket.audience = "urn:x".into())),
        ("another issuer", signed(|ticket| ticket.issuer = "urn:x".into())),
        ("forged", URL_SAFE_NO_PAD.encode(&forged)),
        ("a good and a bad one", format!("{},AAAA", ann.tickets[0])),
        ("two subjects", format!("{},{}", ann.tickets[0], bob.tickets[1])),
        ("too many", seventeen),
    ] {
        let answer = Answer::of(with_tickets(&world, "/mesh", &field)).await;
        answer.refused(401, "TKT-031");
        assert_eq!(answer.headers["www-authenticate"], "MeshTicket", "{what}");
    }

    // Time passes for all tickets.
    ann.get("/mesh").await.is(200);
    world.clock.advance(600);
    ann.get("/mesh").await.refused(401, "TKT-031");
}

#[tokio::test]
async fn what_is_not_granted() {
    let world = World::with(|config| config.issuer_key = Some(pkcs8(ISSUER_A))).await;
    let ann = world.user("ann").await;
    let only = |ticket: &str| {
        let request = with_tickets(&world, "/mesh", ticket);
        async move { Answer::of(request).await }
    };
    only(&ann.tickets[0]).await.refused(403, "GPH-002");
    only(&ann.tickets[1]).await.refused(403, "GPH-002"); // no authentication

    // A denial counts, whatever else permits.
    let issuer = Issuer::new(DEFAULT, private_key(ISSUER_A));
    let bytes = URL_SAFE_NO_PAD.decode(&ann.tickets[1]).unwrap();
    let mut ticket = parse(&bytes).unwrap().ticket;
    ticket.authz = vec![Authz { permit: false, resource: "/mesh".into(), actions: vec![Action::Read] }];
    let denial = encode(&issuer.issue(&ticket).unwrap());
    only(&[ann.tickets.join(","), denial].join(",")).await.refused(403, "TKT-030");
}

#[tokio::test]
async fn paths_and_methods() {
    let world = World::new().await;
    let ann = world.user("ann").await;
    let id = Id([0xAB; 16]).to_string();
    for path in [
        "/nothing".into(),
        "/mesh/".into(),
        "/mesh/objects/x".into(),
        format!("/mesh/devices/{}", id.to_uppercase()),
        format!("/mesh/objects/{id}/feeds/other/entries"),
        format!("/mesh/objects/{id}/media/{id}"),
        "/mesh/objects/%FF".into(),
    ] {
        ann.get(&path).await.refused(404, "GPH-004");
    }
    let answer = ann.send(Method::PUT, "/mesh", None, None).await;
    answer.refused(405, "GPH-005");
    assert_eq!(answer.headers["allow"], "GET,HEAD");
    let answer = ann.send(Method::PATCH, &format!("/mesh/objects/{id}/members"), None, None).await;
    answer.refused(405, "GPH-005");
    assert_eq!(answer.headers["allow"], "GET,HEAD");
}

#[tokio::test]
async fn bodies() {
    let world = World::new().await;
    let ann = world.user("ann").await;
    for body in [json!({"name": "x", "colour": "red"}), json!({}), json!([]), json!({"name": 1})] {
        ann.post("/mesh/objects", body).await.refused(422, "GPH-006");
    }
    let raw = |bytes: Vec<u8>| {
        let request = world
            .http
            .post(world.url("/mesh/objects"))
            .header("authorization", format!("MeshTicket {}", ann.tickets.join(",")))
            .body(bytes);
        async move { Answer::of(request).await }
    };
    raw(b"{\"name\": \"a\", \"name\": \"b\"}".to_vec()).await.refused(422, "GPH-006");
    raw(b"{\"name\": \"a\"} x".to_vec()).await.refused(422, "GPH-006");
    raw(b"\xFF".to_vec()).await.refused(422, "GPH-006");
    let padded = |length: usize| {
        let mut body = b"{\"name\":\"a\"}".to_vec();
        body.resize(length, b' ');
        body
    };
    raw(padded(1_048_576)).await.is(201);
    raw(padded(1_048_577)).await.refused(413, "GPH-007");
}

#[tokio::test]
async fn sixty_four_kib_of_header_fields() {
    // GPH-009
    let world = World::new().await;
    let ann = world.user("ann").await;
    for (http, version) in
        [(world.http1(), reqwest::Version::HTTP_11), (world.http.clone(), reqwest::Version::HTTP_2)]
    {
        for fields in [1, 64] {
            let mut request = http
                .get(world.url("/mesh"))
                .header("authorization", format!("MeshTicket {}", ann.tickets.join(",")));
            for n in 0..fields {
                request = request.header(format!("x-filler-{n}"), "x".repeat(65_536 / fields));
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.version(), version);
            assert_eq!(response.status(), 200);
        }
    }
}

/// Anybody may send bodies, so none goes on for ever.
#[tokio::test]
async fn a_body_without_end() {
    let idle = std::time::Duration::from_millis(100);
    let world = World::with(|config| config.body_idle = idle).await;
    let request = world.http.post(world.url("/identity/token")).body(crate::contents::dripping());
    let answer = tokio::time::timeout(200 * idle, Answer::of(request)).await;
    answer.expect("an answer").refused(422, "GPH-006");
}
