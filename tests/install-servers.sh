#!/usr/bin/env bash
# Installs the servers that the tests start for real. Redis comes with the packages; PostgreSQL is Debian's.
set -euo pipefail
command -v postgres >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "PostgreSQL is not installed; its tests are skipped. Install it with: sudo apt-get install postgresql"
  exit 0
fi
echo "installing postgresql for the tests"
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql; } >/dev/null 2>&1 ||
  { echo "PostgreSQL could not be installed (is there a network?); try: apt-get update && apt-get install postgresql"; exit 1; }
