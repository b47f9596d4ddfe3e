use alloc::boxed::Box;
use alloc::vec;

use super::*;
use crate::crypto::{AWS_LC, RUSTCRYPTO};
use crate::test_keys::{DEVICE_X, DEVICE_Y, Script, pkcs8};

const FOLDER: Id = Id([1; 16]);
const X: Id = Id([10; 16]);
const Y: Id = Id([11; 16]);

struct Device {
    id: Id,
    key: Box<dyn PrivateKey>,
    public: Box<dyn PublicKey>,
    signing: Box<dyn SigningKey>,
}

fn device(provider: &dyn Provider, id: Id, pem: &str) -> Device {
    let key = provider.private_key(&pkcs8(pem)).unwrap();
    let public = provider.public_key(key.spki()).unwrap();
    Device { id, key, public, signing: provider.signing_key(&Secret::new([id.0[0]; 32])) }
}

fn keys(generations: u8) -> FolderKeys {
    let mut keys = FolderKeys::first(FOLDER, Secret::new([1; 32]));
    (2..=generations).for_each(|n| keys.add(Secret::new([n; 32])));
    keys
}

fn write(
    provider: &dyn Provider,
    keys: &FolderKeys,
    by: &Device,
    readers: &[&Device],
    recoveries: &[[u8; 32]],
) -> KeyRecord {
    let devices: Vec<_> = readers.iter().map(|device| (device.id, &*device.public)).collect();
    let readers = Readers { devices: &devices, recoveries };
    KeyRecord::write(provider, keys, &readers, (by.id, &*by.signing), &mut Script::new(7)).unwrap()
}

fn same(one: &FolderKeys, other: &FolderKeys) -> bool {
    one.generation() == other.generation() && one.all().zip(other.all()).all(|(a, b)| **a == **b)
}

#[test]
fn a_record_brings_all_keys_to_those_whom_it_is_for() {
    for (writes, reads) in [(AWS_LC, RUSTCRYPTO), (RUSTCRYPTO, AWS_LC)] {
        let (x, y) = (device(writes, X, DEVICE_X), device(reads, Y, DEVICE_Y));
        for generations in [1, 2, 5] {
            let recovery = RecoveryKey::new([9; 16]);
            let keys = keys(generations);
            let record = write(writes, &keys, &x, &[&x, &y], &[recovery.public(writes)]);
            let record = KeyRecord::from_bytes(&record.to_bytes()).unwrap();
            let signed = record.verify(reads, FOLDER, &x.signing.public()).unwrap();
            for by in [By::Device(Y, &*y.key), By::Recovery(&recovery)] {
                let opened = signed.open(reads, &by, None, &mut Script::new(1)).unwrap();
                assert!(same(&opened, &keys), "{generations} generations");
            }
        }
    }
}

#[test]
fn a_record_for_others_is_for_nobody_else() {
    let p = AWS_LC;
    let (x, y) = (device(p, X, DEVICE_X), device(p, Y, DEVICE_Y));
    let record = write(p, &keys(1), &x, &[&x], &[]);
    let open = |record: &KeyRecord, by: &By<'_>| {
        let signed = record.clone().verify(p, FOLDER, &x.signing.public()).unwrap();
        signed.open(p, by, None, &mut Script::new(1)).unwrap_err()
    };
    assert!(open(&record, &By::Device(Y, &*y.key)).is(req::STO_072));
    assert!(open(&record, &By::Device(X, &*y.key)).is(req::STO_072));
    assert!(open(&record, &By::Recovery(&RecoveryKey::new([9; 16]))).is(req::STO_076));
    assert!(record.verify(p, FOLDER, &y.signing.public()).unwrap_err().is(req::STO_071));
}

/// A cloud may have a signing key and a card for it, and knows no folder key.
#[test]
fn who_has_no_key_cannot_make_the_next() {
    let p = AWS_LC;
    let (x, y) = (device(p, X, DEVICE_X), device(p, Y, DEVICE_Y));
    let open = |record: KeyRecord, known: &FolderKeys| {
        let signed = record.verify(p, FOLDER, &y.signing.public()).unwrap();
        signed.open(p, &By::Device(X, &*x.key), Some(known), &mut Script::new(1))
    };
    let mut foreign = FolderKeys::first(FOLDER, Secret::new([66; 32]));
    assert!(open(write(p, &foreign, &y, &[&x], &[]), &keys(1)).unwrap_err().is(req::STO_075));
    foreign.add(Secret::new([67; 32]));
    assert!(open(write(p, &foreign, &y, &[&x], &[]), &keys(1)).unwrap_err().is(req::STO_075));
    assert!(open(write(p, &keys(1), &y, &[&x], &[]), &keys(2)).unwrap_err().is(req::STO_074));
    assert!(same(&open(write(p, &keys(3), &y, &[&x], &[]), &keys(1)).unwrap(), &keys(3)));
}

#[test]
fn a_record_has_one_form() {
    let p = AWS_LC;
    let (x, y) = (device(p, X, DEVICE_X), device(p, Y, DEVICE_Y));
    let bytes = write(p, &keys(2), &x, &[&x, &y], &[[3; 32], [4; 32]]).to_bytes();
    for end in (0..bytes.len()).step_by(7) {
        assert!(KeyRecord::from_bytes(&bytes[..end]).unwrap_err().is(req::STO_070), "cut at {end}");
    }
    assert!(KeyRecord::from_bytes(&[&bytes[..], &[0]].concat()).unwrap_err().is(req::STO_070));
    let mut zero = bytes.clone();
    zero[..4].fill(0);
    assert!(KeyRecord::from_bytes(&zero).unwrap_err().is(req::STO_070));
    let falling = vec![(Y, &*y.public), (X, &*x.public)];
    let readers = Readers { devices: &falling, recoveries: &[] };
    let written = KeyRecord::write(p, &keys(1), &readers, (X, &*x.signing), &mut Script::new(1));
    assert!(matches!(written, Err(Error::ApiMisuse(_))));
}

#[test]
fn no_bit_of_a_record_can_be_changed() {
    let p = AWS_LC;
    let x = device(p, X, DEVICE_X);
    let bytes = write(p, &keys(2), &x, &[&x], &[[3; 32]]).to_bytes();
    for byte in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[byte] ^= 1;
        let read = KeyRecord::from_bytes(&changed);
        let verified = read.and_then(|record| record.verify(p, FOLDER, &x.signing.public()));
        assert!(verified.is_err(), "byte {byte}");
    }
}
