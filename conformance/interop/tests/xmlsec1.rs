//! Whatever we accept, xmlsec1 accepts.

use meshproof_interop::{judge, sample, tool};

#[test]
#[ignore = "needs xmlsec1: conformance/interop/run.sh"]
fn xmlsec1_verifies_every_ticket_that_we_accept() {
    let samples = sample::accepted().unwrap();
    for sample in &samples {
        let said = judge::xmlsec1(sample).unwrap();
        assert_eq!(
            said,
            Ok(()),
            "{}: {}",
            sample.name,
            String::from_utf8_lossy(sample.bytes.as_ref().unwrap())
        );
    }
    tool::say(&format!("xmlsec1 verified {} of {0} tickets", samples.len()));
}

#[test]
#[ignore = "needs xmlsec1: conformance/interop/run.sh"]
fn xmlsec1_refuses_the_right_ticket_under_the_wrong_key() {
    let mut samples = meshproof_interop::fresh::samples().unwrap();
    // A judge that says yes to everything would make the other test worthless.
    let other = samples.first().unwrap().keys.clone();
    let sample = samples.last_mut().unwrap();
    sample.keys = other;
    assert!(judge::xmlsec1(sample).unwrap().is_err());
}
