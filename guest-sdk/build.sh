#!/bin/bash
# build.sh [CRATE...]: builds guest crates of this workspace into components and puts them into transforms/prebuilt.
#
# Without arguments: every module under transforms/. Uses the rustup toolchain where it has the wasm32-unknown-unknown target
# (`rustup target add wasm32-unknown-unknown`), else the private one of toolchain.sh, installed into .cache/guest-toolchain.
# MILLRACE_GUEST_RUSTC=/path/to/rustc overrides both. MILLRACE_GUEST_OUT=DIR puts the components of named crates elsewhere.
# `build.sh --sources` only prints the digest of everything the components are built from.
set -euo pipefail

target=wasm32-unknown-unknown
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

say() { echo "guests: $*" >&2; }

# Digest over what decides a component's bytes, paths included; Cargo.lock is left out, since it moves with every host crate.
sources() {
  find wit/v1.0 guest-sdk/rust/src guest-sdk/rust/build.rs guest-sdk/rust/Cargo.toml transforms/*/src transforms/*/Cargo.toml \
    transforms/*/config.schema.json -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
}
if [ "${1-}" = --sources ]; then sources; exit 0; fi

rustc=${MILLRACE_GUEST_RUSTC-}
if [ -z "$rustc" ]; then
  if [ -n "$(ls "$(rustc --print target-libdir --target $target 2>/dev/null)"/libcore-*.rlib 2>/dev/null)" ]; then
    rustc=$(command -v rustc)
  else
    rustc=$root/.cache/guest-toolchain/rustc
    # Returns at once when it is there.
    guest-sdk/toolchain.sh "$root/.cache/guest-toolchain"
  fi
fi
say "compiler: $("$rustc" -V)"

out=transforms/prebuilt
[ $# -eq 0 ] || out=${MILLRACE_GUEST_OUT:-$out}
crates=("$@")
if [ ${#crates[@]} -eq 0 ]; then
  for manifest in transforms/*/Cargo.toml; do crates+=("$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest" | head -1)"); done
fi
packages=()
for crate in "${crates[@]}"; do packages+=(-p "$crate"); done

before=$(sources)
# rustup's compiler has the linker beside rust-lld, which rustc does not search by itself for this target.
linkers=$("$rustc" --print sysroot)/lib/rustlib/$("$rustc" -vV | sed -n 's/^host: //p')/bin
# Paths of this machine stay out of the components (panic messages name files).
flags="-Ctarget-feature=+simd128"$'\x1f'"--remap-path-prefix=$root="
cargo fetch --locked --target $target
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do flags+=$'\x1f'"--remap-path-prefix=$registry=crates"; done
# A target folder of its own, since two compilers cannot share one.
RUSTC=$rustc RUSTC_WRAPPER='' CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$root/target/guests PATH=$linkers:$PATH \
  CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-component-ld \
  CARGO_ENCODED_RUSTFLAGS="$flags" \
  cargo build --locked --ignore-rust-version --profile guest --target $target "${packages[@]}"

mkdir -p "$out"
for crate in "${crates[@]}"; do
  name=${crate#millrace-}
  cp "target/guests/$target/guest/${crate//-/_}.wasm" "$out/$name.wasm"
  say "$out/$name.wasm $(stat -c %s "$out/$name.wasm") bytes"
done

# The digest vouches for all components, so it is written only when all were built from what it was taken of.
if [ $# -eq 0 ]; then
  [ "$before" = "$(sources)" ] || { say "sources changed while building: run again"; exit 1; }
  printf '%s\n' "$before" >transforms/prebuilt/SOURCES.sha256
  # The components the host's tests and benches run are made of the same contract and kit.
  MILLRACE_GUEST_RUSTC=$rustc gateway/crates/host/tests/guests/build.sh
fi
