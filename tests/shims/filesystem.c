/* A file system of a cluster, for a process that this is preloaded into: locks that fail, renameat2 that knows no
 * flags. FLOCK: errno of flock and of fcntl's locks. RENAMEAT2: that of a renameat2 with flags. LINK: that of link. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

static int wanted(const char *name) {
    const char *text = getenv(name);
    return text ? atoi(text) : 0;
}

int flock(int file, int how) {
    const int error = how & LOCK_UN ? 0 : wanted("FLOCK");
    return error ? (errno = error, -1) : (int)syscall(SYS_flock, file, how);
}

static int control(int file, int what, void *argument) {
    const int locks = what == F_SETLK || what == F_SETLKW || what == F_OFD_SETLK || what == F_OFD_SETLKW;
    const int error = locks ? wanted("FLOCK") : 0;
    return error ? (errno = error, -1) : (int)syscall(SYS_fcntl, file, what, argument);
}

int fcntl(int file, int what, ...) {
    va_list list;
    va_start(list, what);
    void *argument = va_arg(list, void *);
    va_end(list);
    return control(file, what, argument);
}

int fcntl64(int file, int what, ...) {
    va_list list;
    va_start(list, what);
    void *argument = va_arg(list, void *);
    va_end(list);
    return control(file, what, argument);
}

int renameat2(int a, const char *from, int b, const char *to, unsigned how) {
    const int error = how ? wanted("RENAMEAT2") : 0;
    return error ? (errno = error, -1) : (int)syscall(SYS_renameat2, a, from, b, to, how);
}

int link(const char *from, const char *to) {
    const int error = wanted("LINK");
    return error ? (errno = error, -1) : (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}
