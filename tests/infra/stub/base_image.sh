#!/bin/sh
# A stand-in for the image that Dockerfile begins with, where no image registry can be reached:
#
#   base_image.sh podman          Debian's mirror, and the Python 3.11 this machine runs, at /usr/local
#
# Needs mmdebstrap, rsync and an engine with `import`. What differs from the real one: Python's patch version.
set -eu

engine=$1
here=$(dirname "$0")
tag=$(sed -n 's/^ARG PYTHON=//p' "$here/../../../infra/docker/Dockerfile")
python=$(python3 -c 'import sys; print(sys.base_prefix)')
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# What python:*-slim installs beside Debian's base.
mmdebstrap --quiet --variant=minbase bookworm "$root" --include=ca-certificates,netbase,tzdata,libbz2-1.0,libdb5.3,\
libexpat1,libffi8,libgdbm6,liblzma5,libncursesw6,libreadline8,libsqlite3-0,libssl3,libuuid1,zlib1g
rsync -a --exclude site-packages --exclude test --exclude tkinter --exclude __pycache__ --exclude '*.a' "$python/lib/" "$root/usr/local/lib/"
mkdir -p "$root/usr/local/lib/python3.11/site-packages"
cp "$python/bin/python3.11" "$root/usr/local/bin/"
ln -sf python3.11 "$root/usr/local/bin/python3"
ln -sf python3.11 "$root/usr/local/bin/python"
chroot "$root" ldconfig
chroot "$root" /usr/local/bin/python3 -m ensurepip
tar -C "$root" -c . | "$engine" import --change 'CMD ["python3"]' \
  --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' - "docker.io/library/python:$tag"
