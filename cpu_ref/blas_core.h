/* Which of its kernels OpenBLAS runs, whether this CPU deserves better ones, and how it gets them.
 *
 * An OpenBLAS built with DYNAMIC_ARCH holds kernels for many CPUs, its "cores". It picks one as it is loaded, by the
 * model number of the CPU. A model newer than the library may get kernels of 2004: Debian 12's 0.3.21 runs Prescott
 * (SSE3) on Sapphire Rapids, where SkylakeX (AVX-512) was measured to be 4.4 times as fast. So the program asks what
 * the CPU can do, and not what it is called.
 *
 * OpenBLAS reads OPENBLAS_CORETYPE before main() and never again: the program sets it and starts itself once more. All
 * that main() opens later, libmhc_cpu.so and libmhc_emu.so too, then has the better core. A library alone cannot mend
 * it: another program that opens libmhc_cpu.so, such as Python, must be started with OPENBLAS_CORETYPE set. Criterion's
 * tests do not restart, because they check values and not speed. */
#ifndef BLAS_CORE_H
#define BLAS_CORE_H

#include <stdbool.h>
#include <stddef.h>

/* What CPU and operating system both offer (cpuid, and XGETBV for the registers that the system saves). */
struct blas_cpu {
    bool amd;
    bool fma;    /* AVX2 and FMA, 256 bits wide */
    bool avx512; /* F, CD, DQ, BW and VL: what OpenBLAS compiles its SkylakeX kernels for */
};

/* All that the decision depends on. */
struct blas_core {
    struct blas_cpu cpu;
    const char *name;    /* openblas_get_corename() */
    const char *config;  /* openblas_get_config() */
    const char *asked;   /* OPENBLAS_CORETYPE of the environment, or NULL */
    const char *instead; /* the core that a restart has replaced, or NULL: not restarted */
};

/* Of this process. */
struct blas_core blas_core_now(void);

/* The core that this CPU deserves where OpenBLAS runs a poorer one; NULL where that one is good enough or not known
 * here. An AMD CPU with AVX-512 keeps a core of AVX2, such as Zen: what AVX-512 gains there is not measured. */
const char *blas_core_better(const struct blas_core *core);

/* The better core, if a restart brings it: not without DYNAMIC_ARCH, not against the user's own choice, not twice. Else
 * NULL. */
const char *blas_core_to_restart_with(const struct blas_core *core);

/* How the core was chosen, for a record: "default", "user" or "chosen by mhcbench, instead of Prescott". */
void blas_core_choice(const struct blas_core *core, char *text, size_t size);

/* What the user can do about a poorer core; false where there is nothing to do. */
bool blas_core_advice(const struct blas_core *core, char *what, char *remedy, size_t size);

/* The first thing in main(), before threads, files and output. Where a restart brings a better core it starts the
 * program again, in the same process with the same arguments. It returns where there is nothing to do or no way. */
void blas_core_mend(char **argv);

#endif
