"""Manifests: spec/sync.md section 4.7, "Chunks"."""

from collections import namedtuple

from blake3 import blake3
from crypto import Failure
from entries import MESSAGE_LARGEST, Reader

LARGE = 1048576                         # contents above are worth a manifest (SYN-075, SYN-076)
PIECE = 262144                          # SYN-009
SHORTEST, LONGEST = 16384, 4194304      # SYN-070
MOST = (MESSAGE_LARGEST - 5) // 36      # chunks in one message
KIB = 1024
SIZES = [(32 * KIB, 128 * KIB, 512 * KIB), (256 * KIB, 1024 * KIB, 4096 * KIB), (2048 * KIB, 2048 * KIB, 4096 * KIB),
         (4096 * KIB, 4096 * KIB, 4096 * KIB)]
GEAR = [int.from_bytes(blake3(b"meshproof gear" + bytes([b]))[:8], "big") for b in range(256)]
_64 = (1 << 64) - 1

Chunk = namedtuple("Chunk", "hash offset length")


def read_manifest(body, size):
    """The chunks of a content of `size` bytes, None if the peer has no manifest."""
    r = Reader(body)
    status = r.flag()
    if len(r.data) == 1:
        if not status:
            raise Failure("sync-malformed", "SYN-003", "a manifest without a chunk")
        return None
    if status or (len(body) - 1) % 36:
        raise Failure("sync-malformed", "SYN-003", "manifest")
    chunks, offset = [], 0
    while r.at < len(body):
        chunks.append(Chunk(r.take(32), offset, r.number(4)))
        offset += chunks[-1].length
    short = [c for c in chunks[:-1] if c.length < SHORTEST]
    if short or any(not 1 <= c.length <= LONGEST for c in chunks):
        raise Failure("sync-chunk", "SYN-070")
    if offset != size:
        raise Failure("sync-manifest", "SYN-071")
    return chunks


def write_manifest(chunks):
    """The status and the chunks of a MANIFEST."""
    if not chunks or len(chunks) > MOST:
        return b"\1"                                                # SYN-074
    return b"\0" + b"".join(c.hash + c.length.to_bytes(4, "big") for c in chunks)


def cut(data):
    """The chunks of some bytes, cut by what is in them; of so many that no message has room, some more than that."""
    for sizes in SIZES:
        ends = list(_ends(data, *sizes, MOST))
        if len(ends) <= MOST:
            break
    return [Chunk(blake3(data[begin:end]), begin, end - begin) for begin, end in zip([0, *ends], ends)]


def _ends(data, least, average, most, limit):
    """Where chunks end; no further than `limit` and one."""
    bits = average.bit_length() - 1
    below, beyond = 64 - (bits + 1), 64 - (bits - 1)                # by how much h is shifted to leave its upper bits
    begin, count = 0, 0
    while begin < len(data) and count <= limit:
        end, h = begin + least, 0
        turn, last = begin + average, min(begin + most, len(data))
        for at in range(begin + least, last):
            end = at + 1
            h = (h << 1) + GEAR[data[at]] & _64
            if not h >> (below if end < turn else beyond):
                break
        begin = min(end, len(data))
        count += 1
        yield begin


def pieces(chunks):
    """(offset, length) of the REQUESTs for some chunks, none for bytes of two."""
    for chunk in chunks:
        for offset in range(0, chunk.length, PIECE):
            yield chunk.offset + offset, min(PIECE, chunk.length - offset)


def find(chunks, data, elsewhere=False):
    """Chunk -> its bytes, for the chunks that `data` has at their offset or, if asked for, anywhere it would be cut itself."""
    found = {}
    for chunk in chunks:
        part = data[chunk.offset:chunk.offset + chunk.length]
        if len(part) == chunk.length and blake3(part) == chunk.hash:
            found[chunk] = part
    if elsewhere and len(found) < len(chunks):
        by_hash = {c.hash: c for c in cut(data)}
        for chunk in chunks:
            if chunk not in found and (other := by_hash.get(chunk.hash)) and other.length == chunk.length:
                found[chunk] = data[other.offset:other.offset + other.length]
    return found
