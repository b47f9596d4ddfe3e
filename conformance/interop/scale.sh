#!/bin/sh
# Several meshd on one PostgreSQL, S3 and NATS: see scale.py. `--install` first installs what is missing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
venv="${MESHPROOF_INTEROP_VENV:-$CARGO_TARGET_DIR/interop-venv}"

[ "${1:-}" != --install ] || "$here/install.sh" "$venv"

features=meshproof-cloud/full
cargo build -q -p meshproof-cloud -p meshproof --features "$features"
tests=$(cargo test -p meshproof-cloud -p meshproof --features "$features" --lib --no-run --message-format=json |
    grep '"name":"meshproof_cloud"' | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
exec "$venv/bin/python" "$here/scale.py" \
    "$CARGO_TARGET_DIR/debug/meshd" "$CARGO_TARGET_DIR/debug/meshproof" "$tests"
