#include "suites/report/groups.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/analysis.h"

/* The key without " --seed N"; the seed is its last word pair, or absent when it is the default. */
static char *label_of(const char *key) {
    char *label = strdup(key), *seed = label ? strstr(label, " --seed ") : NULL;
    if (seed) {
        char *rest = seed + strlen(" --seed ");
        rest += strcspn(rest, " ");
        memmove(seed, rest, strlen(rest) + 1);
    }
    return label;
}

void groups_params(struct record_reader *reader, int64_t index, struct params *p) {
    params_defaults(p);
    for (int k = 0; k < params_count; k++) {
        const struct param *param = &params_table[k];
        void *field = (char *)p + param->offset;
        char why[8];
        if (param->type == PARAM_INT) {
            const int64_t *values = record_ints(reader, param->name);
            if (values)
                *(int64_t *)field = values[index];
        } else if (param->type == PARAM_REAL) {
            const double *values = record_reals(reader, param->name);
            if (values)
                *(double *)field = values[index];
        } else {
            const char *const *values = record_texts(reader, param->name);
            if (values)
                params_set(p, param, values[index], why, sizeof why);
        }
    }
}

bool groups_device(struct record_reader *reader, const char *backend, char *text, size_t size) {
    const char *value = record_fact_called(reader, "device");
    char mark[PARAM_TEXT_SIZE + 2];
    text[0] = 0;
    snprintf(mark, sizeof mark, "%s: ", backend);
    if (value && (value = strstr(value, mark)))
        snprintf(text, size, "%.*s", (int)strcspn(value + strlen(mark), ";|"), value + strlen(mark));
    return *text;
}

static struct group *find(struct groups *g, const char *label, int64_t hint) {
    if (hint < g->count && !strcmp(g->group[hint].label, label))
        return &g->group[hint];
    for (int64_t k = g->count; k-- > 0;)
        if (!strcmp(g->group[k].label, label))
            return &g->group[k];
    return NULL;
}

static void find_variation(const struct groups *g, int64_t from, int64_t to, bool *varies) {
    for (int k = 0; k < params_count; k++) {
        char first[PARAM_TEXT_SIZE], other[PARAM_TEXT_SIZE];
        const struct param *param = &params_table[k];
        varies[k] = false;
        for (int64_t i = from; i < to && !(param->role & ROLE_KEEPS); i++) {
            params_text(&g->group[from].p, param, first, sizeof first);
            params_text(&g->group[i].p, param, other, sizeof other);
            varies[k] |= strcmp(first, other) != 0;
        }
    }
}

static bool add_case(struct group *group, int64_t index) {
    if ((group->count & (group->count - 1)) == 0) { /* room doubles */
        int64_t *grown = realloc(group->cases, (size_t)(group->count ? 2 * group->count : 1) * sizeof *grown);
        if (!grown)
            return false;
        group->cases = grown;
    }
    group->cases[group->count++] = index;
    return true;
}

bool groups_read(struct record_reader *reader, struct groups *g, char *why, size_t why_size) {
    const char *const *keys = record_texts(reader, "key"), *const *status = record_texts(reader, "status");
    const char *const *study = record_texts(reader, "study");
    int64_t count = record_count(reader), last = 0;
    *g = (struct groups){0};
    const int64_t *layers = record_ints(reader, "layers"), *depth = record_ints(reader, "depth");
    if (!keys || !status || !layers || !depth || !study)
        return snprintf(why, why_size, "no column `key`, `status`, `layers`, `depth` or `study`"), false;
    for (int64_t i = 0; i < count; i++)
        if (depth[i] != layers[i] && params_study_has(study[i], STUDY_CURVES))
            return snprintf(why, why_size, "case %lld has depth %lld and %lld layers", (long long)i,
                            (long long)depth[i], (long long)layers[i]),
                   false;
    for (int64_t i = 0; i < count; i++) {
        if (strcmp(status[i], "done") || !params_study_has(study[i], STUDY_CURVES))
            continue;
        char *label = label_of(keys[i]);
        struct group *group = label ? find(g, label, last) : NULL;
        if (label && !group) {
            struct group *grown = realloc(g->group, (size_t)(g->count + 1) * sizeof *grown);
            if (grown) {
                g->group = grown;
                group = &grown[g->count++];
                *group = (struct group){.label = strdup(label)};
                groups_params(reader, i, &group->p);
            }
        }
        free(label);
        if (!group || !group->label || !add_case(group, i))
            return snprintf(why, why_size, "out of memory"), false;
        last = group - g->group;
    }
    find_variation(g, 0, g->count, g->varies);
    return true;
}

static void release(struct group *group) {
    free(group->label);
    free(group->cases);
}

void groups_keep(struct groups *g, const bool *wanted) {
    int64_t kept = 0;
    for (int64_t k = 0; k < g->count; k++) {
        struct group *group = &g->group[k];
        int64_t cases = 0;
        for (int64_t i = 0; i < group->count; i++)
            if (wanted[group->cases[i]])
                group->cases[cases++] = group->cases[i];
        group->count = cases;
        if (cases)
            g->group[kept++] = *group;
        else
            release(group);
    }
    g->count = kept;
    find_variation(g, 0, g->count, g->varies);
}

void groups_release(struct groups *g) {
    for (int64_t k = 0; k < g->count; k++)
        release(&g->group[k]);
    free(g->group);
    *g = (struct groups){0};
}

static bool is_log10(const char *name) {
    enum mhc_metric metric = mhc_metric_of(name);
    bool known = metric != MHC_METRICS;
    return known && mhc_metric_info[metric].scale == MHC_LOG10;
}

struct spread groups_spread(double *values, int64_t count) {
    struct spread s = {NAN, NAN, NAN};
    if (!count)
        return s;
    s.q10 = mhc_quantile(values, count, 0.1);
    s.median = mhc_quantile(values, count, 0.5);
    s.q90 = mhc_quantile(values, count, 0.9);
    return s;
}

static struct spread spread_of(double *values, int64_t count, bool log10_scale) {
    struct spread s = groups_spread(values, count);
    return log10_scale ? (struct spread){pow(10, s.q10), pow(10, s.median), pow(10, s.q90)} : s;
}

struct spread groups_summary(struct record_reader *reader, const struct group *group, const char *summary) {
    const double *values = record_summary(reader, summary);
    double *some = values ? malloc((size_t)group->count * sizeof *some) : NULL;
    for (int64_t k = 0; some && k < group->count; k++)
        some[k] = values[group->cases[k]];
    struct spread s = spread_of(some, some ? group->count : 0, is_log10(summary));
    free(some);
    return s;
}

struct spread groups_curve(struct record_reader *reader, const struct group *group, const char *curve, int64_t layer) {
    double *some = malloc((size_t)group->count * sizeof *some);
    int64_t count = 0;
    for (int64_t k = 0; some && k < group->count; k++) {
        const double *values = record_curve_of(reader, curve, group->cases[k]);
        if (values && layer < group->p.depth)
            some[count++] = values[layer];
    }
    struct spread s = spread_of(some, count, is_log10(curve));
    free(some);
    return s;
}

/* What tells a group apart is said even where its block does not use it: only the ensemble is left out then. */
static bool is_idle(const struct params *p, const struct param *param) {
    return param->role & ROLE_QUIET && !params_matters(p, param);
}

static void label(const struct params *p, const bool *varies, char *text, size_t size) {
    size_t used = 0;
    text[0] = 0;
    for (int k = 0; k < params_count && used < size; k++) {
        const struct param *param = &params_table[k];
        char value[PARAM_TEXT_SIZE];
        if (!(varies[k] || !strcmp(param->name, "block")) || !params_knows(p, param) || is_idle(p, param))
            continue;
        params_text(p, param, value, sizeof value);
        bool plain = param->role & ROLE_WORD;
        used += (size_t)snprintf(text + used, size - used, "%s%s%s%s", used ? " " : "", plain ? "" : param->name,
                                 plain ? "" : "=", value);
    }
}

void groups_label(const struct groups *g, int64_t index, char *text, size_t size) {
    label(&g->group[index].p, g->varies, text, size);
}

void groups_label_within(const struct groups *g, int64_t from, int64_t to, int64_t index, char *text, size_t size) {
    bool varies[PARAMS_MOST];
    find_variation(g, from, to, varies);
    label(&g->group[index].p, varies, text, size);
}

void groups_constants(const struct groups *g, int64_t from, int64_t to, char *text, size_t size) {
    bool varies[PARAMS_MOST];
    size_t used = 0;
    const struct params *p = &g->group[from].p;
    find_variation(g, from, to, varies);
    text[0] = 0;
    for (int k = 0; k < params_count && used < size; k++) {
        const struct param *param = &params_table[k];
        char value[PARAM_TEXT_SIZE];
        params_text(p, param, value, sizeof value);
        if (params_has_maps(p) && !params_matters(p, param))
            continue;
        if (!varies[k] && !(param->role & ROLE_KEEPS) && strcmp(param->name, "block") && params_knows(p, param) &&
            (param->role & ROLE_HEADS || strcmp(value, param->standard)))
            used += (size_t)snprintf(text + used, size - used, "%s--%s %s", used ? " " : "", param->name, value);
    }
}

static bool is_in(const char *name, const char *const *list) {
    while (*list && strcmp(*list, name))
        list++;
    return *list != NULL;
}

void groups_case_constants(const struct params *p, const char *const *columns, const char *const *always, char *text,
                           size_t size) {
    size_t used = 0;
    text[0] = 0;
    for (int k = 0; k < params_count && used < size; k++) {
        const struct param *param = &params_table[k];
        char value[PARAM_TEXT_SIZE];
        params_text(p, param, value, sizeof value);
        if (!is_in(param->name, columns) && params_knows(p, param) &&
            (is_in(param->name, always) || strcmp(value, param->standard)))
            used += (size_t)snprintf(text + used, size - used, "%s--%s %s", used ? " " : "", param->name, value);
    }
}
