"""The resource graph: spec/graph.md, for a client. A Graph is a signed-in principal at a cloud."""

import base64
import time

import identity
from cloud import Problem
from crypto import H, draw, public_spki
from ticket import from_base64url, mapped, parse

RENEW_BEFORE = 60                       # seconds before the first ticket ends (IDN-065)
IN_A_TICKET = 18                        # folders that a pair ticket has room for (section 3.1)


def new_identifier():
    return draw(16).hex()


class Graph:
    def __init__(self, cloud, grant):
        self.cloud, self.grant, self._mesh = cloud, grant, None
        self._ends = grant.ends()

    # requests

    def request(self, method, path, body=None, headers=(), query=None, **more):
        """A request with the ticket set. Tickets that come back in `Mesh-Ticket` are added to it (ticket.md section 3.2)."""
        if time.time() > self._ends - RENEW_BEFORE:
            self.grant = self.grant.renew()
            self._ends = self.grant.ends()
        resource = "/".join(path.split("?")[0].split("/")[:4]) if path.startswith("/mesh/objects/") else "/mesh"
        answer = self.cloud.request(method, path, body, headers, query, self.grant.authorization(resource), **more)
        for ticket in answer.headers.get_all("Mesh-Ticket") or ():
            self.grant.tickets.append(ticket)
        return answer

    def get(self, path, **query):
        return self.request("GET", path, query=query).json()

    def items(self, path, **query):
        """All items of a collection, page by page (section 3.5)."""
        while path:
            page = self.get(path, **query)
            yield from page["items"]
            path, query = page["links"].get("next"), {}

    # the mesh

    def link(self, name):
        if self._mesh is None:
            self._mesh = self.get(self.grant.root)
        return self._mesh["links"][name]

    def mesh(self):
        return self.get(self.grant.root)

    def devices(self):
        return list(self.items(self.link("devices")))

    def device(self, identifier):
        """A device of the user. That of somebody else has no link from the mesh, only from the presence of a folder."""
        return next(d for d in self.devices() if d["device"] == identifier)

    def folders(self):
        return list(self.items(self.link("objects")))

    def folder(self, identifier):
        return next(f for f in self.folders() if f["folder"] == identifier)

    # devices (section 4.3)

    def claim(self, name, key, signer):
        """Claim a device for the key, with the key of its proofs.Signer, and prove both. With a person's tickets only (GPH-035). The
        claimed device."""
        spki = public_spki(key)
        body = {"name": name, "spki": base64.b64encode(spki).decode(), "signing_key": signer.key.hex()}
        device = self.request("POST", self.link("devices"), body).json()
        proof = device["proof"]
        answer = identity.answer_challenge(key, identity.CLAIM, proof["challenge"], base64.b64decode(proof["ciphertext"]),
                                           device["device"], self.grant.audience)
        signature = signer.sign(b"meshproof device key" + bytes.fromhex(device["device"]) + H(spki))
        return self.request("POST", device["links"]["proof"], {"answer": answer, "signature": signature.hex()}).json()

    def revoke(self, device):
        self.request("DELETE", device["links"]["self"], headers={"If-Match": device.get("etag", "*")})

    # folders (section 4.2)

    def add_folder(self, name, storage="cloud"):
        return self.request("POST", self.link("objects"), {"name": name, "storage": storage}).json()

    def folder_ticket(self, folder):
        """A ticket for a folder that the first tickets had no room for."""
        self.grant.tickets.append(self.request("POST", folder["links"]["ticket"]).json()["ticket"])

    def map(self, folder, device):
        """The mapping of a folder on a device; its node is below the collection, by the device's identifier (section 3.1)."""
        return self.request("PUT", f"{folder['links']['mappings']}/{device['device']}", {}).json()

    def writers(self, folder):
        """The cards of a folder, as writers.Writers learns them (section 4.14)."""
        return [(bytes.fromhex(i["device"]), bytes.fromhex(i["key"]), base64.b64decode(i["signature"]))
                for i in self.items(folder["links"]["writers"])]

    def presence(self, folder):
        return self.get(folder["links"]["presence"])["items"]

    # meeting (section 4.4)

    def publish(self, device, addresses, ttl=300):
        return self.request("PUT", device["links"]["endpoints"], {"addresses": addresses, "ttl": ttl}).json()

    def go_offline(self, device):
        self.request("DELETE", device["links"]["endpoints"])

    def pair(self, device, folders=None):
        """(ticket bytes, the other device with its key and addresses), for these folders (GPH-220) or as many as fit. With a device's
        tickets only (GPH-043)."""
        return self._pair(device, folders)[:2]

    def _pair(self, device, folders):
        document = self.request("POST", device["links"]["pair"], {"folders": folders} if folders else None).json()
        return from_base64url(document["ticket"]), document["device"], document["left"]

    def portions(self, device, folders):
        """As `pair`, a ticket for each visit, until all of these folders that both devices have were in one (GPH-221)."""
        ticket, other, left = self._pair(device, None)
        yield ticket, other
        left = [f for f in folders if f in left]
        for at in range(0, len(left), IN_A_TICKET):
            yield self.pair(device, left[at:at + IN_A_TICKET])

    def renewal(self, device, ticket):
        """A ticket for the same portion as one of before (section 3.1, HSK-055)."""
        return self.pair(device, sorted(mapped(parse(ticket))))[0]

    def relays(self):
        return [r["address"] for r in self.get(self.link("relays"))["items"]]

    def ask_rendezvous(self, device, relay=None):
        return self.request("POST", device["links"]["rendezvous"], {"relay": relay} if relay else {}).json()

    def rendezvous(self, device):
        """What others have asked for, as the called device sees it (GPH-123)."""
        return self.get(device["links"]["rendezvous"])["items"]

    # entries (section 4.5)

    def put_entry(self, folder, entry, etag=None):
        """Write an entry. `entry` has `entry` (its identifier, drawn here for a new one), path, kind, version, size, hash.
        Of two writers one learns by 412 that it lost (GPH-013)."""
        body = {k: v for k, v in entry.items() if k in ("path", "kind", "size", "hash", "version", "modified", "properties")}
        path = f"{folder['links']['entries']}/{entry.get('entry') or new_identifier()}"
        return self.request("PUT", path, body, {"If-Match": etag} if etag else {}).json()

    def delete_entry(self, entry):
        self.request("DELETE", entry["links"]["self"], headers={"If-Match": entry["etag"]})

    def entries(self, folder):
        return list(self.items(folder["links"]["entries"]))

    def delta(self, folder, since=None, limit=1000):
        """(entries written since the watermark, the new watermark). A watermark that the cloud does not know any more means:
        begin anew, with everything (GPH-061)."""
        try:
            return self.delta_of(folder["links"]["sync"], since, limit)
        except Problem as problem:
            if problem.status != 410 or not since:
                raise
            return self.delta(folder, None, limit)

    def delta_of(self, path, since=None, limit=1000):
        """The same of any feed, that of states too."""
        page = self.get(path, limit=limit, **({"since": since} if since else {}))
        items = page["items"]
        while page["more"]:
            page = self.get(page["links"]["next"])
            items += page["items"]
        return items, page["watermark"]

    # queues (section 3.4)

    def queue(self, *resources):
        """A queue with subscriptions: to be polled with wait_for."""
        queue = self.request("POST", self.link("queues")).json()
        for resource in resources:
            self.request("POST", queue["links"]["subscriptions"], {"resource": resource})
        return queue

    def poll(self, queue, after=None, wait=0):
        query = {"wait": wait, **({"after": after} if after else {})}
        answer = self.get(queue["links"]["self"], **query)
        return answer["items"], answer["watermark"]
