#!/usr/bin/env bash
# build.sh OUT.wasm SOURCE.py STAGE...: makes a component of a Python module; STAGE: filter, map, route, format.
#
# MILLRACE_COMPONENTIZE_PY: componentize-py (default: the one on the PATH). MILLRACE_WIT: the contract's folder. MILLRACE_GRANTS: imports
# beyond log, e.g. "counter". WASI is stubbed, so that the component imports nothing but the contract.
set -euo pipefail
[ $# -ge 3 ] || { sed -n 's/^# //p' "$0" | head -4 >&2; exit 2; }
kit=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$1 source=$2
shift 2

say() { echo "python kit: $*" >&2; }
tool=$(command -v "${MILLRACE_COMPONENTIZE_PY:-componentize-py}") || {
  say "no componentize-py: pip install -r $kit/requirements.txt, or set MILLRACE_COMPONENTIZE_PY"; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/wit/deps/transform"
cp "${MILLRACE_WIT:-$kit/../../wit/v1.0}"/*.wit "$work/wit/deps/transform/"
# A world of the module's own: this toolchain puts every import of its world into the component, and what is not granted is refused.
{
  echo 'package local:module;'
  echo 'world module {'
  for name in log ${MILLRACE_GRANTS-}; do echo "  import millrace:transform/$name@1.0.0;"; done
  for name in describe "$@"; do echo "  export millrace:transform/${name/#map/%map}@1.0.0;"; done
  echo '}'
} >"$work/wit/world.wit"
mkdir -p "$(dirname "$out")"
name=$(basename "$source" .py)
# Copies, since the build leaves compiled files beside what it imports.
mkdir "$work/app"
cp "$kit"/*.py "$work/app/"
(cd "$(dirname "$source")" && find . -name '*.py' -not -path './kit/*' -exec cp --parents -t "$work/app" {} +)
"$tool" --quiet --wit-path "$work/wit" --world module componentize --stub-wasi -p "$work/app" -o "$out" "$name"
say "$out $(stat -c %s "$out") bytes"
