//! identity.md, against a cloud.
//!
//! | file | what |
//! |---|---|
//! | [`people`] | names, passwords, tokens |
//! | [`codes`] | a program waits for a person |
//! | [`devices`] | challenges and answers |
//! | [`limits`] | too many attempts |
//! | [`passkeys`] | a software authenticator registers and signs in |
//! | [`sessions`] | sessions, signing out, change of password, providers |

mod codes;
mod devices;
mod limits;
pub(crate) mod passkeys;
mod people;
mod sessions;

use crate::catalog::Part;
use crate::check::{Check, Context, Role, Stop, Verdict};
use crate::target::cloud::call;

/// The checks of this part.
pub fn checks() -> Vec<Check> {
    [
        people::checks(),
        devices::checks(),
        limits::checks(),
        sessions::checks(),
        passkeys::checks(),
        codes::checks(),
    ]
    .concat()
}

/// Whether the cloud has a way to sign in of this kind.
pub(crate) async fn is_offered(context: &Context, kind: &str) -> Result<bool, Stop> {
    let listed = call(context, "GET", "/identity/providers").send().await?.expect(200)?.json()?;
    Ok(listed["items"].as_array().into_iter().flatten().any(|item| item["kind"] == kind))
}

fn check<F, R>(id: &str, reqs: &[&str], title: &str, run: F) -> Check
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Verdict> + Send + 'static,
{
    Check::new(Role::Cloud, Part::Identity, id, reqs, title, run)
}
