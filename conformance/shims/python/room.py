"""SYN-117: what the indexes of all sessions together take in memory while they are not taken over."""

import threading

from crypto import Failure

MOST = 512 << 20                        # bytes, as they came


class Room:
    """Where there is not enough for two users, a session of the one who holds more ends."""

    def __init__(self, most=MOST):
        self.most, self.lock, self.held = most, threading.Lock(), {}            # session -> [user, bytes]

    def take(self, session, user, size):
        """More for a session, or a Failure. Another session that has to make room for it is told by its method `evicted`."""
        with self.lock:
            self.held.setdefault(session, [user, 0])[1] += size
            while sum(n for _, n in self.held.values()) > self.most:
                of_user = {}
                for who, n in self.held.values():
                    of_user[who] = of_user.get(who, 0) + n
                most = max(of_user, key=of_user.get)
                largest = max((s for s, (who, _) in self.held.items() if who == most), key=lambda s: self.held[s][1])
                del self.held[largest]
                if largest is session:
                    raise Failure("busy", "SYN-117", "an INDEX for which there is no room")
                largest.evicted()

    def free(self, session):
        with self.lock:
            self.held.pop(session, None)


ROOM = Room()
