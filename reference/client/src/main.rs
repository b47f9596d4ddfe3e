//! `mesh`: the device agent as a program.

use std::io::IsTerminal as _;
use std::process::ExitCode;

/// A little less than the largest block that glibc can learn to keep, in bytes.
const KEPT: usize = 31 * 1024 * 1024;

#[tokio::main]
async fn main() -> ExitCode {
    no_core_dumps();
    many_descriptors();
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

/// A core dump would have the device's key and whatever is synced. As a side effect, who is not root cannot attach a debugger.
fn no_core_dumps() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        eprintln!("core dumps cannot be switched off: {error}");
    }
}

/// Each connection and each file under way is a descriptor, and systems give a process few of them unless it asks for more.
fn many_descriptors() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // The limit that it has will do, most likely.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    #[test]
    fn a_crash_leaves_no_keys_on_disk() {
        super::no_core_dumps();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }

    #[test]
    fn it_takes_all_descriptors_that_it_may_have() {
        super::many_descriptors();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
