"""What the cloud keeps of an encrypted folder: spec/storage.md sections 3.1 and 4.6.

A Ring has the keys of a folder, of all generations from the first on; folder_keys.py gets them. It seals under the last of them and
opens what any of them sealed.
"""

import names
from blake3 import blake3
from crypto import HMAC, Failure, aes_ctr, draw, equal, expand
from entries import DIRECTORY, FILE, NOTHING
from fields import counted

ENTRY, CONTENT, STATE, HEAD = 1, 2, 3, 4
MAGIC, HEADER, SEGMENT, TAG = b"MSO1", 24, 65536, 32


def padded(n):
    """P(n): the size that is told in place of n, by less than one eighth more."""
    m = max(n, 256)
    e = m.bit_length() - 1                                          # floor(log2 m)
    step = 1 << (e - e.bit_length())                                # floor(log2 e) + 1 bits are kept
    return -(-m // step) * step


class Ring:
    def __init__(self, folder, keys):
        self.folder, self.keys = folder, list(keys)

    def _key(self, generation):
        if not 1 <= generation <= len(self.keys):
            raise Failure("sealed-generation", "STO-064", str(generation))
        return self.keys[generation - 1]

    def k48(self, generation, kind, identifier, nonce):
        """The key of one object."""
        info = b"meshproof seal" + self.folder + generation.to_bytes(4, "big") + bytes([kind]) + identifier + nonce
        return expand(self._key(generation), info, 48)

    def nonce_of(self, generation, digest):
        """STO-065: that of the bytes of a file follows from them."""
        return expand(self._key(generation),
                      b"meshproof seal nonce" + self.folder + generation.to_bytes(4, "big") + digest, 32)[:16]

    def seal(self, kind, identifier, content, nonce=None):
        generation = len(self.keys)
        nonce = self.nonce_of(generation, identifier) if kind == CONTENT else nonce or draw(16)
        k48 = self.k48(generation, kind, identifier, nonce)
        plain = len(content).to_bytes(8, "big") + content
        plain += bytes(padded(len(plain)) - len(plain))             # STO-066
        out = [MAGIC, generation.to_bytes(4, "big"), nonce]
        for number, at in enumerate(range(0, len(plain), SEGMENT)):
            ciphertext = aes_ctr(k48[:16], _block(number), plain[at:at + SEGMENT])
            out += [ciphertext, _tag(k48, number, at + SEGMENT >= len(plain), ciphertext)]
        return b"".join(out)

    def open(self, kind, identifier, data):
        """The content, or a Failure. What a tag says comes before what is under it, and a generation without a key before what only
        the end of the object shows (STO-063)."""
        if len(data) < 8 or data[:4] != MAGIC:
            raise Failure("sealed-malformed", "STO-060", "its begin")
        generation, nonce = int.from_bytes(data[4:8], "big"), data[8:HEADER]
        k48, plain = self.k48(generation, kind, identifier, nonce), []
        if len(data) <= HEADER or 0 < (len(data) - HEADER) % (SEGMENT + TAG) <= TAG:
            raise Failure("sealed-malformed", "STO-060", "its end")
        for number, at in enumerate(range(HEADER, len(data), SEGMENT + TAG)):
            segment, last = data[at:at + SEGMENT + TAG], at + SEGMENT + TAG >= len(data)
            ciphertext, tag = segment[:-TAG], segment[-TAG:]
            if not equal(_tag(k48, number, last, ciphertext), tag):
                if equal(_tag(k48, number, not last, ciphertext), tag):
                    raise Failure("sealed-cut", "STO-062", f"segment {number}")
                raise Failure("sealed-forged", "STO-061", f"segment {number}")
            plain.append(aes_ctr(k48[:16], _block(number), ciphertext))
        return _unpadded(b"".join(plain))

    def open_content(self, digest, data):
        """The bytes of a file. Who has the key can seal what it likes: its hash decides (STO-052)."""
        content = self.open(CONTENT, digest, data)
        if blake3(content) != digest:
            raise Failure("content-hash", "STO-052")
        return content

    def identifier(self, entry):
        """STO-068: what an entry is called in the graph."""
        return HMAC(self._key(1), b"meshproof sealed entry" + self.folder + entry)[:16]


def _block(number):
    return number.to_bytes(8, "big") + bytes(8)


def _tag(k48, number, last, ciphertext):
    return HMAC(k48[16:], (2 * number + last).to_bytes(8, "big"), ciphertext)


def _unpadded(plain):
    length = int.from_bytes(plain[:8], "big")
    if len(plain) < 8 or padded(8 + length) != len(plain) or any(plain[8 + length:]):
        raise Failure("sealed-padding", "STO-063")
    return plain[8:8 + length]


# ---- entries -----------------------------------------------------------------------------------------------------

def write_entry(path, kind, size=0, digest=NOTHING):
    return counted(2, path.encode()) + bytes([kind]) + size.to_bytes(8, "big") + digest


def read_entry(content):
    """(path, kind, size, hash)"""
    end = 2 + int.from_bytes(content[:2], "big")
    if len(content) != end + 41:
        raise Failure("sealed-entry", "STO-067", "its size")
    kind, size, digest = content[end], int.from_bytes(content[end + 1:end + 9], "big"), content[end + 9:]
    if kind not in (FILE, DIRECTORY) or kind == DIRECTORY and (size or digest != NOTHING):
        raise Failure("sealed-entry", "STO-067", f"kind {kind}")
    if end - 2 > names.LONGEST_PATH:
        raise Failure("sealed-entry", "STO-067", "the length of its path")
    try:
        parts = [names.check(part) for part in content[2:end].split(b"/")]
    except Failure as failure:
        raise Failure("sealed-entry", "STO-067", str(failure))
    return "/".join(parts), kind, size, digest
