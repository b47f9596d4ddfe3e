"""A device of this implementation, for the command line.

    peer.py listen --key KEY.pem --device HEX --issuer NAME=KEY.pem [--listen HOST:PORT] [--folder ID=DIRECTORY]
    peer.py dial HOST PORT --key KEY.pem --device HEX --peer HEX --peer-key KEY.pem --ticket FILE [--folder ID=DIRECTORY]

With --folder both sync; what a device knows of a directory is in another beside it, `.NAME.mesh`. Without --folder the listener
sends back what it gets. Key files may be private or public. For tests: of an issuer whose private key is given, the device writes
what else the graph service would give it, its card for a folder, and `dial` the ticket if there is no --ticket.
"""

import argparse
import collections
import contextlib
import socket
import sys
import threading
import time

from cryptography.hazmat.primitives import serialization

import channel
import session
import ticket as tickets
from crypto import Failure, H, load_private_pem, public_spki, rsa_sign, spki_of
from folder import Folder
from guard import Memory
from handshake import SUITES, Initiator
from issue import issue
from proofs import Signer, card_text
from responder import Responder

UNFINISHED, UNFINISHED_OF_SOURCE = 256, 64                          # HSK-008
PLACES = 64                                                         # HSK-067


def log(*words):
    print(*words, file=sys.stderr, flush=True)


def spki_from_pem(path):
    with open(path, "rb") as f:
        data = f.read()
    if b"PRIVATE" in data:
        return public_spki(load_private_pem(path))
    numbers = serialization.load_pem_public_key(data).public_numbers()
    return spki_of(numbers.n, numbers.e)


# ---- listen ------------------------------------------------------------------------------------------------------

class Doorman:
    """HSK-008: bounds the unfinished handshakes, in all and of each source."""

    def __init__(self):
        self.lock, self.inside = threading.Lock(), collections.Counter()

    @contextlib.contextmanager
    def entry(self, source):
        with self.lock:
            if self.inside.total() >= UNFINISHED or self.inside[source] >= UNFINISHED_OF_SOURCE:
                raise Failure("busy", "HSK-008")
            self.inside[source] += 1
        left = []

        def leave():
            with self.lock:
                if not left:
                    left.append(True)
                    self.inside[source] -= 1
                    if not self.inside[source]:
                        del self.inside[source]
        try:
            yield leave
        finally:
            leave()


class Places:
    """HSK-067: the sessions that go on. One other user has at most a quarter of the places, all others together three quarters."""

    def __init__(self, most=PLACES):
        self.most, self.lock, self.taken = most, threading.Lock(), collections.Counter()

    @contextlib.contextmanager
    def place(self, grounds):
        user = None if grounds.user else grounds.owner or grounds.initiator         # None: our own
        with self.lock:
            others = self.taken.total() - self.taken[None]
            if self.taken.total() >= self.most or user and (self.taken[user] >= self.most // 4 or others >= self.most * 3 // 4):
                raise Failure("busy", "HSK-067")
            self.taken[user] += 1
        try:
            yield
        finally:
            with self.lock:
                self.taken[user] -= 1
                self.taken += collections.Counter()                 # without those that have none


class Listener:
    """Accepts connections for one device. `application(channel, grounds)` runs on each channel, in a thread of its own."""

    def __init__(self, key, device, issuers, application, suites=SUITES, memory=None, address=("127.0.0.1", 0)):
        self.key, self.device, self.issuers, self.suites = key, device, issuers, suites
        self.application, self.memory, self.doorman = application, memory or Memory(), Doorman()
        self.sock = socket.create_server(address, backlog=128)
        self.address = self.sock.getsockname()

    def run(self):
        while True:
            try:
                sock, source = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock, source[0]), daemon=True).start()

    def start(self):
        threading.Thread(target=self.run, daemon=True).start()
        return self

    def serve(self, sock, source, rdv_token=None):
        """One connection, direct or, with the token of a rendezvous, relayed."""
        try:
            with self.doorman.entry(source) as leave:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                responder = Responder(self.key, self.device, self.issuers, self.memory, self.suites, rdv_token, source.encode())
                open_channel = channel.accept(sock, responder)
                leave()
                log(f"{responder.grounds.initiator} is here: suite {responder.suite:#06x}")
                self.application(open_channel, responder)
        except Failure as failure:
            log(f"{source}: {failure}")
            sock.close()
        except OSError as error:
            log(f"{source}: {error}")
            sock.close()


def echo(open_channel, _):
    """Sends back what comes, and close_notify when that came."""
    while (data := open_channel.receive()) is not None:
        open_channel.send(data)
    open_channel.close()


# ---- dial --------------------------------------------------------------------------------------------------------

def dial(host, port, *initiator_arguments, **more):
    """HSK-039 is looked at before a connection is opened: who is not let in by its own ticket troubles nobody."""
    initiator = prepare(*initiator_arguments, **more)
    return meet(socket.create_connection((host, port), 10), initiator)


def prepare(key, device, peer, peer_spki, ticket, suites=SUITES, **more):
    return Initiator(key, device, peer, peer_spki, ticket, int(time.time()), suites, **more)


def meet(sock, initiator):
    """The handshake on a connected socket, direct or relayed."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    open_channel = channel.connect(sock, initiator)
    log(f"{initiator.responder.hex()} answered: suite {initiator.suite:#06x}" + (", after a RETRY" if initiator.retried else ""))
    open_channel.suite, open_channel.retried = initiator.suite, initiator.retried
    return open_channel


def write_pair_ticket(issuer, issuer_key, device, spki, peer, peer_spki, user="a11ce000000000000000000000000001", folders=(),
                      lifetime=tickets.LIFETIME):
    """A pair ticket for two devices of one user, as a graph service would issue it."""
    now, x, y = int(time.time()), device.hex(), peer.hex()
    mapping = [f"{folder} {d} owner" for folder in folders for d in (x, y)]
    return issue({
        "id": None, "issuer": issuer, "subject": tickets.DEVICE + x, "audience": tickets.DEVICE + y, "confirmation": spki,
        "issue_instant": now, "not_before": now, "not_on_or_after": now + lifetime, "authn": None, "authz": [],
        "attributes": {"key": [f"{x} {H(spki).hex()}", f"{y} {H(peer_spki).hex()}"], "claim": [f"{x} {user}", f"{y} {user}"],
                       "mapping": mapping}}, issuer_key)


# ---- the command line --------------------------------------------------------------------------------------------

def syncing(folders):
    """For Listener: a session of these folders, by identifier, with whoever came."""
    places = Places()

    def application(open_channel, responder):
        grounds = responder.grounds
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(places.place(grounds))
            except Failure as failure:
                open_channel.close(failure)
                raise
            session.Session(open_channel, folders, session.roles_of(grounds, False), bytes.fromhex(grounds.initiator), log,
                            grounds.owner or grounds.initiator).run()
    return application


def sync(open_channel, folders, ticket, peer, peer_spki):
    """A session of these folders with the device that was dialled."""
    grounds = tickets.relate(tickets.parse(ticket), peer.hex(), peer_spki)
    session.Session(open_channel, folders, session.roles_of(grounds, True), peer, log).run()


def folder_of(a, identifier, directory):
    """A folder of the command line, with a card if an issuer's private key is there."""
    signer = a.signing_seed and Signer(a.signing_seed)
    folder = Folder(a.device, identifier, directory, [spki_from_pem(path) for _, path in a.issuer], signer, log=log)
    for _, path in a.issuer:
        with contextlib.suppress(TypeError, ValueError):            # a public key
            text = card_text(identifier, *folder.writers.own)
            folder.writers.learn(*folder.writers.own, rsa_sign(load_private_pem(path), text))
    return folder


def pair_of(text):
    name, _, value = text.rpartition("=")
    return name, value


def arguments():
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True)
    for name in ("listen", "dial"):
        p = commands.add_parser(name)
        if name == "dial":
            p.add_argument("host")
            p.add_argument("port", type=int)
            p.add_argument("--peer", required=True, type=bytes.fromhex)
            p.add_argument("--peer-key", required=True)
            p.add_argument("--ticket", help="a file with the ticket's bytes")
            p.add_argument("--send", default="hello")
        else:
            p.add_argument("--listen", default="127.0.0.1:0")
            p.add_argument("--retry", action="store_true", help="ask every M1 for a cookie")
            p.add_argument("--memory", help="a file for the suites of HSK-045")
        p.add_argument("--key", required=True)
        p.add_argument("--device", required=True, type=bytes.fromhex)
        p.add_argument("--issuer", action="append", default=[], type=pair_of, metavar="NAME=KEY.pem")
        p.add_argument("--folder", action="append", default=[], type=pair_of, metavar="ID=DIRECTORY")
        p.add_argument("--signing-seed", type=bytes.fromhex, help="of the Ed25519 key; if not given, drawn for each folder")
        p.add_argument("--suites", default=",".join(f"{s:04x}" for s in SUITES))
    return top.parse_args()


def main():
    a = arguments()
    key, suites = load_private_pem(a.key), [int(s, 16) for s in a.suites.split(",")]
    if 0x0301 not in SUITES:
        log("suite 0x0301 is not there: this `cryptography` has no ML-KEM")
    folders = {bytes.fromhex(i): folder_of(a, bytes.fromhex(i), directory) for i, directory in a.folder}
    application = syncing(folders) if folders else echo
    if a.command == "listen":
        host, port = a.listen.rsplit(":", 1)
        issuers = tickets.configuration((name, spki_from_pem(path)) for name, path in a.issuer)
        listener = Listener(key, a.device, issuers, application, suites, Memory(a.retry, a.memory), (host, int(port)))
        print("listening on %s:%d" % listener.address[:2], flush=True)
        listener.run()
    else:
        peer_spki = spki_from_pem(a.peer_key)
        if a.ticket:
            with open(a.ticket, "rb") as f:
                ticket = f.read()
        else:
            name, path = a.issuer[0]
            ticket = write_pair_ticket(name, load_private_pem(path), a.device, public_spki(key), a.peer, peer_spki,
                                       folders=[f.hex() for f in folders])
        open_channel = dial(a.host, a.port, key, a.device, a.peer, peer_spki, ticket, suites)
        if folders:
            sync(open_channel, folders, ticket, a.peer, peer_spki)
        else:
            open_channel.send(a.send.encode())
            print(open_channel.receive().decode())
            open_channel.finish()
            open_channel.receive()
        open_channel.close()


if __name__ == "__main__":
    main()
