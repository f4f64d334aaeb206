/* The figure of study `overhead` against C and T. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/figure_data.h"
#include "suites/report/figure_overhead.h"

static int64_t along(const struct overhead_line *t, int open) {
    return open & OPEN_TOKENS ? t->p.tokens : t->p.width;
}

/* The case that most others of different C or T are like; -1: none is like another. */
static int base_of(const struct overhead_line *cases, int count, int open, int *members) {
    int best = -1;
    *members = 1;
    for (int k = 0; k < count; k++) {
        int alike = 0;
        for (int j = 0; j < count; j++) {
            bool first = overhead_like(&cases[k].p, &cases[j].p, open);
            for (int i = 0; i < j && first; i++)
                first = !(overhead_like(&cases[k].p, &cases[i].p, open) &&
                          along(&cases[i], open) == along(&cases[j], open));
            alike += first;
        }
        if (alike > *members) {
            *members = alike;
            best = k;
        }
    }
    return best;
}

/* The next larger C or T among the cases like the base; the case that has it in `at`. INT64_MAX: there is none. */
static int64_t next_along(const struct overhead_line *cases, int count, int base, int open, int64_t last, int *at) {
    int64_t next = INT64_MAX;
    for (int k = 0; k < count; k++)
        if (overhead_like(&cases[base].p, &cases[k].p, open) && along(&cases[k], open) > last &&
            along(&cases[k], open) < next)
            next = along(&cases[ *at = k], open);
    return next;
}

/* Ticks where the cases are, as far as there is room: XTICS[panel] = '64, 128'; GAP[panel]: log2 of the smallest
 * ratio of neighbours. */
static void put_ticks(FILE *settings, int panel, const struct overhead_line *cases, int count, int base, int open) {
    int at;
    int64_t first = next_along(cases, count, base, open, 0, &at), largest = first;
    double gap = INFINITY;
    if (!settings)
        return;
    for (int64_t next = first; (next = next_along(cases, count, base, open, next, &at)) < INT64_MAX; largest = next)
        gap = fmin(gap, log2((double)next / (double)largest));
    double apart = pow((double)largest / (double)first, 0.12);
    fprintf(settings, "XTICS[%d] = '%lld", panel, (long long)first);
    for (int64_t next = first, told = first; next < INT64_MAX; next = next_along(cases, count, base, open, next, &at))
        if (next > told && (double)next >= (double)told * apart)
            fprintf(settings, ", %lld", (long long)(told = next));
    fprintf(settings, "'; GAP[%d] = %.9g\n", panel, gap);
}

enum figure_outcome figure_overhead_sweep(const struct figure_source *source, const struct figure *figure, char *why,
                                          size_t size) {
    const int open[2] = {OPEN_SHAPE, OPEN_TOKENS};
    int count, missing = 0, unknown = 0, at = 0, members[2], base[2];
    char text[2000] = "", constants[700];
    struct overhead_line *cases = overhead_chosen(source, &count);
    if (!count) {
        free(cases);
        return overhead_nothing(why, size);
    }
    for (int panel = 0; panel < 2; panel++)
        base[panel] = base_of(cases, count, open[panel], &members[panel]);
    if (base[0] < 0 && base[1] < 0) {
        free(cases);
        return snprintf(why, size, "no two cases of study overhead differ in C or T alone"), FIGURE_SKIPPED;
    }
    const struct overhead_line *first = &cases[base[0] < 0 ? base[1] : base[0]];
    const struct overhead_places places = overhead_places_of(cases, count);
    FILE *data = data_open(source, figure->name, "panel,variant,at,overhead,low,high"),
         *settings = settings_open(source, figure->name);
    if (settings)
        fprintf(settings, "array XTICS[2]\narray GAP[2]\n");
    for (int panel = 0; panel < 2; panel++) {
        for (int v = STEP_RESIDUAL + 1; v < STEP_VARIANTS && base[panel] >= 0; v++) {
            if (!places.of[v])
                continue;
            for (int64_t last = 0, next; /* in the order of C or T */
                 (next = next_along(cases, count, base[panel], open[panel], last, &at)) < INT64_MAX; last = next) {
                if (data)
                    fprintf(data, "%d,%d,%lld", panel + 1, places.of[v], (long long)next);
                overhead_put(data, source, &cases[at], v, &unknown);
                cases[at].printed = true;
            }
        }
        if (base[panel] < 0)
            continue;
        put_ticks(settings, panel + 1, cases, count, base[panel], open[panel]);
        overhead_constants(source, &cases[base[panel]], open[panel], constants, sizeof constants);
        snprintf(text + strlen(text), sizeof text - strlen(text), "Against %s: %s. ", panel ? "T" : "C", constants);
    }
    overhead_put_variants(settings, &places);
    if (settings)
        fprintf(settings, "HAS_C = %d\nHAS_T = %d\n", base[0] >= 0, base[1] >= 0);
    snprintf(text + strlen(text), sizeof text - strlen(text),
             "How much longer a training step takes than with the residual, t / t(residual) − 1%s. Connections stand "
             "side by side.",
             first->model ? "" : ": median with its 95 % interval");
    overhead_say_paper(settings, first, text, sizeof text);
    overhead_say_unknown(unknown, text, sizeof text);
    overhead_say_missing(source, first, text, sizeof text);
    for (int k = 0; k < count; k++)
        missing += !cases[k].printed;
    overhead_say_left_out(source, missing, text, sizeof text, why, size);
    put_caption(settings, source, true, text);
    free(cases);
    bool good = data_close(settings, source, figure->name, why, size);
    return data_close(data, source, figure->name, why, size) && good ? FIGURE_WRITTEN : FIGURE_FAILED;
}
