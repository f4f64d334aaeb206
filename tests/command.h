/* The program as its users see it: runs shell commands in a folder of their own and keeps what they print. */
#ifndef COMMAND_H
#define COMMAND_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[PATH_MAX], folder[] = "/tmp/mhcbench-command-XXXXXX";
static char out[1 << 20], err[1 << 16]; /* of the last command */

/* $M is the program, $R the repository; the working folder is new and empty. */
static void enter(void) {
    const char *program = getenv("MHCBENCH");
    char path[PATH_MAX];
    cr_assert(getcwd(root, sizeof root) && realpath(program ? program : "build/mhcbench", path),
              "build the program first");
    setenv("M", path, 1);
    setenv("R", root, 1);
    setenv("OMP_NUM_THREADS", "1", 1);
    cr_assert(mkdtemp(folder) && !chdir(folder));
}

/* As enter(), with the scripts of figures in the working folder: a sanitized build lies a folder deeper than others,
 * and its program does not find those of the repository. */
static inline void enter_with_plots(void) {
    char plots[PATH_MAX + 8];
    enter();
    snprintf(plots, sizeof plots, "%s/plots", root);
    cr_assert(!symlink(plots, "plots"));
}

/* $B: the folder of this build, absolute. */
static inline void find_build(void) {
    const char *build = getenv("BUILD");
    char path[2 * PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", root, build ? build : "build");
    setenv("B", build && build[0] == '/' ? build : path, 1);
}

/* From here on a library of $B/plants has that plant, and is otherwise $INNER, a library of $B. */
static inline void set_plant_in(const char *name, const char *library) {
    char inner[2 * PATH_MAX];
    find_build();
    snprintf(inner, sizeof inner, "%s/%s", getenv("B"), library);
    setenv("INNER", inner, 1);
    setenv("PLANT", name, 1);
}
static inline void set_plant(const char *name) {
    set_plant_in(name, "libmhc_cpu.so");
}

static void leave(void) {
    char command[PATH_MAX];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(!chdir(root) && !system(command));
}

static void read_all(const char *path, char *text, size_t size) {
    FILE *file = fopen(path, "r");
    size_t got = file ? fread(text, 1, size - 1, file) : 0;
    text[got] = 0;
    if (file)
        fclose(file);
}

static void write_all(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "w");
    cr_assert(file && fwrite(bytes, 1, size, file) == size && !fclose(file), "%s cannot be written", path);
}

static inline void write_text(const char *path, const char *text) {
    write_all(path, text, strlen(text));
}

/* Starts a command; its output goes to the files .out and .err. A command of one program is that program's process. */
static pid_t start(const char *command) {
    pid_t child = fork();
    if (child == 0) {
        dup2(open(".out", O_WRONLY | O_CREAT | O_TRUNC, 0666), STDOUT_FILENO);
        dup2(open(".err", O_WRONLY | O_CREAT | O_TRUNC, 0666), STDERR_FILENO);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    cr_assert(child > 0);
    return child;
}

/* Exit code, or 128 and the signal as a shell says it. */
static int result_of(pid_t child) {
    int status;
    cr_assert(waitpid(child, &status, 0) == child);
    read_all(".out", out, sizeof out);
    read_all(".err", err, sizeof err);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

__attribute__((format(printf, 1, 2))) static int sh(const char *format, ...) {
    char command[8192];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    return result_of(start(command));
}

/* Exit 0, with everything printed if not. */
#define GOOD(...)                                                              \
    do {                                                                       \
        int code_ = sh(__VA_ARGS__);                                           \
        cr_assert(code_ == 0, "exit %d instead of 0:\n%s%s", code_, out, err); \
    } while (0)

/* Exit 2 and exactly one line, with `part` in it. */
static inline void expect_refusal(const char *command, const char *part) {
    int code = sh("%s", command);
    char *end = strchr(err, '\n');
    cr_expect(code == 2, "%s: exit %d instead of 2\n%s%s", command, code, out, err);
    cr_expect(end && !end[1] && !strncmp(err, "mhcbench: ", 10), "%s: not one line of the program:\n%s", command, err);
    cr_expect(strstr(err, part), "%s: wanted `%s` in\n%s", command, part, err);
    cr_expect(!out[0], "%s: prints although it failed:\n%s", command, out);
}

static inline bool exists(const char *path) {
    return !access(path, F_OK);
}

/* The cases and curves of two files are the same, whatever their order and computing time. */
static inline void expect_same_results(const char *a, const char *b) {
    GOOD("for f in %s %s; do"
         "  $M export $f | grep -v '^#' | cut -d, -f2-4,6- | sort >$f.cases &&"
         "  $M export $f --what curves | grep -v '^#' | cut -d, -f2- | sort >$f.curves || exit 1; done;"
         "test $(wc -l <%s.curves) -gt 1 && diff %s.cases %s.cases && diff %s.curves %s.curves",
         a, b, a, a, b, a, b);
}

#endif
