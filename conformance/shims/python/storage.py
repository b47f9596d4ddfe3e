"""File bytes in the cloud: spec/storage.md, for a client."""

from blake3 import Blake3, blake3
from crypto import Failure

PIECE = 8 * 1024 * 1024                 # STO-016: a piece of up to so many bytes is kept or lost as a whole


def media_path(folder, digest):
    """The link `media` of a folder is a prefix (graph.md section 3.1)."""
    return f"{folder['links']['media']}/{digest}"


def put(graph, folder, data):
    """PUT the bytes under their hash. (hash, whether they are new there)"""
    digest = blake3(data).hex()
    return digest, graph.request("PUT", media_path(folder, digest), data).status == 201


def get(graph, folder, digest):
    """The bytes, checked against their name: the cloud is no authority on that."""
    data = graph.request("GET", media_path(folder, digest)).body
    if blake3(data).hex() != digest:
        raise Failure("media-hash-mismatch", "STO-004")
    return data


def get_part(graph, folder, digest, first, last):
    """Bytes first to last, both included (STO-008): (bytes, size of the whole)."""
    answer = graph.request("GET", media_path(folder, digest), headers={"Range": f"bytes={first}-{last}"})
    if answer.status != 206:
        raise Failure("range", "STO-008", f"status {answer.status}")
    return answer.body, int(answer.headers["Content-Range"].rpartition("/")[2])


def delete(graph, folder, digest):
    graph.request("DELETE", media_path(folder, digest))


class Upload:
    """An upload that can be resumed (section 4.3)."""

    def __init__(self, graph, folder, data):
        self.graph, self.data = graph, data
        self.digest = Blake3(data).hexdigest()
        answer = graph.request("POST", folder["links"]["uploads"], {"hash": self.digest, "length": len(data)})
        self.path, self.offset = answer.location, int(answer.headers["Upload-Offset"])

    def resume(self):
        """How much the cloud has kept (STO-016)."""
        self.offset = int(self.graph.request("HEAD", self.path).headers["Upload-Offset"])
        return self.offset

    def send(self, piece=PIECE):
        """The next piece. True when all is there."""
        data = self.data[self.offset:self.offset + piece]
        answer = self.graph.request("PATCH", self.path, data, {"Upload-Offset": str(self.offset),
                                                              "Content-Type": "application/partial-upload"})
        self.offset += len(data)
        return answer.status in (200, 201)

    def cancel(self):
        self.graph.request("DELETE", self.path)


def wanted(graph, folder):
    """What the cloud would take now, in the order of its line (STO-034)."""
    return graph.get(folder["links"]["wanted"])["items"]
