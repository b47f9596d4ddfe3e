//! What went over the wire, as a capture file that Wireshark opens (`draft-ietf-opsawg-pcap`, link type 228, IPv4).
//!
//! The kit sees streams, not packets: the addresses are made up, and each piece that was written or read at once is a
//! segment.

use std::net::Ipv4Addr;
use std::time::Duration;

/// The kit.
const KIT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The implementation under test.
const TESTED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The port of whoever was dialled, to which a dissector can be bound.
const PORT: u16 = 4000;
/// The port of the first connection at whoever dialled.
const FIRST_PORT: u16 = 50_000;
/// More than this does not go into an IPv4 packet.
const SEGMENT: usize = 60_000;

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// One piece of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The connection, numbered from 0.
    pub connection: u16,
    /// Whether the kit dialled.
    pub dialled: bool,
    /// Whether the kit sent it.
    pub sent: bool,
    /// Since the check began.
    pub at: Duration,
    /// The bytes; empty for the end of a direction.
    pub bytes: Vec<u8>,
}

/// The capture file.
pub fn capture(pieces: &[Piece]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0002_0004, 0, 0, 0x0004_0000, 228_u32] {
        file.extend(word.to_be_bytes());
    }
    let connections: std::collections::BTreeSet<u16> = pieces.iter().map(|piece| piece.connection).collect();
    for connection in connections {
        let of_it: Vec<&Piece> = pieces.iter().filter(|piece| piece.connection == connection).collect();
        Stream::of(of_it[0]).write(&of_it, &mut file);
    }
    file
}

/// Both directions of a connection.
struct Stream {
    /// The port of the kit, and of the other.
    ports: [u16; 2],
    /// The next sequence number of the kit, and of the other.
    next: [u32; 2],
}

impl Stream {
    fn of(first: &Piece) -> Self {
        let dialler = FIRST_PORT + first.connection;
        let ports = if first.dialled { [dialler, PORT] } else { [PORT, dialler] };
        Self { ports, next: [1000, 2000] }
    }

    fn write(mut self, pieces: &[&Piece], file: &mut Vec<u8>) {
        let (begin, dialler) = (pieces[0].at, usize::from(!pieces[0].dialled));
        self.packet(file, begin, dialler, SYN, &[]);
        self.packet(file, begin, 1 - dialler, SYN | ACK, &[]);
        self.packet(file, begin, dialler, ACK, &[]);
        for piece in pieces {
            let from = usize::from(!piece.sent);
            if piece.bytes.is_empty() {
                self.packet(file, piece.at, from, FIN | ACK, &[]);
            }
            for segment in piece.bytes.chunks(SEGMENT) {
                self.packet(file, piece.at, from, ACK, segment);
            }
        }
    }

    fn packet(&mut self, file: &mut Vec<u8>, at: Duration, from: usize, flags: u8, payload: &[u8]) {
        let to = 1 - from;
        let addresses = [KIT, TESTED];
        let mut tcp = Vec::with_capacity(20 + payload.len());
        tcp.extend(self.ports[from].to_be_bytes());
        tcp.extend(self.ports[to].to_be_bytes());
        tcp.extend(self.next[from].to_be_bytes());
        tcp.extend(if flags & ACK == 0 { 0 } else { self.next[to] }.to_be_bytes());
        tcp.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(payload);
        let length = u16::try_from(tcp.len()).expect("a segment is small");
        let pseudo =
            [&addresses[from].octets()[..], &addresses[to].octets(), &[0, 6], &length.to_be_bytes(), &tcp]
                .concat();
        tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());

        let mut packet = vec![0x45, 0];
        packet.extend((length + 20).to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend(addresses[from].octets());
        packet.extend(addresses[to].octets());
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(tcp);

        let size = u32::try_from(packet.len()).expect("a packet is small");
        let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
        for word in [seconds, at.subsec_micros(), size, size] {
            file.extend(word.to_be_bytes());
        }
        file.extend(packet);
        let used =
            u32::try_from(payload.len()).expect("a segment is small") + u32::from(flags & (SYN | FIN) != 0);
        self.next[from] = self.next[from].wrapping_add(used);
    }
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(*two.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("it was folded")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(sent: bool, bytes: &[u8]) -> Piece {
        Piece { connection: 0, dialled: true, sent, at: Duration::from_millis(1500), bytes: bytes.to_vec() }
    }

    #[test]
    fn packets_follow_one_another_and_their_sums_are_right() {
        let file = capture(&[piece(true, b"one"), piece(false, &vec![7; 100_000]), piece(true, b"")]);
        assert_eq!(&file[..4], [0xa1, 0xb2, 0xc3, 0xd4]);
        let mut rest = &file[24..];
        let (mut flags, mut received) = (Vec::new(), Vec::<u8>::new());
        while !rest.is_empty() {
            assert_eq!(&rest[..8], [0, 0, 0, 1, 0, 7, 0xa1, 0x20]);
            let size = u32::from_be_bytes(rest[8..12].try_into().unwrap()) as usize;
            let packet = &rest[16..16 + size];
            assert_eq!(checksum(&packet[..20]), 0, "the sum over a header with its sum");
            let length = u16::try_from(size - 20).unwrap().to_be_bytes();
            let pseudo = [&packet[12..20], &[0, 6], &length, &packet[20..]].concat();
            assert_eq!(checksum(&pseudo), 0);
            flags.push(packet[33]);
            if packet[15] == 2 {
                received.extend(&packet[40..]);
            }
            rest = &rest[16 + size..];
        }
        assert_eq!(flags, [SYN, SYN | ACK, ACK, ACK, ACK, ACK, FIN | ACK]);
        assert_eq!(received, vec![7; 100_000]);
    }
}
