"""Every vector file against this implementation: python3 -m unittest"""

import collections
import glob
import json
import os
import unittest

import shim
from crypto import (HAVE_MLKEM, H, HMAC, aes_ctr, expand, extract, mlkem_decapsulate, mlkem_encapsulation_key,
                    mlkem_from_seed, mlkem_key_is_canonical, oaep_decrypt, public_spki, rsa_sign, x25519_shared)
from test_live import key

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../vectors")
OUTPUTS = ("tcId", "id", "comment", "reqs", "result", "twin", "reason", "expect", "intermediates")


def disagreement(kind, group, test):
    """None, or what the shim did that the test does not want."""
    inputs = {k: v for k, v in test.items() if k not in OUTPUTS}
    shared = {k: v for k, v in group.items() if k not in ("tests", "type", "source")}
    got = shim.answer({"op": "vector", "type": kind, "group": shared, "test": inputs})
    if got["outcome"] != ("accept" if test["result"] == "valid" else "reject"):
        return f"{test['id']}: {got}"
    wrong = {k: v for k, v in test.get("expect", {}).items() if got.get("output", {}).get(k, "absent") != v}
    if wrong:
        return f"{test['id']}: output {str(got.get('output'))[:200]}, wanted {str(wrong)[:200]}"
    if test.get("reason") not in (None, got.get("reason")):
        return f"{test['id']}: {got['reason']} {got['requirement']} {got.get('detail')}, wanted {test['reason']} {test['reqs']}"
    return None


class Vectors(unittest.TestCase):
    def test_all_files(self):
        counts, wrong = collections.Counter(), []
        for path in sorted(glob.glob(os.path.join(VECTORS, "*", "*.json"))):
            if os.path.basename(os.path.dirname(path)) in ("schema", "crypto"):
                continue
            with open(path) as f:
                data = json.load(f)
            for group in data["testGroups"]:
                self.assertIn(group["type"], shim.TYPES, path)
                for test in group["tests"]:
                    message = disagreement(group["type"], group, test)
                    counts[group["type"], message is None] += 1
                    wrong += [message] if message else []
        print()
        for kind in shim.TYPES:
            print(f"{kind:16} {counts[kind, True]:4} agree, {counts[kind, False]:3} do not")
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))

    def test_primitives(self):
        groups, count = [], 0
        for name in ("openssl", "published"):
            with open(os.path.join(VECTORS, f"crypto/{name}.json")) as f:
                groups += json.load(f)["testGroups"]
        for group in groups:
            for t in group["tests"]:
                self.assertTrue(PRIMITIVES[group["type"]](t), t["id"])
                count += 1
        print(f"\n{'primitives':16} {count:4} agree")


def unhex(t, name):
    return bytes.fromhex(t[name])


def ml_kem(t):
    if not HAVE_MLKEM:
        return True
    private = mlkem_from_seed(unhex(t, "seed"))
    return (mlkem_encapsulation_key(private) == unhex(t, "key") and mlkem_key_is_canonical(unhex(t, "key"))
            and mlkem_decapsulate(private, unhex(t, "ciphertext")) == unhex(t, "shared"))


PRIMITIVES = {
    "MlKem768": ml_kem,
    "X25519": lambda t: x25519_shared(unhex(t, "secret"), unhex(t, "peer")) == unhex(t, "shared"),
    "OaepDecrypt": lambda t: oaep_decrypt(key(t["key"]), t["label"].encode(), unhex(t, "ciphertext")) == unhex(t, "message"),
    "Hmac": lambda t: HMAC(unhex(t, "key"), unhex(t, "message")) == unhex(t, "tag"),
    "Hkdf": lambda t: expand(extract(unhex(t, "salt"), unhex(t, "ikm")), unhex(t, "info"), len(unhex(t, "okm"))) == unhex(t, "okm"),
    "AesCtr": lambda t: aes_ctr(unhex(t, "key"), unhex(t, "block"), unhex(t, "plaintext")) == unhex(t, "ciphertext"),
    "RsaSign": lambda t: rsa_sign(key(t["key"]), unhex(t, "message")) == unhex(t, "signature"),
    "Fingerprint": lambda t: H(public_spki(key(t["key"]))) == unhex(t, "fingerprint"),
}
