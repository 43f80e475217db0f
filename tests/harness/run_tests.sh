#!/usr/bin/env bash
# Plants failures of every kind before tools/run_tests and looks whether it counts them: a test runner that cannot fail
# proves nothing.
set -u
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
status=0

# expect NAME WANTED_STATUS WANTED_LAST_LINE: the script on standard input is the only test program.
expect() {
    local out rc last
    rm -rf "$tmp/tests"; mkdir -p "$tmp/tests"
    { echo '#!/bin/bash'; cat; } >"$tmp/tests/planted_test"
    chmod +x "$tmp/tests/planted_test"
    out=$(tools/run_tests programs "$tmp"); rc=$?
    last=$(tail -1 <<<"$out")
    if [ "$rc" -ne "$2" ] || [ "$last" != "$3" ]; then
        echo "$1: status $rc and '$last', expected $2 and '$3'"; status=1
    fi
}

expect "two that pass" 0 "2 passed, 0 failed" <<<'printf "1..2\nok 1 - a\nok 2 - b\n"'
expect "one that fails" 1 "1 passed, 1 failed" <<<'printf "1..2\nok 1 - a\nnot ok 2 - b\n"; exit 1'
expect "a failure with status 0" 1 "1 passed, 1 failed" <<<'printf "1..2\nok 1 - a\nnot ok 2 - b\n"'
expect "a crash after one of three" 1 "1 passed, 2 failed" <<<'printf "1..3\nok 1 - a\n"; kill -SEGV $$'
expect "a bad status after all passed" 1 "2 passed, 1 failed" <<<'printf "1..2\nok 1 - a\nok 2 - b\n"; exit 3'
expect "an end after one of two, status 0" 1 "1 passed, 1 failed" <<<'printf "1..2\nok 1 - a\n"'
expect "a program that runs nothing" 1 "0 passed, 1 failed" <<<'exit 0'
expect "a skipped test" 0 "1 passed, 0 failed" <<<'printf "1..2\nok 1 - a\nnot ok 2 # SKIP b\n"'
exit $status
