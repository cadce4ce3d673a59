#!/usr/bin/env bash
# Unpack Debian's Python for AArch64 in a folder, for qemu-user: nothing of this system changes.
# Usage: install_aarch64_python.sh FOLDER
set -euo pipefail
mkdir -p "$1"
cd "$1"
mkdir -p lists/partial packages/partial root
: >status  # as if no package were installed
options=(
    -q -y -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root
    -o "Dir::State::lists=$PWD/lists" -o "Dir::State::status=$PWD/status"
    -o "Dir::Cache=$PWD" -o "Dir::Cache::archives=$PWD/packages"
)
apt-get "${options[@]}" update
apt-get "${options[@]}" install --download-only --no-install-recommends python3 libgomp1 libstdc++6
for package in packages/*.deb; do
    dpkg -x "$package" root
done
