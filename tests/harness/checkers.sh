#!/usr/bin/env bash
# Plants one violation of every kind before the checkers of tools/ and looks whether they see it, and one excused of
# every kind that may be excused.
set -u
tools=$PWD/tools
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
status=0

fresh() {
    rm -rf "$tmp/src" "$tmp/tools"
    mkdir -p "$tmp/src/base" "$tmp/src/cli" "$tmp/src/model" "$tmp/tools"
    printf 'base:\nmodel: base\ncli: base model\n' >"$tmp/src/LAYERS"
}

# expect CHECKER WANTED_STATUS PATH: the file on standard input stands at PATH; what it shows is in $out.
expect() {
    local rc
    mkdir -p "$(dirname "$tmp/$3")"; cat >"$tmp/$3"
    out=$("$tools/$1" "$tmp" 2>&1); rc=$?
    if [ "$rc" -ne "$2" ] || { [ "$2" -eq 1 ] && ! grep -q "^$3" <<<"$out"; }; then
        echo "$1 on $3: status $rc, expected $2"; cat "$tmp/$3" | cut -c1-120 | head -5; echo "$out"; status=1
    fi
}

fresh; expect check_layers 0 src/model/a.c <<<'#include "base/error.h"'
fresh; expect check_layers 0 src/model/a.c <<<'#include "minke.h"'
fresh; expect check_layers 1 src/base/a.c <<<'#include "model/model.h"'
fresh; expect check_layers 1 src/base/deep/a.h <<<'  #  include "cli/cli.h"'
fresh; expect check_layers 1 src/model/a.c <<<'#include "b.h"'
fresh; expect check_layers 1 src/other/a.c <<<'int x;'

for call in 'sprintf(b, "x")' 'strcpy(a, b)' 'system("ls")' 'atoi(s)' 'getenv("HOME")' 'printf("x")' 'exit(1)' \
    'fprintf(stderr, "x")' 'x = strcat (a, b)'; do
    fresh; expect check_style 1 src/base/a.c <<<"/* a */
void f(void) { $call; }"
done
for fine in 'snprintf(b, 2, "printf(")' '/* exit(1) */' '// abort()' 'o->exit(1)' 'my_exit(1)' 'fprintf(file, "x")'; do
    fresh; expect check_style 0 src/base/a.c <<<"/* a */
void f(void) { $fine
}"
done
fresh; expect check_style 0 src/cli/a.c <<<'/* a */
void f(void) { printf("x"); exit(1); }'
fresh; expect check_style 1 src/cli/a.c <<<'/* a */
void f(void) { popen("x", "r"); }'
fresh; expect check_style 1 src/base/a.c <<<'int x;'
fresh; expect check_style 1 src/base/a.c <<<$'/* a */\n\tint x;'
fresh; expect check_style 1 src/base/a.c <<<$'/* a */\nint x; '
wide="/* $(printf 'x%.0s' {1..98}) */"
fresh; expect check_style 1 src/base/a.c <<<"$wide"
fresh; echo "columns 1 src/base/a.c" >"$tmp/tools/style_exceptions"; expect check_style 0 src/base/a.c <<<"$wide"
fresh; echo "columns 1 src/base/a.c" >"$tmp/tools/style_exceptions"; expect check_style 1 src/base/a.c <<<"$wide
$wide"
fresh; echo "call getenv src/base/a.c why" >"$tmp/tools/style_exceptions"
expect check_style 0 src/base/a.c <<<'/* a */
void f(void) { getenv("A"); }'

long=$(printf 'static int\nlong_one(void)\n{\n'; printf '    x();\n%.0s' {1..121}; printf '}\n')
fresh; expect check_size 1 src/base/a.c <<<"$long"
fresh; echo "function long_one src/base/a.c why" >"$tmp/tools/size_exceptions"; expect check_size 0 src/base/a.c <<<"$long"
fresh; expect check_size 1 src/base/a.c <<<"$(printf 'int x;\n%.0s' {1..1201})"
fresh; expect check_size 0 src/base/a.c <<<"$(printf 'int x;\n%.0s' {1..1200})"
exit $status
