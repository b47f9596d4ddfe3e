"""One content on its way here: spec/sync.md section 4.7, the receiver's side."""

import contextlib
import os
import shutil

from blake3 import Blake3, blake3
from chunks import LARGE, PIECE, find, pieces
from crypto import Failure, draw


class Fetch:
    """Bytes go to a file beside the folder until all of them are here and verified (SYN-031). `old` is the hash of the file in the
    entry's place, or None; `offered` says that the peer has told of this content. Of one that has not, no manifest is asked for
    before it says that it has the content."""

    def __init__(self, folder, content, old, offered=True):
        self.folder, self.size, self.hash = folder, content.size, content.hash
        self.kept = folder.partial(self.hash)
        self.path = f"{self.kept}.{draw(4).hex()}"
        self.resumed = False
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.kept, self.path)                         # nobody else takes it up
            shutil.copyfile(self.path, self.path + ".before")
            self.resumed = True
        self.file = open(self.path, "r+b" if self.resumed else "w+b")
        self.old = folder.whole(old) if old and self.size > LARGE else None
        self.manifest = self.size > LARGE and (self.resumed or self.old is not None)        # whether to ask for one
        self.doubtful = self.manifest and not offered
        self.open_chunks = {}                                       # chunk -> bytes still to come
        self._ask_for((o, min(PIECE, self.size - o)) for o in range(0, self.size, PIECE))       # a size is only a claim
        self.to_come = self.size
        self.ended = False

    def plan(self, chunks):
        """What to ask for once the manifest is here (SYN-075, SYN-076): the chunks that neither the part of an earlier session nor
        the old file has. None: there is no manifest."""
        self.manifest = False
        if chunks is None:
            return
        self.file.seek(0)
        found = find(chunks, self.file.read())
        missing = [c for c in chunks if c not in found]
        for chunk, data in find(missing, self.old or b"", elsewhere=True).items():
            self._put(chunk.offset, data)
            missing.remove(chunk)
        self._ask_for(pieces(missing))
        self.open_chunks = {c: c.length for c in missing}
        self.to_come = sum(c.length for c in missing)

    def _ask_for(self, parts):
        self.parts = iter(parts)
        self.next = next(self.parts, None)                          # (offset, length) of the next REQUEST

    def take(self):
        part, self.next = self.next, next(self.parts, None)
        return part

    def _put(self, offset, data):
        self.file.seek(offset)
        self.file.write(data)

    def block(self, offset, length, data):
        """True once all is here."""
        if len(data) != length:
            raise Failure("content-hash", "SYN-030", "not as long as its entry says")
        self._put(offset, data)
        self.to_come -= length
        for chunk in self.open_chunks:
            if chunk.offset <= offset < chunk.offset + chunk.length:
                self.open_chunks[chunk] -= length
                if not self.open_chunks[chunk]:
                    self._check_chunk(chunk)
                break
        return not self.to_come

    def _check_chunk(self, chunk):
        self.file.seek(chunk.offset)
        if blake3(self.file.read(chunk.length)) != chunk.hash:
            self._put(chunk.offset, bytes(chunk.length))
            raise Failure("chunk-hash", "SYN-072")
        del self.open_chunks[chunk]

    def finish(self):
        self.ended = True
        whole = Blake3()
        self.file.seek(0)
        while data := self.file.read(1 << 20):
            whole.update(data)
        if whole.digest() != self.hash:
            self.file.close()
            os.unlink(self.path)
            self._before(kept=True)
            raise Failure("content-hash", "SYN-030")
        self._before()
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self.path, self.folder.incoming(self.hash))

    def _before(self, kept=False):
        """What earlier sessions gave; it stays if the peer of this one has led astray (SYN-115)."""
        if self.resumed and kept and not os.path.exists(self.kept):
            os.replace(self.path + ".before", self.kept)
        elif self.resumed:
            os.unlink(self.path + ".before")

    def abandon(self):
        """SYN-033, SYN-075: nothing of it gets into the folder; what is here of a large content is kept for a later session."""
        if self.ended:
            return
        self.ended = True
        self._before()
        self.file.flush()
        size = os.fstat(self.file.fileno()).st_size
        self.file.close()
        if self.size > LARGE and size and not os.path.exists(self.kept):
            os.replace(self.path, self.kept)
        else:
            os.unlink(self.path)
