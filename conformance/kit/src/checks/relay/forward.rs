//! relay.md section 4.2: the bytes of a circuit.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{BOTH, check, circuit, waiting};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::crypto::h;
use crate::oracle::relay::{JOINED, PassFields, refused};
use crate::target::relay::{dial, expect, join as send_join, pass, target};

const MIB: usize = 1 << 20;
/// What the kit sends each way.
const LARGE: usize = 8 * MIB;
/// More than two systems and a relay may hold for a device that does not read.
const TOO_MUCH: usize = 64 * MIB;
/// A direction in which nothing moves for so long has stopped.
const STALLED: Duration = Duration::from_millis(500);

pub(super) fn checks() -> Vec<Check> {
    vec![
        check("rly.forward.small", &["RLY-003"], "a few bytes each way", |context| async move {
            let (mut caller, mut called, _) = circuit(&context).await?;
            caller.send("to the called device", b"hello").await?;
            expect(&mut called, "what the caller sent", b"hello", false).await?;
            called.send("to the caller", b"and back").await?;
            expect(&mut caller, "what the called device sent", b"and back", false).await
        })
        .twin(BOTH),
        check("rly.forward.large", &["RLY-003"], "8 MiB each way at once", large).twin(BOTH),
        check("rly.forward.early", &["RLY-003"], "bytes that follow JOIN at once arrive first", early)
            .twin(BOTH),
        check(
            "rly.forward.own-words",
            &["RLY-003"],
            "bytes that look like the relay's own messages",
            own_words,
        )
        .twin(BOTH),
        check("rly.forward.half-close", &["RLY-015"], "one direction ends, the other goes on", half_close)
            .twin("rly.forward.small"),
        check("rly.forward.reset", &["RLY-016"], "a reset ends the other connection", reset).twin(BOTH),
        check("rly.forward.slow-reader", &["RLY-005"], "the sender to who does not read is stopped", slow)
            .twin("rly.forward.large"),
        check("rly.forward.quota", &["RLY-018"], "an account that sends more than its quota", |context| {
            quota(context, false)
        })
        .twin("rly.forward.large"),
        check(
            "rly.join.quota",
            &["RLY-019", "RLY-012"],
            "a pass of an account that has used its quota up",
            |context| quota(context, true),
        )
        .twin("rly.forward.quota"),
    ]
}

/// Bytes that do not repeat.
fn noise(context: &Context, length: usize) -> Vec<u8> {
    let seed = context.random::<32>();
    let blocks = (0..length.div_ceil(32) as u64).flat_map(|n| h(&[&seed, &n.to_be_bytes()]));
    blocks.take(length).collect()
}

async fn streams(context: &Context) -> Result<(TcpStream, TcpStream, PassFields), Stop> {
    let (caller, called, pass) = circuit(context).await?;
    Ok((caller.into_stream(), called.into_stream(), pass))
}

async fn large(context: Context) -> Verdict {
    let (mut caller, mut called, _) = streams(&context).await?;
    let (there, back) = (noise(&context, LARGE), noise(&context, LARGE));
    let (mut caller_reads, mut caller_writes) = caller.split();
    let (mut called_reads, mut called_writes) = called.split();
    let (mut at_called, mut at_caller) = (vec![0; LARGE], vec![0; LARGE]);
    let moved = async {
        tokio::try_join!(
            caller_writes.write_all(&there),
            called_writes.write_all(&back),
            called_reads.read_exact(&mut at_called),
            caller_reads.read_exact(&mut at_caller),
        )
    };
    match timeout(Duration::from_secs(30), moved).await {
        Err(_) => return Err(Stop::Fail("8 MiB each way did not arrive in 30 s".to_owned())),
        Ok(moved) => moved.map_err(|error| Stop::Fail(format!("the circuit broke: {error}")))?,
    };
    demand!(at_called == there, "what the caller sent did not arrive as it was");
    demand!(at_caller == back, "what the called device sent did not arrive as it was");
    Ok(())
}

async fn early(context: Context) -> Verdict {
    let caller_pass = pass(&context)?;
    let mut caller = dial(&context).await?;
    caller.send("JOIN and more", &[&caller_pass.join()[..], b"first"].concat()).await?;
    expect(&mut caller, "WAITING", &crate::oracle::relay::WAITING, false).await?;
    caller.send("more", b" second").await?;
    let mut called = send_join(&context, &PassFields { side: 1, ..caller_pass }).await?;
    expect(&mut called, "JOINED", &JOINED, false).await?;
    expect(&mut called, "what followed JOIN", b"first second", false).await
}

async fn own_words(context: Context) -> Verdict {
    let (mut caller, mut called, pass) = circuit(&context).await?;
    let words = [&[0, 1, 2, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 4, 4][..], &pass.join()].concat();
    caller.send("the relay's own words", &words).await?;
    expect(&mut called, "the same", &words, false).await?;
    caller.expect_nothing(Duration::from_millis(100)).await
}

async fn half_close(context: Context) -> Verdict {
    let (mut caller, mut called, _) = circuit(&context).await?;
    caller.send("to the called device", b"all").await?;
    caller.finish().await?;
    expect(&mut called, "what the caller sent", b"all", true).await?;
    called.send("to the caller", b"not yet").await?;
    expect(&mut caller, "what the called device sent", b"not yet", false).await?;
    called.finish().await?;
    caller.expect_silent_close().await
}

async fn reset(context: Context) -> Verdict {
    let (caller, mut called, _) = circuit(&context).await?;
    let caller = caller.into_stream();
    caller.set_zero_linger()?;
    drop(caller);
    called.expect_silent_close().await
}

async fn slow(context: Context) -> Verdict {
    let (mut caller, mut called, _) = streams(&context).await?;
    let block = vec![0x5a; 64 * 1024];
    let mut sent = 0;
    while let Ok(wrote) = timeout(STALLED, caller.write(&block)).await {
        sent += wrote.map_err(|error| Stop::Fail(format!("the circuit broke: {error}")))?;
        demand!(sent < TOO_MUCH, "{sent} bytes were taken that nobody reads");
    }
    context.note("stopped", format!("after {sent} bytes"));
    // All that was taken is there.
    let reading = async {
        let mut buffer = vec![0; 256 * 1024];
        let mut read = 0;
        while read < sent {
            match called.read(&mut buffer).await {
                Ok(count) if count > 0 => read += count,
                _ => break,
            }
        }
        read
    };
    let read = timeout(Duration::from_secs(30), reading).await.unwrap_or(0);
    demand!(read >= sent, "of {sent} bytes that were taken only {read} arrived");
    Ok(())
}

async fn quota(context: Context, join_again: bool) -> Verdict {
    let Some(quota) = target(&context)?.quota else {
        return Err(Stop::NotApplicable("no quota was given that is small enough".to_owned()));
    };
    let (mut caller, mut called, used) = streams(&context).await?;
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; 256 * 1024];
        while matches!(called.read(&mut buffer).await, Ok(1..)) {}
    });
    let block = vec![0x5a; MIB];
    let (mut sent, most) = (0, quota + TOO_MUCH as u64);
    while sent < most && caller.write_all(&block).await.is_ok() {
        sent += MIB as u64;
    }
    reading.abort();
    demand!(sent < most, "{sent} bytes were forwarded under a quota of {quota}");
    demand!(sent + 2 * MIB as u64 >= quota, "the circuit ended after {sent} bytes of a quota of {quota}");
    if join_again {
        let again = PassFields { account: used.account, ..pass(&context)? };
        let mut conn = send_join(&context, &again).await?;
        expect(&mut conn, "REFUSED with code 6", &refused(6), true).await?;
        waiting(&context, &pass(&context)?).await?;
    }
    Ok(())
}
