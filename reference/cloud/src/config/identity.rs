//! Section `[identity]`: how people sign in (`spec/identity.md`).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{PasswordCost, units};

/// Section `[identity]`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Whether people may register and sign in with a name and a password.
    pub password_sign_in: bool,
    /// Whether whoever reaches the cloud may register with a name and a password.
    pub registration: bool,
    /// Whether people may sign in with passkeys. Browsers have them for names alone: if `origin` is an
    /// address, they are for the first of `names` that is none.
    pub passkey_sign_in: bool,
    /// What a password hash costs.
    pub passwords: PasswordCost,
    /// How long a token lives at most, in seconds.
    #[serde(with = "units::seconds")]
    pub token_lifetime: u64,
    /// How long a token lives without use, in seconds (IDN-032).
    #[serde(with = "units::seconds")]
    pub token_idle: u64,
    /// How long an address from which a user signed in is known as that user's, in seconds (IDN-024).
    #[serde(with = "units::seconds")]
    pub known_source: u64,
    /// The addresses of proxies in front of this cloud, whose `X-Forwarded-For` is believed.
    pub proxies: Vec<IpAddr>,
    /// The URL under which browsers know this cloud, without path. Empty: the first name and the port.
    pub origin: String,
    /// How often one may try.
    pub limits: SignInLimits,
    /// OpenID Connect providers by which people may sign in.
    pub providers: Vec<OidcProvider>,
}

/// How often one may try (`spec/identity.md`, section 4.2).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignInLimits {
    /// Wrong passwords for one name from one address (IDN-018).
    pub failures_per_name_and_source: Limit,
    /// Wrong passwords for one name from all addresses that are not known as that user's (IDN-018).
    pub failures_per_name: Limit,
    /// Wrong passwords for any name from one address (IDN-021).
    pub failures_per_source: Limit,
    /// New users from one address (IDN-022).
    pub registrations_per_source: Limit,
    /// Challenges for one address (IDN-023).
    pub challenges_per_source: Limit,
    /// Sign-ins for one name from one address, right ones too (IDN-067).
    pub sign_ins_per_name_and_source: Limit,
    /// Requests of one user for tickets (IDN-068).
    pub tickets_per_user: Limit,
}

/// So many at once, and evenly distributed as many again in each period: `"10 in 600 s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Limit {
    /// How many at once, at least 1.
    pub burst: u64,
    /// The period in seconds.
    pub per: u64,
}

/// An OpenID Connect provider. Its client secret is no setting: `oidc-NAME.secret` in the data directory has it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcProvider {
    /// Part of paths: 1 to 32 of a-z, 0-9 and `-`. Not to be changed later, for it is in the redirect URI.
    pub name: String,
    /// The issuer's URL, exactly as the provider writes it.
    pub issuer: String,
    /// As whom the provider knows this cloud.
    pub client_id: String,
    /// The client secret, in place of the file. For tests.
    #[serde(skip)]
    pub client_secret: Option<String>,
}

impl Identity {
    /// What no single setting says: whether they make sense. The key names the setting.
    pub(super) fn check(&self, demand: &mut dyn FnMut(bool, &'static str, &str)) {
        demand(self.token_lifetime > 0, "identity.token_lifetime", "at least 1 s is needed");
        demand(self.token_idle > 0, "identity.token_idle", "at least 1 s is needed");
        let PasswordCost { memory_kib, passes, lanes } = self.passwords;
        let cost = argon2::Params::new(memory_kib, passes, lanes, None);
        demand(cost.is_ok(), "identity.passwords", "argon2 does not take this cost");
        let origin = self.origin.strip_prefix("https://");
        let bare = origin.is_some_and(|host| !host.is_empty() && !host.contains('/'));
        demand(
            self.origin.is_empty() || bare,
            "identity.origin",
            "https:// and a host, without path, is expected",
        );
        let SignInLimits {
            failures_per_name_and_source,
            failures_per_name,
            failures_per_source,
            registrations_per_source,
            challenges_per_source,
            sign_ins_per_name_and_source,
            tickets_per_user,
        } = self.limits;
        for limit in [
            failures_per_name_and_source,
            failures_per_name,
            failures_per_source,
            registrations_per_source,
            challenges_per_source,
            sign_ins_per_name_and_source,
            tickets_per_user,
        ] {
            let what = "burst is 1 to 1000000, per at least 1 s and at most 365 days";
            let fine = (1..=1_000_000).contains(&limit.burst) && (1..=365 * 86_400).contains(&limit.per);
            demand(fine, "identity.limits", what);
        }
        demand(
            cfg!(feature = "oidc") || self.providers.is_empty(),
            "identity.providers",
            "this program was built without OpenID Connect (feature `oidc`)",
        );
        for (index, provider) in self.providers.iter().enumerate() {
            let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            let name = (1..=32).contains(&provider.name.len()) && provider.name.bytes().all(letters);
            let reserved = ["password", "passkey", "code", "app-password", "identities"]
                .contains(&provider.name.as_str());
            let earlier = self.providers[..index].iter().any(|other| other.name == provider.name);
            let what = "names are 1 to 32 of a-z, 0-9 and `-`, each once, not `password` and not `passkey`";
            demand(name && !reserved && !earlier, "identity.providers", what);
            let local = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
            let issuer = provider.issuer.starts_with("https://")
                || local.iter().any(|start| {
                    let rest = provider.issuer.strip_prefix(start);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
                });
            demand(issuer, "identity.providers", "issuers are https:// URLs, or http:// on this machine");
        }
    }
}

impl Limit {
    /// How long one of them counts, in milliseconds.
    pub(crate) fn cost(self) -> u64 {
        (self.per.saturating_mul(1_000) / self.burst.max(1)).max(1)
    }
}

impl TryFrom<String> for Limit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = text.split_once(" in ").and_then(|(burst, per)| {
            let per = units::parse_duration(per).ok()?;
            let whole = per.subsec_millis() == 0;
            Some(Self { burst: burst.parse().ok()?, per: per.as_secs() }).filter(|_| whole)
        });
        parsed.ok_or_else(|| format!("{text:?} is no limit: one such as \"10 in 600 s\" is expected"))
    }
}

impl From<Limit> for String {
    fn from(limit: Limit) -> Self {
        format!("{} in {} s", limit.burst, limit.per)
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            password_sign_in: true,
            registration: true,
            passkey_sign_in: true,
            passwords: PasswordCost::default(),
            token_lifetime: 43_200,
            token_idle: 3_600,
            known_source: 30 * 86_400,
            proxies: Vec::new(),
            origin: String::new(),
            limits: SignInLimits::default(),
            providers: Vec::new(),
        }
    }
}

impl Default for SignInLimits {
    fn default() -> Self {
        Self {
            failures_per_name_and_source: Limit { burst: 10, per: 600 },
            failures_per_name: Limit { burst: 100, per: 3_600 },
            failures_per_source: Limit { burst: 1_000, per: 3_600 },
            registrations_per_source: Limit { burst: 2_000, per: 3_600 },
            challenges_per_source: Limit { burst: 1_200, per: 60 },
            sign_ins_per_name_and_source: Limit { burst: 300, per: 600 },
            tickets_per_user: Limit { burst: 1_200, per: 60 },
        }
    }
}
