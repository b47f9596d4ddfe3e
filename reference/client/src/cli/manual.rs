//! `mesh completions`, `mesh man`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Arguments, output};
use crate::error::{Error, Result};

#[derive(clap::Args)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> ExitCode {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "mesh", &mut text);
        print(&text)
    }
}

#[derive(clap::Args)]
pub(super) struct Man {
    /// Write a page for each command into this directory, instead of one to standard output.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self) -> Result<ExitCode> {
        let Some(directory) = self.to else {
            let mut text = Vec::new();
            let rendered = clap_mangen::Man::new(Arguments::command()).render(&mut text);
            rendered.map_err(|error| Error::Cloud(error.to_string()))?;
            return Ok(print(&text));
        };
        let written = std::fs::create_dir_all(&directory)
            .and_then(|()| clap_mangen::generate_to(Arguments::command(), &directory));
        written.map_err(Error::io("writing manual pages to", &directory))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn print(text: &[u8]) -> ExitCode {
    output::write(format_args!("{}", String::from_utf8_lossy(text)));
    ExitCode::SUCCESS
}
