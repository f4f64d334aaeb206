/* An edited reference: does cpu64 of the old build say the same as this program's? Where they differ, no row of the
 * report says which library is right. Then the vectors and the tests of cpu_ref/paper.c are asked. */
#include <glob.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suites/case/params.h"
#include "suites/gate/regress.h"

extern char **environ;

enum { F64 = 1 }; /* of --type */

/* What is wrong with a library's float64 row in the fixed cases. "": it agrees with the reference, or there is no
 * such row. */
static void ask(struct regress *g, const struct params *p, char *why, size_t why_size) {
    struct regress_question q = {.step = REGRESS_SUPPORT, .side = REGRESS_BASE, .p = *p};
    struct regress_answer a;
    q.p.type = F64;
    q.p.map = 0;
    bool has = regress_ask(g, &q, g->timeout, &a, why, why_size);
    q.step = REGRESS_SHARP;
    if (!has || regress_ask(g, &q, 10 * g->timeout, &a, why, why_size))
        why[0] = 0;
}

/* Runs a program without its output. 0: it says that all is right; 1: it says that something is not; -1: it cannot
 * be run. */
static int run(char *const words[]) {
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    bool started = !posix_spawn(&pid, words[0], &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (!started || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) > 1)
        return -1;
    return WEXITSTATUS(status);
}

/* Whether a library agrees with every vector file beside the program's sources; -1: unknown. */
static int vectors_say(const char *folder, const char *library) {
    char pattern[REGRESS_PATH + 40];
    glob_t files;
    int worst = -1;
    snprintf(pattern, sizeof pattern, "%s/../tests/vectors/*.h5", folder);
    if (glob(pattern, 0, NULL, &files))
        return -1;
    for (size_t k = 0; k < files.gl_pathc; k++) {
        int said = run((char *const[]){(char *)worker_program(), "verify", files.gl_pathv[k], "--type", "f64",
                                       "--backend", (char *)library, NULL});
        worst = said > worst ? said : worst;
    }
    globfree(&files);
    return worst;
}

static int paper_says(const char *folder) {
    char program[REGRESS_PATH + 40];
    snprintf(program, sizeof program, "%s/tests/test_paper", folder);
    return access(program, X_OK) ? -1 : run((char *const[]){program, NULL});
}

/* Writes the first line of the report, and whether it makes the report fail. */
static void rule(struct gate_report *report, const char *library, int count, const char *example) {
    char folder[REGRESS_PATH];
    snprintf(folder, sizeof folder, "%s", worker_program());
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = 0;
    int now = vectors_say(folder, "cpu64"), old = vectors_say(folder, library), paper = paper_says(folder);
    const char *said = now < 0 || old < 0     ? "the vectors cannot be asked"
                       : now == 0 && old == 0 ? "the vectors agree with both"
                       : now == 0             ? "the vectors agree with NEW"
                       : old == 0             ? "the vectors agree with OLD"
                                              : "the vectors agree with neither";
    report->first_fails = !(now == 0 && old == 1 && paper != 1);
    snprintf(
        report->first, sizeof report->first,
        "REFERENCE: cpu64 of the old build (OLD) and of this one (NEW) disagree in %d operations; %s; the tests of "
        "cpu_ref/paper.c %s; %s. %s",
        count, said,
        paper < 0    ? "are not built"
        : paper == 0 ? "agree with NEW"
                     : "contradict NEW",
        report->first_fails ? "until they say that NEW is right, this fails"
                            : "NEW is right, and what differs from it below is OLD's",
        example);
}

void regress_compare_references(struct regress *g, const struct suite *s) {
    struct regress other = {.timeout = g->timeout};
    char why[600], example[300] = "";
    bool is_base = !strcmp(g->reference, g->path[REGRESS_BASE]);
    struct regress *asked = is_base ? g : &other;
    int count = 0;
    for (int side = 0; side < 2; side++)
        snprintf(other.path[side], REGRESS_PATH, "%s", g->reference);
    for (int64_t k = 0; k < s->count && !regress_stopped; k++) {
        bool seen = false;
        for (int64_t before = 0; before < k && !seen; before++)
            seen = !strcmp(s->cases[before].operation, s->cases[k].operation);
        if (seen)
            continue;
        ask(asked, &s->cases[k], why, sizeof why);
        if (why[0] && !count++)
            snprintf(example, sizeof example, "%.290s", why);
    }
    worker_stop(&other.worker);
    if (count && !regress_stopped)
        rule(&g->report, g->reference, count, example);
}
