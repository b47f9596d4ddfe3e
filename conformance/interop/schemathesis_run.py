"""Runs schemathesis against a `meshd` of its own, by spec/openapi.yaml: every answer has to be one that the file
describes, to what is of the described form and to what is not.

    schemathesis_run.py MESHD [SEED]

MESHD is the program. Prints the seed, so that a run can be repeated, and what schemathesis counted; exits with its code.
"""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

HERE = pathlib.Path(__file__).resolve().parent
OPENAPI = HERE / "../../spec/openapi.yaml"
EXAMPLES = 12  # an operation; the run stays at about a minute


class Mesh:
    """A person with a device and a folder, made over the interface that is tested."""

    def __init__(self, url, ca):
        self.url, self.ca = url, ca

    def call(self, method, path, body=None, rights=None, data=None, expect=200):
        headers = {"authorization": rights} if rights else {}
        answer = requests.request(
            method, self.url + path, json=body, data=data, headers=headers, verify=self.ca, timeout=20
        )
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def user(self, name):
        credentials = {"name": name, "password": "correct horse"}
        user = self.call("POST", "/identity/users", credentials, expect=201).json()["user"]
        token = self.call("POST", "/identity/token", credentials).json()["token"]
        grant = self.call("POST", "/tickets", rights=f"Bearer {token}").json()
        self.audience = grant["audience"]
        return user, token, "MeshTicket " + ",".join(grant["tickets"])

    def device(self, user):
        """Claims a device; gives its identifier and its tickets."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        spki = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        claim = {"name": "laptop", "spki": base64.b64encode(spki).decode()}
        pending = self.call("POST", "/mesh/devices", claim, user, expect=201).json()
        device = pending["device"]
        proof = {"answer": answer_to(key, pending["proof"], "claim", device, self.audience)}
        self.call("POST", pending["links"]["proof"], proof, user)
        challenge = self.call("POST", "/tickets/challenge", {"device": device}).json()
        answer = answer_to(key, challenge, "sign-in", device, self.audience)
        proof = {"device": device, "challenge": challenge["challenge"], "answer": answer}
        grant = self.call("POST", "/tickets/device", proof).json()
        return device, "MeshTicket " + ",".join(grant["tickets"])

    def folder(self, user):
        """Makes a folder; gives its path and its ticket."""
        made = self.call("POST", "/mesh/objects", {"name": "Photos"}, user, expect=201)
        return made.headers["location"], made.headers["mesh-ticket"]


def answer_to(key, challenge, purpose, device, audience):
    """identity.md, section 3"""
    purpose, audience = purpose.encode(), audience.encode()
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"meshproof/1 device challenge")
    k = key.decrypt(base64.b64decode(challenge["ciphertext"]), oaep)
    text = b"meshproof/1 device answer" + bytes([len(purpose)]) + purpose
    text += bytes.fromhex(challenge["challenge"]) + bytes.fromhex(device)
    text += len(audience).to_bytes(2) + audience
    return hmac.new(k, text, hashlib.sha256).hexdigest()


def configuration(mesh):
    """What schemathesis is told: nodes that exist, others to delete, whose tickets to show, and which refusals of what is
    of the described form are right: those that no schema can say.
    """
    people = {name: mesh.user(name) for name in ("bob", "carl")}
    bob, carl = (user for user, _, _ in people.values())
    _, token, user = mesh.user("ann")
    device, device_tickets = mesh.device(user)
    phone, lost = mesh.device(user)[0], mesh.device(user)[0]
    folder, ticket = mesh.folder(user)
    scrapped, second = mesh.folder(user)
    user = f"{user},{ticket},{second}"
    for name, (_, _, theirs) in people.items():
        sent = mesh.call("POST", f"{folder}/invitations", {"name": name, "role": "reader"}, user, expect=201)
        mesh.call("POST", f"/mesh/invitations/{sent.json()['invitation']}", {}, theirs, expect=201)
    mesh.user("dora")
    waiting = mesh.call("POST", f"{folder}/invitations", {"name": "dora", "role": "reader"}, user, expect=201)
    mesh.call("PUT", "/contacts/bob", {"blocked": False, "note": ""}, user, expect=201)
    # The BLAKE3 hash of "hello".
    content = "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f"
    mesh.call("PUT", f"{folder}/media/{content}", data=b"hello", rights=user, expect=201)
    for entry in (device, lost):
        body = {"path": entry, "kind": "file", "size": 5, "hash": content, "version": {device: 1}}
        mesh.call("PUT", f"{folder}/feeds/files/entries/{entry}", body, user, expect=201)
    mesh.call("PUT", f"{folder}/mappings/{phone}", {}, user, expect=201)
    nodes = {"device": device, "folder": folder, "user": bob, "entry": device, "hash": content}
    nodes |= {"name": "bob", "invitation": waiting.json()["invitation"]}
    to_delete = {"device": lost, "folder": folder, "user": carl, "entry": lost, "hash": content}

    config = {
        "headers": {"Authorization": user},
        "parameters": parameters(nodes),
        "checks": {
            "positive_data_acceptance": {"expected-statuses": REFUSED},
            "missing_required_header": {"expected-statuses": [401, 403, 404, 410, 428]},
            "negative_data_rejection": {"expected-statuses": ["4xx"]},
        },
    }
    operations = [
        {"include-name": "POST /tickets", "headers": {"Authorization": f"Bearer {token}"}},
        {"include-name": "DELETE /mesh/objects/{folder}", "parameters": parameters({"folder": scrapped})},
    ]
    own = {"Authorization": device_tickets}
    operations.append({"include-name": "PUT /mesh/devices/{device}/endpoints", "headers": own})
    pair = {"include-name": "POST /mesh/devices/{device}/pair", "headers": own}
    operations.append({**pair, "parameters": parameters({"device": phone})})
    for path in ("devices/{device}", *(f"objects/{{folder}}/{below}" for below in DELETED)):
        operations.append({"include-name": f"DELETE /mesh/{path}", "parameters": parameters(to_delete)})
    unmap = "DELETE /mesh/objects/{folder}/mappings/{device}"
    operations.append({"include-name": unmap, "parameters": parameters({"device": phone, "folder": folder})})
    for name in RULED:
        checks = {"positive_data_acceptance": {"expected-statuses": [*REFUSED, 422]}}
        operations.append({"include-name": name, "checks": checks})
    return "\n".join([*toml(config), *(line for one in operations for line in ["[[operations]]", *toml(one)])])


# What has its form and comes at the wrong time: without a right, after a deletion, with an ETag that is not current.
REFUSED = ["2xx", 401, 403, 404, 409, 410, 412, 428]
# Where a rule looks into what has its form: a key, an address, a path, a hash, a user's name, or counts bytes where JSON
# Schema counts characters; and where a number comes as 74.0, which JSON Schema calls an integer.
RULED = [
    "POST /identity/users",
    "PATCH /mesh/devices/{device}",
    "POST /mesh/objects",
    "PATCH /mesh/objects/{folder}",
    "PUT /mesh/devices/{device}/endpoints",
    "POST /mesh/devices",
    "POST /mesh/objects/{folder}/invitations",
    "PUT /contacts/{name}",
    "PUT /profile",
    "PUT /mesh/objects/{folder}/feeds/files/entries/{entry}",
    "PUT /mesh/objects/{folder}/feeds/states/entries/{entry}",
    "PUT /mesh/objects/{folder}/feeds/states/heads/{device}",
    "PUT /mesh/objects/{folder}/key",
    "PUT /mesh/objects/{folder}/media/{hash}",
    "POST /mesh/objects/{folder}/uploads",
]
DELETED = ["members/{user}", "feeds/files/entries/{entry}"]


def parameters(nodes):
    return {f"path.{name}": value.split("/")[-1] for name, value in nodes.items()}


def toml(value):
    """Inline, which is as JSON but for the signs between a key and its value."""
    if isinstance(value, dict):
        return [f"{json.dumps(key)} = {inline(one)}" for key, one in value.items()]
    return [inline(value)]


def inline(value):
    return "{ " + ", ".join(toml(value)) + " }" if isinstance(value, dict) else json.dumps(value)


def main():
    meshd = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(2**32)
    print(f"interop: schemathesis with seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as data:
        command = [meshd, "--listen", "127.0.0.1:0", "--data", f"{data}/cloud"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"RUST_LOG": "warn"})
        try:
            url = server.stdout.readline().strip()
            ca = f"{data}/cloud/ca.pem"
            config = pathlib.Path(data, "schemathesis.toml")
            config.write_text(configuration(Mesh(url, ca)))
            return subprocess.run(
                [
                    pathlib.Path(sys.executable).with_name("schemathesis"),
                    *("--config-file", config, "run", OPENAPI, "--url", url, "--tls-verify", ca),
                    *("--request-retries", "1"),  # a connection that the server closed at that moment
                    *("--seed", str(seed), "--max-examples", str(EXAMPLES)),
                    *("--checks", "all", "--phases", "examples,coverage,fuzzing"),
                    *sys.argv[3:],
                ],
                cwd=data,
                check=False,
                env={**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(HERE)},
            ).returncode
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    sys.exit(main())
