"""A session: spec/sync.md sections 3.3, 4.1 and 4.7, and its end by spec/handshake.md section 4.8. Both roles say the same."""

import contextlib
import queue
import struct
import threading
import time
from dataclasses import dataclass, field

import entries
from chunks import PIECE, cut, read_manifest, write_manifest
from crypto import Failure
from entries import (BLOCK, BYE, DONE, FORKS, HELLO, INDEX, MANIFEST, MANIFEST_REQUEST, REQUEST, ROOT, STATE, WRITERS, Messages,
                     Reader, message, write_index, write_state, write_writers)
from forks import read_forks, write_forks
from room import ROOM
from transfer import Fetch

READER = "reader"
WHO_KEEPS = (1 << 64) - 1               # the offset of a REQUEST of no bytes that asks who keeps a content
IN_FLIGHT = 8                           # REQUESTs at a time
STALLED, UNANSWERED, PROGRESS = 600, 120, 1024                      # HSK-066: seconds, seconds, bytes of a message


def roles_of(grounds, initiator):
    """identifier -> (own role, the peer's), of what a pair ticket says (ticket.Grounds)."""
    return {bytes.fromhex(f): roles if initiator else roles[::-1] for f, roles in grounds.folders.items()}


@dataclass(eq=False)
class Shared:
    """One folder of the session."""
    id: bytes
    folder: object
    own_role: str
    peer_role: str
    own_digests: list = None
    born: int = None                                                # which life of this device the digests are of
    state: tuple = None                                             # (complete, heads, digests) of the peer
    received: list = field(default_factory=list)
    ignored: set = field(default_factory=set)
    latest: bytes = ROOT                                            # the identifier that the next message of the INDEX goes on from
    index_ended: bool = False
    fetches: set = field(default_factory=set)
    rules_first: bool = False
    said_done: bool = False
    heard_done: bool = False


class Session:
    """`folders`: identifier -> folder.Folder; `roles`: identifier -> (own role, the peer's), of those that the pair ticket maps on
    both devices; the others are left out (SYN-005). `peer`: the identifier of the other device; `user`: whose it is."""

    def __init__(self, channel, folders, roles, peer, log=lambda *words: None, user=None):
        self.channel, self.peer, self.log, self.user = channel, peer, log, user or peer
        self.own = {f: Shared(f, folder, *roles[f]) for f, folder in sorted(folders.items()) if f in roles}
        self.shared = None                                          # those of both, from HELLO on
        self.said_bye = self.heard_bye = False
        self.asking, self.numbers = True, 0
        self.waiting, self.in_flight = [], {}                       # Fetches; request -> (Shared, Fetch, (offset, length))
        self.outgoing, self.stopped, self.broken = queue.Queue(4096), False, None
        self.idle_since, self.working, self.over = time.monotonic(), False, threading.Event()

    def run(self):
        writer = threading.Thread(target=self._write, daemon=True)
        writer.start()
        threading.Thread(target=self._watch, daemon=True).start()
        failure = None
        try:
            self._say(message(HELLO, len(self.own).to_bytes(2, "big"), *self.own))
            reader, little = Messages(), 0
            while not (self.said_bye and self.heard_bye):
                data = self.channel.receive()
                if data is None:
                    raise Failure("sync-state", "SYN-015", "close_notify before BYE")
                little, self.working = little + len(data), True
                for kind, body in reader.feed(data):
                    self._read(kind, body)
                    little = PROGRESS
                if little >= PROGRESS:
                    self.idle_since, little = time.monotonic(), 0
                self.working = False
            self._say(None)
            writer.join()
        except Failure as caught:
            failure = caught
            raise
        finally:
            self.stopped = True
            self.over.set()
            with contextlib.suppress(queue.Full):
                self.outgoing.put_nowait(None)
            self._leave()
            self.channel.close(failure)                             # section 5: an error closes with close_notify, too

    # ---- say ----

    def _say(self, what):
        """A message, or a function that makes one when its turn has come. Another thread sends it, for both sides may have much
        to say before they listen."""
        if self.broken:
            raise self.broken
        self.outgoing.put(what)

    def _write(self):
        try:
            while not self.stopped and (what := self.outgoing.get()) is not None:
                self.channel.send(what() if callable(what) else what)
                self.idle_since = time.monotonic()
        except (Failure, OSError) as error:
            self.broken = error if isinstance(error, Failure) else Failure("truncated", "REC-016", str(error))
            while self.outgoing.get() is not None:                  # nobody waits for room
                pass

    def stalled(self, now):
        """HSK-066: whether the other side has said and taken nothing for too long. `idle_since` moves on when a message was heard
        and done with, and when one was taken; this device's own work does not count. To cut a content for a MANIFEST takes time."""
        blocks = [part for _, _, part in list(self.in_flight.values())]         # another thread adds and takes away
        only_answers = blocks and None not in blocks
        return not self.working and now - self.idle_since >= (UNANSWERED if only_answers else STALLED)

    def _watch(self):
        while not self.over.wait(5):
            if self.stalled(time.monotonic()):
                self.channel.close(Failure("stalled", "HSK-066"))
                return

    # ---- hear ----

    def _read(self, kind, body):
        if (kind == HELLO) != (self.shared is None):
            raise Failure("sync-state", "SYN-015", f"message {kind} and HELLO")
        if self.heard_bye and kind not in (BLOCK, MANIFEST):
            raise Failure("sync-state", "SYN-015", f"message {kind} after BYE")
        {HELLO: self._hello, WRITERS: self._writers, FORKS: self._forks, STATE: self._state, INDEX: self._index,
         REQUEST: self._request, BLOCK: self._block, DONE: self._done, BYE: self._bye,
         MANIFEST_REQUEST: self._manifest_request, MANIFEST: self._manifest}[kind](body)

    def _of(self, identifier):
        if identifier not in self.shared:
            raise Failure("sync-folder", "SYN-004", identifier.hex())
        return self.shared[identifier]

    def _hello(self, body):
        theirs = entries.read_hello(body)
        self.shared = {f: s for f, s in self.own.items() if f in theirs}
        for one in self.shared.values():
            folder, complete = one.folder, one.own_role != READER
            with folder.lock:
                folder.scan()
                folder.apply()
                one.own_digests, one.born, heads = folder.replica.digests(), folder.replica.born, folder.replica.known_heads()
                cards, forks = dict(folder.writers.cards), list(folder.writers.forks.values())
            if not complete:
                folder.tell("this device reads", one.id.hex(), "and says nothing of its own changes")
            for piece in write_writers(one.id, cards):              # SYN-061
                self._say(piece)
            for piece in write_forks(one.id, forks):                # SYN-112
                self._say(piece)
            self._say(write_state(one.id, complete, heads, one.own_digests))
        self._end()

    def _writers(self, body):
        identifier, cards = entries.read_writers(body)
        one = self._of(identifier)
        if one.index_ended:
            raise Failure("sync-state", "SYN-015", "WRITERS after the last INDEX")
        with one.folder.lock:
            one.folder.writers.learn_all(cards)
            if one.folder.writers.full:
                one.folder.tell("this folder has no room for more writers", one.folder.root)

    def _forks(self, body):
        identifier, forks = read_forks(body)
        one = self._of(identifier)
        if one.index_ended:
            raise Failure("sync-state", "SYN-015", "FORKS after the last INDEX")
        with one.folder.lock:
            for fork in forks:
                one.folder.writers.learn_fork(fork)
        self._accused(one)

    def _accused(self, one):
        one.folder.tell_forks()
        one.folder.begin_anew_if_forked()
        self._is_void(one)

    def _is_void(self, one):
        """Whether this device has begun anew since HELLO, because of this session or of another: what it said is void, what comes
        for it is not all that the peer has, and another session has the rest."""
        void = one.born != one.folder.replica.born
        if void and self.asking:
            self._stop_asking()
        return void

    def _state(self, body):
        identifier, complete, heads, digests = entries.read_state(body)
        one, folder = self._of(identifier), self._of(identifier).folder
        if one.state:
            raise Failure("sync-state", "SYN-015", "a second STATE")
        with folder.lock:
            heads = folder.writers.check_heads(heads, folder.replica.heads, self.peer)
        one.state = complete and one.peer_role != READER, heads, digests
        folder.begin_anew_if_lost(heads)
        with folder.lock:
            if self._is_void(one) or not self.asking:
                return
            index = folder.replica.differing(one.own_digests, digests) if one.own_role != READER else []
        for piece in write_index(one.id, index):
            self._say(piece)

    def _index(self, body):
        one = self.shared.get(body[:16])
        identifier, last, received = entries.read_index(body, one.latest if one else ROOT)
        one = self._of(identifier)
        if not one.state or one.index_ended:
            raise Failure("sync-state", "SYN-015", "an INDEX before the STATE or after the last")
        one.latest = received[-1].id if received else one.latest
        if one.peer_role != READER:                                 # SYN-023
            ROOM.take(self, self.user, len(body))
            self._check(one, received)
        if last:
            one.index_ended = True
            if self.asking:
                self._take(one)

    def _check(self, one, received):
        with one.folder.lock:
            for entry in received:
                if not one.folder.writers.check(entry, one.folder.replica.entries.get(entry.id), self.peer):
                    one.ignored.add(entry.id)                       # SYN-053, SYN-110
                    one.folder.tell(entry.name, "is ignored: nobody vouches for a device that wrote it, or one contradicts itself")
                elif one.folder.is_greedy(entry):
                    one.ignored.add(entry.id)
                else:
                    one.received.append(entry)
        self._accused(one)

    def _take(self, one):
        complete, heads, digests = one.state
        with one.folder.lock:
            if self._is_void(one):
                return
            one.folder.take(self.peer, one.received, one.own_digests, complete, heads, digests, one.ignored)
            one.folder.without_rules = False
            if one.folder.replica.full:
                one.folder.tell("this folder has no room for more entries", one.folder.root)
        if all(other.index_ended for other in self.shared.values()):
            ROOM.free(self)
        self._want(one)

    def _want(self, one):
        """Ask for what the disk lacks; for a new `.meshignore` alone, as long as it is not here (SYN-083)."""
        with one.folder.lock:
            one.folder.apply()
            first = one.folder.rules_to_come()
            one.fetches = {Fetch(one.folder, content, old, self._offered(one, entry, content))
                           for entry, content, old in one.folder.wanted().values() if first in (None, content.hash)}
        one.rules_first = first is not None
        self.waiting += [(one, fetch) for fetch in one.fetches]
        self._ask()
        self._end()

    def _offered(self, one, entry, content):
        """Whether the peer, as far as it said what it has, knows of a content. It is asked for others, too."""
        complete, _, digests = one.state
        return (not complete or digests[entry[0]] == one.own_digests[entry[0]]
                or any(c.hash == content.hash for e in one.received for c in e.contents))

    def _done(self, body):
        r = Reader(body)
        folder = r.take(16)
        r.end()
        if folder in self.shared:                                   # one of another folder, or a second one, says nothing (SYN-004)
            self.shared[folder].heard_done = True

    def _bye(self, body):
        Reader(body).end()
        self.heard_bye = True
        if not all(one.heard_done for one in self.shared.values()):
            self._stop_asking()

    # ---- answer (section 4.7, sender) ----

    def _request(self, body):
        r = Reader(body)
        number, one, digest = r.take(4), r.take(16), r.take(32)
        offset, length = r.number(8), r.number(4)
        r.end()
        one = self._of(one)
        if length > PIECE:
            raise Failure("sync-request", "SYN-009")

        def answer():
            if (offset, length) == (WHO_KEEPS, 0):                  # SYN-151
                return message(BLOCK, number, b"\0" if one.folder.keeps(digest) else b"\1")
            data = one.folder.read(digest, offset, length)
            return message(BLOCK, number, b"\1" if data is None else b"\0" + data)      # SYN-032
        self._say(answer)

    def _manifest_request(self, body):
        r = Reader(body)
        number, one, digest = r.take(4), r.take(16), r.take(32)
        r.end()
        one = self._of(one)
        self._say(lambda: message(MANIFEST, number, write_manifest(cut(one.folder.whole(digest) or b""))))  # SYN-073, SYN-074

    # ---- ask (section 4.7, receiver) ----

    def _ask(self):
        """As many requests as may be on their way."""
        while self.asking and self.waiting and len(self.in_flight) < IN_FLIGHT:
            one, fetch = self.waiting[0]
            if fetch.manifest:
                self.waiting.pop(0)
                if fetch.doubtful:
                    self._request_of(REQUEST, one, fetch, (0, 1), one.id + fetch.hash + struct.pack(">QI", 0, 1))
                    continue
                self._request_of(MANIFEST_REQUEST, one, fetch, None, one.id + fetch.hash)
            else:
                offset, length = part = fetch.take()
                self._request_of(REQUEST, one, fetch, part, one.id + fetch.hash + struct.pack(">QI", offset, length))
                if not fetch.next:
                    self.waiting.pop(0)

    def _request_of(self, kind, one, fetch, part, rest):
        number = self.numbers.to_bytes(4, "big")
        self.numbers = (self.numbers + 1) % (1 << 32)
        self.in_flight[number] = one, fetch, part
        self._say(message(kind, number, rest))

    def _answered(self, number, manifest):
        if number not in self.in_flight or (self.in_flight[number][2] is None) != manifest:
            raise Failure("sync-state", "SYN-015", "an answer to nothing")
        return self.in_flight.pop(number)

    def _block(self, body):
        r = Reader(body)
        number, status, data = r.take(4), r.flag(), r.rest()
        one, fetch, part = self._answered(number, False)
        if status and data:
            raise Failure("sync-malformed", "SYN-003", "a BLOCK of status 1 with bytes")
        if status:
            self._given_up(one, fetch)
        elif fetch.doubtful:                                        # the answer to a REQUEST of one byte: it is here
            fetch.doubtful = False
            self.waiting.append((one, fetch))
        elif not fetch.ended and fetch.block(*part, data):
            self._arrived(one, fetch)
        self._ask()
        self._end()

    def _manifest(self, body):
        r = Reader(body)
        one, fetch, _ = self._answered(r.take(4), True)
        fetch.plan(read_manifest(r.rest(), fetch.size))
        if fetch.to_come:
            self.waiting.insert(0, (one, fetch))
        else:                                                       # all of it was here in pieces
            self._arrived(one, fetch)
        self._ask()
        self._end()

    def _arrived(self, one, fetch):
        one.fetches.discard(fetch)
        fetch.finish()

    def _given_up(self, one, fetch):
        """The peer has it no more: all that this device wants is what there is."""
        one.fetches.discard(fetch)
        self.waiting = [(o, f) for o, f in self.waiting if f is not fetch]
        fetch.abandon()

    # ---- end ----

    def _end(self):
        """DONE for a folder that has all it wants, BYE after the last; after a BYE that came too early, BYE once all is answered."""
        for one in self.shared.values():
            if one.index_ended and not one.fetches and not one.said_done and self.asking:
                if one.rules_first:
                    one.folder.without_rules = one.folder.rules_to_come() is not None
                    self._want(one)
                    return
                one.folder.apply()
                one.said_done = True
                self._say(message(DONE, one.id))
        finished = all(one.said_done for one in self.shared.values()) if self.asking else not self.in_flight
        if finished and not self.said_bye:
            self.said_bye = True
            self._say(message(BYE))

    def _stop_asking(self):
        """HSK-059, HSK-060."""
        self.asking, self.waiting = False, []
        self._end()

    def evicted(self):
        self.channel.close(Failure("busy", "SYN-117", "others need the room"))

    def _leave(self):
        """Whatever ended the session: what is complete gets its place, of the rest is kept what may be."""
        ROOM.free(self)
        for one in (self.shared or {}).values():
            for fetch in one.fetches:
                fetch.abandon()
            one.folder.apply()
            one.folder.tell_forks()
