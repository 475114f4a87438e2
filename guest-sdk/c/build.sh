#!/usr/bin/env bash
# build.sh OUT.wasm SOURCE.c...: compiles C sources and the kit into a component.
#
# CC: a clang with the wasm32 target, or "zig cc" (default: clang). MILLRACE_COMPONENT_LD: wasm-component-ld (default: the one in the
# Rust toolchain, or on the PATH). CFLAGS come after the kit's own.
set -euo pipefail
[ $# -ge 2 ] || { sed -n 's/^# //p' "$0" | head -4 >&2; exit 2; }
kit=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$1; shift

say() { echo "c kit: $*" >&2; }
read -ra compiler <<<"${CC:-clang}"
command -v "${compiler[0]}" >/dev/null || { say "no ${compiler[0]}: install clang (Debian: apt-get install clang) or set CC='zig cc'"; exit 1; }
linker=${MILLRACE_COMPONENT_LD-}
if [ -z "$linker" ] && command -v rustc >/dev/null; then
  linker=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/wasm-component-ld
fi
[ -x "$linker" ] || linker=$(command -v wasm-component-ld) || {
  say "no wasm-component-ld: it comes with rustup's toolchain; set MILLRACE_COMPONENT_LD to it"; exit 1; }
# Beside it lies the linker that it calls; elsewhere it looks for wasm-ld on the PATH.
wasm_ld=$(dirname "$linker")/gcc-ld/wasm-ld
ld_flags=(); [ -x "$wasm_ld" ] && ld_flags=(--wasm-ld-path "$wasm_ld")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
objects=()
for source in "$kit"/src/*.c "$@"; do
  object=$work/${#objects[@]}.o
  # Freestanding: what needs a libc or WASI does not compile, rather than failing to load. No path of this machine gets in.
  "${compiler[@]}" --target=wasm32-freestanding -std=c11 -O3 -msimd128 -mbulk-memory -ffreestanding -nostdlib -Wall -Wextra \
    -fno-builtin -ffile-prefix-map="$PWD"=. -I "$kit/include" ${CFLAGS-} -c "$source" -o "$object"
  objects+=("$object")
done
mkdir -p "$(dirname "$out")"
"$linker" ${ld_flags[@]+"${ld_flags[@]}"} --wasi-adapter none --no-entry --gc-sections --strip-all "${objects[@]}" -o "$out"
say "$out $(stat -c %s "$out") bytes"
