# tstream: see README. Each target is one command that does its own set-up.
#
#   make            the static binary
#   make demo       a local HTTPS server, and tstream streaming from it
#   make check      every test that takes seconds; installs from Debian alone
#   make torture    those that take minutes
#   make interop    other people's servers and clients; Debian and npm
#   make soak       an endurance run; SOAK_SECONDS, SOAK_RECONNECTS
#   make install    binary, manual, unit; PREFIX and DESTDIR; make uninstall
#   make dist       what is committed, as tstream-VERSION.tar.gz
#   make bench      CPU, memory and latency beside curl, jq, tweepy, npm's
#                   clients and others; BENCH_MB, BENCH_PAIRS
#   make fuzz       libFuzzer on the rooms that read foreign bytes;
#                   FUZZ_SECONDS, FUZZ_RUNS, FUZZ_TARGETS
#   make lint       warnings of two compilers, cppcheck, clang-tidy, format
#   make check-ports     eight other processors under qemu-user; PORTS
#   make check-kernels   the same under Debian's kernels in virtual machines;
#                   KERNELS
#   make check-reproducible    the same commit gives the same bytes, elsewhere
#                   and later
#   make release-check   all of these, one after the other
#   make clean
#
#   make TARGET=arm64    another processor: ./tstream-arm64; also armhf, armel,
#                        i386, riscv64, mipsel, ppc64el, s390x
#
# BEARSSL=dir takes a source tree of BearSSL 0.6, CC a compiler, HOSTCC that of
# this machine, and CA_BUNDLE a file or folder of certificates, instead of
# Debian's packages.

CC = musl-gcc
HOSTCC = cc
PREFIX = /usr/local
CA_BUNDLE = /usr/share/ca-certificates/mozilla

PURE = text secret sha1 oauth1 request http resume proxy json_scan lines \
	withheld backoff session
ROOMS = $(PURE) nowait keys log resolve tls roots net output files report coverage loop sandbox \
	options tstream
OBJS = $(ROOMS:%=$(B)/%.o)
HEADERS = $(wildcard *.h)

WARN = -std=c99 -pedantic -Wall -Wextra -Wshadow -Wconversion \
	-Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wvla -Wundef
# The C library's extensions: explicit_bzero, getrandom, memrchr, ppoll.
DEFS = -D_GNU_SOURCE
CFLAGS = -O2 -fPIE -fstack-protector-strong -Werror
# Its own entropy sources are off: what getrandom gives is the only one.
BEAR_CFLAGS = -O2 -fPIE -fstack-protector-strong -DBR_RDRAND=0 -DBR_USE_URANDOM=0

# Where the objects are, and the binary's name.
B = build
BINARY = tstream
ifdef TARGET
# Debian's names of processors, and GNU's.
GNU_arm64 = aarch64-linux-gnu
GNU_armhf = arm-linux-gnueabihf
GNU_armel = arm-linux-gnueabi
GNU_i386 = i686-linux-gnu
GNU_riscv64 = riscv64-linux-gnu
GNU_mipsel = mipsel-linux-gnu
GNU_ppc64el = powerpc64le-linux-gnu
GNU_s390x = s390x-linux-gnu
GNU = $(or $(GNU_$(TARGET)),$(error there is no TARGET=$(TARGET)))
B = build/$(TARGET)
BINARY = tstream-$(TARGET)
# Relative: a path with a blank would be two words.
CC = $(B)/musl/bin/musl-gcc
endif

# A script such as musl-gcc names the folder of its start files; with
# -static-pie it would make a dynamic binary, so they are named.
MUSL = $(shell sed -n 's:.*-specs[= ]"*\([^"]*/\)musl-gcc.specs.*:\1:p' \
	"$$(command -v '$(CC)')" 2>/dev/null)
LINK = $(if $(MUSL),$(CC) -static -nostartfiles \
	-Wl$(comma)-pie$(comma)--no-dynamic-linker$(comma)-z$(comma)text \
	'$(MUSL)rcrt1.o' '$(MUSL)crti.o',$(CC) -static-pie)
LINK_END = $(if $(MUSL),'$(MUSL)crtn.o')
comma = ,
LDFLAGS = -Wl,-z,relro,-z,now,-z,noexecstack -s

ifdef BEARSSL
NEED = :
BEAR = $(BEARSSL)
else
NEED = scripts/need
BEAR = build/bearssl
endif

all: $(BINARY)

# Static, and at an address that the kernel chooses.
$(BINARY): $(OBJS) $(B)/libbearssl.a
	@echo '  LINK $@'
	@$(LINK) -o $@ $(OBJS) $(B)/libbearssl.a $(LDFLAGS) $(LINK_END)
	@if ! readelf -hW $@ | grep -q 'Type: *DYN' || \
		readelf -lW $@ | grep -q INTERP; then rm -f $@; \
		echo "make: the binary is not a static PIE" >&2; exit 1; fi

build/tools:
	@mkdir -p build
	$(NEED) gcc libc6-dev musl-tools ca-certificates openssl xz-utils
	@touch $@

# What was chosen: a change makes anew what depends on it.
CHOICES = $(CC) $(CFLAGS) $(BEAR) $(BEAR_CFLAGS) $(CA_BUNDLE) \
	$(shell find '$(CA_BUNDLE)' -type f -exec cat {} + 2>/dev/null | cksum)
$(B)/choices: FORCE | $(B)/compiler
	@echo '$(CHOICES)' | cmp -s - $@ || echo '$(CHOICES)' >$@
FORCE:

ifdef TARGET
$(B)/compiler: scripts/musl scripts/fetch | build/tools
	scripts/need gcc-$(GNU)
	scripts/musl $(TARGET) $(GNU) $(B)/musl
	@touch $@
else
build/compiler: | build/tools
	@touch $@
endif

# A tree given by BEARSSL is only read.
ifndef BEARSSL
SOURCE = build/bearssl/inc/bearssl.h
$(SOURCE): | build/tools
	scripts/fetch source bearssl bearssl_0.6+dfsg.1.orig.tar.xz \
		102a625bd8f6155260867a50c508df8d8c3f796985dd744df1a68e5cd1a79004 \
		build/bearssl
endif

$(B)/libbearssl.a: $(B)/choices scripts/build-bearssl | $(SOURCE)
	@echo '  BearSSL 0.6'
	@scripts/build-bearssl '$(BEAR)' $(B) '$(CC)' $(BEAR_CFLAGS)

# Runs here, whatever the processor of the binary.
TA = tools/ta tools/certs tools/files tools/vector tools/xmem \
	src/codec/pemdec src/x509/x509_decoder
build/ta: scripts/ta.c build/tools | $(SOURCE)
	@$(HOSTCC) -I '$(BEAR)/inc' -I '$(BEAR)/src' -o $@ $< $(TA:%='$(BEAR)'/%.c)

$(B)/include/roots_builtin.h: $(B)/choices build/ta scripts/roots
	@mkdir -p $(@D)
	scripts/roots build/ta '$(CA_BUNDLE)' >$@.tmp
	@mv $@.tmp $@

INCLUDES = -isystem '$(BEAR)/inc' -isystem $(B)/include

$(B)/%.o: %.c $(HEADERS) Makefile $(B)/choices | $(SOURCE)
	@echo '  CC $<'
	@$(CC) $(WARN) $(DEFS) $(CFLAGS) $(INCLUDES) -c -o $@ $<
$(B)/roots.o: $(B)/include/roots_builtin.h

# Another processor's shipped objects in programs of the tests.
PORT_PROGRAMS = $(B)/tests/unit $(B)/tests/probe $(B)/tests/counters \
	$(B)/tests/sandbox $(B)/tests/init
ifdef TARGET
port: $(BINARY) $(PORT_PROGRAMS)
CMOCKA = build/cmocka/src/cmocka.c
$(CMOCKA): | build/tools
	scripts/fetch source cmocka cmocka_1.1.5.orig.tar.xz \
		f0ccd8242d55e2fd74b16ba518359151f6f8383ff8aef4976e48393f77bba8b6 \
		build/cmocka
$(PORT_PROGRAMS): $(B)/tests/%: tests/%.c $(OBJS) $(B)/libbearssl.a | $(CMOCKA)
	@mkdir -p $(@D)
	@echo '  LINK $@'
	@$(CC) -w $(DEFS) $(CFLAGS) $(INCLUDES) -I build/cmocka/include -static \
		-D_UINTPTR_T -DHAVE_SIGNAL_H -DHAVE_STRUCT_TIMESPEC -DHAVE_CLOCK_REALTIME \
		-o $@ $< $(if $(findstring unit,$@),$(CMOCKA)) \
		$(filter-out $(B)/tstream.o,$(OBJS)) $(B)/libbearssl.a
# The kernel of Debian's package; armel has none that qemu runs.
KERNEL_arm64 = linux-image-arm64 arm64
KERNEL_armhf = linux-image-armmp armhf
KERNEL_armel = $(KERNEL_armhf)
KERNEL_i386 = linux-image-686-pae i386
KERNEL_mipsel = linux-image-4kc-malta mipsel
KERNEL_ppc64el = linux-image-powerpc64le ppc64el
KERNEL_s390x = linux-image-s390x s390x
kernel: port $(B)/kernel/boot
$(B)/kernel/boot: scripts/fetch | build/tools
	scripts/fetch first $(KERNEL_$(TARGET)) $(B)/kernel
	rm -rf $(B)/kernel/lib $(B)/kernel/usr
	@touch $@
endif

# Tests: the pure rooms under sanitizers, and the binary against tests/peer.py.

TEST_PACKAGES = python3-pytest python3-oauthlib python3-cryptography openssl \
	jq libcmocka-dev gcc libc6-dev curl strace tmux mandoc \
	python3-dnspython iproute2 util-linux python3-cryptography-vectors \
	python3-pytest-timeout python3-pytest-xdist nodejs python3-yaml \
	groff-base man-db zsh tinyproxy-bin squid zstd sqlite3 redis-tools s6 \
	daemontools kcat logrotate systemd systemd-container
# What tests/peer.py imports.
DEMO_PACKAGES = python3 python3-oauthlib python3-cryptography
SANITIZE = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
TEST_ROOMS = $(PURE) keys resolve sandbox
PYTHON = /usr/bin/python3

build/tests-ready: Makefile
	scripts/need $(TEST_PACKAGES)
	@mkdir -p build/tests
	@touch $@

build/tests/%.o: %.c $(HEADERS) Makefile | build/tests-ready
	@echo '  CC $< (sanitizers)'
	@$(HOSTCC) $(WARN) -Werror $(DEFS) $(SANITIZE) $(HOST_INCLUDES) -c -o $@ $<

build/tests/probe: tests/probe.c $(TEST_ROOMS:%=build/tests/%.o)
	@echo '  LINK $@'
	@$(HOSTCC) $(WARN) -Werror $(DEFS) $(SANITIZE) -o $@ $^

# The same without vector instructions.
build/tests/probe_portable: tests/probe.c $(TEST_ROOMS:%=build/tests/%.o)
	@echo '  LINK $@'
	@$(HOSTCC) $(WARN) -Werror $(DEFS) $(SANITIZE) -DJSON_PORTABLE -o $@ \
		json_scan.c $(filter-out %/json_scan.o,$^)

build/tests/unit: tests/unit.c $(TEST_ROOMS:%=build/tests/%.o)
	@echo '  LINK $@'
	@$(HOSTCC) $(WARN) -Werror $(DEFS) $(SANITIZE) -o $@ $^ -lcmocka

# The loop between simulated system calls: all of these go to tests/sim.c.
SIM_CALLS = ppoll poll clock_gettime resolve_ask resolve_read \
	socket setsockopt getsockopt connect send recv close getentropy write \
	ioctl
SIM_ROOMS = $(PURE) nowait log resolve tls net output files report coverage loop sandbox
build/tests/tls.o build/tests/net.o build/tests/report.o build/tests/coverage.o \
	build/tests/loop.o: \
	HOST_INCLUDES = $(INCLUDES)
build/tests/sim: tests/sim.c $(SIM_ROOMS:%=build/tests/%.o) build/libbearssl.a
	@echo '  LINK $@'
	@$(HOSTCC) $(WARN) -Werror $(DEFS) $(SANITIZE) $(INCLUDES) -o $@ $^ \
		$(SIM_CALLS:%=-Wl,--wrap=%)

# The shipped object.
build/tests/sandbox: tests/sandbox.c build/sandbox.o | build/tests-ready
	@echo '  LINK $@'
	@$(CC) $(WARN) $(DEFS) $(CFLAGS) -static -o $@ $^

build/tests/counters: tests/counters.c $(OBJS) build/libbearssl.a \
		| build/tests-ready
	@echo '  LINK $@'
	@$(CC) $(WARN) $(DEFS) $(CFLAGS) $(INCLUDES) -static -o $@ $< \
		$(filter-out build/tstream.o,$(OBJS)) build/libbearssl.a

build/tests/lookup: tests/lookup.c build/resolve.o build/sandbox.o | build/tests-ready
	@echo '  LINK $@'
	@$(CC) $(WARN) $(DEFS) $(CFLAGS) -static -o $@ $^

# The shipped objects with faults between them.
build/tests/faults: tests/faults.c $(OBJS) build/libbearssl.a | build/tests-ready
	@echo '  LINK $@'
	@$(CC) $(WARN) $(DEFS) $(CFLAGS) $(INCLUDES) -static -o $@ $^ \
		-Wl,--wrap=getaddrinfo,--wrap=coverage_stats,--wrap=request_build

build/demo-ready: Makefile
	scripts/need $(DEMO_PACKAGES)
	@mkdir -p build
	@touch $@

demo: tstream build/demo-ready
	$(PYTHON) -B tests/demo.py ./tstream

# The shipped objects on a fast clock.
build/tests/tstream-fast: tests/fast_clock.c $(OBJS) build/libbearssl.a \
		| build/tests-ready
	@echo '  LINK $@'
	@$(CC) $(WARN) $(DEFS) $(CFLAGS) -static -o $@ $^ \
		-Wl,--wrap=clock_gettime,--wrap=ppoll

# SOAK_SECONDS of cuts, stalls and rubbish; then SOAK_RECONNECTS of them.
SOAK_SECONDS ?= 600
SOAK_RECONNECTS ?= 10000
soak: tstream build/tests/tstream-fast build/tests-ready
	$(LEAVE_NOTHING) $(PYTHON) -B tests/soak.py ./tstream $(SOAK_SECONDS) \
		build/tests/tstream-fast $(SOAK_RECONNECTS)

# libFuzzer; FUZZ_SECONDS a target, or FUZZ_RUNS inputs. A corpus stays in
# build/fuzz.
FUZZ_SECONDS ?= 60
FUZZ_RUNS ?= -1
FUZZ_TARGETS ?= json lines head body session keys url answer roots proxy
FUZZ_ROOMS = $(PURE) keys resolve sandbox roots
# Lines are at most so long there that inputs of 2,048 bytes reach the limit.
FUZZ_FLAGS = $(DEFS) -DLINE_MAX_SIZE=300u -O1 -g -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all $(INCLUDES)
build/fuzz-ready: build/tests-ready Makefile
	scripts/need clang libclang-rt-14-dev rapidjson-dev libhttp-parser-dev
	@mkdir -p build/fuzz
	@touch $@
build/fuzz/%.o: %.c $(HEADERS) Makefile \
		| build/fuzz-ready build/include/roots_builtin.h
	@clang -std=c99 $(FUZZ_FLAGS) -c -o $@ $<
build/fuzz/fuzz.o: tests/fuzz.c tests/fuzz_oracle.h $(HEADERS) Makefile \
		| build/fuzz-ready $(SOURCE)
	@clang -std=c99 $(FUZZ_FLAGS) -c -o $@ $<
build/fuzz/oracle.o: tests/fuzz_oracle.cpp tests/fuzz_oracle.h | build/fuzz-ready
	@clang++ -O2 -c -o $@ $<
build/fuzz/fuzz: build/fuzz/fuzz.o build/fuzz/oracle.o \
		$(FUZZ_ROOMS:%=build/fuzz/%.o) build/libbearssl.a
	@echo '  LINK $@'
	@clang++ -fsanitize=fuzzer,address,undefined -o $@ $^ -lhttp_parser
fuzz: build/fuzz/fuzz
	@for t in $(FUZZ_TARGETS); do mkdir -p build/fuzz/$$t; \
		TARGET=$$t build/fuzz/fuzz -max_total_time=$(FUZZ_SECONDS) \
			-runs=$(FUZZ_RUNS) -max_len=2048 -print_final_stats=1 \
			-artifact_prefix=build/fuzz/$$t- build/fuzz/$$t \
			tests/seeds/$$t >build/fuzz/$$t.log 2>&1 || \
			{ tail -n 30 build/fuzz/$$t.log; exit 1; }; \
		echo "fuzz $$t: $$(sed -n 's/.*executed_units: *//p' \
			build/fuzz/$$t.log) inputs, nothing found"; done

# How much, and how often.
BENCH_MB ?= 1024
BENCH_PAIRS ?= 5
BENCH = build/tests/bench_server build/tests/bench_floor build/tests/bench_scan \
	build/tests/bench_simdjson
build/bench-ready: build/tests-ready Makefile
	scripts/need curl jq libssl-dev libsimdjson-dev g++ python3-requests \
		python3-tweepy util-linux
	@touch $@
build/tests/bench_server: tests/bench_server.c | build/bench-ready
	$(HOSTCC) $(WARN) $(DEFS) -O2 -o $@ $< -lssl -lcrypto
build/tests/bench_floor: tests/bench_floor.c $(OBJS) build/libbearssl.a \
		| build/bench-ready
	$(CC) $(WARN) $(DEFS) $(CFLAGS) $(INCLUDES) -static -o $@ $< \
		$(filter-out build/tstream.o,$(OBJS)) build/libbearssl.a
build/tests/bench_scan: tests/bench_scan.c build/json_scan.o build/text.o \
		| build/bench-ready
	$(CC) $(WARN) $(DEFS) $(CFLAGS) -static -o $@ $^
build/tests/bench_simdjson: tests/bench_simdjson.cpp | build/bench-ready
	g++ -O2 -o $@ $< -lsimdjson
bench: tstream $(BENCH)
	@# without them the rows of npm's clients are skipped
	-@$(MAKE) --no-print-directory build/interop/ready
	BENCH_MB=$(BENCH_MB) BENCH_PAIRS=$(BENCH_PAIRS) $(LEAVE_NOTHING) $(PYTHON) -B tests/bench.py ./tstream

# A line each: the mode, the file, where it is installed.
SHARE = $(PREFIX)/share
INSTALLED = 755:tstream:$(PREFIX)/bin/tstream \
	644:tstream.1:$(SHARE)/man/man1/tstream.1 \
	644:LICENSE:$(SHARE)/doc/tstream/LICENSE \
	644:LICENSES:$(SHARE)/doc/tstream/LICENSES \
	644:build/tstream@.service:$(PREFIX)/lib/systemd/system/tstream@.service \
	644:completions/tstream.bash:$(SHARE)/bash-completion/completions/tstream \
	644:completions/_tstream:$(SHARE)/zsh/site-functions/_tstream
build/tstream@.service: tstream@.service FORCE
	@sed 's:@PREFIX@:$(PREFIX):' $< >$@

install: tstream build/tstream@.service
	@case '$(PREFIX)' in *[[:space:]]*) echo "PREFIX has a blank" >&2; exit 1; esac
	@set -e; for f in $(INSTALLED); do \
		mode=$${f%%:*}; f=$${f#*:}; to='$(DESTDIR)'$${f#*:}; \
		echo "  INSTALL $$to"; install -D -m $$mode "$${f%%:*}" "$$to"; done

uninstall:
	@for f in $(INSTALLED); do rm -fv '$(DESTDIR)'"$${f##*:}"; done
	@rmdir '$(DESTDIR)$(PREFIX)/share/doc/tstream' 2>/dev/null || true

# What is committed, under the version's name.
VERSION = $(shell sed -n 's/^#define TSTREAM_VERSION "\(.*\)"/\1/p' request.h)
dist:
	git archive --prefix=tstream-$(VERSION)/ -o tstream-$(VERSION).tar.gz HEAD
	@ls -l tstream-$(VERSION).tar.gz

# Format, the warnings of two compilers, and three analysers.
LINT_PACKAGES = clang clang-format clang-tidy cppcheck shellcheck
# Left out, and why: names such as _GNU_SOURCE are the C library's; results of
# printf to a terminal are not needed; products of small constants do not
# overflow; -Wconversion judges conversions; memcpy_s is not in musl; a va_list
# is taken for uninitialised when several files are analysed at once.
TIDY = -*,bugprone-*,cert-*,clang-analyzer-*,$\
	-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,$\
	-bugprone-implicit-widening-of-multiplication-result,$\
	-bugprone-narrowing-conversions,-cert-dcl37-c,-cert-dcl51-cpp,$\
	-cert-err33-c,-clang-analyzer-valist.Uninitialized,$\
	-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,$\
	readability-function-size
# A function fits one screen.
TIDY_LIMITS = {CheckOptions: [$\
	{key: readability-function-size.LineThreshold, value: 60},$\
	{key: readability-function-size.NestingThreshold, value: 3},$\
	{key: readability-function-size.ParameterThreshold, value: 6}]}
C_FILES = $(ROOMS:%=%.c)
lint: tstream build/tests-ready
	scripts/need $(LINT_PACKAGES)
	clang-format --dry-run -Werror *.c *.h tests/*.c
	$(HOSTCC) $(WARN) $(DEFS) -Werror -O2 -fsyntax-only $(INCLUDES) $(C_FILES) \
		tests/bench_floor.c tests/bench_scan.c
	clang $(WARN) $(DEFS) -Werror -fsyntax-only $(INCLUDES) $(C_FILES)
	cppcheck -q --std=c99 --error-exitcode=1 --inline-suppr \
		--enable=warning,style,performance,portability \
		--suppressions-list=tests/cppcheck.txt $(DEFS) $(C_FILES)
	clang-tidy --quiet --checks='$(TIDY)' --config='$(TIDY_LIMITS)' \
		--warnings-as-errors='*' $(C_FILES) -- -std=c99 $(DEFS) $(INCLUDES)
	shellcheck $(filter-out %.c,$(wildcard scripts/*))
	mandoc -T lint -W warning tstream.1
	@echo "lint: clean"

TEST_PROGRAMS = build/tests/probe build/tests/probe_portable build/tests/unit build/tests/sandbox \
	build/tests/sim build/tests/lookup build/tests/counters build/tests/faults \
	build/tests/tstream-fast
LEAVE_NOTHING = $(PYTHON) -B tests/leave_nothing.py
PYTEST = $(LEAVE_NOTHING) $(PYTHON) -B -m pytest -q -p no:cacheprovider
# Most tests wait for a clock; JOBS of them do so side by side (0: none).
JOBS ?= 2
check: tstream $(TEST_PROGRAMS)
	$(PYTEST) --timeout=300 -n $(JOBS) \
		-m 'not torture and not interop and not ports and not kernels' \
		$(PYTEST_ARGS) tests

# What takes minutes: all cuts, flips, system calls, rows; 10,000 simulated
# days and ten years. make soak and make fuzz are apart.
torture: tstream $(TEST_PROGRAMS)
	$(PYTEST) --timeout=1800 --durations=20 -m torture $(PYTEST_ARGS) tests

# Servers and clients of others, with what npm has of them.
build/interop/ready: scripts/interop tests/interop/package-lock.json
	scripts/interop build/interop
	@touch $@

interop: tstream build/tests/probe build/tests/tstream-fast build/interop/ready
	$(PYTEST) --timeout=300 -m interop $(PYTEST_ARGS) tests

# What qemu-user runs of them: the rooms, the binary.
PORTS ?= arm64 armhf armel i386 riscv64 mipsel ppc64el s390x
check-ports: build/tests-ready | $(SOURCE)
	scripts/need qemu-user binutils
	@set -e; for t in $(PORTS); do $(MAKE) --no-print-directory -s -j2 TARGET=$$t port; done
	PORTS='$(PORTS)' $(PYTEST) --timeout=300 -n $(JOBS) -m ports $(PYTEST_ARGS) \
		tests/test_ports.py

# A kernel of Debian's for each that it has one for, by qemu-system.
KERNELS ?= $(filter-out riscv64,$(PORTS))
check-kernels: build/tests-ready | $(SOURCE)
	scripts/need qemu-system-arm qemu-system-mips qemu-system-misc \
		qemu-system-ppc qemu-system-x86 cpio
	@set -e; for t in $(KERNELS); do \
		$(MAKE) --no-print-directory -s TARGET=$$t kernel; done
	KERNELS='$(KERNELS)' $(PYTEST) --timeout=900 -m kernels $(PYTEST_ARGS) \
		tests/test_kernels.py

# The same commit gives the same bytes: natively, and for REPRODUCIBLE.
REPRODUCIBLE ?= armhf
check-reproducible: build/tools | $(SOURCE)
	scripts/need faketime util-linux git
	scripts/reproducible '$(BEAR)' native $(REPRODUCIBLE)

# All that a release must pass, hours of it; the first failure ends it.
RELEASE = lint check torture interop check-ports check-kernels \
	check-reproducible fuzz soak bench
release-check:
	@set -e; for t in $(RELEASE); do echo "release-check: $$t"; \
		$(MAKE) --no-print-directory $$t; done
	@grep -qx '$(VERSION)' CHANGES || { echo "CHANGES has no $(VERSION)" >&2; \
		exit 1; }
	@echo "release-check: $(VERSION) passed $(RELEASE)"

clean:
	rm -rf build tstream tstream-*

.PHONY: FORCE all clean demo check torture interop soak install uninstall \
	dist port kernel check-ports check-kernels check-reproducible release-check lint bench fuzz
.DELETE_ON_ERROR:
