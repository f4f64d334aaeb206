/* How such a file takes its name. The bytes go to PATH.part, which is locked, and reach the disk before the name
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
#include "results/place.h"
#include "results/regular.h"

static bool leads_to(const char *path, int file) {
    struct stat named, opened;
    return !lstat(path, &named) && !fstat(file, &opened) && named.st_dev == opened.st_dev &&
           named.st_ino == opened.st_ino;
}

/* A file system without locks has one writer, or none is to be trusted. */
static bool lock(int file) {
    return !flock(file, LOCK_EX) || place_has_no_locks(errno) || errno == EWOULDBLOCK; /* it did not wait */
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

static bool write_file(const char *path, const void *bytes, size_t size) {
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

/* The file as it would lie on a disk; NULL: the error line says why not. */
static void *image_of(bool (*fill)(hid_t file, const void *what), const void *what, size_t *size) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, 1 << 20, false);
    hid_t file = H5Fcreate("image", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    ssize_t bytes = -1;
    void *image = NULL;
    if (file < 0 ||
        (fill(file, what) && (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 || (bytes = H5Fget_file_image(file, NULL, 0)) < 0)))
        record_fail_hdf5("a file cannot be laid out");
    if (bytes > 0 && (!(image = malloc((size_t)bytes)) || H5Fget_file_image(file, image, (size_t)bytes) != bytes)) {
        record_fail("out of memory");
        free(image);
        image = NULL;
    }
    H5Fclose(file);
    H5Pclose(access);
    *size = bytes > 0 ? (size_t)bytes : 0;
    return image;
}

bool checkpoint_file_make(const char *path, bool (*fill)(hid_t file, const void *what), const void *what) {
    size_t size;
    record_quiet_hdf5();
    void *image = image_of(fill, what, &size);
    const bool good = image && write_file(path, image, size);
    free(image);
    return good;
}

/* A new file beside PATH, its name in `own`, locked: so place_clean() of another process leaves it alone. In the moment
 * before the lock that may have removed it; then another name is tried. -1: the error line says why. */
static int open_beside(const char *path, char **own, int *lock) {
    for (int k = 0; k < 100; k++) {
        int no_lock;
        struct place made;
        *own = place_beside(path);
        const int file = *own ? open(*own, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666) : -1;
        if (*own && file < 0)
            record_fail("%s: %s", *own, strerror(errno));
        if (file < 0)
            return -1;
        *lock = place_lock(file, &no_lock);
        if (place_opened(file, *own, &made) && place_is(*own, &made))
            return file;
        close(file);
        if (*lock >= 0)
            close(*lock);
        free(*own);
        *own = NULL;
    }
    record_fail("cannot write %s: other processes remove the file all the time", path);
    return -1;
}

bool checkpoint_file_replace(const char *path, const struct place *seen, bool (*fill)(hid_t file, const void *what),
                             const void *what) {
    size_t size;
    char *own = NULL;
    int lock = -1;
    record_quiet_hdf5();
    place_clean(path);
    void *image = image_of(fill, what, &size);
    const int file = image ? open_beside(path, &own, &lock) : -1;
    bool good = file >= 0 && write_all(file, image, size) && !fsync(file);
    if (file >= 0 && !good)
        record_fail("%s: %s", own, strerror(errno));
    good = good && place_take(own, path, seen);
    if (file >= 0) {
        if (!good)
            unlink(own);
        close(file);
    }
    if (lock >= 0)
        close(lock);
    free(own);
    free(image);
    return good;
}

void *checkpoint_file_read(const char *path, size_t *size) {
    int64_t length = 0;
    const int file = regular_open(path, &length);
    char *bytes = file >= 0 ? malloc((size_t)length + 1) : NULL;
    if (file >= 0 && !bytes)
        record_fail("%s: out of memory", path);
    if (bytes && !regular_read(file, path, bytes, (size_t)length, 0)) {
        free(bytes);
        bytes = NULL;
    }
    if (file >= 0)
        close(file);
    *size = (size_t)length;
    return bytes;
}
