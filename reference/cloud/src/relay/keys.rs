//! The relay key, which the graph and its relays share: `relay.key` in the data directory, or `MESH_RELAY_KEY` in the
//! environment. 64 hexadecimal digits, or two such keys while one replaces the other: the first makes passes, both are
//! accepted.

use std::fs;
use std::io::ErrorKind;

use meshproof_proto::codec::{hex, hex_array};
use meshproof_proto::crypto::{Secret, draw_secret};
use meshproof_proto::relay::RelayKey;
use zeroize::Zeroizing;

use crate::Error;
use crate::config::Config;
use crate::state::{OsEntropy, write_private};

const FILE: &str = "relay.key";
const VARIABLE: &str = "MESH_RELAY_KEY";

/// Reads the keys; makes one if there is none. There is at least one, and the first is the newest.
pub(crate) fn load(config: &Config) -> Result<Vec<RelayKey>, Error> {
    let path = config.data.join(FILE);
    let text = match std::env::var(VARIABLE) {
        Ok(text) => Zeroizing::new(text),
        Err(_) => match fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let text = Zeroizing::new(hex(&*draw_secret(&mut OsEntropy)));
                write_private(&path, text.as_bytes())?;
                text
            }
            Err(source) => return Err(Error::Data { path, source }),
        },
    };
    let keys: Option<Vec<RelayKey>> = text
        .split_whitespace()
        .map(|word| hex_array::<32>(word).map(|key| RelayKey::new(Secret::new(key))))
        .collect();
    keys.filter(|keys| (1..=2).contains(&keys.len())).ok_or_else(|| {
        Error::Configuration(format!("{VARIABLE} or {FILE} is not one or two keys of 64 hexadecimal digits"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_two_keys() {
        let data = tempfile::tempdir().unwrap();
        let config = Config::new(data.path());
        assert_eq!(load(&config).unwrap().len(), 1);
        let path = data.path().join(FILE);
        let made = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{}\n{made}\n", "ab".repeat(32))).unwrap();
        assert_eq!(load(&config).unwrap().len(), 2);
        for wrong in ["", "ab", &"zz".repeat(32), &format!("{made} {made} {made}")] {
            fs::write(&path, wrong).unwrap();
            assert!(load(&config).is_err(), "{wrong:?}");
        }
    }
}
