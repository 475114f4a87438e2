#!/usr/bin/env bash
# Refuses default components, and those of the host's tests, that were not built from the sources beside them: the gateway embeds the committed ones, so a
# change of a module that is not rebuilt would not take effect. Run before the components are built anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

built_from=$(cat transforms/prebuilt/SOURCES.sha256)
if [ "$built_from" != "$(guest-sdk/build.sh --sources)" ]; then
  echo 'prebuilt: transforms/prebuilt was not built from these sources; run "make guests" and commit what it writes' >&2
  exit 1
fi
guests=gateway/crates/host/tests
if [ "$(cat $guests/components/SOURCES.sha256)" != "$($guests/guests/build.sh --sources)" ]; then
  echo "prebuilt: $guests/components was not built from these sources; run \"make guests\" and commit what it writes" >&2
  exit 1
fi
