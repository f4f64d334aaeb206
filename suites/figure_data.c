#include "suites/figure_data.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* In pixels of 1/96 inch a character of the 7 pt caption is about 5.4 wide; 8.5 cm are 321 of them. */
enum { NARROW_COLUMNS = 56, WIDE_COLUMNS = 116 };

/* ---- choosing lines ---- */

double parameter_value(const struct params *p, const struct param *param) {
    const void *field = (const char *)p + param->offset;
    if (param->type == PARAM_TEXT)
        return NAN;
    return param->type == PARAM_REAL ? *(const double *)field : (double)*(const int64_t *)field;
}

static bool differ(const struct params *a, const struct params *b, const struct param *param) {
    if (param->type == PARAM_TEXT)
        return strcmp((const char *)a + param->offset, (const char *)b + param->offset) != 0;
    return parameter_value(a, param) != parameter_value(b, param);
}

bool same_but(const struct params *p, const struct params *q, const struct param *a, const struct param *b) {
    for (int k = 0; k < params_count; k++) {
        const struct param *param = &params_table[k];
        if (param != a && param != b && strcmp(param->name, "seed") && differ(p, q, param))
            return false;
    }
    return true;
}

int64_t likeness(const struct params *p, const struct param *a, const struct param *b) {
    const struct {
        const char *name;
        bool like;
    } marks[] = {{"depth", p->depth == 60},
                 {"streams", p->streams == 4 || p->block == BLOCK_RESNET},
                 {"t-max", p->t_max == 20},
                 {"round", p->rounding == ROUND_NONE},
                 {"init", p->init == INIT_LATENT}};
    int64_t score = 0;
    for (size_t k = 0; k < sizeof marks / sizeof *marks; k++) {
        const struct param *param = params_find(marks[k].name);
        score = 2 * score + (marks[k].like || param == a || param == b);
    }
    return score;
}

/* Takes over `groups`, or frees them when there is no room. */
static void add_line(struct lines *lines, int64_t *groups, int64_t count, const struct params *p, int most) {
    int rank = 0;
    for (int k = 0; k < lines->count; k++)
        rank += lines->line[k].block == p->block;
    if (groups && rank < most && lines->count < MOST_LINES)
        lines->line[lines->count++] = (struct line){groups, count, (int)p->block, rank, ""};
    else
        free(groups);
}

static const char *block_name(int block) {
    static const char *const names[BLOCKS] = {"ResNet", "HC", "static HC", "mHC", "identity HC"};
    return names[block];
}

static const struct params *params_of_line(const struct figure_source *source, const struct line *line) {
    return &source->groups->group[line->groups[0]].p;
}

/* Whether a parameter differs between the lines (of one block, or of all: -1). */
static bool varies(const struct figure_source *source, const struct lines *lines, int block, const struct param *param) {
    const struct params *first = NULL;
    for (int k = 0; k < lines->count; k++) {
        const struct params *p = params_of_line(source, &lines->line[k]);
        if (block >= 0 ? p->block != block : p->block == BLOCK_RESNET && lines->count > 1 && !strcmp(param->name, "streams"))
            continue;
        if (first && differ(first, p, param))
            return true;
        first = p;
    }
    return false;
}

/* "mHC s=6": what differs between the lines of a block, behind its name as papers write it. */
static void label_lines(const struct figure_source *source, struct lines *lines, const struct param *along) {
    for (int k = 0; k < lines->count; k++) {
        struct line *line = &lines->line[k];
        struct group group = source->groups->group[line->groups[0]];
        struct groups alone = {&group, 1, {0}};
        char text[LINE_LABEL];
        for (int p = 0; p < params_count; p++)
            alone.varies[p] = &params_table[p] != along && strcmp(params_table[p].name, "seed") &&
                              varies(source, lines, line->block, &params_table[p]);
        groups_label(&alone, 0, text, sizeof text);
        const char *word = params_word(&group.p, "block"), *at = strstr(text, word);
        snprintf(line->label, sizeof line->label, "%s%.*s%s", block_name(line->block), at ? (int)(at - text) : 0, text,
                 at ? at + strlen(word) : "");
    }
}

static void order_by_block(struct lines *lines) {
    for (int k = 1; k < lines->count; k++)
        for (int j = k; j > 0 && lines->line[j].block < lines->line[j - 1].block; j--) {
            struct line line = lines->line[j];
            lines->line[j] = lines->line[j - 1];
            lines->line[j - 1] = line;
        }
}

static bool in_blocks(const struct group *group, unsigned blocks) {
    return blocks >> group->p.block & 1;
}

void lines_by_layer(const struct figure_source *source, const char *curve, unsigned blocks, int most, struct lines *lines) {
    const struct groups *g = source->groups;
    const struct group *best = NULL;
    *lines = (struct lines){.count = 0};
    bool *recorded = calloc((size_t)g->count + 1, sizeof *recorded);
    for (int64_t k = 0; recorded && k < g->count; k++) {
        const struct group *group = &g->group[k];
        recorded[k] = in_blocks(group, blocks) && record_curve_computed(source->reader, curve, group->cases[0]);
        if (!recorded[k])
            continue;
        int64_t better = best ? likeness(&group->p, NULL, NULL) - likeness(&best->p, NULL, NULL) : 1;
        if (better > 0 || (better == 0 && group->count > best->count))
            best = group;
    }
    /* The nearest to the paper's stack first, then what is merely as deep and as wide. */
    for (int pass = 0; best && pass < 2; pass++)
        for (int64_t k = 0; k < g->count; k++) {
            const struct params *p = &g->group[k].p;
            bool alike = likeness(p, NULL, NULL) >= likeness(&best->p, NULL, NULL);
            if (!recorded[k] || p->depth != best->p.depth || alike != (pass == 0) ||
                (p->streams != best->p.streams && p->block != BLOCK_RESNET))
                continue;
            int64_t *group = malloc(sizeof *group);
            if (group)
                *group = k;
            add_line(lines, group, 1, p, most);
            lines->candidates++;
        }
    free(recorded);
    order_by_block(lines);
    label_lines(source, lines, NULL);
}

struct candidate {
    int64_t *groups, count, score;
};

/* Groups of a block that are alike but for `along`, in its order. */
static void insert(const struct groups *g, struct candidate *c, int64_t group, const struct param *along) {
    int64_t *grown = realloc(c->groups, (size_t)(c->count + 1) * sizeof *grown);
    if (!grown)
        return;
    c->groups = grown;
    int64_t at = c->count++;
    for (; at > 0 && parameter_value(&g->group[grown[at - 1]].p, along) > parameter_value(&g->group[group].p, along); at--)
        grown[at] = grown[at - 1];
    grown[at] = group;
}

static int64_t collect(const struct figure_source *source, const struct param *along, const char *summary, unsigned blocks,
                       struct candidate **out) {
    const struct groups *g = source->groups;
    const double *values = record_summary(source->reader, summary);
    struct candidate *candidates = NULL;
    int64_t count = 0, k;
    for (int64_t i = 0; values && i < g->count; i++) {
        if (!in_blocks(&g->group[i], blocks) || (isnan(values[g->group[i].cases[0]]) && g->group[i].p.record == RECORD_SUMMARY))
            continue;
        for (k = 0; k < count; k++)
            if (same_but(&g->group[i].p, &g->group[candidates[k].groups[0]].p, along, NULL))
                break;
        if (k == count) {
            struct candidate *grown = realloc(candidates, (size_t)(count + 1) * sizeof *grown);
            if (!grown)
                break;
            candidates = grown;
            candidates[count++] = (struct candidate){NULL, 0, likeness(&g->group[i].p, along, NULL)};
        }
        insert(g, &candidates[k], i, along);
    }
    *out = candidates;
    return count;
}

/* The candidate that is most like the paper's stack among those with the most points. */
static int64_t best_of(const struct candidate *c, int64_t count) {
    int64_t best = -1;
    for (int64_t k = 0; k < count; k++)
        if (c[k].count > 1 && (best < 0 || c[k].score > c[best].score || (c[k].score == c[best].score && c[k].count > c[best].count)))
            best = k;
    return best;
}

void lines_along(const struct figure_source *source, const struct param *along, const struct param *beside, const char *summary,
                 unsigned blocks, int most, struct lines *lines) {
    const struct groups *g = source->groups;
    struct candidate *c;
    *lines = (struct lines){.count = 0};
    int64_t count = collect(source, along, summary, blocks, &c), best = best_of(c, count), likes = 0;
    const struct params *model = best < 0 ? NULL : &g->group[c[best].groups[0]].p;
    for (int64_t k = 0; model && k < count; k++)
        likes += c[k].count > 1 && same_but(model, &g->group[c[k].groups[0]].p, along, beside);
    for (int64_t k = 0; model && k < count; k++) {
        const struct params *p = &g->group[c[k].groups[0]].p;
        if (c[k].count < 2 || (beside && likes > 1 && !same_but(model, p, along, beside)))
            continue;
        lines->candidates++;
    }
    for (int pass = 0; model && pass < 2; pass++)
        for (int64_t k = 0; k < count; k++) {
            const struct params *p = &g->group[c[k].groups[0]].p;
            bool like = c[k].score >= c[best].score;
            if (c[k].count < 2 || like != (pass == 0) || (beside && likes > 1 && !same_but(model, p, along, beside)))
                continue;
            add_line(lines, c[k].groups, c[k].count, p, most);
            c[k] = (struct candidate){NULL, 0, 0};
        }
    for (int64_t k = 0; k < count; k++)
        free(c[k].groups);
    free(c);
    order_by_block(lines);
    label_lines(source, lines, along);
}
