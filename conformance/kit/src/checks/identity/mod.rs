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
use crate::check::{Check, Context, Role, Verdict};

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

fn check<F, R>(id: &str, reqs: &[&str], title: &str, run: F) -> Check
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Verdict> + Send + 'static,
{
    Check::new(Role::Cloud, Part::Identity, id, reqs, title, run)
}
