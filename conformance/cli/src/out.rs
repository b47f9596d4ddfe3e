//! Standard output and standard error. Nothing else in this crate writes to them.
//!
//! A reader that has seen enough (`meshproof run | head`) ends no run: the report is still written, and the exit code is
//! that of the run. Any other failure, of a full disk for instance, is told when all is done, for then words are missing.

use std::fmt::Arguments;
use std::io::{Error, ErrorKind, Write as _, stderr, stdout};
use std::sync::OnceLock;

/// The first failure. Nothing is written after it: half of the words in the wrong place are worse than none.
static FAILURE: OnceLock<Error> = OnceLock::new();

/// A line for who called, as `println!` takes it.
macro_rules! say {
    () => { $crate::out::write(format_args!("\n")) };
    ($($words:tt)+) => { $crate::out::write(format_args!("{}\n", format_args!($($words)+))) };
}

/// A line on standard error, as `eprintln!` takes it. Nobody can be told that it could not be written.
macro_rules! complain {
    ($($words:tt)+) => { $crate::out::write_error(format_args!("{}\n", format_args!($($words)+))) };
}

/// Writes to standard output, unless that failed before.
pub(crate) fn write(text: Arguments) {
    if FAILURE.get().is_none()
        && let Err(error) = stdout().write_fmt(text)
    {
        // Whoever was first has said it.
        let _ = FAILURE.set(error);
    }
}

/// Lines that are made already.
pub(crate) fn text(text: &str) {
    write(format_args!("{text}"));
}

pub(crate) fn write_error(text: Arguments) {
    let _ = stderr().write_fmt(text);
}

/// Why words are missing, if their reader did not leave.
pub(crate) fn failure() -> Option<&'static Error> {
    if let Err(error) = stdout().flush() {
        let _ = FAILURE.set(error);
    }
    FAILURE.get().filter(|error| error.kind() != ErrorKind::BrokenPipe)
}
