//! Too many wrong passwords.

use serde_json::json;

use super::check;
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::target::cloud::{Reply, call};
use crate::target::world::{fresh_name, new_user};

/// After so many wrong passwords at the latest, the next attempt is refused (IDN-018).
const WRONG: usize = 20;
/// The minute of IDN-018, less the time of the attempt that is to be refused. On a target that is slower than this
/// nothing is found out.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(50);

pub(super) fn checks() -> Vec<Check> {
    vec![
        check("idn.limit.few", &["IDN-018"], "the right password after two wrong ones is taken", few),
        check("idn.limit.known", &["IDN-018"], "21 wrong passwords for a user", known).twin("idn.limit.few"),
        check("idn.limit.retry-after", &["IDN-019"], "a refusal says when to try again", retry_after)
            .twin("idn.limit.few"),
        check("idn.limit.unknown", &["IDN-020"], "21 wrong passwords for a name that nobody has", unknown)
            .twin("idn.limit.few"),
        check("idn.limit.others", &["IDN-018"], "another user is not concerned by it", others),
    ]
}

async fn try_password(context: &Context, name: &str, password: &str) -> Result<Reply, Stop> {
    let body = json!({"name": name, "password": password});
    call(context, "POST", "/identity/token").json(&body).send().await
}

/// Shows wrong passwords until they are not looked at any more. Returns that refusal.
async fn exhaust(context: &Context, name: &str) -> Result<Reply, Stop> {
    let began = std::time::Instant::now();
    for _ in 0..=WRONG {
        let reply = try_password(context, name, "not the password").await?;
        if reply.status == 429 {
            return Ok(reply);
        }
        reply.expect(401)?.expect_problem(401, "sign-in-failed")?;
    }
    if began.elapsed() > WITHIN {
        return Err(Stop::Blocked(format!(
            "the cloud took {} s for {WRONG} attempts",
            began.elapsed().as_secs()
        )));
    }
    Err(Stop::Fail(format!("after {WRONG} wrong passwords the next one was looked at")))
}

async fn few(context: Context) -> Verdict {
    let user = new_user(&context, "forgetful").await?;
    for _ in 0..2 {
        try_password(&context, &user.name, "not the password").await?.expect(401)?;
    }
    try_password(&context, &user.name, &user.password).await?.expect(200).map(|_| ())
}

async fn known(context: Context) -> Verdict {
    let user = new_user(&context, "guessed").await?;
    exhaust(&context, &user.name).await?.expect_problem(429, "too-many-attempts")?;
    // Else the refusals would tell which password is right.
    try_password(&context, &user.name, &user.password).await?.expect_problem(429, "too-many-attempts")
}

async fn retry_after(context: Context) -> Verdict {
    let user = new_user(&context, "patient").await?;
    let refused = exhaust(&context, &user.name).await?;
    let seconds = refused.header("retry-after").and_then(|text| text.parse::<u64>().ok());
    demand!(
        seconds.is_some_and(|seconds| seconds > 0),
        "Retry-After is {:?}, not a number of seconds above 0",
        refused.header("retry-after")
    );
    Ok(())
}

async fn unknown(context: Context) -> Verdict {
    let name = fresh_name(&context, "nobody");
    exhaust(&context, &name).await?.expect_problem(429, "too-many-attempts")
}

async fn others(context: Context) -> Verdict {
    let (guessed, other) = (new_user(&context, "guessed").await?, new_user(&context, "other").await?);
    // That there is a limit is for the check of it; here nothing can be found out without.
    exhaust(&context, &guessed.name).await.map_err(|stop| match stop {
        Stop::Fail(why) => Stop::Blocked(why),
        other => other,
    })?;
    try_password(&context, &other.name, &other.password).await?.expect(200).map(|_| ())
}
