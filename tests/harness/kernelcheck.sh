#!/usr/bin/env bash
# A variant that is wrong in every operation must fail in every operation: a check that accepts it proves nothing.
# Usage: tests/harness/kernelcheck.sh [BUILD]
set -u
program=${1:-build}/tests/kernelcheck/kernelcheck
out=$("$program" --short --plant); rc=$?
n_ok=$(grep -c '^ok ' <<<"$out"); n_bad=$(grep -c '^not ok ' <<<"$out")
if [ "$rc" -ne 1 ] || [ "$n_ok" -ne 0 ] || [ "$n_bad" -lt 24 ]; then
    echo "planted errors: status $rc, $n_ok accepted, $n_bad reported; expected 1, 0 and all"
    echo "$out"
    exit 1
fi
