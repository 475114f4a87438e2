#!/usr/bin/env bash
# toolchain.sh DEST: installs componentize-js of the pinned version (package-lock.json) into DEST through npm; at once when it is there.
# Takes 385 MB. Wants node 20 or newer and npm.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dest=$1
say() { echo "js kit: $*" >&2; }
for tool in node npm; do
  command -v $tool >/dev/null || { say "no $tool: install Node.js 20 or newer with npm (Debian: apt-get install nodejs npm)"; exit 1; }
done
mkdir -p "$dest"
exec 9>"$dest/lock"
flock 9
stamp=$(cat "$here/package.json" "$here/package-lock.json" | cksum)
[ "$(cat "$dest/stamp" 2>/dev/null)" != "$stamp" ] || exit 0
rm -f "$dest/stamp"
cp "$here/package.json" "$here/package-lock.json" "$dest/"
say "installing componentize-js into $dest"
# No scripts of packages are run: what is needed comes as it is.
(cd "$dest" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) || { say "npm could not install it; see above"; exit 1; }
printf '%s' "$stamp" >"$dest/stamp"
