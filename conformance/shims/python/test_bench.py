"""The op `bench`: everything that ../README.md lists is measured, and nothing else."""

import unittest

import shim
from handshake import SUITES


class Bench(unittest.TestCase):
    def ask(self, work, size):
        return shim.answer({"op": "bench", "work": work, "size": size, "seconds": 0})

    def test_all_of_the_table(self):
        sized = [(work, size) for work in ("aes-128-ctr", "hmac-sha256", "seal", "open") for size in (64, 65535)]
        whole = [(work, 2048) for work in ["rsa-oaep-decrypt"] + [f"handshake-{suite:04x}" for suite in SUITES]]
        for work, size in sized + whole:
            answer = self.ask(work, size)
            self.assertEqual(answer["outcome"], "accept", (work, answer))
            self.assertEqual(set(answer["output"]), {"bytes" if size != 2048 else "operations", "nanoseconds"})
            self.assertTrue(all(number > 0 for number in answer["output"].values()), answer)

    def test_nothing_else(self):
        for work, size in [("sing", 64), ("seal", 0), ("seal", 65536), ("handshake-0201", 3072), ("handshake-0901", 2048)]:
            self.assertEqual(self.ask(work, size), {"outcome": "unsupported"}, (work, size))


if __name__ == "__main__":
    unittest.main()
