#!/bin/sh
# Live Desktop in Chromium with axe-core, and the network drive with litmus and rclone, against a `meshd` that is built
# here. Screenshots are left in target/pictures. install.sh has installed what it needs.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
target=${CARGO_TARGET_DIR:-$PWD/target}
venv=${MESHPROOF_INTEROP_VENV:-$target/interop-venv}

cargo build -q -p meshproof-cloud -p meshproof --features meshproof-cloud/full
meshd=$target/debug/meshd
"$venv/bin/python" "$here/drive.py" "$meshd"
RUST_LOG=warn "$venv/bin/python" "$here/desktop.py" "$meshd" "$venv/axe/node_modules/axe-core/axe.min.js" "$target/pictures"
