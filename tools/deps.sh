#!/usr/bin/env bash
# Installs the Debian packages that are missing. Usage: tools/deps.sh run|test|peers
#
# run: what `make run` needs to build minke and to fetch the default model; test: what `make test` needs besides;
# peers: what `make test-peers` needs besides run.
# Root installs; anyone else is told the one line to run. Nothing is asked of apt when nothing is missing.
set -euo pipefail

run="gcc libc6-dev make pkg-config libjansson-dev libpcre2-dev libutf8proc-dev libcurl4-openssl-dev libarchive-dev
     libedit-dev libssl-dev libcyaml-dev libyaml-dev ca-certificates python3-pip"
test="libcmocka-dev clang-14 libclang-rt-14-dev llvm-14 libsimde-dev groff-base python3 python3-pytest"
peers="g++ cmake python3-venv python3-dev"
command -v npm >/dev/null || peers="$peers npm" # Node's own packages bring it too

case "${1:-}" in
run) wanted=$run ;;
test) wanted=$test ;;
peers) wanted=$peers ;;
*) echo "usage: tools/deps.sh run|test|peers" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "deps: this is not Debian: please see to it that these are there:" $wanted >&2
    exit 0
fi

# dpkg-query speaks of packages it never heard of on stderr and fails: both are expected.
here=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null | sed -n 's/^installed //p') || true
missing=
for p in $wanted; do
    grep -qx "$p" <<<"$here" || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "deps: missing packages; please run:" >&2
    echo "sudo apt-get install -y --no-install-recommends$missing" >&2
    exit 1
fi
echo "deps: installing$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# An image's package lists may be missing or old: update first, they are small.
if ! { apt-get -q update && apt-get -q install -y --no-install-recommends -o DPkg::Lock::Timeout=300 $missing; } \
    >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "deps: the packages could not be installed; the lines above say why" >&2
    exit 1
fi
