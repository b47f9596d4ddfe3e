//! Choices out of bytes: whatever bytes a fuzzer brings, they mean something, and small changes of them mean small changes.

/// A cursor over input. At its end everything is zero.
pub struct Draw<'a>(
    /// What is left.
    pub &'a [u8],
);

impl<'a> Draw<'a> {
    /// Whether all that comes is zero.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    /// A number below `sides`, of which there are at most 65,536.
    pub fn below(&mut self, sides: usize) -> usize {
        let number = if sides > 256 {
            usize::from(self.byte()) << 8 | usize::from(self.byte())
        } else {
            usize::from(self.byte())
        };
        number % sides.max(1)
    }

    /// One of these, of which there is at least one.
    pub fn pick<'b, T>(&mut self, of: &'b [T]) -> &'b T {
        &of[self.below(of.len())]
    }

    /// One time in `times`, if the bytes are random.
    pub fn one_in(&mut self, times: u8) -> bool {
        self.byte() % times == times - 1
    }

    /// At most so many bytes of the input.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let length = self.below(most + 1).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    /// So many bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// Changes bytes at one place, or not at all.
    pub fn edit(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(65_536) % (bytes.len() + 1);
        match self.below(5) {
            0 => {}
            1 if at < bytes.len() => bytes[at] ^= self.byte().max(1),
            2 => bytes.truncate(at),
            3 => drop(bytes.splice(at..at, self.bytes(32).to_vec())),
            _ => drop(bytes.drain(at..(at + 1 + self.below(32)).min(bytes.len()).max(at))),
        }
    }
}

/// splitmix64: the same numbers for the same seed, on every machine.
pub struct Dice(
    /// The seed.
    pub u64,
);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `sides`; 0 if there are none.
    pub fn below(&mut self, sides: usize) -> usize {
        usize::try_from(self.roll() % (sides.max(1) as u64)).unwrap_or_default()
    }

    /// So many random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.roll().to_be_bytes()[0]).collect()
    }
}
