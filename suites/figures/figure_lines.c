#include "suites/figures/figure_lines.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
                 {"streams", p->streams == 4},
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

/* The lines that could be shown, the preferred ones [0] and the others [1] of every block: how many, and how many were seen. */
struct room {
    int most, count[2][BLOCKS], seen[2][BLOCKS];
};

/* Whether the next line is shown. Where not all can be, lines in even steps from the first to the last, so that both ends are there. */
static bool next_fits(struct room *r, int pass, int block) {
    int place = r->seen[pass][block]++, count = r->count[pass][block];
    int left = pass ? r->most - r->count[0][block] : r->most;
    bool shown = left >= count || (left == 1 && place == 0);
    for (int k = 0; left > 1 && k < left; k++)
        shown |= (2 * k * (count - 1) + left - 1) / (2 * (left - 1)) == place;
    return shown;
}

/* Takes over `groups`; where there is no room the line is left out. */
static void add_line(struct lines *lines, int64_t *groups, int64_t count, const struct params *p, const struct param *along, bool fits) {
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

static const char *block_name(int block) {
    static const char *const names[BLOCKS] = {"ResNet", "HC", "static HC", "mHC", "identity HC"};
    return names[block];
}

static const struct params *params_of_line(const struct figure_source *source, const struct line *line) {
    return &source->groups->group[line->groups[0]].p;
}

/* Whether a parameter differs between the lines (of one block, or of all: -1); `all`: those left out among them. */
static bool varies(const struct figure_source *source, const struct lines *lines, bool all, int block,
                   const struct param *param) {
    const struct params *first = NULL;
    for (int k = 0; k < lines->count + (all ? lines->left_out_count : 0); k++) {
        const struct params *p =
            params_of_line(source, k < lines->count ? &lines->line[k] : &lines->left_out[k - lines->count]);
        if (block >= 0 ? p->block != block
                       : p->block == BLOCK_RESNET && lines->count > 1 && !strcmp(param->name, "streams"))
            continue;
        if (first && differ(first, p, param))
            return true;
        first = p;
    }
    return false;
}

/* "mHC s=6": what differs between the lines of a block, behind its name as papers write it. */
static void label_lines(const struct figure_source *source, struct lines *lines, const struct param *along) {
    for (int k = 0; k < lines->count + lines->left_out_count; k++) {
        bool shown = k < lines->count;
        struct line *line = shown ? &lines->line[k] : &lines->left_out[k - lines->count];
        struct group group = source->groups->group[line->groups[0]];
        struct groups alone = {&group, 1, {0}};
        char text[LINE_LABEL];
        for (int p = 0; p < params_count; p++)
            alone.varies[p] = &params_table[p] != along && strcmp(params_table[p].name, "seed") &&
                              varies(source, lines, !shown, line->block, &params_table[p]);
        groups_label(&alone, 0, text, sizeof text);
        const char *word = params_word(&group.p, "block"), *at = strstr(text, word);
        int before = at > text ? (int)(at - text) - 1 : 0; /* the study, where it differs, goes behind the name */
        snprintf(line->label, sizeof line->label, "%s%s%.*s%s", block_name(line->block), before ? " " : "", before, text,
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

bool group_broken(const struct figure_source *source, const struct group *group) {
    return groups_summary(source->reader, group, "x_nonfinite_max").median > 0;
}

static bool summary_recorded(const struct figure_source *source, const struct group *group, const char *summary) {
    return !isnan(groups_summary(source->reader, group, summary).median) || group_broken(source, group);
}

void lines_by_layer(const struct figure_source *source, const char *curve, unsigned blocks, int most,
                    struct lines *lines) {
    const struct groups *g = source->groups;
    const struct group *best = NULL;
    int64_t most_seeds[BLOCKS] = {0};
    *lines = (struct lines){.count = 0};
    bool *recorded = calloc((size_t)g->count + 1, sizeof *recorded);
    for (int64_t k = 0; recorded && k < g->count; k++) {
        const struct group *group = &g->group[k];
        recorded[k] = (blocks >> group->p.block & 1) && record_curve_computed(source->reader, curve, group->cases[0]);
        if (!recorded[k])
            continue;
        if (group->count > most_seeds[group->p.block])
            most_seeds[group->p.block] = group->count;
        int64_t better = best ? likeness(&group->p, NULL, NULL) - likeness(&best->p, NULL, NULL) : 1;
        if (better > 0 || (better == 0 && (group->count > best->count ||
                                           (group->count == best->count && group->p.depth > best->p.depth))))
            best = group;
    }
    /* The nearest to the paper's stack first, then what is merely as deep and as wide. */
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
                (p->streams != best->p.streams && p->block != BLOCK_RESNET))
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
    order_by_block(lines);
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
                       unsigned blocks, struct candidate **out) {
    const struct groups *g = source->groups;
    struct candidate *c = NULL;
    int64_t count = 0, k;
    for (int64_t i = 0; i < g->count; i++) {
        const struct params *p = &g->group[i].p;
        if (!(blocks >> p->block & 1) || !summary_recorded(source, &g->group[i], summary))
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
            bool like =
                c[k].wanted && same_but(&g->group[best->groups[0]].p, &g->group[c[k].groups[0]].p, along, beside);
            if (pass == 0)
                likes += like;
            else if (likes > 1)
                c[k].wanted = like;
        }
    return best;
}

void lines_along(const struct figure_source *source, const struct param *along, const struct param *beside,
                 const char *summary, unsigned blocks, int most, struct lines *lines) {
    const struct groups *g = source->groups;
    struct candidate *c;
    *lines = (struct lines){.count = 0};
    int64_t count = collect(source, along, summary, blocks, &c);
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
    order_by_block(lines);
    label_lines(source, lines, along);
}

void lines_release(struct lines *lines) {
    for (int k = 0; k < lines->count; k++)
        free(lines->line[k].groups);
    for (int k = 0; k < lines->left_out_count; k++)
        free(lines->left_out[k].groups);
    lines->count = lines->left_out_count = 0;
}

/* ---- telling what they are ---- */

__attribute__((format(printf, 3, 4))) static void append(char *text, size_t size, const char *format, ...) {
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, size - used, format, arguments);
    va_end(arguments);
}

/* What a reader of the figure does not ask about. */
static bool untold(const struct param *param) {
    static const char *const names[] = {"study", "block", "seed", "measure", "record", "weights", "recompute"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (!strcmp(param->name, names[k]))
            return true;
    return false;
}

static void append_value(char *text, size_t size, const struct params *p, const struct param *param) {
    static const char *const letters[][2] = {
        {"depth", "L"}, {"streams", "n"}, {"width", "C"}, {"tokens", "T"}, {"t-max", "t_max"}};
    const char *name = param->name;
    char value[PARAM_TEXT_SIZE];
    for (size_t k = 0; k < sizeof letters / sizeof *letters; k++)
        name = strcmp(name, letters[k][0]) ? name : letters[k][1];
    params_text(p, param, value, sizeof value);
    append(text, size, "%s%s=%s", *text ? ", " : "", name, value);
}

static bool is_standard(const struct params *p, const struct param *param) {
    char value[PARAM_TEXT_SIZE];
    params_text(p, param, value, sizeof value);
    return !strcmp(value, param->standard) && strcmp(param->name, "depth") && strcmp(param->name, "streams") &&
           strcmp(param->name, "t-max");
}

/* The lines left out, as far as they fit. */
static void append_left_out(const struct lines *lines, char *text, size_t size) {
    int told = 0;
    for (; told < lines->left_out_count && strlen(text) + strlen(lines->left_out[told].label) + 8 < size; told++)
        append(text, size, "%s%s", told ? ", " : "", lines->left_out[told].label);
    if (told < lines->candidates - lines->count)
        append(text, size, "%s…", told ? ", " : "");
}

/* "HC, mHC at another L or n only". */
static void append_absent(const struct lines *lines, char *text, size_t size) {
    for (int b = 0, told = 0; b < BLOCKS; b++)
        if (lines->absent >> b & 1)
            append(text, size, "%s%s", told++ ? ", " : "", block_name(b));
    append(text, size, " at another L or n only");
}

void describe_left_out(const struct lines *lines, char *text, size_t size) {
    long long missing = (long long)lines->candidates - lines->count;
    text[0] = 0;
    if (missing) {
        append(text, size, "%lld line%s not in it: ", missing, missing > 1 ? "s are" : " is");
        append_left_out(lines, text, size - 80);
    }
    if (lines->absent) {
        append(text, size, "%s", missing ? "; not in it: " : "not in it: ");
        append_absent(lines, text, size);
    }
}

/* The fewest and the most seeds of a point. */
static void seeds_of(const struct figure_source *source, const struct line *line, int64_t *least, int64_t *most) {
    *least = INT64_MAX;
    *most = 0;
    for (int64_t j = 0; j < line->count; j++) {
        int64_t seeds = source->groups->group[line->groups[j]].count;
        *least = seeds < *least ? seeds : *least;
        *most = seeds > *most ? seeds : *most;
    }
}

static void append_seeds(char *text, size_t size, int64_t least, int64_t most) {
    append(text, size, "%lld", (long long)least);
    if (most > least)
        append(text, size, "–%lld", (long long)most);
    append(text, size, " seed%s", most > 1 ? "s" : "");
}

static bool within_glyph(char byte) { /* of UTF-8 */
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* A label with its middle left out where it has more than `most` bytes: what tells paths apart is at their ends. */
static void shortened(const char *label, size_t most, char *text, size_t size) {
    size_t length = strlen(label), head = most / 2, tail = length - (most - most / 2);
    if (length <= most) {
        snprintf(text, size, "%s", label);
        return;
    }
    while (head && within_glyph(label[head]))
        head--;
    while (within_glyph(label[tail]))
        tail++;
    snprintf(text, size, "%.*s…%s", (int)head, label, label + tail);
}

void line_legend(const struct figure_source *source, const struct lines *lines, int k, char *text, size_t size) {
    enum { MOST = 44, FOR_SEEDS = 13 }; /* what half the width of a page holds */
    int64_t own[2], other[2];
    bool differ = false;
    seeds_of(source, &lines->line[k], &own[0], &own[1]);
    for (int j = 0; j < lines->count; j++) {
        seeds_of(source, &lines->line[j], &other[0], &other[1]);
        differ |= other[0] != own[0] || other[1] != own[1];
    }
    shortened(lines->line[k].label, differ ? MOST - FOR_SEEDS : MOST, text, size);
    if (differ) {
        append(text, size, ", ");
        append_seeds(text, size, own[0], own[1]);
    }
}

static bool is_axis(const struct line *line, const struct param *param) {
    return param == line->axes[0] || param == line->axes[1];
}

void describe_lines(const struct figure_source *source, const struct lines *lines, char *text, size_t size) {
    char all[400] = "", own[BLOCKS][400] = {""};
    int64_t least = INT64_MAX, most = 0;
    for (int p = 0; p < params_count; p++) {
        const struct param *param = &params_table[p];
        bool shared = !varies(source, lines, false, -1, param), told = false;
        for (int k = 0; k < lines->count; k++)
            shared &= is_axis(&lines->line[k], param) == is_axis(&lines->line[0], param);
        for (int k = 0; k < lines->count; k++) {
            const struct line *line = &lines->line[k];
            const struct params *values = params_of_line(source, line);
            if (untold(param) || is_axis(line, param) || line->rank ||
                (shared && (told || is_standard(values, param))) || !params_matters(values, param) ||
                (!shared && varies(source, lines, false, line->block, param)))
                continue;
            append_value(shared ? all : own[line->block], 400, values, param);
            told = true;
        }
    }
    for (int k = 0; k < lines->count; k++) {
        int64_t own[2];
        seeds_of(source, &lines->line[k], &own[0], &own[1]);
        least = own[0] < least ? own[0] : least;
        most = own[1] > most ? own[1] : most;
    }
    snprintf(text, size, "%s", all);
    for (int b = 0; b < BLOCKS; b++)
        if (*own[b])
            append(text, size, "; %s: %s", block_name(b), own[b]);
    append(text, size, "; ");
    append_seeds(text, size, least, most);
    if (lines->candidates > lines->count) {
        char names[120] = "";
        append_left_out(lines, names, sizeof names);
        append(text, size, "; %d of %lld lines shown, not %s", lines->count, (long long)lines->candidates, names);
    }
    if (lines->absent) {
        append(text, size, "; not shown: ");
        append_absent(lines, text, size);
    }
}
