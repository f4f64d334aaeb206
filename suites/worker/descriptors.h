/* Which descriptors a forked child keeps. */
#ifndef WORKER_DESCRIPTORS_H
#define WORKER_DESCRIPTORS_H

#include <sys/syscall.h>
#include <unistd.h>

/* Closes all descriptors from `first` on. glibc names close_range since 2.34, Linux has it since 5.9; without it the
 * loop ends where no descriptor of ours can be: a limit may be a billion. */
static inline void close_from(int first) {
#ifdef SYS_close_range
    if (!syscall(SYS_close_range, first, ~0U, 0))
        return;
#endif
    long most = sysconf(_SC_OPEN_MAX);
    if (most < 0 || most > 65536)
        most = 65536;
    for (int k = first; k < most; k++)
        close(k);
}

#endif
