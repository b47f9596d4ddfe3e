//! record.md section 4.2: what a single record has to be.

use super::{HONEST, accepted, hello, hello_record, refused};
use crate::check::Check;
use crate::oracle::record::{CLOSE_NOTIFY, DATA, KEY_UPDATE, LARGEST};

pub(super) fn checks() -> Vec<Check> {
    [lengths(), tags(), plaintexts()].concat()
}

fn lengths() -> Vec<Check> {
    vec![
        accepted(HONEST, &[], "a HELLO in one record is answered", hello_record),
        accepted(
            "rec.open.largest",
            &[],
            "a HELLO padded to a record of 65,536 bytes is answered",
            |direction| {
                let hello = hello();
                direction.seal(DATA, &hello, LARGEST - 1 - hello.len())
            },
        ),
        accepted("rec.open.empty", &[], "a data record without content goes before the HELLO", |direction| {
            [direction.seal(DATA, &[], 0), hello_record(direction)].concat()
        }),
        accepted("rec.open.padded", &[], "a HELLO with padding is answered", |direction| {
            direction.seal(DATA, &hello(), 100)
        }),
        accepted("rec.open.bytes", &[], "a HELLO in one record a byte is answered", |direction| {
            hello().iter().flat_map(|byte| direction.seal(DATA, &[*byte], 0)).collect()
        }),
        refused("rec.len.zero", &["REC-010"], "a len of 0, and nothing behind it", HONEST, |_| vec![0, 0, 0]),
        refused(
            "rec.len.zero-sealed",
            &["REC-010"],
            "a whole record of len 0 with a right tag",
            HONEST,
            |direction| [direction.seal_plaintext(&[]), hello_record(direction)].concat(),
        ),
        refused(
            "rec.len.too-large",
            &["REC-010"],
            "a len of 65,537, and nothing behind it",
            "rec.open.largest",
            |_| vec![1, 0, 1],
        ),
        refused(
            "rec.len.huge",
            &["REC-010"],
            "a len of 16,777,215, and nothing behind it",
            "rec.open.largest",
            |_| vec![255, 255, 255],
        ),
        refused(
            "rec.len.too-large-sealed",
            &["REC-010"],
            "a whole record of len 65,537 with a right tag",
            "rec.open.largest",
            |direction| {
                let hello = hello();
                direction.seal(DATA, &hello, LARGEST - hello.len())
            },
        ),
    ]
}

fn tags() -> Vec<Check> {
    let mac = &["REC-011"];
    vec![
        refused(
            "rec.mac.first-byte",
            mac,
            "a HELLO with its first byte of ciphertext changed",
            HONEST,
            |d| changed(hello_record(d), |record| record[3] ^= 1),
        ),
        refused("rec.mac.last-byte", mac, "a HELLO with its last byte of ciphertext changed", HONEST, |d| {
            changed(hello_record(d), |record| {
                let at = record.len() - 33;
                record[at] ^= 0x80;
            })
        }),
        refused("rec.mac.tag-first", mac, "a HELLO with the first bit of its tag flipped", HONEST, |d| {
            changed(hello_record(d), |record| {
                let at = record.len() - 32;
                record[at] ^= 0x80;
            })
        }),
        refused("rec.mac.tag-last", mac, "a HELLO with the last bit of its tag flipped", HONEST, |d| {
            changed(hello_record(d), |record| {
                let at = record.len() - 1;
                record[at] ^= 1;
            })
        }),
        refused("rec.mac.tag-half", mac, "a HELLO of whose tag only 16 bytes are right", HONEST, |d| {
            changed(hello_record(d), |record| {
                let at = record.len() - 16;
                record[at..].fill(0);
            })
        }),
        refused("rec.mac.tag-zeros", mac, "a HELLO with a tag of zeros", HONEST, |d| {
            changed(hello_record(d), |record| {
                let at = record.len() - 32;
                record[at..].fill(0);
            })
        }),
        refused("rec.mac.length", mac, "a HELLO whose len was made one less", HONEST, |d| {
            changed(hello_record(d), |record| record[2] -= 1)
        }),
        refused("rec.mac.plain", mac, "a HELLO that is not encrypted", HONEST, |direction| {
            let text = [hello(), vec![DATA]].concat();
            let length = u8::try_from(text.len()).expect("a HELLO is short");
            let tag = crate::oracle::crypto::hmac(&[0; 32], &[&text]);
            direction.seq += 1;
            [&[0, 0, length], &text[..], &tag].concat()
        }),
    ]
}

fn plaintexts() -> Vec<Check> {
    vec![
        refused("rec.padding.one-zero", &["REC-012"], "a plaintext of one zero", HONEST, |direction| {
            [direction.seal_plaintext(&[0]), hello_record(direction)].concat()
        }),
        refused("rec.padding.zeros", &["REC-012"], "a plaintext of a thousand zeros", HONEST, |direction| {
            [direction.seal_plaintext(&[0; 1000]), hello_record(direction)].concat()
        }),
        refused("rec.type.5", &["REC-013"], "an empty record of type 5", "rec.open.empty", |direction| {
            [direction.seal(5, &[], 0), hello_record(direction)].concat()
        }),
        refused("rec.type.255", &["REC-013"], "a HELLO in a record of type 255", HONEST, |direction| {
            [direction.seal(255, &hello(), 0), hello_record(direction)].concat()
        }),
        refused(
            "rec.content.key-update",
            &["REC-014"],
            "a key_update with content, and a HELLO under the next secret",
            "rec.update.honest",
            |direction| {
                let update = direction.seal(KEY_UPDATE, b"x", 0);
                direction.update();
                [update, hello_record(direction)].concat()
            },
        ),
        refused(
            "rec.content.close-notify",
            &["REC-014"],
            "a close_notify with content",
            HONEST,
            |direction| direction.seal(CLOSE_NOTIFY, b"x", 0),
        ),
    ]
}

/// A record with a change that its tag does not cover.
pub(super) fn changed(mut record: Vec<u8>, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    change(&mut record);
    record
}
