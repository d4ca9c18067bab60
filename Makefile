# ringcast: `make run` on a fresh Debian 12 or 13 machine, `make help` for the rest.
#
# Sources are found, not listed: a new file in acceptor/, worker/, relay/, bench/, common/ or tests/ is built without a
# change here. One flavour is built at a time (FLAVOUR=release|asan|tsan|stress|fuzz|variant), each in its own folder:
#
#   build/ringcast …            release programs          build/asan/ringcast …   the same names in other flavours
#   build/FLAVOUR/obj, lib      objects, one archive per component
#   build/FLAVOUR/tests         unit tests in the folders of what they test, stress/ beside them
#   build/FLAVOUR/fuzz          fuzz targets: libFuzzer in flavour fuzz, else replay of the corpus
#   build/gen                   headers made from sources: RC_BUILD_ID; build/FLAVOUR/gen: RC_VERSION, what the programs serve
#   build/variant               programs of another build, with other keys and metrics, for tests of upgrades
#   build/bpf                   BPF object and skeleton    build/deps   what deploy/deps made
#
# Nothing is asked of a compiler, pkg-config or git while this file is read: it must work before `make deps` has.

# The newest release. What is built is called after it by deploy/version; BUILD_VERSION= says it in its place, where git is not there.
VERSION := 0.1.0
BUILD_VERSION ?=
built_version = $(or $(BUILD_VERSION),$$(deploy/version $(VERSION)))
FLAVOUR ?= release
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
FUZZ_SECONDS ?= 60
STRESS_SECONDS ?= 600
JOBS ?= $(shell nproc)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.DEFAULT_GOAL := all
# Debian keeps bpftool where only root's PATH looks.
export PATH := $(PATH):/usr/sbin:/sbin

# Parallel by default; a make inside this one shares its job server instead.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(JOBS) --no-print-directory
endif

# --- what deploy/deps found or built ---------------------------------------------------------------------------------

URING_LIBS := -luring
HIREDIS_LIBS := -lhiredis_ssl -lhiredis
DEPS_MK := build/deps/deps.mk
-include $(DEPS_MK)

# --- flavours --------------------------------------------------------------------------------------------------------

ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif

ifeq ($(shell uname -m),x86_64)
MARCH ?= x86-64-v2
endif

WARN := -Wall -Wextra -Wshadow -Wconversion -Wpointer-arith -Wformat=2 -Wvla -Werror
WARN_C := $(WARN) -Wstrict-prototypes -Wmissing-prototypes
WARN_CXX := $(WARN) -Wmissing-declarations

# The sanitizers' own checks confuse the flow analysis behind -Wmaybe-uninitialized (release has it on), and gcc warns of
# every atomic_thread_fence that TSan does not model: the fences are needed all the same.
GCC_FALSE_ALARMS = $(if $(findstring clang,$(CC)),,-Wno-maybe-uninitialized -Wno-tsan)

# What a sanitizer's report names: functions, files and lines. All that a debugger knows costs a fifth more to compile (TEST_DEBUG=-g).
TEST_DEBUG ?= -g1
# Hundreds of tests are linked, in less than half of the time where this linker is there. What is released is the distribution's own one's.
TEST_LINKER := $(if $(wildcard /usr/bin/ld.lld),-fuse-ld=lld)

ifeq ($(FLAVOUR),release)
FLAVOUR_CFLAGS := -O3 -g $(if $(MARCH),-march=$(MARCH)) -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong \
                  $(if $(LTO),-flto=auto)
FLAVOUR_LDFLAGS := -O3 -Wl,-z,relro,-z,now $(if $(LTO),-flto=auto)
else ifeq ($(FLAVOUR),asan)
FLAVOUR_CFLAGS := -O1 $(TEST_DEBUG) -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -DRC_DEBUG=1 \
                  $(GCC_FALSE_ALARMS)
FLAVOUR_LDFLAGS := -fsanitize=address,undefined $(TEST_LINKER)
else ifeq ($(FLAVOUR),tsan)
FLAVOUR_CFLAGS := -O1 $(TEST_DEBUG) -fsanitize=thread -fno-omit-frame-pointer -DRC_DEBUG=1 $(GCC_FALSE_ALARMS)
FLAVOUR_LDFLAGS := -fsanitize=thread $(TEST_LINKER)
else ifeq ($(FLAVOUR),stress)
FLAVOUR_CFLAGS := -O2 -g $(if $(MARCH),-march=$(MARCH)) -DRC_DEBUG=1
FLAVOUR_LDFLAGS :=
else ifeq ($(FLAVOUR),fuzz)
CC := clang
CXX := clang++
FLAVOUR_CFLAGS := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
                  -fno-omit-frame-pointer -DRC_DEBUG=1 -DRC_FUZZ=1
# clang, unlike clang++, leaves out the runtime that the C++ file needs.
FLAVOUR_LDFLAGS := -fsanitize=address,undefined -fsanitize-link-c++-runtime
else ifeq ($(FLAVOUR),variant)
# Warnings are for the other flavours: without optimisation there are others.
FLAVOUR_CFLAGS := -O0 -w -DRC_DEBUG=1
FLAVOUR_LDFLAGS :=
else
$(error FLAVOUR=$(FLAVOUR) is none of release, asan, tsan, stress, fuzz, variant)
endif

# Another build: some headers are others. They stand before those of the tree.
OVERLAY := $(if $(filter variant,$(FLAVOUR)),build/variant/overlay)
OVERLAID := common/config/config.def common/config/values.h common/metrics/metrics.def
OVERLAY_FILES := $(if $(OVERLAY),$(OVERLAID:%=$(OVERLAY)/%))
GEN := $(if $(OVERLAY),build/variant/gen,build/gen)

CPPFLAGS_ALL = -D_GNU_SOURCE $(OVERLAY:%=-I%) -I. -Ibuild/bpf -I$(B)/gen -I$(GEN) $(if $(filter tsan,$(FLAVOUR)),-Itests/tsan) $(DEPS_CFLAGS) $(CPPFLAGS)
CFLAGS_ALL = -std=gnu17 $(CPPFLAGS_ALL) $(WARN_C) $(FLAVOUR_CFLAGS) $(CFLAGS)
CXXFLAGS_ALL = -std=gnu++17 $(CPPFLAGS_ALL) $(WARN_CXX) $(FLAVOUR_CFLAGS) $(CXXFLAGS)
LDFLAGS_ALL = $(FLAVOUR_LDFLAGS) -Wl,--as-needed $(LDFLAGS)
# One list for all: --as-needed leaves each program with what it uses. Only ringcast and tests see libstdc++.
LIBS := $(HIREDIS_LIBS) $(URING_LIBS) -lbpf -lelf -lhttp_parser -ljansson -lxxhash -lssl -lcrypto -lz -lm

B := build/$(FLAVOUR)
BIN := $(if $(filter release,$(FLAVOUR)),build,$(B))
OBJ := $(B)/obj

# --- sources ---------------------------------------------------------------------------------------------------------

found = $(sort $(shell find $(1) -name node_modules -prune -o -type f $(2) -print 2>/dev/null))
objects = $(patsubst %,$(OBJ)/%.o,$(basename $(1)))

COMPONENTS := acceptor worker relay bench common
C_SRC := $(call found,$(COMPONENTS),-name '*.c' ! -name '*.bpf.c')
CXX_SRC := $(call found,acceptor common,-name '*.cpp')
BPF_SRC := $(call found,acceptor,-name '*.bpf.c')
ASSETS := $(call found,worker,\( -name '*.html' -o -name '*.js' -o -name '*.css' \))

PROGRAM_acceptor := ringcast
PROGRAM_worker := ringcast-worker
PROGRAM_relay := ringcast-relay
PROGRAM_bench := ringcast-bench
# A component without a main.c yet is a library only.
PROGRAMS := $(foreach c,acceptor worker relay bench,$(if $(wildcard $(c)/main.c),$(BIN)/$(PROGRAM_$(c))))

UNIT_SRC := $(call found,tests/unit,-name 'test_*.c')
SUPPORT_SRC := $(call found,tests/unit tests/support,-name '*.c' ! -name 'test_*.c')
STRESS_SRC := $(sort $(wildcard tests/stress/*.c))
FUZZ_NAMES := $(patsubst tests/fuzz/%/target.c,%,$(sort $(wildcard tests/fuzz/*/target.c)))
UNITS := $(patsubst tests/unit/%.c,$(B)/tests/%,$(UNIT_SRC))
STRESSES := $(patsubst tests/stress/%.c,$(B)/tests/stress/%,$(STRESS_SRC))
FUZZES := $(addprefix $(B)/fuzz/,$(FUZZ_NAMES))

# What clang-format and lint look at; bench/ and deploy/ included.
FORMATTED := $(call found,$(COMPONENTS) tests,\( -name '*.c' -o -name '*.h' -o -name '*.[ch]pp' \))

# --- rules -----------------------------------------------------------------------------------------------------------

.PHONY: all programs broker-programs archives unit stress-programs fuzz-targets bpf generated FORCE
all: programs ## build the release programs into build/ (the default)
# The archives too: a component without a main.c must compile all the same.
programs: $(PROGRAMS) archives
# Without the load generator.
broker-programs: $(BIN)/ringcast $(BIN)/ringcast-worker $(BIN)/ringcast-relay
unit: $(UNITS)
stress-programs: $(STRESSES)
fuzz-targets: $(FUZZES)

ifeq ($(wildcard $(DEPS_MK)),)
ifneq ($(filter-out help clean distclean deps run test fresh format,$(or $(MAKECMDGOALS),all)),)
$(info note: `make deps` has not run yet; without it liburing >= 2.9 and hiredis >= 1.2 must be in the system)
endif
endif

# Files that change only when what they record changes: the flags, and which sources there are.
record = mkdir -p $(@D); printf '%s\n' $(1) >$@.new; if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
quoted = '$(subst ','\'',$(1))'
$(B)/flags: FORCE
	@$(call record,$(call quoted,$(CC) $(CFLAGS_ALL) $(CXX) $(CXXFLAGS_ALL) $(LDFLAGS_ALL) $(LIBS)))
$(B)/sources: FORCE
	@$(call record,$(C_SRC) $(CXX_SRC) $(SUPPORT_SRC) $(ASSETS))

# Which build configuration and metrics in shared memory are of (common/shm/layout.h): a checksum of what they are made of.
BUILD_ID_SRC := common/config/config.def common/config/values.h common/identity/key_board.h common/identity/material.h \
                common/metrics/metrics.def common/metrics/metrics.h common/records/codes.def common/base/histogram.h
$(GEN)/build_id.h: $(foreach f,$(BUILD_ID_SRC),$(if $(filter $(f),$(OVERLAID)),$(OVERLAY:%=%/))$(f))
	@mkdir -p $(@D)
	@sum=$$(cat $^ | cksum); echo "#define RC_BUILD_ID $${sum%% *}u" >$@

# Of a header, not a flag: the next version compiles those files alone that say which one they are. What is not for others is called after
# the release alone, or each commit would link all tests again.
$(B)/gen/version.h: FORCE
	@version=$(if $(filter release,$(FLAVOUR)),$(built_version),$(VERSION)) || version=$(VERSION); \
	$(call record,"#define RC_VERSION \"$$version\"" '#define RC_DEFAULT_CONFIG "$(SYSCONFDIR)/ringcast/ringcast.toml"')

generated: $(GEN)/build_id.h $(B)/gen/version.h

build/variant/overlay/%: % tests/support/variant.awk
	@mkdir -p $(@D)
	@awk -v file=$* -f tests/support/variant.awk $< >$@

$(OBJ)/%.o: %.c $(B)/flags $(wildcard $(DEPS_MK)) | $(GEN)/build_id.h $(B)/gen/version.h $(OVERLAY_FILES)
	@mkdir -p $(@D)
	@echo "  CC    $< [$(FLAVOUR)]"
	@$(CC) $(CFLAGS_ALL) $(UNIT_FLAGS) -MMD -MP -c -o $@ $<

$(OBJ)/%.o: %.cpp $(B)/flags $(wildcard $(DEPS_MK)) | $(OVERLAY_FILES)
	@mkdir -p $(@D)
	@echo "  CXX   $< [$(FLAVOUR)]"
	@$(CXX) $(CXXFLAGS_ALL) -MMD -MP -c -o $@ $<

# Entry points that a framework calls by name have no prototype of ours.
$(OBJ)/tests/%.o: UNIT_FLAGS := -Wno-missing-prototypes

DEP_FILES := $(patsubst %.o,%.d,$(call objects,$(C_SRC) $(CXX_SRC) $(UNIT_SRC) $(SUPPORT_SRC) $(STRESS_SRC)))
-include $(DEP_FILES) $(wildcard $(OBJ)/tests/fuzz/*.d $(OBJ)/tests/fuzz/*/*.d $(OBJ)/tests/tsan/*.d)

# One archive per component, without its main.o, so that tests can link all of them. common/*.cpp (the TOML shim) goes
# with the acceptor: nothing else may pull in libstdc++.
MEMBERS_acceptor := $(call objects,$(filter-out acceptor/main.c,$(filter acceptor/%,$(C_SRC)) $(CXX_SRC)))
MEMBERS_worker := $(call objects,$(filter-out worker/main.c,$(filter worker/%,$(C_SRC)))) \
                  $(if $(ASSETS),$(OBJ)/worker/http/assets.o)
MEMBERS_relay := $(call objects,$(filter-out relay/main.c,$(filter relay/%,$(C_SRC))))
MEMBERS_bench := $(call objects,$(filter-out bench/main.c,$(filter bench/%,$(C_SRC))))
MEMBERS_common := $(call objects,$(filter common/%,$(C_SRC)))
MEMBERS_support := $(call objects,$(SUPPORT_SRC))
ARCHIVES := $(foreach c,$(COMPONENTS),$(B)/lib/lib$(c).a)

archives: $(ARCHIVES)

define archive_rule
$(B)/lib/lib$(1).a: $(MEMBERS_$(1)) $(B)/sources
	@mkdir -p $$(@D)
	@rm -f $$@
	@$(if $(LTO),gcc-ar,ar) rcs $$@ $(MEMBERS_$(1))
endef
$(foreach c,$(COMPONENTS) support,$(eval $(call archive_rule,$(c))))

# `ringcast check --explain-event` asks the workers' own rules (worker/gate): of their archive it takes those objects alone.
ALSO_acceptor := $(B)/lib/libworker.a

define program_rule
$(BIN)/$(PROGRAM_$(1)): $(OBJ)/$(1)/main.o $(B)/lib/lib$(1).a $(ALSO_$(1)) $(B)/lib/libcommon.a $(wildcard build/deps/inst/lib/*.a)
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	@$(if $(filter acceptor,$(1)),$$(CXX),$$(CC)) $$(LDFLAGS_ALL) -o $$@ $(OBJ)/$(1)/main.o \
	    -Wl,--start-group $(B)/lib/lib$(1).a $(ALSO_$(1)) $(B)/lib/libcommon.a -Wl,--end-group $$(LIBS)
endef
$(foreach c,acceptor worker relay bench,$(eval $(call program_rule,$(c))))

# Tests may use anything, the C++ shim and the WebSocket library that they compare with included.
# $(1): its objects and archives, $(2): further libraries.
link_test = @mkdir -p $(@D); echo "  LINK  $@"; \
    $(CC) $(LDFLAGS_ALL) -o $@ -Wl,--start-group $(1) -Wl,--end-group $(2) $(LIBS) -lwslay -lstdc++
TEST_ARCHIVES := $(B)/lib/libsupport.a $(ARCHIVES)
# Under TSan a test has its own component and common, so that all others need not be built for the few of tests/tsan.list.
unit_archives = $(if $(filter tsan,$(FLAVOUR)),$(foreach c,$(sort $(word 3,$(subst /, ,$(1))) common),$(B)/lib/lib$(c).a),$(TEST_ARCHIVES))
# Criterion's runner cannot start under TSan; tests/tsan has a small one with the same macros.
UNIT_DRIVER := $(if $(filter tsan,$(FLAVOUR)),$(OBJ)/tests/tsan/runner.o,-lcriterion)
define unit_rule
$(patsubst tests/unit/%.c,$(B)/tests/%,$(1)): $(OBJ)/$(basename $(1)).o $(filter %.o,$(UNIT_DRIVER)) $(call unit_archives,$(1))
	$$(call link_test,$$^,$(filter -l%,$(UNIT_DRIVER)))
endef
$(foreach s,$(UNIT_SRC),$(eval $(call unit_rule,$(s))))

$(STRESSES): $(B)/tests/stress/%: $(OBJ)/tests/stress/%.o $(TEST_ARCHIVES)
	$(call link_test,$^)

# A fuzz target is target.c and whatever lies beside it. Under libFuzzer it searches; otherwise it replays its corpus.
FUZZ_DRIVER := $(if $(filter fuzz,$(FLAVOUR)),-fsanitize=fuzzer,$(OBJ)/tests/fuzz/replay_main.o)
define fuzz_rule
$(B)/fuzz/$(1): $(call objects,$(wildcard tests/fuzz/$(1)/*.c)) $(filter %.o,$(FUZZ_DRIVER)) $(TEST_ARCHIVES)
	$$(call link_test,$$^,$(filter -f%,$(FUZZ_DRIVER)))
endef
$(foreach n,$(FUZZ_NAMES),$(eval $(call fuzz_rule,$(n))))

# Files served by the worker, as symbols (worker/http/assets.h): page.html is rc_asset_page_html … rc_asset_page_html_end, and compressed
# rc_asset_page_html_gz … rc_asset_page_html_gz_end. gzip -n: the same bytes whenever they are made.
PACKED := $(ASSETS:%=$(B)/gen/%.gz)
$(B)/gen/%.gz: %
	@mkdir -p $(@D)
	@gzip -9nc $< >$@
$(B)/gen/assets.S: $(B)/sources
	@mkdir -p $(@D)
	@{ echo '.section .rodata'; for file in $(ASSETS) $(PACKED); do \
	    symbol=rc_asset_$$(basename $$file | tr -c 'a-zA-Z0-9\n' _); \
	    printf '.balign 16\n.global %s, %s_end\n%s:\n.incbin "%s"\n%s_end:\n.byte 0\n' \
	        $$symbol $$symbol $$symbol $$file $$symbol; \
	done; echo '.section .note.GNU-stack,"",@progbits'; } >$@
$(OBJ)/worker/http/assets.o: $(B)/gen/assets.S $(ASSETS) $(PACKED)
	@mkdir -p $(@D)
	@echo "  EMBED $(ASSETS)"
	@$(CC) -c -o $@ $<

# The BPF program, its debug sections dropped (BTF stays), and the skeleton that embeds it. The pragma keeps our warnings
# off the generated header while -MMD still sees that it changed.
BPF_SKELETONS := $(patsubst %.bpf.c,build/bpf/%.skel.h,$(notdir $(BPF_SRC)))
bpf: $(BPF_SKELETONS)
define bpf_rule
build/bpf/$(basename $(notdir $(1))).o: $(1)
	@mkdir -p $$(@D)
	@echo "  BPF   $$<"
	@clang -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -I. -idirafter /usr/include/$$$$(uname -m)-linux-gnu -MMD -MP -c -o $$@ $$<
	@llvm-strip -g $$@
endef
$(foreach s,$(BPF_SRC),$(eval $(call bpf_rule,$(s))))
build/bpf/%.skel.h: build/bpf/%.bpf.o
	@{ echo '#pragma GCC system_header'; bpftool gen skeleton $<; } >$@
-include $(wildcard build/bpf/*.d)
# Which sources include a skeleton is only known after the first build: until then all of the acceptor and tests wait.
$(filter $(OBJ)/acceptor/% $(OBJ)/tests/%,$(call objects,$(C_SRC) $(UNIT_SRC) $(SUPPORT_SRC) $(STRESS_SRC))): | $(BPF_SKELETONS)

# --- doing things ----------------------------------------------------------------------------------------------------

.PHONY: deps run test lint format format-check asan tsan fuzz fuzz-replay stress bench million scale install install-data uninstall deb sbom image fresh clean distclean help
.PHONY: show-flags show-formatted

DEPS ?= run
deps: ## install or build what is missing (DEPS=run|test|bench)
	@deploy/deps $(DEPS)

# exec: what make started is the broker itself, so that Ctrl-C and SIGTERM reach it and its exit code is make's.
run: ## set up, build, start in the foreground on 127.0.0.1:8080; CONFIG=FILE to use a configuration
	@deploy/deps run
	@$(MAKE) FLAVOUR=release programs
	@exec env RINGCAST_QUICKSTART=1 build/ringcast run $(if $(CONFIG),-c $(CONFIG))

# Failures have been named and counted when tests/run ends, and its last line, the count, is to stay the last one: a recipe that
# failed would have make add a line of its own. SIGQUIT ends make without a word, with exit code 1; the pause keeps the recipe
# alive until make has seen it. Where make ignores SIGQUIT, as a shell's jobs in the background do, it says its line, and fails all the
# same.
test: ## everything CI checks: lint, unit, TSan, corpora, end to end (T=part of a name: only those)
	@deploy/deps test
	+@tests/run $(T) || { (( 16#$$(awk '/^SigIgn/ { print $$2 }' /proc/$$PPID/status) & 4 )) && exit 1; kill -QUIT $$PPID; sleep 1; }

lint: ## style rules as tests
	@deploy/deps test
	+@tests/lint/run

FILES ?= $(FORMATTED)
format: ## rewrite the C sources with clang-format (FILES="…": only those)
	@clang-format -i $(FILES)
format-check: ## say which C sources clang-format would change (FILES="…")
	@clang-format --dry-run -Werror $(FILES)

asan: ## build everything with ASan and UBSan into build/asan, run the unit tests (T=)
	@deploy/deps test
	+@tests/run --only unit $(T)
tsan: ## build everything with TSan into build/tsan, run the unit tests of tests/tsan.list (T=)
	@deploy/deps test
	@$(MAKE) FLAVOUR=tsan programs
	+@tests/run --only tsan $(T)
fuzz-replay: ## run every fuzz target over its corpus under ASan and UBSan (T=)
	@deploy/deps test
	+@tests/run --only fuzz $(T)

fuzz: ## search with libFuzzer, FUZZ_SECONDS=60 for each target (T=part of a name); new inputs go to build/fuzz/corpus
	@deploy/deps test
	@$(MAKE) FLAVOUR=fuzz fuzz-targets
	@$(MAKE) fuzz-all
.PHONY: fuzz-all
fuzz-all: $(foreach n,$(FUZZ_NAMES),$(if $(T),$(if $(findstring $(T),$(n)),fuzz-one-$(n)),fuzz-one-$(n)))
	@echo "fuzz: new inputs, if any, are in build/fuzz/corpus"
fuzz-one-%: FORCE
	@mkdir -p build/fuzz/corpus/$* build/fuzz/log
	@UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 build/fuzz/fuzz/$* -max_total_time=$(FUZZ_SECONDS) -timeout=10 \
	    -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix=build/fuzz/$*- \
	    $(if $(wildcard tests/fuzz/$*/dict),-dict=tests/fuzz/$*/dict) \
	    build/fuzz/corpus/$* $(wildcard tests/fuzz/$*/corpus) >build/fuzz/log/$* 2>&1 || { \
	    tail -n 40 build/fuzz/log/$*; echo "fuzz $*: FAILED, the input is build/fuzz/$*-…"; exit 1; }
	@echo "fuzz $*: $$(awk '/number_of_executed_units/ { n = $$2 } / cov: / { c = $$4 } END { print n " runs, coverage " c }' build/fuzz/log/$*)"

# A script whose first line is "// FLAVOUR=asan" runs against programs of that flavour.
stress: ## the long tests of tests/stress, STRESS_SECONDS=600 for each (T=part of a name)
	@deploy/deps test
	@$(MAKE) FLAVOUR=stress stress-programs programs
	@status=0; for test in $(STRESSES:$(B)/%=build/stress/%) $(sort $(wildcard tests/stress/*.mjs)); do \
	    [[ $$test == *'$(T)'* ]] || continue; \
	    echo "== $$test"; run=(); flavour=stress; \
	    if [[ $$test == *.mjs ]]; then run=(node); [[ $$(head -n 1 $$test) != '// FLAVOUR=asan' ]] || flavour=asan; fi; \
	    [[ $$flavour == stress ]] || $(MAKE) FLAVOUR=$$flavour programs || { status=1; continue; }; \
	    STRESS_SECONDS=$(STRESS_SECONDS) RINGCAST_BIN_DIR=$(CURDIR)/build/$$flavour "$${run[@]}" $$test || { status=1; echo "FAILED: $$test"; }; \
	done; exit $$status

bench: ## measure, next to the floors and the peers (BENCH_ARGS=)
	@deploy/deps bench
	@$(MAKE) FLAVOUR=release programs
	@if [[ -x bench/run ]]; then exec bench/run $(BENCH_ARGS); else exec build/ringcast-bench $(BENCH_ARGS); fi

million: ## hold a million connections, in a network namespace of its own (N=1000000 SECONDS=60)
	@$(MAKE) FLAVOUR=release programs
	@bench/million $(or $(N),1000000) $(or $(SECONDS),60)

scale: ## what a delivery costs with 1,000 to 1,000,000 subscribers, beside the bare loop (N="1000 100000")
	@$(MAKE) FLAVOUR=release programs
	@bench/scale $(N)

# What an installation is made of: source|folder|mode. Programs and generated files come beside it. @BINDIR@ and @SYSCONFDIR@ in unit
# files become the real folders. A configuration that is there is never overwritten.
DATADIR = $(PREFIX)/share
DOCDIR = $(DATADIR)/doc/ringcast
# In folders as here, so that what a page leads to and names is where it says.
DOCUMENTS = README.md bench/README.md deploy/ringcast.toml \
            $(wildcard docs/*.md deploy/examples/* deploy/nginx/* deploy/haproxy/* deploy/prometheus/* deploy/container/*)
INSTALLED = $(foreach file,$(wildcard deploy/sysctl/*.conf),$(file)|$(PREFIX)/lib/sysctl.d) \
            deploy/completion/ringcast.bash|$(DATADIR)/bash-completion/completions \
            deploy/completion/_ringcast|$(DATADIR)/zsh/vendor-completions \
            deploy/completion/ringcast.fish|$(DATADIR)/fish/vendor_completions.d \
            $(foreach file,$(DOCUMENTS),$(file)|$(DOCDIR)/$(patsubst ./%,%,$(patsubst %/,%,$(dir ./$(file)))))
INSTALLED_PROGRAMS = $(filter-out %-bench,$(PROGRAMS))
MANUALS = $(DATADIR)/man/man1/ringcast.1 $(DATADIR)/man/man5/ringcast.toml.5
UNITS_DIR = $(PREFIX)/lib/systemd/system
install: broker-programs install-data ## install below DESTDIR= PREFIX=/usr/local
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(INSTALLED_PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	@install -d $(DESTDIR)$(SYSCONFDIR)/ringcast; conf=$(DESTDIR)$(SYSCONFDIR)/ringcast/ringcast.toml; \
	    [[ ! -e $$conf ]] || cmp -s deploy/ringcast.toml $$conf || conf=$$conf.new; install -v -m 640 deploy/ringcast.toml $$conf
	@install -d $(DESTDIR)$(UNITS_DIR); for unit in $(wildcard deploy/systemd/*); do \
	    sed -e 's|@BINDIR@|$(PREFIX)/bin|g' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g' $$unit >$(DESTDIR)$(UNITS_DIR)/$${unit##*/}; \
	    chmod 644 $(DESTDIR)$(UNITS_DIR)/$${unit##*/}; echo "'$$unit' -> '$(DESTDIR)$(UNITS_DIR)/$${unit##*/}'"; \
	done
	@install -d $(dir $(addprefix $(DESTDIR),$(MANUALS)))
	@$(BIN)/ringcast help --man >$(DESTDIR)$(firstword $(MANUALS))
	@$(BIN)/ringcast help-config --man >$(DESTDIR)$(lastword $(MANUALS))
	@echo "manual pages, shells' completion and examples -> $(DESTDIR)$(DATADIR)"

# What is the same on every machine: examples, documentation, shells' completion.
install-data:
	@for row in $(foreach row,$(INSTALLED),$(call quoted,$(row))); do install -d "$(DESTDIR)$${row#*|}"; install -m 644 "$${row%|*}" "$(DESTDIR)$${row#*|}"; done
	@mv $(DESTDIR)$(DATADIR)/bash-completion/completions/ringcast.bash $(DESTDIR)$(DATADIR)/bash-completion/completions/ringcast

# The configuration stays: it is not ours.
uninstall: ## remove what `make install` put below DESTDIR= PREFIX=; the configuration stays
	@rm -fv $(addprefix $(DESTDIR)$(PREFIX)/bin/,$(notdir $(INSTALLED_PROGRAMS))) $(addprefix $(DESTDIR),$(MANUALS)) \
	    $(addprefix $(DESTDIR)$(UNITS_DIR)/,$(notdir $(wildcard deploy/systemd/*))) \
	    $(DESTDIR)$(DATADIR)/bash-completion/completions/ringcast
	@for row in $(foreach row,$(INSTALLED),$(call quoted,$(row))); do file=$${row%|*}; rm -fv "$(DESTDIR)$${row#*|}/$${file##*/}"; done
	@[[ ! -d $(DESTDIR)$(DOCDIR) ]] || find $(DESTDIR)$(DOCDIR) -depth -type d -empty -delete

deb: broker-programs ## build/ringcast_VERSION_ARCHITECTURE.deb, for the release that it is built on
	+@deploy/package $(built_version)

sbom: broker-programs ## build/ringcast.cdx.json: what the programs are made of (CycloneDX)
	@deploy/sbom $(built_version) $(INSTALLED_PROGRAMS) >build/ringcast.cdx.json
	@echo build/ringcast.cdx.json

# Docker's format of an image has a HEALTHCHECK, that of OCI has none: podman and buildah have to be told.
image: ## a container image, by the first of docker, podman and buildah that is here (CONTAINER=podman)
	@tool="$(or $(CONTAINER),$$(for one in docker podman buildah; do command -v $$one && break; done || true))"; \
	[[ -n $$tool ]] || { echo "image: docker, podman or buildah is needed: apt-get install podman" >&2; exit 2; }; \
	format=(); [[ $${tool%% *} == *docker ]] || format=(--format docker); \
	version=$(built_version); \
	exec $$tool build "$${format[@]}" $(IMAGE_OPTIONS) --build-arg BUILD_VERSION="$$version" -f deploy/container/Containerfile \
	    -t "ringcast:$${version/+/-}" -t ringcast:latest .

fresh: ## prove `make run` and `make test` in new Debian 12 and 13 roots (needs root, debootstrap, a mirror)
	@tests/fresh $(RELEASE)

clean: ## remove what was built; keep build/deps and fuzz corpora
	@[[ ! -d build ]] || find build -mindepth 1 -maxdepth 1 ! -name deps ! -name fuzz ! -name fresh -exec rm -rf {} +
	@[[ ! -d build/fuzz ]] || find build/fuzz -mindepth 1 -maxdepth 1 ! -name corpus -exec rm -rf {} +
distclean: ## remove build/ and the tests' npm modules
	@rm -rf build tests/node_modules

show-flags:
	@echo $(call quoted,$(CFLAGS_ALL))
show-formatted:
	@printf '%s\n' $(FORMATTED)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
	@echo "  FLAVOUR=release|asan|tsan|stress|fuzz, MARCH=native, LTO=1, CC=clang CXX=clang++, JOBS=n"
