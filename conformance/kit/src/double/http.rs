//! HTTP/1.1 over TLS, by hand: a server that can answer as no library would.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use rustls::ServerConfig;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// More header fields than a client has a reason to send, in bytes (GPH-009).
const LARGEST_HEAD: usize = 128 << 10;
/// A larger body than a check asks for.
const LARGEST_BODY: usize = 16 << 20;
/// How much of an endless answer is written, in bytes: more than a client may keep (GPH-173).
pub const ENDLESS: usize = 160 << 20;

/// A request, whole.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// What stands before the question mark.
    pub path: String,
    /// What stands behind it.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Beside the length.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How it is sent.
    pub manner: Manner,
}

/// How an answer is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// At once, as anybody would.
    #[default]
    Whole,
    /// Byte by byte: slow, and in order.
    Bytewise,
    /// The body is announced to be longer than it is, and the connection ends behind it.
    Cut,
    /// A body of 2^40 bytes is announced and begun.
    Endless,
    /// The connection ends instead.
    Nothing,
}

impl Request {
    /// The value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// `GET /mesh`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

impl Reply {
    /// JSON with a status.
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes(), manner: Manner::Whole }
    }

    /// 204.
    pub fn empty() -> Self {
        Self { status: 204, headers: Vec::new(), body: Vec::new(), manner: Manner::Whole }
    }

    /// A problem document.
    pub fn problem(status: u16, error: &str, requirement: &str) -> Self {
        let body = serde_json::json!({
            "type": format!("urn:meshproof:error:{error}"), "title": error, "status": status, "requirement": requirement,
        });
        let headers = vec![("content-type", "application/problem+json".to_owned())];
        Self { headers, ..Self::json(status, &body) }
    }

    /// The same with one more header field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The body as JSON; null if it is none.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Changes the body.
    pub fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        let mut body = self.value();
        change(&mut body);
        self.body = body.to_string().into_bytes();
    }
}

/// Accepts connections until it is dropped. `swallowed` is told of each endless answer that was taken whole.
pub async fn serve<F, S>(listener: TcpListener, config: Arc<ServerConfig>, answer: F, swallowed: S)
where
    F: Fn(&Request) -> Reply + Clone + Send + Sync + 'static,
    S: Fn() + Clone + Send + Sync + 'static,
{
    let acceptor = TlsAcceptor::from(config);
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (acceptor, answer, swallowed) = (acceptor.clone(), answer.clone(), swallowed.clone());
        connections.spawn(async move {
            // How a connection ends is for the client to say.
            let _ = converse(acceptor, stream, answer, swallowed).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    answer: impl Fn(&Request) -> Reply,
    swallowed: impl Fn(),
) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer).await? {
        let reply = answer(&request);
        let goes_on = write(&mut stream, &request, &reply).await?;
        if reply.manner == Manner::Endless {
            swallowed();
        }
        if !goes_on {
            break;
        }
    }
    stream.shutdown().await
}

/// The next request. None: the client is gone.
async fn read(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<Option<Request>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if buffer.len() > LARGEST_HEAD {
            return Err(ErrorKind::InvalidData.into());
        }
        if !more(stream, buffer).await? {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: Vec::new(),
    };
    if request.header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    request.body = match request.header("content-length").map(str::parse::<usize>) {
        Some(Ok(length)) if length <= LARGEST_BODY => exactly(stream, buffer, length).await?,
        Some(_) => return Err(ErrorKind::InvalidData.into()),
        None if request.header("transfer-encoding").is_some() => chunks(stream, buffer).await?,
        None => Vec::new(),
    };
    Ok(Some(request))
}

async fn chunks(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            match buffer.windows(2).position(|window| window == b"\r\n") {
                Some(end) => break end,
                None if more(stream, buffer).await? => {}
                None => return Err(ErrorKind::UnexpectedEof.into()),
            }
        };
        let size = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end + 2);
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| Error::from(ErrorKind::InvalidData))?;
        if body.len() + size > LARGEST_BODY {
            return Err(ErrorKind::InvalidData.into());
        }
        let chunk = exactly(stream, buffer, size + 2).await?;
        body.extend_from_slice(&chunk[..size]);
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn exactly(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    length: usize,
) -> Result<Vec<u8>> {
    while buffer.len() < length {
        if !more(stream, buffer).await? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.drain(..length).collect())
}

/// Reads what has come. `false`: nothing more comes.
async fn more(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Result<bool> {
    buffer.reserve(16 << 10);
    Ok(stream.read_buf(buffer).await? > 0)
}

/// Sends an answer. `false`: the connection is to end.
async fn write(stream: &mut (impl AsyncWrite + Unpin), request: &Request, reply: &Reply) -> Result<bool> {
    let length = match reply.manner {
        Manner::Nothing => return Ok(false),
        Manner::Cut => reply.body.len() + 100,
        Manner::Endless => 1 << 40,
        Manner::Whole | Manner::Bytewise => reply.body.len(),
    };
    let mut head = vec![format!("HTTP/1.1 {} Status", reply.status)];
    head.extend(reply.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    if reply.status != 204 {
        head.push(format!("content-length: {length}"));
    }
    let mut bytes = (head.join("\r\n") + "\r\n\r\n").into_bytes();
    if request.method != "HEAD" {
        bytes.extend_from_slice(&reply.body);
    }
    if reply.manner == Manner::Bytewise {
        for byte in bytes {
            stream.write_all(&[byte]).await?;
            stream.flush().await?;
        }
        return Ok(true);
    }
    stream.write_all(&bytes).await?;
    if reply.manner == Manner::Endless {
        let spaces = vec![b' '; 1 << 16];
        for _ in 0..ENDLESS / spaces.len() {
            stream.write_all(&spaces).await?;
        }
    }
    stream.flush().await?;
    Ok(matches!(reply.manner, Manner::Whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(text: &str) -> Vec<Request> {
        let (mut client, mut server) = tokio::io::duplex(64);
        let text = text.as_bytes().to_vec();
        tokio::spawn(async move {
            client.write_all(&text).await.expect("the other side reads");
        });
        let (mut buffer, mut requests) = (Vec::new(), Vec::new());
        while let Some(request) = read(&mut server, &mut buffer).await.expect("requests") {
            requests.push(request);
        }
        requests
    }

    #[tokio::test]
    async fn requests_are_read_one_by_one() {
        let requests = read_all(
            "POST /a?b=c HTTP/1.1\r\nContent-Length: 3\r\nX: y \r\n\r\nabc\
             PUT /d HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2;x\r\nde\r\n1\r\nf\r\n0\r\n\r\n\
             GET / HTTP/1.1\r\n\r\n",
        )
        .await;
        let found: Vec<_> = requests.iter().map(|request| (request.line(), request.body.clone())).collect();
        assert_eq!(
            found,
            [
                ("POST /a".to_owned(), b"abc".to_vec()),
                ("PUT /d".to_owned(), b"def".to_vec()),
                ("GET /".to_owned(), Vec::new())
            ]
        );
        assert_eq!((requests[0].query.as_str(), requests[0].header("x")), ("b=c", Some("y")));
    }
}
