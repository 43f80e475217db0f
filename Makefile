# Makefile: `make help` lists the targets. Plain make; every source file under src/ is found, and its suffix says its flags.

CC ?= cc
B := build
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wpointer-arith
PKGS := jansson libpcre2-8 libutf8proc libcurl libarchive libedit libcrypto
ifeq ($(DEVELOPER),1)
B := build/developer
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
WARN += -Werror
endif
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -Iinclude -Isrc $(WARN) $(CFLAGS) $(SANITIZE) -ffp-contract=off \
             $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm -lpthread

SRC := $(filter-out src/cli/%,$(shell find src -name '*.c' | sort))
CLI := $(sort $(wildcard src/cli/*.c))
ifneq ($(shell uname -m),x86_64)
SRC := $(filter-out src/kernels/cpu/x86/%,$(SRC))
endif
OBJ := $(SRC:%.c=$(B)/obj/%.o)
CLI_OBJ := $(CLI:%.c=$(B)/obj/%.o)
TESTS := $(shell find tests/unit -name '*_test.c' 2>/dev/null | sort)
TEST_BIN := $(TESTS:%.c=$(B)/%)

all: $(B)/minke $(B)/libminke.a  ## build build/minke and build/libminke.a

# A file's suffix is its permission to use an instruction set.
$(B)/obj/%_avx2.o: ISA = -mavx2 -mfma -mf16c
$(B)/obj/%_avx512.o: ISA = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma -mf16c
$(B)/obj/%_vnni.o: ISA = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx2 -mfma -mf16c
$(B)/obj/%_bf16.o: ISA = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mavx2 -mfma -mf16c

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ISA) -MMD -MP -c $< -o $@

$(B)/libminke.a: $(OBJ)
	@rm -f $@
	ar rcs $@ $(OBJ)

$(B)/minke: $(CLI_OBJ) $(B)/libminke.a
	$(CC) $(CFLAGS) $(SANITIZE) $(CLI_OBJ) $(B)/libminke.a $(LIBS) -o $@

$(B)/tests/unit/%: tests/unit/%.c $(B)/libminke.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests -MMD -MP $< $(B)/libminke.a $(LIBS) -lcmocka -o $@

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/  /' | column -t -l 2 2>/dev/null || true

check: all $(TEST_BIN)  ## the one-minute subset: unit tests, layers, style
	@tools/run_tests check $(B)

test: all $(TEST_BIN)  ## everything; the last line is "N passed, N failed"
	@tools/run_tests test $(B)

clean:  ## remove what was built
	rm -rf build

.PHONY: all help check test clean
-include $(OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(TEST_BIN:=.d)
