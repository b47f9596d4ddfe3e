//! `meshproof bench`: how fast an implementation is, beside the library functions that its work consists of.

use std::time::Duration;

use anyhow::Context as _;
use meshproof_kit::bench::{self, ROUNDS, works};
use meshproof_kit::target::shim::{Claims, ProcessShim, Shim};

use super::{SHIM_TIMEOUT, shim_command, unanswered};
use crate::args::Bench;
use crate::progress::Bar;

/// Exit code for a fault of the kit.
const KIT_FAULT: u8 = 4;

/// Measures, prints and draws.
pub(crate) fn execute(options: &Bench) -> anyhow::Result<u8> {
    let (target, mut shim): (String, Box<dyn Shim>) = match &options.shim {
        None => ("the embedded reference implementation".to_owned(), Box::new(crate::shim::reference())),
        Some(command) => {
            let budget = Duration::from_secs(options.seconds);
            let mut shim = ProcessShim::new(&shim_command(command)?, SHIM_TIMEOUT + budget);
            let claims = Claims::ask(&mut shim).map_err(unanswered)?;
            let name = claims.map_or_else(|| format!("shim {command}"), |claims| claims.implementation);
            (name, Box::new(shim))
        }
    };
    let bar = Bar::new("measuring");
    bar.plan(works().len());
    let mut first = true;
    let ran = bench::run(&target, &mut *shim, Duration::from_secs(options.seconds), &mut |work| {
        if !std::mem::take(&mut first) {
            bar.step(work.work);
        }
    });
    bar.finish();
    let report = match ran {
        Ok(report) => report,
        Err(error) => {
            complain!("meshproof: {error:#}");
            return Ok(KIT_FAULT);
        }
    };
    if options.json {
        say!("{}", serde_json::to_string_pretty(&report).context("the report is no JSON")?);
    } else {
        crate::out::text(&bench::table(&report));
        say!(
            "\nmedians of {ROUNDS} rounds in turns, on one thread; compare ratios, and those of one run only"
        );
    }
    if let Some(file) = &options.svg {
        std::fs::write(file, bench::svg(&report))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(report.exit_code())
}
