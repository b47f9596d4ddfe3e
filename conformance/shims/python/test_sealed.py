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

    def test_a_generation_without_a_key_comes_before_the_end(self):
        """STO-063, STO-064: who reads a stream does not know its end yet."""
        ring = sealed.Ring(F, [draw(32), draw(32)])
        box = ring.seal(sealed.STATE, X, b"1")
        for size in (8, 23, 24, 25, 24 + 32):
            for keys, reason in ((ring.keys, "sealed-malformed"), (ring.keys[:1], "sealed-generation")):
                with self.assertRaises(Failure, msg=size) as caught:
                    sealed.Ring(F, keys).open(sealed.STATE, X, box[:size])
                self.assertEqual(caught.exception.reason, reason, size)
        with self.assertRaises(Failure) as caught:
            ring.open(sealed.STATE, X, box[:7])
        self.assertEqual(caught.exception.reason, "sealed-malformed")

    def test_entries(self):
        for fields in (("a/b", 1, 5, draw(32)), ("d", 2, 0, bytes(32))):
            self.assertEqual(sealed.read_entry(sealed.write_entry(*fields)), fields)
        longest = "/".join(["a" * 255] * 16)                        # 4,095 bytes
        self.assertEqual(sealed.read_entry(sealed.write_entry(longest[1:] + "/b", 1, 5, draw(32)))[0], longest[1:] + "/b")
        for path in ("", "/a", "a//b", "a/", "a:b", "a/con", ".", longest + "/b"):
            with self.assertRaises(Failure, msg=path) as caught:
                sealed.read_entry(sealed.write_entry(path, 1, 5, draw(32)))
            self.assertEqual(caught.exception.reason, "sealed-entry")


class Keys(unittest.TestCase):
    def test_nobody_wraps_for_a_recovery_key_of_small_order(self):
        """STO-076."""
        with self.assertRaises(ValueError):
            folder_keys.write(F, [draw(32)], X, Signer(draw(32)), {}, [bytes(32)])

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
