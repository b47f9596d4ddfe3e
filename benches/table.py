#!/usr/bin/env python3
"""Reads what criterion measured and prints one table in Markdown; with a path, also draws it.

    cargo bench -p meshproof-benches --bench record --bench handshake --bench ticket --bench relay
    benches/table.py [--target DIR] [--svg FILE]

Rates are those of the fastest of criterion's samples: what comes between makes others slower and none faster. How much
the medians were slower is said above the table. `of the bound` says which part of the speed of the bare functions inside is
left; for a handshake those are all operations with private and public keys, and in brackets the two RSA private ones alone.
`of the peer` compares with the fastest of whoever else does the same work; above 1 we are the faster. Only ratios of one
run mean anything.
"""

import argparse
import html
import json
import os
import pathlib
import platform
import sys
import time

PARTS = ["record", "handshake", "ticket", "relay"]

# What work consists of: the same provider's figure for this is its bound.
BOUNDS = {
    "seal": "aes, then hmac",
    "open": "aes, then hmac",
    "mutual 0x0101": "public-key operations of 0x0101",
    "mutual 0x0201": "public-key operations of 0x0201",
    "mutual 0x0301": "public-key operations of 0x0301",
    "verify a ticket": "rsa-2048 verify",
    "seal a pass": "hmac-sha256 of 64 bytes",
    "join and leave": "hmac-sha256 of 64 bytes",
}
# A part of that, which says how much the rest is.
PARTS_OF_BOUNDS = {work: "two rsa-2048 decryptions" for work in BOUNDS if work.startswith("mutual")}
# Work of somebody else's protocol that does the same for its user.
PEERS = {
    "mutual 0x0201": "mutual tls 1.3, x25519",
    "mutual 0x0301": "mutual tls 1.3, x25519 and ml-kem-768",
}


class Row:
    """One benchmark: `work` by `who`, of records of `size` bytes if it has sizes; `rate` in bytes or runs a second."""

    def __init__(self, folder):
        about = json.loads((folder / "benchmark.json").read_text())
        self.part = about["group_id"]
        self.work, _, self.who = about["function_id"].rpartition(" by ")
        self.size = int(about["value_str"]) if about["value_str"] else None
        estimates = json.loads((folder / "estimates.json").read_text())
        sample = json.loads((folder / "sample.json").read_text())
        nanoseconds = min(time / runs for time, runs in zip(sample["times"], sample["iters"]))
        content = (about["throughput"] or {}).get("Bytes")
        self.counts_bytes = content is not None
        self.rate = (content or 1) / nanoseconds * 1e9
        # How much slower the median was: what else the machine did.
        self.disturbed = estimates["median"]["point_estimate"] / nanoseconds

    def shown_rate(self):
        return f"{self.rate / 1e6:,.0f} MB/s" if self.counts_bytes else f"{self.rate:,.0f}/s"

    def shown_name(self):
        size = f", {self.size:,} B" if self.size else ""
        return f"{self.work}{size}"


def read(target):
    """All rows below `target`/criterion, in the order of the parts, then of size, then of speed."""
    folders = sorted(path.parent for path in (target / "criterion").glob("**/new/estimates.json"))
    rows = [Row(folder) for folder in folders]
    rows = [row for row in rows if row.part in PARTS and row.work]
    best = {}
    for row in rows:
        at = (row.part, row.work)
        best[at] = max(best.get(at, 0), row.rate)
    rows.sort(key=lambda row: (PARTS.index(row.part), row.size or 0, -best[row.part, row.work], row.work, -row.rate))
    return rows


def ratios(row, rows):
    """Against the bound, against a part of it, and against the fastest peer with its name; None where there is none."""
    beside = [other for other in rows if other.part == row.part and other.size == row.size]
    own = {other.work: other.rate for other in beside if other.who == row.who}
    bound, part = (own.get(bounds.get(row.work)) for bounds in (BOUNDS, PARTS_OF_BOUNDS))
    peers = [other for other in beside if other.work in (row.work, PEERS.get(row.work)) and other is not row]
    peer = max(peers, key=lambda other: other.rate, default=None)
    return (
        row.rate / bound if bound else None,
        row.rate / part if part else None,
        (row.rate / peer.rate, peer.who) if peer else None,
    )


def machine():
    """The machine in one line, with what else it does at this moment."""
    model = platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        for line in open("/proc/cpuinfo", encoding="utf-8"):
            if line.startswith("model name"):
                model = f"{line.partition(':')[2].strip()}, {model}"
                break
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    date = time.strftime("%Y-%m-%d", time.gmtime())
    return f"{model}, {os.cpu_count()} processors, {platform.system()}; load {load}; {date}"


def table(rows):
    lines = [["work", "by", "rate", "of the bound", "of the peer"]]
    for row in rows:
        bound, part, peer = ratios(row, rows)
        lines.append([
            f"{row.part}: {row.shown_name()}",
            row.who,
            row.shown_rate(),
            (f"{bound:.2f}" if bound else "") + (f" ({part:.2f})" if part else ""),
            f"{peer[0]:.2f} {peer[1]}" if peer else "",
        ])
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    out = []
    for number, line in enumerate(lines):
        cells = [cell.ljust(width) if at < 2 else cell.rjust(width) for at, (cell, width) in enumerate(zip(line, widths))]
        out.append("| " + " | ".join(cells) + " |")
        if number == 0:
            rule = ["-" * (width + 2) if at < 2 else "-" * (width + 1) + ":" for at, width in enumerate(widths)]
            out.append("|" + "|".join(rule) + "|")
    return "\n".join(out)


STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .small { font-size: 12px; fill: #59636e }
  .aws-lc { fill: #2f6fde } .rustcrypto { fill: #b3632b }
  .one { stroke: #59636e; stroke-dasharray: 3 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .one { stroke: #9198a1 }
    .aws-lc { fill: #6ea8ff } .rustcrypto { fill: #e59a62 }
  }"""


def svg(rows, about):
    """A bar for everything that has a bound: its speed as a part of that, with a line where the bound is."""
    bars = [(row, ratios(row, rows)[0]) for row in rows]
    bars = [(row, ratio) for row, ratio in bars if ratio is not None]
    left, top, line, one, longest = 250, 80, 20, 330.0, 1.6
    height = top + line * len(bars) + 12
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 {height}" role="img" aria-label="Speed as a part of the bound">',
        f"<style>{STYLE}\n</style>",
        '<text class="title" x="12" y="24">Speed as a part of that of the bare functions inside</text>',
        f'<text class="small" x="12" y="44">{html.escape(about)}</text>',
        '<rect class="aws-lc" x="12" y="56" width="11" height="11"/><text class="small" x="28" y="66">aws-lc</text>',
        '<rect class="rustcrypto" x="82" y="56" width="11" height="11"/><text class="small" x="98" y="66">rustcrypto</text>',
        f'<text class="small" x="{left + one - 28:.0f}" y="66">bound</text>',
        f'<line class="one" x1="{left + one:.0f}" x2="{left + one:.0f}" y1="{top - 6}" y2="{height - 8}"/>',
    ]
    for number, (row, ratio) in enumerate(bars):
        y, width = top + number * line, min(ratio, longest) * one
        name = html.escape(f"{row.part}: {row.shown_name()}")
        out.append(f'<text x="12" y="{y + 12}">{name}</text>')
        out.append(f'<rect class="{row.who}" x="{left}" y="{y + 2}" width="{width:.1f}" height="12" rx="2"/>')
        out.append(f'<text class="small" x="{left + max(width, one) + 8:.1f}" y="{y + 12}">{ratio:.2f}, {row.shown_rate()}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=pathlib.Path, default=here.parent / "target", help="cargo's target directory")
    parser.add_argument("--svg", type=pathlib.Path, help="where to draw it")
    options = parser.parse_args()
    rows = read(options.target)
    if not rows:
        sys.exit(f"{options.target / 'criterion'} has no figures: run `cargo bench -p meshproof-benches` first")
    about = machine()
    disturbed = sorted(row.disturbed for row in rows)[len(rows) // 2]
    print(about, f"The median sample took {disturbed:.2f} times the fastest.", table(rows), sep="\n\n")
    if options.svg:
        options.svg.write_text(svg(rows, about), encoding="utf-8")


if __name__ == "__main__":
    main()
