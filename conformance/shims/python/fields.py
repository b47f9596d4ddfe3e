"""Bytes, field by field, as all documents write them: numbers with the high byte first, and lengths before what they count."""

from crypto import Failure


def counted(size, data):
    """`data` with its length before it, in `size` bytes."""
    return len(data).to_bytes(size, "big") + data


class Fields:
    """Reads fields one after another. A document has its own, with the error and the sentence for what does not fit."""
    reason = requirement = None

    def __init__(self, data):
        self.data, self.at = data, 0

    def refuse(self, detail=""):
        raise Failure(self.reason, self.requirement, detail)

    def take(self, n):
        if self.at + n > len(self.data):
            self.refuse("too short")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def counted(self, size):
        return self.take(self.number(size))

    def rest(self):
        return self.take(len(self.data) - self.at)

    def end(self):
        if self.at != len(self.data):
            self.refuse("too long")
