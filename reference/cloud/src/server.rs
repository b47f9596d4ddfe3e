//! HTTPS: starting, stopping, limits of the HTTP stack.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use meshproof_proto::crypto::Spki;
use meshproof_proto::requirement::{self as req, deviates};
use tokio::task::JoinHandle;

use crate::bus::Bus;
use crate::config::{Config, Service};
use crate::limits::{Limits, PATIENCE, TokioTimer};
use crate::relay::{RunningRelay, start_relay};
use crate::state::{self, App};
use crate::stopping::Stopping;
use crate::storage::sweep;
use crate::{Error, health, router, tls};

/// What a stack must take at least is 65,536 bytes of header fields (GPH-009); by default HTTP/2 takes 16 KiB.
const HEADER_LIST: u32 = 128 * 1_024;
const HTTP1_BUFFER: usize = 256 * 1_024;
const HTTP1_FIELDS: usize = 1_024;
/// What the mutant of GPH-009 takes.
const HTTP1_SMALLEST: usize = 8_192;
const HTTP2_DEFAULT: u32 = 16 * 1_024;

/// A running cloud. Dropping it stops the server without waiting; [`Running::shutdown`] waits.
#[derive(Debug)]
pub struct Running {
    /// The root, without trailing slash: `https://127.0.0.1:PORT`.
    pub url: String,
    /// Where the server listens.
    pub addr: SocketAddr,
    /// The certificate of the cloud's authority, which clients have to trust.
    pub ca_pem: String,
    /// The issuer's uri.
    pub issuer: String,
    /// The issuer's key.
    pub issuer_key: Spki,
    /// The uri for which the services accept tickets.
    pub audience: String,
    /// Where metrics and health are served.
    pub operations: Option<SocketAddr>,
    /// The relay, if it runs here.
    pub relay: Option<RunningRelay>,
    stopping: Stopping,
    sweeping: JoinHandle<()>,
    handle: Handle<SocketAddr>,
    bus: Bus,
    drain: Duration,
    _lock: File,
    task: JoinHandle<std::io::Result<()>>,
}

/// Starts a cloud inside the current tokio runtime. When this returns it answers.
pub async fn start(mut config: Config) -> Result<Running, Error> {
    let wanted = config.listen;
    let listening = move |source| Error::Listen { addr: wanted, source };
    let listener = TcpListener::bind(wanted).map_err(listening)?;
    listener.set_nonblocking(true).map_err(listening)?;
    let addr = listener.local_addr().map_err(listening)?;
    if config.identity.origin.is_empty() {
        config.identity.origin = url_of(addr, &config);
    }

    let relay =
        if config.services.contains(&Service::Relay) { Some(start_relay(&config).await?) } else { None };
    if let Some(relay) = &relay
        && config.relay.offers.is_empty()
    {
        config.relay.offers = vec![relay.address.clone()];
    }

    let opened = tokio::task::spawn_blocking(move || {
        // Before the database, which a newer program would migrate under the one that runs.
        state::prepare(&config)?;
        let lock = lock(&config.data)?;
        let app = App::open(&config)?;
        let identity = tls::open(&config)?;
        Ok::<_, Error>((app, identity, config, lock))
    });
    let (app, identity, config, lock) = opened.await.map_err(|e| Error::Stopped(e.to_string()))??;

    if !config.bus.url.is_empty() {
        app.store.bus().join(&config.bus).await?;
    }

    let operations = match config.operations.listen {
        Some(listen) => Some(health::start(app.clone(), listen).await?),
        None => None,
    };
    let handle = Handle::new();
    let acceptor =
        RustlsAcceptor::new(RustlsConfig::from_config(identity.config)).acceptor(NoDelayAcceptor::new());
    let acceptor = Limits::new(acceptor, &config);
    let mut server =
        axum_server::from_tcp(listener).map_err(listening)?.acceptor(acceptor).handle(handle.clone());
    let http = server.http_builder();
    let (http1, http2) =
        if deviates(req::GPH_009) { (HTTP1_SMALLEST, HTTP2_DEFAULT) } else { (HTTP1_BUFFER, HEADER_LIST) };
    http.http1().max_buf_size(http1).max_headers(HTTP1_FIELDS); // GPH-009
    http.http1().timer(TokioTimer).header_read_timeout(PATIENCE);
    http.http2().max_header_list_size(http2); // GPH-009
    http.http2().timer(TokioTimer).keep_alive_interval(PATIENCE); // finds out that a client has gone

    let running = Running {
        url: url_of(addr, &config),
        addr,
        ca_pem: identity.ca_pem,
        issuer: config.issuer(),
        issuer_key: app.keys.ring().issuer.key().spki().clone(),
        audience: config.audience(),
        operations,
        relay,
        stopping: app.stopping.clone(),
        sweeping: tokio::spawn(sweep::for_ever(app.clone())),
        handle,
        bus: app.store.bus().clone(),
        drain: config.drain,
        _lock: lock,
        task: tokio::spawn(
            server.serve(router::router(app).into_make_service_with_connect_info::<SocketAddr>()),
        ),
    };
    Ok(running)
}

/// One server a data directory: who starts a second one does not mean it.
fn lock(data: &Path) -> Result<File, Error> {
    let path = data.join("meshd.lock");
    let file = File::create(&path).map_err(|source| Error::Data { path, source })?;
    file.try_lock().map_err(|_| Error::Configuration("another meshd uses this data directory".into()))?;
    Ok(file)
}

impl Running {
    /// Stops: no new requests, [`Config::drain`] for open ones.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        self.stopping.begin();
        self.handle.graceful_shutdown(Some(self.drain));
        self.bus.close(); // who waits is answered
        let relay = self.relay.take().map(RunningRelay::shutdown);
        let (stopped, ()) = tokio::join!(self.stopped(), async {
            if let Some(relay) = relay {
                relay.await;
            }
        });
        stopped
    }

    /// Waits until the server stops by itself, which is an error of the system.
    pub async fn stopped(&mut self) -> Result<(), Error> {
        match (&mut self.task).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(Error::Stopped(e.to_string())),
            Err(e) => Err(Error::Stopped(e.to_string())),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.sweeping.abort();
        self.handle.shutdown();
        self.stopping.end();
    }
}

/// The address itself where the certificate names it, else the first name.
fn url_of(addr: SocketAddr, config: &Config) -> String {
    let named = config.names.contains(&addr.ip().to_string());
    match config.names.first() {
        Some(name) if !named => format!("https://{name}:{}", addr.port()),
        _ => format!("https://{addr}"),
    }
}
