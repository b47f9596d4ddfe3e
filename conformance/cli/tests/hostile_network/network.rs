//! The network between two devices: who stands in the middle reads, writes, keeps and cuts what it likes.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::sleep;
use turmoil::net::{TcpListener, TcpStream};

use crate::world::{Dice, dice, elapsed};

/// A listener of the simulation, as the relay takes it.
pub(crate) struct SimulatedListener(pub(crate) TcpListener);

/// A connection of the simulation.
pub(crate) struct SimulatedStream(TcpStream);

impl meshproof_cloud::Listener for SimulatedListener {
    type Stream = SimulatedStream;

    async fn accept(&self) -> io::Result<(SimulatedStream, SocketAddr)> {
        let (stream, from) = self.0.accept().await?;
        Ok((SimulatedStream(stream), from))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl meshproof_cloud::Stream for SimulatedStream {
    async fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.peek(buffer).await
    }
}

impl AsyncRead for SimulatedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SimulatedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// What is done to one direction of a connection.
#[derive(Clone, Copy, Debug)]
enum Harm {
    None,
    /// Each byte comes alone, this much later than the one before.
    Slow(Duration),
    /// All comes later.
    Late(Duration),
    /// The connection ends in both directions behind this many bytes.
    Reset(usize),
    /// This direction ends behind this many bytes.
    Cut(usize),
    /// Behind this many bytes nothing comes any more, and nothing ends.
    Silence(usize),
    /// This byte is another.
    Alter(usize),
    /// The piece with this byte comes twice.
    Repeat(usize),
    /// The piece with this byte comes behind the next.
    Swap(usize),
}

impl Harm {
    /// A connection has a few kilobytes of handshake and some ten of records.
    fn draw(dice: &mut Dice) -> Self {
        let end = if dice.below(2) == 0 { 6_000 } else { 60_000 };
        let at = usize::try_from(dice.below(end)).unwrap_or_default();
        match dice.below(10) {
            0 => Self::Slow(Duration::from_millis(1 + dice.below(8))),
            1 => Self::Late(Duration::from_millis(dice.below(8_000))),
            2 => Self::Reset(at),
            3 => Self::Cut(at),
            4 => Self::Silence(at),
            5 => Self::Alter(at),
            6 => Self::Repeat(at),
            7 => Self::Swap(at),
            _ => Self::None,
        }
    }
}

/// Who stands in the middle.
pub(crate) struct Middle {
    dice: Dice,
    healed: Duration,
}

impl Middle {
    /// Does no harm to connections that begin after `healed`.
    pub(crate) fn new(seed: u64, healed: Duration) -> Self {
        Self { dice: dice(seed, 5), healed }
    }

    /// Passes connections to `port` on to the same port of `behind`.
    pub(crate) async fn run(
        mut self,
        port: u16,
        behind: &'static str,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let listener = TcpListener::bind(("0.0.0.0", port)).await?;
        loop {
            let (near, _) = listener.accept().await?;
            let harms = [0, 1].map(|_| {
                let harm = Harm::draw(&mut self.dice);
                if elapsed() < self.healed { harm } else { Harm::None }
            });
            tokio::spawn(async move {
                let Ok(far) = TcpStream::connect((behind, port)).await else { return };
                let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                tokio::select! {
                    () = pass(harms[0], from_near, to_far) => {} // a reset: both are dropped
                    () = pass(harms[1], from_far, to_near) => {}
                }
            });
        }
    }
}

/// Passes bytes on to their end and then waits for the other direction; comes back if the whole connection is to be reset.
async fn pass(harm: Harm, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let (mut passed, mut kept) = (0_usize, Vec::new());
    let mut piece = vec![0; 1_500];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        let mut bytes = piece[..count].to_vec();
        let here = |at: usize| (passed..passed + count).contains(&at);
        let mut twice = false;
        let mut end = false;
        match harm {
            Harm::Late(time) => sleep(time.div_f64(4.0)).await,
            Harm::Reset(at) if here(at) => return,
            Harm::Cut(at) if here(at) => {
                bytes.truncate(at - passed);
                end = true;
            }
            Harm::Silence(at) if here(at) => {
                let _ = to.write_all(&bytes[..at - passed]).await;
                return std::future::pending().await;
            }
            Harm::Alter(at) if here(at) => bytes[at - passed] ^= 0x40,
            Harm::Repeat(at) => twice = here(at),
            Harm::Swap(at) if here(at) => {
                kept = bytes;
                passed += count;
                continue;
            }
            _ => {}
        }
        passed += count;
        bytes.append(&mut kept);
        if let Harm::Slow(time) = harm {
            for byte in &bytes {
                if to.write_all(&[*byte]).await.is_err() {
                    return;
                }
                sleep(time).await;
            }
        } else {
            for _ in 0..=usize::from(twice) {
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
        if end {
            break;
        }
    }
    let _ = to.write_all(&kept).await;
    let _ = to.shutdown().await;
    std::future::pending::<()>().await;
}
