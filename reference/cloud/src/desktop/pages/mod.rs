//! The pages, one file each, and what they have in common.

pub(super) mod account;
pub(super) mod app_passwords;
pub(super) mod bytes;
pub(super) mod change;
pub(super) mod codes;
pub(super) mod devices;
pub(super) mod file;
pub(super) mod folder;
pub(super) mod home;
pub(super) mod identities;
pub(super) mod news;
pub(super) mod passkeys;
pub(super) mod settings;
pub(super) mod sharing;
pub(super) mod sign_in;
pub(super) mod upload;

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use meshproof_proto::time::UnixTime;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::assets;
use super::failure::Failure;
use super::files::{Folder, Person, Tree};
use super::graph::text;
use super::session::Session;

/// What need not be escaped in a query or a field.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A page could not be shown, or a form not be done. [`guard`](super::guard) makes a page of it.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) sentence: String,
    pub(super) signed_out: bool,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let signed_out = matches!(failure, Failure::SignedOut);
        Self { status: failure.status(), sentence: failure.sentence(), signed_out }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What is around every page.
pub(super) struct Shell {
    title: String,
    person: Option<Person>,
    form_token: String,
    notice: &'static str,
}

impl Shell {
    /// Around a page for somebody who is not signed in.
    fn outside(title: &str) -> Self {
        Self { title: title.into(), person: None, form_token: String::new(), notice: "" }
    }

    fn of(title: &str, session: &Session, person: &Person) -> Self {
        let form_token = session.form_token.clone();
        Self { title: title.into(), person: Some(person.clone()), form_token, notice: "" }
    }

    fn after(mut self, done: &Done) -> Self {
        self.notice = done.sentence();
        self
    }

    /// For templates.
    #[allow(clippy::unused_self)] // askama calls methods
    fn assets(&self) -> &'static assets::Paths {
        &assets::PATHS
    }
}

/// In the address of a page: what was done before it. Only known words become sentences.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Done {
    did: String,
}

impl Done {
    fn sentence(&self) -> &'static str {
        match self.did.as_str() {
            "welcome" => "Welcome. This is your mesh.",
            "uploaded" => "Uploaded.",
            "made" => "Made.",
            "renamed" => "Renamed.",
            "removed" => "Deleted.",
            "invited" => "Invited. If there is somebody of this name, the invitation waits for a week.",
            "withdrawn" => "The invitation is withdrawn.",
            "accepted" => "You take part in this folder now.",
            "declined" => "The invitation is declined.",
            "role" => "The role was changed.",
            "member-removed" => "The person was removed from this folder.",
            "ended" => "The session has ended.",
            "allowed" => "The program is signed in. It is in the list, where you can end its session.",
            "denied" => "The program was not signed in.",
            "passkey" => "The passkey was added. You can sign in with it from now on.",
            "passkey-removed" => "The passkey was removed. It signs in no more.",
            "app-password-removed" => "The password was removed. The program that has it signs in no more.",
            "unlinked" => "The account is not linked any more. It signs in here no more.",
            "password" => "The password was changed, and all other sessions have ended.",
            "revoked" => "The device was revoked. It signs in no more, and gets no tickets.",
            _ => "",
        }
    }
}

/// The role of a person in a folder, by what it allows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Reader,
    Contributor,
    Owner,
}

impl Role {
    fn of(name: &str) -> Self {
        match name {
            "owner" => Self::Owner,
            "contributor" => Self::Contributor,
            _ => Self::Reader,
        }
    }
}

/// A folder, with who looks at it.
pub(super) struct Open {
    session: Session,
    person: Person,
    folder: Folder,
    role: Role,
}

impl Open {
    async fn new(session: Session, folder: &str) -> Result<Self, Failure> {
        let person = Person::of(&session.client).await?;
        let folder = Folder::open(&session.client, folder).await?;
        let members = session.client.list(&folder.link("members")).await?;
        let own = members.iter().find(|member| text(member, "user") == person.user);
        let role = own.map_or(Role::Reader, |member| Role::of(&text(member, "role")));
        Ok(Self { session, person, folder, role })
    }

    async fn tree(&self) -> Result<Tree, Failure> {
        Tree::open(&self.session.client, self.folder.clone(), &self.person.user).await
    }

    fn shell(&self, title: &str) -> Shell {
        Shell::of(title, &self.session, &self.person)
    }
}

/// In the address of a page: which file or directory it is about.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct At {
    path: String,
}

/// A directory on the way to where one is.
pub(super) struct Crumb {
    name: String,
    path: String,
}

/// The directories above `path`, and itself.
fn crumbs(path: &str) -> Vec<Crumb> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let paths = ends.map(|end| &path[..end]).filter(|path| !path.is_empty());
    paths
        .map(|path| Crumb { name: path.rsplit('/').next().unwrap_or_default().into(), path: path.into() })
        .collect()
}

/// Answers a form: shows a page, by GET.
fn go(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// The page of a directory.
fn directory_url(folder: &str, path: &str, did: &str) -> String {
    format!("/desktop/folders/{folder}/?path={}&did={did}", escaped(path))
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// The HTML of a page.
fn html(page: &impl Template) -> Result<Response, Refusal> {
    let text = page.render().map_err(Failure::broken)?;
    Ok(Html(text).into_response())
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 9_995 && unit < 4 {
        tenths = (tenths + 500) / 1_000;
        unit += 1;
    }
    let name = ["B", "kB", "MB", "GB", "TB"][unit];
    if unit == 0 || tenths >= 100 {
        format!("{} {name}", (tenths + 5) / 10)
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

/// A time for people, to the minute, in UTC; and for programs.
fn moment(seconds: u64) -> (String, String) {
    let exact = UnixTime(seconds).to_string();
    (exact.get(..16).unwrap_or_default().replace('T', " "), exact)
}

/// `/desktop`
pub(super) async fn to_home() -> Response {
    go("/desktop/")
}

/// Any other path.
pub(super) async fn nothing() -> Refusal {
    Failure::nothing_here().into()
}

/// Why something was not done.
#[derive(Template)]
#[template(path = "desktop/refusal.html")]
struct RefusalPage {
    shell: Shell,
    sentence: String,
    back: String,
}

/// The page that says why something was not done. `back` is the path of the page before.
pub(super) fn refusal(refusal: &Refusal, back: Option<&str>) -> Response {
    let back = back.unwrap_or("/desktop/").to_owned();
    let page = RefusalPage { shell: Shell::outside("Not done"), sentence: refusal.sentence.clone(), back };
    match page.render() {
        Ok(text) => (refusal.status, Html(text)).into_response(),
        Err(_) => refusal.status.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_234, "1.2 kB"),
            (99_960, "100 kB"),
            (999_960, "1.0 MB"),
            (5_368_709_120, "5.4 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn the_way_to_a_directory() {
        let names = |path: &str| -> Vec<String> { crumbs(path).into_iter().map(|c| c.path).collect() };
        assert_eq!(names("a/b c/d"), ["a", "a/b c", "a/b c/d"]);
        assert!(names("").is_empty());
    }
}
