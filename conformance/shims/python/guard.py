"""What a responder keeps against load and replay: spec/handshake.md section 4.7, and the suites of HSK-045."""

import contextlib
import json
import os
import threading

from crypto import HMAC, Failure, H, draw, equal
from disk import write_whole

COOKIE_FRESH, SECRET_LIVES = 240, 120                               # HSK-050
REPLAY = 601                                                        # HSK-051
SOURCE_ALLOWANCE, ALL_ALLOWANCE = 512, 4096                         # HSK-052: tokens; at least 8 for a source
REFILL = 32.0                                                       # tokens a second for a source


class Memory:
    """Shared by all connections of one device. `always_retry` asks every M1 for a cookie, for tests. `path` is a file in which
    the remembered suites outlive a restart (HSK-045)."""

    def __init__(self, always_retry=False, path=None, limited=True):
        self.always_retry, self.path, self.limited = always_retry, path, limited
        self.device_secret = draw(32)                               # for HSK-017
        self.secrets = []                                           # (made at, secret), the newest first
        self.seen = {}                                              # H(M1) -> when it was answered with M2
        self.looked_at, self.lock = set(), threading.Lock()         # H(M1) of those that nobody has decided on
        self.buckets = {}                                           # source -> [tokens, when]
        self.suites = {}
        if path and os.path.exists(path):
            with open(path) as f:
                self.suites = json.load(f)

    # cookies

    def _secret(self, now):
        if not self.secrets or now - self.secrets[0][0] >= SECRET_LIVES:
            self.secrets = [(now, draw(32))] + self.secrets[:2]
        return self.secrets[0][1]

    def make_cookie(self, source, head, now):
        stamp = int(now).to_bytes(8, "big")
        return stamp + HMAC(self._secret(now), stamp, source, H(head))

    def check_cookie(self, cookie, source, head, now):
        """HSK-050: one that I made, for this source and M1head, less than 240 s ago."""
        stamp, tag = cookie[:8], cookie[8:]
        made = any(equal(HMAC(secret, stamp, source, H(head)), tag) for _, secret in self.secrets)
        if not made or not 0 <= now - int.from_bytes(stamp, "big") < COOKIE_FRESH:
            raise Failure("cookie-unknown", "HSK-050")

    # replays

    @contextlib.contextmanager
    def first(self, m1, now):
        """HSK-051: that nobody else brought the same, or brings it while this one is being looked at."""
        digest = H(m1)
        with self.lock:
            if digest in self.looked_at or now - self.seen.get(digest, now - REPLAY) < REPLAY:
                raise Failure("replay", "HSK-051")
            self.looked_at.add(digest)
        try:
            yield
        finally:
            with self.lock:
                self.looked_at.discard(digest)

    def answered(self, m1, source, now):
        with self.lock:
            self.seen = {h: t for h, t in self.seen.items() if now - t < REPLAY}
            self.seen[H(m1)] = now
        self.give_back(source)

    # allowances

    def _bucket(self, source, largest, now):
        bucket = self.buckets.setdefault(source, [largest, now])
        bucket[0] = min(largest, bucket[0] + max(0, now - bucket[1]) * REFILL * largest / SOURCE_ALLOWANCE)
        bucket[1] = now
        return bucket

    def spend(self, source, now):
        """HSK-052: takes a token of the source and one of all. True when they run low: then RETRY asks for a cookie."""
        if not self.limited:
            return self.always_retry
        own, everyone = self._bucket(source, SOURCE_ALLOWANCE, now), self._bucket(None, ALL_ALLOWANCE, now)
        if own[0] < 1 or everyone[0] < 1:
            raise Failure("busy", "HSK-052")
        own[0] -= 1
        everyone[0] -= 1
        if len(self.buckets) > 10000:                               # full ones say nothing
            self.buckets = {s: b for s, b in self.buckets.items() if s is None or b[0] < SOURCE_ALLOWANCE}
        return self.always_retry or own[0] < SOURCE_ALLOWANCE / 2 or everyone[0] < ALL_ALLOWANCE / 2

    def give_back(self, source):
        for s in (source, None):
            if s in self.buckets:
                self.buckets[s][0] += 1

    # suites

    def suite_of(self, initiator):
        return self.suites.get(initiator, 0)

    def established(self, initiator, suite):
        if suite > self.suite_of(initiator):
            self.suites[initiator] = suite
            if self.path:
                write_whole(self.path, json.dumps(self.suites).encode())
