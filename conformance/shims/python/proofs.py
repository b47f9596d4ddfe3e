"""What writers sign: spec/sync.md sections 3.4 and 3.5."""

import struct
from collections import namedtuple

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PLACE, CONTENT = 1, 2                   # the parts that a change may delete
NONE = bytes(32)                        # no place, or no content, was written
MOST = 255
MOST_DELETED = 32


class Proof(namedtuple("Proof", "stamp place content deleted signature")):
    """`deleted`: a tuple of (part, device, counter), ascending."""

    def encode(self):
        return self.unsigned() + self.signature

    def unsigned(self):
        return (self.stamp.encode() + self.place + self.content + bytes([len(self.deleted)])
                + b"".join(struct.pack(">B16sQ", *d) for d in self.deleted))

    @property
    def dot(self):
        return self.stamp.dot


def place_hash(parent, name):
    return blake3(b"meshproof place" + parent + name.encode())


def content_hash(content):
    return blake3(b"meshproof content" + content.encode_from_kind())


def needed(entry, proofs):
    """Of some proofs those that an entry has: of its place, contents and version, and of what is gone."""
    dots = {entry.stamp.dot, *(c.stamp.dot for c in entry.contents), *entry.version.items()}
    gone = {(CONTENT, *c.stamp.dot) for c in entry.contents if c.gone}
    if entry.gone:
        gone.add((PLACE, *entry.stamp.dot))
    return tuple(p for p in proofs if p.dot in dots or not gone.isdisjoint(p.deleted))


def greedy(proofs):
    """SYN-160: the writer of a change that deleted more than is taken, or None."""
    return next((p.stamp.writer for p in proofs if len(p.deleted) > MOST_DELETED), None)


def statement(stamp, old, new):
    """What the change with this stamp made of `old`, which may be None: a Proof that nobody has signed."""
    content = next((c for c in new.contents if c.stamp == stamp), None)
    lived = {c.stamp for c in old.contents if not c.gone} if old else set()
    deleted = [(CONTENT, *c.stamp.dot) for c in new.contents if c.gone and c.stamp in lived]
    if new.gone and not old.gone:
        deleted.append((PLACE, *new.stamp.dot))
    return Proof(stamp, place_hash(new.parent, new.name) if new.stamp == stamp else NONE,
                 content_hash(content) if content else NONE, tuple(sorted(deleted)), b"")


# ---- what is signed ----------------------------------------------------------------------------------------------

def change_text(folder, identifier, proof):
    return b"meshproof change" + folder + identifier + proof.unsigned()


def chain(before, text):
    """Over all changes of a writer, from NONE on."""
    return blake3(b"meshproof chain" + before + text)


def head_text(folder, device, counter, after):
    return b"meshproof head" + folder + device + counter.to_bytes(8, "big") + after


def card_text(folder, device, key):
    """What the issuer signs, as it does tickets."""
    return b"meshproof writer" + folder + device + key


# ---- Ed25519 -----------------------------------------------------------------------------------------------------

class Signer:
    """The signing key of a device, from its seed of 32 bytes."""

    def __init__(self, seed):
        self.private = Ed25519PrivateKey.from_private_bytes(seed)
        self.key = self.private.public_key().public_bytes_raw()

    def sign(self, text):
        return self.private.sign(text)


def signed(key, signature, text):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
        return True
    except (InvalidSignature, ValueError):
        return False
