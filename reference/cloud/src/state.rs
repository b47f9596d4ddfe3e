//! What all requests share.

use std::fs;
use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use meshproof_proto::codec::{Id, hex};
use meshproof_proto::crypto::{Entropy, Secret, draw, draw_secret};
use meshproof_proto::relay::RelayKey;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::time::UnixTime;

use meshproof_proto::identity::Decoys;

use crate::account::keys::Keys;
use crate::config::Config;
use crate::identity::federated::Federated;
use crate::identity::password::Passwords;
use crate::problem::Problem;
use crate::stopping::Stopping;
use crate::storage::blobs::Blobs;
use crate::store::Store;
use crate::turns::Turns;
use crate::{Error, config};

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The clock reading.
    fn now(&self) -> UnixTime;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        UnixTime(since.map_or(0, |duration| duration.as_secs()))
    }
}

/// The database, below the data directory.
pub(crate) const DATABASE: &str = "meshd.sqlite";

/// The state of the services, shared by all requests. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

/// What is behind [`App`].
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) passwords: Passwords,
    pub(crate) federated: Federated,
    /// For devices that do not exist (IDN-009).
    pub(crate) decoys: Decoys,
    pub(crate) keys: Keys,
    /// What the keys of pairs on local networks are made of (GPH-140).
    pub(crate) lan: Secret,
    /// What makes passes; none if no relay is offered.
    pub(crate) relay_keys: Vec<RelayKey>,
    pub(crate) issuer_name: String,
    pub(crate) audience: String,
    pub(crate) stopping: Stopping,
    /// Whose turn it is to put an upload together.
    pub(crate) completing: Turns,
    /// Whose turn it is to sign the cards of a folder.
    pub(crate) signing: Turns,
    pub(crate) config: Config,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    /// Opens the data directory, making what is missing in it. Blocks for about a second the first time.
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        prepare(config)?;
        let store = open_store(config)?;
        Ok(Self(Arc::new(Inner {
            decoys: Decoys::new(store.secret_here("decoys", &draw_secret(&mut OsEntropy))?),
            keys: Keys::open(config, &store)?,
            lan: store.secret_here("lan", &draw_secret(&mut OsEntropy))?,
            store,
            blobs: if config.storage.objects.is_empty() {
                Blobs::open_local(&config.data)?
            } else {
                Blobs::open_bucket(&config.storage.objects)?
            },
            passwords: Passwords::new(config.identity.passwords)?,
            federated: Federated::open(config)?,
            relay_keys: if config.relay.offers.is_empty() {
                Vec::new()
            } else {
                crate::relay::load_keys(config)?
            },
            issuer_name: config.issuer(),
            audience: config.audience(),
            stopping: Stopping::default(),
            completing: Turns::default(),
            signing: Turns::default(),
            config: config::Config::clone(config),
        })))
    }

    /// The clock reading.
    pub(crate) fn now(&self) -> UnixTime {
        self.config.clock.now()
    }
}

/// Makes the data directory, if the configuration makes sense.
pub(crate) fn prepare(config: &Config) -> Result<(), Error> {
    if let Some((key, what)) = config.check().into_iter().next() {
        return Err(Error::Configuration(format!("{key}: {what}")));
    }
    make_directory(&config.data)
}

/// Opens the database that the configuration names. Blocks, inside a runtime, on a thread that may.
pub(crate) fn open_store(config: &Config) -> Result<Store, Error> {
    Ok(if config.database.url.is_empty() {
        Store::open(&config.data.join(DATABASE))?
    } else {
        Store::connect(&config.database)?
    })
}

/// Does what has to come to its end once it has begun: a handler is dropped when its client goes away, this is not.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    use tracing::Instrument as _;
    tokio::spawn(work.in_current_span()).await.map_err(Problem::internal)?
}

/// The operating system's generator.
#[derive(Clone, Copy)]
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, out: &mut [u8]) {
        getrandom::fill(out).expect("without the system's random generator nothing here can be done safely");
    }
}

/// A new identifier.
pub(crate) fn new_id() -> Id {
    Id(draw(&mut OsEntropy))
}

/// A new version of a representation, the text between the quotes of an `ETag` (GPH-011). Being random it never comes
/// back, not even when a node is removed and made again.
pub(crate) fn new_etag() -> String {
    if deviates(req::GPH_011) {
        return hex(&[0; 16]); // the mutant says that nothing changes
    }
    hex(&draw::<16>(&mut OsEntropy))
}

/// Makes a folder that only its owner can look into.
pub(crate) fn make_directory(path: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| Error::Data { path: path.into(), source })
}

/// Writes a file that only its owner can read. It is there completely or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        // A temporary file has mode 0600 from its first moment.
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)
    };
    write().map(drop).map_err(|source| Error::Data { path: path.into(), source })
}
