//! Reading and writing of big-endian integers and length-prefixed fields.

use alloc::vec::Vec;

/// A cursor over received bytes. Every read says `None` when the bytes run out.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(n)?;
        self.rest = tail;
        Some(head)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Three bytes.
    pub fn u24(&mut self) -> Option<usize> {
        self.array::<3>().map(|[a, b, c]| usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A field with a one-byte length.
    pub fn field8(&mut self) -> Option<&'a [u8]> {
        let n = self.u8()?;
        self.take(usize::from(n))
    }

    /// A field with a two-byte length.
    pub fn field16(&mut self) -> Option<&'a [u8]> {
        let n = self.u16()?;
        self.take(usize::from(n))
    }

    /// A field with a three-byte length.
    pub fn field24(&mut self) -> Option<&'a [u8]> {
        let n = self.u24()?;
        self.take(n)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Whether everything was read: the last question of every decoder.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Appending of integers and fields to a buffer.
///
/// The field writers take lengths that their callers have bounded; a length that does not fit is cut off to its low
/// bytes, which the receiving decoder rejects.
pub trait Write {
    /// One byte.
    fn put_u8(&mut self, value: u8);
    /// Two bytes.
    fn put_u16(&mut self, value: u16);
    /// The low three bytes of `value`.
    fn put_u24(&mut self, value: usize);
    /// Four bytes.
    fn put_u32(&mut self, value: u32);
    /// Eight bytes.
    fn put_u64(&mut self, value: u64);
    /// A field with a one-byte length.
    fn put_field8(&mut self, bytes: &[u8]);
    /// A field with a two-byte length.
    fn put_field16(&mut self, bytes: &[u8]);
    /// A field with a three-byte length.
    fn put_field24(&mut self, bytes: &[u8]);
}

#[allow(clippy::cast_possible_truncation)] // said in the documentation of the trait
impl Write for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_u24(&mut self, value: usize) {
        self.extend_from_slice(&(value as u32).to_be_bytes()[1..]);
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_field8(&mut self, bytes: &[u8]) {
        self.put_u8(bytes.len() as u8);
        self.extend_from_slice(bytes);
    }

    fn put_field16(&mut self, bytes: &[u8]) {
        self.put_u16(bytes.len() as u16);
        self.extend_from_slice(bytes);
    }

    fn put_field24(&mut self, bytes: &[u8]) {
        self.put_u24(bytes.len());
        self.extend_from_slice(bytes);
    }
}

/// Identifier of a user, device, folder or entry: 16 bytes, in text 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id(pub [u8; 16]);

impl Id {
    /// Parses the text form.
    pub fn parse(text: &str) -> Option<Self> {
        hex_array(text).map(Self)
    }
}

impl core::fmt::Display for Id {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl core::fmt::Debug for Id {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// Lower-case hexadecimal of `bytes`.
pub fn hex(bytes: &[u8]) -> alloc::string::String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| char::from(DIGITS[usize::from(n & 15)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect()
}

/// Parses exactly `N` bytes of lower-case hexadecimal.
pub fn hex_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(out)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reader_stops_at_the_end() {
        let mut reader = Reader::new(&[0, 2, 7, 8, 9]);
        assert_eq!(reader.field16(), Some(&[7, 8][..]));
        assert_eq!(reader.u16(), None);
        assert_eq!(reader.u8(), Some(9));
        assert!(reader.is_empty());
    }

    #[test]
    fn written_fields_are_read_back() {
        let mut out = Vec::new();
        out.put_u24(0x01_02_03);
        out.put_field24(b"abc");
        assert_eq!(out, [1, 2, 3, 0, 0, 3, b'a', b'b', b'c']);
        let mut reader = Reader::new(&out);
        assert_eq!(reader.u24(), Some(0x01_02_03));
        assert_eq!(reader.field24(), Some(&b"abc"[..]));
    }

    #[test]
    fn identifiers_have_one_spelling() {
        let text = "00112233445566778899aabbccddeeff";
        assert_eq!(alloc::string::ToString::to_string(&Id::parse(text).unwrap()), text);
        assert_eq!(Id::parse("00112233445566778899AABBCCDDEEFF"), None);
        assert_eq!(Id::parse("0011"), None);
    }
}
