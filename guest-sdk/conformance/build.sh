#!/usr/bin/env bash
# build.sh rust|c|js|python: builds what the kit tests run of one language into target/kits/LANGUAGE: the reference module, the templates
# (one component of all four where compiling one takes seconds) and the sample. At once when nothing changed. Nothing of it is committed:
# an interpreter's component has 12 to 19 MB. Installs the language's toolchain into .cache when it is missing.
set -euo pipefail
language=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
out=target/kits/$language
mkdir -p "$out"
exec 8>"$out/lock"
flock 8

folders=(wit/v1.0 "guest-sdk/$language" "guest-sdk/conformance/$language" guest-sdk/conformance/build.sh)
[ ! -d "guest-sdk/templates/$language" ] || folders+=("guest-sdk/templates/$language")
for sample in transforms/samples/"$language"-*; do [ ! -d "$sample" ] || folders+=("$sample"); done
stamp=$(find "${folders[@]}" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
[ "$(cat "$out/stamp" 2>/dev/null)" != "$stamp" ] || exit 0
rm -f "$out/stamp"

# A template with its name filled in, as a project has it.
named() { sed 's/@NAME@/template/g' "$1" >"$2"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case $language in
  rust)
    MILLRACE_GUEST_OUT=$out guest-sdk/build.sh millrace-conformance
    ;;
  c)
    guest-sdk/c/build.sh "$out/conformance.wasm" guest-sdk/conformance/c/conformance.c
    for stage in filter map route format; do
      named "guest-sdk/templates/c/$stage.c" "$work/$stage.c"
      guest-sdk/c/build.sh "$out/template-$stage.wasm" "$work/$stage.c"
    done
    guest-sdk/c/build.sh "$out/c-logfmt.wasm" transforms/samples/c-logfmt/logfmt.c
    ;;
  js)
    guest-sdk/js/toolchain.sh "$root/.cache/js-toolchain"
    export MILLRACE_JS_TOOLCHAIN=$root/.cache/js-toolchain
    build() { node guest-sdk/js/build.mjs "$@"; }
    build "$out/conformance.wasm" guest-sdk/conformance/js/conformance.js filter map route format --grant counter
    for stage in filter map route format; do
      named "guest-sdk/templates/js/$stage.js" "$work/$stage.js"
      echo "export { $stage } from './$stage.js';"
    done >"$work/all.js"
    echo "export { describe } from './filter.js';" >>"$work/all.js"
    build "$out/template.wasm" "$work/all.js" filter map route format
    build "$out/js-order-events.wasm" transforms/samples/js-order-events/order-events.js format
    ;;
  python)
    guest-sdk/python/toolchain.sh "$root/.cache/python-toolchain"
    export MILLRACE_COMPONENTIZE_PY=$root/.cache/python-toolchain/bin/componentize-py
    build() { guest-sdk/python/build.sh "$@"; }
    MILLRACE_GRANTS=counter build "$out/conformance.wasm" guest-sdk/conformance/python/conformance.py filter map route format
    for stage in filter map route format; do
      # Names of their own: map.py and the like would hide what the kit imports.
      named "guest-sdk/templates/python/$stage.py" "$work/the_$stage.py"
      echo "from the_$stage import ${stage^}"
    done >"$work/all_stages.py"
    echo 'from the_filter import Describe' >>"$work/all_stages.py"
    build "$out/template.wasm" "$work/all_stages.py" filter map route format
    build "$out/python-threshold.wasm" transforms/samples/python-threshold/threshold.py filter
    ;;
  *) echo "usage: build.sh rust|c|js|python" >&2; exit 2 ;;
esac
printf '%s\n' "$stamp" >"$out/stamp"
