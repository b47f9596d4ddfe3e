//! What one `meshd` carries, on this machine, beside the client that asks. `cargo run --release -p meshproof-load`
//!
//! Figures of one run compare with each other only: what is compared is measured in turns, round by round, and given as
//! a ratio with its spread.

#![allow(clippy::cast_precision_loss)] // figures are printed with three digits

mod http;
mod queues;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::http::{Connection, request};
use self::server::Server;

/// Loads a cloud and says what it carries.
#[derive(Parser)]
struct Arguments {
    /// Rounds of each measurement.
    #[arg(long, default_value_t = 25)]
    rounds: usize,
    /// Milliseconds of each turn.
    #[arg(long, default_value_t = 250)]
    turn: u64,
    /// Connections that ask at the same time.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Also measure a cloud on this database server: postgres://user@host/database (feature `postgres`).
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Queues that wait at the same time. Each takes a file descriptor here and one in the server; 0 leaves this out.
    #[arg(long, default_value_t = 10_000)]
    queues: usize,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// What this program starts itself as.
    #[command(hide = true)]
    Serve {
        #[arg(long)]
        data: std::path::PathBuf,
        #[arg(long)]
        database: String,
    },
}

/// How many entries were made in all.
static ENTRIES: AtomicUsize = AtomicUsize::new(0);

/// Odd: its multiples are all different.
const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Command::Serve { data, database }) = &arguments.command {
        return server::serve(data, database).await;
    }
    let processors = std::thread::available_parallelism()?;
    println!(
        "{processors} processors, for server and client together; {} connections",
        arguments.connections
    );
    let mut databases = vec![("SQLite", "")];
    databases.extend(arguments.database.as_deref().map(|url| ("PostgreSQL", url)));
    for (name, url) in databases {
        println!("\nmetadata in {name}");
        let server = Server::start(url).await?;
        measure(&server, &arguments).await?;
        if url.is_empty() && arguments.queues > 0 {
            queues::measure(&server, arguments.queues).await?;
        }
        if let Some(memory) = server.memory_kib() {
            println!("  memory of the process at the end               {:>9.1} MiB", memory as f64 / 1024.0);
        }
    }
    Ok(())
}

async fn measure(server: &Server, arguments: &Arguments) -> anyhow::Result<()> {
    let setting = Setting::make(server).await?;
    let with = request("GET", &setting.folder, &setting.tickets, None);
    let without = request("GET", &setting.folder, &format!("Unticketed {}", setting.user), None);
    println!("  tickets in a request                          {:>9} bytes", setting.tickets.len());
    println!("  GET of a folder, TLS, keep-alive");
    let [ticketed, none] =
        turns(server, arguments, [Arc::new(move || with.clone()), Arc::new(move || without.clone())]).await?;
    ticketed.print("    with tickets");
    none.print("    without");
    ratio("    with / without, requests a second", &ticketed.per_second, &none.per_second);
    ratio("    with / without, requests a second of processor", &none.cpu_micros, &ticketed.cpu_micros);

    println!("  PUT of a new entry, acknowledged when it is safe");
    let others = std::iter::repeat_with(|| Setting::make(server));
    let mut settings = vec![setting];
    for other in others.take(arguments.connections - 1) {
        settings.push(other.await?);
    }
    let one = writing(&settings[..1]);
    let many = writing(&settings);
    let [one, many] = turns(server, arguments, [one, many]).await?;
    one.print("    all into one folder");
    many.print("    into a folder for each connection");
    Ok(())
}

/// Makes entries in one folder after the other.
fn writing(settings: &[Setting]) -> Request {
    let folders: Vec<_> = settings.iter().map(|s| (s.folder.clone(), s.tickets.clone())).collect();
    Arc::new(move || {
        let number = ENTRIES.fetch_add(1, Ordering::Relaxed);
        let (folder, tickets) = &folders[number % folders.len()];
        // Not 1, 2, 3: identifiers are random.
        let entry = format!("{:032x}", (number as u128 + 1).wrapping_mul(FACTOR));
        let body = json!({"path": entry, "kind": "directory", "size": 0, "version": {}});
        request("PUT", &format!("{folder}/feeds/files/entries/{entry}"), tickets, Some(&body))
    })
}

/// A user with a folder.
struct Setting {
    user: String,
    folder: String,
    /// The value of `Authorization`.
    tickets: String,
}

impl Setting {
    async fn make(server: &Server) -> anyhow::Result<Self> {
        let mut connection = server.address.connect().await?;
        let mut seed = [0; 6];
        getrandom::fill(&mut seed).map_err(|e| anyhow::anyhow!("{e}"))?;
        let name: String = seed.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        let who = json!({"name": name, "password": "correct horse"});
        let user = connection.json(&request("POST", "/identity/users", "", Some(&who))).await?;
        let token = connection.json(&request("POST", "/identity/token", "", Some(&who))).await?;
        let bearer = format!("Bearer {}", token["token"].as_str().unwrap_or_default());
        let first = Self::tickets(&mut connection, &bearer).await?;
        let body = json!({"name": "load"});
        let made = connection.json(&request("POST", "/mesh/objects", &first, Some(&body))).await?;
        let folder = made["links"]["self"].as_str().unwrap_or_default().to_owned();
        ensure!(!folder.is_empty(), "no folder was made: {made}");
        let tickets = Self::tickets(&mut connection, &bearer).await?;
        Ok(Self { user: user["user"].as_str().unwrap_or_default().to_owned(), folder, tickets })
    }

    async fn tickets(connection: &mut Connection, bearer: &str) -> anyhow::Result<String> {
        let answer = connection.json(&request("POST", "/tickets", bearer, None)).await?;
        let all = answer["tickets"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(format!("MeshTicket {}", all.collect::<Vec<_>>().join(",")))
    }
}

/// What one kind of request gave, a value a round.
#[derive(Default)]
struct Measured {
    per_second: Vec<f64>,
    cpu_micros: Vec<f64>,
}

impl Measured {
    fn print(&self, what: &str) {
        let (low, middle, high) = spread(&self.per_second);
        print!("{what:<47}{middle:>9.0} /s   ({low:.0} to {high:.0})");
        if !self.cpu_micros.is_empty() {
            print!("   {:.0} us of the server's processor time each", spread(&self.cpu_micros).1);
        }
        println!();
    }
}

/// Makes the next request of its kind.
type Request = Arc<dyn Fn() -> Vec<u8> + Send + Sync>;

/// Measures kinds of requests in turns, which change places each round.
async fn turns<const N: usize>(
    server: &Server,
    arguments: &Arguments,
    kinds: [Request; N],
) -> anyhow::Result<[Measured; N]> {
    let mut measured: [Measured; N] = std::array::from_fn(|_| Measured::default());
    for round in 0..=arguments.rounds {
        for turn in 0..N {
            let kind = (turn + round) % N;
            let connections = connect(server, arguments.connections).await?;
            let (cpu, started) = (server.cpu_micros(), Instant::now());
            let until = started + Duration::from_millis(arguments.turn);
            let done = one_turn(connections, until, &kinds[kind]).await?;
            let seconds = started.elapsed().as_secs_f64();
            if round == 0 {
                continue; // for caches, and connections of the server to its database
            }
            measured[kind].per_second.push(done as f64 / seconds);
            if let Some((before, after)) = cpu.zip(server.cpu_micros()) {
                measured[kind].cpu_micros.push((after - before) as f64 / done as f64);
            }
        }
    }
    Ok(measured)
}

async fn connect(server: &Server, number: usize) -> anyhow::Result<Vec<Connection>> {
    let mut connections = Vec::new();
    for _ in 0..number {
        connections.push(server.address.connect().await?);
    }
    Ok(connections)
}

/// How many requests of a kind are answered until then.
async fn one_turn(connections: Vec<Connection>, until: Instant, kind: &Request) -> anyhow::Result<u64> {
    let mut asking = JoinSet::new();
    for mut connection in connections {
        let kind = kind.clone();
        asking.spawn(async move {
            let mut done = 0;
            while Instant::now() < until {
                let (status, body) = connection.send(&kind()).await?;
                ensure!((200..300).contains(&status), "{status}: {}", String::from_utf8_lossy(body));
                done += 1;
            }
            anyhow::Ok(done)
        });
    }
    let mut sum = 0;
    while let Some(ended) = asking.join_next().await {
        sum += ended??;
    }
    Ok(sum)
}

fn ratio(what: &str, ours: &[f64], theirs: &[f64]) {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    let (low, middle, high) = spread(&ratios);
    println!("{what:<47}{middle:>9.3}      ({low:.3} to {high:.3})");
}

/// Smallest, median, largest.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    (at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1)))
}
