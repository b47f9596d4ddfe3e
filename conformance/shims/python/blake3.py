"""BLAKE3-256 in plain Python, for the names of media (spec/storage.md) and for contents, entries and chunks (spec/sync.md).

The standard library has no BLAKE3. This one is written for reading, but for one thing: chunks do not depend on each other, so many
of them are computed at once, each in a *lane* of 64 bits of one large integer. A word has 32 bits; what an addition or a shift
makes in the upper half of a lane is masked away. That is about ten times as fast as one chunk after the other: some ten megabytes
a second.
"""

import array
import struct
import sys

_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_CHUNK_START, _CHUNK_END, _PARENT, _ROOT = 1, 2, 4, 8
CHUNK, LANES = 1024, 256


def _schedules():
    """Which message word is used at which place of each of the seven rounds."""
    order = tuple(range(16))
    for _ in range(7):
        yield order
        order = tuple(order[i] for i in _PERMUTATION)


_ROUNDS = tuple(_schedules())
_QUARTERS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12),
             (2, 7, 8, 13), (3, 4, 9, 14))


def _ones(lanes):
    """1 in each lane: times a word, that word in each."""
    return int.from_bytes(b"\1\0\0\0\0\0\0\0" * lanes, "little")


def _compress(chaining, words, low, high, size, flags, ones=1):
    """The compression function, in all lanes at once; of its sixteen words only the first eight are ever needed for 32 bytes of
    output. `low` and `high` are the counter, as lanes; `size` and `flags` are the same in all."""
    mask = 0xFFFFFFFF * ones
    v = [*chaining, *(iv * ones for iv in _IV[:4]), low, high, size * ones, flags * ones]
    for order in _ROUNDS:
        for i, (a, b, c, d) in enumerate(_QUARTERS):
            x, y = words[order[2 * i]], words[order[2 * i + 1]]
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            va = (va + vb + x) & mask
            vd ^= va
            vd = (vd >> 16 | vd << 16) & mask
            vc = (vc + vd) & mask
            vb ^= vc
            vb = (vb >> 12 | vb << 20) & mask
            va = (va + vb + y) & mask
            vd ^= va
            vd = (vd >> 8 | vd << 24) & mask
            vc = (vc + vd) & mask
            vb ^= vc
            vb = (vb >> 7 | vb << 25) & mask
            v[a], v[b], v[c], v[d] = va, vb, vc, vd
    return tuple(v[i] ^ v[i + 8] for i in range(8))


def _chunk(data, counter, root):
    """The chaining value of one chunk of at most 1,024 bytes; `root` if it is the whole input."""
    chaining = _IV
    blocks = max(1, (len(data) + 63) // 64)
    for i in range(blocks):
        block = data[64 * i:64 * i + 64]
        flags = (_CHUNK_START if i == 0 else 0) | (_CHUNK_END if i == blocks - 1 else 0)
        if root and i == blocks - 1:
            flags |= _ROOT
        words = struct.unpack("<16I", block.ljust(64, b"\0"))
        chaining = _compress(chaining, words, counter & 0xFFFFFFFF, counter >> 32, len(block), flags)
    return chaining


def _little(words):
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _lanes(words):
    """Words, one for each lane, as one integer."""
    return int.from_bytes(_little(array.array("Q", words)).tobytes(), "little")


def _chunks(data, first):
    """The chaining values of whole chunks, none of them the last of the input."""
    n = len(data) // CHUNK
    ones = _ones(n)
    words = _little(array.array("I", bytes(data)))
    counters = range(first, first + n)
    low, high = _lanes(c & 0xFFFFFFFF for c in counters), _lanes(c >> 32 for c in counters)
    chaining = [iv * ones for iv in _IV]
    for i in range(16):
        block = [_lanes(words[16 * i + w::256]) for w in range(16)]
        flags = (_CHUNK_START if i == 0 else 0) | (_CHUNK_END if i == 15 else 0)
        chaining = _compress(chaining, block, low, high, 64, flags, ones)
    columns = [_little(array.array("Q", word.to_bytes(8 * n, "little"))) for word in chaining]
    return list(zip(*columns))


def _parent(left, right, root):
    return _compress(_IV, left + right, 0, 0, 64, _PARENT | (_ROOT if root else 0))


class Blake3:
    """Takes bytes piece by piece."""

    def __init__(self, data=b""):
        self.buffer, self.chunks, self.stack = b"", 0, []
        self.update(data)

    def update(self, data):
        self.buffer += data
        at = 0
        while len(self.buffer) - at > CHUNK:                        # the last chunk waits, for it may be the root's
            whole = min((len(self.buffer) - at - 1) // CHUNK, LANES)
            for chaining in _chunks(self.buffer[at:at + whole * CHUNK], self.chunks):
                self._push(chaining)
            at += whole * CHUNK
        self.buffer = self.buffer[at:]
        return self

    def _push(self, chaining):
        """A finished chunk, joined with as many complete subtrees as its number has trailing zeros."""
        self.chunks += 1
        total = self.chunks
        while total & 1 == 0:
            chaining = _parent(self.stack.pop(), chaining, False)
            total >>= 1
        self.stack.append(chaining)

    def digest(self):
        chaining = _chunk(self.buffer, self.chunks, not self.stack)
        for i, left in enumerate(reversed(self.stack)):
            chaining = _parent(left, chaining, i == len(self.stack) - 1)
        return struct.pack("<8I", *chaining)

    def hexdigest(self):
        return self.digest().hex()


def blake3(data):
    return Blake3(data).digest()
