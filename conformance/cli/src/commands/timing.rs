//! `meshproof timing`: whether the time of an RSA decryption says what it found. It judges nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use meshproof_kit::check::Role;
use meshproof_kit::target::shim::ProcessShim;
use meshproof_kit::timing::{self, Peer, Probe, Shim, Timing};
use meshproof_proto::requirement::Fault;

use super::{SHIM_TIMEOUT, runtime, shim_command};
use crate::args;
use crate::embedded::Embedded;
use crate::matrix::Mutant;

/// Exit code for what cannot be measured.
const INCOMPLETE: u8 = 3;

/// Measures and prints.
pub(crate) fn execute(options: &args::Timing) -> anyhow::Result<u8> {
    let runtime = runtime()?;
    let _planted = options.leaky.then(|| Mutant::plant(Fault::Leaky));
    let embedded = if options.peer.is_none() && options.shim.is_none() {
        Some(runtime.block_on(Embedded::start(&[Role::Peer].into()))?)
    } else {
        None
    };
    let mut probe: Box<dyn Probe> = match (&options.peer, &options.shim, &embedded) {
        (Some(address), _, _) => Box::new(Peer(*address)),
        (None, Some(command), _) => {
            let shim = ProcessShim::new(&shim_command(command)?, SHIM_TIMEOUT);
            Box::new(Shim::new(Arc::new(Mutex::new(shim)))?)
        }
        (None, None, Some(embedded)) => Box::new(Peer(embedded.peer_address().context("no embedded peer")?)),
        (None, None, None) => return Ok(INCOMPLETE),
    };
    let lasting = Duration::from_secs(options.seconds);
    let limit = Duration::from_micros(options.limit);
    let seed = getrandom::u64().context("no random numbers for a seed")?;
    ensure!(options.rounds > 0, "no rounds are no measurement");
    let measured = timing::run(&mut *probe, lasting, options.rounds, limit, seed);
    if let Some(embedded) = embedded {
        runtime.block_on(embedded.stop());
    }
    match measured {
        Ok(timing) => {
            print(&timing, options.json)?;
            Ok(0)
        }
        Err(error) => {
            complain!("meshproof: {error:#}");
            Ok(INCOMPLETE)
        }
    }
}

fn print(timing: &Timing, json: bool) -> anyhow::Result<()> {
    if json {
        say!("{}", serde_json::to_string_pretty(timing).context("JSON")?);
        return Ok(());
    }
    // Nanoseconds of a request are far below the 2^52 that f64 holds exactly.
    #[expect(clippy::cast_precision_loss)]
    let micros = |nanos: i64| nanos as f64 / 1_000.0;
    say!(
        "how much longer a decryption takes than that of a good ciphertext, in us, in {} rounds",
        timing.rounds
    );
    say!("{:42} {:>9} {:>9} {:>9}", "ciphertext", "at least", "median", "at most");
    for class in &timing.classes {
        match class.interval {
            Some(found) => say!(
                "{:42} {:>9.1} {:>9.1} {:>9.1}  {}",
                class.name,
                micros(found.low),
                micros(found.median),
                micros(found.high),
                class.finding.words()
            ),
            None => say!("{:42} {:>29}  {}", class.name, "too few rounds", class.finding.words()),
        }
    }
    let limit = micros(timing.limit);
    if timing.calibrated {
        say!("\nThe control shows no difference, and would show one of {limit} us.");
    } else {
        say!(
            "\nThe control would not show a difference of {limit} us: measure longer, on a quieter machine, or ask for more."
        );
    }
    Ok(())
}
