#!/bin/sh
# Installs what the interop tests need, on Debian 12 as root: system packages, and a Python environment in $1
# (default: target/interop-venv), and an OpenID Connect provider for Node beside it. Idempotent; prints nothing when all is well, the failing command's output otherwise.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
venv=${1:-${MESHPROOF_INTEROP_VENV:-$here/../../target/interop-venv}}

# xmlsec1 and openssl are the command lines under test; xmltooling-schemas and opensaml-schemas carry the W3C and OASIS
# schemas; postgresql and nats-server serve scale.sh; systemd checks the unit of meshd; testssl.sh its TLS; the rest builds samael's binding to
# libxmlsec1, for which bindgen needs libclang.
packages="xmlsec1 openssl libxml2-utils opensaml-schemas xmltooling-schemas
    gcc libc6-dev pkg-config libssl-dev libxmlsec1-dev libclang1-14 libclang-common-14-dev
    python3 python3-venv systemd
    postgresql nats-server
    litmus rclone
    testssl.sh bsdextrautils"
command -v chromium >/dev/null || packages="$packages chromium"
# Some systems have Node from elsewhere, which is as good.
command -v npm >/dev/null || packages="$packages nodejs npm"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
    "$@" >"$log" 2>&1 || {
        echo "install.sh: failed: $*" >&2
        cat "$log" >&2
        exit 1
    }
}

missing=
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    quietly apt-get update
    # shellcheck disable=SC2086 # a list of words
    quietly env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
fi

[ -x "$venv/bin/python" ] || quietly python3 -m venv "$venv"
if ! "$venv/bin/python" "$here/judges.py" --check "$here/requirements.txt" 2>/dev/null; then
    quietly "$venv/bin/pip" install --disable-pip-version-check -r "$here/requirements.txt"
fi
[ -e "$venv/axe/node_modules/axe-core/axe.min.js" ] ||
    quietly npm install --prefix "$venv/axe" --no-audit --no-fund --ignore-scripts axe-core@4.14.1

node=${MESHPROOF_INTEROP_NODE:-$here/../../target/interop-node}
mkdir -p "$node"
cmp -s "$here/oidc/package.json" "$node/package.json" && [ -d "$node/node_modules/oidc-provider" ] || {
    cp "$here/oidc/package.json" "$node/"
    (cd "$node" && quietly npm install --no-audit --no-fund)
}
"$venv/bin/python" -c 'import blake3, moto' 2>/dev/null ||
    quietly "$venv/bin/pip" install --disable-pip-version-check -r "$here/scale-requirements.txt"
