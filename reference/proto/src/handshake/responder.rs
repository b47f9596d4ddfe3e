//! The responder: who accepts the connection.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::boxes;
use super::frame::{Frame, FrameType, header};
use super::messages::{self, Box1, LABEL_I, LABEL_R, M1};
use super::schedule::{Chain1, Confirmation};
use super::{Device, Established, Failure, MAX_CLOCK_DIFFERENCE, Refusal, Suite};
use crate::crypto::{Entropy, Spki, draw, draw_secret, equal};
use crate::error::Error;
use crate::requirement::{self as req, demand, demand_some, deviates};
use crate::ticket::pair::{Grounds, grounds};
use crate::ticket::{Presenter, VerifiedTicket, Verifier};
use crate::time::UnixTime;

/// A connection is accepted; M1 is to come.
pub struct AwaitM1 {
    device: Arc<Device>,
    verifier: Arc<Verifier>,
}

impl AwaitM1 {
    /// The frame that may come.
    pub const AWAITS: &[FrameType] = &[FrameType::M1];

    /// `verifier` is for the audience [`crate::ticket::device_audience`] of this device.
    pub fn new(device: Arc<Device>, verifier: Arc<Verifier>) -> Self {
        Self { device, verifier }
    }

    /// Reads M1 at the clock reading `now`; returns M2. Entropy is drawn for the nonce, k_I and the seed of OAEP, in
    /// this order, after M1 was found good.
    pub fn handle(
        self,
        frame: &Frame,
        now: UnixTime,
        entropy: &mut dyn Entropy,
    ) -> Result<(AwaitM3, Vec<u8>), Failure> {
        let p = self.device.provider;
        let m1 = M1::read(frame)?;
        let mac1 = messages::mac1(p, self.device.spki(), m1.maced);
        demand(equal(&mac1, m1.mac1), req::HSK_014)?;
        let suite = choose_suite(&m1.suites)?;

        let (k_r, real) = self.device.decapsulate(LABEL_R, m1.ct_r);
        if deviates(req::HSK_017) && !real {
            return Err(no_common_suite()); // the mutant lets the failure show
        }
        let chain = Chain1::new(p, &k_r);
        let prefix_hash = p.sha256(&[m1.prefix]);
        let key = chain.box1(p, &prefix_hash);
        let opened = boxes::open(p, &key, &prefix_hash, m1.box1, deviates(req::HSK_018));
        let plaintext = demand_some(opened, req::HSK_018, Vec::new)?;
        let box1 = Box1::read(&plaintext)?;

        let mut cause = None;
        let admitted = self.admit(&box1, now, &mut cause).map_err(|error| {
            let expired = error.is(req::HSK_022);
            let code = if expired { Refusal::TicketExpired } else { Refusal::NotAuthorised };
            let hash = p.sha256(&[&frame.bytes]);
            let answer = Some(write_refusal(&self.device, &chain, &hash, code));
            Failure { error, cause, answer, refused: Some(code) }
        })?;
        self.answer(frame, suite, &chain, admitted, entropy)
    }

    /// HSK-019 to HSK-024: whether this initiator is let in. `cause` gets the rule of ticket.md that its ticket broke.
    fn admit(&self, box1: &Box1<'_>, now: UnixTime, cause: &mut Option<Error>) -> Result<Admitted, Error> {
        let p = self.device.provider;
        demand(now.distance(UnixTime(box1.time)) <= MAX_CLOCK_DIFFERENCE, req::HSK_019)?;
        let lax_key = || self.device.spki().clone(); // some key, for the mutant to go on with
        let key = demand_some(Spki::parse(box1.spki).ok(), req::HSK_020, lax_key)?;
        demand(key != *self.device.spki() || deviates(req::HSK_020), req::HSK_021)?;

        let own = self.device.spki().fingerprint(p);
        let checked = self.verifier.verify(box1.ticket, now, Presenter::CheckedByCaller).and_then(|ticket| {
            let grounds = grounds(&ticket, self.device.id, &own)?;
            Ok((ticket, grounds))
        });
        *cause = checked.as_ref().err().copied();
        let expired = cause.is_some_and(|error| error.is(req::TKT_014));
        demand(!expired, req::HSK_022)?;
        let checked = checked.ok().or_else(|| unchecked(box1.ticket));
        let Some((ticket, grounds)) = checked else { return Err(req::HSK_023.into()) };
        demand(ticket.confirmation.as_ref() == Some(&key), req::HSK_024)?;
        Ok(Admitted { key, ticket, grounds })
    }

    /// Section 4.3.
    fn answer(
        self,
        frame: &Frame,
        suite: Suite,
        chain: &Chain1,
        admitted: Admitted,
        entropy: &mut dyn Entropy,
    ) -> Result<(AwaitM3, Vec<u8>), Failure> {
        let p = self.device.provider;
        let nonce = draw(entropy);
        let k_i = draw_secret(entropy);
        let peer = p.public_key(&admitted.key).map_err(|_| Error::from(req::HSK_020))?;
        let plaintext = messages::write_box2(&peer.encrypt(LABEL_I, &k_i, entropy));

        let chain = chain.mix_nothing(p);
        let mut m2 = messages::write_m2_prefix(suite, &nonce, plaintext.len() + boxes::TAG);
        let prefix_hash = p.sha256(&[&frame.bytes, &m2]);
        m2.extend(boxes::seal(p, &chain.box2(p, &prefix_hash), &prefix_hash, plaintext));
        let (initiator, me) = (admitted.grounds.initiator, self.device.id);
        let done = chain.mix_k_i(p, &k_i).confirm(p, initiator, me, &frame.bytes, &m2);
        m2.extend_from_slice(&done.tag_r);
        let ends = admitted.ticket.not_on_or_after;
        Ok((AwaitM3 { device: self.device, suite, done, grounds: admitted.grounds, ends }, m2))
    }
}

/// Who is let in.
struct Admitted {
    key: Spki,
    ticket: VerifiedTicket,
    grounds: Grounds,
}

/// HSK-015, HSK-016: the strongest suite that both sides have.
fn choose_suite(offered: &[u16]) -> Result<Suite, Failure> {
    let common = Suite::ALL.into_iter().find(|suite| offered.contains(&suite.number()));
    demand_some(common, req::HSK_015, || Suite::Baseline).map_err(|_| no_common_suite())
}

/// What the mutants of HSK-022 and HSK-023 go on with.
#[cfg(feature = "mutants")]
fn unchecked(ticket: &[u8]) -> Option<(VerifiedTicket, Grounds)> {
    if !deviates(req::HSK_022) && !deviates(req::HSK_023) {
        return None;
    }
    let ticket = VerifiedTicket::unchecked(ticket)?;
    let (crate::ticket::Subject::Device(initiator) | crate::ticket::Subject::User(initiator)) =
        ticket.subject;
    Some((ticket, Grounds { initiator, user: None, folders: Vec::new() }))
}

#[cfg(not(feature = "mutants"))]
fn unchecked(_: &[u8]) -> Option<(VerifiedTicket, Grounds)> {
    None
}

fn no_common_suite() -> Failure {
    let answer = Some(header(FrameType::NoCommonSuite, 0));
    Failure { answer, ..req::HSK_015.into() }
}

fn write_refusal(device: &Device, chain: &Chain1, m1_hash: &[u8; 32], code: Refusal) -> Vec<u8> {
    let p = device.provider;
    let mut plaintext = vec![0; 32];
    plaintext[..2].copy_from_slice(&(code as u16).to_be_bytes());
    let sealed = boxes::seal(p, &chain.refuse(p, m1_hash), m1_hash, plaintext);
    let mut out = header(FrameType::Refuse, sealed.len());
    out.extend(sealed);
    out
}

/// M2 is sent; M3 is to come. Until then the initiator has proved nothing (HSK-041).
pub struct AwaitM3 {
    device: Arc<Device>,
    suite: Suite,
    done: Confirmation,
    grounds: Grounds,
    ends: UnixTime,
}

/// An initiator that proved who it is.
pub struct Admission {
    /// The keys.
    pub established: Established,
    /// Why the two devices may meet.
    pub grounds: Grounds,
    /// When the right to it ends (HSK-042).
    pub ends: UnixTime,
}

impl AwaitM3 {
    /// The frame that may come.
    pub const AWAITS: &[FrameType] = &[FrameType::M3];

    /// Who the initiator says it is. Not proved yet, and not to be acted upon (HSK-041).
    pub fn claimed_initiator(&self) -> crate::codec::Id {
        self.grounds.initiator
    }

    /// Reads M3.
    pub fn handle(self, frame: &Frame) -> Result<Admission, Failure> {
        let tag_i = messages::read_m3(frame)?;
        demand(equal(&self.done.tag_i, &tag_i), req::HSK_040)?;
        let established = Established {
            suite: self.suite,
            initiator: self.grounds.initiator,
            responder: self.device.id,
            transcript: self.done.th2,
            traffic: self.done.traffic,
        };
        Ok(Admission { established, grounds: self.grounds, ends: self.ends })
    }
}
