//! The relay alone: passes made by hand, sockets of devices that do what they should not.

use std::time::Duration;

use meshproof_cloud::{Clock as _, Config, RunningRelay, Service, SystemClock, start_relay};
use meshproof_proto::codec::hex;
use meshproof_proto::crypto::{DEFAULT, Secret};
use meshproof_proto::relay::{Account, Pass, Refusal, RelayKey, Reply, Request, Side};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const KEY: [u8; 32] = [7; 32];
/// Longer than any test.
const LONG: Duration = Duration::from_mins(10);
/// For what has to happen at once.
const SHORT: Duration = Duration::from_millis(50);

pub(crate) struct Relay {
    running: RunningRelay,
    _data: tempfile::TempDir,
}

impl Relay {
    pub(crate) async fn new(change: impl FnOnce(&mut meshproof_cloud::Relay)) -> Self {
        Self::with(|config| change(&mut config.relay)).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("relay.key"), hex(&KEY)).unwrap();
        let mut config = Config::new(data.path());
        config.services = vec![Service::Relay];
        (config.relay.join, config.relay.wait, config.relay.idle) = (LONG, LONG, LONG);
        config.relay.drain = LONG;
        change(&mut config);
        Self { running: start_relay(&config).await.unwrap(), _data: data }
    }

    fn join_bytes(&self, circuit: u8, side: Side) -> Vec<u8> {
        let expires = SystemClock.now().plus(60);
        let pass = Pass { circuit: [circuit; 16], side, expires, account: Account([side as u8; 16]) };
        let key = RelayKey::new(Secret::new(KEY));
        Request::Join(key.seal(DEFAULT, &self.running.address, &pass)).encode()
    }

    async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.running.addr).await.unwrap()
    }

    async fn join(&self, circuit: u8, side: Side) -> TcpStream {
        let mut stream = self.dial().await;
        stream.write_all(&self.join_bytes(circuit, side)).await.unwrap();
        stream
    }

    async fn circuit(&self, circuit: u8) -> (TcpStream, TcpStream) {
        let mut caller = self.join(circuit, Side::Caller).await;
        assert_eq!(reply(&mut caller).await, Some(Reply::Waiting));
        let mut called = self.join(circuit, Side::Called).await;
        assert_eq!(reply(&mut caller).await, Some(Reply::Joined));
        assert_eq!(reply(&mut called).await, Some(Reply::Joined));
        (caller, called)
    }
}

/// The next reply; `None` at the end of the connection.
async fn reply(stream: &mut TcpStream) -> Option<Reply> {
    let mut bytes = Vec::new();
    loop {
        match Reply::read(&bytes).unwrap() {
            Ok(reply) => return Some(reply),
            Err(_) => bytes.push(stream.read_u8().await.ok()?),
        }
    }
}

async fn ends(stream: &mut TcpStream) {
    assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn bytes_go_both_ways_and_ends_one_by_one() {
    let relay = Relay::new(|_| ()).await;
    let (mut caller, mut called) = relay.circuit(1).await;
    let sent: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (mut from_caller, mut to_called) = caller.split();
    let (mut from_called, mut to_caller) = called.split();
    let (mut there, mut back) = (Vec::new(), Vec::new());
    let (one, two, three) = tokio::join!(
        async {
            to_called.write_all(&sent).await?;
            to_called.shutdown().await
        },
        to_caller.write_all(&sent[..1_000_000]),
        from_called.read_to_end(&mut there),
    );
    one.and(two).unwrap();
    three.unwrap();
    assert!(there == sent, "what the caller sent did not arrive as it was");
    // The caller has ended its direction; the other still works.
    let (one, two) = tokio::join!(
        async {
            to_caller.write_all(&sent[1_000_000..]).await?;
            to_caller.shutdown().await
        },
        from_caller.read_to_end(&mut back),
    );
    one.unwrap();
    two.unwrap();
    assert!(back == sent, "what the called device sent did not arrive as it was");
}

#[tokio::test]
async fn a_join_that_drips_has_no_more_time_than_another() {
    // RLY-013
    let relay = Relay::new(|relay| relay.join = SHORT).await;
    let join = relay.join_bytes(1, Side::Caller);
    let mut stream = relay.dial().await;
    let mut drip = tokio::time::interval(Duration::from_millis(5));
    let mut sent = 0;
    loop {
        tokio::select! {
            _ = drip.tick(), if sent + 1 < join.len() => {
                let _ = stream.write_all(&join[sent..=sent]).await;
                sent += 1;
            }
            ended = stream.read_u8() => {
                assert!(ended.is_err(), "a JOIN that was never whole was answered");
                break;
            }
        }
    }
    let mut pinging = relay.dial().await; // nor does who asks only whether anybody is there
    loop {
        let ping = Request::Ping([1; 8]).encode();
        if pinging.write_all(&ping).await.is_err() || reply(&mut pinging).await.is_none() {
            break;
        }
    }
}

#[tokio::test]
async fn a_join_that_is_cut_leaves_nothing_behind() {
    let relay = Relay::new(|_| ()).await;
    let join = relay.join_bytes(1, Side::Caller);
    for cut in [0, 1, 2, 3, 19, 75] {
        let mut stream = relay.dial().await;
        stream.write_all(&join[..cut]).await.unwrap();
        stream.shutdown().await.unwrap();
        ends(&mut stream).await;
    }
    relay.circuit(1).await;
}

#[tokio::test]
async fn who_waits_alone_is_told() {
    // RLY-014
    let relay = Relay::new(|relay| relay.wait = SHORT).await;
    let mut caller = relay.join(1, Side::Caller).await;
    assert_eq!(reply(&mut caller).await, Some(Reply::Waiting));
    assert_eq!(reply(&mut caller).await, Some(Reply::Refused(Refusal::Alone)));
    ends(&mut caller).await;
}

#[tokio::test]
async fn who_hangs_up_while_waiting_is_not_joined() {
    let relay = Relay::new(|relay| relay.wait = SHORT * 4).await;
    let mut caller = relay.join(1, Side::Caller).await;
    assert_eq!(reply(&mut caller).await, Some(Reply::Waiting));
    caller.shutdown().await.unwrap();
    ends(&mut caller).await; // the relay has noticed
    let mut called = relay.join(1, Side::Called).await;
    assert_eq!(reply(&mut called).await, Some(Reply::Waiting));
    assert_eq!(reply(&mut called).await, Some(Reply::Refused(Refusal::Alone)));
}

#[tokio::test]
async fn a_device_that_takes_nothing_costs_its_own_circuit_alone() {
    // RLY-005, RLY-017: a device that is gone without a word looks like one that does not read.
    let relay = Relay::new(|relay| relay.idle = SHORT * 40).await;
    let (mut stuck, mut _gone) = relay.circuit(1).await;
    let (mut lively, mut other) = relay.circuit(2).await;
    let block = vec![5; 1 << 20];
    let mut sent = 0;
    // It is closed though its sender never stops, for nothing is taken.
    while let Ok(count) = stuck.write(&block).await {
        sent += count;
        assert!(sent < 64 << 20, "the relay takes what nobody reads");
        lively.write_all(&[1; 100]).await.unwrap();
        other.read_exact(&mut [0; 100]).await.unwrap();
    }
}

#[tokio::test]
async fn a_silent_circuit_is_closed() {
    // RLY-017
    let relay = Relay::new(|relay| relay.idle = SHORT).await;
    let (mut caller, mut called) = relay.circuit(1).await;
    ends(&mut caller).await;
    ends(&mut called).await;
}

#[tokio::test]
async fn a_reset_reaches_the_other_device() {
    // RLY-016
    let relay = Relay::new(|_| ()).await;
    let (caller, mut called) = relay.circuit(1).await;
    caller.set_zero_linger().unwrap();
    drop(caller);
    ends(&mut called).await;
}

#[tokio::test]
async fn quota_and_rate() {
    // RLY-018, RLY-019
    let relay = Relay::new(|relay| relay.quota = 1 << 20).await;
    let (mut caller, mut called) = relay.circuit(1).await;
    let reading = tokio::spawn(async move {
        let mut sink = Vec::new();
        let _ = called.read_to_end(&mut sink).await;
        sink.len()
    });
    let block = vec![5; 1 << 18];
    while caller.write_all(&block).await.is_ok() {}
    assert!(reading.await.unwrap() >= 1 << 20);
    let mut again = relay.join(2, Side::Caller).await;
    assert_eq!(reply(&mut again).await, Some(Reply::Refused(Refusal::Quota)));
    let mut other = relay.join(2, Side::Called).await;
    assert_eq!(reply(&mut other).await, Some(Reply::Waiting));

    let relay = Relay::new(|relay| relay.rate = 10 << 20).await;
    let (mut caller, mut called) = relay.circuit(1).await;
    let began = std::time::Instant::now();
    let size = 15 << 20;
    let (sent, read) = tokio::join!(async { caller.write_all(&vec![1; size]).await }, async {
        called.read_exact(&mut vec![0; size]).await
    });
    sent.unwrap();
    read.unwrap();
    // A second's worth goes at once. What the relay holds back it holds back at least so long.
    assert!(began.elapsed() >= Duration::from_millis(450), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_relay_that_drains_tells_who_waits_and_carries_on_what_is_joined() {
    // RLY-020, RLY-021
    let relay = Relay::new(|_| ()).await;
    let (mut caller, mut called) = relay.circuit(1).await;
    let mut waiting = relay.join(2, Side::Caller).await;
    assert_eq!(reply(&mut waiting).await, Some(Reply::Waiting));
    let (addr, join) = (relay.running.addr, relay.join_bytes(3, Side::Caller));
    let Relay { running, _data } = relay;
    let stopping = tokio::spawn(running.shutdown());
    assert_eq!(reply(&mut waiting).await, Some(Reply::Refused(Refusal::Draining)));
    let mut late = TcpStream::connect(addr).await.unwrap();
    late.write_all(&join).await.unwrap();
    assert_eq!(reply(&mut late).await, Some(Reply::Refused(Refusal::Draining)));
    caller.write_all(b"still here").await.unwrap();
    let mut read = [0; 10];
    called.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"still here");
    drop((caller, called));
    stopping.await.unwrap(); // long before the time for draining is over
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn circuits_that_do_not_end_are_ended() {
    let relay = Relay::new(|relay| relay.drain = SHORT).await;
    let (mut caller, _called) = relay.circuit(1).await;
    let Relay { running, _data } = relay;
    running.shutdown().await;
    ends(&mut caller).await;
}

#[tokio::test]
async fn connections_are_bounded() {
    // RLY-009
    let relay = Relay::new(|relay| relay.connections = 2).await;
    let _circuit = relay.circuit(1).await;
    let mut third = relay.join(2, Side::Caller).await;
    assert_eq!(reply(&mut third).await, Some(Reply::Refused(Refusal::Busy)));
}

/// An answer of the operator's listener: its status and its body.
async fn ask_operator(relay: &Relay, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(relay.running.operations.unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn a_relay_alone_has_metrics_and_health() {
    let relay = Relay::with(|config| config.operations.listen = Some(([127, 0, 0, 1], 0).into())).await;
    assert_eq!(ask_operator(&relay, "/health/live").await.0, 200);
    let (status, body) = ask_operator(&relay, "/health/ready").await;
    assert_eq!((status, body.contains("\"ready\":true")), (200, true), "{body}");
    let _circuit = relay.circuit(1).await;
    let (status, body) = ask_operator(&relay, "/metrics").await;
    assert!(status == 200 && body.contains("meshd_relay_circuits_open"), "{body}");
}
