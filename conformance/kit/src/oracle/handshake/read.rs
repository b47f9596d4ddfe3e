//! Reading M1, M2, M3 and REFUSE, spec/handshake.md sections 4.1 to 4.5, one step a line.

use super::schedule::{Confirmation, M1Keys, M2Keys, Names, tag_i, traffic_i, traffic_r};
use super::share::{self, Ephemeral};
use super::{BLOCK, HYBRID, LABEL_I, LABEL_R, LARGEST, SUITE, X25519, frame, kind};
use crate::oracle::crypto::{
    RsaPrivateKey, etm_open, etm_seal, h, hmac, is_device_key, oaep_decrypt, public_key_from_spki, spki,
};
use crate::oracle::ticket::{self, Issuer, Verification};
use crate::oracle::{Rejection, reject, require};

/// What a responder knows.
pub struct Responder {
    /// Its key.
    pub key: RsaPrivateKey,
    /// Its identifier, 32 hexadecimal digits.
    pub device: String,
    /// The issuers it trusts.
    pub issuers: Vec<Issuer>,
    /// Its clock.
    pub now: u64,
    /// The suites it has.
    pub suites: Vec<u16>,
    /// The token of the relayed connection on which it listens.
    pub rdv_token: Option<Vec<u8>>,
    /// The cookies it gave out.
    pub cookies: Vec<Vec<u8>>,
}

/// How a responder answers an M1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With M2.
    M2 {
        /// What its ticket says.
        pair: Box<ticket::Pair>,
        /// The suite.
        suite: u16,
        /// ck1, to go on with.
        ck1: [u8; 32],
    },
    /// Not at all: the connection is closed.
    Silent,
    /// With `NO_COMMON_SUITE`.
    NoCommonSuite,
    /// With REFUSE.
    Refuse {
        /// The code.
        code: u16,
        /// The whole frame.
        frame: Vec<u8>,
    },
}

/// Why a responder did not answer with M2, and how it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The rule.
    pub rejection: Rejection,
    /// The rule of the ticket, where a ticket was refused.
    pub ticket: Option<Rejection>,
    /// What is sent.
    pub answer: Answer,
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self { rejection, ticket: None, answer: Answer::Silent }
    }
}

impl Responder {
    /// Section 4.2.
    pub fn read_m1(&self, m1: &[u8]) -> Result<Answer, Failure> {
        let own_spki = spki(&self.key.to_public_key());
        let Clear { suites, rdv_token, cookie, share, ct_r, prefix, box1 } = read_clear(m1, &own_spki)?;
        let common = |suite: &u16| suites.contains(suite) && self.suites.contains(suite);
        let Some(suite) = [HYBRID, X25519, SUITE].into_iter().find(common) else {
            let rejection = Rejection { requirement: "HSK-015", reason: "no-common-suite" };
            return Err(Failure { rejection, ticket: None, answer: Answer::NoCommonSuite });
        };
        let known = cookie.is_empty() || self.cookies.iter().any(|made| made == cookie);
        require(known, "HSK-050", "cookie-unknown")?;
        let expected = self.rdv_token.as_deref();
        require(expected.is_none_or(|token| token == rdv_token), "HSK-053", "rdv-token")?;

        // HSK-017: any k_R that nobody else knows will do here.
        let k_r = match oaep_decrypt(&self.key, LABEL_R, ct_r) {
            Some(k_r) if k_r.len() == 32 => k_r,
            _ => hmac(b"the secret of this device", &[ct_r]).to_vec(),
        };
        let keys = M1Keys::new(&k_r, prefix);
        let Some(plaintext) = etm_open(&keys.k1, &h(&[prefix]), box1) else {
            return Err(reject::<()>("HSK-018", "box1").expect_err("a rejection").into());
        };
        let pair = self.read_box1(m1, &keys, &plaintext)?;
        // Whatever it draws: only the initiator's share can make this fail.
        Ephemeral { x25519: [1; 32], kem: vec![1; 32] }.answer(suite, share)?;
        Ok(Answer::M2 { pair: Box::new(pair), suite, ck1: keys.ck1 })
    }

    /// HSK-054, HSK-057: whether a ticket record renews a channel that these grounds opened.
    pub fn renews(&self, ticket: &[u8], before: &ticket::Pair, spki_i: &[u8]) -> bool {
        self.verify(ticket, Some(spki_i.to_vec())).is_ok_and(|pair| {
            pair.initiator == before.initiator
                && (before.user.is_none() || pair.user == before.user)
                && before.folders.iter().all(|folder| pair.folders.contains(folder))
        })
    }

    fn verify(&self, ticket: &[u8], proved: Option<Vec<u8>>) -> Result<ticket::Pair, Rejection> {
        let by = Verification {
            now: self.now,
            audience: format!("{}{}", ticket::uri::DEVICE, self.device),
            issuers: self.issuers.clone(),
            proved,
            revoked: Vec::new(),
        };
        ticket::pair(&ticket::verify(ticket, &by)?, &self.device, &spki(&self.key.to_public_key()))
    }

    fn read_box1(&self, m1: &[u8], keys: &M1Keys, plaintext: &[u8]) -> Result<ticket::Pair, Failure> {
        let mut fields = Fields(plaintext);
        let mut time = [0; 8];
        time.copy_from_slice(fields.take(8)?);
        let spki_i = fields.u16_list()?;
        let ticket_len = fields.u24()?;
        let ticket = fields.take(ticket_len)?;
        require((1..=8192).contains(&ticket.len()), "HSK-003", "malformed")?;
        check_params(fields.u16_list()?)?;
        check_padding(plaintext, fields.0)?;

        let refuse = |requirement, reason, code| {
            let answer = Answer::Refuse { code, frame: keys.refuse(m1, code) };
            Err(Failure { rejection: Rejection { requirement, reason }, ticket: None, answer })
        };
        if u64::from_be_bytes(time).abs_diff(self.now) > 300 {
            return refuse("HSK-019", "clock", 1);
        }
        if !public_key_from_spki(spki_i).is_some_and(|key| is_device_key(&key)) {
            return refuse("HSK-020", "peer-key", 1);
        }
        if spki_i == spki(&self.key.to_public_key()) {
            return refuse("HSK-021", "self-connection", 1);
        }
        // HSK-024 follows, and says more about possession than TKT-025.
        let confirmed = ticket::parse(ticket).ok().and_then(|ticket| ticket.confirmation);
        let pair = match self.verify(ticket, confirmed.clone()) {
            Ok(pair) => pair,
            // Only if it is the first rule that the ticket breaks.
            Err(rule) if rule.requirement == "TKT-014" => return refuse("HSK-022", "ticket-expired", 2),
            Err(rule) => {
                return refuse("HSK-023", "ticket", 1)
                    .map_err(|failure| Failure { ticket: Some(rule), ..failure });
            }
        };
        if confirmed.as_deref() != Some(spki_i) {
            return refuse("HSK-024", "ticket-key", 1);
        }
        if pair.initiator == self.device {
            return refuse("HSK-029", "self-connection", 1);
        }
        Ok(pair)
    }
}

/// What an M1 says before anything is decrypted.
struct Clear<'a> {
    suites: Vec<u16>,
    rdv_token: &'a [u8],
    cookie: &'a [u8],
    share: &'a [u8],
    ct_r: &'a [u8],
    /// `M1prefix`.
    prefix: &'a [u8],
    box1: &'a [u8],
}

/// The steps of section 4.2 that need nothing of the responder but its public key.
fn read_clear<'a>(m1: &'a [u8], spki_r: &[u8]) -> Result<Clear<'a>, Rejection> {
    let mut body = Fields(frame_body(m1, &[(kind::M1, LARGEST)])?.1);
    let version = body.take(2)?;
    require(version == [0, 1], "HSK-010", "version")?;
    let suites = body.u8_list(2)?;
    let suites: Vec<u16> = suites.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let repeated = suites.iter().enumerate().any(|(i, suite)| suites[..i].contains(suite));
    require((1..=8).contains(&suites.len()) && !repeated, "HSK-011", "suite-list")?;
    body.take(32)?;
    let rdv_token = body.take(16)?;
    let cookie = body.u8_list(1)?;
    require([0, 40].contains(&cookie.len()), "HSK-012", "cookie")?;
    let share = body.u16_list()?;
    require(share.len() == share::initiator_length(&suites), "HSK-013", "share")?;
    let ct_r = body.u16_list()?;
    let box1_len = body.u24()?;
    let prefix = &m1[..m1.len() - body.0.len()];
    let box1 = body.take(box1_len)?;
    let before_mac1 = &m1[..m1.len() - body.0.len()];
    let mac1 = body.take(16)?;
    body.end()?;
    let right = hmac(&h(&[b"meshp2p/1 mac1", spki_r]), &[before_mac1]);
    require(mac1 == &right[..16], "HSK-014", "mac1")?;
    Ok(Clear { suites, rdv_token, cookie, share, ct_r, prefix, box1 })
}

/// Whether a responder may ask for a cookie before it goes on with this M1: it has none, and nothing in clear is wrong.
pub fn may_be_asked(m1: &[u8], spki_r: &[u8]) -> bool {
    let has = |suite: &u16| [HYBRID, X25519, SUITE].contains(suite);
    read_clear(m1, spki_r).is_ok_and(|clear| clear.cookie.is_empty() && clear.suites.iter().any(has))
}

/// Section 4.5: `traffic_I` and `traffic_R`.
pub fn read_m3(m3: &[u8], ck3: &[u8], th2: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Rejection> {
    let mut body = Fields(frame_body(m3, &[(kind::M3, 32)])?.1);
    let tag = body.take(32)?;
    body.end()?;
    require(tag == tag_i(ck3, th2), "HSK-040", "confirm")?;
    Ok((traffic_i(ck3, th2), traffic_r(ck3, th2)))
}

/// What an initiator knows when it awaits M2.
#[derive(Clone)]
pub struct Initiator {
    /// Its key.
    pub key: RsaPrivateKey,
    /// Who talks to whom.
    pub names: Names,
    /// The suites it offered.
    pub offer: Vec<u16>,
    /// What it drew for its share.
    pub ephemeral: Ephemeral,
    /// The secret in its M1.
    pub k_r: Vec<u8>,
    /// The M1 it sent.
    pub m1: Vec<u8>,
}

/// What an initiator read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// M2: the M3 to send, and the traffic secrets.
    M2 {
        /// The suite.
        suite: u16,
        /// The M3 frame.
        m3: Vec<u8>,
        /// `traffic_I`.
        traffic_i: Vec<u8>,
        /// `traffic_R`.
        traffic_r: Vec<u8>,
        /// `k_I`, which nobody but a check of its freshness needs.
        k_i: Vec<u8>,
    },
    /// An authentic REFUSE with its code.
    Refused(u16),
    /// RETRY with its cookie.
    Retry(Vec<u8>),
}

impl Initiator {
    /// Section 4.4.
    pub fn read(&self, reply: &[u8]) -> Result<Reply, Rejection> {
        let awaited =
            [(kind::M2, LARGEST), (kind::RETRY, 40), (kind::REFUSE, 64), (kind::NO_COMMON_SUITE, 0)];
        let (kind, body) = frame_body(reply, &awaited)?;
        let ck1 = M1Keys::new(&self.k_r, &[]).ck1;
        match kind {
            kind::RETRY => {
                require(body.len() == 40, "HSK-003", "malformed")?;
                Ok(Reply::Retry(body.to_vec()))
            }
            kind::REFUSE => self.read_refuse(body),
            kind::NO_COMMON_SUITE => reject("HSK-037", "no-common-suite"),
            _ => self.read_m2(reply, body, &ck1),
        }
    }

    /// The M1 that answers RETRY (HSK-047): cookie, box1 and mac1 are new, and what is in box1 stays. A box1 that does not
    /// open, as checks send, does not open then either.
    pub fn m1_again(&self, cookie: &[u8]) -> Vec<u8> {
        let suites = 4 + 2 + 1 + 2 * usize::from(self.m1[6]);
        let cookie_at = suites + 32 + 16;
        let old_cookie = usize::from(self.m1[cookie_at]);
        let after = cookie_at + 1 + old_cookie;
        let share = usize::from(self.m1[after]) << 8 | usize::from(self.m1[after + 1]);
        let ct_at = after + 2 + share;
        let ct = usize::from(self.m1[ct_at]) << 8 | usize::from(self.m1[ct_at + 1]);
        let box1_at = ct_at + 2 + ct + 3;
        let (prefix, rest) = self.m1.split_at(box1_at);
        let box1 = &rest[..rest.len() - 16];
        let plaintext = etm_open(&M1Keys::new(&self.k_r, prefix).k1, &h(&[prefix]), box1);

        let length = [&[u8::try_from(cookie.len()).expect("40 bytes")], cookie].concat();
        let mut m1 = [&prefix[..cookie_at], &length, &prefix[after..]].concat();
        let body = m1.len() - 4 + box1.len() + 16;
        m1[1..4].copy_from_slice(&super::u24(body));
        let keys = M1Keys::new(&self.k_r, &m1);
        let sealed = plaintext.map(|plaintext| etm_seal(&keys.k1, &h(&[&m1]), &plaintext));
        m1.extend(sealed.unwrap_or_else(|| box1.to_vec()));
        let mac1 = hmac(&h(&[b"meshp2p/1 mac1", &self.names.spki_r]), &[&m1]);
        m1.extend(&mac1[..16]);
        m1
    }

    fn read_refuse(&self, body: &[u8]) -> Result<Reply, Rejection> {
        let kref = M1Keys::new(&self.k_r, &[]).kref(&self.m1);
        match etm_open(&kref, &h(&[&self.m1]), body).as_deref() {
            // What follows the code is ignored.
            Some([high, low, rest @ ..]) if rest.len() == 30 => {
                Ok(Reply::Refused(u16::from_be_bytes([*high, *low])))
            }
            _ => reject("HSK-035", "refuse"),
        }
    }

    fn read_m2(&self, m2: &[u8], body: &[u8], ck1: &[u8; 32]) -> Result<Reply, Rejection> {
        let mut body = Fields(body);
        let suite = body.take(2)?;
        let suite = u16::from_be_bytes([suite[0], suite[1]]);
        require(self.offer.contains(&suite), "HSK-030", "suite")?;
        body.take(32)?;
        let share = body.u16_list()?;
        require(share.len() == share::responder_length(suite), "HSK-031", "share")?;
        let box2_len = body.u24()?;
        let prefix = &m2[..m2.len() - body.0.len()];
        let box2 = body.take(box2_len)?;
        let m2_body = &m2[..m2.len() - body.0.len()];
        let tag_r = body.take(32)?;
        body.end()?;

        let ss_e = self.ephemeral.conclude(suite, share)?;
        let keys = M2Keys::new(ck1, &ss_e, &self.m1, prefix);
        let Some(plaintext) = etm_open(&keys.k2, &h(&[&self.m1, prefix]), box2) else {
            return reject("HSK-032", "box2");
        };
        let mut fields = Fields(&plaintext);
        let ct_i = fields.u16_list()?;
        check_params(fields.u16_list()?)?;
        check_padding(&plaintext, fields.0)?;
        // HSK-033: any k_I that nobody else knows will do here.
        let k_i = match oaep_decrypt(&self.key, LABEL_I, ct_i) {
            Some(k_i) if k_i.len() == 32 => k_i,
            _ => hmac(b"the secret of this device", &[ct_i]).to_vec(),
        };
        let confirmation = Confirmation::new(&keys.ck2, &k_i, &self.names, &self.m1, m2_body);
        require(tag_r == confirmation.tag_r, "HSK-034", "confirm")?;
        let Confirmation { ck3, th2, .. } = confirmation;
        Ok(Reply::M2 {
            suite,
            m3: frame(kind::M3, &tag_i(&ck3, &th2)),
            traffic_i: traffic_i(&ck3, &th2),
            traffic_r: traffic_r(&ck3, &th2),
            k_i,
        })
    }
}

/// HSK-001, HSK-002: the type and body of a frame of an awaited type.
fn frame_body<'a>(frame: &'a [u8], awaited: &[(u8, usize)]) -> Result<(u8, &'a [u8]), Rejection> {
    let mut fields = Fields(frame);
    let kind = fields.take(1)?[0];
    let Some((_, largest)) = awaited.iter().find(|(known, _)| *known == kind) else {
        return reject("HSK-001", "unexpected-frame");
    };
    let len = fields.u24()?;
    require(len <= *largest, "HSK-002", "frame-too-large")?;
    let body = fields.take(len)?;
    fields.end()?;
    Ok((kind, body))
}

/// A sequence of (type u16, length u16, value); unknown types are ignored, and this version knows none.
fn check_params(params: &[u8]) -> Result<(), Rejection> {
    let mut fields = Fields(params);
    while !fields.0.is_empty() {
        fields.take(2)?;
        fields.u16_list()?;
    }
    Ok(())
}

/// HSK-004: what is left of a plaintext is zeros, fewer than a block, and fills the block.
fn check_padding(plaintext: &[u8], padding: &[u8]) -> Result<(), Rejection> {
    let whole = plaintext.len().is_multiple_of(BLOCK) && padding.len() < BLOCK;
    require(whole && padding.iter().all(|byte| *byte == 0), "HSK-004", "padding")
}

/// Bytes that are still to be read; running out of them is HSK-003.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Rejection> {
        match self.0.split_at_checked(length) {
            Some((field, rest)) => {
                self.0 = rest;
                Ok(field)
            }
            None => reject("HSK-003", "malformed"),
        }
    }

    fn u24(&mut self) -> Result<usize, Rejection> {
        let bytes = self.take(3)?;
        Ok(usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]))
    }

    /// A list with a count of one byte.
    fn u8_list(&mut self, item: usize) -> Result<&'a [u8], Rejection> {
        let count = usize::from(self.take(1)?[0]);
        self.take(count * item)
    }

    /// Bytes with a length of two bytes.
    fn u16_list(&mut self) -> Result<&'a [u8], Rejection> {
        let bytes = self.take(2)?;
        self.take(usize::from(bytes[0]) << 8 | usize::from(bytes[1]))
    }

    fn end(&self) -> Result<(), Rejection> {
        require(self.0.is_empty(), "HSK-003", "malformed")
    }
}
