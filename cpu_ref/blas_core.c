#include "cpu_ref/blas_core.h"
#include "cpu_ref/affinity.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <unistd.h>

static const char asked_variable[] = "OPENBLAS_CORETYPE";
/* Tells the restarted program, and its workers, which core was replaced, and keeps them from another restart. */
static const char instead_variable[] = "MHCBENCH_CORE_INSTEAD_OF";

enum width { SSE, AVX, FMA, AVX512 };

/* What the kernels of a core use, by OpenBLAS's names. A core that is not here is newer than this table: left alone. */
static const struct {
    const char *name;
    enum width width;
} cores[] = {
    {"Katmai", SSE},        {"Coppermine", SSE},
    {"Northwood", SSE},     {"Prescott", SSE},
    {"Banias", SSE},        {"Atom", SSE},
    {"Core2", SSE},         {"Penryn", SSE},
    {"Dunnington", SSE},    {"Nehalem", SSE},
    {"Athlon", SSE},        {"Opteron", SSE},
    {"Bobcat", SSE},        {"Opteron_SSE3", SSE},
    {"Barcelona", SSE},     {"Nano", SSE},
    {"Sandybridge", AVX},   {"Bulldozer", AVX},
    {"Piledriver", FMA},    {"Steamroller", FMA},
    {"Excavator", FMA},     {"Haswell", FMA},
    {"Zen", FMA},           {"SkylakeX", AVX512},
    {"Cooperlake", AVX512}, {"SapphireRapids", AVX512},
};

static enum width width_of(const char *name) {
    for (size_t k = 0; k < sizeof cores / sizeof *cores; k++)
        if (!strcasecmp(cores[k].name, name))
            return cores[k].width;
    return AVX512;
}

/* The compiler's builtins ask cpuid, and XGETBV whether the system saves the wide registers. */
static struct blas_cpu this_cpu(void) {
    struct blas_cpu cpu = {0};
#ifdef __x86_64__
    __builtin_cpu_init();
    cpu.amd = __builtin_cpu_is("amd");
    cpu.fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    cpu.avx512 = cpu.fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512vl");
#endif
    return cpu;
}

struct blas_core blas_core_now(void) {
    return (struct blas_core){this_cpu(), openblas_get_corename(), openblas_get_config(), getenv(asked_variable),
                              getenv(instead_variable)};
}

const char *blas_core_better(const struct blas_core *core) {
    enum width width = width_of(core->name);
    if (core->cpu.avx512 && width < (core->cpu.amd ? FMA : AVX512))
        return "SkylakeX";
    if (core->cpu.fma && width < FMA)
        return core->cpu.amd ? "Zen" : "Haswell";
    return NULL;
}

static bool is_dynamic(const struct blas_core *core) {
    return strstr(core->config, "DYNAMIC_ARCH") != NULL;
}

const char *blas_core_to_restart_with(const struct blas_core *core) {
    return is_dynamic(core) && !core->asked && !core->instead ? blas_core_better(core) : NULL;
}

void blas_core_choice(const struct blas_core *core, char *text, size_t size) {
    if (core->asked && core->instead)
        snprintf(text, size, "chosen by mhcbench, instead of %s", core->instead);
    else
        snprintf(text, size, "%s", core->asked ? "user" : "default");
}

bool blas_core_advice(const struct blas_core *core, char *what, char *remedy, size_t size) {
    const char *better = blas_core_better(core);
    if (!better)
        return false;
    snprintf(what, size,
             "OpenBLAS runs its %s kernels where this CPU could run %s: a GEMM may take several times as long",
             core->name, better);
    if (!is_dynamic(core))
        snprintf(remedy, size, "it has no others: install an OpenBLAS built with DYNAMIC_ARCH, as Debian's are");
    else if (core->asked && !core->instead)
        snprintf(remedy, size, "unset %s, or %s=%s", asked_variable, asked_variable, better);
    else if (core->asked)
        snprintf(remedy, size, "it was asked for %s and has not got it: install a newer OpenBLAS", core->asked);
    else
        snprintf(remedy, size, "start it with %s=%s: it could not restart itself", asked_variable, better);
    return true;
}

void blas_core_mend(char **argv) {
    const struct blas_core core = blas_core_now();
    const char *better = blas_core_to_restart_with(&core);
    if (!better || !getauxval(AT_BASE)) /* 0: `ld.so PROGRAM`, whose /proc/self/exe is ld.so */
        return;
    cpu_set_t bound;
    const bool known = !sched_getaffinity(0, sizeof bound, &bound);
    affinity_unbind();
    if (!setenv(instead_variable, core.name, 1) && !setenv(asked_variable, better, 1))
        execv("/proc/self/exe", argv);
    if (known)
        sched_setaffinity(0, sizeof bound, &bound);
    unsetenv(asked_variable);
    unsetenv(instead_variable);
}
