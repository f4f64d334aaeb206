/* OpenBLAS on CPUs that it does not know: the decision by a table, the restart with a made-up OpenBLAS. */
#include "tests/command.h"

#include "cpu_ref/blas_core.h"

#include <omp.h>
#include "results/record.h"

TestSuite(blas_core, .init = enter, .fini = leave, .timeout = 1800);

#define DYNAMIC "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH NO_AFFINITY Prescott MAX_THREADS=64"
#define FIXED "OpenBLAS 0.3.21 NO_LAPACKE NO_AFFINITY PRESCOTT MAX_THREADS=64"

static const struct blas_cpu old = {0}, intel = {.fma = true}, xeon = {.fma = true, .avx512 = true},
                             amd = {.amd = true, .fma = true}, wide_amd = {.amd = true, .fma = true, .avx512 = true};

Test(blas_core, decision) {
    static const struct {
        const struct blas_cpu *cpu;
        const char *name, *config, *asked, *instead;
        const char *better, *restart, *choice;
        const char *remedy; /* a part of it */
    } cases[] = {
        /* fallbacks, planted and real: Sapphire Rapids, Zen 5, a model without AVX-512 */
        {&xeon, "Prescott", DYNAMIC, NULL, NULL, "SkylakeX", "SkylakeX", "default", "start it with OPENBLAS_CORETYPE="},
        {&xeon, "Haswell", DYNAMIC, NULL, NULL, "SkylakeX", "SkylakeX", "default", "OPENBLAS_CORETYPE=SkylakeX"},
        {&xeon, "Nehalem", DYNAMIC, NULL, NULL, "SkylakeX", "SkylakeX", "default", "OPENBLAS_CORETYPE=SkylakeX"},
        {&intel, "Prescott", DYNAMIC, NULL, NULL, "Haswell", "Haswell", "default", "OPENBLAS_CORETYPE=Haswell"},
        {&intel, "Sandybridge", DYNAMIC, NULL, NULL, "Haswell", "Haswell", "default", "OPENBLAS_CORETYPE=Haswell"},
        {&amd, "Prescott", DYNAMIC, NULL, NULL, "Zen", "Zen", "default", "OPENBLAS_CORETYPE=Zen"},
        {&amd, "Barcelona", DYNAMIC, NULL, NULL, "Zen", "Zen", "default", "OPENBLAS_CORETYPE=Zen"},
        {&wide_amd, "Barcelona", DYNAMIC, NULL, NULL, "SkylakeX", "SkylakeX", "default", "OPENBLAS_CORETYPE=SkylakeX"},
        /* good enough, or not known here */
        {&xeon, "SkylakeX", DYNAMIC, NULL, NULL, NULL, NULL, "default", NULL},
        {&xeon, "Cooperlake", DYNAMIC, NULL, NULL, NULL, NULL, "default", NULL},
        {&xeon, "SapphireRapids", DYNAMIC, NULL, NULL, NULL, NULL, "default", NULL},
        {&xeon, "Nova", DYNAMIC, NULL, NULL, NULL, NULL, "default", NULL},
        {&intel, "Haswell", DYNAMIC, NULL, NULL, NULL, NULL, "default", NULL},
        {&amd, "Zen", DYNAMIC, NULL, NULL, NULL, NULL, "default", NULL},
        {&amd, "Haswell", DYNAMIC, NULL, NULL, NULL, NULL, "default", NULL},
        {&amd, "Excavator", DYNAMIC, NULL, NULL, NULL, NULL, "default", NULL},
        {&wide_amd, "Zen", DYNAMIC, NULL, NULL, NULL, NULL, "default", NULL},
        {&old, "Prescott", DYNAMIC, NULL, NULL, NULL, NULL, "default", NULL},
        {&old, "Nehalem", FIXED, NULL, NULL, NULL, NULL, "default", NULL},
        /* one set of kernels; written in capitals there */
        {&xeon, "PRESCOTT", FIXED, NULL, NULL, "SkylakeX", NULL, "default", "DYNAMIC_ARCH"},
        {&xeon, "SKYLAKEX", FIXED, NULL, NULL, NULL, NULL, "default", NULL},
        {&xeon, "Prescott", FIXED, "SkylakeX", NULL, "SkylakeX", NULL, "user", "DYNAMIC_ARCH"},
        /* the user's own choice, good, poor, misspelt, empty */
        {&xeon, "SkylakeX", DYNAMIC, "SkylakeX", NULL, NULL, NULL, "user", NULL},
        {&xeon, "Prescott", DYNAMIC, "Prescott", NULL, "SkylakeX", NULL, "user", "unset OPENBLAS_CORETYPE"},
        {&xeon, "Haswell", DYNAMIC, "bogus", NULL, "SkylakeX", NULL, "user", "unset OPENBLAS_CORETYPE"},
        {&xeon, "Prescott", DYNAMIC, "", NULL, "SkylakeX", NULL, "user", "unset OPENBLAS_CORETYPE"},
        /* restarted: it helped, it did not, and the mark alone */
        {&xeon, "SkylakeX", DYNAMIC, "SkylakeX", "Prescott", NULL, NULL, "chosen by mhcbench, instead of Prescott",
         NULL},
        {&xeon, "Haswell", DYNAMIC, "SkylakeX", "Prescott", "SkylakeX", NULL, "chosen by mhcbench, instead of Prescott",
         "newer OpenBLAS"},
        {&xeon, "Prescott", DYNAMIC, NULL, "Prescott", "SkylakeX", NULL, "default", "OPENBLAS_CORETYPE=SkylakeX"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const struct blas_core core = {*cases[k].cpu, cases[k].name, cases[k].config, cases[k].asked, cases[k].instead};
        const char *better = blas_core_better(&core), *restart = blas_core_to_restart_with(&core);
        char choice[64], what[200], remedy[200];
        blas_core_choice(&core, choice, sizeof choice);
        bool advised = blas_core_advice(&core, what, remedy, sizeof what);
        cr_expect_str_eq(better ? better : "", cases[k].better ? cases[k].better : "", "case %zu", k);
        cr_expect_str_eq(restart ? restart : "", cases[k].restart ? cases[k].restart : "", "case %zu", k);
        cr_expect_str_eq(choice, cases[k].choice, "case %zu", k);
        cr_expect(advised == (cases[k].remedy != NULL), "case %zu", k);
        if (advised && cases[k].remedy)
            cr_expect(strstr(remedy, cases[k].remedy) && strstr(what, core.name), "case %zu: %s; %s", k, what, remedy);
    }
}

/* Linux lists only what it lets programs use. */
static bool has_flags(const char *wanted) {
    return sh("for f in %s; do grep -qw $f /proc/cpuinfo || exit 1; done", wanted) == 0;
}

Test(blas_core, features_are_those_of_linux) {
    const struct blas_core core = blas_core_now();
    cr_expect(core.cpu.amd == has_flags("AuthenticAMD"));
    cr_expect(core.cpu.fma == has_flags("avx2 fma"));
    cr_expect(core.cpu.avx512 == has_flags("avx2 fma avx512f avx512cd avx512dq avx512bw avx512vl"));
}

/* --- the program --- */

#define FAKE "cc -shared -fPIC $R/tests/fake_blas.c -o fake.so && "
#define UNDER(settings)                                                               \
    "rm -f log && env -u OPENBLAS_CORETYPE -u MHCBENCH_CORE_INSTEAD_OF FAKE_LOG=log " \
    "ASAN_OPTIONS=verify_asan_link_order=0 LD_PRELOAD=./fake.so " settings " "
#define RUN "$M run --study maps --depth 3 --out a.h5 --overwrite -q"

/* Starts of the program itself and, at most, of any other process, such as its worker. */
static void expect_starts(int own, int others) {
    GOOD("first=$(head -n 1 log) && grep -cx $first log; grep -vx $first log | sort | uniq -c | sort -n | tail -n 1");
    int seen = 0, most = 0;
    sscanf(out, "%d %d", &seen, &most);
    cr_expect(seen == own && most == others, "%d and %d starts, wanted %d and %d", seen, most, own, others);
}

static void expect_fact(const char *wanted, const char *value) {
    struct record_reader *file = record_open("a.h5");
    const char *name, *got;
    bool found = false;
    cr_assert(file, "%s", record_error());
    for (int k = 0; k < record_fact_count(file); k++)
        if (record_fact(file, k, &name, &got) && !strcmp(name, wanted)) {
            found = true;
            cr_expect_str_eq(got, value, "%s is %s, not %s", wanted, got, value);
        }
    cr_expect(found, "/env has no %s", wanted);
    record_close(file);
}

/* What this CPU deserves instead of Prescott; NULL on one for which Prescott is good enough. */
static const char *deserved(void) {
    struct blas_core core = {.cpu = blas_core_now().cpu, .name = "Prescott", .config = DYNAMIC};
    return blas_core_to_restart_with(&core);
}

Test(blas_core, restarts_once_and_says_so) {
    const char *better = deserved();
    GOOD(FAKE UNDER("") RUN);
    expect_starts(better ? 2 : 1, 1);
    expect_fact("openblas_core", better ? better : "Prescott");
    expect_fact("openblas_core_choice", better ? "chosen by mhcbench, instead of Prescott" : "default");
    GOOD(UNDER("") "$M doctor");
    cr_expect(!strstr(out, "OpenBLAS runs"), "%s", out);
    if (better) {
        char line[128];
        snprintf(line, sizeof line, "OpenBLAS: its %s kernels (chosen by mhcbench, instead of Prescott)\n", better);
        cr_expect(strstr(out, line), "%s", out);
        GOOD("mv a.h5 b.h5 && " UNDER("OPENBLAS_CORETYPE=%s") RUN " && $M compare a.h5 b.h5", better);
        cr_expect(!strstr(out, "openblas_core") && !strstr(err, "openblas_core"), "the same kernels:\n%s%s", out, err);
    }
    expect_refusal(UNDER("") "$M 'two words'", "unknown command two words");
    expect_starts(better ? 2 : 1, 0);
}

/* A thread that OpenMP has bound to a core takes it alone neither to the restarted program nor to the worker. */
Test(blas_core, a_bound_thread_keeps_all_cores) {
    char threads[16];
    snprintf(threads, sizeof threads, "%d", omp_get_num_procs());
    GOOD(FAKE "unset OMP_NUM_THREADS && " UNDER("OMP_PROC_BIND=true FAKE_CORES=cores") RUN);
    expect_starts(deserved() ? 2 : 1, 1);
    expect_fact("omp_threads", threads);
    GOOD("sort -u cores | tr -d '\\n'");
    cr_expect_str_eq(out, threads, "cores of some process: %s, not %s", out, threads);
}

Test(blas_core, the_choice_of_the_user_stands) {
    GOOD(FAKE UNDER("OPENBLAS_CORETYPE=Prescott") RUN);
    expect_starts(1, 1);
    expect_fact("openblas_core", "Prescott");
    expect_fact("openblas_core_choice", "user");
    GOOD(UNDER("OPENBLAS_CORETYPE=Prescott") "$M doctor");
    cr_expect(!deserved() || strstr(out, "unset OPENBLAS_CORETYPE, or OPENBLAS_CORETYPE="), "%s", out);
}

Test(blas_core, what_a_restart_cannot_mend) {
    GOOD(FAKE UNDER("FAKE_CONFIG='OpenBLAS 0.3.21 Prescott'") RUN);
    expect_starts(1, 1);
    expect_fact("openblas_core_choice", "default");
    GOOD(UNDER("FAKE_CONFIG='OpenBLAS 0.3.21 Prescott'") "$M doctor");
    cr_expect(!deserved() || strstr(out, "built with DYNAMIC_ARCH"), "%s", out);
    GOOD(UNDER("FAKE_DEAF=1") RUN); /* a restart that did not help is the last */
    expect_starts(deserved() ? 2 : 1, 1);
    expect_fact("openblas_core", "Prescott");
    GOOD(UNDER("FAKE_DEAF=1") "$M doctor");
    cr_expect(!deserved() || strstr(out, "install a newer OpenBLAS"), "%s", out);
}

/* `ld.so PROGRAM`: /proc/self/exe is ld.so there, and a restart would take the first argument for a program. */
Test(blas_core, the_loader_is_not_restarted) {
    GOOD(FAKE UNDER("") "$(ldd $M | grep -o '/[^ ]*/ld-[^ ]*') $M doctor");
    cr_expect(!deserved() || strstr(out, "it could not restart itself"), "%s", out);
    expect_starts(1, 0);
}

/* The OpenBLAS that is really here: no start too many, and afterwards nothing to advise. */
Test(blas_core, no_needless_restart) {
    struct blas_core core = blas_core_now();
    core.asked = core.instead = NULL;
    bool needed = !getenv("OPENBLAS_CORETYPE") && blas_core_to_restart_with(&core);
    GOOD("cc -DFAKE_NOTHING -shared -fPIC $R/tests/fake_blas.c -o fake.so && " UNDER("") RUN);
    if (!getenv("OPENBLAS_CORETYPE"))
        expect_starts(needed ? 2 : 1, 1);
    GOOD(UNDER("") "$M doctor");
    cr_expect(!strstr(core.config, "DYNAMIC_ARCH") || !strstr(out, "OpenBLAS runs"), "%s", out);
}
