#include "suites/command/drawing.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suites/case/options.h"

enum { NO_GNUPLOT = 127 };

bool drawing_folder(char *path, size_t size) {
    const char *parent = getenv("TMPDIR");
    char made[PATH_MAX], whole[PATH_MAX];
    snprintf(made, sizeof made, "%s/mhcbench-XXXXXX", parent && *parent ? parent : "/tmp");
    return mkdtemp(made) && realpath(made, whole) && (size_t)snprintf(path, size, "%s", whole) < size;
}

void drawing_last_line(int pipe, char *text, size_t size) {
    char all[4096];
    size_t used = 0;
    ssize_t got;
    while ((got = read(pipe, all + used, sizeof all - 1 - used)) > 0) {
        used += (size_t)got;
        if (used == sizeof all - 1)
            used = 0;
    }
    while (used && (all[used - 1] == '\n' || all[used - 1] == ' '))
        used--;
    all[used] = 0;
    const char *start = strrchr(all, '\n');
    snprintf(text, size, "%.*s", (int)size - 1, start ? start + 1 : all);
}

static void become_gnuplot(const char *script, const char *data, const char *format, const char *out, int errors) {
    char width[16];
    struct winsize window = {0};
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
    snprintf(width, sizeof width, "%d", window.ws_col >= 60 ? window.ws_col - 1 : 100);
    dup2(errors, STDERR_FILENO);
    setenv("LC_ALL", "C.UTF-8", 1);
    execlp("gnuplot", "gnuplot", "-d", "-c", script, data, format, out, width, (char *)NULL);
    _exit(NO_GNUPLOT);
}

bool drawing_by_gnuplot(const char *scripts, const char *data, const char *figure, const char *format,
                        const char *out) {
    char script[PATH_MAX + 64], said[300] = "";
    int pipe[2], status = 0;
    snprintf(script, sizeof script, "%s/%s.gp", scripts, figure);
    fflush(NULL);
    if (pipe2(pipe, O_CLOEXEC))
        return cannot("%s", strerror(errno)), false;
    pid_t child = fork();
    if (child == 0)
        become_gnuplot(script, data, format, out, pipe[1]);
    close(pipe[1]);
    if (child > 0)
        drawing_last_line(pipe[0], said, sizeof said);
    close(pipe[0]);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return cannot("gnuplot: %s", strerror(errno)), false;
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_GNUPLOT)
        return cannot("gnuplot is not there: install gnuplot-nox"), false;
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return cannot("gnuplot %s: %s", figure, said), false;
    return true;
}

bool drawing_is_whole(const char *path, const char *format) {
    const char *end = !strcmp(format, "svg") ? "</svg>" : !strcmp(format, "png") ? "IEND" : "%%EOF";
    char tail[17] = "";
    FILE *file = fopen(path, "rb");
    size_t got = 0;
    if (file && !fseek(file, -16, SEEK_END))
        got = fread(tail, 1, 16, file);
    if (file)
        fclose(file);
    return got && memmem(tail, got, end, strlen(end));
}
