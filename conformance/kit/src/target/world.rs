//! Users and devices that the checks of a cloud share. They are made once a run, over the cloud's own interface, with
//! names that no earlier run used.

use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::{Signer as _, SigningKey};
use rsa::rand_core::{TryCryptoRng, TryRng};
use serde_json::{Value, json};

use super::cloud::{Reply, call};
use crate::check::{Context, Stop, demand};
use crate::oracle::crypto::{RsaPrivateKey, base64, from_base64, from_hex, h, hex, hmac, oaep_decrypt, spki};

/// The label of the ciphertext of a challenge (identity.md section 3).
const CHALLENGE_LABEL: &str = "meshproof/1 device challenge";

/// Two people, each with devices.
#[derive(Clone)]
pub struct World {
    /// A person with two devices.
    pub alice: User,
    /// Her first device.
    pub laptop: Device,
    /// Her second device.
    pub phone: Device,
    /// Somebody else.
    pub bob: User,
    /// His device.
    pub tablet: Device,
    /// A key that no device has. Checks that claim it take turns and revoke the device in the end.
    pub spare_key: RsaPrivateKey,
}

/// A person.
#[derive(Clone, Debug)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
    /// The identifier.
    pub id: String,
    /// What `POST /tickets` answered.
    pub grant: Grant,
}

/// What `POST /tickets` and `POST /tickets/device` answer.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The path of the mesh.
    pub root: String,
    /// The issuer's uri.
    pub issuer: String,
    /// The issuer's SPKI.
    pub issuer_keys: Vec<Vec<u8>>,
    /// The cloud's audience uri.
    pub audience: String,
    /// The tickets, as they go into a header.
    pub tickets: Vec<String>,
}

/// A claimed device.
#[derive(Clone)]
pub struct Device {
    /// The identifier.
    pub id: String,
    /// Its key.
    pub key: RsaPrivateKey,
    /// Its tickets.
    pub grant: Grant,
}

impl World {
    /// How many device keys a world needs.
    pub const KEYS: usize = 4;

    /// The world of this run.
    pub async fn get(context: &Context) -> Result<World, Stop> {
        let Some(cloud) = &context.targets().cloud else {
            return Err(Stop::NotApplicable("no cloud was given".to_owned()));
        };
        let made = cloud.world.get_or_init(|| async {
            // What goes wrong here is found by the checks of identity.md; the others cannot do without it.
            World::make(context, &cloud.keys).await.map_err(|stop| match stop {
                Stop::Fail(text) => Stop::Blocked(format!("users and devices cannot be set up: {text}")),
                other => other,
            })
        });
        made.await.clone()
    }

    async fn make(context: &Context, given: &[RsaPrivateKey]) -> Result<World, Stop> {
        let mut keys = given.to_vec();
        if keys.len() < World::KEYS {
            let missing = World::KEYS - keys.len();
            keys.extend(tokio::task::spawn_blocking(move || generate_keys(missing)).await??);
        }
        let alice = new_user(context, "alice").await?;
        let bob = new_user(context, "bob").await?;
        Ok(World {
            laptop: claim(context, &alice, "laptop", &keys[0]).await?,
            phone: claim(context, &alice, "phone", &keys[1]).await?,
            tablet: claim(context, &bob, "tablet", &keys[2]).await?,
            spare_key: keys[3].clone(),
            alice,
            bob,
        })
    }
}

/// A name that was never used: the clock is in it, for clouds remember earlier runs.
pub fn fresh_name(context: &Context, start: &str) -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let unique = h(&[&nanos.to_be_bytes(), &context.random::<8>()]);
    format!("{start}-{}", hex(&unique[..8]))
}

/// Signs a new user up and in.
pub async fn new_user(context: &Context, start: &str) -> Result<User, Stop> {
    new_user_named(context, &fresh_name(context, start)).await
}

/// The same under a name that was given out already.
pub async fn new_user_named(context: &Context, name: &str) -> Result<User, Stop> {
    let (name, password) = (name.to_owned(), format!("pass-{}", hex(&context.random::<8>())));
    let body = json!({"name": name, "password": password});
    let id = call(context, "POST", "/identity/users").json(&body).send().await?.expect(201)?.text("user")?;
    let token = sign_in(context, &name, &password).await?;
    let grant = Grant::read(&trade(context, &token).await?.expect(200)?)?;
    Ok(User { name, password, id, grant })
}

/// Name and password for a token.
pub async fn sign_in(context: &Context, name: &str, password: &str) -> Result<String, Stop> {
    let body = json!({"name": name, "password": password});
    call(context, "POST", "/identity/token").json(&body).send().await?.expect(200)?.text("token")
}

/// A token for tickets.
pub async fn trade(context: &Context, token: &str) -> Result<Reply, Stop> {
    call(context, "POST", "/tickets").header("authorization", &format!("Bearer {token}")).send().await
}

/// The tickets of a user from now on, with the folders made meanwhile.
pub async fn renew(context: &Context, user: &User) -> Result<Grant, Stop> {
    let token = sign_in(context, &user.name, &user.password).await?;
    Grant::read(&trade(context, &token).await?.expect(200)?)
}

/// Posts a claim, without its proof.
pub async fn post_claim(context: &Context, user: &User, name: &str, spki: &[u8]) -> Result<Reply, Stop> {
    let body = json!({"name": name, "spki": base64(spki)});
    call(context, "POST", "/mesh/devices").tickets(&user.grant.tickets).json(&body).send().await
}

/// Posts the proof of a claim.
pub async fn post_proof(context: &Context, user: &User, device: &str, answer: &str) -> Result<Reply, Stop> {
    let path = format!("/mesh/devices/{device}/proof");
    call(context, "POST", &path).tickets(&user.grant.tickets).json(&json!({"answer": answer})).send().await
}

/// Claims a device, proves its key, and signs it in.
pub async fn claim(context: &Context, user: &User, name: &str, key: &RsaPrivateKey) -> Result<Device, Stop> {
    let spki = spki(&key.to_public_key());
    let signing = signing_key_beside(&spki);
    let public = hex(signing.verifying_key().as_bytes());
    let claim = json!({"name": name, "spki": base64(&spki), "signing_key": public});
    let tickets = &user.grant.tickets;
    let reply =
        call(context, "POST", "/mesh/devices").tickets(tickets).json(&claim).send().await?.expect(201)?;
    let (id, body) = (reply.text("device")?, reply.json()?);
    let audience = &user.grant.audience;
    let answer = answer(key, &Binding { purpose: "claim", device: &id, audience }, &body["proof"])?;
    let signature = sign_claim(&signing, &id, &spki);
    let proof = json!({"answer": answer, "signature": signature});
    let path = format!("/mesh/devices/{id}/proof");
    let proved = call(context, "POST", &path).tickets(tickets).json(&proof).send().await?;
    demand!(
        (200..300).contains(&proved.status),
        "the right proof of a claim was answered with {}",
        proved.status
    );
    let grant = Grant::read(&device_tickets(context, &id, key, audience).await?.expect(200)?)?;
    Ok(Device { id, key: key.clone(), grant })
}

/// The signing key of a device of this world, whose RSA key is this one.
pub fn signing_key_beside(spki: &[u8]) -> SigningKey {
    SigningKey::from_bytes(&h(&[b"signing key beside", spki]))
}

/// What a claim with a signing key is proved by (graph.md section 3.1).
pub fn sign_claim(key: &SigningKey, device: &str, spki: &[u8]) -> String {
    let statement =
        [b"meshproof device key", &from_hex(device).unwrap_or_default()[..], &h(&[spki])].concat();
    hex(&key.sign(&statement).to_bytes())
}

/// Asks for a challenge and answers it.
pub async fn device_tickets(
    context: &Context,
    device: &str,
    key: &RsaPrivateKey,
    audience: &str,
) -> Result<Reply, Stop> {
    let challenge = challenge(context, device).await?.expect(200)?.json()?;
    let answer = answer(key, &Binding { purpose: "sign-in", device, audience }, &challenge)?;
    post_answer(context, device, &challenge, &answer).await
}

/// Asks for a challenge.
pub async fn challenge(context: &Context, device: &str) -> Result<Reply, Stop> {
    call(context, "POST", "/tickets/challenge").json(&json!({"device": device})).send().await
}

/// Answers a challenge.
pub async fn post_answer(
    context: &Context,
    device: &str,
    challenge: &Value,
    answer: &str,
) -> Result<Reply, Stop> {
    let body = json!({"device": device, "challenge": challenge["challenge"], "answer": answer});
    call(context, "POST", "/tickets/device").json(&body).send().await
}

/// What an answer is good for (identity.md section 3).
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// `sign-in` or `claim`.
    pub purpose: &'a str,
    /// The device, in hexadecimal.
    pub device: &'a str,
    /// The cloud's audience uri.
    pub audience: &'a str,
}

/// The holder's answer to a challenge (identity.md section 3).
pub fn answer(key: &RsaPrivateKey, binding: &Binding<'_>, challenge: &Value) -> Result<String, Stop> {
    let challenge_bytes = challenge["challenge"].as_str().and_then(from_hex);
    let ciphertext = challenge["ciphertext"].as_str().and_then(from_base64);
    let (Some(challenge_bytes), Some(ciphertext)) = (challenge_bytes, ciphertext) else {
        return Err(Stop::Fail(
            "a challenge lacks `challenge` in hexadecimal or `ciphertext` in base64".to_owned(),
        ));
    };
    let Some(k) = oaep_decrypt(key, CHALLENGE_LABEL, &ciphertext) else {
        return Err(Stop::Fail(
            "the ciphertext of a challenge does not decrypt under the device's key".to_owned(),
        ));
    };
    let Some(device) = from_hex(binding.device) else {
        return Err(Stop::Fail(format!("the device identifier {:?} is not hexadecimal", binding.device)));
    };
    let (purpose, audience) = (binding.purpose.as_bytes(), binding.audience.as_bytes());
    let parts: [&[u8]; 7] = [
        b"meshproof/1 device answer",
        &u8::try_from(purpose.len())?.to_be_bytes(),
        purpose,
        &challenge_bytes,
        &device,
        &u16::try_from(audience.len())?.to_be_bytes(),
        audience,
    ];
    Ok(hex(&hmac(&k, &parts)))
}

/// Revokes a device, so that its key is free again.
pub async fn revoke(context: &Context, user: &User, device: &str) -> Result<Reply, Stop> {
    let path = format!("/mesh/devices/{device}");
    let etag = etag(context, &user.grant.tickets, &path).await?;
    call(context, "DELETE", &path).tickets(&user.grant.tickets).header("if-match", &etag).send().await
}

/// The current `ETag` of a node.
pub async fn etag(context: &Context, tickets: &[String], path: &str) -> Result<String, Stop> {
    let reply = call(context, "GET", path).tickets(tickets).send().await?.expect(200)?;
    reply.header("etag").map(str::to_owned).ok_or_else(|| Stop::Fail(format!("GET {path}: there is no ETag")))
}

impl Grant {
    /// Reads a reply of `POST /tickets`.
    pub fn read(reply: &Reply) -> Result<Grant, Stop> {
        let body = reply.json()?;
        let wrong = |what: &str| Stop::Fail(format!("the reply to POST /tickets has no {what}"));
        let texts = |value: &Value| -> Option<Vec<String>> {
            value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let keys = texts(&body["issuer"]["keys"]).ok_or_else(|| wrong("issuer keys"))?;
        Ok(Grant {
            root: reply.text("root")?,
            issuer: body["issuer"]["name"].as_str().ok_or_else(|| wrong("issuer name"))?.to_owned(),
            issuer_keys: keys
                .iter()
                .map(|key| from_base64(key))
                .collect::<Option<_>>()
                .ok_or_else(|| wrong("issuer keys in base64"))?,
            audience: reply.text("audience")?,
            tickets: texts(&body["tickets"]).ok_or_else(|| wrong("tickets"))?,
        })
    }
}

fn generate_keys(count: usize) -> anyhow::Result<Vec<RsaPrivateKey>> {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let mut random = Stream { seed: h(&[&nanos.to_be_bytes(), &std::process::id().to_be_bytes()]), drawn: 0 };
    (0..count).map(|_| Ok(RsaPrivateKey::new(&mut random, 2048)?)).collect()
}

/// Randomness for keys that protect nothing.
struct Stream {
    seed: [u8; 32],
    drawn: u64,
}

impl TryRng for Stream {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, output: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in output.chunks_mut(32) {
            chunk.copy_from_slice(&h(&[&self.seed, &self.drawn.to_be_bytes()])[..chunk.len()]);
            self.drawn += 1;
        }
        Ok(())
    }
}

impl TryCryptoRng for Stream {}
