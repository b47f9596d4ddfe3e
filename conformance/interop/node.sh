#!/bin/sh
# The shim of conformance/shims/node/ against the vectors: Node, its own library and nothing else.
set -eu

cd "$(dirname "$0")/../.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
meshproof="$CARGO_TARGET_DIR/debug/meshproof"
shim="node conformance/shims/node/shim.mjs"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

cargo build -q -p meshproof
"$meshproof" shim check "$shim" >"$log" || { cat "$log"; exit 1; }
"$meshproof" run --shim "$shim" --report "$CARGO_TARGET_DIR/node-report" >"$log" || { cat "$log"; exit 1; }
# What it does not do is said by part; of what it does nothing may be left out.
passed=$(awk '$1 == "record" || $1 == "relay" { if ($2 != $3) exit 1; n += $3 } $1 == "ticket" { n += $3 } END { print n }' "$log")
[ "${passed:-0}" -gt 500 ] || { cat "$log"; exit 1; }
grep 'CONFORMANT' "$log" | sed 's/^/node: vectors: /'
