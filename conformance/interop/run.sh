#!/bin/sh
# Runs all interop tests and prints what they did; the last line counts. `--install` first installs what is missing.
# Fails if a test fails, if one is not run, or if clippy has something to say about what only builds here.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
export MESHPROOF_INTEROP_VENV="${MESHPROOF_INTEROP_VENV:-$CARGO_TARGET_DIR/interop-venv}"
export MESHPROOF_INTEROP_NODE="${MESHPROOF_INTEROP_NODE:-$CARGO_TARGET_DIR/interop-node}"

[ "${1:-}" != --install ] || "$here/install.sh" "$MESHPROOF_INTEROP_VENV"

log=$(mktemp)
trap 'rm -f "$log" "$log.http"' EXIT
fail() {
    cat "$log"
    echo "interop: $1" >&2
    exit 1
}

cargo clippy -q -p meshproof-interop --all-targets --features xmlsec -- -D warnings >"$log" 2>&1 || fail "clippy"
# libxml2 writes every refusal to standard error: only the lines of the tests are of interest while all is well.
cargo test -p meshproof-interop --features xmlsec --no-fail-fast -- --include-ignored --nocapture >"$log" 2>&1 ||
    fail "tests failed"
cp "$here/oidc/provider.mjs" "$MESHPROOF_INTEROP_NODE/" # beside its modules
cargo test -p meshproof-cloud -p meshproof --features meshproof-cloud/full --test oidc -- --include-ignored --nocapture >>"$log" 2>&1 ||
    fail "tests with OpenID Connect providers failed"

cargo build -q -p meshproof-cloud -p meshproof --features meshproof-cloud/full >"$log.http" 2>&1 &&
    "$MESHPROOF_INTEROP_VENV/bin/python" "$here/schemathesis_run.py" "$CARGO_TARGET_DIR/debug/meshd" 77 >"$log.http" 2>&1 ||
    { cat "$log.http"; fail "schemathesis"; }
grep -E '^(interop: |  [0-9]+ generated)' "$log.http"

printf 'interop: %s, %s\n' "$(xmlsec1 --version)" "$(openssl version)"
grep '^interop: ' "$log"
# `test result: ok. 2 passed; 0 failed; 0 ignored; ...`, one line a file
awk '/^test result: / { passed += $4; failed += $6; skipped += $8 }
    END {
        printf "interop: %d tests passed, %d failed, %d not run\n", passed, failed, skipped
        exit !(passed > 0 && failed == 0 && skipped == 0)
    }' "$log"
