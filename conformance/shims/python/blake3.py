"""BLAKE3-256 in plain Python, for the names of media (spec/storage.md) and contents (spec/sync.md).

The standard library has no BLAKE3. This one is written for reading: about a second for a megabyte, which is enough to check
an implementation and too little to live with.
"""

import struct

_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_CHUNK_START, _CHUNK_END, _PARENT, _ROOT = 1, 2, 4, 8
_MASK = 0xFFFFFFFF
CHUNK = 1024


def _schedules():
    """Which message word is used at which place of each of the seven rounds."""
    order = tuple(range(16))
    for _ in range(7):
        yield order
        order = tuple(order[i] for i in _PERMUTATION)


_ROUNDS = tuple(_schedules())
_QUARTERS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12),
             (2, 7, 8, 13), (3, 4, 9, 14))


def _compress(chaining, words, counter, size, flags):
    """The compression function; of its sixteen words only the first eight are ever needed for 32 bytes of output."""
    v = [*chaining, *_IV[:4], counter & _MASK, counter >> 32, size, flags]
    for order in _ROUNDS:
        for i, (a, b, c, d) in enumerate(_QUARTERS):
            x, y = words[order[2 * i]], words[order[2 * i + 1]]
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            va = (va + vb + x) & _MASK
            vd ^= va
            vd = (vd >> 16 | vd << 16) & _MASK
            vc = (vc + vd) & _MASK
            vb ^= vc
            vb = (vb >> 12 | vb << 20) & _MASK
            va = (va + vb + y) & _MASK
            vd ^= va
            vd = (vd >> 8 | vd << 24) & _MASK
            vc = (vc + vd) & _MASK
            vb ^= vc
            vb = (vb >> 7 | vb << 25) & _MASK
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
        chaining = _compress(chaining, words, counter, len(block), flags)
    return chaining


def _parent(left, right, root):
    return _compress(_IV, left + right, 0, 64, _PARENT | (_ROOT if root else 0))


class Blake3:
    """Takes bytes piece by piece."""

    def __init__(self, data=b""):
        self.buffer, self.chunks, self.stack = b"", 0, []
        self.update(data)

    def update(self, data):
        self.buffer += data
        at = 0
        while len(self.buffer) - at > CHUNK:                        # the last chunk waits, for it may be the root's
            self._push(_chunk(self.buffer[at:at + CHUNK], self.chunks, False))
            at += CHUNK
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
