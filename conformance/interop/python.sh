#!/bin/sh
# The independent peer of conformance/shims/python/ against everything: the vectors, itself, the kit in both roles, and the
# reference's cloud and client, with which it syncs as both. Needs what `install.sh` installs.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
python="${MESHPROOF_INTEROP_VENV:-$CARGO_TARGET_DIR/interop-venv}/bin/python"
peer=conformance/shims/python
bin="$CARGO_TARGET_DIR/debug"
log=$(mktemp)
folder=$(mktemp -d)
listener=
trap 'rm -rf "$log" "$log.peer" "$folder"; [ -z "$listener" ] || kill "$listener"' EXIT
run() {
    name=$1
    shift
    "$@" >"$log" 2>&1 || {
        cat "$log"
        echo "python: $name failed" >&2
        exit 1
    }
}

cargo build -q -p meshproof -p meshproof-cloud -p meshproof-client

free=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cd "$peer"
MESHD="$bin/meshd" MESH="$bin/mesh" \
    MESHD_MORE="--services identity,account,graph,storage,desktop,relay --relay-listen 127.0.0.1:$free" \
    run "its own tests" "$python" -W ignore -m unittest -v
# A skipped test is no passed one.
grep -q 'skipped' "$log" && { cat "$log"; exit 1; }
grep -E '^(Ran|OK)' "$log" | tr '\n' ' ' | sed 's/^/python: its own tests: /; s/ $/\n/'
cd - >/dev/null

run "shim check" "$bin/meshproof" shim check "$python $peer/shim.py"
run "run --shim" "$bin/meshproof" run --shim "$python $peer/shim.py" --report "$CARGO_TARGET_DIR/python-report"
grep 'CONFORMANT' "$log" | sed 's/^/python: vectors and initiator: /'

# The signing key of the kit's fixture device (conformance/shims/python/README.md).
seed=$(cd "$peer" && "$python" -c 'from blake3 import blake3
print(blake3(b"meshproof signing key" + bytes.fromhex("0d00000000000000000000000000000b")).hex())')
: >"$log.peer"
(cd "$peer" && exec "$python" -W ignore peer.py listen --key ../../../vectors/keys/device-y.pem \
    --device 0d00000000000000000000000000000b --folder "f01de400000000000000000000000001=$folder/files" \
    --issuer https://account.mesh.example/=../../../vectors/keys/issuer-a.pem --signing-seed "$seed") >"$log.peer" 2>&1 &
listener=$!
until address=$(sed -n 's/^listening on //p' "$log.peer") && [ -n "$address" ]; do
    kill -0 "$listener" || { cat "$log.peer"; exit 1; }
    sleep 0.1
done
run "run --peer" "$bin/meshproof" run --peer "$address" --folder "$folder/files" \
    --report "$CARGO_TARGET_DIR/python-report"
grep 'CONFORMANT' "$log" | sed 's/^/python: responder: /'

run "run --client" "$bin/meshproof" run --client "$python conformance/shims/mesh.py $bin/mesh" \
    --report "$CARGO_TARGET_DIR/client-report"
grep 'CONFORMANT' "$log" | sed 's/^/python: mesh as a client: /'
