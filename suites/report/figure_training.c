/* The figures of training against its steps: gain, loss and gradient norm. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/figure_trained.h"

enum { TEXT_SIZE = 1800, MOST_RATES = 3 };

/* line, label, block, step, a range of each quantity, runs: the seeds that have the point. */
static bool put_course(FILE *file, const struct figure_source *source, int index, const struct line *line,
                       const struct quantity *quantity, int quantities, double *highest) {
    const struct group *group = &source->groups->group[line->groups[0]];
    struct course c;
    if (!course_read(source->reader, group, quantity, quantities, &c))
        return false;
    for (int64_t point = 0; point < c.points; point++) {
        int64_t runs = 0;
        for (int64_t k = 0; k < c.seeds; k++)
            runs += record_points(source->reader, group->cases[k]) > point;
        fprintf(file, "%d,\"%s\",%s,%lld", index + 1, line->label, params_word(&group->p, "block"),
                (long long)c.step[point]);
        for (int q = 0; q < quantities; q++) {
            struct range r = course_range(&c, quantity, q, point);
            highest[q] = fmax(highest[q], isfinite(r.most) ? r.most : r.median);
            put_range(file, r);
        }
        fprintf(file, ",%lld\n", (long long)runs);
    }
    course_release(&c);
    return true;
}

static bool write_courses(const struct figure_source *source, const char *name, const struct lines *lines,
                          const struct quantity *quantity, int quantities, double highest[MOST_LINES][4], char *why,
                          size_t why_size) {
    char columns[400] = "line,label,block,step";
    for (int q = 0; q < quantities; q++) {
        size_t used = strlen(columns);
        snprintf(columns + used, sizeof columns - used, ",%s_least,%s_median,%s_most", quantity[q].column,
                 quantity[q].column, quantity[q].column);
    }
    strcat(columns, ",runs");
    FILE *file = data_open(source, name, columns);
    bool good = true;
    for (int k = 0; file && good && k < lines->count; k++) {
        for (int q = 0; q < 4; q++)
            highest[k][q] = NAN;
        good = put_course(file, source, k, &lines->line[k], quantity, quantities, highest[k]);
    }
    bool closed = data_close(file, source, name, why, why_size);
    if (closed && !good)
        snprintf(why, why_size, "%s: out of memory", name);
    return closed && good;
}

/* ---- training_gain ---- */

static const struct quantity gains[] = {{"forward", "composite_forward_sum", 0},
                                        {"backward", "composite_backward_sum", 0}};

static bool write_gain(const struct figure_source *source, const char *name, struct lines *lines, char *why,
                       size_t why_size) {
    double highest[MOST_LINES][4], bounded_to = 3, unbounded_to = 1;
    int panel[MOST_LINES], slot[MOST_LINES], taken[3] = {0};
    char text[TEXT_SIZE], shared[TEXT_SIZE / 2], ended[200];
    if (!write_courses(source, name, lines, gains, 2, highest, why, why_size))
        return false;
    for (int k = 0; k < lines->count; k++) {
        panel[k] = figure_unbounded() >> lines->line[k].block & 1 ? 1 : 2;
        slot[k] = taken[panel[k]]++;
        if (panel[k] == 2 && highest[k][1] > bounded_to)
            bounded_to = (double)lines_streams(source, lines); /* at most n */
        if (panel[k] == 1)
            unbounded_to = fmax(unbounded_to, highest[k][0]);
    }
    describe_lines(source, lines, shared, sizeof shared);
    describe_ended(source, lines, ended, sizeof ended);
    snprintf(
        text, sizeof text,
        "Stacks in training, measured at the points. Gain of the composite maps: the largest |sum| of a row (forward) "
        "or of a column (backward), averaged over held-out tokens, the largest over layers; median over seeds, and "
        "band from the smallest to the largest.%s %s.",
        ended, shared);
    FILE *file = settings_open(source, name);
    put_lines(file, source, lines);
    put_places(file, lines, panel, slot);
    put_caption(file, source, taken[1] && taken[2], text);
    put_paper(file, source, lines);
    if (file)
        fprintf(file, "LEFT_LINES = %d\nRIGHT_LINES = %d\nHIGH_LEFT = %.9g\nHIGH_RIGHT = %.9g\n", taken[1], taken[2],
                unbounded_to, bounded_to);
    return data_close(file, source, name, why, why_size);
}

enum figure_outcome figure_training_gain(const struct figure_source *all, const struct figure *figure, char *why,
                                         size_t size) {
    struct figure_source source;
    struct groups groups;
    struct lines lines;
    if (!figure_of_trained(all, &source, &groups, why, size))
        return FIGURE_SKIPPED;
    enum figure_outcome outcome = FIGURE_SKIPPED;
    lines_by_layer(&source, gains[0].curve, figure_unbounded() | figure_bounded(), 3, &lines);
    if (!lines.count)
        snprintf(why, size, "no case of it trained with the curve %s", gains[0].curve);
    else if (!write_gain(&source, figure->name, &lines, why, size))
        outcome = FIGURE_FAILED;
    else {
        outcome = FIGURE_WRITTEN;
        describe_left_out(&lines, why, size);
    }
    lines_release(&lines);
    free(groups.group);
    return outcome;
}

/* ---- training_loss ---- */

static const struct quantity losses[] = {{"loss", NULL, offsetof(struct record_training, loss)},
                                         {"held_out_loss", NULL, offsetof(struct record_training, held_out_loss)},
                                         {"norm", NULL, offsetof(struct record_training, gradient_norm)},
                                         {"norm_max", NULL, offsetof(struct record_training, gradient_norm_max)}};

struct rates {
    double rate[64];
    int count, all; /* shown, and of the record */
};

/* The rates of the groups of that depth, ascending; of many the first, the middle one and the last. */
static void find_rates(const struct groups *g, int64_t depth, struct rates *r) {
    r->count = 0;
    for (int64_t k = 0; k < g->count && r->count < 64; k++) {
        double rate = g->group[k].p.learning_rate;
        int at = 0;
        while (at < r->count && r->rate[at] < rate)
            at++;
        if (g->group[k].p.depth != depth || (at < r->count && r->rate[at] == rate))
            continue;
        memmove(&r->rate[at + 1], &r->rate[at], (size_t)(r->count - at) * sizeof *r->rate);
        r->rate[at] = rate;
        r->count++;
    }
    r->all = r->count;
    if (r->count > MOST_RATES) {
        r->rate[1] = r->rate[r->count / 2];
        r->rate[2] = r->rate[r->count - 1];
        r->count = MOST_RATES;
    }
}

static int rate_index(const struct rates *r, double rate) {
    int index = r->count;
    while (index-- > 0 && r->rate[index] != rate)
        ;
    return index;
}

/* Leaves the groups of that depth and those rates. */
static void keep_rates(struct groups *g, int64_t depth, const struct rates *r) {
    int64_t kept = 0;
    for (int64_t k = 0; k < g->count; k++)
        if (g->group[k].p.depth == depth && rate_index(r, g->group[k].p.learning_rate) >= 0)
            g->group[kept++] = g->group[k];
    g->count = kept;
}

/* Lines of one panel differ in colour; a name stands once in the legend. */
static void find_places(const struct figure_source *source, const struct rates *r, struct lines *lines, int *panel,
                        int *slot) {
    int taken = 0;
    label_lines(source, lines, params_find("learning-rate"));
    for (int k = 0; k < lines->count; k++) {
        struct line *line = &lines->line[k];
        panel[k] = rate_index(r, source->groups->group[line->groups[0]].p.learning_rate) + 1;
        line->axes[0] = params_find("learning-rate");
        line->rank = 0;
        slot[k] = -2;
        for (int j = 0; j < k; j++) {
            line->rank += panel[j] == panel[k] && lines->line[j].block == line->block;
            if (!strcmp(lines->line[j].label, line->label))
                slot[k] = -1;
        }
        if (slot[k] == -2)
            slot[k] = taken++;
    }
}

static bool write_loss(const struct figure_source *source, const char *name, const struct rates *r, struct lines *lines,
                       char *why, size_t why_size) {
    double highest[MOST_LINES][4];
    int panel[MOST_LINES], slot[MOST_LINES];
    char text[TEXT_SIZE], shared[TEXT_SIZE / 2], ended[200], others[80] = "";
    find_places(source, r, lines, panel, slot);
    if (!write_courses(source, name, lines, losses, 4, highest, why, why_size))
        return false;
    describe_lines(source, lines, shared, sizeof shared);
    describe_ended(source, lines, ended, sizeof ended);
    if (r->all > r->count)
        snprintf(others, sizeof others, " Not shown: %d other rates.", r->all - r->count);
    snprintf(
        text, sizeof text,
        "Training loss (mean) and norm of the whole gradient before it is clipped (largest) of the steps since the "
        "point before; median over seeds, and band from the smallest to the largest.%s%s %s.",
        ended, others, shared);
    FILE *file = settings_open(source, name);
    put_lines(file, source, lines);
    put_places(file, lines, panel, slot);
    put_caption(file, source, true, text);
    if (file)
        fprintf(file, "PANELS = %d\narray RATE[%d]\n", r->count, r->count);
    for (int k = 0; file && k < r->count; k++)
        fprintf(file, "RATE[%d] = '%g'\n", k + 1, r->rate[k]);
    if (*others)
        snprintf(why, why_size, "%d other rates are not in it", r->all - r->count);
    return data_close(file, source, name, why, why_size);
}

enum figure_outcome figure_training_loss(const struct figure_source *all, const struct figure *figure, char *why,
                                         size_t size) {
    struct figure_source source;
    struct groups groups;
    struct lines lines;
    struct rates rates;
    if (!figure_of_trained(all, &source, &groups, why, size))
        return FIGURE_SKIPPED;
    lines_by_layer(&source, NULL, connections_where(NULL), 1, &lines);
    int64_t depth = groups.group[lines.line[0].groups[0]].p.depth;
    lines_release(&lines);
    find_rates(&groups, depth, &rates);
    keep_rates(&groups, depth, &rates);
    lines_by_layer(&source, NULL, connections_where(NULL), MOST_LINES, &lines);
    bool good = write_loss(&source, figure->name, &rates, &lines, why, size);
    lines_release(&lines);
    free(groups.group);
    return good ? FIGURE_WRITTEN : FIGURE_FAILED;
}
