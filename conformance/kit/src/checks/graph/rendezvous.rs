//! graph.md section 4.4: meeting at a relay.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::queues::{Queue, wait};
use super::{check, success};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::crypto::{from_hex, hex};
use crate::oracle::relay::{JOINED, WAITING, join};
use crate::target::cloud::{Reply, call};
use crate::target::peer::PeerConn;
use crate::target::relay::expect;
use crate::target::world::{Device, World};

const HONEST: &str = "gph.rendezvous";
/// How many rendezvous of two devices are too many in a minute (GPH-142).
const TOO_MANY: usize = 121;

/// Two devices have one rendezvous at a time.
const PAIR: &str = "rendezvous";

pub(super) fn checks() -> Vec<Check> {
    let case = |id: &str, reqs: &[&str], title: &str, run: fn(Context, World) -> Running| {
        check(id, reqs, title, move |context| async move {
            let world = with_relays(&context).await?;
            run(context, world).await
        })
        .in_turn(PAIR)
    };
    vec![
        case(HONEST, &["GPH-121"], "two devices meet at a relay", |context, world| {
            Box::pin(async move { meet(&context, &world).await })
        }),
        case("gph.rendezvous.unrelated", &["GPH-120"], "of devices that may not meet", |context, world| {
            Box::pin(async move {
                let nobody = hex(&context.random::<16>());
                for other in [&world.tablet.id, &nobody, &world.laptop.id] {
                    post(&context, &world.laptop, other, &json!({}))
                        .await?
                        .expect_problem(403, "pair-refused")?;
                }
                Ok(())
            })
        })
        .twin(HONEST),
        case("gph.rendezvous.told", &["GPH-122"], "the device that is called is told", |context, world| {
            Box::pin(async move { told(&context, &world).await })
        })
        .twin(HONEST),
        case("gph.rendezvous.foreign", &["GPH-123"], "who else asks for the passes", |context, world| {
            Box::pin(async move {
                let path = path(&world.phone.id);
                for tickets in
                    [&world.laptop.grant.tickets, &world.alice.grant.tickets, &world.tablet.grant.tickets]
                {
                    let reply = call(&context, "GET", &path).tickets(tickets).send().await?;
                    reply.expect_problem(403, "not-authorised")?;
                    let queue = Queue::new(&context, tickets).await?;
                    queue.post(&context, &path).await?.expect_problem(403, "not-authorised")?;
                }
                Ok(())
            })
        })
        .twin(HONEST),
        case("gph.rendezvous.user", &["GPH-124"], "asked for by a person", |context, world| {
            Box::pin(async move {
                let request =
                    call(&context, "POST", &path(&world.phone.id)).tickets(&world.alice.grant.tickets);
                request.json(&json!({})).send().await?.expect_problem(403, "not-authorised")
            })
        })
        .twin(HONEST),
        case("gph.rendezvous.other-relay", &["GPH-125"], "at a relay of nobody's", |context, world| {
            Box::pin(async move {
                let body = json!({"relay": "relay.invalid:1"});
                let reply = post(&context, &world.laptop, &world.phone.id, &body).await?;
                reply.expect_problem(422, "relay-unknown")
            })
        })
        .twin(HONEST),
        case("gph.rendezvous.fresh", &["GPH-126"], "the same rendezvous twice", |context, world| {
            Box::pin(async move {
                let one = ask(&context, &world).await?;
                let two = ask(&context, &world).await?;
                for member in ["circuit", "token", "pass"] {
                    demand!(one[member] != two[member], "{member} is {} twice", one[member]);
                }
                Ok(())
            })
        })
        .twin(HONEST),
        case("gph.rendezvous.too-many", &["GPH-142"], "asked for 121 times in a row", |context, world| {
            Box::pin(async move { too_many(&context, &world).await })
        })
        .twin(HONEST),
        case("gph.rendezvous.newest", &["GPH-127"], "the list has the newest alone", |context, world| {
            Box::pin(async move {
                ask(&context, &world).await?;
                let newest = ask(&context, &world).await?;
                let listed = list(&context, &world).await?;
                demand!(listed.len() == 1, "{} rendezvous of one device are listed", listed.len());
                demand!(listed[0]["circuit"] == newest["circuit"], "an older rendezvous is listed");
                Ok(())
            })
        })
        .twin(HONEST),
    ]
}

type Running = std::pin::Pin<Box<dyn Future<Output = Verdict> + Send>>;

fn path(device: &str) -> String {
    format!("/mesh/devices/{device}/rendezvous")
}

/// The world, if its cloud has relays.
async fn with_relays(context: &Context) -> Result<World, Stop> {
    let world = World::get(context).await?;
    let reply = call(context, "GET", "/mesh/relays").tickets(&world.laptop.grant.tickets).send().await?;
    let relays = reply.expect(200)?.json()?;
    if relays["items"].as_array().is_none_or(Vec::is_empty) {
        return Err(Stop::NotApplicable("the cloud lists no relay".to_owned()));
    }
    Ok(world)
}

async fn post(context: &Context, from: &Device, to: &str, body: &Value) -> Result<Reply, Stop> {
    call(context, "POST", &path(to)).tickets(&from.grant.tickets).json(body).send().await
}

/// The laptop asks for a rendezvous with the phone.
async fn ask(context: &Context, world: &World) -> Result<Value, Stop> {
    let reply = post(context, &world.laptop, &world.phone.id, &json!({})).await?;
    success(reply, "a rendezvous of two devices of one user")?.json()
}

/// What the phone finds of the laptop.
async fn list(context: &Context, world: &World) -> Result<Vec<Value>, Stop> {
    let reply =
        call(context, "GET", &path(&world.phone.id)).tickets(&world.phone.grant.tickets).send().await?;
    let items = reply.expect(200)?.json()?["items"].as_array().cloned().unwrap_or_default();
    Ok(items.into_iter().filter(|item| item["device"] == world.laptop.id.as_str()).collect())
}

/// The other way round than all other checks, for these use it up.
async fn too_many(context: &Context, world: &World) -> Verdict {
    let began = Instant::now();
    for number in 0..TOO_MANY {
        let reply = post(context, &world.phone, &world.laptop.id, &json!({})).await?;
        if reply.status == 429 {
            demand!(number > 0, "the first rendezvous is one too many");
            let wait = reply.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
            demand!(wait.is_some_and(|seconds| seconds > 0), "Retry-After is no number of seconds");
            return reply.expect_problem(429, "too-many-attempts");
        }
        success(reply, "a rendezvous of two devices of one user")?;
    }
    if began.elapsed() > Duration::from_mins(1) {
        return Err(Stop::Blocked(format!("{TOO_MANY} requests took longer than a minute")));
    }
    Err(Stop::Fail(format!("{TOO_MANY} rendezvous within a minute")))
}

async fn meet(context: &Context, world: &World) -> Verdict {
    let own = ask(context, world).await?;
    demand!(own["device"] == world.phone.id.as_str(), "the rendezvous is with {}", own["device"]);
    let listed = list(context, world).await?;
    let Some(called) = listed.first() else {
        return Err(Stop::Fail("the called device does not find the rendezvous".to_owned()));
    };
    for member in ["circuit", "relay", "token"] {
        demand!(own[member] == called[member], "{member} is {} and {}", own[member], called[member]);
    }
    let mut caller = dial(context, &own).await?;
    expect(&mut caller, "WAITING", &WAITING, false).await?;
    let mut other = dial(context, called).await?;
    expect(&mut caller, "JOINED", &JOINED, false).await?;
    expect(&mut other, "JOINED", &JOINED, false).await?;
    caller.send("through the relay", b"hello").await?;
    expect(&mut other, "what the caller sent", b"hello", false).await
}

/// Joins with what a device got.
async fn dial(context: &Context, rendezvous: &Value) -> Result<PeerConn, Stop> {
    let relay = rendezvous["relay"].as_str().unwrap_or_default();
    let pass = rendezvous["pass"].as_str().and_then(from_hex).unwrap_or_default();
    demand!(pass.len() == 73, "the pass is no 73 bytes in hexadecimal");
    let mut found = tokio::net::lookup_host(relay).await?;
    let address: Option<SocketAddr> = found.next();
    let address = address.ok_or_else(|| Stop::Blocked(format!("{relay} has no address")))?;
    let mut conn = PeerConn::connect(context, address).await?;
    conn.send("JOIN", &join(&pass)).await?;
    Ok(conn)
}

async fn told(context: &Context, world: &World) -> Verdict {
    let resource = path(&world.phone.id);
    let queue = Queue::on(context, &world.phone.grant.tickets, &resource).await?;
    let (told, asked) = tokio::join!(queue.poll(context, &queue.start, wait(context)), ask(context, world));
    asked?;
    let mut told = told?.expect(200)?.json()?;
    if told["items"].as_array().is_none_or(Vec::is_empty) {
        // It asked before it was there.
        told = queue.poll(context, &queue.start, wait(context)).await?.expect(200)?.json()?;
    }
    let items = told["items"].as_array().cloned().unwrap_or_default();
    let named = items.iter().any(|item| item["resource"] == resource.as_str());
    demand!(named, "the queue tells of {items:?}");
    Ok(())
}
