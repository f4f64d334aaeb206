/* Headlines of the studies kernels and recompute. A measured value without an interval is no result and is not in
 * them; a computed one has none and is marked MODEL. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/groups.h"
#include "suites/report/show_recompute.h"
#include "suites/report/shows.h"
#include "suites/stack/program.h"

/* ---- kernels ---- */

/* An operation's rate as a share of a copy's or of a GEMM's, whichever it is nearer to, with its interval. */
struct share {
    int64_t index;
    double is, low, high;
    const char *of;
    bool model;
};

/* false: it was not timed, or too few rounds leave its share open. */
static bool share_of(struct record_reader *r, int64_t index, struct share *s) {
    double copy = timing(r, "copy_share", index), gemm = timing(r, "gemm_share", index),
           middle = timing(r, "ratio", index), low = timing(r, "ratio_low", index),
           high = timing(r, "ratio_high", index);
    bool product = gemm > copy || isnan(copy);
    struct params p;
    groups_params(r, index, &p);
    *s = (struct share){
        .index = index, .is = product ? gemm : copy, .of = product ? "a GEMM" : "a copy", .model = params_is_model(&p)};
    s->low = s->is * middle / high;
    s->high = s->is * middle / low;
    return (s->model ? isfinite(s->is) : isfinite(s->low) && isfinite(s->high)) &&
           !strcmp(record_texts(r, "study")[index], "kernels") && !strcmp(record_texts(r, "status")[index], "done");
}

static int by_share(const void *a, const void *b) {
    double x = ((const struct share *)a)->is, y = ((const struct share *)b)->is;
    return (x > y) - (x < y);
}

static void say_share(struct record_reader *r, const char *word, const struct share *s, struct tables *t) {
    struct params p;
    groups_params(r, s->index, &p);
    if (s->model) {
        tables_say(t, "%s, MODEL of %s: %s at T = %lld, C = %lld, with %.0f %% of %s.\n", word,
                   p.backend + strlen(BACKEND_MODEL), p.operation, (long long)p.tokens, (long long)p.width, 100 * s->is,
                   s->of);
        return;
    }
    tables_say(t, "%s: %s at T = %lld, C = %lld, with %.0f %% [%.0f, %.0f] of %s.\n", word, p.operation,
               (long long)p.tokens, (long long)p.width, 100 * s->is, 100 * s->low, 100 * s->high, s->of);
}

bool show_kernels_headline(struct record_reader *r, struct tables *t, unsigned gains) {
    (void)gains;
    struct share *share = record_subject_count(r) ? malloc((size_t)(record_count(r) + 1) * sizeof *share) : NULL;
    int64_t known = 0, timed = 0, models = 0;
    for (int64_t k = 0; share && k < record_count(r); k++) {
        timed += !strcmp(record_texts(r, "study")[k], "kernels") && timing(r, "median", k) > 0;
        known += share_of(r, k, &share[known]);
    }
    for (int64_t k = 0; k < known; k++)
        models += share[k].model;
    if (models)
        tables_say(t, "\n%s", SHOW_MODEL);
    if (timed > 0)
        tables_say(t, "\nHow near do single operations come to a copy or a GEMM%s?\n",
                   models && models == known ? " by the same model" : " of the same rounds");
    if (timed > 0 && !known)
        tables_say(t, "Too few rounds for an interval: there is no result.\n");
    if (known > 0) {
        qsort(share, (size_t)known, sizeof *share, by_share);
        char with[80];
        snprintf(with, sizeof with, "%lld of them with an interval%s", (long long)(known - models),
                 models ? ", the others MODEL" : "");
        tables_say(t, "%lld operations and shapes, %s: the median reaches %.0f %%.\n", (long long)timed,
                   models == known ? "all MODEL" : with, 100 * share[known / 2].is);
        say_share(r, "Farthest", &share[0], t);
        if (known > 1)
            say_share(r, "Nearest", &share[known - 1], t);
    }
    free(share);
    return timed > 0;
}

/* ---- recompute ---- */

/* The cases of a stack that a headline speaks of; -1: there is none. */
struct choice {
    int64_t rule, keep, least;
};

static struct choice choose(struct record_reader *r, int64_t first, const struct params *p) {
    struct choice c = {-1, -1, -1};
    struct params q;
    double rule = (double)program_recompute_rule(p->depth, p->streams);
    for (int64_t i = first; i < record_count(r); i++) {
        if (!recompute_is_case(r, i, &q) || !recompute_alike(p, &q))
            continue;
        double every = timing(r, "every", i);
        if (every == rule)
            c.rule = i;
        if (every < 1)
            c.keep = i;
        if (c.least < 0 || timing(r, "memory_peak", i) < timing(r, "memory_peak", c.least))
            c.least = i;
    }
    return c;
}

static void say_stack(struct record_reader *r, const struct params *p, struct choice c, struct tables *t) {
    const double megabyte = 1e-6;
    char label[80], time[80] = "";
    snprintf(label, sizeof label, "%s, %lld layers, n = %lld", params_connection(p)->label, (long long)p->depth,
             (long long)p->streams);
    tables_say(t, "%s: least memory is %.3g MB, with x kept every %.0f layers.\n", label,
               megabyte * timing(r, "memory_peak", c.least), timing(r, "every", c.least));
    if (c.rule >= 0)
        tables_say(t, "The paper's rule, every %.0f layers, needs %.3g MB.\n", timing(r, "every", c.rule),
                   megabyte * timing(r, "memory_peak", c.rule));
    if (c.keep < 0)
        return;
    if (params_is_model(p))
        snprintf(time, sizeof time, " and by MODEL %.3g of the rule's time", timing(r, "ratio", c.keep));
    else if (isfinite(timing(r, "ratio_high", c.keep)))
        snprintf(time, sizeof time, " and %.3g [%.3g, %.3g] of the rule's time", timing(r, "ratio", c.keep),
                 timing(r, "ratio_low", c.keep), timing(r, "ratio_high", c.keep));
    tables_say(t, "Keeping everything needs %.3g MB%s.\n", megabyte * timing(r, "memory_peak", c.keep), time);
}

bool show_recompute_headline(struct record_reader *r, struct tables *t, unsigned gains) {
    (void)gains;
    struct params p;
    bool any = false;
    for (int64_t i = -1; (i = recompute_next(r, i, &p)) >= 0; any = true) {
        if (!any)
            tables_say(t, "\nWhat does computing again save, and what does it cost?\n");
        say_stack(r, &p, choose(r, i, &p), t);
    }
    return any;
}
