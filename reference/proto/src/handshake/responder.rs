//! The responder: who accepts the connection.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::boxes;
use super::frame::{Frame, FrameType, header};
use super::guard::{COOKIE, Knock, SharedGuard};
use super::messages::{self, Box1, LABEL_I, LABEL_R, M1};
use super::schedule::{Chain1, Confirmation, Party};
use super::share;
use super::{CurrentVerifier, Device, Established, Failure, MAX_CLOCK_DIFFERENCE, Refusal, Suite};
use crate::codec::Id;
use crate::crypto::{Entropy, Secret, Spki, draw, draw_secret, equal};
use crate::error::Error;
use crate::requirement::{self as req, demand, demand_some, deviates};
use crate::ticket::pair::{Grounds, grounds};
use crate::ticket::{Presenter, VerifiedTicket, Verifier};
use crate::time::UnixTime;

/// A connection is accepted; M1 is to come.
pub struct AwaitM1 {
    device: Arc<Device>,
    verifier: Arc<Verifier>,
    current: Option<Arc<dyn CurrentVerifier>>,
    guard: Option<(Arc<dyn SharedGuard>, Vec<u8>)>,
    rdv_token: Option<[u8; 16]>,
    memory: Option<Arc<dyn SuiteMemory>>,
    /// RETRY was sent.
    retried: bool,
}

/// The suites in which this device was established with others before (HSK-045).
pub trait SuiteMemory: Send + Sync {
    /// The strongest of those with this initiator.
    fn strongest(&self, initiator: Id) -> Option<Suite>;
}

/// What a responder does after an M1 that was good.
pub enum Answer {
    /// It sends this M2.
    M2(Box<AwaitM3>, Vec<u8>),
    /// It sends this RETRY and awaits another M1.
    Retry(AwaitM1, Vec<u8>),
}

impl AwaitM1 {
    /// The frame that may come.
    pub const AWAITS: &[FrameType] = &[FrameType::M1];

    /// `verifier` is for the audience [`crate::ticket::device_audience`] of this device.
    pub fn new(device: Arc<Device>, verifier: Arc<Verifier>) -> Self {
        Self { device, verifier, current: None, guard: None, rdv_token: None, memory: None, retried: false }
    }

    /// Believes of later tickets on the same channel those that `current` does then (HSK-054).
    #[must_use]
    pub fn trusting(self, current: Arc<dyn CurrentVerifier>) -> Self {
        Self { current: Some(current), ..self }
    }

    /// Behind a guard, for a connection from `source`: an address, or a circuit of a relay.
    #[must_use]
    pub fn behind(self, guard: Arc<dyn SharedGuard>, source: Vec<u8>) -> Self {
        Self { guard: Some((guard, source)), ..self }
    }

    /// On the relayed connection for which the graph gave out this token (HSK-053).
    #[must_use]
    pub fn relayed(self, rdv_token: [u8; 16]) -> Self {
        Self { rdv_token: Some(rdv_token), ..self }
    }

    /// With a memory of suites (HSK-045).
    #[must_use]
    pub fn remembering(self, memory: Arc<dyn SuiteMemory>) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// The device that answers.
    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// The verifier of its tickets.
    pub(crate) fn verifier(&self) -> &Arc<Verifier> {
        &self.verifier
    }

    /// Whom it trusts later.
    pub(crate) fn current_verifier(&self) -> Option<Arc<dyn CurrentVerifier>> {
        self.current.clone()
    }

    /// Reads M1 at the clock reading `now`. Entropy is drawn for the nonce, k_I, the seed of OAEP, the X25519 secret and
    /// the message of ML-KEM, in this order, the last two if the suite has them, after M1 was found good.
    pub fn handle(
        mut self,
        frame: &Frame,
        now: UnixTime,
        entropy: &mut dyn Entropy,
    ) -> Result<Answer, Failure> {
        let p = self.device.provider;
        let m1 = M1::read(frame)?;
        let mac1 = messages::mac1(p, self.device.spki(), m1.maced);
        demand(equal(&mac1, m1.mac1), req::HSK_014)?;
        let suite = self.choose_suite(&m1.suites)?;
        let guard = self.guard.clone();
        let knock = guard.as_ref().map(|(guard, source)| {
            let (m1_hash, head) = (p.sha256(&[&frame.bytes]), p.sha256(&m1.head));
            (guard, Knock { now, source, m1: m1_hash, head, cookie: m1.cookie })
        });
        if let Some(cookie) = self.pass_guard(&m1, knock.as_ref())? {
            self.retried = true;
            return Ok(Answer::Retry(self, messages::write_retry(&cookie)));
        }
        let answer = self.decide(frame, &m1, suite, now, entropy);
        if let Some((guard, knock)) = &knock {
            guard.locked(&mut |guard| {
                if answer.is_ok() { guard.answered(knock) } else { guard.failed(knock) }
            });
        }
        answer
    }

    /// From HSK-053 on: M1 may cost an RSA operation.
    fn decide(
        self,
        frame: &Frame,
        m1: &M1<'_>,
        suite: Suite,
        now: UnixTime,
        entropy: &mut dyn Entropy,
    ) -> Result<Answer, Failure> {
        let p = self.device.provider;
        demand(self.rdv_token.is_none_or(|token| equal(&token, &m1.rdv_token)), req::HSK_053)?;

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
        let admitted = self.admit(&box1, suite, now, &mut cause).map_err(|error| {
            let expired = error.is(req::HSK_022);
            let code = if expired { Refusal::TicketExpired } else { Refusal::NotAuthorised };
            let hash = p.sha256(&[&frame.bytes]);
            let answer = Some(write_refusal(&self.device, &chain, &hash, code));
            Failure { error, cause, answer, refused: Some(code) }
        })?;
        self.answer(frame, m1, suite, &chain, admitted, entropy)
    }

    /// HSK-050 to HSK-052. `Some`: a cookie has to be shown first.
    fn pass_guard(
        &self,
        m1: &M1<'_>,
        knock: Option<&(&Arc<dyn SharedGuard>, Knock<'_>)>,
    ) -> Result<Option<[u8; COOKIE]>, Error> {
        let Some((guard, knock)) = knock else {
            // Who gives out no cookies made none.
            return demand(m1.cookie.is_empty(), req::HSK_050).map(|()| None);
        };
        let mut verdict = Ok(None);
        guard.locked(&mut |guard| verdict = guard.admit(knock));
        match verdict? {
            Some(_) if self.retried => Err(req::HSK_050.into()),
            cookie => Ok(cookie),
        }
    }

    /// HSK-015, HSK-016: the strongest suite that both sides have.
    fn choose_suite(&self, offered: &[u16]) -> Result<Suite, Failure> {
        let mut common = self.device.suites.choose(offered);
        if deviates(req::HSK_016) {
            let weakest = self.device.suites.as_slice().iter().rev();
            common = weakest.copied().find(|suite| offered.contains(&suite.number()));
        }
        demand_some(common, req::HSK_015, || Suite::Baseline).map_err(|_| no_common_suite())
    }

    /// HSK-019 to HSK-029, HSK-045: whether this initiator is let in. `cause` gets the rule of ticket.md that its ticket broke.
    fn admit(
        &self,
        box1: &Box1<'_>,
        suite: Suite,
        now: UnixTime,
        cause: &mut Option<Error>,
    ) -> Result<Admitted, Error> {
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
        demand(grounds.initiator != self.device.id, req::HSK_029)?;
        let before = self.memory.as_ref().and_then(|memory| memory.strongest(grounds.initiator));
        demand(before.is_none_or(|before| suite >= before), req::HSK_045)?;
        Ok(Admitted { key, ticket, grounds })
    }

    /// Section 4.3.
    fn answer(
        self,
        frame: &Frame,
        m1: &M1<'_>,
        suite: Suite,
        chain: &Chain1,
        admitted: Admitted,
        entropy: &mut dyn Entropy,
    ) -> Result<Answer, Failure> {
        let p = self.device.provider;
        let nonce = draw(entropy);
        let k_i = if deviates(req::HSK_025) { Secret::new([1; 32]) } else { draw_secret(entropy) };
        let peer = p.public_key(&admitted.key).map_err(|_| Error::from(req::HSK_020))?;
        let plaintext = messages::write_box2(&peer.encrypt(LABEL_I, &k_i, entropy));
        let (share, ss_e) = share::answer(p, suite, m1.share, entropy)?;

        let chain = chain.mix_ephemeral(p, &ss_e);
        let mut m2 = messages::write_m2_prefix(suite, &nonce, &share, plaintext.len() + boxes::TAG);
        let prefix_hash = p.sha256(&[&frame.bytes, &m2]);
        m2.extend(boxes::seal(p, &chain.box2(p, &prefix_hash), &prefix_hash, plaintext));
        let fingerprint = admitted.key.fingerprint(p);
        let initiator = Party { id: admitted.grounds.initiator, fingerprint };
        let done = chain.mix_k_i(p, &k_i).confirm(p, initiator, self.device.party(), &frame.bytes, &m2);
        m2.extend_from_slice(&done.tag_r);
        Ok(Answer::M2(Box::new(AwaitM3 { device: self.device, suite, done, admitted }), m2))
    }
}

/// Who is let in.
struct Admitted {
    key: Spki,
    ticket: VerifiedTicket,
    grounds: Grounds,
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
    let (initiator_user, responder_user, user) = (None, None, None);
    Some((ticket, Grounds { initiator, initiator_user, responder_user, user, folders: Vec::new() }))
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
    admitted: Admitted,
}

/// An initiator that proved who it is.
pub struct Admission {
    /// The keys.
    pub established: Established,
    /// Its key.
    pub key: Spki,
    /// Why the two devices may meet.
    pub grounds: Grounds,
    /// When the right to it ends (HSK-042).
    pub ends: UnixTime,
}

impl AwaitM3 {
    /// The frame that may come.
    pub const AWAITS: &[FrameType] = &[FrameType::M3];

    /// Who the initiator says it is. Not proved yet, and not to be acted upon (HSK-041).
    pub fn claimed_initiator(&self) -> Id {
        self.admitted.grounds.initiator
    }

    /// The suite that was chosen.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Reads M3.
    pub fn handle(self, frame: &Frame) -> Result<Admission, Failure> {
        let tag_i = messages::read_m3(frame)?;
        demand(equal(&self.done.tag_i, &tag_i), req::HSK_040)?;
        let Admitted { key, ticket, grounds } = self.admitted;
        let established = Established {
            suite: self.suite,
            initiator: grounds.initiator,
            responder: self.device.id,
            transcript: self.done.th2,
            traffic: self.done.traffic,
        };
        Ok(Admission { established, key, grounds, ends: ticket.not_on_or_after })
    }
}
