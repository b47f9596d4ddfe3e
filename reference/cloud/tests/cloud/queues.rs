//! Queues, subscriptions, presence (`spec/graph.md`, section 4.7).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, DEVICE_X, DEVICE_Y, DEVICE_Z, Session, World};

/// A queue of the session, subscribed to these resources.
async fn queue(session: &Session<'_>, resources: &[&str]) -> String {
    let made = session.post("/mesh/queues", json!({})).await;
    made.is(201);
    let queue = made.headers["location"].to_str().unwrap().to_owned();
    for resource in resources {
        subscribe(session, &queue, resource).await.is(201);
    }
    queue
}

async fn subscribe(session: &Session<'_>, queue: &str, resource: &str) -> Answer {
    session.post(&format!("{queue}/subscriptions"), json!({"resource": resource})).await
}

async fn poll(session: &Session<'_>, queue: &str, after: &str, wait: u64) -> Answer {
    session.get(&format!("{queue}?after={after}&wait={wait}")).await
}

/// What an answer tells: the resources, with a `!` for those that are gone.
fn told(answer: &Answer) -> Vec<String> {
    answer.is(200);
    let items = answer.body["items"].as_array().unwrap();
    let mut told: Vec<String> = items
        .iter()
        .map(|item| {
            let resource = item["resource"].as_str().unwrap();
            if item["gone"] == json!(true) { format!("{resource}!") } else { resource.to_owned() }
        })
        .collect();
    told.sort();
    told
}

async fn write(session: &Session<'_>, folder: &str, entry: u64) {
    let path = format!("{folder}/feeds/files/entries/{entry:032x}");
    let body = json!({"path": format!("d{entry}"), "kind": "directory", "version": {session.id.clone(): 1}});
    session.put(&path, body).await.is(201);
}

/// One request is all that a change costs who waits: no timer passes, for the wait is longer than the test may take
/// (GPH-072).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_reaches_who_waits_at_once() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "x"})).await;
    let device = ann.claimed(DEVICE_X).await;
    let device = ann.device(&device, DEVICE_X).await;
    let queue = queue(&device, &[&folder, "/mesh"]).await;
    let mut after = device.get(&queue).await.text("watermark");
    for round in 0..20 {
        let (answer, ()) = tokio::join!(poll(&device, &queue, &after, 60), write(&ann, &folder, round));
        assert_eq!(told(&answer), [folder.as_str()]);
        let delta = ann.get(&format!("{folder}/feeds/files/sync")).await;
        assert_eq!(answer.body["items"][0]["watermark"], delta.body["watermark"]);
        after = answer.text("watermark");
    }
    // A subscription that is made meanwhile counts at once.
    let other = ann.folder(json!({"name": "y"})).await;
    after = poll(&device, &queue, &after, 0).await.text("watermark");
    let mut device_too = ann.device(&device.id, DEVICE_X).await;
    let later = async {
        subscribe(&device_too, &queue, &other).await.is(201);
        write(&ann, &other, 0).await;
    };
    let (answer, ()) = tokio::join!(poll(&device, &queue, &after, 60), later);
    assert_eq!(told(&answer), [other.as_str()]);
    after = answer.text("watermark");

    // So does the end of the queue, and of the server.
    let end = device_too.send(Method::DELETE, &queue, None, None);
    let (answer, ended) = tokio::join!(poll(&device, &queue, &after, 60), end);
    ended.is(204);
    answer.refused(410, "GPH-071");
    device_too.tickets.clear();
}

#[tokio::test]
async fn answers_are_acknowledged_by_the_next_poll() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let (one, two) = (ann.folder(json!({"name": "1"})).await, ann.folder(json!({"name": "2"})).await);
    let queue = queue(&ann, &[&one, &two]).await;
    assert_eq!(subscribe(&ann, &queue, &one).await.status, 200);
    let start = ann.get(&queue).await;
    assert_eq!(told(&start), [""; 0]);
    let start = start.text("watermark");
    write(&ann, &one, 1).await;
    write(&ann, &one, 2).await;
    let first = poll(&ann, &queue, &start, 60).await;
    assert_eq!(told(&first), [one.as_str()]); // once
    // The answer was lost.
    write(&ann, &two, 1).await;
    let again = poll(&ann, &queue, &start, 0).await;
    let mut both = vec![one.clone(), two.clone()];
    both.sort();
    assert_eq!(told(&again), both);
    assert_eq!(told(&poll(&ann, &queue, &first.text("watermark"), 0).await), [two.as_str()]);
    assert_eq!(told(&poll(&ann, &queue, &again.text("watermark"), 0).await), [""; 0]);

    let foreign = ann.get(&format!("{one}/feeds/files/sync")).await.text("watermark");
    poll(&ann, &queue, &foreign, 0).await.refused(410, "GPH-061");
    let future = start.replace("-0", "-999");
    poll(&ann, &queue, &future, 0).await.refused(410, "GPH-061");
    poll(&ann, &queue, &start, 61).await.refused(422, "GPH-066");

    // What was unsubscribed is not told.
    let subscriptions = ann.get(&format!("{queue}/subscriptions")).await.body;
    for item in subscriptions["items"].as_array().unwrap() {
        let path = item["links"]["self"].as_str().unwrap();
        ann.get(path).await.is(200);
        ann.send(Method::DELETE, path, None, None).await.is(204);
        ann.get(path).await.refused(404, "GPH-004");
    }
    write(&ann, &one, 3).await;
    assert_eq!(told(&poll(&ann, &queue, &start, 0).await), [""; 0]);
}

#[tokio::test]
async fn what_may_not_be_seen_any_more_is_gone() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let mut bob = world.user("bob").await;
    let folder = ann.folder(json!({"name": "x"})).await;
    let queue = queue(&bob, &[]).await;
    subscribe(&bob, &queue, &folder).await.refused(403, "GPH-002");
    ann.share(&folder, &mut bob, "reader").await;
    subscribe(&bob, &queue, &folder).await.is(201);
    for resource in ["/", "/mesh/objects", "/mesh/devices", "nonsense", "/mesh/objects/1"] {
        subscribe(&bob, &queue, resource).await.refused(422, "GPH-070");
    }
    let nobody = format!("/mesh/devices/{}/endpoints", "1".repeat(32));
    subscribe(&bob, &queue, &nobody).await.refused(403, "GPH-017");
    // Nobody else has this queue.
    for path in [queue.clone(), format!("{queue}/subscriptions")] {
        ann.get(&path).await.refused(410, "GPH-071");
    }
    subscribe(&ann, &queue, &folder).await.refused(410, "GPH-071");
    ann.send(Method::DELETE, &queue, None, None).await.refused(410, "GPH-071");

    let start = bob.get(&queue).await.text("watermark");
    let member = format!("{folder}/members/{}", bob.id);
    let etag = ann.get(&member).await.etag();
    ann.send(Method::DELETE, &member, None, Some(&etag)).await.is(204);
    let answer = poll(&bob, &queue, &start, 60).await;
    assert_eq!(answer.body["items"], json!([{"resource": folder, "gone": true}]));
    let after = answer.text("watermark");
    write(&ann, &folder, 1).await;
    assert_eq!(told(&poll(&bob, &queue, &after, 0).await), [""; 0]);
    assert_eq!(told(&poll(&bob, &queue, &start, 0).await), [format!("{folder}!")]);

    // Who is let in again subscribes again; who loses the folder with everybody learns that, too.
    ann.share(&folder, &mut bob, "reader").await;
    bob.sign_in().await;
    subscribe(&bob, &queue, &folder).await.is(201);
    let etag = ann.get(&folder).await.etag();
    ann.send(Method::DELETE, &folder, None, Some(&etag)).await.is(204);
    assert_eq!(told(&poll(&bob, &queue, &after, 60).await), [format!("{folder}!")]);
}

#[tokio::test]
async fn bounds() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let first = queue(&ann, &[]).await;
    let queues: Vec<String> = {
        let mut queues = Vec::new();
        for _ in 0..7 {
            queues.push(queue(&ann, &[]).await);
        }
        queues
    };
    ann.get(&first).await.is(200);
    let (answer, ninth) = tokio::join!(poll(&ann, &first, "", 0), queue(&ann, &[]));
    answer.refused(410, "GPH-061"); // an empty watermark is none
    ann.get(&first).await.refused(410, "GPH-071");
    for queue in queues.iter().chain([&ninth]) {
        ann.get(queue).await.is(200);
    }
    assert_eq!(ann.get("/mesh/queues").await.body["items"].as_array().unwrap().len(), 8);

    for n in 0..64 {
        let made = ann.post("/mesh/objects", json!({"name": "x"})).await;
        let folder = made.headers["location"].to_str().unwrap().to_owned();
        let all = ann.tickets.clone();
        ann.tickets =
            vec![all[0].clone(), all[1].clone(), made.headers["mesh-ticket"].to_str().unwrap().into()];
        subscribe(&ann, &ninth, &folder).await.is(201);
        if n == 63 {
            subscribe(&ann, &ninth, "/mesh").await.refused(409, "GPH-076");
            subscribe(&ann, &ninth, &folder).await.is(200);
        }
        ann.tickets = all;
    }
}

/// GPH-078
#[tokio::test]
async fn queues_expire_when_nobody_polls() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let queue = queue(&ann, &[]).await;
    for _ in 0..5 {
        world.clock.advance(299);
        ann.sign_in().await;
        ann.get(&queue).await.is(200);
    }
    world.clock.advance(601);
    ann.sign_in().await;
    ann.get(&queue).await.refused(410, "GPH-071");
    assert_eq!(ann.get("/mesh/queues").await.body["items"], json!([]));
}

/// GPH-079
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_device_waits_no_longer() {
    let world = World::new().await;
    let ann = world.user("ann").await;
    let lost = ann.claimed(DEVICE_X).await;
    let lost = ann.device(&lost, DEVICE_X).await;
    let own = queue(&lost, &["/mesh"]).await;
    let start = lost.get(&own).await.text("watermark");
    let path = format!("/mesh/devices/{}", lost.id);
    let etag = ann.get(&path).await.etag();
    let revoke = ann.send(Method::DELETE, &path, None, Some(&etag));
    let (answer, revoked) = tokio::join!(poll(&lost, &own, &start, 60), revoke);
    revoked.is(204);
    // Whether the poll came before the revocation is a matter of chance.
    if answer.status == 401 {
        answer.refused(401, "TKT-031");
    } else {
        answer.refused(410, "GPH-071");
    }
    poll(&lost, &own, &start, 60).await.refused(401, "TKT-031");
}

/// The next event: its id and its data.
async fn event(response: &mut reqwest::Response) -> (String, Value) {
    loop {
        let chunk = response.chunk().await.unwrap().expect("an event");
        let text = String::from_utf8(chunk.to_vec()).unwrap();
        assert!(text.ends_with("\n\n"), "{text:?}");
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        if let Some((id, data)) = line("id: ").zip(line("data: ")) {
            return (id, serde_json::from_str(&data).unwrap());
        }
    }
}

/// GPH-080
#[tokio::test]
async fn a_stream_of_events() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let folder = ann.folder(json!({"name": "x"})).await;
    let queue = queue(&ann, &[&folder]).await;
    let open = async |last: Option<&str>, query: &str| {
        let tickets = format!("MeshTicket {}", ann.tickets.join(","));
        let mut request =
            world.http.get(world.url(&format!("{queue}{query}"))).header("authorization", tickets);
        request = request.header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        request.send().await.unwrap()
    };
    let mut stream = open(None, "").await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    write(&ann, &folder, 1).await;
    let (first, data) = event(&mut stream).await;
    assert_eq!(data["items"][0]["resource"], json!(folder));
    assert_eq!(data["watermark"], json!(first));
    write(&ann, &folder, 2).await;
    let (second, data) = event(&mut stream).await;
    assert_eq!(data["items"].as_array().unwrap().len(), 1);
    drop(stream);

    // Whoever comes back gets what was not acknowledged, and nothing else.
    let mut stream = open(Some(&first), "").await;
    assert_eq!(event(&mut stream).await.0, second);
    drop(stream);
    let mut ended = open(Some(&second), "?wait=0").await;
    while let Some(chunk) = ended.chunk().await.unwrap() {
        assert!(chunk == ":\n\n" || chunk.is_empty(), "{chunk:?}");
    }
    assert_eq!(open(Some("nonsense"), "").await.status(), 410);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence() {
    let world = World::new().await;
    let mut ann = world.user("ann").await;
    let mut bob = world.user("bob").await;
    let folder = ann.folder(json!({"name": "x"})).await;
    ann.share(&folder, &mut bob, "reader").await;
    bob.sign_in().await;
    let (x, y, z) = (ann.claimed(DEVICE_X).await, ann.claimed(DEVICE_Y).await, bob.claimed(DEVICE_Z).await);
    let x_session = ann.device(&x, DEVICE_X).await;
    let (x, y, z) = (x.as_str(), y.as_str(), z.as_str());
    let map = async |session: &Session<'_>, device: &str| {
        session.put(&format!("{folder}/mappings/{device}"), json!({})).await.is(201);
    };
    map(&ann, x).await;
    let listed = async |session: &Session<'_>| {
        let listed = session.get(&format!("{folder}/presence")).await;
        listed.is(200);
        let item =
            |item: &Value| (item["device"].as_str().unwrap().to_owned(), item["online"] == json!(true));
        listed.body["items"].as_array().unwrap().iter().map(item).collect::<Vec<_>>()
    };
    let endpoint = format!("/mesh/devices/{x}/endpoints");
    let announce = async |address: &str| {
        x_session.put(&endpoint, json!({"addresses": [address], "ttl": 60})).await.is(200);
    };
    assert_eq!(listed(&ann).await, [(x.to_owned(), false)]);
    assert_eq!(listed(&bob).await, []); // GPH-081: no device of bob's has the folder
    announce("192.0.2.1:1").await;
    map(&bob, z).await;
    let bobs = listed(&bob).await;
    assert!(bobs.contains(&(x.to_owned(), true)) && bobs.contains(&(z.to_owned(), false)), "{bobs:?}");
    let y_session = ann.device(y, DEVICE_Y).await;
    assert_eq!(listed(&y_session).await, [(x.to_owned(), true)]); // its user's, not bob's

    // Who waits hears of other addresses, not of the same again, and of the end.
    let z_session = bob.device(z, DEVICE_Z).await;
    let queue = queue(&z_session, &[&endpoint]).await;
    let mut after = z_session.get(&queue).await.text("watermark");
    announce("192.0.2.1:1").await;
    assert_eq!(told(&poll(&z_session, &queue, &after, 0).await), [""; 0]);
    let (answer, ()) = tokio::join!(poll(&z_session, &queue, &after, 60), announce("192.0.2.1:2"));
    assert_eq!(told(&answer), [endpoint.as_str()]);
    after = answer.text("watermark");
    world.clock.advance(60);
    let answer = poll(&z_session, &queue, &after, 60).await; // GPH-082
    assert_eq!(told(&answer), [endpoint.as_str()]);
    after = answer.text("watermark");
    assert_eq!(told(&poll(&z_session, &queue, &after, 0).await), [""; 0]);
    announce("192.0.2.1:3").await;
    after = poll(&z_session, &queue, &after, 60).await.text("watermark");
    ann.send(Method::DELETE, &endpoint, None, None).await.refused(403, "GPH-041");
    let (answer, gone) = tokio::join!(
        poll(&z_session, &queue, &after, 60),
        x_session.send(Method::DELETE, &endpoint, None, None)
    );
    gone.is(204);
    assert_eq!(told(&answer), [endpoint.as_str()]);
    assert_eq!(x_session.get(&endpoint).await.body["addresses"], json!([]));

    // Without a folder in common the address is nobody's business.
    after = answer.text("watermark");
    ann.send(Method::DELETE, &format!("{folder}/mappings/{x}"), None, None).await.is(204);
    announce("192.0.2.1:4").await;
    assert_eq!(told(&poll(&z_session, &queue, &after, 60).await), [format!("{endpoint}!")]);
}

/// Small and repeatable.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = self.below(from.len() as u64);
        &from[usize::try_from(at).unwrap()]
    }
}

/// What a device knows that follows its queue: of each folder the entries with their tags, and how far it has come.
#[derive(Default)]
struct Follower {
    after: String,
    folders: BTreeMap<String, (String, BTreeMap<String, String>)>,
}

impl Follower {
    /// Reads what is new of a folder.
    async fn read(&mut self, session: &Session<'_>, folder: &str) {
        let (since, entries) = self.folders.entry(folder.to_owned()).or_default();
        loop {
            let query = if since.is_empty() { String::new() } else { format!("&since={since}") };
            let page = session.get(&format!("{folder}/feeds/files/sync?limit=4{query}")).await;
            page.is(200);
            for item in page.body["items"].as_array().unwrap() {
                entries.insert(item["entry"].to_string(), item["etag"].to_string());
            }
            *since = page.text("watermark");
            if page.body["more"] == json!(false) {
                return;
            }
        }
    }

    /// Polls once, and reads what has changed; now and then the answer is lost, or the connection while it waits.
    async fn step(&mut self, session: &Session<'_>, queue: &str, wait: u64, dice: &mut Dice) {
        let asked = poll(session, queue, &self.after, wait);
        let patience =
            if dice.below(3) == 0 { Duration::from_millis(dice.below(4)) } else { Duration::from_mins(1) };
        let Ok(answer) = tokio::time::timeout(patience, asked).await else { return };
        if dice.below(4) == 0 {
            return;
        }
        for folder in told(&answer) {
            self.read(session, &folder).await;
        }
        self.after = answer.text("watermark");
    }
}

/// Writers write while a device follows its queue, loses answers and connections, and the cloud is restarted half way: in
/// the end the device knows all (GPH-073, GPH-074).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed() {
    let seed = std::env::var("MESHPROOF_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        u64::from_be_bytes(bytes)
    });
    println!("MESHPROOF_SEED={seed}");
    let mut dice = Dice(seed);
    let data = tempfile::tempdir().unwrap();
    let mut world = World::on(data.path(), |_| ()).await;
    let mut ann = world.user("ann").await;
    let mut folders = Vec::new();
    for _ in 0..3 {
        folders.push(ann.folder(json!({"name": "x"})).await);
    }
    let resources: Vec<&str> = folders.iter().map(String::as_str).collect();
    let queue = queue(&ann, &resources).await;
    let mut follower = Follower { after: ann.get(&queue).await.text("watermark"), ..Follower::default() };
    let (mut tickets, id) = (ann.tickets, ann.id);
    for phase in 0..2 {
        let session = |tickets: &Vec<String>| Session {
            id: id.clone(),
            name: "ann".into(),
            ..world.bearer(tickets.clone())
        };
        let (writer, reader) = (session(&tickets), session(&tickets));
        let done = AtomicBool::new(false);
        let choices: Vec<&String> = (0..60).map(|_| dice.pick(&folders)).collect();
        let writing = async {
            for (n, choice) in choices.iter().enumerate() {
                write(&writer, choice, phase * 1_000 + n as u64).await;
            }
            done.store(true, Ordering::SeqCst);
        };
        let reading = async {
            while !done.load(Ordering::SeqCst) {
                follower.step(&reader, &queue, 1, &mut dice).await;
            }
        };
        tokio::join!(writing, reading);
        // The first time what was written last is told only after the restart.
        if phase == 0 {
            tickets.clone_from(&reader.tickets);
            world.running.take().unwrap().shutdown().await.unwrap();
            world = World::on(data.path(), |_| ()).await;
        }
    }
    let reader = Session { id, name: "ann".into(), ..world.bearer(tickets) };
    let last = poll(&reader, &queue, &follower.after, 0).await;
    for folder in told(&last) {
        follower.read(&reader, &folder).await;
    }
    for folder in &folders {
        let all = reader.get(&format!("{folder}/feeds/files/entries")).await.body;
        let items = all["items"].as_array().unwrap().iter();
        let truth: BTreeMap<String, String> =
            items.map(|item| (item["entry"].to_string(), item["etag"].to_string())).collect();
        let known = follower.folders.remove(folder).unwrap_or_default().1;
        assert_eq!(known, truth, "{folder}");
    }
}

/// A server that stops answers who waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_answered_when_the_server_stops() {
    let mut world = World::new().await;
    let running = world.running.take().unwrap();
    let ann = world.user("ann").await;
    let queue = queue(&ann, &["/mesh"]).await;
    let start = ann.get(&queue).await.text("watermark");
    let waiting = poll(&ann, &queue, &start, 60);
    let stopping = async {
        while !format!("{running:?}").contains("listeners: 2") {
            tokio::task::yield_now().await;
        }
        running.shutdown().await.unwrap();
    };
    let (answer, ()) = tokio::join!(waiting, stopping);
    assert_eq!(told(&answer), [""; 0]);
}

/// The end of an address wakes who waits, by the clock of the system.
#[tokio::test]
async fn an_address_ends_while_somebody_waits() {
    let clock = std::sync::Arc::new(meshproof_cloud::SystemClock);
    let world = World::with(|config| config.clock = clock).await;
    let ann = world.user("ann").await;
    let device = ann.claimed(DEVICE_X).await;
    let device = ann.device(&device, DEVICE_X).await;
    let endpoint = format!("/mesh/devices/{}/endpoints", device.id);
    device.put(&endpoint, json!({"addresses": ["192.0.2.1:1"], "ttl": 1})).await.is(200);
    let queue = queue(&ann, &[&endpoint]).await;
    let start = ann.get(&queue).await.text("watermark");
    let answer = tokio::time::timeout(Duration::from_secs(30), poll(&ann, &queue, &start, 60)).await.unwrap();
    assert_eq!(told(&answer), [endpoint.as_str()]);
}
