#!/bin/bash
# build.sh: builds the test guests into tests/components and writes down the digest of their sources. Wants the compiler that
# guest-sdk/build.sh finds or installs: a rustc with the wasm32-unknown-unknown target, named by MILLRACE_GUEST_RUSTC, rustup's own, or
# the one in .cache/guest-toolchain. `build.sh --sources` only prints the digest.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../../../../.. && pwd)

# What decides the components' bytes. Lock files are left out: they move with every dependency of a dependency.
sources() {
  (cd "$root" && find wit/v1.0 guest-sdk/rust/src guest-sdk/rust/build.rs guest-sdk/rust/Cargo.toml \
    gateway/crates/host/tests/guests/*/src gateway/crates/host/tests/guests/*/Cargo.toml -type f -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
}
if [ "${1-}" = --sources ]; then sources; exit 0; fi

target=wasm32-unknown-unknown
rustc=${MILLRACE_GUEST_RUSTC-}
if [ -z "$rustc" ]; then
  rustc=$root/.cache/guest-toolchain/rustc
  if [ -n "$(ls "$(rustc --print target-libdir --target $target 2>/dev/null)"/libcore-*.rlib 2>/dev/null)" ]; then rustc=$(command -v rustc); fi
fi
linkers=$("$rustc" --print sysroot)/lib/rustlib/$("$rustc" -vV | sed -n 's/^host: //p')/bin
before=$(sources)
flags="-Ctarget-feature=+simd128"$'\x1f'"--remap-path-prefix=$root="
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do flags+=$'\x1f'"--remap-path-prefix=$registry=crates"; done
for guest in probe costs; do
  RUSTC=$rustc RUSTC_WRAPPER='' CARGO_INCREMENTAL=0 PATH=$linkers:$PATH CARGO_ENCODED_RUSTFLAGS=$flags \
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-component-ld \
    cargo build --manifest-path "$guest/Cargo.toml" --target $target --release --ignore-rust-version --target-dir "$root/target/test-guests"
  cp "$root/target/test-guests/$target/release/$guest.wasm" "../components/$guest.wasm"
  ls -l "../components/$guest.wasm"
done
[ "$before" = "$(sources)" ] || { echo "sources changed while building: run again" >&2; exit 1; }
printf '%s\n' "$before" >../components/SOURCES.sha256
