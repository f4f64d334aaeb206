#include "results/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "results/layout.h"

static struct place place_from(const struct stat *status) {
    return (struct place){true, status->st_mode, status->st_dev, status->st_ino};
}

bool place_look(const char *path, struct place *place) {
    struct stat status;
    *place = (struct place){0};
    if (lstat(path, &status))
        return errno == ENOENT || record_fail("%s: %s", path, strerror(errno));
    *place = place_from(&status);
    return true;
}

bool place_opened(int descriptor, const char *path, struct place *place) {
    struct stat status;
    *place = (struct place){0};
    if (fstat(descriptor, &status))
        return record_fail("%s: %s", path, strerror(errno));
    *place = place_from(&status);
    return true;
}

bool place_is(const char *path, const struct place *place) {
    struct stat status;
    return !lstat(path, &status) && place->there && status.st_dev == place->device && status.st_ino == place->inode;
}

/* Tried by hand: the operating system says why not better than HDF5 does. */
static int try_name(const char *name) {
    const int descriptor = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    const int error = descriptor < 0 ? errno : 0;
    if (!error) {
        close(descriptor);
        unlink(name);
    }
    return error;
}

/* What place_beside() puts behind a name: a dot, so many hexadecimal digits, and this. */
enum { DIGITS = 12 };
static const char last[] = ".tmp";

char *place_beside(const char *path) {
    unsigned char b[6];
    for (int k = 0; k < 100; k++) {
        if (getrandom(b, sizeof b, 0) != sizeof b)
            return record_fail("%s: no random numbers for a name", path), NULL;
        char *name = record_format("%s.%02x%02x%02x%02x%02x%02x%s", path, b[0], b[1], b[2], b[3], b[4], b[5], last);
        if (!name)
            return record_fail("out of memory"), NULL;
        const int error = try_name(name);
        if (!error)
            return name;
        free(name);
        if (error != EEXIST)
            return record_fail("cannot write %s: %s", path, strerror(error)), NULL;
    }
    return record_fail("cannot write %s: no name is free", path), NULL;
}

/* A name of place_beside() for a file of that name, or of its unfinished record. */
static bool is_beside(const char *entry, const char *name) {
    const size_t length = strlen(name);
    if (strncmp(entry, name, length))
        return false;
    entry += length;
    if (!strncmp(entry, RECORD_SUFFIX, strlen(RECORD_SUFFIX)))
        entry += strlen(RECORD_SUFFIX);
    return *entry == '.' && strspn(entry + 1, "0123456789abcdef") == DIGITS && !strcmp(entry + 1 + DIGITS, last);
}

/* Not locked, though there are locks: nothing writes it. */
static void remove_left(int folder, const char *entry) {
    struct stat opened, named;
    const int file = openat(folder, entry, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    const bool ours = file >= 0 && !fstat(file, &opened) && S_ISREG(opened.st_mode) && opened.st_nlink == 1 &&
                      opened.st_uid == geteuid();
    if (ours && !flock(file, LOCK_EX | LOCK_NB) && !fstatat(folder, entry, &named, AT_SYMLINK_NOFOLLOW) &&
        named.st_dev == opened.st_dev && named.st_ino == opened.st_ino)
        unlinkat(folder, entry, 0);
    if (file >= 0)
        close(file);
}

enum { NO_SUCH_LOCKS = 524 }; /* ENOTSUPP of the kernel, which no header of the C library has */

bool place_has_no_locks(int error) {
    return error == ENOLCK || error == ENOSYS || error == EOPNOTSUPP || error == NO_SUCH_LOCKS;
}

/* What the user says of locks: none, some. */
static bool is_said(const char *none, const char *other) {
    const char *said = getenv("HDF5_USE_FILE_LOCKING");
    return said && (!strcmp(said, none) || !strcmp(said, other));
}

void place_clean(const char *path) {
    char *copy = strdup(path), *other = strdup(path);
    const int folder = copy && other ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *entries = folder >= 0 ? fdopendir(folder) : NULL;
    const char *name = other ? basename(other) : "";
    for (struct dirent *entry; entries && !is_said("FALSE", "0") && (entry = readdir(entries));)
        if (is_beside(entry->d_name, name))
            remove_left(folder, entry->d_name);
    if (entries)
        closedir(entries);
    else if (folder >= 0)
        close(folder);
    free(copy);
    free(other);
}

int place_lock(int descriptor, int *error) {
    *error = 0;
    if (is_said("FALSE", "0"))
        return -1;
    if (!flock(descriptor, LOCK_EX | LOCK_NB))
        return fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    *error = errno;
    return -1;
}

/* Does a new file beside it get no lock either? */
static bool refuses_all(const char *path) {
    char *name = place_beside(path);
    const int own = name ? open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666) : -1;
    const bool refuses = own >= 0 && flock(own, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
    if (own >= 0) {
        close(own);
        unlink(name);
    }
    free(name);
    return refuses;
}

bool place_locked(const char *path) {
    const int descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int error = descriptor < 0 || flock(descriptor, LOCK_SH | LOCK_NB) ? errno : 0;
    if (descriptor >= 0)
        close(descriptor);
    const bool locked = error == EWOULDBLOCK && !refuses_all(path);
    errno = error;
    return locked;
}

int place_hdf5_refused(const char *path) {
    if (!is_said("TRUE", "1"))
        return 0;
    const int descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    const int error = descriptor >= 0 && flock(descriptor, LOCK_SH | LOCK_NB) ? errno : 0;
    if (descriptor >= 0)
        close(descriptor);
    return error;
}

/* The folder of a file is never replaced by the file's writers: its lock orders them. -1: there are no locks, or
 * it is held for too long by somebody else; the steps below are safe without it. */
static int lock_folder(const char *path) {
    char *copy = strdup(path);
    const int folder = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(copy);
    for (int k = 0; folder >= 0 && k < 200; k++) {
        if (!flock(folder, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK)
            break;
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    return folder;
}

static bool rename_with(const char *from, const char *to, unsigned how) {
    return !renameat2(AT_FDCWD, from, AT_FDCWD, to, how);
}

/* What the file system does not know. */
static bool is_unknown(int error) {
    return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == EPERM || error == EMLINK ||
           error == NO_SUCH_LOCKS;
}

/* A name that nothing has, by one of three steps that each succeed for one process alone. */
static bool take_free(const char *from, const char *to) {
    bool good = rename_with(from, to, RENAME_NOREPLACE);
    if (!good && is_unknown(errno)) {
        good = !link(from, to);
        if (good)
            unlink(from);
    }
    if (!good && is_unknown(errno)) {
        const int own = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        good = own >= 0 && !rename(from, to);
        if (own >= 0)
            close(own);
    }
    return good || (errno == EEXIST ? record_fail("%s: another process has begun it meanwhile", to)
                                    : record_fail("cannot rename %s to %s: %s", from, to, strerror(errno)));
}

/* A writer that has just given a file its name still holds it for a moment. */
static bool stays_locked(const char *path) {
    bool locked = place_locked(path);
    for (int k = 0; k < 100 && locked; k++) {
        nanosleep(&(struct timespec){0, 10000000}, NULL);
        locked = place_locked(path);
    }
    return locked;
}

/* Both names change hands at once; whose file it was is looked at afterwards, and given back if it is not the one that
 * was seen. */
static bool take_over(const char *from, const char *to, const struct place *seen) {
    if (!place_is(to, seen))
        return record_fail("%s: another process has replaced it meanwhile", to);
    if (stays_locked(to))
        return record_fail("%s: another process is writing it", to);
    if (rename_with(from, to, RENAME_EXCHANGE)) {
        if (place_is(from, seen)) {
            unlink(from);
            return true;
        }
        rename_with(from, to, RENAME_EXCHANGE);
        return record_fail("%s: another process has replaced it meanwhile", to);
    }
    return (is_unknown(errno) && !rename(from, to)) ||
           record_fail("cannot rename %s to %s: %s", from, to, strerror(errno));
}

bool place_take(const char *from, const char *to, const struct place *seen) {
    const int folder = lock_folder(to);
    const bool good = seen->there ? take_over(from, to, seen) : take_free(from, to);
    if (good && folder >= 0)
        fsync(folder); /* some file systems cannot: no error */
    if (folder >= 0)
        close(folder);
    return good;
}

void place_remove(const char *path, const struct place *place) {
    if (place_is(path, place))
        unlink(path);
}
