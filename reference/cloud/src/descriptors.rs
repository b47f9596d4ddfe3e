//! File descriptors: each connection is one, and systems give a process few of them unless it asks for more.

use crate::config::{Config, Service};

/// For the database, blobs, logs and what else is open.
const OTHERS: usize = 100;

/// Raises the limit of this process as far as it may itself, and warns if that is too few for the configured connections.
pub fn raise_descriptor_limit(config: &Config) {
    let needed = needed(config);
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) if limit >= needed => tracing::debug!(limit, needed, "file descriptors"),
        Ok(limit) => tracing::warn!(
            limit,
            needed,
            "too few file descriptors for the configured connections: raise the hard limit (LimitNOFILE=), or \
             lower `connections` and `relay.connections`"
        ),
        Err(error) => tracing::warn!(needed, "the limit of file descriptors cannot be raised: {error}"),
    }
}

fn needed(config: &Config) -> u64 {
    let relayed = if config.services.contains(&Service::Relay) { config.relay.connections } else { 0 };
    let served = if config.is_only_a_relay() { 0 } else { config.connections };
    (relayed + served + OTHERS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_for_each_connection_of_what_runs_here() {
        let mut config = Config::new("nowhere");
        (config.connections, config.relay.connections) = (1_000, 20_000);
        assert_eq!(needed(&config), 1_100);
        config.services.push(Service::Relay);
        assert_eq!(needed(&config), 21_100);
        config.services = vec![Service::Relay];
        assert_eq!(needed(&config), 20_100);
    }

    #[test]
    #[cfg(unix)]
    fn the_limit_becomes_what_the_process_may_have() {
        raise_descriptor_limit(&Config::new("nowhere"));
        let (soft, hard) = rlimit::Resource::NOFILE.get().unwrap();
        assert_eq!(soft, hard);
    }
}
