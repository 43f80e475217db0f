#!/usr/bin/env bash
# What `make install` puts somewhere is enough to build a program with, as README says.
set -u
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
make -s install B="$1" PREFIX="$tmp/usr" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
cat >"$tmp/mine.c" <<'C'
#include <minke.h>
#include <stdio.h>

int main(void)
{
    struct mk_error err;
    struct mk_model *model;
    struct mk_model_options options = mk_model_options_default();

    if (mk_model_open(&model, "nothing.gguf", &options, &err))
        puts(err.text);
    return 0;
}
C
export PKG_CONFIG_PATH="$tmp/usr/lib/pkgconfig"
cc "$tmp/mine.c" $(pkg-config --cflags --libs minke) -o "$tmp/mine" || exit 1
said=$("$tmp/mine")
case $said in nothing.gguf:*) ;; *) echo "the program said '$said'"; exit 1 ;; esac
[ "$("$tmp/usr/bin/minke" --version)" = "minke $(pkg-config --modversion minke)" ] || { echo "two versions"; exit 1; }
