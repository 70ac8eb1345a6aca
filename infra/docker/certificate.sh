#!/bin/sh
# A certificate of one's own, for a first try: browsers warn of it once.   certificate.sh HOST [FOLDER]
# It prints the line that compose's .env needs, so that NGINX may read the key.
set -eu

host=$1
folder=${2:-"$(dirname "$0")/certificates"}

case $host in
  *[!0-9.]*) name="DNS:$host" ;;
  *) name="IP:$host" ;;
esac

mkdir -p "$folder"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=$host" \
  -addext "subjectAltName=$name" -keyout "$folder/privkey.pem" -out "$folder/fullchain.pem" 2>/dev/null
# The server in the container is another user than whoever runs this, and has this group: CERTIFICATES_GROUP.
chmod 640 "$folder/privkey.pem"
if [ "$(id -g)" != 0 ]; then echo "CERTIFICATES_GROUP=$(id -g)"; fi
