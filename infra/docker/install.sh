#!/bin/sh
# What the image installs, step by step; the tests run the same steps into a folder of their own.
#
#   install.sh packages PREFIX    a virtual environment with every package at its pinned version and hash,
#                                 but for those named in WITHOUT
#   install.sh parley PREFIX      Parley itself, as a wheel, fetching nothing
#   install.sh cuda PREFIX        CUDA's libraries for CTranslate2, gathered in PREFIX/cuda
set -eu

step=$1
prefix=$2
cd "$(dirname "$0")/../.."

# The embedded reply model has no wheel for ARM: there, replies come from Ollama or another service.
case $(uname -m) in
  aarch64 | arm64) without=${WITHOUT:-cyllama} ;;
  *) without=${WITHOUT:-} ;;
esac

pip() { "$prefix/bin/python" -m pip --disable-pip-version-check "$@"; }

case $step in
  packages)
    test -x "$prefix/bin/python" || python3 -m venv "$prefix"
    pinned=$(mktemp)
    awk -v without="$without" -f infra/docker/without.awk requirements/serve.txt > "$pinned"
    pip install --require-hashes --no-deps --only-binary :all: -r "$pinned"
    rm "$pinned"
    ;;
  parley)
    pip install --no-deps --no-build-isolation --no-index .
    "$prefix/bin/parley" --version
    ;;
  cuda)
    pip install --require-hashes --no-deps --only-binary :all: -r infra/docker/cuda.txt
    mkdir -p "$prefix/cuda"
    find "$prefix/lib" -path '*/nvidia/*/lib/*.so*' -exec ln -sf {} "$prefix/cuda/" ';'
    ;;
  *)
    echo "install.sh: there is no step $step" >&2
    exit 2
    ;;
esac
