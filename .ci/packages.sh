#!/usr/bin/env bash
# Installs the Debian packages that building and the demo want, and only those that are missing: a C compiler, OpenSSL's
# headers and pkg-config for librdkafka, and a PostgreSQL server for the tests. With the word `build` the server is left out.
# Works as root, or with a sudo that asks no password. Takes milliseconds when nothing is missing.
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }

has_postgres() {
  local dir
  for dir in $(pg_config --bindir 2>/dev/null || true) /usr/lib/postgresql/*/bin; do
    [ -x "$dir/initdb" ] && return 0
  done
  command -v initdb >/dev/null 2>&1
}

want=()
{ command -v cc && command -v c++ && command -v make; } >/dev/null 2>&1 || want+=(build-essential)
command -v pkg-config >/dev/null 2>&1 || want+=(pkg-config)
pkg-config --exists openssl 2>/dev/null || want+=(libssl-dev)
[ "${1:-}" = build ] || has_postgres || want+=(postgresql)
# Not a package here: the version matters, so rustup is the way and the choice stays with the user.
command -v cargo >/dev/null 2>&1 || { say "cargo is missing: install Rust (rustup, version 1.95 or newer), then run this again"; exit 1; }

[ ${#want[@]} -gt 0 ] || exit 0

root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! { command -v sudo && sudo -n true; } >/dev/null 2>&1; then
    say "missing packages: ${want[*]}"
    say "neither root nor a sudo without password here; install them yourself: sudo apt-get install ${want[*]}"
    exit 1
  fi
  root=(sudo -n)
fi
if ! command -v apt-get >/dev/null 2>&1; then
  say "this system has no apt-get; install by its own means what these Debian packages hold: ${want[*]}"
  exit 1
fi

say "installing ${want[*]}"
# Debian's package starts a server of its own unless told otherwise; the demo and the tests want private ones only.
if [[ " ${want[*]} " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
  "${root[@]}" mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' | "${root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
fi
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${want[@]}" >/dev/null
