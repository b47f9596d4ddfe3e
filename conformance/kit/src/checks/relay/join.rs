//! relay.md section 4.1: passes, and who is joined to whom.

use std::time::Duration;

use super::{ALONE, BOTH, check, circuit, waiting};
use crate::check::{Check, Context, Verdict};
use crate::oracle::relay::{JOINED, PassFields, WAITING, join, ping, pong, refused};
use crate::target::peer::now;
use crate::target::relay::{dial, expect, join as send_join, pass};

/// How many connections an account may have (RLY-008).
const ACCOUNT: usize = 64;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![
        check(ALONE, &["RLY-010"], "who comes first is told to wait", |context| async move {
            waiting(&context, &pass(&context)?).await.map(drop)
        }),
        check(BOTH, &["RLY-011"], "both are told when the other side is there", |context| async move {
            circuit(&context).await.map(drop)
        })
        .twin(ALONE),
        check("rly.join.called-first", &["RLY-011"], "the called device may come first", called_first)
            .twin(ALONE),
        check("rly.join.bytewise", &[], "JOIN byte by byte", |context| async move {
            let mut conn = dial(&context).await?;
            for byte in pass(&context)?.join() {
                conn.send_quietly(&[byte]).await?;
            }
            expect(&mut conn, "WAITING", &WAITING, false).await
        })
        .twin(ALONE),
        check(
            "rly.join.two-circuits",
            &["RLY-011"],
            "sides of two circuits are not joined",
            |context| async move {
                let mut one = waiting(&context, &pass(&context)?).await?;
                let mut two = waiting(&context, &PassFields { side: 1, ..pass(&context)? }).await?;
                one.expect_nothing(Duration::from_millis(100)).await?;
                two.expect_nothing(Duration::from_millis(100)).await
            },
        )
        .twin(BOTH),
        check("rly.ping", &["RLY-006"], "PING is answered with its nonce", |context| async move {
            let (mut conn, nonce) = (dial(&context).await?, context.random());
            conn.send("PING", &ping(nonce)).await?;
            expect(&mut conn, "PONG", &pong(nonce), false).await
        }),
        check("rly.ping.then-join", &["RLY-006"], "PING twice, then JOIN", ping_then_join).twin("rly.ping"),
        check(
            "rly.join.expired",
            &["RLY-007", "RLY-012"],
            "a pass that expired half a minute ago",
            |context| async move {
                let expired = PassFields { expires: now() - 30, ..pass(&context)? };
                let mut conn = send_join(&context, &expired).await?;
                expect(&mut conn, "REFUSED with code 2", &refused(2), true).await
            },
        )
        .twin(ALONE),
        check("rly.join.taken-waiting", &["RLY-004", "RLY-012"], "a pass twice", |context| async move {
            let pass = pass(&context)?;
            let _first = waiting(&context, &pass).await?;
            taken(&context, &pass).await
        })
        .twin(BOTH),
        check(
            "rly.join.taken-joined",
            &["RLY-004"],
            "a third connection to a circuit",
            |context| async move {
                let (_caller, _called, pass) = circuit(&context).await?;
                taken(&context, &pass).await?;
                taken(&context, &PassFields { side: 1, ..pass }).await
            },
        )
        .twin(BOTH),
        check(
            "rly.join.taken-ended",
            &["RLY-004"],
            "a pass of a circuit that has ended",
            |context| async move {
                let (mut caller, mut called, pass) = circuit(&context).await?;
                caller.finish().await?;
                called.expect_silent_close().await?;
                called.finish().await?;
                caller.expect_silent_close().await?;
                taken(&context, &pass).await
            },
        )
        .twin(BOTH),
        check(
            "rly.join.account-full",
            &["RLY-008", "RLY-012"],
            "the 65th connection of an account, and one of another",
            account_full,
        )
        .twin(ALONE),
    ];
    checks.extend(malformed());
    checks.extend(unknown());
    checks
}

async fn called_first(context: Context) -> Verdict {
    let caller_pass = pass(&context)?;
    let mut called = waiting(&context, &PassFields { side: 1, ..caller_pass.clone() }).await?;
    let mut caller = send_join(&context, &caller_pass).await?;
    expect(&mut called, "JOINED", &JOINED, false).await?;
    expect(&mut caller, "JOINED", &JOINED, false).await
}

async fn ping_then_join(context: Context) -> Verdict {
    let (mut conn, first, second) = (dial(&context).await?, context.random(), context.random());
    conn.send("two PINGs and JOIN", &[ping(first), ping(second), pass(&context)?.join()].concat()).await?;
    expect(&mut conn, "PONG", &pong(first), false).await?;
    expect(&mut conn, "PONG", &pong(second), false).await?;
    expect(&mut conn, "WAITING", &WAITING, false).await
}

async fn taken(context: &Context, pass: &PassFields) -> Verdict {
    let mut conn = send_join(context, pass).await?;
    expect(&mut conn, "REFUSED with code 3", &refused(3), true).await
}

async fn account_full(context: Context) -> Verdict {
    let first = pass(&context)?;
    let mut places = Vec::new();
    for _ in 0..ACCOUNT {
        places.push(waiting(&context, &PassFields { account: first.account, ..pass(&context)? }).await?);
    }
    let one_more = PassFields { account: first.account, ..pass(&context)? };
    let mut conn = send_join(&context, &one_more).await?;
    expect(&mut conn, "REFUSED with code 4", &refused(4), true).await?;
    waiting(&context, &pass(&context)?).await.map(drop)
}

fn malformed() -> Vec<Check> {
    let edited = |at: usize, byte: u8| {
        move |mut join: Vec<u8>| {
            join[at] = byte;
            join
        }
    };
    let case = |id: &str, title: &str, edit: Box<dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync>| {
        check(&format!("rly.join.{id}"), &["RLY-001"], title, move |context| {
            let join = pass(&context).map(|pass| edit(pass.join()));
            async move {
                let mut conn = dial(&context).await?;
                conn.send("instead of JOIN", &join?).await?;
                conn.expect_silent_close().await
            }
        })
        .twin(ALONE)
    };
    vec![
        case("version-0", "JOIN of version 0", Box::new(edited(1, 0))),
        case("version-2", "JOIN of version 2", Box::new(edited(1, 2))),
        case("version-257", "JOIN of version 257", Box::new(edited(0, 1))),
        case("kind-0", "a message of kind 0", Box::new(edited(2, 0))),
        case("kind-3", "a message of kind 3", Box::new(edited(2, 3))),
        case("http", "an HTTP request", Box::new(|_| b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n".to_vec())),
        case("handshake", "the begin of an M1", Box::new(|_| vec![1, 0, 8, 0, 0, 1])),
    ]
}

fn unknown() -> Vec<Check> {
    let case = |id: &str, title: &str, change: fn(&PassFields) -> Vec<u8>| {
        check(&format!("rly.join.{id}"), &["RLY-002", "RLY-012"], title, move |context| async move {
            let changed = change(&pass(&context)?);
            let mut conn = dial(&context).await?;
            conn.send("JOIN", &join(&changed)).await?;
            expect(&mut conn, "REFUSED with code 1", &refused(1), true).await
        })
        .twin(ALONE)
    };
    vec![
        case("tag-flipped", "a bit of the tag is flipped", |pass| flipped(pass, 72)),
        case("expires-flipped", "a bit of the encrypted time is flipped", |pass| flipped(pass, 24)),
        case("account-flipped", "a bit of the encrypted account is flipped", |pass| flipped(pass, 25)),
        case("circuit-flipped", "a bit of the circuit is flipped", |pass| flipped(pass, 15)),
        case("side-changed", "the side of a pass is changed", |pass| {
            let mut bytes = pass.seal();
            bytes[16] = 1;
            bytes
        }),
        case("other-key", "a pass under another key", |pass| {
            PassFields { key: vec![0x5a; 32], ..pass.clone() }.seal()
        }),
        case("other-address", "a pass for another relay", |pass| {
            PassFields { address: format!("other.{}", pass.address), ..pass.clone() }.seal()
        }),
        case("zeros", "a pass of zeros", |_| vec![0; 73]),
    ]
}

fn flipped(pass: &PassFields, at: usize) -> Vec<u8> {
    let mut bytes = pass.seal();
    bytes[at] ^= 1;
    bytes
}
