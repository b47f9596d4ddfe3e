"""testssl.sh (Debian's 3.0) over the HTTPS of a `meshd`: findings of MEDIUM and above fail, unless KNOWN has a reason.

    testssl.py MESHD

It asks nobody else: no name is looked up and nothing is sent anywhere but to 127.0.0.1.
"""

import json
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

SEVERE = ["MEDIUM", "HIGH", "CRITICAL"]
FAILED = ["WARN", "FATAL"]

# id of a finding, and why it is none here.
KNOWN = {
    "cert_revocation": "an authority of one's own has no list of revoked certificates: the key is changed instead",
    "cipher_order": "all suites are AEAD with forward secrecy: a client knows best what its processor is fast at",
    "engine_problem": "of the OpenSSL that testssl uses, not of the server",
    "sessionresumption_ticket": "it gives `openssl s_client` no input, which then often ends before the tickets of TLS 1.3 have "
    "come, and the next one finds no session in the file; `resumes` looks instead",
}


def start(meshd, data):
    """A meshd on a free port: the process and its address."""
    command = [meshd, "--listen", "127.0.0.1:0", "--data", data]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        if found := re.search(r"https://(127\.0\.0\.1:\d+)", line):
            # What it says later has to go somewhere, or it waits for room.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return process, found[1]
    raise SystemExit("meshd does not start")


def resumes(address, authority, version):
    """Whether a session goes on where another one ended. Its tickets have come when there is an answer."""
    host, port = address.split(":")
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = context.maximum_version = version
    session = None
    for _ in range(2):
        with socket.create_connection((host, int(port)), timeout=30) as plain:
            with context.wrap_socket(plain, server_hostname=host, session=session) as channel:
                channel.sendall(f"GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
                assert channel.recv(1), "no answer"
                session, reused = channel.session, channel.session_reused
    return reused


def main(meshd):
    with tempfile.TemporaryDirectory() as folder:
        process, address = start(meshd, f"{folder}/data")
        try:
            for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
                assert resumes(address, f"{folder}/data/ca.pem", version), f"{version.name}: a session does not go on"
            report = Path(folder, "report.json")
            command = ["testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1",
                       "--add-ca", f"{folder}/data/ca.pem", "--jsonfile", str(report), f"https://{address}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=600)
            assert process.poll() is None, "meshd ended"
        finally:
            process.terminate()
            process.wait()
        if not report.exists():
            raise SystemExit(f"testssl: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        findings = json.loads(report.read_text())
    severe = [one for one in findings if one["severity"] in SEVERE + FAILED]
    bad = [one for one in severe if one["id"] not in KNOWN]
    for one in bad:
        print(f"testssl: {one['severity']} {one['id']}: {one['finding']}")
    protocols = {one["id"]: one["finding"] for one in findings if re.fullmatch("(SSL|TLS).*", one["id"])}
    # What is not found may not have been looked for.
    assert "offered" in protocols.get("TLS1_3", "") and "not" in protocols.get("TLS1_1", ""), protocols
    assert any(one["id"] == "heartbleed" and one["severity"] == "OK" for one in findings), "heartbleed was not tried"
    known = sorted({one["id"] for one in severe} & set(KNOWN))
    print(f"interop: testssl {len(findings)} findings, {len(bad)} at or above MEDIUM; known: {', '.join(known) or 'none'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
