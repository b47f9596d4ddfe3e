//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// Conformance tests for the protocol of a personal device cloud.
///
/// Without a command: self-test.
#[derive(Debug, Parser)]
#[command(name = "meshproof", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) self_test: SelfTest,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything against the embedded reference implementation.
    SelfTest(SelfTest),
    /// Check an implementation that is already running.
    Run(Box<Run>),
    /// List the checks.
    List(List),
    /// Say what is known of a requirement or a check.
    Explain(Explain),
    /// Lay the reports of several runs side by side: a Markdown table of parts, and of checks that do not end alike.
    Compare {
        /// `results.json` of each, or the folder that it is in
        #[arg(required = true, num_args = 2..)]
        reports: Vec<PathBuf>,
        /// Show checks that not all of them have, too
        #[arg(long)]
        all: bool,
    },
    /// Run one failed check of a report again, as it was run then.
    Replay {
        /// The `replay.json` in the check's evidence, or the `minimal.json` that `minimise` wrote
        file: PathBuf,
        /// Where to write the report
        #[arg(long, value_name = "DIR", default_value = "meshproof-replay")]
        report: PathBuf,
    },
    /// Make what failed smaller, as long as it fails in the same way: the input of a vector, or a conversation, of which
    /// requests, messages, header fields, members and bytes are left out. Writes minimal.json beside it.
    Minimise(Minimise),
    /// Write down what there is, as the set of a version that is released: `run --set` scores nothing else.
    Freeze {
        /// The version: 0.1
        version: String,
        /// Where the sets are
        #[arg(default_value = "spec/sets")]
        directory: PathBuf,
    },
    /// Show which vectors and checks test each requirement.
    Coverage,
    /// Count the test vectors, write or compare them; or run the public ones of Wycheproof on the primitives.
    Vectors(Vectors),
    /// Measure how fast the reference is on this machine, or another implementation through its shim; judges nothing
    Bench(Bench),
    /// Ask whether the time of a responder's RSA decryption tells what it found; judges nothing [default: the embedded reference]
    Timing(Timing),
    /// Keep the protocol but for one place, session after session, until an implementation crashes, hangs, grows or accepts
    /// what it must reject [default: the embedded reference]
    Fuzz(Box<Fuzz>),
    /// Serve the reference as a shim, or check that a shim speaks the protocol of conformance/shims/README.md.
    #[command(subcommand)]
    Shim(Shim),
    /// Run mutants that come as lines of JSON, for the kill matrix
    #[command(hide = true)]
    Worker,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Shim {
    /// Serve the reference implementation: JSON lines on standard input and output
    Serve,
    /// Check that a shim speaks the protocol
    Check {
        /// The program with its arguments in one string
        command: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SelfTest {
    /// A directory tree to sync in the demonstration; may be given several times [default: the project's spec and vectors]
    #[arg(long, value_name = "PATH")]
    pub(crate) dir: Vec<PathBuf>,
    /// Make the reference ignore one requirement (`TKT-014`), those of a part (`TKT`) or all (`all`), or refuse what keeps
    /// them (`against:TKT-014`), and see which checks notice: exit code 1 is success here
    #[arg(long, value_name = "MUTANT")]
    pub(crate) mutant: Option<String>,
    /// Leave out the kill matrix
    #[arg(long)]
    pub(crate) no_matrix: bool,
    /// Run every mutant on all checks that have to find it, instead of repeating the kills of spec/kills.txt
    #[arg(long, conflicts_with_all = ["mutant", "no_matrix", "filter"])]
    pub(crate) full_matrix: bool,
    /// Write the kill matrix as spec/kills.txt has it, from a full one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["mutant", "no_matrix", "filter"])]
    pub(crate) write_kills: Option<PathBuf>,
    /// Leave out the demonstration
    #[arg(long)]
    pub(crate) no_mission: bool,
    #[command(flatten)]
    pub(crate) running: Running,
}

#[derive(Debug, ClapArgs)]
#[group(id = "targets", required = true, multiple = true, args = ["cloud", "peer", "relay", "shim", "client"])]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) networked: Networked,
    /// A program that runs vectors on an implementation, with its arguments in one string
    #[arg(long, value_name = "COMMAND")]
    pub(crate) shim: Option<String>,
    /// Score only what was there when this version of the specification was released: 0.1
    #[arg(long, value_name = "VERSION")]
    pub(crate) set: Option<String>,
    /// A program that drives a client, a device's program, with its arguments in one string
    #[arg(long, value_name = "COMMAND")]
    pub(crate) client: Option<String>,
    /// Checks that are known to fail: lines of `check-id "part of the message" reason`, the middle one if wanted
    #[arg(long, value_name = "FILE")]
    pub(crate) expect: Option<PathBuf>,
    /// Write the failures of this run as a file for --expect
    #[arg(long, value_name = "FILE")]
    pub(crate) write_expect: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) running: Running,
}

/// What is reached over a network.
#[derive(Debug, ClapArgs)]
#[group(skip)]
pub(crate) struct Networked {
    /// The root URL of a cloud
    #[arg(long, value_name = "URL")]
    pub(crate) cloud: Option<String>,
    /// The authority that signed the cloud's certificate, if it is not a public one (PEM)
    #[arg(long, value_name = "FILE", requires = "cloud")]
    pub(crate) ca: Option<PathBuf>,
    /// Make a new connection for each request, so that of several servers behind one address each gets some
    #[arg(long, requires = "cloud")]
    pub(crate) fresh_connections: bool,
    /// The address of a P2P responder that is set up as the kit's fixture device (see README)
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) peer: Option<SocketAddr>,
    /// The directory that the responder syncs, if it is on this machine
    #[arg(long, value_name = "DIR", requires = "peer")]
    pub(crate) folder: Option<PathBuf>,
    /// The address of a relay
    #[arg(long, value_name = "IP:PORT", requires = "relay_key")]
    pub(crate) relay: Option<SocketAddr>,
    /// The relay key: a file of 64 hexadecimal digits
    #[arg(long, value_name = "FILE", requires = "relay")]
    pub(crate) relay_key: Option<PathBuf>,
    /// The address to which the relay's passes are bound [default: that of --relay]
    #[arg(long, value_name = "HOST:PORT", requires = "relay")]
    pub(crate) relay_address: Option<String>,
    /// How many bytes an account may send in a day, if it is few enough to be sent
    #[arg(long, value_name = "BYTES", requires = "relay")]
    pub(crate) relay_quota: Option<u64>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Fuzz {
    #[command(flatten)]
    pub(crate) targets: Option<FuzzTargets>,
    /// Make the embedded reference ignore a requirement (`HSK-019`), and see that it is found: exit code 1 is success here
    #[arg(long, value_name = "MUTANT", conflicts_with_all = ["cloud", "peer", "relay", "shim"])]
    pub(crate) mutant: Option<String>,
    /// Not longer than this [default: 60, or a day with --runs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) seconds: Option<u64>,
    /// At most so many sessions
    #[arg(long, value_name = "N")]
    pub(crate) runs: Option<u64>,
    /// Repeats the sessions [default: random]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Repeat the session of a finding
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "runs"])]
    pub(crate) replay: Option<PathBuf>,
    /// Watch the memory of this process too; that of a shim is watched anyway
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// How much more memory is a finding, in MiB
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) growth: u64,
    /// How long a shim has for an answer, in seconds [default: 30]
    #[arg(long, value_name = "N", requires = "shim", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) timeout: Option<u64>,
    /// Where to write finding.json and evidence
    #[arg(long, value_name = "DIR", default_value = "meshproof-fuzz")]
    pub(crate) report: PathBuf,
    /// Show tickets, tokens and keys in evidence
    #[arg(long)]
    pub(crate) show_secrets: bool,
}

#[derive(Debug, ClapArgs)]
#[group(id = "fuzzed", multiple = true, args = ["cloud", "peer", "relay", "shim"])]
pub(crate) struct FuzzTargets {
    #[command(flatten)]
    pub(crate) networked: Networked,
    /// A program that runs vectors on an implementation, with its arguments in one string
    #[arg(long, value_name = "COMMAND")]
    pub(crate) shim: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Running {
    /// Only checks whose id contains this (with `=` before it, is this), of this part, or for this requirement, and those
    /// they build on; repeatable
    #[arg(long, value_name = "WORD")]
    pub(crate) filter: Vec<String>,
    /// Where to write report.html, results.json, junit.xml and evidence
    #[arg(long, value_name = "DIR", default_value = "meshproof-report")]
    pub(crate) report: PathBuf,
    /// How many checks run at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
    /// Repeats a run [default: random]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Show tickets, tokens and keys in evidence
    #[arg(long)]
    pub(crate) show_secrets: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct List {
    /// Only checks whose id contains this, of this part, or for this requirement
    pub(crate) filter: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Minimise {
    /// The `replay.json` in the check's evidence
    pub(crate) file: PathBuf,
    /// How often a conversation is tried with less, at most
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub(crate) tries: usize,
    /// For how long, at most
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Explain {
    /// A requirement such as TKT-014, a check such as hs.m1.mac1-flipped, or a part such as ticket
    pub(crate) id: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Vectors {
    /// Write the vectors below this directory, as the generator makes them
    #[arg(long, value_name = "DIR", conflicts_with = "compare")]
    pub(crate) write: Option<PathBuf>,
    /// Compare the vectors below this directory with what the generator makes
    #[arg(long, value_name = "DIR")]
    pub(crate) compare: Option<PathBuf>,
    /// Run the public Wycheproof files of this directory on the primitives of the kit and of the reference
    #[arg(long, value_name = "DIR", conflicts_with_all = ["write", "compare"])]
    pub(crate) wycheproof: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Bench {
    /// A program that measures an implementation, with its arguments in one string [default: the embedded reference]
    #[arg(long, value_name = "COMMAND")]
    pub(crate) shim: Option<String>,
    /// Print JSON instead of the table
    #[arg(long)]
    pub(crate) json: bool,
    /// Also draw the ratios
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// About how long to measure, in all
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Timing {
    /// The address of a P2P responder that is set up as the kit's fixture device and forgives many failures
    #[arg(long, value_name = "IP:PORT", conflicts_with = "shim")]
    pub(crate) peer: Option<SocketAddr>,
    /// A program that reads vectors of M1, with its arguments in one string
    #[arg(long, value_name = "COMMAND")]
    pub(crate) shim: Option<String>,
    /// Plant a leak in the embedded reference, to see that it is found
    #[arg(long, conflicts_with_all = ["peer", "shim"])]
    pub(crate) leaky: bool,
    /// About how long to measure
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// At most so many rounds
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) rounds: usize,
    /// The difference that is asked about, in microseconds
    #[arg(long, value_name = "US", default_value_t = 20)]
    pub(crate) limit: u64,
    /// Print JSON instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}
