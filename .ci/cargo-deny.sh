#!/usr/bin/env bash
# Runs cargo-deny with the arguments given. Uses the one on the PATH if there is one; else builds a pinned version once and
# keeps it outside the clone, so that a fresh clone does not build it again.
set -euo pipefail

VERSION=0.20.2

if command -v cargo-deny >/dev/null 2>&1; then exec cargo-deny "$@"; fi
root=${MILLRACE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/millrace}/cargo-deny-$VERSION
if [ ! -x "$root/bin/cargo-deny" ]; then
  printf 'lint: building cargo-deny %s into %s (a few minutes, once)\n' "$VERSION" "$root" >&2
  # Unoptimised: it runs for a second and is built more often than its speed is felt.
  CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR="$root/target" RUSTFLAGS='' \
    cargo install --quiet --debug --locked --version "$VERSION" --root "$root" cargo-deny
  rm -rf "$root/target"
fi
exec "$root/bin/cargo-deny" "$@"
