//! The demonstration: two people, a cloud, and a real directory tree that goes from one device to the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use meshproof_client::Agent;
use meshproof_client::agent::{NewFolder, Outcome, ServeOptions};
use meshproof_client::sync::{Direction, NoProgress, Report};
use meshproof_cloud::Running;
use meshproof_kit::catalog::Catalog;
use meshproof_kit::report::{Mission, MissionStep};
use meshproof_kit::vectors;
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::KeyBits;
use meshproof_proto::ticket::Role;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// The directories to sync.
pub(crate) struct Sources {
    folders: Vec<PathBuf>,
    /// Where they are, if they were written for this.
    _written: Option<TempDir>,
}

/// The directories that are given, or the project's own specification and vectors: those of the repository, and where there
/// is none, as around an installed program, those that the kit has in it.
pub(crate) fn sources(given: &[PathBuf]) -> anyhow::Result<Sources> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let own = ["spec", "vectors"].map(|name| repository.join(name));
    if given.is_empty() && !own.iter().all(|folder| folder.is_dir()) {
        return written();
    }
    let chosen = if given.is_empty() { &own[..] } else { given };
    let real = |path: &PathBuf| {
        let real = path.canonicalize().with_context(|| format!("cannot sync {}", path.display()))?;
        ensure!(real.is_dir(), "cannot sync {}: not a directory", path.display());
        Ok(real)
    };
    Ok(Sources { folders: chosen.iter().map(real).collect::<anyhow::Result<_>>()?, _written: None })
}

/// Specification and vectors as the kit has them, in a directory of their own.
fn written() -> anyhow::Result<Sources> {
    let root = TempDir::new()?;
    let documents = Catalog::documents().map(|(name, text)| (Path::new("spec").join(name), text));
    let vectors = vectors::FILES
        .iter()
        .map(|file| (Path::new("vectors").join(file.part).join(file.name).with_extension("json"), file.json));
    for (path, text) in documents.chain(vectors) {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        fs::write(&path, text)?;
    }
    let folders = ["spec", "vectors"].map(|name| root.path().join(name)).into();
    Ok(Sources { folders, _written: Some(root) })
}

/// Runs the demonstration, and says each step as it is done. A step that fails ends it.
pub(crate) async fn run(sources: &Sources) -> anyhow::Result<Mission> {
    let title = "Two people share folders and sync them between their devices".to_owned();
    let mut play = Play { mission: Mission { title, steps: Vec::new() }, began: Instant::now() };
    say!("\n{}", play.mission.title);
    if let Err(error) = Box::pin(act(&mut play, &sources.folders)).await {
        play.step("failed", format!("{error:#}"), false);
    }
    say!();
    Ok(play.mission)
}

struct Play {
    mission: Mission,
    began: Instant,
}

impl Play {
    fn done(&mut self, name: &str, detail: String) {
        self.step(name, detail, true);
    }

    fn step(&mut self, name: &str, detail: String, ok: bool) {
        let seconds = self.began.elapsed().as_secs_f64();
        say!("  {} {name:30} {detail} ({seconds:.2} s)", if ok { "ok " } else { "NOT" });
        self.mission.steps.push(MissionStep { name: name.to_owned(), detail, seconds, ok });
        self.began = Instant::now();
    }
}

async fn act(play: &mut Play, sources: &[PathBuf]) -> anyhow::Result<()> {
    let data = TempDir::new().context("no temporary directory")?;
    let cloud = super::start_cloud(data.path().join("cloud")).await?;
    play.done("the cloud starts", format!("HTTPS at {}", cloud.url));

    let mut alice = sign_in(&cloud, &data.path().join("alice"), "alice").await?;
    let mut bob = sign_in(&cloud, &data.path().join("bob"), "bob").await?;
    play.done("alice and bob sign in", "a token each, traded for signed SAML tickets".to_owned());

    for (agent, name) in [(&mut alice, "laptop"), (&mut bob, "phone")] {
        agent.add_device(name, KeyBits::B2048).await.with_context(|| format!("claiming the {name}"))?;
    }
    let fingerprint = |agent: &Agent| -> anyhow::Result<String> {
        let device = agent.device()?;
        let print = meshproof_proto::codec::hex(&device.spki().fingerprint(device.provider()));
        Ok(print[..16].to_owned())
    };
    play.done(
        "each claims a device",
        format!("RSA-2048 keys made on them: {}…, {}…", fingerprint(&alice)?, fingerprint(&bob)?),
    );

    let mut copies = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let copy = data.path().join(format!("copy-{number}"));
        share(&mut alice, &mut bob, source, &copy).await?;
        copies.push(copy);
    }
    play.done("alice shares with bob", format!("{} folders, bob accepts as reader", sources.len()));

    let report = sync(&alice, &bob).await?;
    let bytes = report.bytes_sent;
    play.done("their devices sync", format!("{bytes} bytes over one P2P channel, RSA, AES-128, HMAC"));
    for (_, skipped) in &report.skipped {
        play.done("left out", format!("{}: {}", skipped.path, skipped.reason));
    }

    let left_out: Vec<&str> = report.skipped.iter().map(|(_, skipped)| skipped.path.as_str()).collect();
    let mut files = 0;
    for (source, copy) in sources.iter().zip(&copies) {
        files += compare(source, copy, Path::new(""), &left_out)?;
    }
    play.done("the trees are compared", format!("{files} files and directories are the same, byte for byte"));
    let _ = cloud.shutdown().await;
    Ok(())
}

async fn sign_in(cloud: &Running, home: &Path, name: &str) -> anyhow::Result<Agent> {
    let mut agent = Agent::open(home)?;
    let ca = Some(cloud.ca_pem.clone().into_bytes());
    let password = meshproof_proto::codec::hex(&{
        let mut secret = [0; 16];
        meshproof_client::os_entropy(&mut secret);
        secret
    });
    agent.login(&cloud.url, ca, name, &password, true).await.with_context(|| format!("signing {name} in"))?;
    Ok(agent)
}

/// Alice gives, and never changes what she gives; Bob takes.
async fn share(alice: &mut Agent, bob: &mut Agent, source: &Path, copy: &Path) -> anyhow::Result<()> {
    let folder = |path: &Path, join: Option<Id>, direction| NewFolder {
        path: path.to_owned(),
        name: None,
        join: join.map(|id| id.to_string()),
        p2p_only: true,
        direction,
    };
    let id = alice.add_folder(folder(source, None, Direction::SendOnly)).await?;
    alice.share(&id.to_string(), "bob", Role::Reader).await?;
    let invitations = bob.invitations().await?;
    let invitation = invitations.iter().find(|one| one.folder == id.to_string());
    let invitation = invitation.context("bob does not find alice's invitation")?;
    ensure!(bob.accept(&invitation.invitation).await? == id, "bob has accepted another folder");
    bob.add_folder(folder(copy, Some(id), Direction::ReceiveOnly)).await?;
    Ok(())
}

/// Bob's device listens, Alice's dials it once.
async fn sync(alice: &Agent, bob: &Agent) -> anyhow::Result<Report> {
    let (stop, stopped) = oneshot::channel::<()>();
    let (online, is_online) = oneshot::channel();
    let options =
        ServeOptions { listen: ([127, 0, 0, 1], 0).into(), interval: None, ..ServeOptions::default() };
    let serving = bob.serve(
        options,
        Arc::new(NoProgress),
        |address| {
            let _ = online.send(address);
        },
        |_| {},
        async {
            let _ = stopped.await;
        },
    );
    let dialling = async {
        is_online.await.context("bob's device does not listen")?;
        let round = alice.sync_once(Arc::new(NoProgress)).await;
        drop(stop);
        let round = round?;
        let Some(peer) = round.peers.into_iter().next() else { bail!("alice's device finds no peer") };
        match peer.outcome {
            Outcome::Synced(mut report) => {
                report.skipped.extend(round.skipped);
                Ok(*report)
            }
            Outcome::Offline | Outcome::Underway | Outcome::Waiting => {
                bail!("bob's device cannot be reached")
            }
            Outcome::Failed(error) => Err(error.into()),
        }
    };
    let (served, dialled) = tokio::join!(serving, dialling);
    served?;
    dialled
}

/// How many files and directories below `source` are the same below `copy`. `left_out` are known not to be.
fn compare(source: &Path, copy: &Path, below: &Path, left_out: &[&str]) -> anyhow::Result<usize> {
    let mut same = 0;
    for entry in fs::read_dir(source.join(below))? {
        let path = below.join(entry?.file_name());
        if left_out.contains(&path.to_string_lossy().as_ref()) {
            continue;
        }
        let (original, copied) = (source.join(&path), copy.join(&path));
        if original.is_dir() {
            ensure!(copied.is_dir(), "{} did not arrive", path.display());
            same += 1 + compare(source, copy, &path, left_out)?;
        } else {
            let copied = fs::read(&copied).with_context(|| format!("{} did not arrive", path.display()))?;
            ensure!(fs::read(&original)? == copied, "{} differs", path.display());
            same += 1;
        }
    }
    Ok(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_repository_the_kit_has_what_is_synced() {
        let sources = written().unwrap();
        assert_eq!(sources.folders.len(), 2);
        for folder in &sources.folders {
            assert!(compare(folder, folder, Path::new(""), &[]).unwrap() > 9, "{}", folder.display());
        }
    }
}
