#include "results/regular.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results/layout.h"

int regular_open(const char *path, int64_t *size) {
    struct stat about;
    const int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe would wait for its writer */
    if (file < 0 || fstat(file, &about))
        record_fail("%s: %s", path, strerror(errno));
    else if (!S_ISREG(about.st_mode))
        record_fail("%s: not a regular file", path);
    else
        return *size = (int64_t)about.st_size, file;
    if (file >= 0)
        close(file);
    return -1;
}

bool regular_read(int file, const char *path, void *to, size_t size, int64_t at) {
    for (size_t done = 0; done < size;) {
        const ssize_t some = pread(file, (char *)to + done, size - done, at + (int64_t)done);
        if (some == 0 || (some < 0 && errno != EINTR))
            return record_fail("%s: %s", path, some < 0 ? strerror(errno) : "it became shorter");
        done += some > 0 ? (size_t)some : 0;
    }
    return true;
}
