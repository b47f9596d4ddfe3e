"""The network drive with software that others wrote: litmus and rclone.

    drive.py MESHD

MESHD is the program under test, built with the feature `webdav`. litmus has to pass all its tests. rclone copies a tree
up and down again, moves and deletes in it, and both trees have to be the same byte for byte.
"""

import base64
import concurrent.futures
import filecmp
import json
import os
import pathlib
import random
import re
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

NAME, PASSWORD = "ann", "correct horse"


def main(meshd):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        command = [meshd, "--listen", "127.0.0.1:0", "--data", scratch / "cloud"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as cloud:
            try:
                url = cloud.stdout.readline().strip()
                ca = scratch / "cloud" / "ca.pem"
                trust = ssl.create_default_context(cafile=ca)

                def ask(method, path, body=None, **fields):
                    request = urllib.request.Request(url + path, body, fields, method=method)
                    try:
                        return urllib.request.urlopen(request, context=trust).status
                    except urllib.error.HTTPError as refused:
                        return refused.code

                body = json.dumps({"name": NAME, "password": PASSWORD}).encode()
                assert ask("POST", "/identity/users", body, **{"content-type": "application/json"}) == 201
                basic = lambda password: {"authorization": "Basic " + base64.b64encode(f"{NAME}:{password}".encode()).decode()}
                assert ask("PROPFIND", "/dav/") == 401, "without a password"
                assert ask("PROPFIND", "/dav/", **basic("wrong horse")) == 401, "with a wrong password"
                assert ask("MKCOL", "/dav/Documents", **basic(PASSWORD)) == 201
                assert ask("DELETE", "/dav/Documents", **basic(PASSWORD)) == 403, "a folder is not deleted by chance"
                app_password(url, trust, ask, basic)
                with concurrent.futures.ThreadPoolExecutor(8) as pool:
                    made = list(pool.map(lambda _: ask("MKCOL", "/dav/Together", **basic(PASSWORD)), range(8)))
                assert sorted(made) == [201] + [405] * 7, f"one folder was to be made: {made}"
                for deep in (b"<a>" * 20_000, ("<a>" * 9_000).encode("utf-16"),
                             b'<!DOCTYPE a [<!ENTITY b "<a>">]><a>' + b"&b;" * 9_000):
                    assert ask("PROPFIND", "/dav/Documents", deep, **basic(PASSWORD)) == 400, "deep XML"
                litmus(url, ca, scratch)
                rclone(url, ca, scratch)
                many(url, trust, basic(PASSWORD))
            finally:
                cloud.terminate()


def app_password(url, trust, ask, basic):
    """A password for a program opens the drive, nothing else, and until it is removed."""
    def call(method, path, body, **fields):
        fields["content-type"] = "application/json"
        request = urllib.request.Request(url + path, json.dumps(body).encode() if body else None, fields, method=method)
        text = urllib.request.urlopen(request, context=trust).read()
        return json.loads(text) if text else None

    bearer = {"authorization": "Bearer " + call("POST", "/identity/token", {"name": NAME, "password": PASSWORD})["token"]}
    made = call("POST", "/identity/app-passwords", {"label": "rclone"}, **bearer)
    words = made["password"]
    for _ in range(2):
        assert ask("PROPFIND", "/dav/Documents/", **basic(words)) == 207, "an app password does not open the drive"
    [listed] = call("GET", "/identity/app-passwords", None, **bearer)["items"]
    assert "used" in listed and "password" not in listed and words not in json.dumps(listed), listed
    body = json.dumps({"name": NAME, "password": words}).encode()
    assert ask("POST", "/identity/token", body, **{"content-type": "application/json"}) == 401, "it signs in elsewhere"
    sessions = [item["provider"] for item in call("GET", "/identity/sessions", None, **bearer)["items"]]
    assert "app-password" in sessions, sessions
    call("DELETE", made["links"]["self"], None, **bearer)
    assert ask("PROPFIND", "/dav/Documents/", **basic(words)) == 401, "an app password that was removed opens the drive"
    assert ask("PROPFIND", "/dav/Documents/", **basic(PASSWORD)) == 207
    print("drive: an app password opened it until it was removed")


def litmus(url, ca, scratch):
    environment = dict(os.environ, SSL_CERT_FILE=str(ca))
    done = subprocess.run(["litmus", "-k", f"{url}/dav/Documents/", NAME, PASSWORD],
                          env=environment, cwd=scratch, capture_output=True, text=True)
    counts = re.findall(r"summary for `(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed", done.stdout)
    if len(counts) != 5 or any(failed != "0" for *_, failed in counts) or done.returncode != 0:
        sys.exit(f"drive: litmus: {done.stdout}{done.stderr}")
    print(f"drive: litmus: {sum(int(passed) for _, _, passed, _ in counts)} tests passed, 0 failed")


def rclone(url, ca, scratch):
    environment = dict(os.environ, RCLONE_CONFIG="/dev/null", RCLONE_CA_CERT=str(ca), RCLONE_CONFIG_DRIVE_TYPE="webdav",
                       RCLONE_CONFIG_DRIVE_URL=f"{url}/dav/", RCLONE_CONFIG_DRIVE_VENDOR="other", RCLONE_CONFIG_DRIVE_USER=NAME)
    obscured = subprocess.run(["rclone", "obscure", PASSWORD], capture_output=True, text=True, check=True).stdout.strip()
    environment["RCLONE_CONFIG_DRIVE_PASS"] = obscured

    def run(*arguments):
        done = subprocess.run(["rclone", *arguments], env=environment, capture_output=True)
        if done.returncode != 0:
            sys.exit(f"drive: rclone {arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    chance = random.Random(7)
    up, down = scratch / "up", scratch / "down"
    for name, size in [("a.txt", 5), ("empty", 0), ("deep/er/é ü.bin", 70_000), ("deep/b & c;#%.txt", 1_000),
                       ("large.bin", 9_000_000), *((f"many/{n}.dat", n * 37) for n in range(40))]:
        file = up / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(chance.randbytes(size))
    run("copy", str(up), "drive:Backup/tree")
    run("check", "--download", str(up), "drive:Backup/tree")
    run("moveto", "drive:Backup/tree/deep", "drive:Backup/tree/moved")
    run("moveto", "drive:Backup/tree/a.txt", "drive:Documents/from-elsewhere.txt")
    run("deletefile", "drive:Backup/tree/empty")
    (up / "deep").rename(up / "moved")
    (up / "a.txt").unlink()
    (up / "empty").unlink()
    run("copy", "drive:Backup/tree", str(down))
    compared = same(filecmp.dircmp(up, down))
    part = run("cat", "--offset", "4000000", "--count", "1000", "drive:Backup/tree/large.bin")
    assert part == (up / "large.bin").read_bytes()[4_000_000:4_001_000]
    run("purge", "drive:Backup/tree")
    assert run("lsf", "drive:Backup/") == b""
    print(f"drive: rclone: {compared} files are the same after the way up and down")


def many(url, trust, basic):
    """A directory of more entries than a page of the graph has is listed whole, also after others changed some."""

    def ask(method, path, body=None, **fields):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url + path, data, fields, method=method), context=trust) as answer:
            return answer.headers, answer.read()

    def listed():
        found = ask("PROPFIND", "/dav/Many/", depth="1", **basic)[1].decode()
        return set(re.findall(r"/dav/Many/(d\d+)/<", found))

    token = json.loads(ask("POST", "/identity/token", {"name": NAME, "password": PASSWORD})[1])["token"]
    tickets = json.loads(ask("POST", "/tickets", authorization=f"Bearer {token}")[1])["tickets"]
    made, _ = ask("POST", "/mesh/objects", {"name": "Many"}, authorization="MeshTicket " + ",".join(tickets))
    rights = {"authorization": "MeshTicket " + ",".join([*tickets, made["mesh-ticket"]])}

    def write(*parts):
        answer = json.loads(ask("POST", "/mesh/batch", {"parts": parts}, **rights)[1])
        assert all(item["status"] < 300 for item in answer["items"]), answer

    def entry(n, method="PUT", **more):
        part = {"method": method, "href": f"{made['location']}/feeds/files/entries/{n:032x}", **more}
        return part if method == "DELETE" else {**part, "body": {"path": f"d{n}", "kind": "directory", "version": {}}}

    for start in range(0, 1_300, 100):
        write(*map(entry, range(start, start + 100)))
    assert listed() == {f"d{n}" for n in range(1_300)}
    write(entry(7, "DELETE", if_match="*"), entry(1_300))
    assert listed() == {f"d{n}" for n in range(1_301)} - {"d7"}
    print("drive: a directory of 1,300 entries is listed whole")


def same(comparison):
    """How many files are the same in both trees; all are."""
    names = sorted(comparison.common_files)
    match, mismatch, errors = filecmp.cmpfiles(comparison.left, comparison.right, names, shallow=False)
    if mismatch or errors or comparison.left_only or comparison.right_only:
        sys.exit(f"drive: rclone: {mismatch} {errors} {comparison.left_only} {comparison.right_only}")
    return len(match) + sum(same(below) for below in comparison.subdirs.values())


if __name__ == "__main__":
    main(sys.argv[1])
