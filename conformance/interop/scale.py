"""Several meshd that share PostgreSQL, S3 and NATS behave as one, even while one of them is killed.

    scale.py MESHD MESHPROOF TESTS       (scale.sh builds all three and calls this)

Starts everything itself, on free ports of 127.0.0.1, in a directory that is removed at the end. Then

0. the tests of the store that need a database server run;

1. the kit's checks of a cloud run against two servers behind a balancer, each request on another one;
2. they run again while one server is killed (SIGKILL) half way. It is killed when it is answering nothing: a request
   that a server did not answer may or may not have been done, which no check can tell;
3. a device that waits at one server is woken by a change at the other;
4. of 1,000 writes that are under way while a server is killed, none that was acknowledged is lost.
"""

import asyncio
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from blake3 import blake3

WRITES = 1_000
QUOTA = 8_000_000  # small enough for the kit to fill
PATIENCE = 60  # seconds for a program to start; no verdict depends on it


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(ready, what):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit(f"scale: {what} did not start")


def listens(port):
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


class Programs:
    """Programs that are ended at the end, whatever happens."""

    def __init__(self, home):
        self.home, self.running = home, []

    def start(self, name, *command, env=None, user=None):
        log = open(self.home / f"{name}.log", "ab")
        stdout = subprocess.PIPE if name.startswith("meshd") else log
        process = subprocess.Popen(
            [str(word) for word in command], stdout=stdout, stderr=log, stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})}, user=user, cwd=self.home,
        )
        self.running.append(process)
        return process

    def end(self):
        for process in reversed(self.running):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


def start_postgres(programs):
    """PostgreSQL refuses to run as root: then it runs as the user that its package made."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    user = "postgres" if os.geteuid() == 0 else None
    data = programs.home / "postgres"
    data.mkdir()
    if user:
        account = pwd.getpwnam(user)
        os.chown(data, account.pw_uid, account.pw_gid)
    make = [binaries / "initdb", "-D", data, "-U", "mesh", "--auth=trust", "--locale=C", "--encoding=UTF8"]
    subprocess.run(make, check=True, user=user, stdout=subprocess.DEVNULL, cwd=programs.home)
    port = free_port()
    settings = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={data}"]
    programs.start("postgres", binaries / "postgres", "-D", data, "-p", port, *settings, user=user)
    query = ["psql", "-qAt", "-h", "127.0.0.1", "-p", str(port), "-U", "mesh", "-d", "postgres", "-c"]
    ask = lambda sql: subprocess.run([*query, sql], capture_output=True, check=False).returncode == 0
    until(lambda: ask("SELECT 1"), "PostgreSQL")
    if not ask("CREATE DATABASE cloud"):
        sys.exit("scale: no database could be made")
    return f"postgres://mesh@127.0.0.1:{port}"


def start_nats(programs):
    port = free_port()
    program = shutil.which("nats-server") or "/usr/sbin/nats-server"
    programs.start("nats", program, "-a", "127.0.0.1", "-p", port)
    until(lambda: listens(port), "NATS")
    return f"nats://127.0.0.1:{port}"


def start_s3(programs):
    """A bucket, and the environment in which meshd finds it."""
    port = free_port()
    programs.start("s3", Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", port)
    until(lambda: listens(port), "S3")
    endpoint = f"http://127.0.0.1:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/cloud", method="PUT")).close()
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


class Server:
    """A meshd."""

    def __init__(self, programs, meshd, name, settings, env, keys_of=None):
        self.data = programs.home / name
        if keys_of:
            shutil.copytree(keys_of.data, self.data, ignore=shutil.ignore_patterns("meshd.*", "blobs", "incoming"))
        config = programs.home / f"{name}.toml"
        config.write_text(f'listen = "127.0.0.1:0"\ndata = "{self.data}"\n{settings}')
        self.process = programs.start(name, meshd, "--config", config, env=env)
        line = self.process.stdout.readline().decode().strip()
        if not line:
            sys.exit((programs.home / f"{name}.log").read_text() + f"scale: {name} did not start")
        self.port = int(line.rsplit(":", 1)[1])
        self.connections, self.condemned = 0, False

    def kill(self):
        self.process.kill()
        self.process.wait()

    @property
    def lives(self):
        return self.process.poll() is None


class Balancer:
    """Gives each connection to the next server that takes it."""

    def __init__(self, servers):
        self.servers, self.turn, self.count = servers, 0, 0
        self.condemn_at = None  # the number of the connection at which the first server is condemned

    async def start(self):
        self.listener = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=2048)
        self.url = f"https://127.0.0.1:{self.listener.sockets[0].getsockname()[1]}"

    async def serve(self, reader, writer):
        try:
            await self.pass_on(reader, writer)
        except asyncio.CancelledError:
            pass  # the end of everything

    async def pass_on(self, reader, writer):
        self.count += 1
        if self.count == self.condemn_at:
            self.servers[0].condemned = True
        self.execute()
        self.turn += 1
        for at in range(len(self.servers)):
            server = self.servers[(self.turn + at) % len(self.servers)]
            if server.condemned:
                continue
            server.connections += 1
            try:
                there = await asyncio.open_connection("127.0.0.1", server.port)
            except OSError:
                server.connections -= 1
                continue
            await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
            server.connections -= 1
            break
        writer.close()
        self.execute()

    def execute(self):
        for server in self.servers:
            if server.condemned and server.lives and server.connections == 0:
                server.kill()


async def pump(reader, writer):
    try:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    # What comes no more on one side ends the other: both ends of HTTPS close the whole connection.
    writer.close()


class Client:
    """HTTP/1.1, a connection a request."""

    def __init__(self, url, ca):
        self.host, self.port = "127.0.0.1", int(url.rsplit(":", 1)[1])
        self.tls = ssl.create_default_context(cafile=ca)
        self.authorization = ""

    async def send(self, method, path, body=b""):
        """Status code and body; an OSError or EOFError if no whole answer came."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        reader, writer = await asyncio.open_connection(self.host, self.port, ssl=self.tls)
        try:
            head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            head += f"Authorization: {self.authorization}\r\nContent-Length: {len(body)}\r\n"
            head += "Content-Type: application/json\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
            fields = answer.decode("latin-1").lower()
            rest = b""
            if "content-length: " in fields:
                rest = await reader.readexactly(int(fields.split("content-length: ")[1].split("\r\n")[0]))
            return int(fields[9:12]), rest
        finally:
            writer.close()

    async def json(self, method, path, body=b""):
        status, answer = await self.send(method, path, body)
        if status >= 300:
            sys.exit(f"scale: {method} {path}: {status} {answer}")
        return json.loads(answer or b"{}")

    async def sign_up(self):
        who = {"name": secrets.token_hex(6), "password": "correct horse"}
        await self.json("POST", "/identity/users", who)
        self.bearer = "Bearer " + (await self.json("POST", "/identity/token", who))["token"]
        await self.renew()

    async def renew(self):
        self.authorization = self.bearer
        tickets = (await self.json("POST", "/tickets"))["tickets"]
        self.authorization = "MeshTicket " + ",".join(tickets)

    async def make_folder(self):
        folder = (await self.json("POST", "/mesh/objects", {"name": "scale"}))["links"]["self"]
        await self.renew()
        return folder


async def kit(meshproof, balancer, ca, report):
    before = balancer.count
    run = [meshproof, "run", "--cloud", balancer.url, "--ca", ca, "--fresh-connections", "--report", report]
    process = await asyncio.create_subprocess_exec(*map(str, run), stdout=subprocess.PIPE)
    output = (await process.communicate())[0].decode()
    summary = [line for line in output.splitlines() if "CONFORMANT" in line or line.startswith("FAIL")]
    print("scale:   " + "\nscale:   ".join(summary), flush=True)
    if process.returncode != 0:
        sys.exit(output + "scale: the kit does not find the pair conformant")
    return balancer.count - before


async def woken_across(first, second, ca):
    """A queue that is asked at one server notices what is written at the other, before its time has passed."""
    here, there = Client(f"https://127.0.0.1:{first.port}", ca), Client(f"https://127.0.0.1:{second.port}", ca)
    await here.sign_up()
    folder = await here.make_folder()
    there.authorization = here.authorization
    queue = (await here.json("POST", "/mesh/queues"))["links"]["self"]
    await here.json("POST", f"{queue}/subscriptions", {"resource": folder})
    watermark = (await here.json("GET", queue)).get("watermark", "")
    started = time.monotonic()
    waiting = asyncio.create_task(here.json("GET", f"{queue}?after={watermark}&wait=60"))
    await asyncio.sleep(1)  # most likely it waits by now; if not, it finds the change when it comes
    entry = secrets.token_hex(16)
    body = {"path": entry, "kind": "directory", "size": 0, "version": {}}
    await there.json("PUT", f"{folder}/feeds/files/entries/{entry}", body)
    answer = await waiting
    if folder not in json.dumps(answer) or time.monotonic() - started > 50:
        sys.exit(f"scale: nobody was woken: {answer}")
    print("scale:   woken", flush=True)


async def writes_and_a_kill(balancer, victim, ca):
    client = Client(balancer.url, ca)
    await client.sign_up()
    folder = await client.make_folder()
    entries, media, unknown, refused = {}, {}, 0, 0

    async def write(number):
        nonlocal unknown, refused
        if number % 4 == 0:
            content = secrets.token_bytes(2_000)
            key, value, kept = blake3(content).hexdigest(), content, media
            request = ("PUT", f"{folder}/media/{key}", content)
        else:
            key, value, kept = secrets.token_hex(16), f"f{number}", entries
            body = {"path": value, "kind": "directory", "size": 0, "version": {}}
            request = ("PUT", f"{folder}/feeds/files/entries/{key}", body)
        while True:
            try:
                status, _ = await client.send(*request)
            except (OSError, EOFError):
                unknown += 1
                return
            if status != 503:
                break
            refused += 1  # too many at once: nothing was written, and it is to be tried again
            await asyncio.sleep(1)
        if status not in (200, 201):
            sys.exit(f"scale: a write was answered with {status}")
        kept[key] = value
        if len(entries) + len(media) == WRITES // 10:
            victim.kill()

    await asyncio.gather(*map(write, range(WRITES)))
    acknowledged = len(entries) + len(media)
    print(f"scale:   {WRITES} writes: {acknowledged} acknowledged, {unknown} without an answer, {refused} times told to come later", flush=True)
    if victim.lives or unknown == 0 or acknowledged < WRITES // 2:
        sys.exit("scale: this was no test: the kill came too early or too late")
    await client.renew()
    listed, link = [], f"{folder}/feeds/files/entries"
    while link:
        page = await client.json("GET", link)
        listed += page["items"]
        link = page["links"].get("next")
    there = {item["entry"]: item["path"] for item in listed}
    lost = [key for key, path in entries.items() if there.get(key) != path]
    for name, content in media.items():
        if await client.send("GET", f"{folder}/media/{name}") != (200, content):
            lost.append(name)
    if lost:
        sys.exit(f"scale: {len(lost)} acknowledged writes are lost: {lost[:5]}")
    print(f"scale:   all {acknowledged} acknowledged writes are there", flush=True)


def store_tests(tests, database):
    """The unit tests of the cloud that other runs leave out."""
    env = {**os.environ, "MESHPROOF_TEST_DATABASE": database}
    run = subprocess.run([tests, "store::", "--include-ignored"], env=env, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(run.stdout + run.stderr + "scale: tests of the store failed")
    print("scale:   " + run.stdout.strip().splitlines()[-1], flush=True)


async def main(meshd, meshproof, tests):
    home = Path(tempfile.mkdtemp(prefix="meshproof-scale-"))
    os.chmod(home, 0o755)  # PostgreSQL may run as another user
    programs = Programs(home)
    try:
        database, bus, env = start_postgres(programs), start_nats(programs), start_s3(programs)
        print("scale: the store on PostgreSQL", flush=True)
        store_tests(tests, database)

        settings = f'connections = 2000\n[database]\nurl = "{database}/cloud"\n[bus]\nurl = "{bus}"\n'
        settings += f'[storage]\nquota = "{QUOTA} B"\nobjects = "s3://cloud/media"\n'
        settings += '[identity]\norigin = "https://localhost:8443"\n'  # one for both: passkeys are bound to it
        first = Server(programs, meshd, "meshd-1", settings, env)
        second = Server(programs, meshd, "meshd-2", settings, env, keys_of=first)
        ca = str(first.data / "ca.pem")
        balancer = Balancer([first, second])
        await balancer.start()

        print("scale: two servers, one after the other asked", flush=True)
        connections = await kit(meshproof, balancer, ca, home / "report-1")
        print("scale: a change at one server, a device that waits at the other", flush=True)
        await woken_across(first, second, ca)
        print("scale: one server is killed half way", flush=True)
        balancer.condemn_at = balancer.count + connections // 2
        await kit(meshproof, balancer, ca, home / "report-2")
        if first.lives:
            sys.exit("scale: nobody was killed")

        print(f"scale: a server is killed during {WRITES} concurrent writes", flush=True)
        third = Server(programs, meshd, "meshd-3", settings, env, keys_of=second)
        balancer.servers = [third, second]
        await writes_and_a_kill(balancer, third, ca)
    except BaseException:
        for log in home.glob("*.log"):
            tail = log.read_text(errors="replace").splitlines()[-15:]
            print("\n".join([f"--- {log.name}", *tail]), file=sys.stderr)
        raise
    finally:
        programs.end()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
