/* Preloaded into the program: an OpenBLAS that does not know this CPU. It answers to OPENBLAS_CORETYPE as OpenBLAS does
 * or, with FAKE_DEAF set, not at all; FAKE_CONFIG is what it says of its build. Every start of a program adds its
 * process number to the file FAKE_LOG; with FAKE_NOTHING defined that is all it does. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void log_start(void) {
    const char *path = getenv("FAKE_LOG");
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
    if (file < 0)
        return;
    dprintf(file, "%ld\n", (long)getpid());
    close(file);
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
