//! The OpenSSL command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use meshproof_proto::codec::hex;

use crate::tool;

/// A directory for key files, and the commands to run on them.
pub struct OpenSsl {
    dir: tempfile::TempDir,
}

impl OpenSsl {
    /// With an empty directory.
    pub fn new() -> Result<Self> {
        Ok(Self { dir: tempfile::tempdir()? })
    }

    /// Writes a file.
    pub fn file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes)?;
        Ok(path)
    }

    /// Runs `openssl` with these arguments, which has to succeed.
    pub fn run(&self, arguments: &str, input: &[u8]) -> Result<Vec<u8>> {
        let mut command = Command::new("openssl");
        tool::output(command.args(arguments.split(' ')).current_dir(self.dir.path()), input)
    }

    /// Runs `openssl`, and says whether it succeeded.
    pub fn succeeds(&self, arguments: &str, input: &[u8]) -> Result<bool> {
        let mut command = Command::new("openssl");
        Ok(tool::run(command.args(arguments.split(' ')).current_dir(self.dir.path()), input)?
            .status
            .success())
    }

    /// The options of RSAES-OAEP with SHA-256 and this label.
    pub fn oaep(label: &[u8]) -> String {
        let options =
            "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256";
        format!("{options} -pkeyopt rsa_oaep_label:{}", hex(label))
    }

    /// Where files are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}
