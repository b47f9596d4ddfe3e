//! SHA-256 compression (FIPS 180-4, 6.2.2) of two lanes.

/// The initial hash value (FIPS 180-4, 5.3.3).
pub(crate) const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

#[cfg(target_arch = "x86_64")]
cpufeatures::new!(sha_ni, "sha", "sse2", "ssse3", "sse4.1");

/// Whether two lanes are to be used: where this processor hashes them faster than one after the other. Tests and Miri use
/// them everywhere, so that what surrounds them is checked on the portable code too.
pub(crate) fn available() -> bool {
    has_instructions() || cfg!(any(test, miri))
}

#[cfg(target_arch = "x86_64")]
fn has_instructions() -> bool {
    sha_ni::get()
}

#[cfg(not(target_arch = "x86_64"))]
fn has_instructions() -> bool {
    false
}

/// Compresses whole blocks, as many in one lane as in the other, into both states.
pub(crate) fn compress(states: &mut [[u32; 8]; 2], blocks: [&[u8]; 2]) {
    assert!(
        blocks[0].len() == blocks[1].len() && blocks[0].len().is_multiple_of(64),
        "whole blocks in both lanes"
    );
    #[cfg(target_arch = "x86_64")]
    if has_instructions() {
        // SAFETY: the processor has the instructions, and both slices have the same number of whole blocks.
        #[allow(unsafe_code)]
        return unsafe { x86::compress(states, blocks) };
    }
    portable(states, blocks);
}

fn portable(states: &mut [[u32; 8]; 2], blocks: [&[u8]; 2]) {
    for (state, blocks) in states.iter_mut().zip(blocks) {
        for block in blocks.chunks_exact(64) {
            let mut whole = [0; 64];
            whole.copy_from_slice(block);
            sha2::block_api::compress256(state, &[whole]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    use core::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi64x,
        _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
        _mm_shuffle_epi32, _mm_storeu_si128,
    };

    /// The round constants (FIPS 180-4, 4.2.2).
    #[repr(align(16))]
    struct Constants([u32; 64]);

    static K: Constants = Constants([
        0x428a_2f98,
        0x7137_4491,
        0xb5c0_fbcf,
        0xe9b5_dba5,
        0x3956_c25b,
        0x59f1_11f1,
        0x923f_82a4,
        0xab1c_5ed5,
        0xd807_aa98,
        0x1283_5b01,
        0x2431_85be,
        0x550c_7dc3,
        0x72be_5d74,
        0x80de_b1fe,
        0x9bdc_06a7,
        0xc19b_f174,
        0xe49b_69c1,
        0xefbe_4786,
        0x0fc1_9dc6,
        0x240c_a1cc,
        0x2de9_2c6f,
        0x4a74_84aa,
        0x5cb0_a9dc,
        0x76f9_88da,
        0x983e_5152,
        0xa831_c66d,
        0xb003_27c8,
        0xbf59_7fc7,
        0xc6e0_0bf3,
        0xd5a7_9147,
        0x06ca_6351,
        0x1429_2967,
        0x27b7_0a85,
        0x2e1b_2138,
        0x4d2c_6dfc,
        0x5338_0d13,
        0x650a_7354,
        0x766a_0abb,
        0x81c2_c92e,
        0x9272_2c85,
        0xa2bf_e8a1,
        0xa81a_664b,
        0xc24b_8b70,
        0xc76c_51a3,
        0xd192_e819,
        0xd699_0624,
        0xf40e_3585,
        0x106a_a070,
        0x19a4_c116,
        0x1e37_6c08,
        0x2748_774c,
        0x34b0_bcb5,
        0x391c_0cb3,
        0x4ed8_aa4a,
        0x5b9c_ca4f,
        0x682e_6ff3,
        0x748f_82ee,
        0x78a5_636f,
        0x84c8_7814,
        0x8cc7_0208,
        0x90be_fffa,
        0xa450_6ceb,
        0xbef9_a3f7,
        0xc671_78f2,
    ]);

    /// One lane between blocks, in the order of the instructions: ABEF and CDGH.
    type Pair = (__m128i, __m128i);

    /// # Safety
    /// The processor has SHA, SSE2, SSSE3 and SSE4.1; both slices hold the same number of whole blocks of 64 bytes.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    pub(super) unsafe fn compress(states: &mut [[u32; 8]; 2], blocks: [&[u8]; 2]) {
        // SAFETY: reads and writes stay inside the two states.
        let (mut a, mut b) = unsafe { (load(&states[0]), load(&states[1])) };
        for (x, y) in blocks[0].chunks_exact(64).zip(blocks[1].chunks_exact(64)) {
            // SAFETY: each chunk is a whole block.
            unsafe { block(&mut a, &mut b, x.as_ptr(), y.as_ptr()) };
        }
        // SAFETY: as above.
        unsafe {
            store(a, &mut states[0]);
            store(b, &mut states[1]);
        }
    }

    /// 64 rounds of both lanes, four rounds of one and then of the other.
    ///
    /// # Safety
    /// As [`compress`]; `x` and `y` point to 64 bytes each.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    unsafe fn block(a: &mut Pair, b: &mut Pair, x: *const u8, y: *const u8) {
        let (before_a, before_b) = (*a, *b);
        let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        // SAFETY: four times 16 bytes of a block.
        let words = |from: *const u8, quarter: usize| unsafe {
            _mm_shuffle_epi8(_mm_loadu_si128(from.add(16 * quarter).cast()), big_endian)
        };
        let mut w = [words(x, 0), words(x, 1), words(x, 2), words(x, 3)];
        let mut v = [words(y, 0), words(y, 1), words(y, 2), words(y, 3)];
        // SAFETY: sixteen times four constants.
        let constants = |group: usize| unsafe { _mm_loadu_si128(K.0.as_ptr().add(4 * group).cast()) };
        for group in 0..16 {
            let k = constants(group);
            let at = group % 4;
            if group >= 4 {
                schedule(&mut w, at);
                schedule(&mut v, at);
            }
            four_rounds(a, b, _mm_add_epi32(w[at], k), _mm_add_epi32(v[at], k));
        }
        a.0 = _mm_add_epi32(a.0, before_a.0);
        a.1 = _mm_add_epi32(a.1, before_a.1);
        b.0 = _mm_add_epi32(b.0, before_b.0);
        b.1 = _mm_add_epi32(b.1, before_b.1);
    }

    /// Words `t` to `t + 3` of the message schedule, into the place of words `t - 16` to `t - 13`.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn schedule(w: &mut [__m128i; 4], at: usize) {
        let [old, second, third, last] = [w[at], w[(at + 1) % 4], w[(at + 2) % 4], w[(at + 3) % 4]];
        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(old, second), _mm_alignr_epi8::<4>(last, third));
        w[at] = _mm_sha256msg2_epu32(sum, last);
    }

    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn four_rounds(a: &mut Pair, b: &mut Pair, w: __m128i, v: __m128i) {
        a.1 = _mm_sha256rnds2_epu32(a.1, a.0, w);
        b.1 = _mm_sha256rnds2_epu32(b.1, b.0, v);
        a.0 = _mm_sha256rnds2_epu32(a.0, a.1, _mm_shuffle_epi32::<0x0e>(w));
        b.0 = _mm_sha256rnds2_epu32(b.0, b.1, _mm_shuffle_epi32::<0x0e>(v));
    }

    /// # Safety
    /// As [`compress`].
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    unsafe fn load(state: &[u32; 8]) -> Pair {
        // SAFETY: twice 16 bytes of 32.
        let (dcba, hgfe) = unsafe {
            (_mm_loadu_si128(state.as_ptr().cast()), _mm_loadu_si128(state.as_ptr().add(4).cast()))
        };
        let cdab = _mm_shuffle_epi32::<0xb1>(dcba);
        let efgh = _mm_shuffle_epi32::<0x1b>(hgfe);
        (_mm_alignr_epi8::<8>(cdab, efgh), _mm_blend_epi16::<0xf0>(efgh, cdab))
    }

    /// # Safety
    /// As [`compress`].
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    unsafe fn store((abef, cdgh): Pair, state: &mut [u32; 8]) {
        let feba = _mm_shuffle_epi32::<0x1b>(abef);
        let dchg = _mm_shuffle_epi32::<0xb1>(cdgh);
        let dcba = _mm_blend_epi16::<0xf0>(feba, dchg);
        let hgfe = _mm_alignr_epi8::<8>(dchg, feba);
        // SAFETY: twice 16 bytes of 32.
        unsafe {
            _mm_storeu_si128(state.as_mut_ptr().cast(), dcba);
            _mm_storeu_si128(state.as_mut_ptr().add(4).cast(), hgfe);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::{INITIAL, compress, portable};

    /// A processor with the instructions runs them here; any other, and Miri without them, compares the portable code
    /// with itself.
    #[test]
    fn both_ways_to_compress_agree() {
        for blocks in [0, 1, 2, 3, 17] {
            let lane = |seed: usize| -> Vec<u8> {
                (0..64 * blocks).map(|at| (seed + at * 31 + at / 97).to_le_bytes()[0]).collect()
            };
            let (x, y) = (lane(3), lane(200));
            let mut other = INITIAL;
            other.reverse();
            let mut states = [[INITIAL, other]; 2];
            compress(&mut states[0], [&x, &y]);
            portable(&mut states[1], [&x, &y]);
            assert_eq!(states[0], states[1], "{blocks} blocks");
            // Input that does not start where a vector would.
            if let Some((x, y)) = x.get(1..).zip(y.get(3..)) {
                let whole = y.len() / 64 * 64;
                compress(&mut states[0], [&x[..whole], &y[..whole]]);
                portable(&mut states[1], [&x[..whole], &y[..whole]]);
                assert_eq!(states[0], states[1], "{blocks} blocks, not aligned");
            }
        }
    }

    #[test]
    #[should_panic(expected = "whole blocks in both lanes")]
    fn a_lane_that_is_longer_is_not_read() {
        compress(&mut [INITIAL; 2], [&[0; 64][..], &[0; 128][..]]);
    }
}
