//! The initiator: who opens the connection.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::boxes;
use super::frame::{Frame, FrameType};
use super::messages::{self, Box1, LABEL_I, LABEL_R, M2};
use super::schedule::Chain1;
use super::{Device, Established, Failure, Refusal, Suite};
use crate::codec::{Id, Reader};
use crate::crypto::{Entropy, Spki, draw, draw_secret, equal};
use crate::error::Error;
use crate::requirement::{self as req, demand, demand_some, deviates};
use crate::ticket::pair::{Grounds, grounds};
use crate::ticket::{Presenter, Verifier};
use crate::time::UnixTime;

/// Whom to connect to, and with what right.
#[derive(Clone)]
pub struct Target {
    /// The responder.
    pub device: Id,
    /// Its key, from the graph.
    pub key: Spki,
    /// The bytes of the pair ticket for the two.
    pub ticket: Vec<u8>,
}

/// What the issuer vouches for: who the responder is, and what the two may do. Only [`Target::verify`] makes one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Vouched {
    /// Why the two devices may meet.
    pub grounds: Grounds,
    /// When the right to it ends: the ticket's `NotOnOrAfter`.
    pub ends: UnixTime,
}

impl Target {
    /// HSK-039: that the own pair ticket names this device, its key, the responder and the responder's key.
    /// `verifier` is for the responder as audience.
    pub fn verify(&self, device: &Device, verifier: &Verifier, now: UnixTime) -> Result<Vouched, Error> {
        let ticket = verifier.verify(&self.ticket, now, Presenter::Holder(device.spki()))?;
        let grounds = grounds(&ticket, self.device, &self.key.fingerprint(device.provider))?;
        demand(grounds.initiator == device.id, req::HSK_039)?;
        Ok(Vouched { grounds, ends: ticket.not_on_or_after })
    }
}

/// Writes M1 at the clock reading `now`. Entropy is drawn for the nonce, k_R and the seed of OAEP, in this order.
///
/// # Errors
/// [`Error::ApiMisuse`] if the responder's key does not load.
pub fn start(
    device: Arc<Device>,
    target: &Target,
    now: UnixTime,
    entropy: &mut dyn Entropy,
) -> Result<(AwaitM2, Vec<u8>), Error> {
    let p = device.provider;
    let responder_key = p.public_key(&target.key).map_err(|_| Error::ApiMisuse("the responder's key"))?;
    let nonce = draw(entropy);
    let k_r = draw_secret(entropy);
    let ct_r = responder_key.encrypt(LABEL_R, &k_r, entropy);
    let chain = Chain1::new(p, &k_r);

    let plaintext = Box1 { time: now.0, spki: device.spki().der(), ticket: &target.ticket }.write();
    let mut m1 = messages::write_m1_prefix(&nonce, &ct_r, plaintext.len() + boxes::TAG);
    let prefix_hash = p.sha256(&[&m1]);
    m1.extend(boxes::seal(p, &chain.box1(p, &prefix_hash), &prefix_hash, plaintext));
    let mac1 = messages::mac1(p, &target.key, &m1);
    m1.extend_from_slice(&mac1);
    Ok((AwaitM2 { device, responder: target.device, chain, m1: m1.clone() }, m1))
}

/// M1 is sent; M2 or a refusal is to come.
pub struct AwaitM2 {
    device: Arc<Device>,
    responder: Id,
    chain: Chain1,
    m1: Vec<u8>,
}

impl AwaitM2 {
    /// The frames that may come.
    pub const AWAITS: &[FrameType] = &[FrameType::M2, FrameType::Refuse, FrameType::NoCommonSuite];

    /// Reads the responder's answer; returns M3.
    pub fn handle(self, frame: &Frame) -> Result<(Established, Vec<u8>), Failure> {
        match frame.kind {
            FrameType::NoCommonSuite => {
                demand(false, req::HSK_037)?;
                Err(self.read_refusal(frame)) // only the mutant comes here
            }
            FrameType::Refuse => Err(self.read_refusal(frame)),
            _ => self.read_m2(frame),
        }
    }

    fn read_m2(self, frame: &Frame) -> Result<(Established, Vec<u8>), Failure> {
        let p = self.device.provider;
        let m2 = M2::read(frame)?;
        let chain = self.chain.mix_nothing(p);
        let prefix_hash = p.sha256(&[&self.m1, m2.prefix]);
        let key = chain.box2(p, &prefix_hash);
        let opened = boxes::open(p, &key, &prefix_hash, m2.box2, deviates(req::HSK_032));
        let plaintext = demand_some(opened, req::HSK_032, Vec::new)?;
        let (k_i, real) = self.device.decapsulate(LABEL_I, messages::read_box2(&plaintext)?);
        if deviates(req::HSK_033) && !real {
            return Err(req::HSK_032.into()); // the mutant lets the failure show
        }
        let (me, peer) = (self.device.id, self.responder);
        let done = chain.mix_k_i(p, &k_i).confirm(p, me, peer, &self.m1, m2.through_box2);
        demand(equal(&done.tag_r, m2.tag_r), req::HSK_034)?;
        debug_assert!(m2.suite == Suite::Baseline.number() || deviates(req::HSK_030));
        let established = Established {
            suite: Suite::Baseline,
            initiator: me,
            responder: peer,
            transcript: done.th2,
            traffic: done.traffic,
        };
        Ok((established, messages::write_m3(&done.tag_i)))
    }

    fn read_refusal(&self, frame: &Frame) -> Failure {
        let p = self.device.provider;
        let hash = p.sha256(&[&self.m1]);
        let key = self.chain.refuse(p, &hash);
        let opened = boxes::open(p, &key, &hash, frame.body(), deviates(req::HSK_035));
        let refused = opened.as_deref().and_then(|plaintext| Reader::new(plaintext).u16()).map(|code| {
            // A code of a later version is a refusal all the same.
            Refusal::from_code(code).unwrap_or(Refusal::NotAuthorised)
        });
        Failure { refused, ..req::HSK_035.into() }
    }
}
