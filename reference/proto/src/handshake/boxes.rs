//! The encrypted parts of messages: `EtM`, and the padding of their plaintexts (`spec/handshake.md`, sections 2 and 3).

use alloc::vec::Vec;

use crate::crypto::{Provider, equal};
use crate::error::Error;
use crate::requirement::{self as req, demand};

/// What `EtM` adds.
pub(super) const TAG: usize = 32;
const BLOCK: usize = 1_024;

/// Encrypts and authenticates. The key is `enc[16] || mac[32]`, to be used once.
pub(super) fn seal(
    provider: &dyn Provider,
    key: &[u8; 48],
    aad: &[u8; 32],
    mut plaintext: Vec<u8>,
) -> Vec<u8> {
    let (enc, mac) = split(key);
    provider.ctr_key(&enc).apply(&[0; 16], &mut plaintext);
    let tag = provider.hmac(mac, &[aad, &plaintext]);
    plaintext.extend_from_slice(&tag);
    plaintext
}

/// Checks and decrypts. `None` if the tag is wrong, unless `lax`, which is for mutants.
pub(super) fn open(
    provider: &dyn Provider,
    key: &[u8; 48],
    aad: &[u8; 32],
    sealed: &[u8],
    lax: bool,
) -> Option<Vec<u8>> {
    let (enc, mac) = split(key);
    let (ciphertext, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG)?)?;
    if !equal(&provider.hmac(mac, &[aad, ciphertext]), tag) && !lax {
        return None;
    }
    let mut plaintext = ciphertext.to_vec();
    provider.ctr_key(&enc).apply(&[0; 16], &mut plaintext);
    Some(plaintext)
}

fn split(key: &[u8; 48]) -> ([u8; 16], &[u8]) {
    let (enc, mac) = key.split_at(16);
    (enc.try_into().unwrap_or_default(), mac)
}

/// How long a plaintext of `length` bytes is with its padding.
pub(super) fn padded(length: usize) -> usize {
    length.next_multiple_of(BLOCK)
}

/// HSK-004: what follows the fields of a plaintext has to be zeros up to the next multiple of 1,024.
pub(super) fn check_padding(plaintext: &[u8], padding: &[u8]) -> Result<(), Error> {
    let right = plaintext.len() == padded(plaintext.len() - padding.len());
    demand(right && padding.iter().all(|b| *b == 0), req::HSK_004)
}
