//! The initiator: who opens the connection.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::boxes;
use super::frame::{Frame, FrameType};
use super::messages::{self, Box1, Clear, LABEL_I, LABEL_R, M2};
use super::schedule::{Chain1, Party};
use super::share::Offer;
use super::{Device, Established, Failure, Refusal, Suite};
use crate::codec::{Id, Reader};
use crate::crypto::{Entropy, Provider, Secret, Spki, draw, draw_secret, equal};
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
    /// The weakest suite to offer: the strongest in which the two were established before (HSK-046).
    pub floor: Suite,
    /// What the graph gave out for a relayed connection; zeros on a direct one.
    pub rdv_token: [u8; 16],
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
    /// A device to connect to directly, for the first time.
    pub fn new(device: Id, key: Spki, ticket: Vec<u8>) -> Self {
        Self { device, key, ticket, floor: Suite::Baseline, rdv_token: [0; 16] }
    }

    /// HSK-039: that the own pair ticket names this device, its key, the responder and the responder's key.
    /// `verifier` is for the responder as audience.
    pub fn verify(&self, device: &Device, verifier: &Verifier, now: UnixTime) -> Result<Vouched, Error> {
        let ticket = verifier.verify(&self.ticket, now, Presenter::Holder(device.spki()))?;
        let grounds = grounds(&ticket, self.device, &self.key.fingerprint(device.provider))?;
        demand(grounds.initiator == device.id, req::HSK_039)?;
        Ok(Vouched { grounds, ends: ticket.not_on_or_after })
    }
}

/// Writes M1 at the clock reading `now`. Entropy is drawn for the nonce, k_R, the seed of OAEP, the X25519 secret and the
/// seed of ML-KEM, in this order, the last two if a suite on offer has them.
///
/// # Errors
/// [`Error::ApiMisuse`] if the responder's key does not load, or the device has no suite from the target's floor upwards.
pub fn start(
    device: Arc<Device>,
    target: &Target,
    now: UnixTime,
    entropy: &mut dyn Entropy,
) -> Result<(AwaitM2, Vec<u8>), Error> {
    let p = device.provider;
    let responder_key = p.public_key(&target.key).map_err(|_| Error::ApiMisuse("the responder's key"))?;
    let floor = if deviates(req::HSK_046) { Suite::Baseline } else { target.floor };
    let suites = device.suites.above(floor).as_slice().to_vec();
    let strongest = *suites.first().ok_or(Error::ApiMisuse("no suite is strong enough for this target"))?;
    let nonce = draw(entropy);
    let k_r = if deviates(req::HSK_038) { Secret::new([1; 32]) } else { draw_secret(entropy) };
    let ct_r = responder_key.encrypt(LABEL_R, &k_r, entropy);
    let (offer, share) = Offer::draw(p, strongest, entropy);
    let opening = Opening {
        clear: Clear { suites, nonce, rdv_token: target.rdv_token, share, ct_r },
        box1: Box1 { time: now.0, spki: device.spki().der(), ticket: &target.ticket }.write(),
        responder_key: target.key.clone(),
        chain: Chain1::new(p, &k_r),
    };
    let m1 = opening.m1(p, &[]);
    let responder = Party { id: target.device, fingerprint: target.key.fingerprint(p) };
    let state = AwaitM2 { device, responder, opening, offer, m1: m1.clone(), retried: false };
    Ok((state, m1))
}

/// All that M1 says, to say it again with a cookie (HSK-047).
struct Opening {
    clear: Clear,
    box1: Vec<u8>,
    responder_key: Spki,
    chain: Chain1,
}

impl Opening {
    fn m1(&self, p: &dyn Provider, cookie: &[u8]) -> Vec<u8> {
        let mut m1 = self.clear.write(cookie, self.box1.len() + boxes::TAG);
        let prefix_hash = p.sha256(&[&m1]);
        m1.extend(boxes::seal(p, &self.chain.box1(p, &prefix_hash), &prefix_hash, self.box1.clone()));
        let mac1 = messages::mac1(p, &self.responder_key, &m1);
        m1.extend_from_slice(&mac1);
        m1
    }
}

/// M1 is sent; M2, RETRY or a refusal is to come.
pub struct AwaitM2 {
    device: Arc<Device>,
    responder: Party,
    opening: Opening,
    offer: Offer,
    m1: Vec<u8>,
    /// RETRY was read.
    retried: bool,
}

/// What an initiator does after the responder's answer.
pub enum Heard {
    /// It sends this M3 and is done.
    Established(Box<Established>, Vec<u8>),
    /// It sends this M1 and waits again.
    Retry(Box<AwaitM2>, Vec<u8>),
}

impl AwaitM2 {
    /// The frames that may come.
    pub const AWAITS: &[FrameType] =
        &[FrameType::M2, FrameType::Retry, FrameType::Refuse, FrameType::NoCommonSuite];

    /// Reads the responder's answer.
    pub fn handle(self, frame: &Frame) -> Result<Heard, Failure> {
        match frame.kind {
            FrameType::NoCommonSuite => {
                demand(false, req::HSK_037)?;
                Err(self.read_refusal(frame)) // only the mutant comes here
            }
            FrameType::Refuse => Err(self.read_refusal(frame)),
            FrameType::Retry => self.read_retry(frame),
            _ => self.read_m2(frame),
        }
    }

    fn read_retry(mut self, frame: &Frame) -> Result<Heard, Failure> {
        demand(!self.retried, req::HSK_048)?;
        if deviates(req::HSK_047) {
            self.opening.clear.nonce[0] ^= 1; // the mutant begins anew
        }
        self.m1 = self.opening.m1(self.device.provider, &messages::read_retry(frame)?);
        self.retried = true;
        let m1 = self.m1.clone();
        Ok(Heard::Retry(Box::new(self), m1))
    }

    fn read_m2(self, frame: &Frame) -> Result<Heard, Failure> {
        let p = self.device.provider;
        let m2 = M2::read(frame, &self.opening.clear.suites)?;
        let ss_e = self.offer.agree(m2.suite, m2.share)?;
        let chain = self.opening.chain.mix_ephemeral(p, &ss_e);
        let prefix_hash = p.sha256(&[&self.m1, m2.prefix]);
        let key = chain.box2(p, &prefix_hash);
        let opened = boxes::open(p, &key, &prefix_hash, m2.box2, deviates(req::HSK_032));
        let plaintext = demand_some(opened, req::HSK_032, Vec::new)?;
        let (k_i, real) = self.device.decapsulate(LABEL_I, messages::read_box2(&plaintext)?);
        if deviates(req::HSK_033) && !real {
            return Err(req::HSK_032.into()); // the mutant lets the failure show
        }
        let (me, peer) = (self.device.party(), self.responder);
        let done = chain.mix_k_i(p, &k_i).confirm(p, me, peer, &self.m1, m2.through_box2);
        demand(equal(&done.tag_r, m2.tag_r), req::HSK_034)?;
        let established = Established {
            suite: m2.suite,
            initiator: me.id,
            responder: peer.id,
            transcript: done.th2,
            traffic: done.traffic,
        };
        Ok(Heard::Established(Box::new(established), messages::write_m3(&done.tag_i)))
    }

    fn read_refusal(&self, frame: &Frame) -> Failure {
        let p = self.device.provider;
        let hash = p.sha256(&[&self.m1]);
        let key = self.opening.chain.refuse(p, &hash);
        let opened = boxes::open(p, &key, &hash, frame.body(), deviates(req::HSK_035));
        let refused = opened.as_deref().and_then(|plaintext| Reader::new(plaintext).u16()).map(|code| {
            // A code of a later version is a refusal all the same.
            Refusal::from_code(code).unwrap_or(Refusal::NotAuthorised)
        });
        Failure { refused, ..req::HSK_035.into() }
    }
}
