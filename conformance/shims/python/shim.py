"""Answers the test vectors, one JSON object a line: conformance/shims/README.md.

    meshproof run --shim "python3 conformance/shims/python/shim.py"
"""

import base64
import functools
import json
import socket
import sys
import time

import channel
import entries
import folder_keys
import names
import relay
import sealed
import ticket as tickets
from blake3 import blake3
from crypto import Failure, load_private_der
from guard import Memory
from handshake import HYBRID, M1, SUITES, Initiator, take_frame
from ignore import Ignore
from issue import issue
from merge import merge
from record import DATA, TICKET, Opener, Sealer
from responder import Responder, read_m3
from view import view
from writers import Writers

load_key = functools.lru_cache(None)(lambda text: load_private_der(base64.b64decode(text)))


class Unsupported(Exception):
    pass


def issuers_of(group):
    return tickets.configuration((i["name"], base64.b64decode(k)) for i in group["issuers"] for k in i["keys"])


def from_hex(test, name):
    return bytes.fromhex(test[name])


# ---- ticket.md ---------------------------------------------------------------------------------------------------

def ticket_verify(group, test):
    proved = None if test["presenter"] == "none" else base64.b64decode(test["presenter"]["spki"])
    data = tickets.from_base64url(test["ticket"])
    tickets.verify(data, test["now"], group["audience"], issuers_of(group), proved, test["revoked"])
    return {}


def ticket_issue(group, test):
    f = dict(test["fields"])
    f["confirmation"] = f["confirmation"] and base64.b64decode(f["confirmation"])
    return {"ticket": issue(f, load_key(group["issuer_key"])).decode()}


def ticket_set(group, test):
    return {"principal": tickets.decide(test["header"], test["resource"], test["action"], test["now"], group["audience"],
                                        issuers_of(group), test["revoked"])}


def ticket_pair(group, test):
    data = tickets.from_base64url(test["ticket"])
    t = tickets.verify(data, test["now"], tickets.DEVICE + test["responder"], issuers_of(group), possession=False)
    g = tickets.relate(t, test["responder"], base64.b64decode(test["responder_spki"]))
    return {"initiator": g.initiator, "initiator_fingerprint": g.fingerprint, "user": g.user,
            "folders": [{"folder": f, "initiator_role": i, "responder_role": r} for f, (i, r) in g.folders.items()]}


# ---- handshake.md ------------------------------------------------------------------------------------------------

def responder_of(group, entropy=None):
    token = group.get("rdv_token")
    more = {"entropy": entropy} if entropy else {}
    if not set(group["suites"]) <= set(SUITES):
        raise Unsupported()
    return Responder(load_key(group["responder_key"]), bytes.fromhex(group["responder"]), issuers_of(group),
                     Memory(limited=False), group["suites"], token and bytes.fromhex(token), **more)


def handshake_m1(group, test):
    responder = responder_of(group)
    try:
        taken = take_frame(from_hex(test, "frame"), (M1,))
        if taken is None:
            raise Failure("malformed", "HSK-003", "not complete")
        responder.read_m1(taken[0], test["now"])
    except Failure as failure:
        failure.output = {"answer": failure.answer}
        raise
    return {"answer": "m2", "suite": responder.suite, "initiator": responder.grounds.initiator}


def drawing_from(data):
    """An entropy function that gives out `data`."""
    rest = bytearray(data)

    def entropy(n):
        taken, rest[:n] = bytes(rest[:n]), b""
        if len(taken) != n:
            raise ValueError("too little entropy")
        return taken
    return entropy


def initiator_of(group, test):
    if not set(group["suites"]) <= set(SUITES):
        raise Unsupported()
    initiator = Initiator(load_key(group["initiator_key"]), bytes.fromhex(group["initiator"]), bytes.fromhex(group["responder"]),
                          base64.b64decode(group["responder_spki"]), base64.b64decode(group["ticket"]), test["now"],
                          group["suites"], entropy=drawing_from(from_hex(test, "entropy")))
    if initiator.m1.hex() != test["m1"]:
        raise ValueError("another M1 comes from this entropy")
    return initiator


def read_frames(initiator, frames):
    for data in frames:
        taken = take_frame(data, initiator.awaited())
        if taken is None or taken[1]:
            raise Failure("malformed", "HSK-003", "not one frame")
        kind, answer = initiator.read(taken[0])
    return kind, answer


def handshake_m2(group, test):
    initiator = initiator_of(group, test)
    try:
        _, m3 = read_frames(initiator, [from_hex(test, "frame")])
    except Failure as failure:
        if hasattr(failure, "code"):
            failure.output = {"refused": failure.code}
        raise
    return {"m3": m3.hex(), "traffic_i": initiator.traffic_i.hex(), "traffic_r": initiator.traffic_r.hex()}


def handshake_retry(group, test):
    _, m1 = read_frames(initiator_of(group, test), [bytes.fromhex(f) for f in test["frames"]])
    return {"m1": m1.hex()}


def handshake_m3(group, test):
    """`cryptography` cannot be given the randomness of an ML-KEM encapsulation: where the suite has one, `state` is taken; in
    the other suites the M2 is written from the entropy and has to be that of the test."""
    state = tuple(bytes.fromhex(test["state"][name]) for name in ("ck3", "th2"))
    m2 = from_hex(test, "m2")
    if int.from_bytes(m2[4:6], "big") != HYBRID:
        responder = responder_of(group, drawing_from(from_hex(test, "entropy")))
        if responder.read_m1(from_hex(test, "m1"), test["now"]) != m2 or responder.state != state:
            raise ValueError("another M2 comes from this entropy")
    taken = take_frame(from_hex(test, "frame"), (3,))
    if taken is None or taken[1]:
        raise Failure("malformed", "HSK-003")
    i, r = read_m3(taken[0], *state)
    return {"traffic_i": i.hex(), "traffic_r": r.hex()}


# ---- record.md and relay.md --------------------------------------------------------------------------------------

def record_open(_, test):
    opener = Opener(from_hex(test, "traffic"), from_initiator=test.get("role") == "responder")
    records = opener.feed(from_hex(test, "stream"))
    if test["fin"]:
        opener.end()
    return {"contents": [content.hex() for kind, content in records if kind == DATA],
            "tickets": [content.hex() for kind, content in records if kind == TICKET], "closed": opener.closed}


def record_seal(_, test):
    sealer = Sealer(from_hex(test, "traffic"))
    out = b""
    for action in test["actions"]:
        if "data" in action:
            out += sealer.data(bytes.fromhex(action["data"]))
        else:
            out += sealer.key_update() if "key_update" in action else sealer.close()
    return {"stream": out.hex()}


def relay_pass(group, test):
    token = relay.make_pass(from_hex(group, "key"), test["address"], from_hex(test, "circuit"), test["side"], test["expires"],
                            test["user"])
    return {"pass": token.hex()}


def relay_join(group, test):
    state, answer = relay.Relay([from_hex(group, "key")], group["address"]), None
    for number, data in enumerate(test["connections"], 1):
        try:
            answer = state.answer(bytes.fromhex(data), test["now"])
        except Failure as failure:
            if number == len(test["connections"]):
                failure.output = {"answer": failure.answer}
                raise
    return {"answer": answer}


# ---- sync.md -----------------------------------------------------------------------------------------------------

def sync_ignore(_, test):
    return {"ignored": Ignore(from_hex(test, "patterns"))(test["path"], test["directory"])}


def sync_name(_, test):
    return {"folded": names.fold(names.check(from_hex(test, "name")))}


def sync_index(_, test):
    return {"ids": [entry.id.hex() for entry in entries.read_index(from_hex(test, "body"))[2]]}


def sync_merge(_, test):
    mine, theirs = (entries.entry_of(from_hex(test, side)) for side in ("mine", "theirs"))
    contexts = ({bytes.fromhex(d): c for d, c in test[side + "_context"]} for side in ("mine", "theirs"))
    merged = merge(mine, theirs, *contexts)
    if merged is None:
        raise Failure("ignored", "SYN-016")
    return {"entry": merged.encode().hex()}


def sync_view(_, test):
    known = {e.id: e for e in (entries.entry_of(bytes.fromhex(data)) for data in test["entries"])}
    return {"paths": [{"path": path, "id": item.id.hex(), "kind": item.kind, "copy": item.copy}
                      for path, item in sorted(view(known).items(), key=lambda shown: shown[0].encode())]}


def sync_digest(_, test):
    return {"digest": entries.digest([entries.entry_of(bytes.fromhex(data)) for data in test["entries"]]).hex()}


def sync_signed(group, test):
    data, keys = from_hex(test, "bytes"), {bytes.fromhex(d): bytes.fromhex(k) for d, k in test["keys"]}
    known = Writers(from_hex(group, "folder"), [from_hex(group, "issuer")], (None, None))
    known.cards = {device: (key, b"") for device, key in keys.items()}
    if test["what"] == "entry":
        complete = known.check(entries.entry_of(data), None)
    elif test["what"] == "head":
        complete = known.check_heads(dict([entries.read_head(entries.Reader(data))]), {})
    else:
        card = entries.read_card(entries.Reader(data))
        known.cards = {}
        known.learn(*card)
        if not known.cards:
            raise Failure("none", "SYN-056")
        complete = True
    if not complete:
        raise Failure("ignored", "SYN-053")
    return {}


# ---- storage.md --------------------------------------------------------------------------------------------------

def ring_of(group):
    return sealed.Ring(from_hex(group, "folder"), [bytes.fromhex(key) for key in group["keys"]])


def storage_seal(group, test):
    nonce = bytes.fromhex(test["nonce"]) if "nonce" in test else None
    return {"sealed": ring_of(group).seal(test["kind"], from_hex(test, "object"), from_hex(test, "content"), nonce).hex()}


def storage_id(group, test):
    return {"id": ring_of(group).identifier(from_hex(test, "entry")).hex()}


def storage_open(group, test):
    content = ring_of(group).open(test["kind"], from_hex(test, "object"), from_hex(test, "sealed"))
    return {"length": len(content), "hash": blake3(content).hex()}


def storage_entry(_, test):
    path, kind, size, _ = sealed.read_entry(from_hex(test, "content"))
    return {"path": path, "kind": kind, "size": size}


def storage_key(group, test):
    before = from_hex(group, "folder"), from_hex(test, "record"), from_hex(group, "writer")
    known = [bytes.fromhex(key) for key in test["known"]]
    if "recovery" in test:
        keys = folder_keys.open_with_recovery(*before, from_hex(test, "recovery"), known)
    else:
        keys = folder_keys.open_with_device(*before, from_hex(group, "device"), load_key(group["key"]), known)
    return {"keys": [key.hex() for key in keys]}


TYPES = {"TicketVerify": ticket_verify, "TicketIssue": ticket_issue, "TicketSet": ticket_set, "TicketPair": ticket_pair,
         "HandshakeM1": handshake_m1, "HandshakeM2": handshake_m2, "HandshakeM3": handshake_m3,
         "HandshakeRetry": handshake_retry, "RecordOpen": record_open, "RecordSeal": record_seal,
         "RelayPass": relay_pass, "RelayJoin": relay_join,
         "SyncIgnore": sync_ignore, "SyncName": sync_name, "SyncIndex": sync_index, "SyncMerge": sync_merge, "SyncView": sync_view,
         "SyncDigest": sync_digest, "SyncSigned": sync_signed,
         "StorageSeal": storage_seal, "StorageId": storage_id, "StorageOpen": storage_open, "StorageEntry": storage_entry,
         "StorageKey": storage_key}


# ---- a live initiator --------------------------------------------------------------------------------------------

ESTABLISHED = {}                        # responder -> the strongest suite with it so far (HSK-046), while this program runs


def hello(_):
    return {"implementation": "python peer 0.4", "protocol": 1, "ops": ["hello", "vector", "connect", "bench"], "suites": list(SUITES)}


def connect(request):
    """Dial a responder, send data records, end the direction, and collect what comes until the other end has ended, too."""
    if not set(request["suites"]) <= set(SUITES):
        raise Unsupported()
    responder = request["responder"]
    if request.get("forget"):
        ESTABLISHED.pop(responder, None)
    initiator = Initiator(load_key(request["initiator_key"]), bytes.fromhex(request["initiator"]), bytes.fromhex(responder),
                          base64.b64decode(request["responder_spki"]), ticket_bytes(request["ticket"]), int(time.time()),
                          request["suites"], bytes.fromhex(request["rdv_token"]), least=ESTABLISHED.get(responder, 0),
                          issuers=issuers_of(request))
    host, port = request["address"].rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as sock:
        try:
            open_channel = channel.connect(sock, initiator)
        except Failure as failure:
            if hasattr(failure, "code"):
                failure.output = {"refused": failure.code}
            raise
        ESTABLISHED[responder] = max(initiator.suite, ESTABLISHED.get(responder, 0))
        for data in request.get("send", ()):
            open_channel.send(bytes.fromhex(data))
        open_channel.finish()
        contents = []
        while (content := open_channel.receive()) is not None:
            contents.append(content.hex())
        open_channel.close()
        return {"suite": initiator.suite, "contents": contents}


def ticket_bytes(text):
    """Base64, as in a HandshakeM2 group, or base64url, as in an HTTP header field: the two differ in their alphabets alone."""
    text = text.replace("+", "-").replace("/", "_").rstrip("=")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def bench(request):
    import bench as measuring               # it needs the session modules, which nothing else here does
    output = measuring.measure(request.get("work", ""), request.get("size", 0), request.get("seconds", 0))
    if output is None:
        raise Unsupported()
    return output


OPS = {"hello": hello, "connect": connect, "bench": bench}


def answer(request):
    """The answer to one request; an unknown op or type is `unsupported`."""
    if request.get("op") == "vector" and request.get("type") in TYPES:
        handler = lambda r: TYPES[r["type"]](r["group"], r["test"])
    else:
        handler = OPS.get(request.get("op"))
    if handler is None:
        return {"outcome": "unsupported"}
    try:
        return {"outcome": "accept", "output": handler(request)}
    except Failure as failure:
        reply = {"outcome": "reject", "reason": failure.reason, "requirement": failure.requirement}
        if failure.detail:
            reply["detail"] = failure.detail
        if hasattr(failure, "output"):
            reply["output"] = failure.output
        return reply
    except Unsupported:
        return {"outcome": "unsupported"}
    except Exception as error:
        return {"outcome": "error", "detail": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
