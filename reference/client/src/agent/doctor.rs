//! What may keep this device from syncing, and what to do about it.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Agent, KEY, SESSION};
use crate::cloud::Cloud;
use crate::sync::{Folder, names_left_out, only};

/// How far a clock may be off, in seconds (TKT-017 allows as much).
const SKEW: u64 = 30;
/// How long an address may take to answer.
const ANSWER: Duration = Duration::from_secs(3);
/// A disk with less than this free, in bytes, is nearly full.
const LITTLE: u64 = 1024 * 1024 * 1024;
/// So many names are listed.
const NAMED: usize = 10;

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub state: Health,
    /// What was found.
    pub text: String,
    /// What to do about it, if there is something to do.
    pub advice: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// As it should be.
    Good,
    /// It works, with a limit.
    Limited,
    /// It does not work.
    Bad,
}

impl Finding {
    fn good(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, state: Health::Good, text: text.into(), advice: None }
    }

    fn limited(check: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: Health::Limited, text: text.into(), advice: Some(advice.into()) }
    }

    fn bad(check: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { state: Health::Bad, ..Self::limited(check, text, advice) }
    }
}

impl Agent {
    /// Looks at all that syncing needs.
    pub async fn doctor(&self) -> Vec<Finding> {
        let mut findings = vec![self.account()];
        findings.extend(self.permissions());
        if let Ok(cloud) = self.cloud() {
            findings.extend(self.cloud_findings(cloud).await);
        }
        match self.folders() {
            Ok(folders) if folders.is_empty() && self.device().is_ok() => {
                let advice = "mesh folder add PATH, or mesh folder add PATH --join FOLDER";
                findings.push(Finding::limited("folders", "there is no folder on this device", advice));
            }
            Ok(folders) => {
                for folder in &folders {
                    findings.extend(self.folder_findings(folder));
                }
                findings.extend(self.watches());
            }
            // Without a device there are no folders either, and `account` said so.
            Err(error) if self.device().is_ok() => {
                let advice = "mount the disk, or add the folder anew with mesh folder add";
                findings.push(Finding::bad("folders", error.to_string(), advice));
            }
            Err(_) => {}
        }
        findings
    }

    fn account(&self) -> Finding {
        let problem = [self.cloud().map(drop), self.device().map(drop)].into_iter().find_map(Result::err);
        match problem {
            Some(error) => Finding::bad("account", "this device is not set up", error.to_string()),
            None => Finding::good(
                "account",
                format!(
                    "{} at {}, device {}",
                    self.config.user.as_deref().unwrap_or_default(),
                    self.config.cloud.as_deref().unwrap_or_default(),
                    self.config.device.as_ref().map(|device| device.name.as_str()).unwrap_or_default()
                ),
            ),
        }
    }

    #[cfg(unix)]
    fn permissions(&self) -> Vec<Finding> {
        use std::os::unix::fs::PermissionsExt as _;
        let readable = |name: &&str| {
            let found = std::fs::metadata(self.home.path(name));
            found.is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
        };
        let open: Vec<String> =
            [KEY, SESSION].iter().filter(|name| readable(name)).map(|name| self.quoted(name)).collect();
        if open.is_empty() {
            return vec![Finding::good("permissions", "the key is readable by its user alone")];
        }
        let text = "others on this computer may read the key or the tickets of this device";
        let advice = format!(
            "chmod 600 {}; if somebody may have read it, revoke the device and add it anew",
            open.join(" ")
        );
        vec![Finding::bad("permissions", text, advice)]
    }

    #[cfg(not(unix))]
    fn permissions(&self) -> Vec<Finding> {
        let _ = (KEY, SESSION, &self.home);
        Vec::new()
    }

    #[cfg(unix)]
    fn quoted(&self, name: &str) -> String {
        format!("'{}'", self.home.path(name).display())
    }

    async fn cloud_findings(&self, cloud: &Cloud) -> Vec<Finding> {
        let mut findings = Vec::new();
        match cloud.clock().await {
            Ok(None) => findings.push(Finding::good("cloud", "it answers, and its certificate is good")),
            Ok(Some(theirs)) => {
                findings.push(Finding::good("cloud", "it answers, and its certificate is good"));
                let off = theirs.distance(crate::now());
                findings.push(if off > SKEW {
                    let text = format!("this clock and that of the cloud differ by {off} seconds");
                    Finding::bad("clock", text, "set the clock: timedatectl set-ntp true")
                } else {
                    Finding::good("clock", format!("within {} seconds of the cloud's", off.max(1)))
                });
            }
            Err(error) => {
                let advice = "check the network; mesh login again with --cloud and --ca if the cloud moved";
                findings.push(Finding::bad("cloud", error.to_string(), advice));
                return findings;
            }
        }
        let Ok(device) = self.device() else { return findings };
        match cloud.devices().await {
            Ok(devices) => {
                let own = devices.iter().find(|other| other.device == device.id().to_string());
                findings.push(match own {
                    Some(own) if own.state != "revoked" => {
                        Finding::good("tickets", "the cloud knows this device")
                    }
                    _ => {
                        let advice = "set it up anew: mesh login and mesh device add with another --home";
                        Finding::bad("tickets", "this device is revoked", advice)
                    }
                });
            }
            Err(error) => findings.push(Finding::bad("tickets", error.to_string(), "mesh login again")),
        }
        findings.push(match cloud.addresses(device.id()).await {
            Ok(addresses) if addresses.is_empty() => Finding::limited(
                "direct",
                "this device is not online for others",
                "keep `mesh sync --serve` running: see mesh.service",
            ),
            Ok(addresses) => match any_answers(&addresses).await {
                Some(address) => Finding::good("direct", format!("{address} answers")),
                None => Finding::limited(
                    "direct",
                    format!(
                        "none of {} answers from here; others come through a relay",
                        addresses.join(", ")
                    ),
                    "say with --listen and --advertise where others can connect, and open that port",
                ),
            },
            Err(error) => Finding::bad("direct", error.to_string(), "mesh login again"),
        });
        findings.push(match cloud.relays().await {
            Ok(relays) => match any_answers(&relays).await {
                Some(relay) => Finding::good("relay", format!("{relay} answers")),
                None if relays.is_empty() => Finding::limited(
                    "relay",
                    "the cloud has no relay",
                    "devices have to reach each other directly: see [relay] in the cloud's configuration",
                ),
                None => Finding::limited(
                    "relay",
                    format!("none of {} answers", relays.join(", ")),
                    "a firewall may be in the way: open this port for outgoing connections",
                ),
            },
            Err(error) => Finding::limited("relay", error.to_string(), "ask who runs the cloud"),
        });
        findings
    }

    fn folder_findings(&self, folder: &Folder) -> Vec<Finding> {
        let mut findings = Vec::new();
        let root = folder.root().display();
        if let Some(free) = free(folder.root()) {
            let words = format!("{root}: {} MiB free", free / 1024 / 1024);
            findings.push(if free < LITTLE {
                let advice = format!("make room; old versions are in {root}/.meshproof-versions");
                Finding::limited("disk", words, advice)
            } else {
                Finding::good("disk", words)
            });
        }
        match names_left_out(folder) {
            Ok(left) if left.is_empty() => {
                findings.push(Finding::good("names", format!("{root}: all can be synced")));
            }
            Ok(left) => {
                let list = left.iter().take(NAMED).map(|one| format!("{} ({})", one.path, one.reason));
                let list: Vec<String> = list.collect();
                let more = left.len().saturating_sub(NAMED);
                let more = if more > 0 { format!(", and {more} more") } else { String::new() };
                findings.push(Finding::limited(
                    "names",
                    format!("{root}: left out: {}{more}", list.join("; ")),
                    "rename them, or say that it is meant: mesh folder ignore FOLDER PATTERN",
                ));
            }
            Err(error) => {
                let advice = "mount the disk, or add the folder anew with mesh folder add";
                findings.push(Finding::bad("names", error.to_string(), advice));
            }
        }
        match self.has_key(folder.id()) {
            Ok(Some(true)) => findings.push(Finding::good("keys", format!("{root}: encrypted, and the key is here"))),
            Ok(Some(false)) => findings.push(Finding::bad(
                "keys",
                format!("{root}: encrypted, and this device has no key of it: it syncs with devices, and not with the cloud"),
                "run `mesh sync` on a device that has the key and may write, then here; or mesh folder recover FOLDER with a recovery key",
            )),
            Ok(None) => {}
            Err(error) => findings.push(Finding::bad("keys", error.to_string(), "mesh folder recover FOLDER")),
        }
        if let Ok(only) = only::patterns(folder.root())
            && !only.is_empty()
        {
            let text = format!("{root}: only {} is on this device", only.join(", "));
            findings.push(Finding::limited(
                "chosen",
                text,
                "if that is not meant: mesh folder only FOLDER --all",
            ));
        }
        match self.index.links_not_made(folder.id()) {
            Ok(0) | Err(_) => {}
            Ok(count) => findings.push(Finding::limited(
                "links",
                format!("{root}: {count} symbolic links are not made here, for they lead out of the folder or the disk has none"),
                "others get them as they are; where they are made, give them targets in the folder",
            )),
        }
        if let Ok(doubts) = self.index.doubts(folder.id())
            && let Some(latest) = doubts.first()
        {
            findings.push(Finding::bad(
                "cloud's word",
                format!("{root}: {} times in a week: {}", doubts.len(), latest.text),
                "ask who runs the cloud whether it was restored from a backup; your files are as your devices signed them",
            ));
        }
        if let Ok(conflicts) = self.index.conflicts(folder.id())
            && !conflicts.is_empty()
        {
            findings.push(Finding::limited(
                "conflicts",
                format!("{root}: {} files have another content beside them", conflicts.len()),
                "mesh conflicts lists them; delete or rename what you do not need",
            ));
        }
        for fork in self.index.forks(folder.id()).unwrap_or_default() {
            let (device, counter) = fork.dot();
            findings.push(Finding::bad(
                "writers",
                format!("{root}: the device {device} signed two things as its change {counter}"),
                "it was copied, restored from a backup, or means harm: remove it, and claim it anew if it is yours",
            ));
        }
        findings
    }

    /// Whether the system can watch all directories: on Linux there is a limit.
    fn watches(&self) -> Option<Finding> {
        let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok()?;
        let limit: u64 = limit.trim().parse().ok()?;
        let ids =
            self.config.folders.iter().filter_map(|folder| meshproof_proto::codec::Id::parse(&folder.id));
        let directories: u64 = ids.map(|id| self.index.directories(id).unwrap_or_default()).sum();
        let text = format!("{directories} directories, and the system watches {limit}");
        Some(if directories >= limit {
            let most = (directories * 2).max(524_288);
            let advice = format!(
                "sudo sysctl fs.inotify.max_user_watches={most}; until then changes wait for the next round"
            );
            Finding::limited("watches", text, advice)
        } else {
            Finding::good("watches", text)
        })
    }
}

async fn any_answers(addresses: &[String]) -> Option<String> {
    for address in addresses {
        if let Ok(Ok(_)) = timeout(ANSWER, TcpStream::connect(address)).await {
            return Some(address.clone());
        }
    }
    None
}

/// How many bytes a user may still write there.
#[cfg(target_os = "linux")]
fn free(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(target_os = "linux"))]
fn free(_: &Path) -> Option<u64> {
    None
}
