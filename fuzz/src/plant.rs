//! Planted bugs: a fuzz target that finds none may be one that can find none.

use std::sync::atomic::{AtomicU8, Ordering};

use meshproof_proto::requirement::{self, Fault};

/// The fast library takes a signature that is followed by something.
pub(crate) const LONG_SIGNATURE: &str = "fuzz:long-signature";
/// A shim's answer counts as accepted whenever it says "accept" anywhere.
pub(crate) const LENIENT_SHIM: &str = "fuzz:lenient-shim";

/// Faults that are no mutants of the reference.
const LOCAL: [&str; 2] = [LONG_SIGNATURE, LENIENT_SHIM];
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants a bug in this process, or takes it out: a mutant of the reference (`TKT-014`), or one of this crate's own
/// (`fuzz:long-signature`). Whether there is such a bug.
pub fn plant(name: Option<&str>) -> bool {
    requirement::plant(None);
    PLANTED.store(0, Ordering::SeqCst);
    let Some(name) = name else { return true };
    if let Some(at) = LOCAL.iter().position(|local| *local == name) {
        PLANTED.store(u8::try_from(at + 1).unwrap_or(u8::MAX), Ordering::SeqCst);
        return true;
    }
    let fault = Fault::by_name(name);
    requirement::plant(fault);
    fault.is_some()
}

/// Plants what `MESHPROOF_PLANT` names: for the libFuzzer targets.
pub fn plant_from_environment() {
    if let Ok(name) = std::env::var("MESHPROOF_PLANT") {
        crate::warm_up();
        assert!(plant(Some(&name)), "there is no bug {name}");
    }
}

pub(crate) fn planted(name: &str) -> bool {
    let at = PLANTED.load(Ordering::Relaxed);
    at != 0 && LOCAL[usize::from(at) - 1] == name
}
