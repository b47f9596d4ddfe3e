#!/usr/bin/env python3
"""What `cargo deny check licenses bans sources` asks, of the same deny.toml, where cargo-deny is not installed.

It has no advisories: their database is a repository of its own. Needs Python 3.11; exits 1 if something is not allowed.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def allowed(expression, licenses):
    """Whether an SPDX expression can be kept with these licences: OR and AND, AND binding closer, WITH part of a name."""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    at = 0

    def either():
        nonlocal at
        value = both()
        while at < len(words) and words[at] == "OR":
            at += 1
            value = both() or value
        return value

    def both():
        nonlocal at
        value = one()
        while at < len(words) and words[at] == "AND":
            at += 1
            value = one() and value
        return value

    def one():
        nonlocal at
        word = words[at]
        at += 1
        if word == "(":
            value = either()
            at += 1
            return value
        if at < len(words) and words[at] == "WITH":
            word = f"{word} WITH {words[at + 1]}"
            at += 2
        return word in licenses

    value = either()
    if at != len(words):
        raise ValueError(f"no licence expression: {expression}")
    return value


def problems(metadata, rules):
    """What is not allowed, one line each; and how many crates there are in several versions."""
    licenses = set(rules["licenses"]["allow"])
    members = set(metadata["workspace_members"])
    versions = {}
    for package in metadata["packages"]:
        name = f"{package['name']} {package['version']}"
        versions.setdefault(package["name"], set()).add(package["version"])
        source = package["source"]
        if source is None and package["id"] not in members:
            yield f"{name}: from a path outside of the workspace"
        elif source not in (None, REGISTRY):
            yield f"{name}: from {source}"
        licence = package["license"]
        if not licence or not allowed(licence, licenses):
            yield f"{name}: licence {licence}"
        if package["id"] in members:
            for dependency in package["dependencies"]:
                if dependency["req"] == "*" and not dependency.get("path"):
                    yield f"{name}: any version of {dependency['name']} will do"
    several = sum(1 for known in versions.values() if len(known) > 1)
    print(f"deny: {len(metadata['packages'])} packages, {several} crates in several versions")


def main():
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    command = ["cargo", "metadata", "--format-version", "1", "--all-features", "--locked"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    found = list(problems(json.loads(done.stdout), rules))
    for line in found:
        print(f"deny: {line}")
    # A check that can find nothing is none.
    assert not allowed("GPL-3.0-only", rules["licenses"]["allow"])
    assert allowed("(MIT OR GPL-3.0-only) AND Zlib", ["MIT", "Zlib"]) and not allowed("MIT AND GPL-2.0", ["MIT"])
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
