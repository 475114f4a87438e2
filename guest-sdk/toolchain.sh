#!/bin/bash
# toolchain.sh DEST: a private Rust toolchain for wasm32-unknown-unknown, for machines where `rustup target add` cannot run.
#
# Unpacks Debian's rustc-web packages (nothing is installed, no root needed), takes the linkers from the rustup toolchain
# already here, and builds the standard library once into DEST. Afterwards `RUSTC=DEST/rustc cargo build` makes components
# with a plain stable cargo. Takes about a minute and leaves 475 MB.
#
# MILLRACE_GUEST_PINNED=1 takes the pinned packages at once.
#
# core must be exactly the compiler's own: do not mix the rustup compiler with the library source of these packages.
set -euo pipefail

TARGET=wasm32-unknown-unknown
# The security suite replaces its rustc-web whenever it wants, so the newest is asked by name only. This one is in the frozen
# suite and stays; it is about 6 % slower in what it generates.
PINNED='1.85.0+dfsg3-1~deb12u3'

say() { echo "toolchain: $*" >&2; }
die() { say "$*"; exit 1; }

[ $# -eq 1 ] || die "usage: toolchain.sh DEST"
for tool in apt-get apt-cache dpkg-deb cargo rustc; do
  command -v "$tool" >/dev/null || die "$tool is needed and not here; with rustup and a network, use 'rustup target add $TARGET' instead"
done
dest=$(mkdir -p "$(dirname "$1")" && cd "$(dirname "$1")" && pwd)/$(basename "$1")
if [ -x "$dest/rustc" ] && [ -e "$dest/complete" ]; then say "$dest is complete: $(cat "$dest/complete")"; exit 0; fi

sysroot=$(rustc --print sysroot)
host=$(rustc -vV | sed -n 's/^host: //p')
host_bin=$sysroot/lib/rustlib/$host/bin
for linker in rust-lld wasm-component-ld; do
  [ -x "$host_bin/$linker" ] || die "$host_bin/$linker is missing: the compiler on the PATH must be rustup's, which ships the linkers"
done

if ! apt-cache show --no-all-versions rustc-web >/dev/null 2>&1; then
  [ "$(id -u)" = 0 ] || die "apt knows no package rustc-web; run 'apt-get update' as root (Debian 12 suites), then this again"
  say "apt knows no package rustc-web: running apt-get update"
  apt-get update -q >/dev/null
fi

# One attempt: fetch PACKAGES at VERSION ("" = newest) into work, build, and leave the finished tree in work/tc.
attempt() {
  local version=$1 work=$2 at dev std llvm package
  at=${version:+=$version}
  rm -rf "$work" && mkdir -p "$work/debs" "$work/tc" "$work/src"
  dev=libstd-rust-web-dev$at
  std=$(apt-cache show --no-all-versions "$dev" | sed -n 's/^Depends:.*\(libstd-rust-web-[0-9.]*[0-9]\).*/\1/p' | head -1)
  [ -n "$std" ] || { say "no package $dev"; return 1; }
  llvm=$(apt-cache show --no-all-versions "$std$at" | grep -o 'libllvm[0-9]*' | head -1)
  [ -n "$llvm" ] || { say "$std$at names no libllvm"; return 1; }
  say "fetching rustc-web$at $dev $std$at rust-web-src$at $llvm"
  (cd "$work/debs" && apt-get download -q -o APT::Sandbox::User=root \
    "rustc-web$at" "$dev" "$std$at" "rust-web-src$at" "$llvm" >/dev/null) || return 1
  for package in "$work"/debs/{rustc-web,libstd-rust-web,libllvm}*.deb; do
    dpkg-deb -x "$package" "$work/tc" || return 1
  done
  dpkg-deb --fsys-tarfile "$work"/debs/rust-web-src_*.deb \
    | tar -x -C "$work/src" --strip-components=4 --wildcards './usr/src/rustc-*/library' || return 1
  rm -rf "$work/debs"

  local usr=$work/tc/usr
  local bin=$usr/lib/rustlib/$host/bin
  mkdir -p "$bin"
  ln -sf "$host_bin/rust-lld" "$bin/rust-lld"
  ln -sf "$host_bin/rust-lld" "$bin/wasm-ld"
  ln -sf "$host_bin/wasm-component-ld" "$bin/wasm-component-ld"
  # The wrapper finds its tree by itself, so that DEST may be moved. libLLVM is not on the system's library path.
  cat >"$work/tc/rustc" <<'WRAP'
#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
LD_LIBRARY_PATH=$here/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$here/usr/bin/rustc" "$@"
WRAP
  chmod +x "$work/tc/rustc"
  "$work/tc/rustc" -V >/dev/null || { say "the unpacked compiler does not start (libLLVM wants libedit2 libffi8 libxml2 libz3-4 libzstd1 zlib1g)"; return 1; }

  # Paths of this machine stay out of what guests link. The crates are fetched first, so that their folder is known.
  local manifest=$work/src/library/sysroot/Cargo.toml flags registry
  flags="-Cembed-bitcode=yes"$'\x1f'"-Zforce-unstable-if-unmarked"$'\x1f'"--remap-path-prefix=$work/src="
  RUSTC=$work/tc/rustc RUSTC_BOOTSTRAP=1 cargo fetch -q --manifest-path "$manifest" || return 1
  for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do flags+=$'\x1f'"--remap-path-prefix=$registry=crates"; done

  say "building the standard library for $TARGET with $("$work/tc/rustc" -V)"
  RUSTC=$work/tc/rustc RUSTC_BOOTSTRAP=1 RUSTC_WRAPPER='' CARGO_BUILD_TARGET='' CARGO_INCREMENTAL=0 \
    CARGO_ENCODED_RUSTFLAGS=$flags \
    cargo build -q --release --target "$TARGET" --target-dir "$work/std" --manifest-path "$manifest" || return 1
  mkdir -p "$usr/lib/rustlib/$TARGET/lib"
  cp "$work/std/$TARGET/release/deps/"*.rlib "$usr/lib/rustlib/$TARGET/lib/" || return 1
  [ -n "$(ls "$usr/lib/rustlib/$TARGET/lib/"libcore-*.rlib 2>/dev/null)" ] || return 1
  rm -rf "$work/std" "$work/src" "$usr/share"
  "$work/tc/rustc" -V >"$work/tc/complete"
}

work=$dest.part
trap 'rm -rf "$work"' EXIT
# `||` switches set -e off inside attempt, so each step there checks itself.
newest() { [ -z "${MILLRACE_GUEST_PINNED-}" ] && attempt "" "$work"; }
newest || { say "trying the pinned $PINNED"; attempt "$PINNED" "$work"; } \
  || die "no toolchain. Where a network is, 'rustup target add $TARGET' does as well and is preferred by build.sh"
rm -rf "$dest"
mv "$work/tc" "$dest"
say "$dest is complete: $(cat "$dest/complete")"
