//! Sessions: what there is, how they end, and a change of password.

use serde_json::{Value, json};

use super::check;
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::target::cloud::{Reply, call};
use crate::target::world::{User, new_user, sign_in, trade};

const LIST: &str = "idn.sessions.list";
const CHANGE: &str = "idn.password.change";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(LIST, &["IDN-026"], "a user sees the sessions of this user", list),
        check("idn.sessions.end", &["IDN-027"], "a token whose session was ended from another one", end)
            .twin(LIST),
        check("idn.sessions.many", &["IDN-066"], "a user signs in 65 times", many).twin(LIST),
        check("idn.sessions.foreign", &["IDN-033"], "the end of somebody else's session", foreign).twin(LIST),
        check("idn.sessions.sign-out", &["IDN-028"], "a token after signing out", sign_out).twin(LIST),
        check(CHANGE, &["IDN-031"], "a changed password signs in, the old one does not", change),
        check("idn.password.change-wrong", &["IDN-029"], "a change with a wrong password", change_wrong)
            .twin(CHANGE),
        check("idn.password.change-short", &["IDN-034"], "a change to a password of 7 bytes", change_short)
            .twin(CHANGE),
        check(
            "idn.password.change-ends",
            &["IDN-030"],
            "other sessions after a change of password",
            change_ends,
        )
        .twin(CHANGE),
        check("idn.providers.list", &["IDN-035"], "the provider of the kit's users is listed", providers),
        check(
            "idn.providers.unknown",
            &["IDN-036"],
            "a sign-in by a provider that is not listed",
            |context| async move {
                let path = "/identity/federated/no-such-provider-here/start";
                call(&context, "GET", path).send().await?.expect_problem(404, "no-such-provider")
            },
        )
        .twin("idn.providers.list"),
    ]
}

async fn bearer(context: &Context, method: &str, path: &str, token: &str) -> Result<Reply, Stop> {
    call(context, method, path).header("authorization", &format!("Bearer {token}")).send().await
}

/// The items of `/identity/sessions`.
async fn sessions(context: &Context, token: &str) -> Result<Vec<Value>, Stop> {
    let body = bearer(context, "GET", "/identity/sessions", token).await?.expect(200)?.json()?;
    let items = body["items"].as_array().cloned();
    items.ok_or_else(|| Stop::Fail("GET /identity/sessions: there are no items".to_owned()))
}

/// The identifier of the session of this token.
async fn session_of(context: &Context, token: &str) -> Result<String, Stop> {
    let items = sessions(context, token).await?;
    let current = items.iter().find(|item| item["current"] == true);
    let id = current.and_then(|item| item["session"].as_str()).map(str::to_owned);
    id.ok_or_else(|| Stop::Fail("GET /identity/sessions: no item is `current`".to_owned()))
}

async fn two_tokens(context: &Context) -> Result<(User, String, String), Stop> {
    let user = new_user(context, "sessions").await?;
    let first = sign_in(context, &user.name, &user.password).await?;
    let second = sign_in(context, &user.name, &user.password).await?;
    Ok((user, first, second))
}

async fn list(context: Context) -> Verdict {
    let (_, first, second) = two_tokens(&context).await?;
    let stranger = new_user(&context, "stranger").await?;
    let foreign = sign_in(&context, &stranger.name, &stranger.password).await?;
    let (first_id, second_id) = (session_of(&context, &first).await?, session_of(&context, &second).await?);
    let foreign_id = session_of(&context, &foreign).await?;
    demand!(first_id != second_id, "two sign-ins have one session");
    let listed = sessions(&context, &first).await?;
    let has = |id: &str| listed.iter().any(|item| item["session"] == id);
    demand!(has(&first_id) && has(&second_id), "a session of the user is not listed");
    demand!(!has(&foreign_id), "the session of another user is listed");
    Ok(())
}

async fn many(context: Context) -> Verdict {
    let user = new_user(&context, "many").await?; // the first
    let mut last = String::new();
    for _ in 0..64 {
        last = sign_in(&context, &user.name, &user.password).await?;
    }
    let listed = sessions(&context, &last).await?.len();
    demand!(listed <= 64, "{listed} sessions of one user have not ended");
    trade(&context, &last).await?.expect(200).map(|_| ())
}

async fn end(context: Context) -> Verdict {
    let (_, first, second) = two_tokens(&context).await?;
    trade(&context, &second).await?.expect(200)?;
    let path = format!("/identity/sessions/{}", session_of(&context, &second).await?);
    bearer(&context, "DELETE", &path, &first).await?.expect(204)?;
    trade(&context, &second).await?.expect_problem(401, "token-rejected")?;
    trade(&context, &first).await?.expect(200).map(|_| ())
}

async fn foreign(context: Context) -> Verdict {
    let (_, first, _) = two_tokens(&context).await?;
    let stranger = new_user(&context, "stranger").await?;
    let foreign = sign_in(&context, &stranger.name, &stranger.password).await?;
    let path = format!("/identity/sessions/{}", session_of(&context, &first).await?);
    bearer(&context, "DELETE", &path, &foreign).await?.expect_problem(404, "no-such-session")?;
    trade(&context, &first).await?.expect(200).map(|_| ())
}

async fn sign_out(context: Context) -> Verdict {
    let (_, first, second) = two_tokens(&context).await?;
    bearer(&context, "DELETE", "/identity/token", &first).await?.expect(204)?;
    trade(&context, &first).await?.expect_problem(401, "token-rejected")?;
    trade(&context, &second).await?.expect(200).map(|_| ())
}

async fn post_change(context: &Context, token: &str, old: &str, new: &str) -> Result<Reply, Stop> {
    let request =
        call(context, "PUT", "/identity/password").header("authorization", &format!("Bearer {token}"));
    request.json(&json!({"password": old, "new_password": new})).send().await
}

const NEW: &str = "another password";

async fn change(context: Context) -> Verdict {
    let (user, first, _) = two_tokens(&context).await?;
    post_change(&context, &first, &user.password, NEW).await?.expect(204)?;
    sign_in(&context, &user.name, NEW).await?;
    let body = json!({"name": user.name, "password": user.password});
    let old = call(&context, "POST", "/identity/token").json(&body).send().await?;
    old.expect_problem(401, "sign-in-failed")
}

async fn change_wrong(context: Context) -> Verdict {
    let (user, first, _) = two_tokens(&context).await?;
    post_change(&context, &first, "not the password", NEW).await?.expect_problem(401, "sign-in-failed")?;
    sign_in(&context, &user.name, &user.password).await.map(|_| ())
}

async fn change_short(context: Context) -> Verdict {
    let (user, first, _) = two_tokens(&context).await?;
    let refused = post_change(&context, &first, &user.password, "1234567").await?;
    refused.expect_problem(422, "password-unacceptable")
}

async fn change_ends(context: Context) -> Verdict {
    let (user, first, second) = two_tokens(&context).await?;
    trade(&context, &second).await?.expect(200)?;
    post_change(&context, &first, &user.password, NEW).await?.expect(204)?;
    trade(&context, &second).await?.expect_problem(401, "token-rejected")?;
    // Who changed it stays signed in.
    trade(&context, &first).await?.expect(200).map(|_| ())
}

async fn providers(context: Context) -> Verdict {
    let body = call(&context, "GET", "/identity/providers").send().await?.expect(200)?.json()?;
    let items = body["items"].as_array().cloned().unwrap_or_default();
    let password = items.iter().any(|item| item["kind"] == "password" && item["name"].is_string());
    demand!(password, "the kit's users sign in by password, but no provider of that kind is listed");
    Ok(())
}
