#!/usr/bin/env python3
"""How fast meshd relays beside HAProxy (TCP mode) and Syncthing's relay, and what idle circuits cost.

    cargo build --release -p meshproof-cloud
    apt-get install haproxy syncthing-relaysrv
    benches/relay_vs_peers.py [--meshd target/release/meshd] [--seconds 2] [--rounds 5] [--idle 9900]

All of it is on this machine and over loopback, in turns, so that what else the machine does meets all alike; only the ratios
mean something. For each relay: bytes a second of one busy circuit and of eight, seconds of the relay's processor for a GiB, and
round trips a second of one byte; for meshd also the memory that idle circuits take.
"""

import argparse
import ctypes
import ctypes.util
import hashlib
import hmac
import os
import queue
import re
import resource
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

BLOCK = 256 * 1024
KEY = bytes([0x42]) * 32
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def connect(port):
    deadline = time.monotonic() + 20
    while True:
        try:
            s = socket.create_connection(("127.0.0.1", port))
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return s
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise EOFError("the relay closed the connection")
        data += more
    return data


# ---- passes, after spec/relay.md ---------------------------------------------------------------------------------


def expand(key, info, length):
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.new(key, block + info + bytes([counter]), hashlib.sha256).digest()
        out, counter = out + block, counter + 1
    return out[:length]


crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
for function in ("EVP_CIPHER_CTX_new", "EVP_aes_128_ctr"):
    getattr(crypto, function).restype = ctypes.c_void_p


def aes_ctr(key, text):
    """AES-128-CTR from a counter block of zeros, by OpenSSL's library."""
    context = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new())
    cipher = ctypes.c_void_p(crypto.EVP_aes_128_ctr())
    out, length = ctypes.create_string_buffer(len(text)), ctypes.c_int()
    assert crypto.EVP_EncryptInit_ex(context, cipher, None, key, bytes(16)) == 1
    assert crypto.EVP_EncryptUpdate(context, out, ctypes.byref(length), text, len(text)) == 1
    crypto.EVP_CIPHER_CTX_free(context)
    return out.raw


def make_pass(address, circuit, side, account):
    k48 = expand(KEY, b"meshrelay/1 pass" + circuit + bytes([side]) + address.encode(), 48)
    plain = struct.pack(">Q", int(time.time()) + 3600) + account
    box = aes_ctr(k48[:16], plain)
    return circuit + bytes([side]) + box + hmac.new(k48[16:], box, hashlib.sha256).digest()


# ---- the relays --------------------------------------------------------------------------------------------------


class Meshd:
    name = "meshd"

    def __init__(self, folder, program):
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.port = port
        config = os.path.join(folder, "relay.toml")
        with open(config, "w") as f:
            f.write('services = ["relay"]\n[relay]\nquota = "1000 TB"\nconnections = 100000\n')
        self.process = subprocess.Popen(
            [program, "--config", config, "--data", os.path.join(folder, "meshd"), "--relay-listen", self.address, "--log", "warn"],
            env={**os.environ, "MESH_RELAY_KEY": KEY.hex()},
            stdout=subprocess.DEVNULL,
        )
        connect(port).close()

    def circuit(self):
        circuit = os.urandom(16)
        sides = []
        for side in (0, 1):
            s = connect(self.port)
            # An account of its own, so that no account has more than its connections.
            s.sendall(b"\0\1\1" + make_pass(self.address, circuit, side, os.urandom(16)))
            if side == 0:
                assert exactly(s, 1) == b"\2", "WAITING"
            sides.append(s)
        for s in sides:
            assert exactly(s, 1) == b"\1", "JOINED"
        return sides


class Haproxy:
    name = "haproxy"

    def __init__(self, folder, _):
        self.port = free_port()
        self.backend = socket.create_server(("127.0.0.1", 0), backlog=1024)
        config = os.path.join(folder, "haproxy.cfg")
        with open(config, "w") as f:
            f.write(
                "global\n  maxconn 9000\n  nbthread 2\n"
                "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 300s\n  timeout server 300s\n"
                f"frontend f\n  bind 127.0.0.1:{self.port}\n  default_backend b\n"
                f"backend b\n  server s 127.0.0.1:{self.backend.getsockname()[1]}\n"
            )
        self.process = subprocess.Popen(["haproxy", "-db", "-f", config])
        # The probe makes a connection to the backend, too.
        connect(self.port).close()
        self.backend.settimeout(1)
        try:
            self.backend.accept()[0].close()
        except TimeoutError:
            pass
        self.backend.settimeout(None)

    def circuit(self):
        one = connect(self.port)
        other, _ = self.backend.accept()
        other.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return [one, other]


class Strelaysrv:
    """Syncthing's relay protocol: a device joins over TLS, another asks for it, both get the key of a session."""

    name = "strelaysrv"
    MAGIC = 0x9E79BC40

    def __init__(self, folder, _):
        self.port, status = free_port(), free_port()
        keys = os.path.join(folder, "strelaysrv")
        os.mkdir(keys)
        self.process = subprocess.Popen(
            ["strelaysrv", "-pools=", f"-listen=127.0.0.1:{self.port}", f"-status-srv=127.0.0.1:{status}", f"-keys={keys}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.certificates = []
        for name in ("a", "b"):
            key, cert = (os.path.join(folder, f"{name}.{end}") for end in ("key", "crt"))
            command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=syncthing"
            subprocess.run([*command.split(), "-keyout", key, "-out", cert], capture_output=True, check=True)
            self.certificates.append((cert, key))
        with open(self.certificates[0][0]) as f:
            self.id = hashlib.sha256(ssl.PEM_cert_to_DER_cert(f.read())).digest()
        connect(self.port).close()
        self.listener = self.tls(0)
        self.send(self.listener, 2, b"")
        assert self.receive(self.listener)[0] == 4, "the relay did not take the device"
        self.invitations = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        """Reads all the time, for the relay drops who does not answer its pings."""
        while True:
            try:
                self.invitations.put(self.invitation(self.listener))
            except (EOFError, OSError):
                return

    def tls(self, which):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["bep-relay"])
        context.load_cert_chain(*self.certificates[which])
        return context.wrap_socket(connect(self.port))

    def send(self, s, kind, body):
        s.sendall(struct.pack(">Iii", self.MAGIC, kind, len(body)) + body)

    def receive(self, s):
        magic, kind, length = struct.unpack(">Iii", exactly(s, 12))
        assert magic == self.MAGIC
        body = exactly(s, length)
        if kind == 0:  # a ping
            self.send(s, 1, b"")
            return self.receive(s)
        return kind, body

    @staticmethod
    def field(body, at):
        (length,) = struct.unpack_from(">I", body, at)
        return body[at + 4 : at + 4 + length], at + 4 + (length + 3) // 4 * 4

    def invitation(self, s):
        kind, body = self.receive(s)
        assert kind == 6, f"message {kind} where a session invitation was expected"
        _, at = self.field(body, 0)
        key, at = self.field(body, at)
        return key

    def circuit(self):
        asking = self.tls(1)
        self.send(asking, 5, struct.pack(">I", 32) + self.id)
        keys = [self.invitation(asking), self.invitations.get(timeout=20)]
        sides = []
        for key in keys:
            s = connect(self.port)
            padding = b"\0" * (-len(key) % 4)
            self.send(s, 3, struct.pack(">I", len(key)) + key + padding)
            assert self.receive(s)[0] == 4
            sides.append(s)
        asking.close()
        return sides


# ---- what is measured --------------------------------------------------------------------------------------------


def cpu(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) / 1024


def bulk(relay, circuits, seconds):
    """Bytes a second over so many circuits, and the relay's processor seconds for a GiB."""
    pairs = [relay.circuit() for _ in range(circuits)]
    end = time.monotonic() + seconds
    sent, received = [0] * circuits, [0] * circuits
    all_sent, broken = threading.Event(), threading.Event()

    def send(sock, n):
        block = memoryview(bytes(BLOCK))
        try:
            while time.monotonic() < end:
                sock.sendall(block)
                sent[n] += BLOCK
        except OSError:
            broken.set()

    def receive(sock, n):
        buffer = bytearray(BLOCK)
        sock.settimeout(0.05)  # not each relay passes the end of one direction on
        while not broken.is_set() and not (all_sent.is_set() and received[n] == sent[n]):
            try:
                count = sock.recv_into(buffer)
            except TimeoutError:
                continue
            except OSError:
                count = 0
            received[n] += count
            if not count:
                broken.set()

    before, began = cpu(relay.process.pid), time.monotonic()
    senders = [threading.Thread(target=send, args=(a, n)) for n, (a, _) in enumerate(pairs)]
    receivers = [threading.Thread(target=receive, args=(b, n)) for n, (_, b) in enumerate(pairs)]
    for t in senders + receivers:
        t.start()
    for t in senders:
        t.join()
    all_sent.set()
    for t in receivers:
        t.join()
    took, used = time.monotonic() - began, cpu(relay.process.pid) - before
    for a, b in pairs:
        a.close()
        b.close()
    if broken.is_set():
        raise ConnectionError(f"{relay.name} ended a circuit that is in use")
    total = sum(received)
    return total / took, used / (total / 2**30)


def round_trips(relay, seconds):
    a, b = relay.circuit()

    def echo():
        while (data := b.recv(64)) != b"end":
            b.sendall(data)

    thread = threading.Thread(target=echo)
    thread.start()
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        a.sendall(b"x")
        a.recv(64)
        count += 1
    a.sendall(b"end")
    thread.join()
    a.close()
    b.close()
    return count / seconds


def idle(relay, circuits):
    before = rss(relay.process.pid)
    held = [relay.circuit() for _ in range(circuits)]
    # All have carried something, for buffers are borrowed when something comes.
    for a, b in held:
        a.sendall(b"x" * 1000)
        exactly(b, 1000)
    after = rss(relay.process.pid)
    for pair in held:
        for s in pair:
            s.close()
    return before, after


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--meshd", default="target/release/meshd")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=int, default=9_900)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        relays = [kind(folder, arguments.meshd) for kind in (Meshd, Haproxy, Strelaysrv)]
        try:
            measure(relays, arguments)
        finally:
            for relay in relays:
                relay.process.send_signal(signal.SIGKILL)
                relay.process.wait()


def steady(case, relay):
    """A relay that ends a circuit which is in use is measured again, twice at most."""
    for _ in range(2):
        try:
            return case(relay)
        except ConnectionError as error:
            print(f"{error}: once more", file=sys.stderr)
    return case(relay)


def measure(relays, arguments):
    names = [relay.name for relay in relays]
    cases = [
        ("1 circuit, MB/s", lambda relay: bulk(relay, 1, arguments.seconds)[0] / 1e6),
        ("8 circuits, MB/s", lambda relay: bulk(relay, 8, arguments.seconds)[0] / 1e6),
        ("processor, s/GiB", lambda relay: bulk(relay, 2, arguments.seconds)[1]),
        ("round trips/s", lambda relay: round_trips(relay, arguments.seconds)),
    ]
    print(f"{'':18}" + "".join(f"{name:>12}" for name in names) + "   meshd / haproxy, median of the rounds' ratios")
    for title, case in cases:
        rounds = [[steady(case, relay) for relay in relays] for _ in range(arguments.rounds)]
        medians = [statistics.median(column) for column in zip(*rounds)]
        ratio = statistics.median(row[0] / row[1] for row in rounds)
        print(f"{title:18}" + "".join(f"{value:12.2f}" for value in medians) + f"   {ratio:.2f}", flush=True)
    if arguments.idle:
        before, after = idle(relays[0], arguments.idle)
        print(f"meshd with {arguments.idle} idle circuits: {after:.1f} MiB, {after - before:.1f} more than without;", end=" ")
        print(f"{(after - before) * 1024 / arguments.idle:.2f} KiB each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
