/* How a checkpoint takes its name. The bytes go to PATH.part, which is locked, and reach the disk before the name
 * changes. What a killed process has left in PATH.part is overwritten by the next one. */
#include "results/checkpoint_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results/layout.h"

static bool leads_to(const char *path, int file) {
    struct stat named, opened;
    return !lstat(path, &named) && !fstat(file, &opened) && named.st_dev == opened.st_dev &&
           named.st_ino == opened.st_ino;
}

/* A file system without locks has one writer, or none is to be trusted. */
static bool lock(int file) {
    return !flock(file, LOCK_EX) || errno == ENOLCK || errno == ENOTSUP || errno == ENOSYS;
}

/* An open PATH.part that no other process has; -1: see errno. */
static int open_part(const char *part) {
    for (int attempt = 0; attempt < 100; attempt++) {
        const int file = open(part, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
        if (file < 0 || (lock(file) && leads_to(part, file)))
            return file;
        close(file); /* its name was taken while we waited */
    }
    return errno = EBUSY, -1;
}

static bool write_all(int file, const char *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        const ssize_t some = write(file, bytes + done, size - done);
        if (some < 0 && errno != EINTR)
            return false;
        if (some == 0)
            return errno = ENOSPC, false;
        done += some > 0 ? (size_t)some : 0;
    }
    return true;
}

/* So that the new name survives a power cut too. */
static void synchronise_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = record_format("%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
    const int file = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (file >= 0) {
        fsync(file);
        close(file);
    }
    free(folder);
}

bool checkpoint_file_write(const char *path, const void *bytes, size_t size) {
    char *part = record_format("%s" RECORD_SUFFIX, path);
    if (!part)
        return record_fail("out of memory");
    const int file = open_part(part);
    bool good = file >= 0 && !ftruncate(file, 0) && write_all(file, bytes, size) && !fsync(file) && !rename(part, path);
    if (!good) {
        record_fail("%s: %s", part, strerror(errno));
        if (file >= 0 && leads_to(part, file))
            unlink(part); /* its room may be all that others lack */
    }
    if (file >= 0)
        close(file);
    free(part);
    if (good)
        synchronise_folder(path);
    return good;
}

void *checkpoint_file_read(const char *path, size_t *size) {
    struct stat about;
    char *bytes = NULL;
    const int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe would wait for its writer */
    size_t done = 0;
    ssize_t some = -1;
    if (file < 0 || fstat(file, &about))
        record_fail("%s: %s", path, strerror(errno));
    else if (!S_ISREG(about.st_mode))
        record_fail("%s: not a regular file", path);
    else if (!(bytes = malloc((size_t)about.st_size + 1)))
        record_fail("%s: out of memory", path);
    else {
        while (done < (size_t)about.st_size &&
               ((some = read(file, bytes + done, (size_t)about.st_size - done)) > 0 || (some < 0 && errno == EINTR)))
            done += some > 0 ? (size_t)some : 0;
        if (done < (size_t)about.st_size) {
            record_fail("%s: %s", path, some < 0 ? strerror(errno) : "it became shorter");
            free(bytes);
            bytes = NULL;
        }
    }
    if (file >= 0)
        close(file);
    *size = done;
    return bytes;
}
