"""The keys of an encrypted folder: spec/storage.md sections 3.2 and 4.7. `keys` are those of all generations, the first one first."""

import struct
from collections import namedtuple

from crypto import (HMAC, Failure, draw, equal, etm_open, etm_seal, expand, extract, modulus_of_device_key, oaep_decrypt,
                    oaep_encrypt, x25519_public, x25519_shared)
from fields import Fields, counted
from proofs import signed

MOST_GENERATIONS, MOST_WRAPS, MOST_RECOVERIES = 1024, 1024, 8

# `wraps`: device -> ciphertext; `recoveries`: public -> (ephemeral, box); `unsigned` is all but the signature.
Record = namedtuple("Record", "generation writer check wraps recoveries earlier unsigned signature")


def _u32(n):
    return n.to_bytes(4, "big")


# ---- the form ----------------------------------------------------------------------------------------------------

class Reader(Fields):
    reason, requirement = "folder-key-malformed", "STO-070"

    def table(self, size, most, item):
        count = self.number(size)
        items = [item() for _ in range(count)] if count <= most else None
        if items is None or any(a[0] >= b[0] for a, b in zip(items, items[1:])):
            self.refuse("too many, or not ascending")
        return dict(items)


def read(data):
    """STO-070: a Record, of whom nobody knows yet whose it is."""
    r = Reader(data)
    generation, writer, check = r.number(4), r.take(16), r.take(32)
    if not 1 <= generation <= MOST_GENERATIONS:
        r.refuse(f"generation {generation}")
    wraps = r.table(2, MOST_WRAPS, lambda: (r.take(16), r.counted(2)))
    recoveries = r.table(1, MOST_RECOVERIES, lambda: (r.take(32), (r.take(32), r.take(64))))
    earlier = r.take(32 * generation if generation > 1 else 0)      # the keys before, and a tag
    unsigned, signature = data[:r.at], r.take(64)
    r.end()
    return Record(generation, writer, check, wraps, recoveries, earlier, unsigned, signature)


def write(folder, keys, writer, signer, wraps, publics=()):
    """A record of the last of `keys`. `wraps`: device -> SPKI; `publics`: of recovery keys; `signer`: a proofs.Signer."""
    generation, key = len(keys), keys[-1]
    out = [_u32(generation), writer, check_of(folder, generation, key), struct.pack(">H", len(wraps))]
    for device, spki in sorted(wraps.items()):
        out += [device, counted(2, oaep_encrypt(modulus_of_device_key(spki), label(folder, generation, device), key, draw(32)))]
    out.append(bytes([len(publics)]))
    for public in sorted(publics):
        secret = draw(32)
        ephemeral, shared = x25519_public(secret), x25519_shared(secret, public)
        if shared == bytes(32):                                     # STO-076
            raise ValueError("this is no recovery key: everybody could open what is wrapped for it")
        out += [public, ephemeral,
                etm_seal(recovery_k48(folder, generation, public, ephemeral, shared), b"", key)]
    if generation > 1:
        out.append(etm_seal(earlier_k48(folder, generation, key), b"", b"".join(keys[:-1])))
    unsigned = b"".join(out)
    return unsigned + signer.sign(text(folder, unsigned))


# ---- what is in it -----------------------------------------------------------------------------------------------

def text(folder, unsigned):
    """What the writer signs."""
    return b"meshproof folder keys" + folder + unsigned


def label(folder, generation, device):
    return f"meshproof folder key {folder.hex()} {generation} {device.hex()}".encode()


def check_of(folder, generation, key):
    return HMAC(key, b"meshproof folder key" + folder + _u32(generation))


def earlier_k48(folder, generation, key):
    return expand(key, b"meshproof earlier keys" + folder + _u32(generation), 48)


def recovery_k48(folder, generation, public, ephemeral, shared):
    info = b"meshproof recovery" + folder + _u32(generation) + public + ephemeral
    return expand(extract(b"meshproof recovery", shared), info, 48)


def recovery_pair(words):
    """(secret, public) of a recovery key, 16 bytes."""
    secret = extract(b"meshproof recovery key", words)
    return secret, x25519_public(secret)


# ---- open --------------------------------------------------------------------------------------------------------

def open_with_device(folder, data, writer_key, device, private_key, known=()):
    """The keys of all generations. `writer_key`: that of the card of the record's writer; `known`: the keys that are here already."""
    record = _verified(folder, data, writer_key, known)
    box = record.wraps.get(device)
    key = box and oaep_decrypt(private_key, label(folder, record.generation, device), box)
    if not key or len(key) != 32:
        raise Failure("folder-key-wrap", "STO-072")
    return _all(folder, record, key, known)


def open_with_recovery(folder, data, writer_key, words, known=()):
    record = _verified(folder, data, writer_key, known)
    secret, public = recovery_pair(words)
    ephemeral, box = record.recoveries.get(public, (bytes(32), b""))
    shared = x25519_shared(secret, ephemeral)
    key = etm_open(recovery_k48(folder, record.generation, public, ephemeral, shared), b"", box)
    if not key or shared == bytes(32):                              # zeros are what everybody gets
        raise Failure("folder-key-recovery", "STO-076")
    return _all(folder, record, key, known)


def _verified(folder, data, writer_key, known):
    record = read(data)
    if not signed(writer_key, record.signature, text(folder, record.unsigned)):
        raise Failure("folder-key-unsigned", "STO-071", record.writer.hex())
    if record.generation < len(known):                              # before STO-072, whatever is in it
        raise Failure("folder-key-stale", "STO-074", f"{record.generation}, and {len(known)} are known")
    return record


def _all(folder, record, key, known):
    """STO-073, STO-075."""
    if not equal(record.check, check_of(folder, record.generation, key)):
        raise Failure("folder-key-check", "STO-073")
    before = b""
    if record.generation > 1:
        before = etm_open(earlier_k48(folder, record.generation, key), b"", record.earlier)
        if before is None:
            raise Failure("folder-key-foreign", "STO-075", "the earlier keys")
    keys = [*(before[i:i + 32] for i in range(0, len(before), 32)), key]
    if keys[:len(known)] != list(known):
        raise Failure("folder-key-foreign", "STO-075", "another key than is known")
    return keys
