"""Of several rules that are broken at once the first decides, where the documents say which that is and no vector does."""

import time
import unittest

import handshake
import ticket as tickets
from crypto import Failure, base64url, draw, public_spki
from guard import Memory
from issue import issue
from peer import write_pair_ticket
from responder import Responder
from test_live import ISSUER, X, Y, key

CLOUD, RESOURCE = "urn:meshproof:cloud", "/mesh"
KEYS = {ISSUER: [public_spki(key("issuer-a"))]}


class Tickets(unittest.TestCase):
    def ticket(self, now, authn=None, authz=()):
        data = issue({"id": None, "issuer": ISSUER, "subject": tickets.USER + "a" * 32, "audience": CLOUD, "confirmation": None,
                      "issue_instant": now, "not_before": now, "not_on_or_after": now + 60, "authn": authn, "authz": list(authz),
                      "attributes": {}}, key("issuer-a"))
        return base64url(data)

    def decided(self, *elements):
        try:
            return tickets.decide(",".join(elements), RESOURCE, "Read", 1_000_000, CLOUD, KEYS)
        except Failure as failure:
            return failure.reason

    def test_denied_and_not_permitted(self):
        """TKT-030 and TKT-035: without an authentication ticket no decision is looked at, else what is denied comes first."""
        now = 1_000_000
        who = self.ticket(now, authn={"instant": now, "class": "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"})
        permit, deny = (self.ticket(now, authz=[{"decision": d, "resource": RESOURCE, "actions": ["Read"]}])
                        for d in ("Permit", "Deny"))
        self.assertEqual(self.decided(who, permit), tickets.USER + "a" * 32)
        self.assertEqual(self.decided(who, permit, deny), "action-denied")
        self.assertEqual(self.decided(who, deny), "action-denied")
        self.assertEqual(self.decided(who), "action-not-permitted")
        self.assertEqual(self.decided(permit, deny), "action-not-permitted")

    def test_three_keys_are_no_configuration(self):
        """TKT-021."""
        pairs = [(ISSUER, draw(1)) for _ in range(2)] + [("urn:other", b"1")]
        self.assertEqual(tickets.configuration(pairs), {ISSUER: [k for _, k in pairs[:2]], "urn:other": [b"1"]})
        with self.assertRaises(Failure) as caught:
            tickets.configuration([*pairs, (ISSUER, b"1")])
        self.assertEqual(caught.exception.requirement, "TKT-021")


class M1s(unittest.TestCase):
    def body(self, **more):
        """An M1 up to its share, with some field as a test wants it."""
        fields = {"version": b"\0\1", "suites": b"\1\1\1", "nonce": bytes(48), "cookie": b"\0", "share": b"\0\0", **more}
        return b"".join(fields.values())

    def test_a_wrong_field_before_one_behind_it_and_before_what_is_missing(self):
        """Section 4.2, and the same with nothing behind the wrong field."""
        for name, value, reason in (("version", b"\0\2", "version"), ("suites", b"\0", "suite-list"), ("suites", b"\11", "suite-list"),
                                    ("suites", b"\3\1\1\1\1", "suite-list"), ("cookie", b"\47", "cookie"),
                                    ("share", b"\0\1", "share")):
            whole = self.body(**{name: value})
            cut = whole[:whole.index(value, {"version": 0, "suites": 2, "cookie": 53, "share": 54}[name]) + len(value)]
            for body in (whole, cut):
                with self.assertRaises(Failure, msg=name) as caught:
                    handshake.M1Message(handshake.frame(handshake.M1, body))
                self.assertEqual(caught.exception.reason, reason, name)
        with self.assertRaises(Failure) as caught:
            handshake.M1Message(handshake.frame(handshake.M1, self.body()))
        self.assertEqual(caught.exception.reason, "malformed")

    def test_retry_before_the_token_of_a_rendezvous(self):
        """Who asks a responder under load is told so, whatever its rdv_token; HSK-053 is for the M1 with the cookie."""
        now, x, y = int(time.time()), key("device-x"), key("device-y")
        ticket = write_pair_ticket(ISSUER, key("issuer-a"), X, public_spki(x), Y, public_spki(y))
        caller = handshake.Initiator(x, X, Y, public_spki(y), ticket, now)
        responder = Responder(y, Y, KEYS, Memory(always_retry=True), rdv_token=b"t" * 16)
        retry = responder.read_m1(caller.m1, now)
        self.assertEqual(retry[0], handshake.RETRY)
        _, m1 = caller.read(retry)
        with self.assertRaises(Failure) as caught:
            responder.read_m1(m1, now)
        self.assertEqual(caught.exception.requirement, "HSK-053")


if __name__ == "__main__":
    unittest.main()
