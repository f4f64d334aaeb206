#include "suites/groups.h"

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

/* Parameters from the columns; a column that an older file lacks keeps its default. */
static void params_of(struct record_reader *reader, int64_t index, struct params *p) {
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

static struct group *find(struct groups *g, const char *label, int64_t hint) {
    if (hint < g->count && !strcmp(g->group[hint].label, label))
        return &g->group[hint];
    for (int64_t k = g->count; k-- > 0;)
        if (!strcmp(g->group[k].label, label))
            return &g->group[k];
    return NULL;
}

static void find_variation(struct groups *g) {
    for (int k = 0; k < params_count; k++) {
        char first[PARAM_TEXT_SIZE], other[PARAM_TEXT_SIZE];
        const struct param *param = &params_table[k];
        for (int64_t i = 0; i < g->count && strcmp(param->name, "seed"); i++) {
            params_text(&g->group[0].p, param, first, sizeof first);
            params_text(&g->group[i].p, param, other, sizeof other);
            g->varies[k] |= strcmp(first, other) != 0;
        }
    }
}

bool groups_read(struct record_reader *reader, struct groups *g, char *why, size_t why_size) {
    const char *const *keys = record_texts(reader, "key"), *const *status = record_texts(reader, "status");
    int64_t count = record_count(reader), last = 0;
    *g = (struct groups){0};
    if (!keys || !status)
        return snprintf(why, why_size, "no column `key` or `status`"), false;
    for (int64_t i = 0; i < count; i++) {
        if (strcmp(status[i], "done"))
            continue;
        char *label = label_of(keys[i]);
        struct group *group = label ? find(g, label, last) : NULL;
        if (label && !group) {
            struct group *grown = realloc(g->group, (size_t)(g->count + 1) * sizeof *grown);
            if (grown) {
                g->group = grown;
                group = &grown[g->count++];
                *group = (struct group){.label = strdup(label), .cases = malloc((size_t)count * sizeof(int64_t))};
                params_of(reader, i, &group->p);
            }
        }
        free(label);
        if (!group || !group->label || !group->cases)
            return snprintf(why, why_size, "out of memory"), false;
        last = group - g->group;
        group->cases[group->count++] = i;
    }
    find_variation(g);
    return true;
}

void groups_release(struct groups *g) {
    for (int64_t k = 0; k < g->count; k++) {
        free(g->group[k].label);
        free(g->group[k].cases);
    }
    free(g->group);
    *g = (struct groups){0};
}

static bool is_log10(const char *name) {
    for (int m = 0; m < MHC_METRICS; m++)
        if (!strncmp(name, mhc_metric_info[m].name, strlen(mhc_metric_info[m].name)) && mhc_metric_info[m].scale == MHC_LOG10)
            return true;
    return false;
}

static struct spread spread_of(double *values, int64_t count, bool log10_scale) {
    struct spread s = {NAN, NAN, NAN};
    if (!count)
        return s;
    s.q10 = mhc_quantile(values, count, 0.1);
    s.median = mhc_quantile(values, count, 0.5);
    s.q90 = mhc_quantile(values, count, 0.9);
    if (log10_scale)
        s = (struct spread){pow(10, s.q10), pow(10, s.median), pow(10, s.q90)};
    return s;
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

void groups_label(const struct groups *g, int64_t index, char *text, size_t size) {
    size_t used = 0;
    text[0] = 0;
    for (int k = 0; k < params_count && used < size; k++) {
        const struct param *param = &params_table[k];
        char value[PARAM_TEXT_SIZE];
        bool block = !strcmp(param->name, "block");
        if (!(g->varies[k] || block) || !(param->studies >> g->group[index].p.study & 1))
            continue;
        params_text(&g->group[index].p, param, value, sizeof value);
        used += (size_t)snprintf(text + used, size - used, "%s%s%s%s", used ? " " : "",
                                 param->type == PARAM_WORD ? "" : param->name, param->type == PARAM_WORD ? "" : "=", value);
    }
}
