#!/usr/bin/env bash
# Installs the servers that the tests start for real. Redis comes with the packages; PostgreSQL is Debian's.
set -euo pipefail
command -v postgres >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing postgresql for the tests"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
else
  echo "PostgreSQL is not installed; its tests are skipped. Install it with: sudo apt-get install postgresql"
fi
