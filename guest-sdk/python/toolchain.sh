#!/usr/bin/env bash
# toolchain.sh DEST: installs componentize-py of the pinned version (requirements.txt) into a virtual environment at DEST through pip; at
# once when it is there. Takes 75 MB. Wants Python 3.10 or newer with venv.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dest=$1
say() { echo "python kit: $*" >&2; }
command -v python3 >/dev/null || { say "no python3: install it (Debian: apt-get install python3 python3-venv)"; exit 1; }
mkdir -p "$dest"
exec 9>"$dest.lock"
flock 9
stamp=$(cksum <"$here/requirements.txt")
# A virtual environment that was moved keeps its stamp, but its programs name an interpreter that is gone.
[ "$(cat "$dest/stamp" 2>/dev/null)" != "$stamp" ] || ! "$dest/bin/componentize-py" --version >/dev/null 2>&1 || exit 0
rm -f "$dest/stamp"
say "installing componentize-py into $dest"
python3 -m venv --clear "$dest" >&2 || { say "python3 cannot make a virtual environment (Debian: apt-get install python3-venv)"; exit 1; }
"$dest/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2 || { say "pip could not install it; see above"; exit 1; }
printf '%s' "$stamp" >"$dest/stamp"
