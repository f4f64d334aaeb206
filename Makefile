# mhcbench: `make reproduce` shows the result, `make test` checks everything, `make help` lists the rest.
#
# Nothing is configured: the Makefile says what it found and builds what it can. Variables worth setting:
#   CC=clang  ARCH=x86-64-v3 (default: this machine)  INSTALL=1 (let make call apt through sudo) or 0 (never)  WERROR=1
#   OPENBLAS_DIR=  HDF5_DIR=  JANSSON_DIR=  CUDA_HOME= (prefixes of libraries that are not in their usual places)

CC       := $(if $(filter default,$(origin CC)),gcc,$(CC))
ARCH     ?= native
B        ?= build
NEEDED   := gcc g++ libc6-dev libopenblas-dev libhdf5-dev libjansson-dev
# Figures, tests and what the tests look at files with.
OPTIONAL := gnuplot-nox libcriterion-dev hdf5-tools pkg-config
PACKAGES := $(NEEDED) $(OPTIONAL)
export OPENBLAS_DIR HDF5_DIR JANSSON_DIR
LIBRARIES = $(shell OPENBLAS_DIR="$(OPENBLAS_DIR)" HDF5_DIR="$(HDF5_DIR)" JANSSON_DIR="$(JANSSON_DIR)" sh tests/tools/libraries.sh $1)

# No -ffast-math, ever: the suite studies overflow. Contraction is allowed; philox.h is written so that it cannot
# matter there.
LEVEL    ?= -O3
OPTIMISE := $(LEVEL) -march=$(ARCH) -fno-math-errno -fno-trapping-math -ffp-contract=fast
WARNINGS := -Wall -Wextra -Wpedantic $(if $(WERROR),-Werror)
CFLAGS   := -std=c17 -D_GNU_SOURCE -g -fPIC -fvisibility=hidden $(OPTIMISE) $(WARNINGS) -fopenmp $(SANITIZE)
CPPFLAGS := -I. -I$(B) $(call LIBRARIES,cflags openblas hdf5 jansson)
LDLIBS   := $(call LIBRARIES,libs openblas hdf5 jansson) -lhdf5_hl -lm -ldl
# STATIC=1: nothing from this machine but glibc. HDF5's and LAPACK's own needs follow them.
STATIC_LIBS := $(patsubst %,-l:lib%.a,hdf5_serial_hl hdf5_serial sz aec z openblas gfortran quadmath gomp jansson) \
               -lpthread -lm -ldl
# With STATIC, for glibc 2.28 (RHEL and Rocky 8) if the compiler zig is here (`pip install ziglang`), else for the glibc
# of this machine. zig brings stubs of every glibc, and its own libunwind: gcc's needs glibc 2.35.
ZIG      ?= $(shell python3 -m ziglang version >/dev/null 2>&1 && echo python3 -m ziglang)
OLDER    := $(if $(STATIC),$(ZIG))
OLDER_AS := -target x86_64-linux-gnu.2.28 -s
LINK     := $(if $(OLDER),$(OLDER) cc $(OLDER_AS) $(foreach lib,gomp z,-L$(dir $(shell $(CC) -print-file-name=lib$(lib).a))),\
              $(CC) $(if $(STATIC),$(filter-out -fopenmp,$(CFLAGS)) -s -static-libgcc,$(CFLAGS)))
LINKLIBS := $(if $(STATIC),$(STATIC_LIBS)$(if $(OLDER), -lunwind),$(LDLIBS))

# Kernels: with nvcc, where there is one, for the GPU; with the host compiler, always, for the executor of kernels/host.
# Nothing is contracted behind the author's back: kernels say fmaf where they mean it, so both compilers do the same
# arithmetic.
CXX      := $(if $(filter default,$(origin CXX)),g++,$(CXX))
NVCC     ?= $(or $(and $(CUDA_HOME),$(wildcard $(CUDA_HOME)/bin/nvcc)),$(shell command -v nvcc 2>/dev/null),$(wildcard /usr/local/cuda/bin/nvcc))
NVCC_LACKS := $(if $(NVCC),$(shell sh tests/tools/nvcc_lacks.sh "$(NVCC)"))
ifneq ($(NVCC_LACKS),)
$(if $(filter 0,$(MAKELEVEL)),$(info $(NVCC): $(NVCC_LACKS); built without the GPU library))
override NVCC :=
endif
# What GPUs the kernels are built for: a list, CUDA_ARCH=80,90,90-ptx, where -ptx is for whatever comes later. By
# default the first GPU's, where there is one: without a driver nvidia-smi prints its complaint where the answer would stand.
CUDA_ARCH ?= $(or $(shell nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | sed -n 's/^\([0-9]*\)\.\([0-9]\)$$/\1\2/p' | head -n 1),90)
CUDA_ARCHS = $(subst $(COMMA), ,$(CUDA_ARCH))
# Blocks in clusters need 90.
CLUSTER_ARCHS = $(or $(filter-out 5% 6% 7% 8%,$(CUDA_ARCHS)),90)
GENCODE    = $(foreach arch,$1,-gencode=arch=compute_$(arch:%-ptx=%),code=$(if $(filter %-ptx,$(arch)),compute,sm)_$(arch:%-ptx=%))
COMMA     := ,
# Where a toolkit has it, after LD_LIBRARY_PATH; or it may lie beside the library.
CUBLAS_PATH := '$$ORIGIN:$(if $(CUDA_HOME),$(CUDA_HOME)/lib64:)/usr/local/cuda/lib64'
CUDA_LIBS = $(abspath $(dir $(NVCC))../lib64)
CUDART    = $(CUDA_LIBS)/libcudart_static.a -lpthread -ldl -lrt
KERNELS  := $(wildcard kernels/*.cu kernels/maps/*.cu)
# Kernels read and write memory as vectors of other types, as CUDA allows.
EMUFLAGS := -std=c++20 -g -fPIC -fvisibility=hidden -fno-gnu-unique -fno-strict-aliasing $(or $(EMULEVEL),-O2) -march=$(ARCH) -ffp-contract=off -fno-math-errno -fno-trapping-math \
            -Wall -Wextra -Wno-unknown-pragmas -Wno-missing-field-initializers $(if $(WERROR),-Werror)
COUNTEDFLAGS = $(patsubst -g,-DEMU_COUNTED,$(filter-out -O%,$(EMUFLAGS))) -O1
COUNTEDHOOKS := -fsanitize=thread
COUNTED_HOST := $(patsubst %,$(B)/counted/kernels/host/%.o,executor fibre counters)
# From CUDA 12.8 on.
COMPRESS := $(if $(and $(STATIC),$(NVCC)),$(shell $(NVCC) --help | grep -q compress-mode && echo --compress-mode=size))
CUDAFLAGS_FOR = -std=c++20 -O3 $(if $(STATIC),$(COMPRESS),-lineinfo) -fmad=false $(call GENCODE,$1) -Xcompiler -fPIC,-fvisibility=hidden,-fno-gnu-unique
CUDAFLAGS = $(call CUDAFLAGS_FOR,$(CUDA_ARCHS))

# What every kind of object is made with. A stamp in $(B)/flags holds it, and what is made with it depends on the stamp,
# which is written anew where it differs: flags that a build states are those of all its objects.
FLAGS_host = $(CC) $(CPPFLAGS) $(CFLAGS)
FLAGS_emu  = $(CXX) $(CPPFLAGS) $(EMUFLAGS) $(SANITIZE) $(EXECUTOR_TSAN)
FLAGS_counted = $(CXX) $(CPPFLAGS) $(COUNTEDFLAGS) $(COUNTEDHOOKS)
FLAGS_cuda = $(if $(NVCC),$(NVCC) $(CUDAFLAGS))
FLAGS_link = $(LINK) $(LINKLIBS)
FLAGS_KEPT = $(shell cat $(B)/flags/$1 2>/dev/null)
STAMP      = $(if $(findstring <$(strip $(FLAGS_$1))>,<$(strip $(FLAGS_KEPT))>),,FORCE)

# `make V=1` shows the commands.
Q        := $(if $(V),,@)
# All of cpu_ref/ is compiled for two precisions, except ONCE and paper.c. The tests need paper.c, the program does not.
# operations.c, the contract, belongs to the program and to every library of rows.
ONCE     := cpu_ref/operations.c cpu_ref/library.c cpu_ref/blas_core.c
REAL     := $(filter-out $(ONCE) cpu_ref/paper.c,$(wildcard cpu_ref/*.c cpu_ref/maps/*.c))
PLAIN    := $(ONCE) $(wildcard analysis/*.c results/*.c suites/*/*.c)
REAL_OBJ := $(REAL:%.c=$(B)/%.f64.o) $(REAL:%.c=$(B)/%.f32.o)
OBJ      := $(REAL_OBJ) $(PLAIN:%.c=$(B)/%.o)
TESTED   := $(filter-out $(B)/suites/command/main.o,$(OBJ)) $(B)/cpu_ref/paper.o
# Those that take longest begin, so that none of them runs alone at the end.
LONGEST  := kills plants jobs overhead overhead_headline regress_speed regress executor emu gpu_first fuzz interrupt \
            record_killed record_place train_checkpoint command plot_look plot allocations compare filesystem \
            emu_training kernels maps_emu counts gpu_model train
TESTS    := $(patsubst tests/%.c,$(B)/tests/%,$(wildcard $(LONGEST:%=tests/test_%.c)) \
              $(filter-out $(LONGEST:%=tests/test_%.c),$(wildcard tests/test_*.c)))

.PHONY: all reproduce test test-asan test-emu-race bench-cpu gpu-check gpu-first gpu-bench bundle deps format format-check help clean
.DELETE_ON_ERROR:

# As many compilers as cores, unless make was called with a number of its own.
JOBS = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

all: deps
	@$(MAKE) --no-print-directory $(JOBS) build

.PHONY: build
build: $(B)/mhcbench $(B)/libmhc_cpu.so $(B)/libmhc_emu.so $(if $(NVCC),$(B)/libmhc_cuda.so)

help:
	@echo "make             build $(B)/mhcbench and $(B)/libmhc_cpu.so"
	@echo "make reproduce   install what is missing, build, train small stacks, run suites/quick.suite, print the tables, draw the figures"
	@echo "make reference-record, reference-figures   results/reference/ anew, for a release"
	@echo "make test        install what is missing, build, run every test"
	@echo "make test-asan   the same tests under the address and undefined-behaviour sanitizers"
	@echo "make test-emu-race   every kernel on the CPU under the thread sanitizer: a missing barrier is a report"
	@echo "make emu-counts  what every kernel asks of memory, counted on the CPU, against kernels/counts.txt: a gate without a GPU"
	@echo "make sass-table  registers, local memory, fences and cycles of every kernel from its machine code, against kernels/sass.txt"
	@echo "make bench-cpu   the CPU reference against a copy and a GEMM of the same run"
	@echo "make bench-store   size, rate, times and peak memory of a record of POINTS=10000 points; minutes"
	@echo "make overhead    what a connection costs in a training step, on the GPU where there is one, else small on the CPU"
	@echo "make selftest-timing   whether the timing loop tells A from A on this machine; one to four minutes"
	@echo "make regress BASE=<revision>   this build against that revision's: accuracy and speed, as a gate"
	@echo "make selftest-gate     whether regress tells A from A, and from a library 10 % slower, on this machine; some minutes"
	@echo "make gpu-check   on a GPU: are the kernels right? a verdict"
	@echo "make gpu-first   on a GPU never seen: check, kernels, overhead, why; the most wanted first, nine minutes"
	@echo "make gpu-bench   on a GPU: every operation against a copy and a GEMM of the same run"
	@echo "make bundle      one folder for a GPU node: program, GPU library, suites; nothing to install there"
	@echo "make format      the sources in the form of .clang-format (clang-format 14); CI runs make format-check"
	@echo "make clean       remove $(B)/"

# The paper's result in one command. Results and figures land in $(B)/, which git ignores.
reproduce: all
	$(B)/mhcbench run suites/train.suite --out $(B)/train.h5 --overwrite
	$(B)/mhcbench run suites/quick.suite --out $(B)/quick.h5 --overwrite
	$(B)/mhcbench plot $(B)/quick.h5 --out $(B)/figures
	$(B)/mhcbench plot $(B)/train.h5 --out $(B)/figures/trained
	$(B)/mhcbench show $(B)/quick.h5 --headline
	$(B)/mhcbench show $(B)/train.h5 --headline
	@echo "All tables: $(B)/mhcbench show $(B)/train.h5 (or $(B)/quick.h5)     Figures: $(B)/figures"
	@$(MAKE) --no-print-directory published

# Whether what `reproduce` computed is the published result: the calibrated ensembles value by value, the trained stacks
# value by value or, where another machine or build gives other last bits, by statements over seeds. Fails where it is
# not.
REFERENCE := results/reference/headline.h5
.PHONY: published reference-record
published:
	@if [ ! -e $(REFERENCE) ]; then echo "no $(REFERENCE) to compare with: make reference-record makes it"; exit 0; fi; \
	answer=yes; for record in quick train; do said=$(B)/published-$$record.txt; \
	$(B)/mhcbench compare $(REFERENCE) $(B)/$$record.h5 --common --published >$$said 2>&1; \
	case "$$(tail -n 1 $$said)" in \
	*": yes") echo "$$record: $$(tail -n 2 $$said | head -n 1)";; \
	*) cat $$said; answer=no;; esac; done; \
	echo "your machine reproduces the published result: $$answer"; [ $$answer = yes ]

# The figures of plots/README.md, from records that are made where they are not there yet.
GALLERY := train/training_gain train/training_layers train/training_loss train/training_quarters quick/composite_gain \
           quick/composite_maps quick/streams phase/phase phase/t_max depth/depth variants/mixing variants/reach \
           train-variants/costs
.PHONY: reference-figures
reference-figures: all
	@set -e; for f in $(GALLERY); do record=$(B)/$${f%/*}.h5; figure=$${f#*/}; \
	[ -e $$record ] || $(B)/mhcbench run suites/$${f%/*}.suite --out $$record; \
	$(B)/mhcbench plot $$record --figure $$figure --format svg --out $(B)/gallery; \
	cp $(B)/gallery/$$figure.svg results/reference/; done

# The record that `published` compares with, made with the build that a release is made of.
reference-record: all
	$(B)/mhcbench run suites/headline.suite --out $(B)/headline.h5 --overwrite
	cp $(B)/headline.h5 $(REFERENCE)
	$(B)/mhcbench show $(REFERENCE) --headline

test: all
	@CXX="$(CXX)" NVCC="$(NVCC)" sh tests/tools/deps.sh "$(INSTALL)" $(PACKAGES) >/dev/null
	@$(MAKE) --no-print-directory $(JOBS) run-tests

# Sources in the form of .clang-format. format-check changes nothing and names the files that differ.
SOURCES = $(shell git ls-files '*.c' '*.h' '*.cu' '*.cc')
format:
	@clang-format-14 -i $(SOURCES)

format-check:
	@sh tests/tools/deps.sh "$(INSTALL)" clang-format-14
	@clang-format-14 --dry-run --Werror $(SOURCES)

test-asan: deps
	@CXX="$(CXX)" NVCC="$(NVCC)" sh tests/tools/deps.sh "$(INSTALL)" $(PACKAGES) >/dev/null
	@$(MAKE) --no-print-directory $(JOBS) run-tests B=$(B)/asan ARCH=$(ARCH) LEVEL=-O1 NVCC= \
	    SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"

# A missing barrier is a report here: only barriers order the threads of a block, and nothing orders its blocks.
test-emu-race: deps
	@$(MAKE) --no-print-directory $(JOBS) B=$(B)/race ARCH=$(ARCH) LEVEL=-O1 EMULEVEL=-O1 EXECUTOR_TSAN=1 SANITIZE=-fsanitize=thread \
	    $(B)/race/libmhc_emu.so $(B)/race/mhcbench
	OMP_NUM_THREADS=1 TSAN_OPTIONS=halt_on_error=1 $(B)/race/mhcbench check emu --timeout 0 --trials $(or $(TRIALS),100)

# What kernels ask of memory, counted on the CPU, against the committed table; commit a wanted change of the table with
# the kernel.
.PHONY: emu-counts
emu-counts: all
	@$(MAKE) --no-print-directory $(B)/libmhc_counted.so $(B)/tests/emu_counts
	@$(B)/tests/emu_counts $(B)/libmhc_counted.so kernels/counts.suite >$(B)/counts.txt
	@$(B)/tests/emu_counts $(B)/libmhc_counted.so kernels/counts.suite kernels/counts.txt && \
	echo "as kernels/counts.txt" || { \
	echo "what moved, from kernels/counts.txt to now; a wanted change: cp $(B)/counts.txt kernels/counts.txt" >&2; exit 1; }

# What ptxas made of every kernel, by the disassembler of the toolkit or of PyPI, against the committed table.
.PHONY: sass-table
sass-table: $(if $(NVCC),$(B)/libmhc_cuda.so) $(B)/sass_table
	@NVCC="$(NVCC)" sh tests/tools/sass_table.sh $(B) kernels/sass.txt

$(B)/sass_table: tests/sass_table.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c17 -D_GNU_SOURCE -O2 $(WARNINGS) -o $@ $<

# A record of many points: sizes, rates, times and peak memory. POINTS=100000 takes some minutes.
.PHONY: bench-store
bench-store: all
	@$(MAKE) --no-print-directory $(B)/tests/bench_store
	@$(B)/tests/bench_store $(B)/mhcbench $(or $(POINTS),10000) summary
	@$(B)/tests/bench_store $(B)/mhcbench $(or $(CURVES),1000) curves

bench-cpu: all
	@$(MAKE) --no-print-directory $(B)/tests/bench_cpu
	@OMP_PROC_BIND=true $(B)/tests/bench_cpu

# On the GPU where the backend opens, else at reduced sizes on the CPU. Fewer cases:
# make overhead OVERHEAD="--preset 27b --tokens 4096"
.PHONY: overhead
overhead: all
	@suite=suites/overhead-cpu.suite; \
	if $(B)/mhcbench list --operations --backend cuda >/dev/null 2>&1; then suite=suites/overhead.suite; fi; \
	echo "  $$suite"; \
	OMP_WAIT_POLICY=passive $(B)/mhcbench run $$suite $(OVERHEAD) --out $(B)/overhead.h5 --overwrite; code=$$?; \
	[ $$code -le 1 ] || exit $$code; \
	for figure in overhead overhead_step overhead_sweep; do \
	    $(B)/mhcbench plot $(B)/overhead.h5 --figure $$figure --out $(B)/figures || echo "  without $$figure"; done; \
	$(B)/mhcbench show $(B)/overhead.h5 && exit $$code

.PHONY: selftest-timing
selftest-timing: all
	@$(MAKE) --no-print-directory $(B)/tests/selftest_timing
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=passive $(B)/tests/selftest_timing

# On a GPU: correctness with a verdict; times of every operation against a copy and a GEMM, into $(B)/gpu-bench.h5.
gpu-check: all
	@$(if $(NVCC),$(MAKE) --no-print-directory $(B)/semantics)
	@sh tests/gpu_check.sh

# The first nine minutes on a GPU, the most wanted first; texts and records land in $(B)/first.
gpu-first: all
	@$(if $(NVCC),$(MAKE) --no-print-directory $(B)/semantics $(B)/cluster_costs)
	@OUT=$${OUT:-$(B)/first} sh tests/gpu_first.sh

gpu-bench: all
	$(B)/mhcbench run suites/gpu-bench.suite --out $(B)/gpu-bench.h5 --overwrite
	$(B)/mhcbench show $(B)/gpu-bench.h5

# One folder for a GPU node that has a driver and cuBLAS and needs nothing else: bin/, suites/, plots/ and the checks.
BUNDLE := $(B)/bundle/mhcbench
BUNDLE_ARCH = $(if $(filter file,$(origin CUDA_ARCH)),80$(COMMA)90$(COMMA)90-ptx,$(CUDA_ARCH))
bundle: deps
	@$(if $(NVCC),true,echo "no nvcc: the bundle would have no GPU library" >&2; exit 2)
	@sh tests/tools/deps.sh "$(INSTALL)" zlib1g-dev libaec-dev libgfortran-12-dev
	@$(MAKE) --no-print-directory B=$(B)/portable ARCH=x86-64-v3 STATIC=1 CUDA_ARCH=$(BUNDLE_ARCH) $(B)/portable/mhcbench $(B)/portable/libmhc_cuda.so \
	    $(B)/portable/semantics $(B)/portable/cluster_costs $(B)/portable/tests/selftest_timing
	rm -rf $(BUNDLE)
	mkdir -p $(BUNDLE)/bin $(BUNDLE)/tests/vectors $(BUNDLE)/results
	cp $(addprefix $(B)/portable/,mhcbench libmhc_cuda.so semantics cluster_costs) $(BUNDLE)/bin
	gzip -c $(B)/portable/tests/selftest_timing >$(BUNDLE)/bin/selftest_timing.gz
	cp -r plots README.md LICENSE $(BUNDLE)
	mkdir $(BUNDLE)/suites && cp suites/*.suite suites/kjv-genesis-to-kings.txt $(BUNDLE)/suites
	cp tests/gpu_check.sh tests/gpu_first.sh tests/gpu_open.sh $(BUNDLE)/tests && cp tests/vectors/public.h5 $(BUNDLE)/tests/vectors && cp -r results/reference $(BUNDLE)/results
	@echo "needs $$(objdump -T $(BUNDLE)/bin/mhcbench $(BUNDLE)/bin/*.so | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1 | tr _ ' ')"
	@du -sm $(BUNDLE) | awk '{print $$2 ": " $$1 " MB"; exit $$1 > 50}'
	@echo "there: bin/mhcbench --help; sh tests/gpu_first.sh; sh tests/gpu_check.sh; bin/mhcbench run suites/gpu-bench.suite --out gpu-bench.h5"

# BASE=<revision>, and perhaps LIBS="cpu emu" or ARGS="--operation mhc.* --speed report": see tests/tools/regress.sh.
.PHONY: regress
regress: all
	+@sh tests/tools/regress.sh $(B) "$(BASE)" "$(LIBS)" $(ARGS) || { code=$$?; \
	echo "regress: exit $$code, of which make makes 2; a script that wants the code calls:" >&2; \
	echo '    sh tests/tools/regress.sh $(B) "$(BASE)" "$(LIBS)" $(subst ','\'',$(ARGS))' >&2; exit $$code; }

.PHONY: selftest-gate
selftest-gate: all
	@CC="$(CC)" sh tests/tools/selftest_gate.sh $(B)

# Installs what is missing as root or with INSTALL=1; otherwise names it and stops, if the build needs it.
deps:
	@CXX="$(CXX)" NVCC="$(NVCC)" sh tests/tools/deps.sh "$(INSTALL)" $(NEEDED) -- $(OPTIONAL)

.PHONY: run-tests
run-tests: build $(TESTS)
	@sh tests/tools/run.sh $(B) $(TESTS)

$(B)/mhcbench: $(OBJ) $(B)/flags/link
	$(if $(V),,@echo "  link $@")
	$(Q)$(LINK) -o $@ $(OBJ) $(LINKLIBS)

$(B)/libmhc_cpu.so: $(REAL_OBJ) $(B)/cpu_ref/operations.o $(B)/cpu_ref/library.shared.o $(B)/flags/link
	$(if $(V),,@echo "  link $@")
	$(Q)$(CC) $(CFLAGS) -shared -o $@ $(filter %.o,$^) $(LDLIBS)

# An object: $(call COMPILE,word for the log,compiler and flags,source if it needs a word before it)
define COMPILE
	@mkdir -p $(@D)
	$(if $(V),,@echo "  $1 $@")
	$(Q)$2 -MMD -MP -c -o $@ $(or $3,$<)
endef

# --- kernels ---

$(B)/libmhc_emu.so: $(KERNELS:%.cu=$(B)/emu/%.o) $(B)/emu/kernels/host/executor.o $(B)/emu/kernels/host/fibre.o $(B)/cpu_ref/operations.o
	$(if $(V),,@echo "  link $@")
	$(Q)$(CXX) $(EMUFLAGS) $(SANITIZE) -shared -o $@ $^ $(call LIBRARIES,libs openblas) -lm

$(B)/emu/%.o: %.cu Makefile $(B)/flags/emu | $(B)/build_info.h
	$(call COMPILE,compile,$(CXX) $(CPPFLAGS) $(EMUFLAGS) $(SANITIZE),-x c++ $<)

$(B)/emu/%.o: %.cc Makefile $(B)/flags/emu
	$(call COMPILE,compile,$(CXX) $(CPPFLAGS) $(EMUFLAGS) $(if $(EXECUTOR_TSAN),-DEXECUTOR_TSAN,$(SANITIZE)))

# Built to count: kernels call kernels/host/counters.cc before every access of memory, by the thread sanitizer's hooks.
# So no optimisation may join accesses or take them apart, and $(SANITIZE) is left out.
$(B)/libmhc_counted.so: $(KERNELS:%.cu=$(B)/counted/%.o) $(COUNTED_HOST) $(B)/counted/cpu_ref/operations.o
	$(if $(V),,@echo "  link $@")
	$(Q)$(CXX) $(COUNTEDFLAGS) -shared -o $@ $^ $(call LIBRARIES,libs openblas) -lm

$(B)/counted/%.o: %.cu Makefile $(B)/flags/counted | $(B)/build_info.h
	$(call COMPILE,compile,$(CXX) $(CPPFLAGS) $(COUNTEDFLAGS) $(COUNTEDHOOKS),-x c++ $<)

$(B)/counted/%.o: %.cc Makefile $(B)/flags/counted
	$(call COMPILE,compile,$(CXX) $(CPPFLAGS) $(COUNTEDFLAGS) -O2)

$(B)/counted/%.o: %.c Makefile $(B)/flags/host
	$(call COMPILE,compile,$(CC) $(CPPFLAGS) -std=c17 -O1 -fPIC -fvisibility=hidden $(WARNINGS))

$(B)/libmhc_cuda.so: $(KERNELS:%.cu=$(B)/cuda/%.o) $(B)/cpu_ref/operations.o
	$(if $(V),,@echo "  link $@")
	$(Q)$(if $(OLDER),$(OLDER) c++ $(OLDER_AS) -shared -o $@ $^ $(CUDART) -L$(CUDA_LIBS) -lcublas -Wl$(COMMA)-rpath$(COMMA)$(CUBLAS_PATH),\
	$(NVCC) $(CUDAFLAGS) -shared -cudart static -o $@ $^ -lcublas -Xlinker -rpath=$(CUBLAS_PATH) -Xcompiler -static-libstdc++$(COMMA)-static-libgcc)

# For a device: what its instructions mean, held to plain loops; what the pieces of a cluster's meeting cost.
$(B)/semantics $(B)/cluster_costs: $(B)/%: tests/%.cu $(wildcard tests/semantics*.h kernels/*.h kernels/maps/*.h) Makefile $(B)/flags/cuda
	@mkdir -p $(@D)
	$(if $(V),,@echo "  nvcc $@")
	$(Q)$(NVCC) -I. -I$(B) $(call CUDAFLAGS_FOR,$(if $(filter %/cluster_costs,$@),$(CLUSTER_ARCHS),$(CUDA_ARCHS))) -cudart static -c -o $@.o $<
	$(Q)$(if $(OLDER),$(OLDER) c++ $(OLDER_AS) -o $@ $@.o $(CUDART),$(NVCC) -cudart static -o $@ $@.o -Xcompiler -static-libstdc++$(COMMA)-static-libgcc)

$(B)/cuda/%.o: %.cu Makefile $(B)/flags/cuda | $(B)/build_info.h
	$(call COMPILE,nvcc,$(NVCC) -I. -I$(B) $(CUDAFLAGS) -DPROVENANCE_CUDA='"$(CUDAFLAGS)"')

# Libraries that are wrong on purpose; INNER and PLANT of the environment say what they wrap and how they are wrong.
$(B)/plants/%.so: tests/plants/%.c tests/plants/plant.c tests/plants/plant.h cpu_ref/operation.h suites/gate/check.h suites/gate/regress.h suites/worker/descriptors.h Makefile
	@mkdir -p $(@D)
	$(if $(V),,@echo "  link $@")
	$(Q)$(CC) -std=gnu17 -O1 $(WARNINGS) -fopenmp -shared -fPIC -I. -o $@ tests/plants/plant.c $< -ldl -lpthread -lm
$(B)/tests/test_vectors $(B)/tests/test_reference: | $(B)/plants/mistakes.so
$(B)/tests/test_plants: | $(patsubst %,$(B)/plants/%.so,cheats mistakes training manners intruders)

$(B)/tests/test_sass: | $(B)/sass_table
$(B)/tests/test_counts: | $(B)/libmhc_counted.so $(B)/tests/emu_counts

.SECONDARY: $(B)/tests/restart.o $(B)/cpu_ref/paper.o
$(B)/tests/%: tests/%.c $(TESTED) $(B)/tests/restart.o Makefile $(B)/flags/host $(B)/flags/link
	@mkdir -p $(@D)
	$(if $(V),,@echo "  compile $@")
	$(Q)$(CC) $(CPPFLAGS) $(filter-out -Wpedantic,$(CFLAGS)) -MMD -MP -MF $@.d -MT $@ -c -o $@.o $<
	$(Q)$(LINK) -o $@ $@.o $(TESTED) $(if $(filter test_%,$(*F)),$(B)/tests/restart.o -lcriterion) $(LINKLIBS)

$(B)/%.f64.o: %.c Makefile $(B)/flags/host
	$(call COMPILE,compile,$(CC) $(CPPFLAGS) $(CFLAGS) -DREAL_BITS=64)

$(B)/%.f32.o: %.c Makefile $(B)/flags/host
	$(call COMPILE,compile,$(CC) $(CPPFLAGS) $(CFLAGS) -DREAL_BITS=32)

$(B)/%.shared.o: %.c Makefile $(B)/flags/host | $(B)/build_info.h
	$(call COMPILE,compile,$(CC) $(CPPFLAGS) $(CFLAGS) -DMHC_SHARED_LIBRARY)

$(B)/%.o: %.c Makefile $(B)/flags/host | $(B)/build_info.h
	$(call COMPILE,compile,$(CC) $(CPPFLAGS) $(CFLAGS))

# What this build is made of, for /env of every result; touched only when it changes.
$(B)/build_info.h: FORCE
	@mkdir -p $(@D)
	@sh tests/tools/build_info.sh "$(CC)" "$(OPTIMISE) $(SANITIZE)" > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(foreach kind,host emu counted cuda link,$(eval $(B)/flags/$(kind): $(call STAMP,$(kind))))
$(B)/flags/%:
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS_$*))' >$@

.PHONY: FORCE
FORCE:

clean:
	rm -rf $(B)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
