//! Whatever we accept, signxml accepts, and signs for all of it; and its bytes are what lxml makes of them.

use meshproof_interop::{fresh, judge, sample, tool};

#[test]
#[ignore = "needs signxml: conformance/interop/run.sh"]
fn signxml_verifies_every_ticket_that_we_accept() {
    let samples = sample::accepted().unwrap();
    for (sample, said) in samples.iter().zip(judge::signxml(&samples).unwrap()) {
        let text = String::from_utf8_lossy(sample.bytes.as_ref().unwrap());
        assert_eq!(said.refused, None, "{}: {text}", sample.name);
        assert!(said.signed_all, "{}: signxml says that something else is signed: {text}", sample.name);
        assert!(said.canonical, "{}: lxml has another canonical form: {text}", sample.name);
    }
    tool::say(&format!(
        "signxml verified, and lxml canonicalised to itself, {} of {0} tickets",
        samples.len()
    ));
}

#[test]
#[ignore = "needs signxml: conformance/interop/run.sh"]
fn signxml_refuses_the_right_ticket_under_the_wrong_key() {
    let mut samples = fresh::samples().unwrap();
    let other = samples.first().unwrap().keys.clone();
    samples.last_mut().unwrap().keys = other;
    assert!(judge::signxml(&samples).unwrap().last().unwrap().refused.is_some());
}
