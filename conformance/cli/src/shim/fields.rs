//! Typed access to the fields of a request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{Entropy, Spki};
use meshproof_proto::time::UnixTime;
use serde_json::Value;

use super::Stop;

/// The fields of a group or test.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    pub(super) fn new(value: &'a Value) -> Self {
        Self(value)
    }

    pub(super) fn value(self, name: &str) -> &'a Value {
        &self.0[name]
    }

    pub(super) fn fields(self, name: &str) -> Fields<'a> {
        Fields(&self.0[name])
    }

    pub(super) fn list(self, name: &str) -> &'a [Value] {
        self.0[name].as_array().map_or(&[], Vec::as_slice)
    }

    pub(super) fn text(self, name: &str) -> Result<&'a str, Stop> {
        self.0[name].as_str().ok_or_else(|| missing(name, "a string"))
    }

    pub(super) fn number(self, name: &str) -> Result<u64, Stop> {
        self.0[name].as_u64().ok_or_else(|| missing(name, "a number"))
    }

    pub(super) fn time(self, name: &str) -> Result<UnixTime, Stop> {
        self.number(name).map(UnixTime)
    }

    pub(super) fn id(self, name: &str) -> Result<Id, Stop> {
        Id::parse(self.text(name)?).ok_or_else(|| missing(name, "an identifier"))
    }

    pub(super) fn numbers(self, name: &str) -> Result<Vec<u16>, Stop> {
        let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
        let numbers: Option<Vec<u16>> = self.list(name).iter().map(number).collect();
        numbers.ok_or_else(|| missing(name, "a list of numbers of 16 bits"))
    }

    pub(super) fn hex(self, name: &str) -> Result<Vec<u8>, Stop> {
        from_hex(self.text(name)?).ok_or_else(|| missing(name, "hexadecimal"))
    }

    /// `None` if the field is not there.
    pub(super) fn optional_hex(self, name: &str) -> Result<Option<Vec<u8>>, Stop> {
        if self.0[name].is_null() { Ok(None) } else { self.hex(name).map(Some) }
    }

    pub(super) fn hex_list(self, name: &str) -> Result<Vec<Vec<u8>>, Stop> {
        let bytes = |value: &Value| value.as_str().and_then(from_hex);
        let list: Option<Vec<Vec<u8>>> = self.list(name).iter().map(bytes).collect();
        list.ok_or_else(|| missing(name, "a list of hexadecimal"))
    }

    pub(super) fn base64(self, name: &str) -> Result<Vec<u8>, Stop> {
        STANDARD.decode(self.text(name)?).map_err(|_| missing(name, "base64"))
    }

    pub(super) fn spki(self, name: &str) -> Result<Spki, Stop> {
        Spki::parse(&self.base64(name)?).map_err(|_| missing(name, "an SPKI"))
    }
}

pub(super) fn missing(name: &str, what: &str) -> Stop {
    Stop::BadRequest(format!("{name} is not {what}"))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let byte = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// An SPKI in base64.
pub(super) fn spki_value(value: &Value) -> Result<Spki, Stop> {
    let der = value.as_str().and_then(|text| STANDARD.decode(text).ok());
    der.and_then(|der| Spki::parse(&der).ok()).ok_or_else(|| missing("a key", "an SPKI"))
}

/// The draws of a scripted run, then a counter for whatever blinding wants.
pub(super) struct Script {
    bytes: Vec<u8>,
    at: usize,
}

impl Script {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }
}

impl Entropy for Script {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            let counter = u8::try_from(self.at % 251).unwrap_or_default() | 1;
            *byte = self.bytes.get(self.at).copied().unwrap_or(counter);
            self.at += 1;
        }
    }
}
