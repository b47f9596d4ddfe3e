//! `vectors/record/`.

use meshproof_proto::codec::hex;
use meshproof_proto::crypto::{Provider, Secret};
use meshproof_proto::error::Error;
use meshproof_proto::record::{Event, Opener, Sealer};
use meshproof_proto::requirement as req;
use serde_json::{Value, json};

use super::fields::{Fields, missing};
use super::{Ran, Stop};

pub(super) fn open(p: &'static dyn Provider, test: Fields<'_>) -> Ran {
    let mut opener = Opener::new(p, traffic(test)?);
    let mut contents = Vec::new();
    let mut tickets = Vec::new();
    let mut closed = false;
    let responder = test.value("role") == "responder";
    opener.push(&test.hex("stream")?);
    while let Some(event) = opener.next()? {
        match event {
            Event::Data(content) => contents.push(hex(content)),
            Event::Ticket(ticket) if responder => tickets.push(hex(ticket)),
            // To an initiator nobody sends tickets.
            Event::Ticket(_) => return Err(Error::from(req::REC_013).into()),
            Event::Closed => closed = true,
        }
    }
    if test.value("fin") == &Value::Bool(true) {
        opener.fin()?;
    }
    let mut output = json!({"contents": contents, "closed": closed});
    if responder {
        output["tickets"] = tickets.into();
    }
    Ok(output)
}

pub(super) fn seal(p: &'static dyn Provider, test: Fields<'_>) -> Ran {
    let mut sealer = Sealer::new(p, traffic(test)?);
    let mut stream = Vec::new();
    for action in test.list("actions") {
        let action = Fields::new(action);
        if action.value("close") == &Value::Bool(true) {
            sealer.close(&mut stream);
        } else if action.value("key_update") == &Value::Bool(true) {
            sealer.update_keys(&mut stream)?;
        } else {
            sealer.seal(&action.hex("data")?, &mut stream)?;
        }
    }
    Ok(json!({"stream": hex(&stream)}))
}

fn traffic(test: Fields<'_>) -> Result<Secret, Stop> {
    let bytes = test.hex("traffic")?;
    bytes.try_into().map(Secret::new).map_err(|_| missing("traffic", "32 bytes"))
}
