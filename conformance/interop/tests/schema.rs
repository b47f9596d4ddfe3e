//! Whatever we accept is a SAML 2.0 assertion by the schema of OASIS.

use meshproof_interop::{judge, sample, tool};

#[test]
#[ignore = "needs xmllint and the schemas: conformance/interop/run.sh"]
fn the_schema_validates_every_ticket_that_we_accept() {
    let samples = sample::accepted().unwrap();
    let violations = judge::schema_violations(&samples).unwrap();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    tool::say(&format!("the OASIS schema validates {} of {0} tickets", samples.len()));
}

#[test]
#[ignore = "needs xmllint and the schemas: conformance/interop/run.sh"]
fn the_schema_refuses_what_is_no_assertion() {
    let mut samples = meshproof_interop::fresh::samples().unwrap();
    let bytes = samples[0].bytes.as_mut().unwrap();
    *bytes = String::from_utf8_lossy(bytes).replace(" Version=\"2.0\"", "").into_bytes();
    assert_eq!(judge::schema_violations(&samples).unwrap().len(), 1);
}
