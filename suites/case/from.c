#include "suites/case/from.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "results/checkpoint.h"

bool from_read_key(struct params *p, const char *key, char *why, size_t why_size) {
    char *words = strdup(key), *rest = words;
    bool good = words != NULL;
    params_defaults(p);
    for (const char *name; good && (name = strtok_r(rest, " ", &rest));) {
        const struct param *param = strncmp(name, "--", 2) ? NULL : params_find(name + 2);
        const char *value = strtok_r(NULL, " ", &rest);
        if (!param || !value)
            good = (snprintf(why, why_size, "%.60s is no option of a case with its value", name), false);
        else
            good = params_set(p, param, value, why, why_size);
    }
    free(words);
    return good;
}

/* ---- the file ---- */

enum { ANSWER = 4096 };

/* The key of a checkpoint behind a '+', or behind a '-' why there is none. */
static void answer(const char *path, int to) {
    char text[ANSWER];
    struct checkpoint *c = checkpoint_read(path);
    const char *key = c ? checkpoint_fact(c, "case") : NULL;
    int length = snprintf(text, sizeof text, "%c%.*s", key ? '+' : '-', ANSWER - 2,
                          key ? key
                          : c ? "it is of no case"
                              : record_error());
    _exit(write(to, text, (size_t)length) != length);
}

/* In a process of its own, so that a file that crashes a library is one line. */
static bool read_in_child(const char *path, char text[ANSWER]) {
    int ends[2], status;
    ssize_t some;
    size_t used = 0;
    if (pipe(ends))
        return false;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        answer(path, ends[1]);
    close(ends[1]);
    while (child > 0 && used < ANSWER - 1 &&
           ((some = read(ends[0], text + used, ANSWER - 1 - used)) > 0 || (some < 0 && errno == EINTR)))
        used += some > 0 ? (size_t)some : 0;
    text[used] = 0;
    close(ends[0]);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 && used > 0;
}

/* The case that a file was trained as. A line of many cases asks for the same file again and again. */
static bool trained_as(const char *path, struct params *model, char *why, size_t why_size) {
    static char last[PARAM_TEXT_SIZE], text[ANSWER];
    char detail[300];
    if (strcmp(last, path) && !read_in_child(path, text))
        return snprintf(why, why_size, "--from %s: reading it crashed; it is not a file this program wrote", path),
               false;
    snprintf(last, sizeof last, "%s", path);
    if (text[0] == '-')
        return snprintf(why, why_size, "--from: %.300s", text + 1), false;
    if (!from_read_key(model, text + 1, detail, sizeof detail) || model->study != STUDY_TRAIN)
        return snprintf(why, why_size, "--from %s: not a checkpoint of study train", path), false;
    return true;
}

/* ---- what it decides ---- */

/* By a line, or by one that begins with `set`. */
static bool is_given(const struct params *p, const struct param *param, const struct param *const *given, int count) {
    struct params standard;
    char here[PARAM_TEXT_SIZE], there[PARAM_TEXT_SIZE];
    for (int k = 0; k < count; k++)
        if (given[k] == param)
            return true;
    params_defaults(&standard);
    params_text(p, param, here, sizeof here);
    params_text(&standard, param, there, sizeof there);
    return strcmp(here, there) != 0;
}

bool from_apply(struct params *p, const struct param *const *given, int count, char *why, size_t why_size) {
    struct params model;
    if (!trained_as(p->from, &model, why, why_size))
        return false;
    for (int k = 0; k < params_count; k++) {
        const struct param *param = &params_table[k];
        char here[PARAM_TEXT_SIZE], there[PARAM_TEXT_SIZE];
        if (!params_knows(p, param) || !(param->role & (ROLE_MODEL | ROLE_MODELS | ROLE_DRAWN)))
            continue;
        const bool asked = is_given(p, param, given, count);
        params_text(p, param, here, sizeof here);
        params_text(&model, param, there, sizeof there);
        if (param->role & ROLE_DRAWN && asked)
            return snprintf(why, why_size, "--%s says how an ensemble is drawn, and --from has a trained one",
                            param->name),
                   false;
        if (param->role & ROLE_MODEL && asked && strcmp(here, there))
            return snprintf(why, why_size, "--%s %.80s: the model of --from %s has %.80s", params_option(param), here,
                            p->from, there),
                   false;
        if (!(param->role & ROLE_DRAWN) && !asked && !params_set(p, param, there, why, why_size))
            return false;
    }
    return true;
}
