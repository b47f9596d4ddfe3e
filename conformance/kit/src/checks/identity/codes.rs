//! Codes: a person who is signed in signs a program in.

use serde_json::json;

use super::{check, is_offered};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::target::cloud::{Reply, call};
use crate::target::world::{new_user, sign_in, trade};

const ALLOWED: &str = "idn.code.allowed";
const CODES: &str = "/identity/codes";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(ALLOWED, &["IDN-071"], "a person allows a code, and the program is signed in", allowed),
        check("idn.code.waiting", &["IDN-070"], "a question before anybody decided", waiting).twin(ALLOWED),
        check("idn.code.denied", &["IDN-072"], "a question after a person said no", denied).twin(ALLOWED),
        check("idn.code.token-twice", &["IDN-072"], "a question after the token was given out", twice)
            .twin(ALLOWED),
        check(
            "idn.code.ended",
            &["IDN-074"],
            "a question after the session that allowed it has ended",
            ended,
        )
        .twin(ALLOWED),
        check("idn.code.unknown", &["IDN-073"], "a user code that nobody was given", unknown).twin(ALLOWED),
        check("idn.code.decided", &["IDN-073"], "a second decision on a code", decided).twin(ALLOWED),
        check(
            "idn.code.as-written",
            &["IDN-071"],
            "a code in small letters, without what divides it",
            |context| async move {
                let (codes, token) = (Codes::new(&context).await?, person(&context).await?);
                let written = codes.user_code.to_lowercase().replace('-', "");
                decide(&context, &written, &token, true).await?.expect(204)?;
                codes.ask(&context).await?.expect(200).map(|_| ())
            },
        )
        .twin(ALLOWED),
        check(
            "idn.code.stranger",
            &["IDN-007"],
            "a decision without the token of a user",
            |context| async move {
                let codes = Codes::new(&context).await?;
                let refused = decide(&context, &codes.user_code, "bm8gdG9rZW4", true).await?;
                refused.expect_problem(401, "token-rejected")?;
                codes.ask(&context).await?.expect(202).map(|_| ())
            },
        )
        .twin(ALLOWED),
    ]
}

/// What a program that waits was given.
struct Codes {
    device_code: String,
    user_code: String,
}

impl Codes {
    async fn new(context: &Context) -> Result<Self, Stop> {
        if !is_offered(context, "code").await? {
            return Err(Stop::NotApplicable("nobody signs in by code here".to_owned()));
        }
        let reply = call(context, "POST", CODES).send().await?.expect(200)?;
        let body = reply.json()?;
        for number in ["expires_in", "interval"] {
            demand!(body[number].as_u64().is_some(), "POST {CODES}: `{number}` is no number");
        }
        let page = reply.text("verification_uri")?;
        demand!(page.starts_with("https://"), "POST {CODES}: `verification_uri` is {page}");
        let (device_code, user_code) = (reply.text("device_code")?, reply.text("user_code")?);
        let letters = user_code.replacen('-', "", 1);
        let good = letters.len() == 8 && letters.bytes().all(|b| b"BCDFGHJKLMNPQRSTVWXZ".contains(&b));
        demand!(good && user_code.find('-') == Some(4), "POST {CODES}: `user_code` is {user_code}");
        Ok(Self { device_code, user_code })
    }

    async fn ask(&self, context: &Context) -> Result<Reply, Stop> {
        let body = json!({ "device_code": self.device_code });
        call(context, "POST", &format!("{CODES}/token")).json(&body).send().await
    }
}

/// The token of a new user.
async fn person(context: &Context) -> Result<String, Stop> {
    let user = new_user(context, "decides").await?;
    sign_in(context, &user.name, &user.password).await
}

async fn decide(context: &Context, code: &str, token: &str, allow: bool) -> Result<Reply, Stop> {
    let request = call(context, "POST", &format!("{CODES}/{code}")).json(&json!({ "allow": allow }));
    request.header("authorization", &format!("Bearer {token}")).send().await
}

async fn look(context: &Context, code: &str, token: &str) -> Result<Reply, Stop> {
    let request = call(context, "GET", &format!("{CODES}/{code}"));
    request.header("authorization", &format!("Bearer {token}")).send().await
}

/// The identifiers of the sessions of this token's user.
async fn sessions(context: &Context, token: &str) -> Result<Vec<String>, Stop> {
    let request = call(context, "GET", "/identity/sessions");
    let body =
        request.header("authorization", &format!("Bearer {token}")).send().await?.expect(200)?.json()?;
    let items = body["items"].as_array().into_iter().flatten();
    Ok(items.filter_map(|item| item["session"].as_str()).map(str::to_owned).collect())
}

async fn allowed(context: Context) -> Verdict {
    let (codes, token) = (Codes::new(&context).await?, person(&context).await?);
    let shown = look(&context, &codes.user_code, &token).await?.expect(200)?.text("user_code")?;
    demand!(shown == codes.user_code, "the code {} is shown as {shown}", codes.user_code);
    decide(&context, &codes.user_code, &token, true).await?.expect(204)?;
    let given = codes.ask(&context).await?.expect(200)?;
    let (session, given) = (given.text("session")?, given.text("token")?);
    trade(&context, &given).await?.expect(200)?;
    let begun = sessions(&context, &token).await?;
    demand!(
        begun.contains(&session) && begun == sessions(&context, &given).await?,
        "the program is signed in as somebody else"
    );
    Ok(())
}

async fn waiting(context: Context) -> Verdict {
    let (codes, token) = (Codes::new(&context).await?, person(&context).await?);
    codes.ask(&context).await?.expect(202)?;
    // Looking decides nothing.
    look(&context, &codes.user_code, &token).await?.expect(200)?;
    codes.ask(&context).await?.expect(202).map(|_| ())
}

async fn denied(context: Context) -> Verdict {
    let (codes, token) = (Codes::new(&context).await?, person(&context).await?);
    decide(&context, &codes.user_code, &token, false).await?.expect(204)?;
    codes.ask(&context).await?.expect_problem(401, "code-rejected")
}

async fn twice(context: Context) -> Verdict {
    let (codes, token) = (Codes::new(&context).await?, person(&context).await?);
    decide(&context, &codes.user_code, &token, true).await?.expect(204)?;
    codes.ask(&context).await?.expect(200)?;
    codes.ask(&context).await?.expect_problem(401, "code-rejected")
}

async fn ended(context: Context) -> Verdict {
    let (codes, token) = (Codes::new(&context).await?, person(&context).await?);
    decide(&context, &codes.user_code, &token, true).await?.expect(204)?;
    let out = call(&context, "DELETE", "/identity/token").header("authorization", &format!("Bearer {token}"));
    out.send().await?.expect(204)?;
    codes.ask(&context).await?.expect_problem(401, "code-rejected")
}

async fn unknown(context: Context) -> Verdict {
    let (codes, token) = (Codes::new(&context).await?, person(&context).await?);
    // Another first letter.
    let first = if codes.user_code.starts_with('B') { "C" } else { "B" };
    let other = format!("{first}{}", &codes.user_code[1..]);
    look(&context, &other, &token).await?.expect_problem(404, "no-such-code")?;
    decide(&context, &other, &token, true).await?.expect_problem(404, "no-such-code")?;
    codes.ask(&context).await?.expect(202).map(|_| ())
}

async fn decided(context: Context) -> Verdict {
    let (codes, token) = (Codes::new(&context).await?, person(&context).await?);
    decide(&context, &codes.user_code, &token, false).await?.expect(204)?;
    decide(&context, &codes.user_code, &token, true).await?.expect_problem(404, "no-such-code")
}
