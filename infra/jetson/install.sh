#!/bin/sh
# Make this Jetson a voice box, from a bundle and without a network:   sudo ./install.sh [HOST]
#
# HOST is the name or address people will type; without one it is this machine's name.
# PARLEY_HOME says where everything goes (/opt/parley). Running it again updates; recordings stay.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
home=${PARLEY_HOME:-/opt/parley}
host=${1:-$(hostname)}

say() { echo "parley: $*"; }
fail() { echo "parley: $*" >&2; exit 1; }

say "checking the bundle ..."
(cd "$here" && sha256sum --check --strict --quiet SHA256SUMS) || fail "the bundle is damaged: copy it again"
(cd "$here" && find . ! -type d ! -path ./SHA256SUMS | sort | while IFS= read -r file; do
  sed 's/^[0-9a-f]*  //' SHA256SUMS | grep -qxF -- "$file" || { echo "parley: $file is not of this bundle" >&2; exit 1; }
done) || fail "the bundle has files it was not made with"
[ "${1:-}" = --check ] && { say "the bundle is good"; exit 0; }

[ "$(id -u)" = 0 ] || [ -n "${PARLEY_HOME:-}" ] || fail "run it as root: sudo ./install.sh"
command -v docker >/dev/null || fail "docker is missing: it comes with JetPack (apt install nvidia-jetpack)"
docker compose version >/dev/null 2>&1 || fail "docker compose is missing: apt install docker-compose-v2"

say "loading images ..."
while read -r image file; do
  if [ -n "$file" ]; then docker load --quiet --input "$here/$file"; fi
  docker image inspect "$image" >/dev/null 2>&1 || fail "the image $image is neither in the bundle nor on this machine"
done < "$here/images.txt"

say "copying to $home ..."
mkdir -p "$home/models" "$home/own" "$home/ollama" "$home/nginx"
cp -R "$here/models/." "$home/models/"
if [ -d "$here/ollama" ]; then cp -R "$here/ollama/." "$home/ollama/"; fi
cp "$here/nginx/parley.conf.template" "$home/nginx/"
cp "$here/compose.yaml" "$home/compose.yaml"
# The image's user: it reads the models and writes recordings.
chown -R 10001:10001 "$home/own"
chmod -R a+rX "$home/models"
[ -e "$home/certificates/fullchain.pem" ] || sh "$here/certificate.sh" "$host" "$home/certificates"
[ -e "$home/.env" ] || printf 'PARLEY_HOME=%s\nSERVER_NAME=%s\n' "$home" "$host" > "$home/.env"
chmod 600 "$home/.env"
grep -q '^PARLEY_ADMIN_KEY=' "$home/.env" \
  || printf 'PARLEY_ADMIN_KEY=%s\n' "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >> "$home/.env"

# Home Assistant finds the box by it, unless its clients are refused: their tenant is empty.
avahi=${AVAHI_SERVICES:-/etc/avahi/services}
if [ -d "$avahi" ]; then
  if grep -q '^PARLEY_WYOMING_TENANT=$' "$home/.env"; then
    rm -f "$avahi/parley-wyoming.service"
  else
    cp "$here/avahi-wyoming.service" "$avahi/parley-wyoming.service"
  fi
fi

if [ -d /run/systemd/system ] && [ "$home" = /opt/parley ]; then
  cp "$here/parley.service" /etc/systemd/system/parley.service
  systemctl daemon-reload
  systemctl enable --now parley.service
else
  docker compose --file "$home/compose.yaml" up --detach --wait --no-build --pull never
fi
say "talk to it at https://$host/ with the key PARLEY_ADMIN_KEY in $home/.env"
