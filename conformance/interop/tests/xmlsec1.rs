//! Whatever we accept, xmlsec1 accepts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_interop::{judge, sample, tool};
use meshproof_proto::crypto::Spki;
use meshproof_proto::requirement::TKT_006;
use meshproof_proto::ticket::parse::parse;

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

/// Why a signature has no KeyInfo in our grammar. Should this fail one day, README.md is to be changed.
#[test]
#[ignore = "needs xmlsec1: conformance/interop/run.sh"]
fn xmlsec1_by_default_believes_the_key_that_a_forger_encloses() {
    let mut samples = meshproof_interop::fresh::samples().unwrap();
    let configured = samples.first().unwrap().keys.clone();
    let sample = samples.last_mut().unwrap();
    let forger = Spki::parse(&std::mem::replace(&mut sample.keys, configured)[0]).unwrap();
    let key_info = format!(
        "<ds:KeyInfo><ds:KeyValue><ds:RSAKeyValue><ds:Modulus>{}</ds:Modulus><ds:Exponent>AQAB</ds:Exponent>\
         </ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo></ds:Signature>",
        STANDARD.encode(forger.modulus()),
    );
    let text = String::from_utf8(sample.bytes.take().unwrap()).unwrap();
    let text = text.replace("</ds:Signature>", &key_info);
    assert!(parse(text.as_bytes()).unwrap_err().is(TKT_006));
    sample.bytes = Some(text.into_bytes());
    assert_eq!(judge::xmlsec1(sample).unwrap(), Ok(()));
}
