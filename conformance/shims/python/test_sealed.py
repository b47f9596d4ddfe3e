"""Sealed objects and key records, written and opened here: what the vectors of storage do not have."""

import unittest

import folder_keys
import sealed
from blake3 import blake3
from crypto import Failure, draw, public_spki
from proofs import Signer
from test_live import key
from test_sync import F

X, Y = b"x" * 16, b"y" * 16


class Sealed(unittest.TestCase):
    def test_padded(self):
        sizes = sorted({sealed.padded(n) for n in range(70_000)})
        self.assertEqual(sizes[:6], [256, 272, 288, 304, 320, 336])
        for n in (*range(257, 5000), 65_535, 65_536, 65_537, 1 << 40, (1 << 40) + 1):
            self.assertTrue(n <= sealed.padded(n) < n * 9 / 8, n)
            self.assertEqual(sealed.padded(sealed.padded(n)), sealed.padded(n))

    def test_sealed_and_opened(self):
        ring = sealed.Ring(F, [draw(32) for _ in range(3)])
        for size in (0, 1, 247, 248, 249, 65_527, 65_528, 65_529, 200_000):
            data = draw(size)
            box = ring.seal(sealed.CONTENT, blake3(data), data)
            self.assertEqual(box, ring.seal(sealed.CONTENT, blake3(data), data))
            self.assertEqual(ring.open_content(blake3(data), box), data)
            self.assertNotEqual(ring.seal(sealed.STATE, X, data), ring.seal(sealed.STATE, X, data))
        with self.assertRaises(Failure) as caught:                  # sealed well, but not what the hash says
            ring.open_content(Y * 2, ring.seal(sealed.CONTENT, Y * 2, b"other"))
        self.assertEqual(caught.exception.reason, "content-hash")
        with self.assertRaises(Failure) as caught:
            sealed.Ring(F, ring.keys[:2]).open(sealed.STATE, X, ring.seal(sealed.STATE, X, b""))
        self.assertEqual(caught.exception.reason, "sealed-generation")

    def test_what_should_be_zeros(self):
        ring = sealed.Ring(F, [draw(32)])
        box = bytearray(ring.seal(sealed.STATE, X, b"1"))
        k48 = ring.k48(1, sealed.STATE, X, bytes(box[8:24]))
        box[24 + 100] ^= 1
        box[-32:] = sealed._tag(k48, 0, True, bytes(box[24:-32]))
        with self.assertRaises(Failure) as caught:
            ring.open(sealed.STATE, X, bytes(box))
        self.assertEqual(caught.exception.reason, "sealed-malformed")

    def test_entries(self):
        for fields in (("a/b", 1, 5, draw(32)), ("d", 2, 0, bytes(32))):
            self.assertEqual(sealed.read_entry(sealed.write_entry(*fields)), fields)
        for path in ("", "/a", "a//b", "a/", "a:b", "a/con", "."):
            with self.assertRaises(Failure, msg=path) as caught:
                sealed.read_entry(sealed.write_entry(path, 1, 5, draw(32)))
            self.assertEqual(caught.exception.reason, "sealed-entry")


class Keys(unittest.TestCase):
    def test_generations(self):
        signer, keys, words = Signer(draw(32)), [draw(32)], draw(16)
        _, public = folder_keys.recovery_pair(words)
        known = []
        for generation in (1, 2, 3):
            record = folder_keys.write(F, keys, X, signer, {Y: public_spki(key("device-y")), X: public_spki(key("device-x"))},
                                       [public])
            self.assertEqual(folder_keys.read(record).generation, generation)
            for device, name in ((X, "x"), (Y, "y")):
                found = folder_keys.open_with_device(F, record, signer.key, device, key("device-" + name), known)
                self.assertEqual(found, keys)
            self.assertEqual(folder_keys.open_with_recovery(F, record, signer.key, words), keys)
            known, keys = found, [*keys, draw(32)]
        with self.assertRaises(Failure) as caught:                  # another first key than is known
            folder_keys.open_with_recovery(F, record, signer.key, words, [draw(32)])
        self.assertEqual(caught.exception.reason, "folder-key-foreign")
        for at in range(len(record)):                               # no byte that nobody looks at
            if at % 37 == 0:
                wrong = record[:at] + bytes([record[at] ^ 1]) + record[at + 1:]
                with self.assertRaises(Failure):
                    folder_keys.open_with_recovery(F, wrong, signer.key, words)
