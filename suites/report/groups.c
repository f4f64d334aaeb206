#include "suites/report/groups.h"

#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/analysis.h"
#include "suites/case/choice.h"

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
    for (int k = 0; k < params_count; k++)
        choice_param(reader, index, &params_table[k], p);
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

/* Where the group of a label is; the labels are a tree while groups are read. */
struct labelled {
    const char *label;
    int64_t place;
};

static int by_label(const void *a, const void *b) {
    return strcmp(((const struct labelled *)a)->label, ((const struct labelled *)b)->label);
}

void groups_variation(const struct groups *g, int64_t from, int64_t to, bool varies[PARAMS_MOST]) {
    for (int k = 0; k < params_count; k++) {
        char first[PARAM_TEXT_SIZE], other[PARAM_TEXT_SIZE];
        const struct param *param = &params_table[k];
        varies[k] = false;
        if (from < to)
            params_text(&g->group[from].p, param, first, sizeof first);
        for (int64_t i = from + 1; i < to && !varies[k] && !(param->role & ROLE_KEEPS); i++) {
            params_text(&g->group[i].p, param, other, sizeof other);
            varies[k] = strcmp(first, other) != 0;
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

static struct group *add_group(struct groups *g, char *label) {
    if ((g->count & (g->count - 1)) == 0) {
        struct group *grown = realloc(g->group, (size_t)(g->count ? 2 * g->count : 1) * sizeof *grown);
        if (!grown)
            return NULL;
        g->group = grown;
    }
    g->group[g->count] = (struct group){.label = label};
    return &g->group[g->count++];
}

/* The group of the case of that key, a new one where it is the first. NULL: out of memory. */
static struct group *place_of(struct record_reader *reader, struct groups *g, const char *key, int64_t index,
                              void **labels) {
    struct labelled *own = malloc(sizeof *own), **found;
    char *label = label_of(key);
    if (own && label) {
        *own = (struct labelled){label, g->count};
        found = tsearch(own, labels, by_label);
        if (found && *found != own) {
            const int64_t place = (*found)->place;
            free(own);
            free(label);
            return &g->group[place];
        }
        struct group *group = found ? add_group(g, label) : NULL;
        if (group) {
            groups_params(reader, index, &group->p);
            return group;
        }
        if (found)
            return free(label), NULL; /* `own` is of the tree */
    }
    free(own);
    free(label);
    return NULL;
}

bool groups_read(struct record_reader *reader, struct groups *g, char *why, size_t why_size) {
    const char *const *keys = record_texts(reader, "key"), *const *status = record_texts(reader, "status");
    const char *const *study = record_texts(reader, "study");
    int64_t count = record_count(reader);
    void *labels = NULL;
    *g = (struct groups){0};
    const int64_t *layers = record_ints(reader, "layers"), *depth = record_ints(reader, "depth");
    if (!keys || !status || !layers || !depth || !study)
        return snprintf(why, why_size, "no column `key`, `status`, `layers`, `depth` or `study`"), false;
    for (int64_t i = 0; i < count; i++)
        if (depth[i] != layers[i] && params_study_has(study[i], STUDY_CURVES))
            return snprintf(why, why_size, "case %lld has depth %lld and %lld layers", (long long)i,
                            (long long)depth[i], (long long)layers[i]),
                   false;
    bool good = true;
    for (int64_t i = 0; i < count && good; i++) {
        if (strcmp(status[i], "done") || !params_study_has(study[i], STUDY_CURVES))
            continue;
        struct group *group = place_of(reader, g, keys[i], i, &labels);
        good = group && add_case(group, i);
    }
    tdestroy(labels, free);
    if (!good)
        return snprintf(why, why_size, "out of memory"), false;
    groups_variation(g, 0, g->count, g->varies);
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
    groups_variation(g, 0, g->count, g->varies);
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

/* Says what tells a group apart even if its connection does not use it; only the ensemble is left out then. */
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

void groups_label_within(const struct groups *g, const bool varies[PARAMS_MOST], int64_t index, char *text,
                         size_t size) {
    label(&g->group[index].p, varies, text, size);
}

void groups_constants(const struct groups *g, int64_t from, int64_t to, char *text, size_t size) {
    bool varies[PARAMS_MOST];
    groups_variation(g, from, to, varies);
    size_t used = 0;
    const struct params *p = &g->group[from].p;
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
