//! A device's program: the kit tells it what its user wants, and plays all that it talks to.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::fixture::PeerFixture;
use super::shim::{Answer, Outcome, Shim};
use crate::check::{Context, Stop, Verdict};
use crate::double::{Double, PASSWORD, USER, tls};
use crate::oracle::crypto::hex;

/// Starts the program, or what drives it. Each check has one of its own.
pub type ClientTarget = Arc<dyn Fn() -> Box<dyn Shim> + Send + Sync>;

/// A client under test with an empty home and an empty folder.
pub struct Client {
    context: Context,
    shim: Arc<Mutex<Box<dyn Shim>>>,
    directory: TempDir,
}

impl Client {
    /// Starts it.
    pub fn start(context: &Context) -> Result<Self, Stop> {
        let Some(start) = &context.targets().client else {
            return Err(Stop::NotApplicable("no client was given".to_owned()));
        };
        let directory = TempDir::new().context("no temporary directory")?;
        for name in ["home", "folder"] {
            fs::create_dir(directory.path().join(name)).context("no directory for the client")?;
        }
        Ok(Self { context: context.clone(), shim: Arc::new(Mutex::new(start())), directory })
    }

    /// The directory that it syncs.
    pub fn folder(&self) -> PathBuf {
        self.directory.path().join("folder")
    }

    /// Signs the user in at the double.
    pub async fn login(&self, double: &Double) -> Result<Answer, Stop> {
        self.login_at(&double.url).await
    }

    /// Signs the user in at any URL.
    pub async fn login_at(&self, url: &str) -> Result<Answer, Stop> {
        let more = json!({ "cloud": url, "ca": tls::ca_pem(), "user": USER, "password": PASSWORD });
        self.call("login", more).await
    }

    /// Claims this device.
    pub async fn claim(&self) -> Result<Answer, Stop> {
        self.call("claim", json!({ "name": "the client" })).await
    }

    /// Takes part in the folder of the double.
    pub async fn join(&self) -> Result<Answer, Stop> {
        self.call("join", json!({ "folder": hex(&PeerFixture::FOLDER), "path": self.folder() })).await
    }

    /// Syncs once.
    pub async fn sync(&self) -> Result<Answer, Stop> {
        self.call("sync", json!({})).await
    }

    /// One request of `conformance/shims/README.md`.
    async fn call(&self, action: &str, more: Value) -> Result<Answer, Stop> {
        let mut request = json!({ "op": "client", "do": action, "home": self.directory.path().join("home") });
        if let (Value::Object(request), Value::Object(more)) = (&mut request, more) {
            request.extend(more);
        }
        let shim = self.shim.clone();
        let answered = tokio::task::spawn_blocking(move || {
            shim.lock().unwrap_or_else(PoisonError::into_inner).call(&request)
        });
        let answer =
            answered.await.map_err(|error| Stop::KitError(format!("the shim panicked: {error}")))??;
        self.context.note(&format!("answer to {action}"), serde_json::to_string_pretty(&answer)?);
        match answer.outcome {
            // Whoever is asked has claimed it.
            Outcome::Unsupported => Err(Stop::Fail(format!(
                "the program claims the op client in its hello, and says unsupported to {action}"
            ))),
            Outcome::Error => Err(Stop::Blocked(format!(
                "what drives the client failed: {}",
                answer.detail.unwrap_or_default()
            ))),
            _ => Ok(answer),
        }
    }

    /// All that is in the directory it syncs, and beside it, apart from its own home: paths and contents.
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>, Stop> {
        let mut found = Vec::new();
        collect(self.directory.path(), Path::new(""), &mut found)?;
        found.sort();
        Ok(found)
    }

    /// What the file of this name has in the directory that it syncs, if it is there.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.folder().join(name)).ok()
    }

    /// Puts a file into that directory.
    pub fn write(&self, name: &str, content: &[u8]) -> Verdict {
        Ok(fs::write(self.folder().join(name), content).context("cannot write into the folder")?)
    }
}

fn collect(root: &Path, below: &Path, found: &mut Vec<(String, Vec<u8>)>) -> anyhow::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let path = below.join(entry?.file_name());
        // What the program keeps is its own, also in the folder, under a name with a dot.
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path == Path::new("home") || hidden {
            continue;
        }
        let at = root.join(&path);
        if at.is_dir() {
            collect(root, &path, found)?;
        } else {
            found.push((path.to_string_lossy().into_owned(), fs::read(at)?));
        }
    }
    Ok(())
}

/// Demands that the client did what its user wanted.
pub fn accepted(what: &str, answer: &Answer) -> Verdict {
    match answer.outcome {
        Outcome::Accept => Ok(()),
        _ => Err(Stop::Fail(format!("{what} fails where nothing is wrong: {}", words(answer)))),
    }
}

/// Demands that the client says that it failed.
pub fn rejected(what: &str, answer: &Answer) -> Verdict {
    match answer.outcome {
        Outcome::Accept => Err(Stop::Fail(format!("{what} goes on as if nothing were wrong"))),
        _ => Ok(()),
    }
}

fn words(answer: &Answer) -> String {
    let said = [&answer.requirement, &answer.reason, &answer.detail];
    let said: Vec<&str> = said.into_iter().flatten().map(String::as_str).collect();
    if said.is_empty() { "no reason given".to_owned() } else { said.join(", ") }
}
