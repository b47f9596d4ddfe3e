//! `mesh`: the device agent as a program.

use std::io::IsTerminal as _;
use std::process::ExitCode;

/// A little less than the largest block that glibc can learn to keep, in bytes.
const KEPT: usize = 31 * 1024 * 1024;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    // glibc gives memory back to the system when it is freed, until a large block is freed: then it keeps that much. A session
    // frees blocks of 256 KiB all the time, and what is given back costs a page fault for every 4 KiB of it. Elsewhere this
    // does nothing; nobody touches the block, so that it costs nothing.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT)));
    meshproof_client::cli::run().await
}
