//! Passkeys: an authenticator in software registers and signs in, and then says something that it should not.

use serde_json::{Value, json};

use super::{check, is_offered};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::checks::ticket::verified;
use crate::oracle::crypto::{base64url, from_base64url, from_hex, h};
use crate::oracle::passkey::{Ceremony, Key, Passkey, USER_PRESENT, USER_VERIFIED, ec2, ed25519, rs256};
use crate::oracle::ticket::uri;
use crate::target::cloud::{Reply, call};
use crate::target::world::{Grant, User, World, fresh_name, new_user, sign_in, trade};

const HONEST: &str = "idn.passkey.honest";
const TWICE: &str = "idn.passkey.two-sign-ins";
const REGISTER: &str = "/identity/passkeys/registration";
const SIGN_IN: &str = "/identity/passkeys/challenge";
const FAILED: (u16, &str) = (401, "passkey-failed");
const UNACCEPTABLE: (u16, &str) = (422, "passkey-unacceptable");

pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![
        check(HONEST, &["IDN-048"], "a passkey of ES256 is registered, listed, and signs in", honest),
        check("idn.passkey.rs256", &["IDN-048"], "a passkey of RS256 signs in", |context| async move {
            let world = World::get(&context).await?;
            let key = Key::Rsa(Box::new(world.spare_key));
            let holder = Holder::with(&context, key).await?;
            sign_in_with(&context, &holder, |_| (), |_| ()).await?.expect(200).map(|_| ())
        }),
        check(TWICE, &["IDN-048"], "a passkey signs in for the second time", |context| async move {
            let holder = Holder::new(&context).await?;
            sign_in_with(&context, &holder, |_| (), |_| ()).await?.expect(200)?;
            sign_in_with(&context, &holder, |it| it.counter = 3, |_| ()).await?.expect(200).map(|_| ())
        }),
        check("idn.passkey.counter-zero", &["IDN-055"], "a counter that is always zero", counter_zero),
        check(
            "idn.passkey.counter-same",
            &["IDN-055"],
            "a counter that did not go on",
            |context| async move {
                let holder = Holder::new(&context).await?;
                sign_in_with(&context, &holder, |_| (), |_| ()).await?.expect(200)?;
                refused(sign_in_with(&context, &holder, |_| (), |_| ()).await?, FAILED)
            },
        )
        .twin(TWICE),
        check("idn.passkey.counter-back", &["IDN-055"], "a counter that went back", |context| async move {
            let holder = Holder::new(&context).await?;
            sign_in_with(&context, &holder, |it| it.counter = 5, |_| ()).await?.expect(200)?;
            refused(sign_in_with(&context, &holder, |it| it.counter = 4, |_| ()).await?, FAILED)
        })
        .twin(TWICE),
        check("idn.passkey.challenge-twice", &["IDN-050"], "a challenge for the second time", twice)
            .twin(TWICE),
        check(
            "idn.passkey.challenge-after-failure",
            &["IDN-050"],
            "a challenge that came back with a wrong signature before",
            after_failure,
        )
        .twin(TWICE),
        check(
            "idn.passkey.challenge-of-registration",
            &["IDN-049"],
            "a sign-in with the challenge of a registration",
            |context| async move {
                let holder = Holder::new(&context).await?;
                let asked = ask(&context, REGISTER, Some(&holder.token)).await?;
                refused(
                    sign_in_with(&context, &holder, |it| it.challenge = asked.challenge, |_| ()).await?,
                    FAILED,
                )
            },
        )
        .twin(HONEST),
        check(
            "idn.passkey.challenge-of-other-user",
            &["IDN-049"],
            "a registration with the challenge of another user",
            |context| async move {
                let (holder, other) = (Holder::new(&context).await?, Holder::new(&context).await?);
                let asked = ask(&context, REGISTER, Some(&other.token)).await?;
                let passkey = fresh(&context, fresh_key(&context)?);
                let cose = passkey.key.cose();
                let reply = register_with(&context, &holder.token, &passkey, &cose, |it| {
                    it.challenge = asked.challenge;
                });
                refused(reply.await?, FAILED)
            },
        )
        .twin(HONEST),
        check(
            "idn.passkey.registered-twice",
            &["IDN-056"],
            "a credential that is registered",
            |context| async move {
                let (holder, other) = (Holder::new(&context).await?, Holder::new(&context).await?);
                let cose = other.passkey.key.cose();
                let twice = Passkey { credential: holder.passkey.credential, key: other.passkey.key };
                refused(register_with(&context, &other.token, &twice, &cose, |_| ()).await?, UNACCEPTABLE)
            },
        )
        .twin(HONEST),
        check(
            "idn.passkey.other-user",
            &["IDN-057"],
            "a passkey in the name of another user",
            |context| async move {
                let (holder, other) = (Holder::new(&context).await?, Holder::new(&context).await?);
                let named = json!(other.handle);
                refused(
                    sign_in_with(&context, &holder, |_| (), |body| body["user_handle"] = named).await?,
                    FAILED,
                )
            },
        )
        .twin(HONEST),
        check(
            "idn.passkey.unknown",
            &["IDN-057"],
            "a passkey that nobody registered",
            |context| async move {
                let holder = Holder::new(&context).await?;
                let unknown = Holder { passkey: fresh(&context, fresh_key(&context)?), ..holder };
                refused(sign_in_with(&context, &unknown, |_| (), |_| ()).await?, FAILED)
            },
        )
        .twin(HONEST),
        check("idn.passkey.removed", &["IDN-057"], "a passkey that was removed", |context| async move {
            let holder = Holder::new(&context).await?;
            bearer(&context, "DELETE", &holder.path, &holder.token).await?.expect(204)?;
            refused(sign_in_with(&context, &holder, |_| (), |_| ()).await?, FAILED)
        })
        .twin(HONEST),
        check(
            "idn.passkey.remove-foreign",
            &["IDN-059"],
            "another user removes a passkey",
            |context| async move {
                let (holder, other) = (Holder::new(&context).await?, Holder::new(&context).await?);
                let reply = bearer(&context, "DELETE", &holder.path, &other.token).await?;
                reply.expect_problem(404, "no-such-passkey")?;
                sign_in_with(&context, &holder, |_| (), |_| ()).await?.expect(200).map(|_| ())
            },
        )
        .twin("idn.passkey.removed"),
    ];
    for (id, requirement, title, change) in SIGN_INS {
        let id = format!("idn.passkey.{id}");
        let check = check(&id, &[requirement], title, move |context| async move {
            let holder = Holder::new(&context).await?;
            refused(sign_in_with(&context, &holder, change, |_| ()).await?, FAILED)
        });
        checks.push(check.twin(HONEST));
    }
    for (id, title, change) in ALTERATIONS {
        let id = format!("idn.passkey.{id}");
        let check = check(&id, &["IDN-054"], title, move |context| async move {
            let holder = Holder::new(&context).await?;
            refused(sign_in_with(&context, &holder, |_| (), change).await?, FAILED)
        });
        checks.push(check.twin(HONEST));
    }
    for (id, requirement, title, change) in REGISTRATIONS {
        let id = format!("idn.passkey.register-{id}");
        let check = check(&id, &[requirement], title, move |context| async move {
            let holder = Holder::new(&context).await?;
            let passkey = fresh(&context, fresh_key(&context)?);
            let cose = passkey.key.cose();
            refused(register_with(&context, &holder.token, &passkey, &cose, change).await?, FAILED)
        });
        checks.push(check.twin(HONEST));
    }
    for (id, title, cose) in KEYS {
        let id = format!("idn.passkey.key-{id}");
        let check = check(&id, &["IDN-056"], title, move |context| async move {
            let holder = Holder::new(&context).await?;
            let passkey = fresh(&context, fresh_key(&context)?);
            let cose = cose(&context.random::<32>());
            refused(register_with(&context, &holder.token, &passkey, &cose, |_| ()).await?, UNACCEPTABLE)
        });
        checks.push(check.twin(HONEST));
    }
    checks
}

/// Changes one thing of what browser or authenticator say.
type Change = fn(&mut Ceremony);

/// What one thing is wrong with a sign-in.
const SIGN_INS: [(&str, &str, &str, Change); 8] = [
    ("challenge-invented", "IDN-049", "a challenge that was never given out", |it| {
        it.challenge = base64url(&h(&[it.challenge.as_bytes()]));
    }),
    ("type", "IDN-051", "client data of a registration", |it| it.kind = "webauthn.create"),
    ("origin", "IDN-051", "client data of a page elsewhere", |it| it.origin = "https://mesh.example".into()),
    ("port", "IDN-051", "client data of a page at another port", |it| it.origin.push('1')),
    ("cross-origin", "IDN-051", "client data of a page in a frame", |it| it.cross_origin = true),
    ("rp-id", "IDN-052", "authenticator data for another RP ID", |it| it.rp_id = "mesh.example".into()),
    ("absent", "IDN-053", "a person who is not there", |it| it.flags = USER_VERIFIED),
    ("unverified", "IDN-053", "a person who was not recognised", |it| it.flags = USER_PRESENT),
];

/// Changes a request.
type Alteration = fn(&mut Value);

/// What is altered in a sign-in after it was signed.
const ALTERATIONS: [(&str, &str, Alteration); 3] = [
    ("signature", "a signature with its last bit flipped", |body| {
        alter(body, "signature", |bytes| *bytes.last_mut().unwrap_or(&mut 0) ^= 1);
    }),
    ("data-altered", "a counter that was raised after it was signed", |body| {
        alter(body, "authenticator_data", |bytes| *bytes.last_mut().unwrap_or(&mut 0) += 1);
    }),
    ("client-data-altered", "client data with one more space than what was signed", |body| {
        alter(body, "client_data", |bytes| bytes.push(b' '));
    }),
];

/// What one thing is wrong with a registration.
const REGISTRATIONS: [(&str, &str, &str, Change); 7] = [
    ("challenge-invented", "IDN-049", "a registration with a challenge that was never given out", |it| {
        it.challenge = base64url(&h(&[it.challenge.as_bytes()]));
    }),
    ("type", "IDN-051", "a registration with client data of a sign-in", |it| it.kind = "webauthn.get"),
    ("origin", "IDN-051", "a registration on a page elsewhere", |it| {
        it.origin = "https://mesh.example".into();
    }),
    ("cross-origin", "IDN-051", "a registration in a frame", |it| it.cross_origin = true),
    ("rp-id", "IDN-052", "a registration for another RP ID", |it| it.rp_id = "mesh.example".into()),
    ("absent", "IDN-053", "a registration without a person", |it| it.flags = USER_VERIFIED),
    ("unverified", "IDN-053", "a registration by who was not recognised", |it| it.flags = USER_PRESENT),
];

/// Makes a `COSE_Key` that is not acceptable out of random bytes.
type CoseKey = fn(&[u8; 32]) -> Vec<u8>;

const KEYS: [(&str, &str, CoseKey); 3] = [
    ("eddsa", "a key of EdDSA, which was not asked for", ed25519),
    ("rsa-1024", "an RSA key of 1,024 bits", |random| {
        rs256(&[&[0x80], &[&random[..]; 4].concat()[1..]].concat())
    }),
    // There are two points with x = 0, and the random y is that of none of them.
    ("off-curve", "a key that is no point of P-256", |random| ec2(&[0; 32], random)),
];

/// Somebody with a passkey.
struct Holder {
    user: User,
    /// Of a sign-in by password.
    token: String,
    passkey: Passkey,
    /// The user handle, in base64url.
    handle: String,
    /// Of the passkey.
    path: String,
}

impl Holder {
    async fn new(context: &Context) -> Result<Holder, Stop> {
        Holder::with(context, fresh_key(context)?).await
    }

    async fn with(context: &Context, key: Key) -> Result<Holder, Stop> {
        if !is_offered(context, "passkey").await? {
            return Err(Stop::NotApplicable("nobody signs in with passkeys here".to_owned()));
        }
        let user = new_user(context, "passkey").await?;
        let token = sign_in(context, &user.name, &user.password).await?;
        let passkey = fresh(context, key);
        let cose = passkey.key.cose();
        let made = register_with(context, &token, &passkey, &cose, |_| ()).await?.expect(201)?;
        let path = made.json()?["links"]["self"].as_str().unwrap_or_default().to_owned();
        demand!(made.header("location") == Some(&path), "`Location` is not the passkey's `self`");
        let handle = base64url(&from_hex(&user.id).unwrap_or_default());
        Ok(Holder { user, token, passkey, handle, path })
    }
}

/// Registers a passkey for the user of a token.
pub(crate) async fn add(context: &Context, token: &str) -> Verdict {
    let passkey = fresh(context, fresh_key(context)?);
    register_with(context, token, &passkey, &passkey.key.cose(), |_| ()).await?.expect(201).map(|_| ())
}

/// A key that was never used in this run.
fn fresh_key(context: &Context) -> Result<Key, Stop> {
    Key::p256(&context.random()).ok_or_else(|| Stop::KitError("a random number is no key".to_owned()))
}

/// A passkey with an identifier that was never used.
fn fresh(context: &Context, key: Key) -> Passkey {
    Passkey { credential: h(&[fresh_name(context, "credential").as_bytes()]).to_vec(), key }
}

/// What the service wants.
struct Asked {
    challenge: String,
    origin: String,
    rp_id: String,
    options: Value,
}

async fn ask(context: &Context, path: &str, token: Option<&str>) -> Result<Asked, Stop> {
    let mut request = call(context, "POST", path);
    if let Some(token) = token {
        request = request.header("authorization", &format!("Bearer {token}"));
    }
    let body = request.send().await?.expect(200)?.json()?;
    let options = &body["options"];
    let text = |value: &Value, what: &str| {
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| Stop::Fail(format!("POST {path}: there is no {what}")))
    };
    let rp_id = if path == SIGN_IN { &options["rpId"] } else { &options["rp"]["id"] };
    Ok(Asked {
        challenge: text(&options["challenge"], "challenge")?,
        origin: text(&body["origin"], "origin")?,
        rp_id: text(rp_id, "RP ID")?,
        options: options.clone(),
    })
}

fn ceremony(kind: &'static str, asked: Asked, counter: u32) -> Ceremony {
    let Asked { challenge, origin, rp_id, .. } = asked;
    let flags = USER_PRESENT | USER_VERIFIED;
    Ceremony { kind, challenge, origin, cross_origin: false, rp_id, flags, counter }
}

/// Registers a passkey under the name `key ring`; its counter is 1.
async fn register_with(
    context: &Context,
    token: &str,
    passkey: &Passkey,
    cose: &[u8],
    change: impl FnOnce(&mut Ceremony),
) -> Result<Reply, Stop> {
    let mut ceremony = ceremony("webauthn.create", ask(context, REGISTER, Some(token)).await?, 1);
    change(&mut ceremony);
    let body = json!({
        "label": "key ring",
        "client_data": base64url(&ceremony.client_data()),
        "attestation": base64url(&ceremony.attestation(&passkey.credential, cose)),
    });
    let request = call(context, "POST", "/identity/passkeys");
    request.header("authorization", &format!("Bearer {token}")).json(&body).send().await
}

/// Signs in; the counter is 2. `say` changes what is signed, `send` the request.
async fn sign_in_with(
    context: &Context,
    holder: &Holder,
    say: impl FnOnce(&mut Ceremony),
    send: impl FnOnce(&mut Value),
) -> Result<Reply, Stop> {
    let mut ceremony = ceremony("webauthn.get", ask(context, SIGN_IN, None).await?, 2);
    say(&mut ceremony);
    let mut body = json!({
        "credential": base64url(&holder.passkey.credential),
        "client_data": base64url(&ceremony.client_data()),
        "authenticator_data": base64url(&ceremony.data()),
        "signature": base64url(&ceremony.signature(&holder.passkey.key)),
        "user_handle": holder.handle,
    });
    send(&mut body);
    call(context, "POST", "/identity/passkeys/token").json(&body).send().await
}

/// Changes bytes that are base64url in a request.
fn alter(body: &mut Value, member: &str, change: impl FnOnce(&mut Vec<u8>)) {
    if let Some(mut bytes) = body[member].as_str().and_then(from_base64url) {
        change(&mut bytes);
        body[member] = base64url(&bytes).into();
    }
}

fn refused(reply: Reply, (status, name): (u16, &str)) -> Verdict {
    reply.expect_problem(status, name)
}

async fn bearer(context: &Context, method: &str, path: &str, token: &str) -> Result<Reply, Stop> {
    call(context, method, path).header("authorization", &format!("Bearer {token}")).send().await
}

/// The item of the holder's passkey in the list, which has no other.
async fn listed(context: &Context, holder: &Holder) -> Result<Value, Stop> {
    let body = bearer(context, "GET", "/identity/passkeys", &holder.token).await?.expect(200)?.json()?;
    let items = body["items"].as_array().cloned().unwrap_or_default();
    demand!(items.len() == 1, "{} passkeys are listed for a user with one", items.len());
    Ok(items[0].clone())
}

async fn honest(context: Context) -> Verdict {
    let holder = Holder::new(&context).await?;
    let item = listed(&context, &holder).await?;
    demand!(item["label"] == "key ring", "the label is {}", item["label"]);
    demand!(item["used"].is_null(), "a passkey that was never used has a last use");
    let options = ask(&context, REGISTER, Some(&holder.token)).await?.options;
    demand!(options["user"]["id"] == holder.handle, "the user handle is {}", options["user"]["id"]);
    let selection = &options["authenticatorSelection"];
    demand!(
        selection["residentKey"] == "required" && selection["userVerification"] == "required",
        "the registration does not ask for a discoverable credential and user verification: {selection}"
    );
    let reply = sign_in_with(&context, &holder, |_| (), |_| ()).await?.expect(200)?;
    let grant = Grant::read(&trade(&context, &reply.text("token")?).await?.expect(200)?)?;
    let subject = format!("{}{}", uri::USER, holder.user.id);
    demand!(
        verified(&grant)?.iter().all(|ticket| ticket.fields.subject == subject),
        "a ticket is not about the passkey's user"
    );
    let used = listed(&context, &holder).await?["used"].as_u64();
    demand!(used.is_some_and(|at| at > 0), "the list does not say when the passkey was used");
    Ok(())
}

async fn counter_zero(context: Context) -> Verdict {
    let mut holder = Holder::new(&context).await?;
    holder.passkey = fresh(&context, fresh_key(&context)?);
    let cose = holder.passkey.key.cose();
    register_with(&context, &holder.token, &holder.passkey, &cose, |it| it.counter = 0).await?.expect(201)?;
    for _ in 0..2 {
        sign_in_with(&context, &holder, |it| it.counter = 0, |_| ()).await?.expect(200)?;
    }
    Ok(())
}

async fn twice(context: Context) -> Verdict {
    let holder = Holder::new(&context).await?;
    let challenge = ask(&context, SIGN_IN, None).await?.challenge;
    let same = |it: &mut Ceremony| it.challenge.clone_from(&challenge);
    sign_in_with(&context, &holder, same, |_| ()).await?.expect(200)?;
    let again = |it: &mut Ceremony| (it.counter, it.challenge) = (3, challenge.clone());
    refused(sign_in_with(&context, &holder, again, |_| ()).await?, FAILED)
}

async fn after_failure(context: Context) -> Verdict {
    let holder = Holder::new(&context).await?;
    let challenge = ask(&context, SIGN_IN, None).await?.challenge;
    let same = |it: &mut Ceremony| it.challenge.clone_from(&challenge);
    let wrong = |body: &mut Value| alter(body, "signature", |bytes| bytes.truncate(1));
    sign_in_with(&context, &holder, same, wrong).await?.expect(401)?;
    refused(sign_in_with(&context, &holder, same, |_| ()).await?, FAILED)
}
