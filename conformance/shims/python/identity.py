"""Signing in: spec/identity.md. People by name and password or by a code, devices by the key that they hold."""

import base64
import time
from urllib.parse import quote

import ticket as tickets
from crypto import HMAC, Failure, oaep_decrypt
from fields import counted

LABEL = b"meshproof/1 device challenge"
SIGN_IN, CLAIM = b"sign-in", b"claim"


def answer_challenge(key, purpose, challenge, ciphertext, device, audience):
    """The answer of section 3, in hexadecimal. `challenge` and `device` in hexadecimal, `ciphertext` as bytes; `audience` is
    the one that the device keeps from its claim, so that another cloud cannot pass a challenge on (IDN-015)."""
    k = oaep_decrypt(key, LABEL, ciphertext)
    if k is None or len(k) != 32:
        raise Failure("device-proof-failed", "IDN-009", "the challenge is for nobody")
    return HMAC(k, b"meshproof/1 device answer", bytes([len(purpose)]), purpose, bytes.fromhex(challenge),
                bytes.fromhex(device), counted(2, audience.encode())).hex()


class Grant:
    """What `POST /tickets` answers: the root of the mesh, the issuer with its keys, the audience and a set of tickets."""

    def __init__(self, document, renew):
        self.root, self.audience, self.tickets = document["root"], document["audience"], list(document["tickets"])
        self.issuer = document["issuer"]["name"]
        self.keys = [base64.b64decode(k) for k in document["issuer"]["keys"]]
        self.renew = renew              # gives a new Grant: by the token or by the device's key, never by tickets (IDN-064)

    def issuers(self):
        """For ticket.verify: exactly the keys of this sign-in (TKT-061)."""
        return tickets.configuration((self.issuer, key) for key in self.keys)

    def ends(self):
        """When the first of the tickets ends (IDN-065)."""
        return min(tickets.parse(tickets.from_base64url(t)).not_on_or_after for t in self.tickets)

    def authorization(self, resource=None):
        """At most sixteen tickets (TKT-027): the authentication ticket and those that are needed for `resource`, if more."""
        chosen = self.tickets
        if len(chosen) > 16:
            parsed = [(t, tickets.parse(tickets.from_base64url(t))) for t in chosen]
            chosen = [t for t, p in parsed if p.authn or any(r == resource for _, r, _ in p.authz)][:16]
        return "MeshTicket " + ",".join(chosen)


def register(cloud, name, password):
    """The identifier of the new user."""
    return cloud.request("POST", cloud.link("users"), {"name": name, "password": password}).json()["user"]


def sign_in(cloud, name, password):
    """IDN-001, IDN-008: a token, and the tickets for it."""
    token = cloud.request("POST", cloud.link("token"), {"name": name, "password": password}).json()["token"]
    return trade(cloud, token)


def sign_in_by_code(cloud, show, wait=time.sleep):
    """Section 4.11: a person who is signed in elsewhere signs this program in. `show` is given the codes. A code that nobody may
    use any more, or that was denied, is a Problem (IDN-072)."""
    links = code_links(cloud)
    codes = cloud.request("POST", links["codes"]).json()
    show(codes)
    interval = codes["interval"]
    while (answer := cloud.request("POST", links["token"], {"device_code": codes["device_code"]})).status == 202:
        interval += 5 if answer.json()["slow_down"] else 0
        wait(interval)
    return trade(cloud, answer.json()["token"])


def code_links(cloud):
    """The links of section 4.11; `codes` is a prefix, too, below which a user code is. None where people are not signed in so."""
    providers = cloud.request("GET", cloud.link("providers")).json()["items"]
    return next((p["links"] for p in providers if p["kind"] == "code"), None)


def waiting_program(cloud, token, user_code):
    """Which program waits to be signed in by this code (IDN-073)."""
    return cloud.request("GET", f"{code_links(cloud)['codes']}/{quote(user_code)}", authorization="Bearer " + token).json()


def decide_code(cloud, token, user_code, allow):
    """The person's word on the program that shows this code."""
    cloud.request("POST", f"{code_links(cloud)['codes']}/{quote(user_code)}", {"allow": allow}, authorization="Bearer " + token)


def trade(cloud, token):
    answer = cloud.request("POST", cloud.link("tickets"), authorization="Bearer " + token)
    grant = Grant(answer.json(), lambda: trade(cloud, token))
    grant.token = token
    return grant


def sign_out(cloud, token):
    cloud.request("DELETE", cloud.link("token"), authorization="Bearer " + token)


def sign_device_in(cloud, key, device, audience):
    """IDN-014: the tickets of a device, for the proof of its key."""
    c = cloud.request("POST", cloud.link("challenge"), {"device": device}).json()
    answer = answer_challenge(key, SIGN_IN, c["challenge"], base64.b64decode(c["ciphertext"]), device, audience)
    document = cloud.request("POST", cloud.link("device"),
                             {"device": device, "challenge": c["challenge"], "answer": answer}).json()
    return Grant(document, lambda: sign_device_in(cloud, key, device, audience))
