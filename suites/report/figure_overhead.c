/* The figures of study `overhead` by shape: bars, and the step in parts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/figure_data.h"
#include "suites/report/figure_overhead.h"

enum { MOST_GROUPS = 10 };

/* ---- bars ---- */

/* What tells a shape from another of its width; empty where none has the same. */
static void tell_apart(const struct overhead_line *group, int groups, int g, char *text, size_t size) {
    static const char *const names[] = {"hidden", "heads", "head-dim", "sequence"};
    text[0] = 0;
    for (size_t n = 0; n < sizeof names / sizeof *names && !*text; n++)
        for (int k = 0; k < groups && !*text; k++) {
            const struct params *p = &group[g].p, *q = &group[k].p;
            const struct param *param = params_find(names[n]);
            if (!q->preset && q->width == p->width && parameter_value(p, param) != parameter_value(q, param))
                snprintf(text, size, "%s=%.0f", names[n], parameter_value(p, param));
        }
}

/* "27b" over "active", or "C=128". */
static void put_label(FILE *settings, const struct overhead_line *group, int groups, int g) {
    char text[40], below[40];
    const struct params *p = &group[g].p;
    if (!settings)
        return;
    snprintf(text, sizeof text, "C=%lld", (long long)p->width);
    tell_apart(group, groups, g, below, sizeof below);
    fprintf(settings, "LABEL[%d] = ", g + 1);
    put_string(settings, p->preset ? params_word(p, "preset") : text);
    fprintf(settings, "\nKIND[%d] = ", g + 1);
    put_string(settings, p->preset ? params_word(p, "kind") : below);
    fprintf(settings, "\n");
}

/* The shapes at the tokens and ways of the first case. */
enum figure_outcome figure_overhead(const struct figure_source *source, const struct figure *figure, char *why,
                                    size_t size) {
    struct overhead_line group[MOST_GROUPS];
    int count, groups = 0, missing = 0, unknown = 0;
    bool core[2] = {false, false};
    char text[1400];
    struct overhead_line *cases = overhead_chosen(source, &count);
    if (!count) {
        free(cases);
        return overhead_nothing(why, size);
    }
    const struct overhead_places places = overhead_places_of(cases, count);
    FILE *data = data_open(source, figure->name, "group,core,variant,overhead,low,high"),
         *settings = settings_open(source, figure->name);
    for (int k = 0; k < count; k++) {
        int g = 0;
        if (!overhead_like(&cases[0].p, &cases[k].p, OPEN_SHAPE | OPEN_CORE | OPEN_KIND)) {
            missing++;
            continue;
        }
        while (g < groups && !overhead_like(&group[g].p, &cases[k].p, OPEN_CORE))
            g++;
        if (g == MOST_GROUPS) {
            missing++;
            continue;
        }
        if (g == groups)
            group[groups++] = cases[k];
        core[cases[k].p.attention] = true;
        for (int v = STEP_RESIDUAL + 1; v < STEP_VARIANTS && data; v++) {
            if (!places.of[v])
                continue;
            fprintf(data, "%d,%d,%d", g + 1, (int)cases[k].p.attention, places.of[v]);
            overhead_put(data, source, &cases[k], v, &unknown);
        }
    }
    if (settings)
        fprintf(settings, "GROUPS = %d\nFROM = %d\nTO = %d\narray LABEL[%d]\narray KIND[%d]\n", groups, !core[0],
                core[1], groups, groups);
    for (int g = 0; g < groups; g++)
        put_label(settings, group, groups, g);
    overhead_put_variants(settings, &places);
    overhead_constants(source, &cases[0], OPEN_SHAPE | OPEN_CORE, text, sizeof text);
    snprintf(
        text + strlen(text), sizeof text - strlen(text),
        ". Bars: how much longer a training step (forward and backward) takes than with the residual, t / t(residual) "
        "− 1%s.",
        cases[0].model ? "" : ", median; whiskers: its 95 % interval");
    overhead_say_paper(settings, &cases[0], text, sizeof text);
    overhead_say_unknown(unknown, text, sizeof text);
    overhead_say_missing(source, &cases[0], text, sizeof text);
    overhead_say_left_out(source, missing, text, sizeof text, why, size);
    put_caption(settings, source, true, text);
    free(cases);
    bool good = data_close(settings, source, figure->name, why, size);
    return data_close(data, source, figure->name, why, size) && good ? FIGURE_WRITTEN : FIGURE_FAILED;
}

/* ---- the step in parts ---- */

/* The parts as the figure stacks them. */
static const struct {
    const char *name;
    enum step_part from, to;
} stacked[] = {{"GEMM", STEP_GEMM_FORWARD, STEP_GEMM_BACKWARD_WEIGHT},
               {"attention core", STEP_CORE_FORWARD, STEP_CORE_BACKWARD},
               {"activation", STEP_ACTIVATION_FORWARD, STEP_ACTIVATION_BACKWARD},
               {"optimizer of F", STEP_UPDATE, STEP_UPDATE},
               {"norm", STEP_NORM_FORWARD, STEP_NORM_BACKWARD},
               {"pre", STEP_PRE, STEP_PRE},
               {"post", STEP_POST, STEP_POST},
               {"post backward y", STEP_POST_BACKWARD_Y, STEP_POST_BACKWARD_Y},
               {"backward", STEP_BACKWARD, STEP_BACKWARD},
               {"optimizer of connection", STEP_OWN_UPDATE, STEP_OWN_UPDATE}};
enum { STACKED = sizeof stacked / sizeof *stacked };

/* Milliseconds of a part, 0 where it was not timed. F's are those of the residual. */
static double part_time(const struct figure_source *source, const struct overhead_line *t, int v, int part) {
    int of = part < STEP_SHARED_PARTS ? STEP_RESIDUAL : v;
    double share = overhead_value(
        source->reader,
        overhead_of_part(overhead_subject((enum step_variant)v, (enum step_part)part), OVERHEAD_PART_SHARE), t->index);
    return isnan(share) ? 0 : 1e3 * share * overhead_variant_value(source->reader, t->index, of, OVERHEAD_MEDIAN);
}

/* The case to take apart: with the core where there is one, else the first; not one in overlap, which has no
 * account. */
static const struct overhead_line *case_in_parts(const struct overhead_line *cases, int count) {
    const struct overhead_line *best = NULL;
    for (int k = 0; k < count; k++)
        if (!cases[k].p.overlap &&
            (!best || (cases[k].p.attention && !best->p.attention && overhead_like(&best->p, &cases[k].p, OPEN_CORE))))
            best = &cases[k];
    return best;
}

enum figure_outcome figure_overhead_step(const struct figure_source *source, const struct figure *figure, char *why,
                                         size_t size) {
    int count;
    struct overhead_line *cases = overhead_chosen(source, &count);
    const struct overhead_line *t = case_in_parts(cases, count);
    bool timed[STACKED] = {false};
    char text[1400];
    if (!t) {
        free(cases);
        return overhead_nothing(why, size);
    }
    const struct overhead_places places = overhead_places_of(t, 1);
    FILE *data = data_open(source, figure->name, "variant,part,from,to,step"),
         *settings = settings_open(source, figure->name);
    for (int v = 0; v < STEP_VARIANTS; v++) {
        double at = 0;
        for (int k = 0; k < STACKED && !isnan(overhead_variant_value(source->reader, t->index, v, OVERHEAD_RATIO));
             k++) {
            double own = 0;
            for (int part = (int)stacked[k].from; part <= (int)stacked[k].to; part++)
                own += part_time(source, t, v, part);
            timed[k] |= own > 0;
            if (data)
                fprintf(data, "%d,%d", places.of[v], k + 1);
            put_number(data, at);
            put_number(data, at += own);
            put_number(data, 1e3 * overhead_variant_value(source->reader, t->index, v, OVERHEAD_MEDIAN));
            if (data)
                putc('\n', data);
        }
    }
    overhead_put_variants(settings, &places);
    if (settings)
        fprintf(settings, "PARTS = %d\narray PART[%d]\n", STACKED, STACKED);
    for (int k = 0; k < STACKED && settings; k++) {
        fprintf(settings, "PART[%d] = ", k + 1);
        put_string(settings, timed[k] ? stacked[k].name : ""); /* no name: not in the legend */
        fprintf(settings, "\n");
    }
    overhead_constants(source, t, 0, text, sizeof text);
    const long long rounds = (long long)record_rounds(source->reader, t->index);
    if (params_is_model(&t->p))
        snprintf(text + strlen(text), sizeof text - strlen(text), ". Bars: the parts. Marks: the whole step.");
    else
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 ". Bars: the parts, each timed by itself beside the whole step, F's in that of the residual. Marks: "
                 "median of the whole step, of %lld round%s.",
                 rounds, rounds > 1 ? "s" : "");
    overhead_say_missing(source, t, text, sizeof text);
    overhead_say_left_out(source, count - 1, text, sizeof text, why, size);
    put_caption(settings, source, true, text);
    free(cases);
    bool good = data_close(settings, source, figure->name, why, size);
    return data_close(data, source, figure->name, why, size) && good ? FIGURE_WRITTEN : FIGURE_FAILED;
}
