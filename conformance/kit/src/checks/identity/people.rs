//! People: names, passwords, tokens, first tickets.

use serde_json::json;

use super::check;
use crate::check::{Check, Context, Verdict, demand};
use crate::checks::ticket::verified;
use crate::oracle::ticket::uri;
use crate::target::cloud::{Reply, call};
use crate::target::world::{World, fresh_name, new_user, sign_in, trade};

const HONEST: &str = "idn.users.honest";

pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![
            check(HONEST, &["IDN-001"], "a new user signs in and gets a token", honest),
            check("idn.users.taken", &["IDN-005"], "a name that is taken", |context| async move {
                let world = World::get(&context).await?;
                register(&context, &world.alice.name, "another password")
                    .await?
                    .expect_problem(409, "name-taken")
            })
            .twin(HONEST),
            check(
                "idn.token.unknown-and-wrong",
                &["IDN-002"],
                "an unknown name and a wrong password look alike",
                alike,
            )
            .twin(HONEST),
            check("idn.tickets.honest", &["IDN-008"], "a token is traded for first tickets", first_tickets)
                .twin(HONEST),
            check(
                "idn.tickets.invented-token",
                &["IDN-007"],
                "a token that was never issued",
                |context| async move {
                    trade(&context, &"A".repeat(43)).await?.expect_problem(401, "token-rejected")
                },
            )
            .twin("idn.tickets.honest"),
            check(
                "idn.tickets.altered-token",
                &["IDN-007"],
                "a token with its last character changed",
                altered_token,
            )
            .twin("idn.tickets.honest"),
            check(
                "idn.tickets.by-tickets",
                &["IDN-064"],
                "tickets in place of a token",
                |context| async move {
                    let world = World::get(&context).await?;
                    let tickets = &world.alice.grant.tickets;
                    let reply = call(&context, "POST", "/tickets").tickets(tickets).send().await?;
                    reply.expect_problem(401, "token-rejected")
                },
            )
            .twin("idn.tickets.honest"),
            check(
                "idn.tickets.issuer-keys",
                &["IDN-060"],
                "first tickets are signed with the first of the published keys",
                issuer_keys,
            )
            .twin("idn.tickets.honest"),
            check("idn.tickets.no-token", &["IDN-007"], "no token", |context| async move {
                call(&context, "POST", "/tickets").send().await?.expect(401).map(|_| ())
            })
            .twin("idn.tickets.honest"),
        ];
    for (id, length, taken) in [("7", 7, false), ("8", 8, true), ("1024", 1024, true), ("1025", 1025, false)]
    {
        let title = format!("a password of {length} bytes is {}", if taken { "taken" } else { "refused" });
        let check = check(&format!("idn.password.{id}"), &["IDN-003"], &title, move |context| async move {
            let name = fresh_name(&context, "p");
            let reply = register(&context, &name, &"p".repeat(length)).await?;
            if taken {
                reply.expect(201).map(|_| ())
            } else {
                reply.expect_problem(422, "password-unacceptable")
            }
        });
        checks.push(check.twin(HONEST));
    }
    let password = check(
        "idn.password.bytes",
        &["IDN-003"],
        "a password of 4 characters in 8 bytes is taken",
        |context| async move {
            let name = fresh_name(&context, "p");
            register(&context, &name, "\u{e9}\u{e8}\u{ea}\u{eb}").await?.expect(201).map(|_| ())
        },
    );
    checks.push(password.twin(HONEST));
    for (id, name) in NAMES {
        let title = format!("a user with the name {:?}", name.chars().take(40).collect::<String>());
        let check = check(&format!("idn.name.{id}"), &["IDN-004"], &title, move |context| async move {
            register(&context, name, "a good password").await?.expect_problem(422, "name-unacceptable")
        });
        checks.push(check.twin(HONEST));
    }
    checks
}

/// Names that are not of the form of identity.md section 3.
const NAMES: [(&str, &str); 9] = [
    ("empty", ""),
    ("one", "a"),
    ("sixty-four", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ("upper", "Alice"),
    ("dot-first", ".alice"),
    ("hyphen-first", "-alice"),
    ("space", "al ice"),
    ("accent", "al\u{ed}ce"),
    ("slash", "alice/bob"),
];

async fn register(context: &Context, name: &str, password: &str) -> Result<Reply, crate::check::Stop> {
    call(context, "POST", "/identity/users").json(&json!({"name": name, "password": password})).send().await
}

async fn honest(context: Context) -> Verdict {
    let user = new_user(&context, "honest").await?;
    demand!(
        crate::oracle::ticket::read::is_lower_hex(&user.id, 32),
        "the user's identifier is {:?}, not 32 hexadecimal digits",
        user.id
    );
    let body = json!({"name": user.name, "password": user.password});
    let reply = call(&context, "POST", "/identity/token").json(&body).send().await?.expect(200)?;
    let lasts = reply.json()?["expires_in"].as_u64();
    demand!(lasts.is_some_and(|seconds| seconds > 0), "expires_in is no number of seconds above 0");
    Ok(())
}

async fn alike(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let ask = async |name: &str| {
        let body = json!({"name": name, "password": "not the password"});
        call(&context, "POST", "/identity/token").json(&body).send().await?.expect(401)
    };
    let known = ask(&world.alice.name).await?;
    let unknown = ask(&fresh_name(&context, "nobody")).await?;
    demand!(known.body == unknown.body, "the bodies differ, and so tell who has an account");
    known.expect_problem(401, "sign-in-failed")
}

async fn first_tickets(context: Context) -> Verdict {
    let user = new_user(&context, "first").await?;
    let tickets = verified(&user.grant)?;
    let subject = format!("{}{}", uri::USER, user.id);
    demand!(
        tickets.iter().all(|ticket| ticket.fields.subject == subject),
        "a first ticket is not about the user"
    );
    let authn = tickets.iter().find_map(|ticket| ticket.fields.authn.as_ref());
    demand!(
        authn.map(|(_, class)| class.as_str())
            == Some("urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"),
        "there is no authentication ticket by password among the first tickets"
    );
    let mesh = tickets
        .iter()
        .flat_map(|ticket| &ticket.fields.authz)
        .any(|statement| statement.resource == "/mesh" && statement.decision == "Permit");
    demand!(mesh, "there is no authorization ticket for /mesh among the first tickets");
    demand!(user.grant.root == "/mesh", "the root is {} instead of /mesh", user.grant.root);
    Ok(())
}

/// Whoever trusts the first key alone can verify what was just issued.
async fn issuer_keys(context: Context) -> Verdict {
    let mut grant = new_user(&context, "keys").await?.grant;
    let count = grant.issuer_keys.len();
    demand!((1..=2).contains(&count), "the issuer publishes {count} keys instead of one or two");
    grant.issuer_keys.truncate(1);
    let first = verified(&grant)?;
    demand!(!first.is_empty(), "there are no first tickets");
    Ok(())
}

async fn altered_token(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let mut token = sign_in(&context, &world.alice.name, &world.alice.password).await?;
    // Two characters apart in the alphabet, so that even a last character of few bits decodes to something else.
    let last = token.pop();
    token.push(if last == Some('A') { 'w' } else { 'A' });
    trade(&context, &token).await?.expect_problem(401, "token-rejected")
}
