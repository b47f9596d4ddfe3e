#!/bin/sh
# Makes Debian packages of meshproof, mesh and meshd below target/deb, and checks them: unpacked, or with `--install` (as root)
# installed by dpkg, each program has to run and meshd has to accept the configuration that it comes with.
# PROFILE=dev takes a debug build.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
profile=${PROFILE:-release}
target=${CARGO_TARGET_DIR:-$PWD/target}
case $profile in dev) bin=$target/debug ;; *) bin=$target/$profile ;; esac
out=$target/deb
architecture=$(dpkg --print-architecture)
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)

cargo build -q --profile "$profile" -p meshproof -p meshproof-cloud -p meshproof-client
rm -rf "$out"
mkdir -p "$out"

# The oldest C library with all that a program asks for.
libc() {
    objdump -T "$1" | sed -n 's/.*GLIBC_\([0-9.]*\).*/\1/p' | sort -uV | tail -n 1
}

# begin PACKAGE PROGRAM: a tree with the program, stripped, and the licence.
begin() {
    tree=$out/$1
    mkdir -p "$tree/DEBIAN" "$tree/usr/bin" "$tree/usr/share/doc/$1"
    strip -o "$tree/usr/bin/$2" "$bin/$2"
    chmod 755 "$tree/usr/bin/$2"
    cp LICENSE "$tree/usr/share/doc/$1/copyright"
    cp CHANGELOG.md "$tree/usr/share/doc/$1/NEWS"
    chmod 644 "$tree/usr/share/doc/$1"/*
}

# end PACKAGE PROGRAM DESCRIPTION: makes the package of the tree.
end() {
    cat >"$tree/DEBIAN/control" <<EOF
Package: $1
Version: $version
Architecture: $architecture
Maintainer: Meshproof contributors <nobody@localhost>
Installed-Size: $(du -sk "$tree" | cut -f1)
Depends: libc6 (>= $(libc "$tree/usr/bin/$2"))
Section: net
Priority: optional
Description: $3
EOF
    dpkg-deb --root-owner-group --build "$tree" "$out/${1}_${version}_$architecture.deb" >/dev/null
    rm -r "$tree"
}

begin meshproof meshproof
end meshproof meshproof "conformance tests for the personal device cloud protocol"

begin meshproof-client mesh
mkdir -p "$tree/usr/share/man/man1" "$tree/usr/share/bash-completion/completions" "$tree/usr/lib/systemd/user"
"$bin/mesh" man | gzip -9n >"$tree/usr/share/man/man1/mesh.1.gz"
"$bin/mesh" completions bash >"$tree/usr/share/bash-completion/completions/mesh"
sed 's:%h/.local/bin/:/usr/bin/:' reference/client/mesh.service >"$tree/usr/lib/systemd/user/mesh.service"
chmod 644 "$tree/usr/share/man/man1/mesh.1.gz" "$tree/usr/share/bash-completion/completions/mesh" "$tree/usr/lib/systemd/user/mesh.service"
end meshproof-client mesh "keeps folders the same on a person's devices"

begin meshproof-cloud meshd
mkdir -p "$tree/lib/systemd/system" "$tree/etc/meshd"
sed 's:/usr/local/bin/:/usr/bin/:' reference/cloud/dist/meshd.service >"$tree/lib/systemd/system/meshd.service"
"$bin/meshd" default-config >"$tree/etc/meshd/meshd.toml"
cp reference/cloud/OPERATIONS.md "$tree/usr/share/doc/meshproof-cloud/"
chmod 644 "$tree/lib/systemd/system/meshd.service" "$tree/etc/meshd/meshd.toml" "$tree"/usr/share/doc/meshproof-cloud/*
echo /etc/meshd/meshd.toml >"$tree/DEBIAN/conffiles"
end meshproof-cloud meshd "cloud services of a personal device cloud"

# Nothing is started or enabled by installing: `systemctl enable --now meshd` is the operator's decision.
packages="meshproof meshproof-client meshproof-cloud"
for package in $packages; do
    dpkg-deb --contents "$out/${package}_${version}_$architecture.deb" >"$out/$package.contents"
    # All belongs to root, and nothing can be written by others or runs as somebody else.
    if awk '$2 != "root/root" || ($1 !~ /^l/ && substr($1, 9, 1) == "w") || $1 ~ /[sS]/' "$out/$package.contents" | grep .; then
        echo "deb: modes of $package" >&2
        exit 1
    fi
done
if [ "${1:-}" = --install ]; then
    dpkg -i "$out"/*.deb >/dev/null
    root=
else
    root=$out/root
    for package in $packages; do dpkg-deb -x "$out/${package}_${version}_$architecture.deb" "$root"; done
fi
for program in meshproof mesh meshd; do
    said=$("$root/usr/bin/$program" --version)
    [ "$said" = "$program $version" ] || { echo "deb: $program says $said" >&2; exit 1; }
done
"$root/usr/bin/meshd" check-config "$root/etc/meshd/meshd.toml" >/dev/null
[ -n "$root" ] || dpkg -r $packages >/dev/null
echo "deb: $(ls "$out"/*.deb | wc -l) packages of $version for $architecture, all programs run"
