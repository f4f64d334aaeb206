#include "suites/report/figure_lines.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- choosing lines ---- */

double parameter_value(const struct params *p, const struct param *param) {
    const void *field = (const char *)p + param->offset;
    if (param->type == PARAM_TEXT)
        return NAN;
    return param->type == PARAM_REAL ? *(const double *)field : (double)*(const int64_t *)field;
}

bool params_differ(const struct params *a, const struct params *b, const struct param *param) {
    if (param->type == PARAM_TEXT)
        return *(const char *const *)((const char *)a + param->offset) !=
               *(const char *const *)((const char *)b + param->offset);
    return parameter_value(a, param) != parameter_value(b, param);
}

bool same_but(const struct params *p, const struct params *q, const struct param *a, const struct param *b) {
    for (int k = 0; k < params_count; k++) {
        const struct param *param = &params_table[k];
        if (param != a && param != b && strcmp(param->name, "seed") && params_differ(p, q, param))
            return false;
    }
    return true;
}

int64_t likeness(const struct params *p, const struct param *a, const struct param *b) {
    struct params standard;
    params_defaults(&standard);
    const struct {
        const char *name;
        bool like;
    } marks[] = {{"depth", p->depth == 60},
                 {"streams", p->streams == 4},
                 {"t-max", p->t_max == 20},
                 {"round", p->rounding == ROUND_NONE},
                 {"init", p->init == INIT_LATENT},
                 {"start", p->start == standard.start},
                 {"steps", p->steps == standard.steps},
                 {"learning-rate", p->learning_rate == standard.learning_rate}};
    int64_t score = 0;
    for (size_t k = 0; k < sizeof marks / sizeof *marks; k++) {
        const struct param *param = params_find(marks[k].name);
        score = 2 * score + (marks[k].like || param == a || param == b);
    }
    return score;
}

/* The lines that could be shown, the preferred ones [0] and the others [1] of every block: how many, and how many
 * were seen. */
struct room {
    int most, count[2][CONNECTIONS], seen[2][CONNECTIONS];
};

/* Whether the next line is shown. Where not all can be, lines in even steps from the first to the last, so that both
 * ends are there. */
static bool next_fits(struct room *r, int pass, int block) {
    int place = r->seen[pass][block]++, count = r->count[pass][block];
    int left = pass ? r->most - r->count[0][block] : r->most;
    bool shown = left >= count || (left == 1 && place == 0);
    for (int k = 0; left > 1 && k < left; k++)
        shown |= (2 * k * (count - 1) + left - 1) / (2 * (left - 1)) == place;
    return shown;
}

/* Takes over `groups`; where there is no room the line is left out. */
static void add_line(struct lines *lines, int64_t *groups, int64_t count, const struct params *p,
                     const struct param *along, bool fits) {
    int rank = 0;
    for (int k = 0; k < lines->count; k++)
        rank += lines->line[k].block == p->block;
    struct line line = {.groups = groups, .count = count, .block = (int)p->block, .rank = rank, .axes = {along, NULL}};
    lines->candidates++;
    if (groups && fits && lines->count < MOST_LINES)
        lines->line[lines->count++] = line;
    else if (groups && lines->left_out_count < MOST_LEFT_OUT)
        lines->left_out[lines->left_out_count++] = line;
    else
        free(groups);
}

static int by_block(const void *left, const void *right) {
    const struct line *a = left, *b = right;
    return a->block != b->block ? a->block - b->block : a->rank - b->rank;
}

bool group_broken(const struct figure_source *source, const struct group *group) {
    return groups_summary(source->reader, group, "x_nonfinite_max").median > 0;
}

static bool summary_recorded(const struct figure_source *source, const struct group *group, const char *summary) {
    return !isnan(groups_summary(source->reader, group, summary).median) || group_broken(source, group);
}

void lines_by_layer(const struct figure_source *source, const char *curve, unsigned connections, int most,
                    struct lines *lines) {
    const struct groups *g = source->groups;
    const struct group *best = NULL;
    int64_t most_seeds[CONNECTIONS] = {0};
    *lines = (struct lines){.count = 0};
    bool *recorded = calloc((size_t)g->count + 1, sizeof *recorded);
    for (int64_t k = 0; recorded && k < g->count; k++) {
        const struct group *group = &g->group[k];
        recorded[k] = (connections >> group->p.block & 1) &&
                      (!curve || record_curve_computed(source->reader, curve, group->cases[0]));
        if (!recorded[k])
            continue;
        if (group->count > most_seeds[group->p.block])
            most_seeds[group->p.block] = group->count;
        int64_t better = best ? likeness(&group->p, NULL, NULL) - likeness(&best->p, NULL, NULL) : 1;
        if (better > 0 || (better == 0 && (group->count > best->count ||
                                           (group->count == best->count && group->p.depth > best->p.depth))))
            best = group;
    }
    /* The nearest to the paper's stack come first, then those that are only as deep and as wide. */
    struct room room = {.most = source->lines ? source->lines : most};
    unsigned shown = 0;
    for (int pass = -1; best && pass < 2; pass++) /* -1: counts them */
        for (int64_t k = 0; k < g->count; k++) {
            const struct params *p = &g->group[k].p;
            int other = likeness(p, NULL, NULL) < likeness(&best->p, NULL, NULL);
            /* A single seed beside the median of many would pass for a result. */
            bool few = 4 * g->group[k].count < most_seeds[p->block];
            if (recorded[k])
                lines->absent |= 1u << p->block;
            if (!recorded[k] || few || p->depth != best->p.depth || (pass >= 0 && other != pass) ||
                (p->streams != best->p.streams && !connection_has_one_stream(params_connection(p))))
                continue;
            shown |= 1u << p->block;
            if (pass < 0) {
                room.count[other][p->block]++;
                continue;
            }
            int64_t *group = malloc(sizeof *group);
            if (group)
                *group = k;
            add_line(lines, group, 1, p, NULL, next_fits(&room, pass, (int)p->block));
        }
    lines->absent &= ~shown;
    free(recorded);
    qsort(lines->line, (size_t)lines->count, sizeof *lines->line, by_block);
    label_lines(source, lines, NULL);
}

/* Groups that are alike but for `along`, in its order. */
struct candidate {
    int64_t *groups, count, score;
    bool wanted;
};

static void insert(const struct groups *g, struct candidate *c, int64_t group, const struct param *along) {
    int64_t *grown = realloc(c->groups, (size_t)(c->count + 1) * sizeof *grown);
    if (!grown)
        return;
    c->groups = grown;
    int64_t at = c->count++;
    for (; at > 0 && parameter_value(&g->group[grown[at - 1]].p, along) > parameter_value(&g->group[group].p, along);
         at--)
        grown[at] = grown[at - 1];
    grown[at] = group;
}

static int64_t collect(const struct figure_source *source, const struct param *along, const char *summary,
                       unsigned connections, struct candidate **out) {
    const struct groups *g = source->groups;
    struct candidate *c = NULL;
    int64_t count = 0, k;
    for (int64_t i = 0; i < g->count; i++) {
        const struct params *p = &g->group[i].p;
        if (!(connections >> p->block & 1) || !summary_recorded(source, &g->group[i], summary))
            continue;
        for (k = 0; k < count; k++)
            if (same_but(p, &g->group[c[k].groups[0]].p, along, NULL))
                break;
        if (k == count) {
            struct candidate *grown = realloc(c, (size_t)(count + 1) * sizeof *grown);
            if (!grown)
                break;
            c = grown;
            c[count++] = (struct candidate){.score = likeness(p, along, NULL)};
        }
        insert(g, &c[k], i, along);
    }
    *out = c;
    return count;
}

/* Lines of two points and more; with `beside`, those that differ from the best in it alone, if there are any. */
static const struct candidate *choose(const struct groups *g, struct candidate *c, int64_t count,
                                      const struct param *along, const struct param *beside) {
    const struct candidate *best = NULL;
    int64_t likes = 0;
    for (int64_t k = 0; k < count; k++) {
        c[k].wanted = c[k].count > 1;
        if (c[k].wanted &&
            (!best || c[k].score > best->score || (c[k].score == best->score && c[k].count > best->count)))
            best = &c[k];
    }
    for (int pass = 0; best && beside && pass < 2; pass++)
        for (int64_t k = 0; k < count; k++) {
            bool like = c[k].wanted &&
                        same_but(&g->group[best->groups[0]].p, &g->group[c[k].groups[0]].p, along, beside);
            if (pass == 0)
                likes += like;
            else if (likes > 1)
                c[k].wanted = like;
        }
    return best;
}

void lines_along(const struct figure_source *source, const struct param *along, const struct param *beside,
                 const char *summary, unsigned connections, int most, struct lines *lines) {
    const struct groups *g = source->groups;
    struct candidate *c;
    *lines = (struct lines){.count = 0};
    int64_t count = collect(source, along, summary, connections, &c);
    const struct candidate *best = choose(g, c, count, along, beside);
    int64_t score = best ? best->score : 0;
    struct room room = {.most = source->lines ? source->lines : most};
    for (int64_t k = 0; k < count; k++)
        room.count[c[k].score < score][g->group[c[k].groups[0]].p.block] += c[k].wanted;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t k = 0; k < count; k++) {
            const struct params *p = c[k].groups ? &g->group[c[k].groups[0]].p : NULL;
            if (!p || !c[k].wanted || (c[k].score < score) != pass)
                continue;
            add_line(lines, c[k].groups, c[k].count, p, along, next_fits(&room, pass, (int)p->block));
            c[k].groups = NULL;
        }
    for (int64_t k = 0; k < count; k++)
        free(c[k].groups);
    free(c);
    qsort(lines->line, (size_t)lines->count, sizeof *lines->line, by_block);
    label_lines(source, lines, along);
}

int64_t lines_streams(const struct figure_source *source, const struct lines *lines) {
    int64_t most = 0;
    for (int k = 0; k < lines->count; k++) {
        int64_t n = source->groups->group[lines->line[k].groups[0]].p.streams;
        most = n > most ? n : most;
    }
    return most;
}

bool lines_like_paper(const struct figure_source *source, const struct lines *lines) {
    bool like = lines->count > 0;
    for (int k = 0; k < lines->count; k++) {
        const struct params *p = &source->groups->group[lines->line[k].groups[0]].p;
        like &= p->depth == 60 && (p->streams == 4 || connection_has_one_stream(params_connection(p)));
    }
    return like;
}

void lines_release(struct lines *lines) {
    for (int k = 0; k < lines->count; k++)
        free(lines->line[k].groups);
    for (int k = 0; k < lines->left_out_count; k++)
        free(lines->left_out[k].groups);
    lines->count = lines->left_out_count = 0;
}
