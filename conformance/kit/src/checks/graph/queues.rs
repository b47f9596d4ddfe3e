//! graph.md section 4.7.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Folder, check, success};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::crypto::hex;
use crate::target::cloud::{Reply, call};
use crate::target::world::{User, World, claim, new_user, revoke};

const HONEST: &str = "gph.queue";

/// How many seconds to wait for news: longer than a cloud takes to notice, shorter than a client waits for an answer. Less
/// where the run has little patience, for it knows that nothing will happen.
pub(super) fn wait(context: &Context) -> u64 {
    (2 * context.targets().patience.0.as_secs()).clamp(2, 8)
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(HONEST, &["GPH-072"], "who waits is told of a change", waiting),
        check("gph.queue.again", &["GPH-073"], "an answer that was lost is given again", again).twin(HONEST),
        check("gph.queue.watermark", &["GPH-061"], "a poll after a watermark of another feed", watermark)
            .twin(HONEST),
        check(
            "gph.queue.not-subscribable",
            &["GPH-070"],
            "a subscription to something else",
            |context| async move {
                let world = World::get(&context).await?;
                let queue = Queue::new(&context, &world.alice.grant.tickets).await?;
                for resource in ["/", "/mesh/objects", "/mesh/queues", "nonsense"] {
                    queue.post(&context, resource).await?.expect_problem(422, "not-subscribable")?;
                }
                Ok(())
            },
        )
        .twin(HONEST),
        check("gph.queue.foreign", &["GPH-071"], "somebody else's queue, and none at all", foreign)
            .twin(HONEST),
        check(
            "gph.queue.stranger",
            &["GPH-002"],
            "a subscription to somebody else's folder",
            |context| async move {
                let world = World::get(&context).await?;
                let folder = Folder::new(&context, &world, "cloud").await?;
                let queue = Queue::new(&context, &world.bob.grant.tickets).await?;
                queue.post(&context, &folder.path).await?.expect_problem(403, "not-authorised")
            },
        )
        .twin(HONEST),
        check(
            "gph.queue.lost",
            &["GPH-075"],
            "a member who was removed learns that the folder is gone",
            lost,
        )
        .twin(HONEST),
        check("gph.queue.subscriptions", &["GPH-076"], "a queue with 65 subscriptions", too_many)
            .twin(HONEST),
        check("gph.queue.ninth", &["GPH-077"], "the ninth queue of a person", ninth).twin(HONEST),
        check("gph.queue.revoked", &["GPH-079"], "a device that waits is revoked", revoked)
            .twin(HONEST)
            .in_turn("spare key"),
        check("gph.queue.events", &["GPH-080"], "a stream of events goes on where it broke off", events)
            .twin(HONEST),
        check(
            "gph.presence",
            &["GPH-081"],
            "who may meet a device sees it in the folder's presence",
            presence,
        ),
        check("gph.presence.ttl", &["GPH-082"], "who waits is told that an address has ended", ttl_passes)
            .twin(HONEST),
    ]
}

/// A queue, and the tickets of its owner.
pub(super) struct Queue {
    path: String,
    tickets: Vec<String>,
    /// The watermark at its beginning.
    pub(super) start: String,
}

impl Queue {
    pub(super) async fn new(context: &Context, tickets: &[String]) -> Result<Queue, Stop> {
        let reply = call(context, "POST", "/mesh/queues").tickets(tickets).json(&json!({})).send().await?;
        let reply = reply.expect(201)?;
        let Some(path) = reply.header("location").map(str::to_owned) else {
            return Err(Stop::Fail("the reply to the creation of a queue has no Location".to_owned()));
        };
        Ok(Queue { path, tickets: tickets.to_vec(), start: reply.text("watermark")? })
    }

    /// A queue that is subscribed to one resource.
    pub(super) async fn on(context: &Context, tickets: &[String], resource: &str) -> Result<Queue, Stop> {
        let queue = Queue::new(context, tickets).await?;
        success(queue.post(context, resource).await?, &format!("a subscription to {resource}"))?;
        Ok(queue)
    }

    pub(super) async fn post(&self, context: &Context, resource: &str) -> Result<Reply, Stop> {
        let path = format!("{}/subscriptions", self.path);
        call(context, "POST", &path).tickets(&self.tickets).json(&json!({"resource": resource})).send().await
    }

    pub(super) async fn poll(&self, context: &Context, after: &str, wait: u64) -> Result<Reply, Stop> {
        let path = format!("{}?after={after}&wait={wait}", self.path);
        call(context, "GET", &path).tickets(&self.tickets).send().await
    }

    /// Polls until there is something, which a cloud may tell in several answers.
    async fn told(&self, context: &Context, after: &str, wait: u64) -> Result<Answer, Stop> {
        Answer::read(&self.poll(context, after, wait).await?.expect(200)?.json()?)
    }
}

/// What a poll was answered.
struct Answer {
    items: Vec<Value>,
    resources: BTreeSet<String>,
    watermark: String,
}

impl Answer {
    fn read(body: &Value) -> Result<Answer, Stop> {
        let parts = body["items"].as_array().zip(body["watermark"].as_str());
        let Some((items, watermark)) = parts else {
            return Err(Stop::Fail("the answer of a queue lacks `items` or `watermark`".to_owned()));
        };
        let resource = |item: &Value| item["resource"].as_str().map(str::to_owned);
        let resources = items.iter().filter_map(resource).collect();
        Ok(Answer { items: items.clone(), resources, watermark: watermark.to_owned() })
    }

    fn expect<S: AsRef<str>>(&self, resources: &[S], when: &str) -> Verdict {
        let expected: BTreeSet<String> = resources.iter().map(|one| one.as_ref().to_owned()).collect();
        demand!(self.resources == expected, "{when} the queue tells of {:?}", self.resources);
        demand!(self.items.len() == expected.len(), "{when} the queue tells of a resource twice");
        Ok(())
    }
}

/// Somebody with a folder, for one check alone: a person has few queues, and checks run side by side.
async fn own_folder(context: &Context) -> Result<(User, Folder), Stop> {
    let user = new_user(context, "watcher").await?;
    let folder = another_folder(context, &user).await?;
    Ok((user, folder))
}

async fn another_folder(context: &Context, user: &User) -> Result<Folder, Stop> {
    let request = call(context, "POST", "/mesh/objects").tickets(&user.grant.tickets);
    let reply = request.json(&json!({"name": "watched"})).send().await?.expect(201)?;
    let path = reply.header("location").unwrap_or_default().to_owned();
    let mut tickets = user.grant.tickets.clone();
    tickets.extend(reply.headers("mesh-ticket"));
    Ok(Folder { path, tickets, reply })
}

async fn write(context: &Context, world: &World, folder: &Folder, name: &str) -> Verdict {
    let (path, body) = folder.entry(context, world, name);
    let reply = call(context, "PUT", &path).tickets(&folder.tickets).json(&body).send().await?;
    success(reply, "PUT of an entry").map(|_| ())
}

async fn waiting(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let (_, folder) = own_folder(&context).await?;
    let queue = Queue::on(&context, &folder.tickets, &folder.path).await?;
    let mut after = queue.start.clone();
    for name in ["a", "b"] {
        let (told, written) = tokio::join!(
            queue.told(&context, &after, wait(&context)),
            write(&context, &world, &folder, name)
        );
        written?;
        let told = told?;
        told.expect(&[&folder.path], "after a change")?;
        let delta = format!("{}/feeds/files/sync", folder.path);
        let delta =
            call(&context, "GET", &delta).tickets(&folder.tickets).send().await?.expect(200)?.json()?;
        demand!(
            told.items[0]["watermark"] == delta["watermark"],
            "the queue gives the watermark {} for a folder whose delta gives {}",
            told.items[0]["watermark"],
            delta["watermark"]
        );
        after = told.watermark;
    }
    queue.told(&context, &after, 0).await?.expect::<&str>(&[], "after everything was acknowledged")
}

async fn again(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let (user, one) = own_folder(&context).await?;
    let mut two = another_folder(&context, &user).await?;
    two.tickets.extend(one.reply.headers("mesh-ticket"));
    let queue = Queue::on(&context, &two.tickets, &one.path).await?;
    success(queue.post(&context, &two.path).await?, "a second subscription")?;
    write(&context, &world, &one, "a").await?;
    write(&context, &world, &one, "b").await?;
    let first = queue.told(&context, &queue.start, 0).await?;
    first.expect(&[&one.path], "after two changes of one folder")?;
    write(&context, &world, &two, "a").await?;
    let both = queue.told(&context, &queue.start, 0).await?;
    both.expect(&[&one.path, &two.path], "whoever asks again after the same watermark:")?;
    queue.told(&context, &first.watermark, 0).await?.expect(&[&two.path], "after an acknowledgement")?;
    queue.told(&context, &both.watermark, 0).await?.expect::<&str>(&[], "after everything was acknowledged")
}

async fn watermark(context: Context) -> Verdict {
    let (_, folder) = own_folder(&context).await?;
    let queue = Queue::on(&context, &folder.tickets, &folder.path).await?;
    let other = Queue::new(&context, &folder.tickets).await?;
    for after in [other.start.as_str(), "no-such-watermark"] {
        queue.poll(&context, after, 0).await?.expect_problem(410, "watermark-unknown")?;
    }
    Ok(())
}

async fn foreign(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let user = new_user(&context, "watcher").await?;
    let queue = Queue::new(&context, &user.grant.tickets).await?;
    let none = format!("/mesh/queues/{}", hex(&context.random::<16>()));
    let mut replies = Vec::new();
    for tickets in [&world.bob.grant.tickets, &world.laptop.grant.tickets] {
        for path in [&queue.path, &none] {
            let reply = call(&context, "GET", path).tickets(tickets).send().await?;
            replies.push(reply.body.clone());
            reply.expect_problem(410, "queue-gone")?;
        }
    }
    demand!(replies.windows(2).all(|pair| pair[0] == pair[1]), "a foreign queue and none are told apart");
    Ok(())
}

async fn lost(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let member = new_user(&context, "watcher").await?;
    let tickets = folder.invite(&context, &member, "reader").await?;
    let queue = Queue::on(&context, &tickets, &folder.path).await?;
    let member = format!("{}/members/{}", folder.path, member.id);
    let current = crate::target::world::etag(&context, &folder.tickets, &member).await?;
    let remove = call(&context, "DELETE", &member).tickets(&folder.tickets).header("if-match", &current);
    success(remove.send().await?, "removing a member")?;
    let told = queue.told(&context, &queue.start, wait(&context)).await?;
    told.expect(&[&folder.path], "after the loss of a folder")?;
    let expected = json!({"resource": folder.path, "gone": true});
    demand!(told.items[0] == expected, "of a folder that is lost the queue tells {}", told.items[0]);
    write(&context, &world, &folder, "a").await?;
    queue.told(&context, &told.watermark, 0).await?.expect::<&str>(&[], "of a folder that is lost")
}

async fn too_many(context: Context) -> Verdict {
    let (user, first) = own_folder(&context).await?;
    let queue = Queue::on(&context, &first.tickets, &first.path).await?;
    for n in 1..=64 {
        let folder = another_folder(&context, &user).await?;
        let with_tickets = Queue { tickets: folder.tickets, path: queue.path.clone(), start: String::new() };
        let reply = with_tickets.post(&context, &folder.path).await?;
        if n < 64 {
            success(reply, &format!("subscription {}", n + 1))?;
        } else {
            reply.expect_problem(409, "too-many-subscriptions")?;
        }
    }
    Ok(())
}

async fn ninth(context: Context) -> Verdict {
    // Somebody who has no queues yet.
    let user = new_user(&context, "collector").await?;
    let mut queues = Vec::new();
    for _ in 0..9 {
        queues.push(Queue::new(&context, &user.grant.tickets).await?);
    }
    for queue in &queues[1..] {
        queue.poll(&context, &queue.start, 0).await?.expect(200)?;
    }
    queues[0].poll(&context, &queues[0].start, 0).await?.expect_problem(410, "queue-gone")
}

async fn revoked(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let device = claim(&context, &world.alice, "lost", &world.spare_key).await?;
    let queue = Queue::new(&context, &device.grant.tickets).await?;
    let (ended, done) = tokio::join!(
        queue.poll(&context, &queue.start, wait(&context)),
        revoke(&context, &world.alice, &device.id)
    );
    success(done?, "revoking a device")?;
    let ended = ended?;
    demand!(
        matches!(ended.status, 401 | 410),
        "the poll of a device that was revoked meanwhile was answered with {}",
        ended.status
    );
    Ok(())
}

/// The last event of a stream: its identifier and its answer.
async fn stream(context: &Context, queue: &Queue, last: &str) -> Result<Option<(String, Answer)>, Stop> {
    let request = call(context, "GET", &format!("{}?wait=1", queue.path)).tickets(&queue.tickets);
    let request = request.header("accept", "text/event-stream").header("last-event-id", last);
    let reply = request.send().await?.expect(200)?;
    let kind = reply.header("content-type").unwrap_or_default();
    demand!(kind.starts_with("text/event-stream"), "the content type of a stream is {kind}");
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let field = |name: &str| text.lines().filter_map(|line| line.strip_prefix(name)).next_back();
    let Some((id, data)) = field("id:").zip(field("data:")) else { return Ok(None) };
    let data = serde_json::from_str(data.trim())
        .map_err(|error| Stop::Fail(format!("the data of an event is no JSON: {error}")))?;
    Ok(Some((id.trim().to_owned(), Answer::read(&data)?)))
}

async fn events(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let (_, folder) = own_folder(&context).await?;
    let queue = Queue::on(&context, &folder.tickets, &folder.path).await?;
    write(&context, &world, &folder, "a").await?;
    let Some((id, told)) = stream(&context, &queue, &queue.start).await? else {
        return Err(Stop::Fail("a stream has no event for what has changed".to_owned()));
    };
    told.expect(&[&folder.path], "after a change")?;
    demand!(id == told.watermark, "the event of the watermark {} has the identifier {id}", told.watermark);
    demand!(
        stream(&context, &queue, &id).await?.is_none(),
        "a stream repeats what Last-Event-ID acknowledges"
    );
    Ok(())
}

async fn presence(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let bob = folder.invite(&context, &world.bob, "reader").await?;
    let map = async |tickets: &[String], device: &str| {
        let path = format!("{}/mappings/{device}", folder.path);
        let reply = call(&context, "PUT", &path).tickets(tickets).json(&json!({})).send().await?;
        success(reply, "PUT of a mapping").map(|_| ())
    };
    let listed = async |tickets: &[String]| {
        let path = format!("{}/presence", folder.path);
        let body = call(&context, "GET", &path).tickets(tickets).send().await?.expect(200)?.json()?;
        let items = body["items"].as_array().cloned().unwrap_or_default();
        let device = |item: &Value| item["device"].as_str().unwrap_or_default().to_owned();
        Ok::<BTreeSet<String>, Stop>(items.iter().map(device).collect())
    };
    map(&folder.tickets, &world.phone.id).await?;
    let seen = listed(&folder.tickets).await?;
    demand!(seen == [world.phone.id.clone()].into(), "the owner of a device sees {seen:?}");
    let seen = listed(&bob).await?;
    demand!(seen.is_empty(), "a member on none of whose devices the folder is sees {seen:?}");
    map(&bob, &world.tablet.id).await?;
    let seen = listed(&bob).await?;
    let both = [world.phone.id.clone(), world.tablet.id.clone()].into();
    demand!(seen == both, "a member who has the folder on a device sees {seen:?}");
    Ok(())
}

async fn ttl_passes(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let endpoint = format!("/mesh/devices/{}/endpoints", world.tablet.id);
    let queue = Queue::on(&context, &world.bob.grant.tickets, &endpoint).await?;
    let body = json!({"addresses": ["192.0.2.7:4000"], "ttl": 2});
    let mut from = queue.start.clone();
    for _ in 0..3 {
        let announced = Instant::now();
        let put = call(&context, "PUT", &endpoint).tickets(&world.tablet.grant.tickets).json(&body);
        success(put.send().await?, "PUT of an endpoint")?;
        let online = queue.told(&context, &from, wait(&context)).await?;
        online.expect(&[&endpoint], "after an address was announced")?;
        if announced.elapsed() < Duration::from_secs(1) {
            // It has not ended yet, also for a cloud that counts in whole seconds. Its two seconds, and as many more.
            let ended = queue.told(&context, &online.watermark, 2 + wait(&context)).await?;
            return ended.expect(&[&endpoint], "after its ttl has passed");
        }
        // So slow that one answer may have told of both: once more.
        from = queue.told(&context, &online.watermark, 2 + wait(&context)).await?.watermark;
    }
    Err(Stop::Blocked("each answer took longer than the ttl of an endpoint".to_owned()))
}
