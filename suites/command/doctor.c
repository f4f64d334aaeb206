/* `mhcbench doctor`: says what would spoil a measurement on this machine, why it matters, and what to do. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build_info.h"
#include "cpu_ref/blas_core.h"
#include "cpu_ref/library.h"
#include "suites/case/options.h"
#include "suites/case/params.h"
#include "suites/command/commands.h"
#include "suites/report/show_gpu_model.h"
#include "suites/rows/backend.h"
#include "suites/rows/device.h"

static int found;

static void advise(const char *what, const char *remedy) {
    printf("  ! %s\n    %s\n", what, remedy);
    found++;
}

/* First line of a file; empty when it cannot be read. */
static const char *line_of(const char *path) {
    static char line[256];
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file))
        line[0] = 0;
    if (file)
        fclose(file);
    line[strcspn(line, "\n")] = 0;
    return line;
}

static void look_at_cpu(void) {
    char text[200], remedy[60];
    double load = atof(line_of("/proc/loadavg"));
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int threads = omp_get_max_threads(), mine = omp_get_num_procs(); /* CPUs that this process may use */
    const char *governor = line_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    if (load > 0.3 * (double)cpus) {
        snprintf(text, sizeof text, "load average %.2f on %ld CPUs: other work takes turns with the measurement", load,
                 cpus);
        advise(text, "stop it, or wait, or set OMP_NUM_THREADS=1: of several threads the slowest decides");
    }
    if (*governor && strcmp(governor, "performance")) {
        snprintf(text, sizeof text, "CPU frequency governor is %s: speed follows load", governor);
        advise(text, "sudo cpupower frequency-set -g performance");
    }
    if (!strcmp(line_of("/sys/devices/system/cpu/smt/active"), "1") && threads >= cpus)
        advise("SMT is on and every hardware thread is used: pairs of threads share a core",
               "OMP_NUM_THREADS=<cores> OMP_PLACES=cores OMP_PROC_BIND=close");
    if (threads > mine) {
        snprintf(text, sizeof text, "%d OpenMP threads on %d CPU%s: threads wait for their turn", threads, mine,
                 mine > 1 ? "s" : "");
        snprintf(remedy, sizeof remedy, "OMP_NUM_THREADS=%d, or unset it", mine);
        advise(text, remedy);
    }
    if (threads < mine) {
        snprintf(text, sizeof text, "%d OpenMP thread%s on %d CPUs: times are those of %d", threads,
                 threads > 1 ? "s" : "", mine, threads);
        advise(text, "right on a machine that others use; on a quiet one unset OMP_NUM_THREADS to use all");
    }
}

static void look_at_blas(void) {
    const struct blas_core core = blas_core_now();
    char what[200], remedy[200];
    if (blas_core_advice(&core, what, remedy, sizeof what))
        advise(what, remedy);
}

static void print_blas(void) {
    const struct blas_core core = blas_core_now();
    char choice[64];
    blas_core_choice(&core, choice, sizeof choice);
    printf("OpenBLAS: its %s kernels (%s)\n", core.name, choice);
}

static void look_at_build(void) {
    struct backend cpu = {.library = &mhc_cpu64};
    if (strstr(PROVENANCE_FLAGS, "-fsanitize"))
        advise("this is a sanitizer build: several times slower", "make");
    if (strstr(PROVENANCE_REVISION, "dirty"))
        advise("built from a tree with uncommitted changes: it cannot be built again", "commit, then make");
    if ((double)backend_available(&cpu) < 2e9)
        advise("less than 2 GB of memory are free",
               "close other programs; cases that do not fit are refused beforehand");
}

/* A GPU, or what else a backend runs on. The device itself says what is wrong with it. */
static void look_at_device(const char *text) {
    char part[DEVICE_TEXT];
    for (int k = 0; device_warning(text, k, part, sizeof part); k++)
        advise(part, "stop what else runs on the device, or let it cool down; nvidia-smi shows both");
}

/* A model measures nothing: prints what it is made of, and its error. */
static int print_model(const char *backend) {
    struct tables t = {.out = stdout, .most = 160};
    char why[200];
    return !show_gpu_model(backend, &t, why, sizeof why) ? cannot("%s", why)
           : tables_end(&t)                              ? EXIT_GOOD
                                                         : cannot("out of memory");
}

int doctor_command(int argc, char **argv) {
    static const char usage[] = "doctor [--backend NAME]";
    static const char help[] =
        "Says what would spoil a measurement on this machine, and the remedy.\n\n"
        "  --backend NAME  look at the device of this backend: cuda (default) or the path of a library. model:h200 "
        "prints the data sheet and the shares that the model assumes, and its error against published figures\n\n"
        "Exit: 0 whatever it finds, because all of it is advice; 2 if the named backend cannot be opened.\n";
    const char *backend = NULL;
    char device[DEVICE_TEXT];
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    if (!take_option(&argc, argv, "--backend", &backend) || !only_positional(argc, argv, 0, 0, usage))
        return EXIT_CANNOT;
    if (backend && !strncmp(backend, BACKEND_MODEL, strlen(BACKEND_MODEL)))
        return print_model(backend);
    bool opened = device_describe(backend ? backend : "cuda", device);
    if (!opened && backend)
        return cannot("%s", device);
    printf("What would spoil a measurement here:\n");
    look_at_cpu();
    look_at_blas();
    look_at_build();
    if (opened)
        look_at_device(device);
    if (!found)
        printf("  nothing found\n");
    if (device[0])
        printf("%s: %s\n", opened ? "Device" : "No GPU", device);
    print_blas();
    return EXIT_GOOD;
}
