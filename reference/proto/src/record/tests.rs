//! What is sealed opens, in order and once; what is changed, cut or moved does not.

use alloc::vec::Vec;

use super::*;
use crate::crypto::{DEFAULT, RUSTCRYPTO, Secret};
use crate::error::Error;
use crate::requirement as req;

fn secret() -> Secret {
    Secret::new([5; 32])
}

fn sealer() -> Sealer {
    Sealer::new(DEFAULT, secret())
}

/// Opens a whole stream; the contents joined, and how it ended.
fn open(stream: &[u8]) -> (Vec<u8>, Result<(), Error>) {
    let mut opener = Opener::new(RUSTCRYPTO, secret());
    let mut contents = Vec::new();
    opener.push(stream);
    loop {
        match opener.next() {
            Ok(Some(Event::Data(content))) => contents.extend_from_slice(content),
            Ok(Some(Event::Closed | Event::Ticket(_))) => {}
            Ok(None) => return (contents, opener.fin()),
            Err(error) => {
                assert!(opener.next().unwrap_err().is(req::REC_018), "a failure is final");
                return (contents, Err(error));
            }
        }
    }
}

#[test]
fn keys_are_renewed_before_the_limit() {
    let (mut sealer, mut stream) = (sealer(), Vec::new());
    sealer.limit(4, 100);
    for _ in 0..10 {
        sealer.seal(&[1; 20], &mut stream).unwrap();
    }
    sealer.close(&mut stream);
    // Three data records and a key update an epoch.
    assert_eq!(stream.len(), 10 * (20 + 1 + 35) + 3 * 36 + 36);
    assert_eq!(open(&stream), ([1; 200].to_vec(), Ok(())));
}

#[test]
fn every_changed_byte_and_every_cut_is_noticed() {
    let (mut sealer, mut stream) = (sealer(), Vec::new());
    sealer.seal(b"first", &mut stream).unwrap();
    sealer.update_keys(&mut stream).unwrap();
    sealer.seal(b"second", &mut stream).unwrap();
    sealer.close(&mut stream);
    assert_eq!(open(&stream), (b"firstsecond".to_vec(), Ok(())));
    for at in 0..stream.len() {
        let mut changed = stream.clone();
        changed[at] ^= 1;
        assert!(open(&changed).1.is_err(), "byte {at}");
        assert!(open(&stream[..at]).1.unwrap_err().is(req::REC_016), "cut at {at}");
    }
}

#[test]
fn nothing_is_sealed_after_close() {
    let (mut sealer, mut stream) = (sealer(), Vec::new());
    sealer.close(&mut stream);
    assert!(sealer.seal(b"late", &mut stream).is_err());
    assert!(sealer.update_keys(&mut stream).is_err());
}

proptest::proptest! {
    #[test]
    fn any_content_in_any_pieces(content: Vec<u8>, repeat in 1_usize..2_000, cut in 1_usize..5_000) {
        let content = content.repeat(repeat);
        let (mut sealer, mut stream) = (sealer(), Vec::new());
        sealer.seal(&content, &mut stream).unwrap();
        sealer.close(&mut stream);
        let mut opener = Opener::new(DEFAULT, secret());
        let mut got = Vec::new();
        for piece in stream.chunks(cut) {
            opener.push(piece);
            while let Some(event) = opener.next().unwrap() {
                if let Event::Data(data) = event {
                    got.extend_from_slice(data);
                }
            }
        }
        opener.fin().unwrap();
        proptest::prop_assert_eq!(got, content);
    }
}

#[test]
fn records_in_pairs_are_the_same_as_one_by_one() {
    let content: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    for provider in [DEFAULT, RUSTCRYPTO] {
        for most in [1_usize, 7, 1_000, 4_999, 5_000, 16_384] {
            // A limit that falls between and into pairs.
            for records in [1 << 24, 6, 7] {
                let mut sealer = Sealer::new(provider, secret()).with_record_size(most);
                sealer.limit(records, 1 << 36);
                let (mut paired, mut single) = (Vec::new(), Vec::new());
                sealer.seal(&content, &mut paired).unwrap();
                sealer.close(&mut paired);
                assert_eq!(open(&paired), (content.clone(), Ok(())), "{most} {records}");
                let mut sealer = Sealer::new(RUSTCRYPTO, secret());
                content.chunks(most).for_each(|piece| sealer.seal(piece, &mut single).unwrap());
                sealer.close(&mut single);
                if records == 1 << 24 {
                    assert_eq!(paired, single);
                }
            }
        }
    }
}
