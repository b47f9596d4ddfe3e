//! Limits of connections: how many there are, how many from one address, and how long one may say or take nothing.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum_server::accept::Accept;
use hyper::rt::{Sleep, Timer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::config::Config;
use crate::source::network;

/// How long a client may take for its first byte, and for the header of a request.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Accepts as `inner` does, within the limits.
#[derive(Clone)]
pub(crate) struct Limits<A> {
    inner: A,
    slots: Arc<Slots>,
    first_byte: Duration,
    stalled: Duration,
}

impl<A> Limits<A> {
    pub(crate) fn new(inner: A, config: &Config) -> Self {
        Self {
            inner,
            slots: Arc::new(Slots {
                all: config.connections,
                each: (config.connections * usize::from(config.source_share) / 100).max(1),
                proxies: config.identity.proxies.clone(),
                taken: Mutex::default(),
            }),
            first_byte: PATIENCE,
            stalled: config.answer_idle,
        }
    }
}

/// What comes from an address.
pub(crate) trait FromPeer {
    /// Of the other end, if it is still there.
    fn peer(&self) -> io::Result<IpAddr>;
}

impl FromPeer for TcpStream {
    fn peer(&self) -> io::Result<IpAddr> {
        Ok(self.peer_addr()?.ip())
    }
}

/// The places for connections.
struct Slots {
    all: usize,
    /// How many of them one address may have.
    each: usize,
    /// Theirs are the connections of many.
    proxies: Vec<IpAddr>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// By address, of IPv6 by the first 64 bits. None is 0.
    by_source: HashMap<IpAddr, usize>,
}

impl Slots {
    /// Takes a place for a connection from there. Who comes when none is left is sent away: who waited would take a
    /// descriptor, too.
    fn take(self: &Arc<Self>, peer: IpAddr) -> io::Result<Slot> {
        let peer = peer.to_canonical();
        // Of this machine, or of a proxy: behind either there are many, or nobody who has to be kept out.
        let source = (!peer.is_loopback() && !self.proxies.contains(&peer)).then(|| network(peer));
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = source.and_then(|source| taken.by_source.get(&source).copied()).unwrap_or(0);
        if taken.all >= self.all || own >= self.each {
            return Err(io::Error::other("no connection is left for this address"));
        }
        taken.all += 1;
        if let Some(source) = source {
            taken.by_source.insert(source, own + 1);
        }
        Ok(Slot { slots: Arc::clone(self), source })
    }
}

/// A place, until it is dropped.
struct Slot {
    slots: Arc<Slots>,
    source: Option<IpAddr>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(source) = self.source
            && let Some(own) = taken.by_source.get_mut(&source)
        {
            *own -= 1;
            if *own == 0 {
                taken.by_source.remove(&source);
            }
        }
    }
}

type Accepting<T, S> = Pin<Box<dyn Future<Output = io::Result<(Limited<T>, S)>> + Send>>;

impl<A, I, S> Accept<I, S> for Limits<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
    I: FromPeer,
{
    type Stream = Limited<A::Stream>;
    type Service = A::Service;
    type Future = Accepting<A::Stream, A::Service>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let slot = stream.peer().and_then(|peer| self.slots.take(peer));
        let accepting = self.inner.accept(stream, service);
        let (first_byte, stalled) = (self.first_byte, self.stalled);
        Box::pin(async move {
            let slot = slot?;
            let (inner, service) = accepting.await?;
            let first_byte = Some(Box::pin(tokio::time::sleep(first_byte)));
            Ok((Limited { inner, first_byte, stalled, stuck: None, _slot: slot }, service))
        })
    }
}

/// A connection that holds its slot until it is dropped, and fails if nothing comes at first, or if the client takes
/// nothing of what is written for long. After the first byte the timeout for headers takes over, which begins only when
/// the version of HTTP is known.
pub(crate) struct Limited<T> {
    inner: T,
    first_byte: Option<Pin<Box<tokio::time::Sleep>>>,
    /// How long a write may be stuck.
    stalled: Duration,
    /// Runs while a write is.
    stuck: Option<Pin<Box<tokio::time::Sleep>>>,
    _slot: Slot,
}

impl<T> Limited<T> {
    /// What a write came to, unless it is stuck for too long.
    fn written<O>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<O>>) -> Poll<io::Result<O>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let stalled = self.stalled;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(stalled)));
        stuck.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Limited<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if read.is_ready() {
            self.first_byte = None;
        } else if let Some(first_byte) = &mut self.first_byte
            && first_byte.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Limited<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.written(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = Pin::new(&mut self.inner).poll_flush(cx);
        self.written(cx, written)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, pieces);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// Tokio's time for hyper, which needs it for its own timeouts.
#[derive(Clone, Copy)]
pub(crate) struct TokioTimer;

struct TokioSleep(Pin<Box<tokio::time::Sleep>>);

impl Future for TokioSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl Sleep for TokioSleep {}

impl Timer for TokioTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(TokioSleep(Box::pin(tokio::time::sleep(duration))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(TokioSleep(Box::pin(tokio::time::sleep_until(deadline.into()))))
    }
}

#[cfg(test)]
mod tests {
    use axum_server::accept::DefaultAcceptor;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    impl FromPeer for DuplexStream {
        fn peer(&self) -> io::Result<IpAddr> {
            Ok([192, 0, 2, 1].into())
        }
    }

    fn limits(change: impl FnOnce(&mut Config)) -> Limits<DefaultAcceptor> {
        let mut config = Config::new("nowhere");
        change(&mut config);
        Limits::new(DefaultAcceptor::new(), &config)
    }

    #[tokio::test]
    async fn slots_come_back() {
        let limits = limits(|config| config.connections = 1);
        let pipe = || tokio::io::duplex(16).0;
        let first = limits.accept(pipe(), ()).await.unwrap();
        assert!(limits.accept(pipe(), ()).await.is_err());
        drop(first);
        assert!(limits.accept(pipe(), ()).await.is_ok());
    }

    #[test]
    fn nobody_takes_all() {
        let slots = limits(|config| {
            (config.connections, config.source_share) = (8, 25);
            config.identity.proxies = vec![[10, 0, 0, 1].into()];
        });
        let take = |text: &str| slots.slots.take(text.parse().unwrap());
        let first = take("2001:db8::1").unwrap();
        let _second = take("2001:db8:0:0:ffff::2").unwrap();
        assert!(take("2001:db8::3").is_err(), "a quarter of 8 for the first 64 bits");
        let _other = take("2001:db8:0:1::3").unwrap();
        drop(first);
        let _again = take("2001:db8::3").unwrap();
        let _v4 = [take("192.0.2.1").unwrap(), take("::ffff:192.0.2.1").unwrap()];
        assert!(take("192.0.2.1").is_err());
        let _many = ["10.0.0.1", "10.0.0.1", "10.0.0.1"].map(|proxy| take(proxy).unwrap());
        assert!(take("127.0.0.1").is_err(), "8 are taken");
        drop(_many);
        assert!(["127.0.0.1", "127.0.0.1", "127.0.0.1"].map(take).iter().all(Result::is_ok));
        drop((_second, _other, _again, _v4));
        assert_eq!(slots.slots.taken.lock().unwrap().by_source.len(), 0, "nothing is kept of who has gone");
    }

    #[tokio::test]
    async fn who_says_nothing_is_given_up() {
        let limits = Limits { first_byte: Duration::from_millis(50), ..limits(|_| ()) };
        let (_silent, ours) = tokio::io::duplex(16);
        let (mut stream, ()) = limits.accept(ours, ()).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);

        let (mut theirs, ours) = tokio::io::duplex(16);
        let (mut stream, ()) = limits.accept(ours, ()).await.unwrap();
        theirs.write_u8(1).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), 1);
        let more = tokio::time::timeout(Duration::from_millis(150), stream.read_u8()).await;
        assert!(more.is_err(), "the limit is for the first byte only");
    }

    #[tokio::test]
    async fn who_takes_nothing_is_given_up() {
        let limits = limits(|config| config.answer_idle = Duration::from_millis(50));
        let (mut theirs, ours) = tokio::io::duplex(16);
        let (mut stream, ()) = limits.accept(ours, ()).await.unwrap();
        stream.write_all(&[7; 16]).await.unwrap();
        let stuck =
            |cx: &mut Context<'_>| Poll::Ready(Pin::new(&mut stream).poll_write(cx, &[7]).is_pending());
        assert!(std::future::poll_fn(stuck).await);
        // Each byte that is taken gives it the whole time again.
        theirs.read_u8().await.unwrap();
        stream.write_u8(7).await.unwrap();
        assert!(stream.stuck.is_none());
        assert_eq!(stream.write_u8(7).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
