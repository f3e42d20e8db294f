#!/usr/bin/env bash
# fetch-busybox.sh ARCHITECTURE FILE: Debian's static busybox of another architecture, without root and without touching
# the package lists of this machine.
set -euo pipefail
architecture=$1 target=$2
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/packages" "$(dirname "$target")"
touch "$state/status"
apt=(apt-get -qq -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture" -o APT::Sandbox::User=root
    -o "Dir::State=$state" -o "Dir::State::lists=$state/lists" -o "Dir::State::status=$state/status"
    -o "Dir::Cache=$state/cache")
"${apt[@]}" update
(cd "$state/packages" && "${apt[@]}" download busybox-static)
dpkg-deb -x "$state"/packages/*.deb "$state/unpacked"
cp "$state/unpacked/bin/busybox" "$target.partial"
mv "$target.partial" "$target"
