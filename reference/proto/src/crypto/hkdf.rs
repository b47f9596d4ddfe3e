//! HKDF-SHA256 (RFC 5869) over a provider's HMAC.

use zeroize::Zeroizing;

use super::{Provider, Secret};

/// `HKDF-Extract(salt, ikm)`.
pub fn extract(provider: &dyn Provider, salt: &[u8], ikm: &[u8]) -> Secret {
    Zeroizing::new(provider.hmac(salt, &[ikm]))
}

/// `HKDF-Expand(prk, info, N)`, where `info` is the concatenation of `parts`. `N` is at most 8,160.
pub fn expand<const N: usize>(
    provider: &dyn Provider,
    prk: &[u8; 32],
    parts: &[&[u8]],
) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 255 * 32) };
    let info = parts.concat();
    let mut out = Zeroizing::new([0; N]);
    let mut block = Zeroizing::new([0; 32]);
    for (counter, chunk) in (1_u8..=255).zip(out.chunks_mut(32)) {
        let previous: &[u8] = if counter == 1 { &[] } else { &*block };
        *block = provider.hmac(prk, &[previous, &info, &[counter]]);
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
    out
}
