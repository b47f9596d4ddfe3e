//! The op `connect`: a device of the reference opens a channel, says what it is told to, and listens to the end.

use std::sync::Arc;

use meshproof_client::transport::{Connection, Incoming, dial, grounds_of};
use meshproof_client::{Error, SuiteBook};
use meshproof_proto::codec::{Id, hex};
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::handshake::{Device, Suite, Suites, Target};
use meshproof_proto::ticket::{Verifier, device_audience};
use serde_json::{Value, json};

use super::fields::{Fields, missing};
use super::ticket::verifier;
use super::{Ran, Stop};

/// Runs one connection from the first byte to the last.
pub(super) fn connect(known: &SuiteBook, request: Fields<'_>) -> Ran {
    let call = Call::read(request)?;
    if request.value("forget") == &Value::Bool(true) {
        known.forget(call.target.device);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::BadRequest(format!("no runtime: {error}")))?;
    runtime.block_on(call.run(known)).map_err(stop)
}

struct Call {
    address: String,
    device: Arc<Device>,
    target: Target,
    verifier: Verifier,
    send: Vec<Vec<u8>>,
}

impl Call {
    fn read(request: Fields<'_>) -> Result<Self, Stop> {
        let key = request.base64("initiator_key")?;
        let device = Device::load(DEFAULT, request.id("initiator")?, &key, &mut meshproof_client::os_entropy);
        let device = device.map_err(|_| missing("initiator_key", "a key"))?;
        let suites = request.numbers("suites")?.into_iter().filter_map(Suite::from_number);
        let device = device.with_suites(Suites::only(&suites.collect::<Vec<_>>()));
        let responder: Id = request.id("responder")?;
        let mut target = Target::new(responder, request.spki("responder_spki")?, request.base64("ticket")?);
        if let Some(token) = request.optional_hex("rdv_token")? {
            target.rdv_token = token.try_into().map_err(|_| missing("rdv_token", "16 bytes"))?;
        }
        Ok(Self {
            address: request.text("address")?.to_owned(),
            device: Arc::new(device),
            target,
            verifier: verifier(DEFAULT, request, &device_audience(responder))?,
            send: request.hex_list("send")?,
        })
    }

    async fn run(mut self, known: &SuiteBook) -> Result<Value, Error> {
        self.target.floor = known.floor(self.target.device);
        let vouched = grounds_of(&self.verifier, &self.device, &self.target)?;
        let connection = dial(&self.address, self.device, &self.target, vouched).await?;
        let Connection { peer, mut incoming, outgoing, .. } = connection;
        known.established(peer.device, peer.suite);
        for content in self.send {
            outgoing.send(content);
        }
        let mut contents = Vec::new();
        loop {
            match incoming.recv().await {
                Some(Incoming::Data(content)) => contents.push(hex(&content)),
                Some(Incoming::Failed(error)) => return Err(error),
                Some(Incoming::Closed) => outgoing.close(),
                Some(Incoming::Finish) => {}
                // What follows close_notify is a failure too, so the end is waited for.
                None => return Ok(json!({"suite": peer.suite.number(), "contents": contents})),
            }
        }
    }
}

/// What a failure of the client means for an answer.
pub(super) fn stop(error: Error) -> Stop {
    match error {
        Error::Channel { refused: Some(refusal), .. } => Stop::Refused(json!({"refused": refusal as u16})),
        error => match error.requirement() {
            Some(requirement) => Stop::Rejected(requirement.into(), Value::Null),
            None => Stop::Failed(error.to_string()),
        },
    }
}
