#!/usr/bin/env python3
"""How fast two `mesh` devices sync beside two Syncthing instances, rsync, and a copy with `sync` as the limit.

    cargo build --release -p meshproof-client -p meshproof-cloud
    apt-get install syncthing rsync
    benches/sync_vs_peers.py [--sizes 1073741824,10000,100000] [--rounds 2] [--only mesh,copy] [--bin target/release]

`--sizes` is: bytes of the one file, number of small files (0.5 to 8 KB), number of files of which one changes (the same is
measured at a hundredth). All is on this machine and over loopback, in turns; only the ratios mean something. For mesh the
time runs from the start of the first process to the end of the second, with scans and sign-in; for Syncthing from the request
to scan, with both up and connected, to the moment the receiver says it is in sync. Both flush what they wrote. `live` is a
change while both run, from the write to the moment the other device has it: mesh notices by itself, Syncthing, which
waits ten seconds before it looks, is told.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import xml.etree.ElementTree as ET

SEED = 20080422


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, seconds=900):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.02)


def peak(pid):
    """The most memory a living process had, in bytes."""
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read())[1]) * 1024


# ---- what is synchronised ----------------------------------------------------------------------------------------


def big(folder, size):
    rng = random.Random(SEED)
    os.makedirs(folder)
    with open(os.path.join(folder, "big.bin"), "wb") as f:
        while size:
            piece = rng.randbytes(min(size, 1 << 20))
            f.write(piece)
            size -= len(piece)


def small(folder, count):
    rng = random.Random(SEED)
    for n in range(count):
        directory = os.path.join(folder, f"d{n // 100:04}")
        if n % 100 == 0:
            os.makedirs(directory)
        with open(os.path.join(directory, f"f{n:06}"), "wb") as f:
            f.write(rng.randbytes(rng.randint(500, 8_000)))


def tiny(folder, count):
    for n in range(count):
        directory = os.path.join(folder, f"d{n // 100:04}")
        if n % 100 == 0:
            os.makedirs(directory)
        with open(os.path.join(directory, f"f{n:06}"), "w") as f:
            f.write(f"file {n}")


def same(left, right):
    return subprocess.run(["diff", "-rq", "--exclude=.stfolder", left, right], stdout=subprocess.DEVNULL).returncode == 0


# ---- those who synchronise -----------------------------------------------------------------------------------------


class Copy:
    """`cp -a` and `sync`: nobody who makes it safe on disk is faster."""

    name = "copy"
    command = ["cp", "-a"]

    def __init__(self, home, _):
        self.left, self.right = os.path.join(home, "left"), os.path.join(home, "right")

    def start(self):
        pass

    def run(self, changed):
        begin = time.monotonic()
        # `/.` and not `/`, so that cp and rsync mean the same.
        subprocess.run([*self.command, self.left + "/.", self.right], check=True)
        subprocess.run(["sync", "-f", self.right], check=True)
        return time.monotonic() - begin

    def memory(self):
        return None

    def stop(self):
        pass


class Rsync(Copy):
    name = "rsync"
    command = ["rsync", "-a"]


class Mesh:
    name = "mesh"

    def __init__(self, home, options):
        self.home, self.bin = home, options.bin
        self.left, self.right = os.path.join(home, "left"), os.path.join(home, "right")
        self.cloud, self.up, self.most = None, [], [0, 0]

    def mesh(self, side, *command, **more):
        program = [os.path.join(self.bin, "mesh"), "--home", os.path.join(self.home, f"mesh-{side}"), *command]
        env = {**os.environ, "MESH_PASSWORD": "correct-horse"}
        return subprocess.Popen(program, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)

    def ask(self, side, *command):
        process = self.mesh(side, *command)
        out, err = process.communicate()
        if process.returncode:
            raise RuntimeError(f"mesh {' '.join(command)}: {out}{err}")
        return out

    def start(self):
        data, port = os.path.join(self.home, "meshd"), free_port()
        self.cloud = subprocess.Popen(
            [os.path.join(self.bin, "meshd"), "--listen", f"127.0.0.1:{port}", "--data", data, "--log", "warn"],
            stdout=subprocess.DEVNULL,
        )
        ca = os.path.join(data, "ca.pem")
        wait_for("meshd", lambda: os.path.exists(ca) and socket.socket().connect_ex(("127.0.0.1", port)) == 0, 60)
        os.makedirs(self.right)
        for side in ("left", "right"):
            user = ["--user", "ann"] + (["--register"] if side == "left" else [])
            self.ask(side, "login", "--cloud", f"https://127.0.0.1:{port}", "--ca", ca, *user)
            self.ask(side, "device", "add", side)
        out = self.ask("left", "folder", "add", self.left, "--p2p-only")
        folder = re.search(r"[0-9a-f]{32}", out)[0]
        self.ask("right", "folder", "add", self.right, "--join", folder)

    def serve(self, side, *more):
        process = self.mesh(side, "sync", "--serve", "--listen", "127.0.0.1:0", *more)
        for line in process.stdout:
            if line.startswith("listening"):
                break
        threading.Thread(target=process.stdout.read, daemon=True).start()
        return process

    def live(self):
        """Both stay up until `stop`."""
        self.up = [self.serve(side) for side in ("left", "right")]

    def notice(self, changed):
        pass

    def run(self, changed):
        begin = time.monotonic()
        server = self.serve("left", "--interval", "0")
        client = self.mesh("right", "sync")
        out, err = client.stdout.read(), client.stderr.read()
        _, status, usage = os.wait4(client.pid, 0)
        took = time.monotonic() - begin
        client.returncode = os.waitstatus_to_exitcode(status)
        self.most = [max(self.most[0], peak(server.pid)), max(self.most[1], usage.ru_maxrss * 1024)]
        server.terminate()
        server.communicate()
        if client.returncode or "in sync" not in out:
            raise RuntimeError(f"mesh sync: {out}{err}")
        return took

    def memory(self):
        return [max(most, peak(process.pid)) for most, process in zip(self.most, self.up)] or self.most

    def stop(self):
        for process in filter(None, [*self.up, self.cloud]):
            process.terminate()
            process.wait()


class Syncthing:
    name = "syncthing"
    key = "benchmark"

    def __init__(self, home, _):
        self.home = home
        self.left, self.right = os.path.join(home, "left"), os.path.join(home, "right")
        self.sides, self.processes = {}, []

    def start(self):
        os.makedirs(self.right)
        os.makedirs(self.left, exist_ok=True)
        for side in ("left", "right"):
            home = os.path.join(self.home, f"st-{side}")
            subprocess.run(
                ["syncthing", "generate", "--home", home, "--no-default-folder"],
                check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            identity = ET.parse(os.path.join(home, "config.xml")).find("device").get("id")
            self.sides[side] = {"home": home, "id": identity, "gui": free_port(), "port": free_port()}
        for side, own in self.sides.items():
            self.configure(side, own)
            self.processes.append(
                subprocess.Popen(
                    ["syncthing", "serve", "--no-browser", "--no-upgrade", "--home", own["home"]],
                    env={**os.environ, "STNODEFAULTFOLDER": "1", "STNORESTART": "1"},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        for side, own in self.sides.items():
            other = self.sides["right" if side == "left" else "left"]
            wait_for("Syncthing", lambda: self.connected(side, other["id"]), 120)

    def configure(self, side, own):
        path = os.path.join(own["home"], "config.xml")
        tree = ET.parse(path)
        root = tree.getroot()
        for old in root.findall("device") + root.findall("folder"):
            root.remove(old)
        folder = ET.SubElement(
            root, "folder", id="bench", path=getattr(self, side), type="sendreceive", rescanIntervalS="0",
            fsWatcherEnabled="false",
        )
        for each in self.sides.values():
            device = ET.SubElement(root, "device", id=each["id"], compression="never")
            ET.SubElement(device, "address").text = f"tcp://127.0.0.1:{each['port']}"
            ET.SubElement(folder, "device", id=each["id"])
        root.find("gui").find("address").text = f"127.0.0.1:{own['gui']}"
        root.find("gui").find("apikey").text = self.key
        options = root.find("options")
        for old in list(options):
            options.remove(old)
        for name, value in {
            "listenAddress": f"tcp://127.0.0.1:{own['port']}", "globalAnnounceEnabled": "false",
            "localAnnounceEnabled": "false", "relaysEnabled": "false", "natEnabled": "false", "urAccepted": "-1",
            "crashReportingEnabled": "false", "setLowPriority": "false", "reconnectionIntervalS": "1", "startBrowser": "false",
        }.items():
            ET.SubElement(options, name).text = value
        tree.write(path)

    def live(self):
        pass

    def notice(self, changed):
        self.rest("left", f"db/scan?folder=bench&sub={changed}", "POST")

    def rest(self, side, path, method="GET"):
        url = f"http://127.0.0.1:{self.sides[side]['gui']}/rest/{path}"
        request = urllib.request.Request(url, method=method, headers={"X-API-Key": self.key})
        with urllib.request.urlopen(request, timeout=600) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def connected(self, side, other):
        try:
            return self.rest(side, "system/connections")["connections"][other]["connected"]
        except (OSError, KeyError):
            return False

    def run(self, changed):
        begin = time.monotonic()
        before = self.rest("left", "db/status?folder=bench")["sequence"]
        self.rest("left", f"db/scan?folder=bench{'&sub=' + changed if changed else ''}", "POST")
        scanned = self.rest("left", "db/status?folder=bench")
        # Without `changed`, it may have found all when it started.
        assert scanned["sequence"] > before or not changed, "Syncthing found no change"

        def in_sync():
            there = self.rest("right", "db/status?folder=bench")
            wanted = (scanned["globalBytes"], scanned["globalFiles"], 0, "idle")
            mine = (there["globalBytes"], there["localFiles"], there["needTotalItems"], there["state"])
            if wanted != mine:
                return False
            if changed:
                paths = [os.path.join(root, changed) for root in (self.left, self.right)]
                contents = [open(path, "rb").read() for path in paths]
                return contents[0] == contents[1]
            return True

        wait_for("Syncthing", in_sync)
        return time.monotonic() - begin

    def memory(self):
        # Each is two processes, of which the second works.
        def most(process):
            tasks = os.listdir(f"/proc/{process.pid}/task")
            children = "".join(open(f"/proc/{process.pid}/task/{task}/children").read() for task in tasks).split()
            return max(peak(pid) for pid in [process.pid, *children])

        return [most(process) for process in self.processes]

    def stop(self):
        for process in self.processes:
            process.terminate()
            process.wait()


# ---- what is measured ----------------------------------------------------------------------------------------------


def fresh(tool, make, options, rounds, kept=None):
    """The whole tree to an empty place. Where that is goes with `kept`: a file system may be slow to make files where many were
    removed a moment ago, and so make those slow who come later."""
    times, memory = [], None
    for _ in range(rounds):
        with contextlib.ExitStack() as own:
            home = (kept or own).enter_context(tempfile.TemporaryDirectory(dir=options.dir))
            runner = tool(home, options)
            try:
                if tool is Syncthing:
                    # Both are up and connected, and then the files appear.
                    runner.start()
                    make(os.path.join(home, "new"))
                    subprocess.run(["sync"], check=True)
                    for name in os.listdir(os.path.join(home, "new")):
                        os.rename(os.path.join(home, "new", name), os.path.join(runner.left, name))
                else:
                    make(runner.left)
                    subprocess.run(["sync"], check=True)
                    runner.start()
                times.append(runner.run(None))
                memory = runner.memory() or memory
                assert same(runner.left, runner.right), f"{tool.name}: the trees differ"
            finally:
                runner.stop()
    return statistics.median(times), memory


def middle(count):
    """The path of one of so many files, in none of the ends."""
    return f"d{count // 200:04}/f{count // 200 * 100:06}"


def one_change(tool, count, options, rounds):
    """One file of many changed. All of them are there already."""
    times = []
    with tempfile.TemporaryDirectory(dir=options.dir) as home:
        runner = tool(home, options)
        try:
            tiny(runner.left, count)
            runner.start()
            runner.run(None)
            for turn in range(rounds + 1):
                subprocess.run(["sync"], check=True)
                name = middle(count)
                with open(os.path.join(runner.left, name), "w") as f:
                    f.write(f"changed {turn}")
                times.append(runner.run(name))
            memory = runner.memory()
        finally:
            runner.stop()
    return statistics.median(times[1:]), memory  # the first run reads what the long first sync left half done


def live_change(tool, count, options, rounds):
    """One file of many changed, while both devices run."""
    times = []
    with tempfile.TemporaryDirectory(dir=options.dir) as home:
        runner = tool(home, options)
        try:
            tiny(runner.left, count)
            runner.start()
            runner.run(None)
            runner.live()
            for turn in range(4 * rounds + 1):
                name, text = middle(count), f"changed {turn}"
                begin = time.monotonic()
                with open(os.path.join(runner.left, name), "w") as f:
                    f.write(text)
                runner.notice(name)

                def arrived():
                    # Syncthing has moments without the file: it moves the old one away first.
                    with contextlib.suppress(FileNotFoundError), open(os.path.join(runner.right, name)) as f:
                        return f.read() == text

                wait_for(f"{tool.name}: the change", arrived)
                times.append(time.monotonic() - begin)
            memory = runner.memory()
        finally:
            runner.stop()
    return statistics.median(times[1:]), memory  # until the first arrives, they may not have met


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1073741824,10000,100000")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default="copy,rsync,mesh,syncthing")
    parser.add_argument("--work", default="big,small,change,live")
    parser.add_argument("--bin", default=os.path.join(os.path.dirname(__file__), "..", "target", "release"))
    parser.add_argument("--dir", help="where the trees are; default: the directory for temporary files")
    options = parser.parse_args()
    size, files, many = (int(n) for n in options.sizes.split(","))
    tools = [tool for tool in (Copy, Rsync, Mesh, Syncthing) if tool.name in options.only.split(",")]
    works, kept = [], contextlib.ExitStack()
    if "big" in options.work:
        works.append((f"one file of {size} bytes", lambda tool: fresh(tool, lambda d: big(d, size), options, options.rounds)))
    if "small" in options.work:
        works.append((f"{files} files of 0.5 to 8 KB", lambda tool: fresh(tool, lambda d: small(d, files), options, options.rounds, kept)))
    if "change" in options.work:
        for count in (max(200, many // 100), many):
            works.append((f"one change in {count} files", lambda tool, n=count: one_change(tool, n, options, options.rounds)))
    if "live" in options.work:
        for count in (max(200, many // 100), many):
            works.append((f"one live change in {count} files", lambda tool, n=count: live_change(tool, n, options, options.rounds)))
    # The small files first: nothing was removed before them.
    works.sort(key=lambda work: "files of" not in work[0])
    with kept:
        measure(works, tools)


def measure(works, tools):
    for title, work in works:
        # Who copies does not run.
        able = [tool for tool in tools if "live" not in title or hasattr(tool, "live")]
        results = {tool.name: work(tool) for tool in able}
        print(title)
        base = results.get("mesh", next(iter(results.values())))[0]
        for name, (took, memory) in results.items():
            memory = "" if memory is None else "   peak memory " + " + ".join(f"{m / 2**20:.0f}" for m in memory) + " MiB"
            print(f"  {name:10} {took:8.3f} s   {took / base:6.2f} of mesh{memory}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
