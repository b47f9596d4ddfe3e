//! `mesh doctor`

use std::process::ExitCode;

use super::output;
use crate::Agent;
use crate::agent::Health;
use crate::error::Result;

#[derive(clap::Args)]
pub(super) struct Doctor {}

impl Doctor {
    pub(super) async fn run(self, agent: &Agent, json: bool) -> Result<ExitCode> {
        let findings = agent.doctor().await;
        output::tell(json, &findings, || {
            for finding in &findings {
                let sign = match finding.state {
                    Health::Good => "ok  ",
                    Health::Limited => "note",
                    Health::Bad => "BAD ",
                };
                say!("{sign} {:12} {}", finding.check, finding.text);
                finding.advice.iter().for_each(|advice| say!("                  -> {advice}"));
            }
        })?;
        let bad = findings.iter().any(|finding| finding.state == Health::Bad);
        Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
