//! What waiting costs: many queues, each with a connection on which a device waits.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Setting;
use crate::http::{Connection, request};
use crate::server::Server;

/// As many as a user may have.
const QUEUES_EACH: usize = 8;
/// How many users are prepared at once.
const AT_ONCE: usize = 32;
/// Until the server has read what was sent. No figure depends on it but the memory, which then no longer changes.
const SETTLE: Duration = Duration::from_secs(5);

/// Lets as many queues wait, and says what they take.
pub(crate) async fn measure(server: &Server, queues: usize) -> anyhow::Result<()> {
    let mut connections: Vec<(Connection, Vec<u8>)> = Vec::new();
    let before = server.memory_kib().context("this system does not tell the memory of a process")?;
    let mut users = queues.div_ceil(QUEUES_EACH);
    let mut preparing = JoinSet::new();
    loop {
        while users > 0 && preparing.len() < AT_ONCE {
            users -= 1;
            preparing.spawn(prepare(server.clone()));
        }
        let Some(prepared) = preparing.join_next().await else { break };
        connections.extend(prepared??);
    }
    connections.truncate(queues);
    let connected = server.memory_kib().unwrap_or(before);
    for (connection, poll) in &mut connections {
        connection.write(poll).await?;
    }
    let cpu = server.cpu_micros();
    tokio::time::sleep(SETTLE).await;
    let cpu = cpu.zip(server.cpu_micros()).map_or(0, |(before, after)| after - before);
    let waiting = server.memory_kib().unwrap_or(connected);
    let each = |kib: u64| kib as f64 / connections.len() as f64;
    println!("  {} queues that wait, a TLS connection each", connections.len());
    println!("    memory of the process                       {:>9.1} MiB", waiting as f64 / 1024.0);
    println!(
        "    of it for a connection                      {:>9.1} KiB",
        each(connected.saturating_sub(before))
    );
    println!(
        "    of it for a request that waits              {:>9.1} KiB",
        each(waiting.saturating_sub(connected))
    );
    println!(
        "    processor time in {} s                       {:>9.0} ms",
        SETTLE.as_secs(),
        cpu as f64 / 1e3
    );
    Ok(())
}

/// The queues of a new user, each with a connection and the request that waits.
async fn prepare(server: Server) -> anyhow::Result<Vec<(Connection, Vec<u8>)>> {
    let setting = Setting::make(&server).await?;
    let mut prepared = Vec::new();
    for _ in 0..QUEUES_EACH {
        let mut connection = server.address.connect().await?;
        let made = connection.json(&request("POST", "/mesh/queues", &setting.tickets, None)).await?;
        let queue = made["links"]["self"].as_str().context("a queue's path")?;
        let subscription = json!({ "resource": setting.folder });
        let path = format!("{queue}/subscriptions");
        connection.json(&request("POST", &path, &setting.tickets, Some(&subscription))).await?;
        let poll = request("GET", &format!("{queue}?wait=60"), &setting.tickets, None);
        prepared.push((connection, poll));
    }
    Ok(prepared)
}
