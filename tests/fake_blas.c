/* Preloaded into the program: an OpenBLAS that does not know this CPU. It answers to OPENBLAS_CORETYPE as OpenBLAS does
 * or, with FAKE_DEAF set, not at all; FAKE_CONFIG is what it says of its build. Every start of a program adds its
 * process number to the file FAKE_LOG, and its number of cores to FAKE_CORES; with FAKE_NOTHING defined that is all. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void add_line(const char *variable, long number) {
    const char *path = getenv(variable);
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
    if (file < 0)
        return;
    dprintf(file, "%ld\n", number);
    close(file);
}

__attribute__((constructor)) static void log_start(void) {
    int (*cores)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "omp_get_num_procs");
    add_line("FAKE_LOG", (long)getpid());
    if (cores)
        add_line("FAKE_CORES", cores());
}

#ifndef FAKE_NOTHING
const char *openblas_get_corename(void) {
    const char *asked = getenv("OPENBLAS_CORETYPE");
    return asked && !getenv("FAKE_DEAF") ? asked : "Prescott";
}

const char *openblas_get_config(void) {
    const char *config = getenv("FAKE_CONFIG");
    return config ? config : "OpenBLAS 0.3.21 NO_AFFINITY DYNAMIC_ARCH Prescott";
}
#endif
