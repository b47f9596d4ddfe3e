//! Limits of connections: how many there are, and how long one may say nothing.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum_server::accept::Accept;
use hyper::rt::{Sleep, Timer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a client may take for its first byte, and for the header of a request.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Accepts as `inner` does, within the limits.
#[derive(Clone)]
pub(crate) struct Limits<A> {
    inner: A,
    slots: Arc<Semaphore>,
    patience: Duration,
}

impl<A> Limits<A> {
    pub(crate) fn new(inner: A, connections: usize, patience: Duration) -> Self {
        Self { inner, slots: Arc::new(Semaphore::new(connections)), patience }
    }
}

type Accepting<T, S> = Pin<Box<dyn Future<Output = io::Result<(Limited<T>, S)>> + Send>>;

impl<A, I, S> Accept<I, S> for Limits<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
{
    type Stream = Limited<A::Stream>;
    type Service = A::Service;
    type Future = Accepting<A::Stream, A::Service>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        // Who comes when all are taken is sent away: who waited would take a descriptor, too.
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(io::Error::other);
        let (accepting, patience) = (self.inner.accept(stream, service), self.patience);
        Box::pin(async move {
            let slot = slot?;
            let (inner, service) = accepting.await?;
            let first_byte = Some(Box::pin(tokio::time::sleep(patience)));
            Ok((Limited { inner, first_byte, _slot: slot }, service))
        })
    }
}

/// A connection that holds its slot until it is dropped, and fails if nothing comes at first. Later the timeout for
/// headers takes over, which begins only when the version of HTTP is known.
pub(crate) struct Limited<T> {
    inner: T,
    first_byte: Option<Pin<Box<tokio::time::Sleep>>>,
    _slot: OwnedSemaphorePermit,
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
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, pieces)
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn slots_come_back() {
        let limits = Limits::new(DefaultAcceptor::new(), 1, PATIENCE);
        let pipe = || tokio::io::duplex(16).0;
        let first = limits.accept(pipe(), ()).await.unwrap();
        assert!(limits.accept(pipe(), ()).await.is_err());
        drop(first);
        assert!(limits.accept(pipe(), ()).await.is_ok());
    }

    #[tokio::test]
    async fn who_says_nothing_is_given_up() {
        let limits = Limits::new(DefaultAcceptor::new(), 2, Duration::from_millis(50));
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
}
