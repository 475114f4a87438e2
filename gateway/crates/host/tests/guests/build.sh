#!/bin/bash
# build.sh: builds the test guests into tests/components. Wants the compiler that guest-sdk/build.sh finds or installs:
# a rustc with the wasm32-unknown-unknown target, named by MILLRACE_GUEST_RUSTC or in .cache/guest-toolchain.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../../../../.. && pwd)
rustc=${MILLRACE_GUEST_RUSTC:-$root/.cache/guest-toolchain/rustc}
linkers=$("$rustc" --print sysroot)/lib/rustlib/$("$rustc" -vV | sed -n 's/^host: //p')/bin
flags="--remap-path-prefix=$root="
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do flags+=$'\x1f'"--remap-path-prefix=$registry=crates"; done
for guest in probe; do
  RUSTC=$rustc PATH=$linkers:$PATH CARGO_ENCODED_RUSTFLAGS=$flags CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-component-ld \
    cargo build --manifest-path "$guest/Cargo.toml" --target wasm32-unknown-unknown --release --ignore-rust-version \
    --target-dir "$root/target/test-guests"
  cp "$root/target/test-guests/wasm32-unknown-unknown/release/$guest.wasm" "../components/$guest.wasm"
  ls -l "../components/$guest.wasm"
done
