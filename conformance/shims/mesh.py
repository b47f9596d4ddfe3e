#!/usr/bin/env python3
"""Drives the device agent `mesh` for `meshproof run --client`: the op `client` of README.md as calls of its command line.

usage: mesh.py [the program and its first arguments]      default: mesh

It is also a pattern for other clients: what a person would type stands in `command`.
"""

import json
import os
import subprocess
import sys

MESH = sys.argv[1:] or ["mesh"]


def command(request):
    """The arguments, and what goes into the environment."""
    home = request["home"]
    match request["do"]:
        case "login":
            ca = os.path.join(home, "given-ca.pem")
            with open(ca, "w", encoding="utf-8") as file:
                file.write(request["ca"])
            arguments = ["login", "--cloud", request["cloud"], "--ca", ca, "--user", request["user"]]
            return arguments, {"MESH_PASSWORD": request["password"]}
        case "claim":
            return ["device", "add", request["name"], "--bits", "2048"], {}
        case "join":
            return ["folder", "add", request["path"], "--join", request["folder"]], {}
        case "sync":
            return ["sync"], {}
    raise KeyError(f"do: {request['do']}")


def client(request):
    arguments, more = command(request)
    done = subprocess.run(
        [*MESH, "--home", request["home"], *arguments],
        env={**os.environ, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=35,
        check=False,
    )
    said = (done.stderr or done.stdout).strip()
    return {"outcome": "accept" if done.returncode == 0 else "reject", "detail": said[-1000:]}


def hello():
    version = subprocess.run([*MESH, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    output = {"protocol": 1, "implementation": version, "ops": ["hello", "client"]}
    return {"outcome": "accept", "output": output}


def answer(line):
    try:
        request = json.loads(line)
        match request.get("op"):
            case "hello":
                return hello()
            case "client":
                return client(request)
        return {"outcome": "unsupported"}
    except Exception as error:  # whatever it is, the kit is to hear of it
        return {"outcome": "error", "detail": f"{type(error).__name__}: {error}"}


for line in sys.stdin:
    print(json.dumps(answer(line)), flush=True)
