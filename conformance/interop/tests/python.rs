//! Whatever we accept, SAML software for Python accepts: bergshamra in its secure context, pysaml2, python3-saml.

use meshproof_interop::judge::{PYTHON, by_python};
use meshproof_interop::{changed, fresh, sample, tool};

/// How many tickets are changed.
const CHANGED: usize = 3_000;

#[test]
#[ignore = "needs software for Python: conformance/interop/run.sh"]
fn they_verify_every_ticket_that_we_accept() {
    let samples = sample::accepted().unwrap();
    for judge in PYTHON {
        for (sample, said) in samples.iter().zip(by_python(judge, &samples).unwrap()) {
            let text = String::from_utf8_lossy(sample.bytes.as_ref().unwrap());
            assert_eq!(said, Ok(()), "{judge}, {}: {text}", sample.name);
        }
        tool::say(&format!("{judge} verified {} of {0} tickets", samples.len()));
    }
}

/// Of tickets that nobody chose: whatever we take, a hardened verifier by others takes.
#[test]
#[ignore = "needs software for Python: conformance/interop/run.sh"]
fn bergshamra_verifies_what_we_accept_of_changed_tickets() {
    let seed = u64::from_le_bytes(fresh::bytes());
    let samples = changed::accepted(seed, CHANGED).unwrap();
    assert!(
        samples.len() * 10 > CHANGED,
        "{} of {CHANGED} changed tickets are accepted, seed {seed}",
        samples.len()
    );
    for (sample, said) in samples.iter().zip(by_python("bergshamra", &samples).unwrap()) {
        let text = String::from_utf8_lossy(sample.bytes.as_ref().unwrap());
        assert_eq!(said, Ok(()), "{}: {text}", sample.name);
    }
    tool::say(&format!(
        "of {CHANGED} changed tickets we accept {}, and bergshamra all of those",
        samples.len()
    ));
}

#[test]
#[ignore = "needs software for Python: conformance/interop/run.sh"]
fn they_refuse_the_right_ticket_under_the_wrong_key() {
    let mut samples = fresh::samples().unwrap();
    let other = samples.first().unwrap().keys.clone();
    let mut sample = samples.pop().unwrap();
    sample.keys = other;
    for judge in PYTHON {
        assert!(by_python(judge, std::slice::from_ref(&sample)).unwrap()[0].is_err(), "{judge}");
    }
}
