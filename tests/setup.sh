#!/usr/bin/env bash
# Installs what the end-to-end tests run against: PostgreSQL and the libraries the build links (apt), the jars of Apache Kafka and a
# schema registry (Maven, into .cache, which git ignores), and the toolchains of the guest kits (clang by apt, componentize-js by npm
# and componentize-py by pip into .cache). Idempotent; takes well under a second when all is there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$here/../.cache/kafka
say() { printf 'setup: %s\n' "$*" >&2; }

# --- packages -----------------------------------------------------------------------------------------------------
want=()
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null 2>&1 || want+=(postgresql)
pkg-config --exists openssl 2>/dev/null || want+=(libssl-dev pkg-config)
command -v openssl >/dev/null 2>&1 || want+=(openssl)
# Headers for the output plugin of mppdb-plugin/, of the server's version: where both are missing, one step brings both. The package
# may bring a newer minor release of the server with it, so it comes before any server runs.
dev=$(ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | sed -E 's|.*/([0-9]+)/bin/postgres|\1|' | sort -n | tail -1 || true)
if [ -n "$dev" ]; then
  [ -e "/usr/lib/postgresql/$dev/lib/pgxs/src/makefiles/pgxs.mk" ] || want+=("postgresql-server-dev-$dev")
elif ! command -v postgres >/dev/null 2>&1; then
  want+=(postgresql-server-dev-all)
fi
{ command -v make && command -v cc; } >/dev/null 2>&1 || want+=(build-essential)
java -version >/dev/null 2>&1 || want+=(default-jdk-headless)
command -v mvn >/dev/null 2>&1 || { [ -d "$cache/libs" ] && [ -d "$cache/../registry/lib" ]; } || want+=(maven)
command -v clang >/dev/null 2>&1 || want+=(clang)
command -v node >/dev/null 2>&1 || want+=(nodejs)
command -v npm >/dev/null 2>&1 || want+=(npm)
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || want+=(python3 python3-venv)
if [ ${#want[@]} -gt 0 ]; then
  sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || { say "missing: ${want[*]}; install them as root: apt-get install ${want[*]}"; exit 1; }
    sudo=(sudo -n)
  fi
  say "installing ${want[*]}"
  # The package's own cluster is not wanted: every test server is private, in a temporary folder.
  if [[ " ${want[*]} " == *" postgresql "* ]]; then
    "${sudo[@]}" mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
      echo 'create_main_cluster = false' | "${sudo[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${want[@]}" >/dev/null
fi

# --- Kafka's jars -------------------------------------------------------------------------------------------------
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
# Two runs started at once must not copy into the same folder.
exec 9>"$cache/lock"
flock 9
stamp=$(cksum <"$here/kafka/pom.xml")
if [ "$(cat "$cache/stamp" 2>/dev/null)" != "$stamp" ]; then
  say "fetching the jars of Apache Kafka"
  rm -rf "$cache/libs" "$cache/kafka.jsa" "$cache/stamp"
  mvn -q -B -f "$here/kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory="$cache/libs" -DincludeScope=runtime
  ls "$cache"/libs/kafka_2.13-*.jar >/dev/null
  printf '%s' "$stamp" >"$cache/stamp"
fi

# --- schema registry ----------------------------------------------------------------------------------------------
# Apicurio Registry 2, in memory, with the API of Confluent's registry; only the tests of Avro and of the registry run it.
registry=$cache/../registry
version=2.6.13.Final
if [ "$(cat "$registry/stamp" 2>/dev/null)" != "$version" ]; then
  say "fetching the schema registry (140 MB)"
  rm -rf "$registry"
  mkdir -p "$registry"
  mvn -q -B dependency:copy -Dartifact="io.apicurio:apicurio-registry-app:$version:tar.gz:all" -DoutputDirectory="$registry"
  tar -xzf "$registry/apicurio-registry-app-$version-all.tar.gz" -C "$registry"
  rm -f "$registry"/*.tar.gz
  mv "$registry/apicurio-registry-app-$version-runner.jar" "$registry/runner.jar"
  printf '%s' "$version" >"$registry/stamp"
fi

# --- class data archive -------------------------------------------------------------------------------------------
# Halves the broker's start (2 s to 1 s). It only speeds things up: a JVM that cannot use it goes on without it.
jvm=$(java -version 2>&1 | cksum)
if [ ! -e "$cache/kafka.jsa" ] || [ "$(cat "$cache/jsa-jvm" 2>/dev/null)" != "$jvm" ]; then
  say "writing the broker's class data archive"
  work=$(mktemp -d)
  pid=
  trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT
  free_port() {
    local p
    while p=$((20000 + RANDOM % 12000)); (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null; do :; done
    echo "$p"
  }
  sed -e "s|@BROKER@|$(free_port)|g" -e "s|@CONTROLLER@|$(free_port)|g" -e "s|@DATA@|$work/data|g" \
    "$here/kafka/server.properties" >"$work/server.properties"
  rm -f "$cache/kafka.jsa"
  java -Xshare:auto -cp "$cache/libs/*" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c "$work/server.properties" \
    --standalone >"$work/format.log" 2>&1 || { cat "$work/format.log" >&2; exit 1; }
  java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ArchiveClassesAtExit="$cache/kafka.jsa" \
    -Dlog4j2.configurationFile="$here/kafka/log4j2.yaml" -cp "$cache/libs/*" kafka.Kafka "$work/server.properties" \
    >"$work/broker.log" 2>&1 9>&- &
  pid=$!
  for _ in $(seq 600); do
    grep -q 'Kafka Server started' "$work/broker.log" && break
    kill -0 "$pid" 2>/dev/null || { cat "$work/broker.log" >&2; exit 1; }
    sleep 0.1
  done
  kill -TERM "$pid"
  wait "$pid" || true
  pid=
  printf '%s' "$jvm" >"$cache/jsa-jvm"
fi

# --- toolchains of the guest kits ---------------------------------------------------------------------------------
# The lock above covers Kafka's folder only; these have their own. Each says what is wrong when it cannot be installed.
exec 9>&-
"$here/../guest-sdk/js/toolchain.sh" "$here/../.cache/js-toolchain"
"$here/../guest-sdk/python/toolchain.sh" "$here/../.cache/python-toolchain"
