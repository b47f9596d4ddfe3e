//! A client that costs little: HTTP/1.1 over one TLS connection that stays open.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where a server is, and how to trust it.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) addr: SocketAddr,
    tls: TlsConnector,
}

impl Address {
    pub(crate) fn new(addr: SocketAddr, ca_pem: &[u8]) -> anyhow::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem).context("the server's CA")?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { addr, tls: TlsConnector::from(Arc::new(config)) })
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let tcp = TcpStream::connect(self.addr).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::from(self.addr.ip());
        Ok(Connection { tls: self.tls.connect(name, tcp).await?, buffer: Vec::with_capacity(16_384) })
    }
}

/// A request, ready to be sent many times.
pub(crate) fn request(method: &str, path: &str, authorization: &str, body: Option<&Value>) -> Vec<u8> {
    let field = |name: &str, value: &str| match value {
        "" => String::new(),
        value => format!("{name}: {value}\r\n"),
    };
    let rights = field("Authorization", authorization);
    let kind = field("Content-Type", body.map_or("", |_| "application/json"));
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    let start = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    format!("{start}{rights}{kind}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// One connection.
pub(crate) struct Connection {
    tls: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    /// Sends a request and reads the answer: its status code and body.
    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        self.write(request).await?;
        self.buffer.clear();
        let head = loop {
            self.read().await?;
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let fields = std::str::from_utf8(&self.buffer[..head]).context("an answer's header")?;
        let status = fields.get(9..12).and_then(|code| code.parse().ok()).context("an answer's status")?;
        let length = fields.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let length = length.unwrap_or(0); // 204
        while self.buffer.len() < head + length {
            self.read().await?;
        }
        ensure!(self.buffer.len() == head + length, "more came than was announced");
        Ok((status, &self.buffer[head..]))
    }

    /// Sends a request.
    pub(crate) async fn write(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.tls.write_all(request).await?;
        Ok(self.tls.flush().await?)
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        let read = self.tls.read_buf(&mut self.buffer).await?;
        ensure!(read > 0, "the server hung up");
        Ok(())
    }

    /// The same for JSON; anything but success is an error.
    pub(crate) async fn json(&mut self, request: &[u8]) -> anyhow::Result<Value> {
        let (status, body) = self.send(request).await?;
        ensure!((200..300).contains(&status), "{status}: {}", String::from_utf8_lossy(body));
        Ok(serde_json::from_slice(body)?)
    }
}
