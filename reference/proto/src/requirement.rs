//! The requirements of `spec/` that end in an error, the duties that a mutant can neglect (error `none`), and the one
//! function through which every rejection goes.

use crate::error::Error;

/// One numbered sentence of the specification. Small, for it is part of every error.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Requirement(&'static Definition);

/// What is known about a [`Requirement`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Definition {
    /// The id in `spec/`, such as `TKT-014`.
    pub id: &'static str,
    /// The error's name in `spec/`, such as `ticket-expired`.
    pub error: &'static str,
    /// Whose fault a violation is.
    pub blame: Blame,
}

impl core::ops::Deref for Requirement {
    type Target = Definition;

    fn deref(&self) -> &Definition {
        self.0
    }
}

impl core::fmt::Debug for Requirement {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.id)
    }
}

/// Whose fault a violation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The bytes are no message.
    Message,
    /// The message is one that the peer must not send here.
    Peer,
}

impl From<Requirement> for Error {
    fn from(requirement: Requirement) -> Self {
        match requirement.blame {
            Blame::Message => Self::InvalidMessage(requirement),
            Blame::Peer => Self::PeerMisbehaved(requirement),
        }
    }
}

/// Rejects with `requirement` unless the condition `holds`.
///
/// Every rejection that the spec demands goes through here, or through [`demand_some`]: so each one is named, and so a
/// kit can leave out exactly one, or turn it against what is right (feature `mutants`), and see that its checks notice.
#[inline]
pub fn demand(holds: bool, requirement: Requirement) -> Result<(), Error> {
    if holds && !refuses(requirement) || deviates(requirement) { Ok(()) } else { Err(requirement.into()) }
}

/// As [`demand`], for a value that has to be there. `lax` is what an implementation without the requirement would use.
#[inline]
pub fn demand_some<T>(
    value: Option<T>,
    requirement: Requirement,
    lax: impl FnOnce() -> T,
) -> Result<T, Error> {
    match value.filter(|_| !refuses(requirement)) {
        Some(value) => Ok(value),
        None if deviates(requirement) => Ok(lax()),
        None => Err(requirement.into()),
    }
}

/// Whether this build was told to ignore `requirement`. Always `false` without the feature `mutants`.
#[inline]
#[cfg(not(feature = "mutants"))]
pub fn deviates(_: Requirement) -> bool {
    false
}

/// Whether this build was told to refuse what keeps `requirement`. Always `false` without the feature `mutants`.
#[inline]
#[cfg(not(feature = "mutants"))]
pub fn refuses(_: Requirement) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use mutants::{Fault, Rules, deviates, garbles, leaks, plant, refuses};

/// The switch behind the kill matrix. It is a function call, never configuration: no service can be told to use it.
#[cfg(feature = "mutants")]
mod mutants {
    use core::fmt;
    use core::sync::atomic::{AtomicUsize, Ordering};

    use super::{ALL, Requirement, by_id};

    const NONE: usize = usize::MAX;
    const GARBLED: usize = NONE - 1;
    const LEAKY: usize = NONE - 2;
    const WITHOUT: usize = 0;
    const AGAINST: usize = 1;
    /// Twice the place of the rules, plus the direction.
    static PLANTED: AtomicUsize = AtomicUsize::new(NONE);

    /// Something wrong with an implementation.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Fault {
        /// It leaves rules out.
        Without(Rules),
        /// It refuses what keeps the rules, as if it broke them.
        Against(Rules),
        /// It does what it should, and gives back something else than what came out.
        Garbled,
        /// Its RSA decryption takes longer when it fails, for `meshproof timing`; no check can see it.
        Leaky,
    }

    /// The rules that a fault is about.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Rules {
        /// This one.
        One(Requirement),
        /// Those of a part that end in an error, by the prefix of their ids: `TKT`.
        Part(&'static str),
        /// All that end in an error.
        All,
    }

    impl Rules {
        /// The prefixes of ids, a part each.
        pub const PARTS: [&'static str; 8] = ["TKT", "IDN", "GPH", "STO", "HSK", "REC", "RLY", "SYN"];

        fn place(self) -> Option<usize> {
            match self {
                Self::One(requirement) => ALL.iter().position(|one| *one == requirement),
                Self::Part(prefix) => {
                    Self::PARTS.iter().position(|part| *part == prefix).map(|part| ALL.len() + part)
                }
                Self::All => Some(ALL.len() + Self::PARTS.len()),
            }
        }

        fn at(place: usize, requirement: Requirement) -> bool {
            if let Some(one) = ALL.get(place) {
                return *one == requirement;
            }
            let part = Self::PARTS.get(place - ALL.len());
            requirement.error != "none" && part.is_none_or(|part| requirement.id.starts_with(part))
        }
    }

    impl Fault {
        /// By its name: `TKT-014`, `against:TKT-014`, `TKT`, `against:all`.
        pub fn by_name(name: &str) -> Option<Self> {
            if name == "output" {
                return Some(Self::Garbled);
            }
            let (against, rules) = name.strip_prefix("against:").map_or((false, name), |rules| (true, rules));
            let part = || Rules::PARTS.into_iter().find(|part| *part == rules).map(Rules::Part);
            let all = || (rules == "all").then_some(Rules::All);
            let rules = by_id(rules).map(Rules::One).or_else(part).or_else(all)?;
            Some(if against { Self::Against(rules) } else { Self::Without(rules) })
        }

        /// The rules that it is about.
        pub fn rules(self) -> Rules {
            match self {
                Self::Without(rules) | Self::Against(rules) => rules,
                Self::Garbled | Self::Leaky => Rules::All,
            }
        }
    }

    impl fmt::Display for Rules {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(match self {
                Self::One(requirement) => requirement.id,
                Self::Part(prefix) => prefix,
                Self::All => "all",
            })
        }
    }

    /// The name that [`Fault::by_name`] knows.
    impl fmt::Display for Fault {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Without(rules) => rules.fmt(f),
                Self::Against(rules) => write!(f, "against:{rules}"),
                Self::Garbled => f.write_str("output"),
                Self::Leaky => f.write_str("leak"),
            }
        }
    }

    /// Plants a fault in the whole process, or takes it out.
    pub fn plant(fault: Option<Fault>) {
        let code = fault.and_then(|fault| match fault {
            Fault::Without(rules) => Some(2 * rules.place()? + WITHOUT),
            Fault::Against(rules) => Some(2 * rules.place()? + AGAINST),
            Fault::Garbled => Some(GARBLED),
            Fault::Leaky => Some(LEAKY),
        });
        PLANTED.store(code.unwrap_or(NONE), Ordering::SeqCst);
    }

    /// Whether this build was told to ignore `requirement`.
    #[inline]
    pub fn deviates(requirement: Requirement) -> bool {
        is_planted(WITHOUT, requirement)
    }

    /// Whether this build was told to refuse what keeps `requirement`.
    #[inline]
    pub fn refuses(requirement: Requirement) -> bool {
        is_planted(AGAINST, requirement)
    }

    /// Whether this build was told to give back something else than what came out.
    pub fn garbles() -> bool {
        PLANTED.load(Ordering::Relaxed) == GARBLED
    }

    /// Whether this build was told to take longer over a decryption that fails.
    pub fn leaks() -> bool {
        PLANTED.load(Ordering::Relaxed) == LEAKY
    }

    #[inline]
    fn is_planted(direction: usize, requirement: Requirement) -> bool {
        let code = PLANTED.load(Ordering::Relaxed);
        code < LEAKY && code % 2 == direction && Rules::at(code / 2, requirement)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// One test, for the switch is one for the process, and other tests of this crate run beside it: nothing is planted.
        #[test]
        fn faults_have_names() {
            for name in ["TKT-014", "against:HSK-014", "SYN", "against:all", "all", "output"] {
                assert_eq!(
                    Fault::by_name(name).map(|fault| alloc::format!("{fault}")).as_deref(),
                    Some(name)
                );
            }
            for name in ["TKT-999", "against:", "without:TKT-014", "tkt"] {
                assert_eq!(Fault::by_name(name), None, "{name}");
            }
            let place = |rules: Rules| rules.place().unwrap_or(NONE);
            let (digest, silent) = (crate::requirement::TKT_020, crate::requirement::TKT_002);
            assert!(
                Rules::at(place(Rules::One(digest)), digest) && !Rules::at(place(Rules::One(silent)), digest)
            );
            assert!(
                Rules::at(place(Rules::Part("TKT")), digest) && !Rules::at(place(Rules::Part("SYN")), digest)
            );
            assert!(Rules::at(place(Rules::All), digest) && !Rules::at(place(Rules::All), silent));
        }
    }
}

/// Looks a requirement up by its id.
pub fn by_id(id: &str) -> Option<Requirement> {
    ALL.iter().copied().find(|r| r.id == id)
}

macro_rules! requirements {
    ($($name:ident = $id:literal, $error:literal, $blame:ident;)*) => {
        $(
            #[doc = concat!("`", $error, "`")]
            pub const $name: Requirement =
                Requirement(&Definition { id: $id, error: $error, blame: Blame::$blame });
        )*
        /// Every requirement of this table, in the order of the documents.
        pub const ALL: &[Requirement] = &[$($name),*];
    };
}

requirements! {
    // spec/ticket.md
    TKT_001 = "TKT-001", "none", Peer;
    TKT_002 = "TKT-002", "none", Peer;
    TKT_003 = "TKT-003", "ticket-encoding", Message;
    TKT_004 = "TKT-004", "ticket-too-large", Message;
    TKT_005 = "TKT-005", "ticket-bytes", Message;
    TKT_006 = "TKT-006", "ticket-syntax", Message;
    TKT_007 = "TKT-007", "ticket-id", Message;
    TKT_008 = "TKT-008", "ticket-time-syntax", Message;
    TKT_009 = "TKT-009", "ticket-reference", Message;
    TKT_010 = "TKT-010", "ticket-algorithm", Message;
    TKT_011 = "TKT-011", "ticket-subject", Message;
    TKT_012 = "TKT-012", "ticket-confirmation-key", Message;
    TKT_013 = "TKT-013", "ticket-decision", Message;
    TKT_015 = "TKT-015", "ticket-action", Message;
    TKT_016 = "TKT-016", "ticket-attribute-repeated", Message;
    TKT_017 = "TKT-017", "ticket-attribute", Message;
    TKT_036 = "TKT-036", "ticket-attribute-ambiguous", Message;
    TKT_018 = "TKT-018", "ticket-empty", Message;
    TKT_019 = "TKT-019", "ticket-issuer", Peer;
    TKT_020 = "TKT-020", "ticket-digest", Peer;
    TKT_021 = "TKT-021", "ticket-signature", Peer;
    TKT_022 = "TKT-022", "ticket-not-yet-valid", Peer;
    TKT_014 = "TKT-014", "ticket-expired", Peer;
    TKT_023 = "TKT-023", "ticket-lifetime", Peer;
    TKT_024 = "TKT-024", "ticket-audience", Peer;
    TKT_025 = "TKT-025", "ticket-possession", Peer;
    TKT_026 = "TKT-026", "ticket-revoked", Peer;
    TKT_027 = "TKT-027", "ticket-set", Peer;
    TKT_028 = "TKT-028", "none", Peer;
    TKT_029 = "TKT-029", "ticket-set-subject", Peer;
    TKT_035 = "TKT-035", "action-not-permitted", Peer;
    TKT_030 = "TKT-030", "action-denied", Peer;
    TKT_031 = "TKT-031", "ticket-rejected", Peer;
    TKT_032 = "TKT-032", "pair-unrelated", Peer;
    TKT_033 = "TKT-033", "pair-responder-key", Peer;
    TKT_034 = "TKT-034", "pair-bearer", Peer;

    // spec/identity.md
    IDN_001 = "IDN-001", "none", Peer;
    IDN_002 = "IDN-002", "sign-in-failed", Peer;
    IDN_003 = "IDN-003", "password-unacceptable", Peer;
    IDN_004 = "IDN-004", "name-unacceptable", Peer;
    IDN_005 = "IDN-005", "name-taken", Peer;
    IDN_007 = "IDN-007", "token-rejected", Peer;
    IDN_008 = "IDN-008", "none", Peer;
    IDN_009 = "IDN-009", "none", Peer;
    IDN_010 = "IDN-010", "device-proof-failed", Peer;
    IDN_011 = "IDN-011", "device-proof-failed", Peer;
    IDN_012 = "IDN-012", "device-proof-failed", Peer;
    IDN_013 = "IDN-013", "device-proof-failed", Peer;
    IDN_014 = "IDN-014", "none", Peer;
    IDN_015 = "IDN-015", "device-proof-failed", Peer;
    IDN_016 = "IDN-016", "device-proof-failed", Peer;
    IDN_017 = "IDN-017", "device-proof-failed", Peer;
    IDN_018 = "IDN-018", "too-many-attempts", Peer;
    IDN_019 = "IDN-019", "none", Peer;
    IDN_020 = "IDN-020", "too-many-attempts", Peer;
    IDN_021 = "IDN-021", "too-many-attempts", Peer;
    IDN_022 = "IDN-022", "too-many-attempts", Peer;
    IDN_023 = "IDN-023", "too-many-attempts", Peer;
    IDN_026 = "IDN-026", "none", Peer;
    IDN_027 = "IDN-027", "token-rejected", Peer;
    IDN_028 = "IDN-028", "token-rejected", Peer;
    IDN_029 = "IDN-029", "sign-in-failed", Peer;
    IDN_030 = "IDN-030", "token-rejected", Peer;
    IDN_031 = "IDN-031", "none", Peer;
    IDN_032 = "IDN-032", "token-rejected", Peer;
    IDN_033 = "IDN-033", "no-such-session", Peer;
    IDN_034 = "IDN-034", "password-unacceptable", Peer;
    IDN_035 = "IDN-035", "none", Peer;
    IDN_036 = "IDN-036", "no-such-provider", Peer;
    IDN_037 = "IDN-037", "federated-sign-in-failed", Peer;
    IDN_038 = "IDN-038", "federated-sign-in-failed", Peer;
    IDN_039 = "IDN-039", "federated-sign-in-failed", Peer;
    IDN_040 = "IDN-040", "federated-sign-in-failed", Peer;
    IDN_041 = "IDN-041", "federated-sign-in-failed", Peer;
    IDN_045 = "IDN-045", "identity-linked", Peer;
    IDN_046 = "IDN-046", "return-unacceptable", Peer;
    IDN_048 = "IDN-048", "none", Peer;
    IDN_049 = "IDN-049", "passkey-failed", Peer;
    IDN_050 = "IDN-050", "passkey-failed", Peer;
    IDN_051 = "IDN-051", "passkey-failed", Peer;
    IDN_052 = "IDN-052", "passkey-failed", Peer;
    IDN_053 = "IDN-053", "passkey-failed", Peer;
    IDN_054 = "IDN-054", "passkey-failed", Peer;
    IDN_055 = "IDN-055", "passkey-failed", Peer;
    IDN_056 = "IDN-056", "passkey-unacceptable", Peer;
    IDN_057 = "IDN-057", "passkey-failed", Peer;
    IDN_058 = "IDN-058", "last-sign-in", Peer;
    IDN_059 = "IDN-059", "no-such-passkey", Peer;
    IDN_060 = "IDN-060", "none", Peer;
    IDN_064 = "IDN-064", "token-rejected", Peer;
    IDN_066 = "IDN-066", "none", Peer;
    IDN_067 = "IDN-067", "too-many-attempts", Peer;
    IDN_068 = "IDN-068", "too-many-attempts", Peer;
    IDN_070 = "IDN-070", "none", Peer;
    IDN_071 = "IDN-071", "none", Peer;
    IDN_072 = "IDN-072", "code-rejected", Peer;
    IDN_073 = "IDN-073", "no-such-code", Peer;
    IDN_074 = "IDN-074", "code-rejected", Peer;
    IDN_075 = "IDN-075", "none", Peer;
    IDN_076 = "IDN-076", "no-such-identity", Peer;
    IDN_077 = "IDN-077", "federated-sign-in-failed", Peer;

    // spec/graph.md
    GPH_001 = "GPH-001", "tickets-required", Peer;
    GPH_002 = "GPH-002", "not-authorised", Peer;
    GPH_003 = "GPH-003", "not-authorised", Peer;
    GPH_004 = "GPH-004", "no-such-node", Peer;
    GPH_005 = "GPH-005", "method-not-allowed", Peer;
    GPH_006 = "GPH-006", "body-unacceptable", Message;
    GPH_007 = "GPH-007", "body-too-large", Message;
    GPH_008 = "GPH-008", "none", Peer;
    GPH_009 = "GPH-009", "none", Peer;
    GPH_010 = "GPH-010", "none", Peer;
    GPH_011 = "GPH-011", "none", Peer;
    GPH_012 = "GPH-012", "if-match-required", Peer;
    GPH_013 = "GPH-013", "etag-mismatch", Peer;
    GPH_014 = "GPH-014", "not-authorised", Peer;
    GPH_015 = "GPH-015", "not-authorised", Peer;
    GPH_016 = "GPH-016", "not-authorised", Peer;
    GPH_017 = "GPH-017", "not-authorised", Peer;
    GPH_019 = "GPH-019", "not-authorised", Peer;
    GPH_020 = "GPH-020", "none", Peer;
    GPH_022 = "GPH-022", "none", Peer;
    GPH_023 = "GPH-023", "already-member", Peer;
    GPH_030 = "GPH-030", "device-key-unacceptable", Peer;
    GPH_031 = "GPH-031", "device-key-in-use", Peer;
    GPH_032 = "GPH-032", "device-pending", Peer;
    GPH_033 = "GPH-033", "device-proof-failed", Peer;
    GPH_034 = "GPH-034", "pair-refused", Peer;
    GPH_035 = "GPH-035", "not-authorised", Peer;
    GPH_040 = "GPH-040", "pair-refused", Peer;
    GPH_041 = "GPH-041", "not-authorised", Peer;
    GPH_042 = "GPH-042", "none", Peer;
    GPH_043 = "GPH-043", "not-authorised", Peer;
    GPH_050 = "GPH-050", "path-unacceptable", Peer;
    GPH_051 = "GPH-051", "entry-deleted", Peer;
    GPH_052 = "GPH-052", "none", Peer;
    GPH_053 = "GPH-053", "none", Peer;
    GPH_060 = "GPH-060", "none", Peer;
    GPH_061 = "GPH-061", "watermark-unknown", Peer;
    GPH_062 = "GPH-062", "none", Peer;
    GPH_063 = "GPH-063", "none", Peer;
    GPH_064 = "GPH-064", "none", Peer;
    GPH_065 = "GPH-065", "none", Peer;
    GPH_066 = "GPH-066", "query-unacceptable", Message;
    GPH_067 = "GPH-067", "none", Peer;
    GPH_068 = "GPH-068", "none", Peer;
    GPH_070 = "GPH-070", "not-subscribable", Peer;
    GPH_071 = "GPH-071", "queue-gone", Peer;
    GPH_072 = "GPH-072", "none", Peer;
    GPH_073 = "GPH-073", "none", Peer;
    GPH_075 = "GPH-075", "none", Peer;
    GPH_076 = "GPH-076", "too-many-subscriptions", Peer;
    GPH_077 = "GPH-077", "none", Peer;
    GPH_079 = "GPH-079", "none", Peer;
    GPH_080 = "GPH-080", "none", Peer;
    GPH_081 = "GPH-081", "none", Peer;
    GPH_082 = "GPH-082", "none", Peer;
    GPH_085 = "GPH-085", "none", Peer;
    GPH_086 = "GPH-086", "none", Peer;
    GPH_087 = "GPH-087", "none", Peer;
    GPH_088 = "GPH-088", "already-invited", Peer;
    GPH_089 = "GPH-089", "no-such-node", Peer;
    GPH_090 = "GPH-090", "no-such-node", Peer;
    GPH_091 = "GPH-091", "too-many-invitations", Peer;
    GPH_092 = "GPH-092", "no-such-node", Peer;
    GPH_093 = "GPH-093", "too-many-contacts", Peer;
    GPH_094 = "GPH-094", "not-authorised", Peer;
    GPH_095 = "GPH-095", "none", Peer;
    GPH_097 = "GPH-097", "batch-too-large", Message;
    GPH_098 = "GPH-098", "batch-full", Peer;
    GPH_099 = "GPH-099", "not-in-batch", Peer;
    GPH_100 = "GPH-100", "none", Peer;
    GPH_101 = "GPH-101", "batch-stopped", Peer;
    GPH_102 = "GPH-102", "none", Peer;
    GPH_103 = "GPH-103", "none", Peer;
    GPH_104 = "GPH-104", "none", Peer;
    GPH_105 = "GPH-105", "none", Peer;
    GPH_120 = "GPH-120", "pair-refused", Peer;
    GPH_121 = "GPH-121", "none", Peer;
    GPH_122 = "GPH-122", "none", Peer;
    GPH_123 = "GPH-123", "not-authorised", Peer;
    GPH_124 = "GPH-124", "not-authorised", Peer;
    GPH_125 = "GPH-125", "relay-unknown", Peer;
    GPH_126 = "GPH-126", "none", Peer;
    GPH_127 = "GPH-127", "none", Peer;
    GPH_130 = "GPH-130", "creator-stays", Peer;
    GPH_131 = "GPH-131", "creator-stays", Peer;
    GPH_132 = "GPH-132", "too-many-entries", Peer;
    GPH_133 = "GPH-133", "metadata-full", Peer;
    GPH_134 = "GPH-134", "too-many-folders", Peer;
    GPH_135 = "GPH-135", "none", Peer;
    GPH_137 = "GPH-137", "too-many-devices", Peer;
    GPH_150 = "GPH-150", "signing-key-unproven", Peer;
    GPH_152 = "GPH-152", "none", Peer;
    GPH_180 = "GPH-180", "none", Peer;
    GPH_181 = "GPH-181", "none", Peer;
    GPH_182 = "GPH-182", "not-authorised", Peer;
    GPH_183 = "GPH-183", "folder-is-p2p", Peer;
    GPH_140 = "GPH-140", "none", Peer;
    GPH_141 = "GPH-141", "none", Peer;
    GPH_142 = "GPH-142", "too-many-attempts", Peer;
    GPH_170 = "GPH-170", "none", Peer;
    GPH_171 = "GPH-171", "none", Peer;
    GPH_172 = "GPH-172", "none", Peer;
    GPH_173 = "GPH-173", "none", Peer;
    GPH_174 = "GPH-174", "none", Peer;
    GPH_175 = "GPH-175", "none", Peer;
    GPH_176 = "GPH-176", "none", Peer;
    GPH_177 = "GPH-177", "none", Peer;
    GPH_178 = "GPH-178", "none", Peer;
    GPH_179 = "GPH-179", "none", Peer;
    GPH_200 = "GPH-200", "none", Peer;
    GPH_201 = "GPH-201", "folder-key-unsigned", Peer;
    GPH_202 = "GPH-202", "folder-key-generation", Peer;
    GPH_203 = "GPH-203", "folder-encrypted", Peer;
    GPH_204 = "GPH-204", "none", Peer;
    GPH_205 = "GPH-205", "not-authorised", Peer;
    GPH_206 = "GPH-206", "none", Peer;
    GPH_207 = "GPH-207", "none", Peer;
    GPH_208 = "GPH-208", "folder-encrypted", Peer;
    GPH_210 = "GPH-210", "too-many-writers", Peer;
    GPH_211 = "GPH-211", "too-many-writers", Peer;
    GPH_220 = "GPH-220", "none", Peer;
    GPH_221 = "GPH-221", "none", Peer;

    // spec/storage.md
    STO_001 = "STO-001", "media-hash-mismatch", Peer;
    STO_002 = "STO-002", "quota-exceeded", Peer;
    STO_003 = "STO-003", "folder-is-p2p", Peer;
    STO_004 = "STO-004", "none", Peer;
    STO_005 = "STO-005", "no-such-media", Peer;
    STO_007 = "STO-007", "not-authorised", Peer;
    STO_008 = "STO-008", "none", Peer;
    STO_009 = "STO-009", "range-not-satisfiable", Peer;
    STO_010 = "STO-010", "none", Peer;
    STO_011 = "STO-011", "none", Peer;
    STO_012 = "STO-012", "none", Peer;
    STO_014 = "STO-014", "none", Peer;
    STO_015 = "STO-015", "upload-offset-mismatch", Peer;
    STO_016 = "STO-016", "none", Peer;
    STO_017 = "STO-017", "upload-too-long", Peer;
    STO_018 = "STO-018", "media-hash-mismatch", Peer;
    STO_019 = "STO-019", "none", Peer;
    STO_020 = "STO-020", "quota-exceeded", Peer;
    STO_021 = "STO-021", "quota-exceeded", Peer;
    STO_022 = "STO-022", "too-many-uploads", Peer;
    STO_023 = "STO-023", "none", Peer;
    STO_024 = "STO-024", "no-such-upload", Peer;
    STO_027 = "STO-027", "upload-too-slow", Peer;
    STO_028 = "STO-028", "folder-is-p2p", Peer;
    STO_030 = "STO-030", "none", Peer;
    STO_031 = "STO-031", "none", Peer;
    STO_032 = "STO-032", "none", Peer;
    STO_033 = "STO-033", "none", Peer;
    STO_034 = "STO-034", "none", Peer;
    STO_035 = "STO-035", "none", Peer;
    STO_036 = "STO-036", "none", Peer;
    STO_038 = "STO-038", "media-in-use", Peer;
    STO_040 = "STO-040", "none", Peer;
    STO_041 = "STO-041", "none", Peer;
    STO_050 = "STO-050", "none", Peer;
    STO_051 = "STO-051", "none", Peer;
    STO_052 = "STO-052", "content-hash", Peer;
    STO_060 = "STO-060", "sealed-malformed", Message;
    STO_061 = "STO-061", "sealed-forged", Peer;
    STO_062 = "STO-062", "sealed-cut", Peer;
    STO_063 = "STO-063", "sealed-padding", Message;
    STO_064 = "STO-064", "sealed-generation", Peer;
    STO_065 = "STO-065", "none", Peer;
    STO_066 = "STO-066", "none", Peer;
    STO_067 = "STO-067", "sealed-entry", Message;
    STO_068 = "STO-068", "none", Peer;
    STO_070 = "STO-070", "folder-key-malformed", Message;
    STO_071 = "STO-071", "folder-key-unsigned", Peer;
    STO_072 = "STO-072", "folder-key-wrap", Peer;
    STO_073 = "STO-073", "folder-key-check", Peer;
    STO_074 = "STO-074", "folder-key-stale", Peer;
    STO_075 = "STO-075", "folder-key-foreign", Peer;
    STO_076 = "STO-076", "folder-key-recovery", Peer;
    STO_080 = "STO-080", "media-not-sealed", Peer;
    STO_081 = "STO-081", "none", Peer;

    // spec/handshake.md
    HSK_001 = "HSK-001", "unexpected-frame", Peer;
    HSK_002 = "HSK-002", "frame-too-large", Message;
    HSK_003 = "HSK-003", "malformed", Message;
    HSK_004 = "HSK-004", "padding", Message;
    HSK_005 = "HSK-005", "deadline", Peer;
    HSK_006 = "HSK-006", "none", Peer;
    HSK_010 = "HSK-010", "version", Message;
    HSK_011 = "HSK-011", "suite-list", Message;
    HSK_012 = "HSK-012", "cookie", Message;
    HSK_013 = "HSK-013", "share", Message;
    HSK_014 = "HSK-014", "mac1", Peer;
    HSK_015 = "HSK-015", "no-common-suite", Peer;
    HSK_016 = "HSK-016", "none", Peer;
    HSK_017 = "HSK-017", "box1", Peer;
    HSK_018 = "HSK-018", "box1", Peer;
    HSK_019 = "HSK-019", "clock", Peer;
    HSK_020 = "HSK-020", "peer-key", Message;
    HSK_021 = "HSK-021", "self-connection", Peer;
    HSK_022 = "HSK-022", "ticket-expired", Peer;
    HSK_023 = "HSK-023", "ticket", Peer;
    HSK_024 = "HSK-024", "ticket-key", Peer;
    HSK_025 = "HSK-025", "none", Peer;
    HSK_029 = "HSK-029", "self-connection", Peer;
    HSK_030 = "HSK-030", "suite", Peer;
    HSK_031 = "HSK-031", "share", Message;
    HSK_032 = "HSK-032", "box2", Peer;
    HSK_033 = "HSK-033", "confirm", Peer;
    HSK_034 = "HSK-034", "confirm", Peer;
    HSK_035 = "HSK-035", "refuse", Peer;
    HSK_036 = "HSK-036", "none", Peer;
    HSK_037 = "HSK-037", "no-common-suite", Peer;
    HSK_038 = "HSK-038", "none", Peer;
    HSK_039 = "HSK-039", "ticket", Peer;
    HSK_040 = "HSK-040", "confirm", Peer;
    HSK_041 = "HSK-041", "none", Peer;
    HSK_042 = "HSK-042", "ticket-ended", Peer;
    HSK_043 = "HSK-043", "share", Peer;
    HSK_044 = "HSK-044", "share", Message;
    HSK_045 = "HSK-045", "suite-remembered", Peer;
    HSK_046 = "HSK-046", "none", Peer;
    HSK_047 = "HSK-047", "none", Peer;
    HSK_048 = "HSK-048", "unexpected-frame", Peer;
    HSK_050 = "HSK-050", "cookie-unknown", Peer;
    HSK_051 = "HSK-051", "replay", Peer;
    HSK_052 = "HSK-052", "busy", Peer;
    HSK_053 = "HSK-053", "rdv-token", Peer;
    HSK_054 = "HSK-054", "ticket", Peer;
    HSK_056 = "HSK-056", "ticket-ended", Peer;
    HSK_057 = "HSK-057", "ticket-narrowed", Peer;
    HSK_058 = "HSK-058", "none", Peer;
    HSK_059 = "HSK-059", "none", Peer;
    HSK_060 = "HSK-060", "none", Peer;
    HSK_066 = "HSK-066", "stalled", Peer;

    // spec/record.md
    REC_002 = "REC-002", "none", Peer;
    REC_010 = "REC-010", "record-length", Message;
    REC_011 = "REC-011", "record-mac", Peer;
    REC_012 = "REC-012", "record-padding", Message;
    REC_013 = "REC-013", "record-type", Message;
    REC_014 = "REC-014", "record-content", Message;
    REC_015 = "REC-015", "record-mac", Peer;
    REC_016 = "REC-016", "truncated", Peer;
    REC_017 = "REC-017", "after-close", Peer;
    REC_018 = "REC-018", "dead", Peer;
    REC_019 = "REC-019", "silent", Peer;

    // spec/relay.md
    RLY_001 = "RLY-001", "join-malformed", Message;
    RLY_002 = "RLY-002", "join-unknown", Peer;
    RLY_003 = "RLY-003", "none", Peer;
    RLY_004 = "RLY-004", "join-taken", Peer;
    RLY_005 = "RLY-005", "none", Peer;
    RLY_006 = "RLY-006", "none", Peer;
    RLY_007 = "RLY-007", "join-expired", Peer;
    RLY_008 = "RLY-008", "relay-busy", Peer;
    RLY_009 = "RLY-009", "relay-busy", Peer;
    RLY_010 = "RLY-010", "none", Peer;
    RLY_011 = "RLY-011", "none", Peer;
    RLY_012 = "RLY-012", "none", Peer;
    RLY_013 = "RLY-013", "join-late", Peer;
    RLY_014 = "RLY-014", "join-alone", Peer;
    RLY_015 = "RLY-015", "none", Peer;
    RLY_016 = "RLY-016", "none", Peer;
    RLY_017 = "RLY-017", "relay-idle", Peer;
    RLY_018 = "RLY-018", "relay-quota", Peer;
    RLY_019 = "RLY-019", "relay-quota", Peer;
    RLY_020 = "RLY-020", "relay-draining", Peer;

    // spec/sync.md
    SYN_001 = "SYN-001", "sync-type", Message;
    SYN_002 = "SYN-002", "sync-length", Message;
    SYN_003 = "SYN-003", "sync-malformed", Message;
    SYN_004 = "SYN-004", "sync-folder", Peer;
    SYN_006 = "SYN-006", "sync-order", Message;
    SYN_007 = "SYN-007", "sync-entry", Message;
    SYN_008 = "SYN-008", "sync-version", Message;
    SYN_009 = "SYN-009", "sync-request", Message;
    SYN_010 = "SYN-010", "path-traversal", Message;
    SYN_011 = "SYN-011", "path-component", Message;
    SYN_012 = "SYN-012", "path-character", Message;
    SYN_013 = "SYN-013", "path-form", Message;
    SYN_014 = "SYN-014", "path-reserved", Message;
    SYN_015 = "SYN-015", "sync-state", Peer;
    SYN_016 = "SYN-016", "none", Peer;
    SYN_020 = "SYN-020", "none", Peer;
    SYN_021 = "SYN-021", "none", Peer;
    SYN_022 = "SYN-022", "none", Peer;
    SYN_023 = "SYN-023", "none", Peer;
    SYN_024 = "SYN-024", "sync-identity", Message;
    SYN_025 = "SYN-025", "sync-stamp", Message;
    SYN_026 = "SYN-026", "sync-contents", Message;
    SYN_028 = "SYN-028", "sync-context", Message;
    SYN_030 = "SYN-030", "content-hash", Peer;
    SYN_031 = "SYN-031", "none", Peer;
    SYN_035 = "SYN-035", "none", Peer;
    SYN_036 = "SYN-036", "none", Peer;
    SYN_037 = "SYN-037", "none", Peer;
    SYN_038 = "SYN-038", "none", Peer;
    SYN_039 = "SYN-039", "none", Peer;
    SYN_040 = "SYN-040", "none", Peer;
    SYN_041 = "SYN-041", "none", Peer;
    SYN_043 = "SYN-043", "none", Peer;
    SYN_044 = "SYN-044", "none", Peer;
    SYN_045 = "SYN-045", "none", Peer;
    SYN_046 = "SYN-046", "none", Peer;
    SYN_048 = "SYN-048", "none", Peer;
    SYN_050 = "SYN-050", "sync-proofs", Message;
    SYN_051 = "SYN-051", "change-unproven", Message;
    SYN_052 = "SYN-052", "change-forged", Peer;
    SYN_053 = "SYN-053", "none", Peer;
    SYN_054 = "SYN-054", "writer-forked", Peer;
    SYN_055 = "SYN-055", "head-forged", Peer;
    SYN_056 = "SYN-056", "none", Peer;
    SYN_057 = "SYN-057", "writer-changed", Peer;
    SYN_058 = "SYN-058", "head-forked", Peer;
    SYN_059 = "SYN-059", "none", Peer;
    SYN_060 = "SYN-060", "none", Peer;
    SYN_061 = "SYN-061", "none", Peer;
    SYN_042 = "SYN-042", "none", Peer;
    SYN_130 = "SYN-130", "none", Peer;
    SYN_131 = "SYN-131", "none", Peer;
    SYN_132 = "SYN-132", "none", Peer;
    SYN_133 = "SYN-133", "none", Peer;
    SYN_160 = "SYN-160", "none", Peer;
    SYN_161 = "SYN-161", "none", Peer;
    SYN_162 = "SYN-162", "none", Peer;
    SYN_163 = "SYN-163", "none", Peer;
    SYN_140 = "SYN-140", "none", Peer;
    SYN_151 = "SYN-151", "none", Peer;
    SYN_084 = "SYN-084", "none", Peer;
    SYN_085 = "SYN-085", "none", Peer;
    SYN_086 = "SYN-086", "cloud-forged", Peer;
    SYN_087 = "SYN-087", "cloud-rolled-back", Peer;
    SYN_088 = "SYN-088", "cloud-withholds", Peer;
    SYN_110 = "SYN-110", "none", Peer;
    SYN_111 = "SYN-111", "none", Peer;
    SYN_112 = "SYN-112", "none", Peer;
    SYN_113 = "SYN-113", "fork-forged", Peer;
    SYN_070 = "SYN-070", "sync-chunk", Message;
    SYN_071 = "SYN-071", "sync-manifest", Peer;
    SYN_072 = "SYN-072", "chunk-hash", Peer;
    SYN_073 = "SYN-073", "none", Peer;
    SYN_075 = "SYN-075", "none", Peer;
    SYN_076 = "SYN-076", "none", Peer;
    SYN_080 = "SYN-080", "none", Peer;
    SYN_081 = "SYN-081", "none", Peer;
    SYN_082 = "SYN-082", "none", Peer;
    SYN_083 = "SYN-083", "none", Peer;
}
