#!/usr/bin/env bash
# Install conda-forge's llvm-openmp for macOS in a folder: Homebrew's forces macOS 14 on every user.
# Usage: install_libomp.sh FOLDER
set -euo pipefail
case $(uname -m) in
arm64)
    package=osx-arm64/llvm-openmp-21.1.8-h4a912ad_0.conda
    sha256=56bcd20a0a44ddd143b6ce605700fdf876bcf5c509adc50bf27e76673407a070
    ;;
x86_64)  # the newest build whose SHA-256 a public lock file names
    package=osx-64/llvm-openmp-18.1.8-h15ab845_1.conda
    sha256=06a245abb6e6d8d6662a35ad162eacb39f431349edf7cea9b1ff73b2da213c58
    ;;
*)
    echo "no llvm-openmp is pinned for $(uname -m): add its build and SHA-256 here" >&2
    exit 1
    ;;
esac
mkdir -p "$1"
cd "$1"
curl -fsSL --retry 3 -o llvm-openmp.conda "https://conda.anaconda.org/conda-forge/$package"
echo "$sha256  llvm-openmp.conda" | shasum -a 256 -c -
unzip -oq llvm-openmp.conda
tar -xf pkg-llvm-openmp-*.tar.zst
install_name_tool -id "$PWD/lib/libomp.dylib" lib/libomp.dylib
codesign -f -s - lib/libomp.dylib
