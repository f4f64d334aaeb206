#include "suites/case/from.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "results/checkpoint.h"
#include "results/maps_file.h"
#include "results/safetensors.h"
#include "suites/case/sites.h"

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

/* What a child that reads the file answers: '+' and the key of a checkpoint; '=' and the shape of maps; '*' and the
 * sites of weights; '-' and why it cannot serve. */
static int answer_maps(const char *path, char text[ANSWER]) {
    struct maps_shape s;
    if (!maps_file_look(path, &s))
        return snprintf(text, ANSWER, "-%s", record_error());
    return snprintf(text, ANSWER, "=%lld %lld %lld %lld %d\n%s\n%s", (long long)s.seeds, (long long)s.L, (long long)s.T,
                    (long long)s.n, (int)s.order, s.connection, s.key);
}

static int answer_checkpoint(const char *path, char text[ANSWER]) {
    char names[200];
    if (maps_file_other(path, names, sizeof names))
        return snprintf(text, ANSWER, "-%s has no dataset res of maps, only %s, and is no checkpoint", path, names);
    struct checkpoint *c = checkpoint_read(path);
    const char *key = c ? checkpoint_fact(c, "case") : NULL;
    return snprintf(text, ANSWER, "%c%.*s", key ? '+' : '-', ANSWER - 2,
                    key ? key
                    : c ? "it is of no case"
                        : record_error());
}

static int answer_weights(const char *path, char text[ANSWER]) {
    struct sites *s = sites_open(path);
    if (!s)
        return snprintf(text, ANSWER, "-%s", record_error());
    return snprintf(text, ANSWER, "*%lld %lld %lld %d", (long long)s->count, (long long)s->site[0].n,
                    (long long)(s->dynamic ? s->site[0].C : 0), s->v4);
}

static void answer(const char *path, int to) {
    char text[ANSWER];
    int length = maps_file_is(path)     ? answer_maps(path, text)
                 : safetensors_is(path) ? answer_weights(path, text)
                                        : answer_checkpoint(path, text);
    length = length < ANSWER ? length : ANSWER - 1;
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

/* The answer about a file; NULL: `why` is one line. A line of many cases asks for the same file again and again. */
static const char *look(const char *path, char *why, size_t why_size) {
    static char last[PARAM_TEXT_SIZE], text[ANSWER];
    if (strcmp(last, path) && !read_in_child(path, text))
        return snprintf(why, why_size, "--from %s: reading it crashed; it is not a file this program wrote", path),
               NULL;
    snprintf(last, sizeof last, "%s", path);
    return text[0] == '-' ? (snprintf(why, why_size, "--from: %.300s", text + 1), NULL) : text;
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

/* What has no meaning where `from` decides it. */
static bool refuse_idle(const struct param *param, const char *what, char *why, size_t why_size) {
    return snprintf(why, why_size, "--%s says how %s", params_option(param), what), false;
}

/* The same of all that draws an ensemble. */
static bool refuse_drawn(const struct params *p, const char *what, const struct param *const *given, int count,
                         char *why, size_t why_size) {
    for (int k = 0; k < params_count; k++)
        if (params_knows(p, &params_table[k]) && params_table[k].role & ROLE_DRAWN &&
            is_given(p, &params_table[k], given, count))
            return refuse_idle(&params_table[k], what, why, why_size);
    return true;
}

/* ---- a model ---- */

static bool apply_model(struct params *p, const char *key, const struct param *const *given, int count, char *why,
                        size_t why_size) {
    struct params model;
    char detail[300];
    if (!from_read_key(&model, key, detail, sizeof detail) || model.study != STUDY_TRAIN)
        return snprintf(why, why_size, "--from %s: not a checkpoint of study train", p->from), false;
    if (p->order)
        return snprintf(why, why_size, "--order is of a file of maps, and --from has a checkpoint"), false;
    for (int k = 0; k < params_count; k++) {
        const struct param *param = &params_table[k];
        char here[PARAM_TEXT_SIZE], there[PARAM_TEXT_SIZE];
        if (!params_knows(p, param) || !(param->role & (ROLE_MODEL | ROLE_MODELS | ROLE_DRAWN)))
            continue;
        const bool asked = is_given(p, param, given, count);
        params_text(p, param, here, sizeof here);
        params_text(&model, param, there, sizeof there);
        if (param->role & ROLE_DRAWN && asked)
            return refuse_idle(param, "an ensemble is drawn, and --from has a trained one", why, why_size);
        if (param->role & ROLE_MODEL && asked && strcmp(here, there))
            return snprintf(why, why_size, "--%s %.80s: the model of --from %s has %.80s", params_option(param), here,
                            p->from, there),
                   false;
        if (!(param->role & ROLE_DRAWN) && !asked && !params_set(p, param, there, why, why_size))
            return false;
    }
    return true;
}

/* ---- maps ---- */

/* What an answer about maps says; their connection is the file's `connection`, else that of its `case`. */
struct told {
    long long seeds, L, T, n;
    int order;
    char connection[MAPS_FILE_TEXT];
};

static void read_told(const char *text, struct told *t) {
    struct params of;
    char why[400];
    const char *connection = strchr(text, '\n') + 1, *key = strchr(connection, '\n') + 1;
    sscanf(text, "=%lld %lld %lld %lld %d", &t->seeds, &t->L, &t->T, &t->n, &t->order);
    snprintf(t->connection, sizeof t->connection, "%.*s", (int)(key - 1 - connection), connection);
    if (!t->connection[0] && *key && from_read_key(&of, key, why, sizeof why))
        snprintf(t->connection, sizeof t->connection, "%s", params_connection(&of)->name);
}

/* A whole number that the file decides. */
static bool decide(struct params *p, const char *name, int64_t value, const struct param *const *given, int count,
                   char *why, size_t why_size) {
    const struct param *param = params_find(name);
    int64_t *field = (int64_t *)((char *)p + param->offset);
    if (is_given(p, param, given, count) && *field != value)
        return snprintf(why, why_size, "--%s %lld: the maps of --from %s have %lld", name, (long long)*field, p->from,
                        (long long)value),
               false;
    *field = value;
    return true;
}

static bool apply_maps(struct params *p, const char *text, const struct param *const *given, int count, char *why,
                       size_t why_size) {
    static const char *const idle[] = {"t-max", "convention", "rms-eps", "sinkhorn-eps", "input"};
    struct told told;
    read_told(text, &told);
    if (p->study != STUDY_MAPS)
        return snprintf(why, why_size, "--from %s has maps alone: --study maps can take them", p->from), false;
    if (!refuse_drawn(p, "an ensemble is drawn, and --from has its maps", given, count, why, why_size))
        return false;
    for (size_t k = 0; k < sizeof idle / sizeof *idle; k++)
        if (is_given(p, params_find(idle[k]), given, count))
            return refuse_idle(params_find(idle[k]), "maps are made, and --from has them made", why, why_size);
    if (told.connection[0] && !is_given(p, params_find("block"), given, count) &&
        !params_set(p, params_find("block"), told.connection, why, why_size))
        return false;
    if (p->seed < 1 || p->seed > told.seeds)
        return snprintf(why, why_size, "--seed %lld: --from %s has seeds 1 to %lld", (long long)p->seed, p->from,
                        told.seeds),
               false;
    p->order = p->order ? p->order : told.order ? told.order : MAPS_DESTINATION_SOURCE;
    return decide(p, "depth", told.L, given, count, why, why_size) &&
           decide(p, "streams", told.n, given, count, why, why_size) &&
           decide(p, "tokens", told.T, given, count, why, why_size);
}

/* ---- weights ---- */

/* Tokens of the streams that the maps are made under; one stands for all where the map is static. */
static bool apply_states(struct params *p, int64_t C, const struct param *const *given, int count, char *why,
                         size_t why_size) {
    struct states_shape x;
    if (params_states(p) == STATES_STATIC)
        return decide(p, "tokens", 1, given, count, why, why_size);
    if (!C)
        return snprintf(why, why_size, "--states %s: not all sites of --from %s have fn and scale of one width",
                        p->states, p->from),
               false;
    if (params_states(p) == STATES_RANDOM)
        return true;
    if (!states_file_look(p->states, &x))
        return snprintf(why, why_size, "--states: %.300s", record_error()), false;
    if (x.L != p->depth || x.n != p->streams || x.C != C)
        return snprintf(why, why_size,
                        "--states %s: x is [%lld][%lld][%lld][%lld], and --from %s needs [%lld][T][%lld][%lld]",
                        p->states, (long long)x.L, (long long)x.T, (long long)x.n, (long long)x.C, p->from,
                        (long long)p->depth, (long long)p->streams, (long long)C),
               false;
    return decide(p, "tokens", x.T, given, count, why, why_size);
}

static bool apply_weights(struct params *p, const char *text, const struct param *const *given, int count, char *why,
                          size_t why_size) {
    long long L, n, C;
    int v4;
    sscanf(text, "*%lld %lld %lld %d", &L, &n, &C, &v4);
    if (p->study != STUDY_MAPS)
        return snprintf(why, why_size, "--from %s has weights: --study maps can take them", p->from), false;
    if (!refuse_drawn(p, "an ensemble is drawn, and --from has a trained one", given, count, why, why_size))
        return false;
    if (p->order)
        return snprintf(why, why_size, "--order is of a file of maps, and --from has weights"), false;
    if (strcmp(params_connection(p)->name, "mhc"))
        return snprintf(why, why_size, "--connection %s: the weights of --from %s are those of mhc",
                        params_connection(p)->name, p->from),
               false;
    if (v4 && !is_given(p, params_find("convention"), given, count))
        p->convention = MHC_V4;
    return decide(p, "depth", L, given, count, why, why_size) && decide(p, "streams", n, given, count, why, why_size) &&
           apply_states(p, C, given, count, why, why_size);
}

bool from_apply(struct params *p, const struct param *const *given, int count, char *why, size_t why_size) {
    const char *text = look(p->from, why, why_size);
    if (!text)
        return false;
    if (text[0] != '*' && params_knows(p, params_find("states")) && params_states(p) != STATES_STATIC)
        return snprintf(why, why_size, "--states is of weights, and --from %s has none", p->from), false;
    return text[0] == '='   ? apply_maps(p, text, given, count, why, why_size)
           : text[0] == '*' ? apply_weights(p, text, given, count, why, why_size)
                            : apply_model(p, text + 1, given, count, why, why_size);
}

int64_t from_seeds(const struct params *p, const struct param *const *given, int count) {
    char why[400];
    const char *text = look(p->from, why, sizeof why);
    struct told told = {.seeds = 1};
    if (text && text[0] == '=' && !is_given(p, params_find("seed"), given, count))
        read_told(text, &told);
    return told.seeds;
}
