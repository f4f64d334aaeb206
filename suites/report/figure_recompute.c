/* The figure of study `recompute`: memory and time of a step against L_r. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/figure_data.h"
#include "suites/study/recompute.h"

static double value(const struct figure_source *source, const char *name, int64_t index) {
    const double *values = record_timing_value(source->reader, name);
    return values ? values[index] : NAN;
}

static bool is_case(const struct figure_source *source, int64_t index, struct params *p) {
    const char *const *status = record_texts(source->reader, "status");
    groups_params(source->reader, index, p);
    return p->study == STUDY_RECOMPUTE && source->chosen[index] && status && !strcmp(status[index], "done") &&
           value(source, "memory_peak", index) > 0;
}

/* The first of the most cases that differ in L_r alone; 0: there are none. `others`: how many do not. */
static int64_t choose(const struct figure_source *source, struct params *best, int64_t *others) {
    const struct param *along = params_find("recompute");
    int64_t most = 0, all = 0;
    for (int64_t i = 0; i < record_count(source->reader); i++) {
        struct params p, q;
        int64_t same = 0;
        if (!is_case(source, i, &p))
            continue;
        all++;
        for (int64_t j = 0; j < record_count(source->reader); j++)
            same += is_case(source, j, &q) && same_but(&p, &q, along, NULL) && p.seed == q.seed;
        if (same > most) {
            most = same;
            *best = p;
        }
    }
    *others = all - most;
    return most;
}

/* The case of `like` with the next larger L_r than `last`; -1: there is none. */
static int64_t next_case(const struct figure_source *source, const struct params *like, double last) {
    int64_t next = -1;
    for (int64_t i = 0; i < record_count(source->reader); i++) {
        struct params p;
        double every = value(source, "every", i);
        if (is_case(source, i, &p) && same_but(&p, like, params_find("recompute"), NULL) && p.seed == like->seed &&
            every > last && (next < 0 || every < value(source, "every", next)))
            next = i;
    }
    return next;
}

/* Rows of the cases; what keeping everything costs goes to `keep` [memory, ratio], the L_r of least memory
 * to `best`. */
static bool write_data(const struct figure_source *source, const char *name, const struct params *like, double keep[2],
                       int64_t *best, char *why, size_t why_size) {
    static const char *const columns[] = {"memory_peak", "memory_predicted", "memory_paper", "median", "low", "high",
                                          "ratio",       "ratio_low",        "ratio_high"};
    FILE *file = data_open(
        source, name, "every,memory_peak,memory_predicted,memory_paper,median,low,high,ratio,ratio_low,ratio_high");
    double least = INFINITY, before = 0;
    for (int64_t i = next_case(source, like, -1); file && i >= 0;
         i = next_case(source, like, value(source, "every", i))) {
        double every = value(source, "every", i), peak = value(source, "memory_peak", i);
        if (every < 1) {
            keep[0] = peak;
            keep[1] = value(source, "ratio", i);
            continue;
        }
        if (peak < least) {
            least = peak;
            *best = (int64_t)every;
        }
        if (before > 0 && !figure_joined(params_find("recompute"), before, every))
            putc('\n', file); /* parts points that no line may join */
        before = every;
        fprintf(file, "%.0f", every);
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
            put_number(file, value(source, columns[c], i));
        putc('\n', file);
    }
    return data_close(file, source, name, why, why_size);
}

enum figure_outcome figure_recompute(const struct figure_source *source, const struct figure *figure, char *why,
                                     size_t size) {
    struct params p;
    double keep[2] = {NAN, NAN};
    int64_t best = 0, others, count = choose(source, &p, &others);
    char text[1400], block[32], backend[300];
    if (count < 2)
        return snprintf(why, size, "no two cases of study recompute differ in L_r alone"), FIGURE_SKIPPED;
    if (!write_data(source, figure->name, &p, keep, &best, why, size))
        return FIGURE_FAILED;
    snprintf(block, sizeof block, "%s", params_word(&p, "block"));
    device_name(source, p.backend, backend, sizeof backend);
    const bool model = params_is_model(&p);
    snprintf(
        text, sizeof text,
        "A step (forward and backward) that keeps x once every L_r layers, the recomputation block, and computes the "
        "rest again. Memory: %s peak (points), what the stack predicts (line), Eq. 20 of the paper, which leaves "
        "out what does not depend on L_r (dashed; least at %.1f); its least at %lld. Time: %sratio to "
        "that of √(nL/(n+2)), rounded (auto)%s. Connection %s, branch "
        "%s, L=%lld, n=%lld, C=%lld, T=%lld, backend %s.",
        model ? "counted" : "measured", recompute_paper_optimum(p.depth, p.streams), (long long)best,
        model ? "" : "median of the ", model ? "" : ", and its 95 % interval (open: too few rounds for one)", block,
        params_word(&p, "branch"), (long long)p.depth, (long long)p.streams, (long long)p.width, (long long)p.tokens,
        backend);
    if (others) {
        snprintf(text + strlen(text), sizeof text - strlen(text), " Not shown: %lld case%s of another stack.",
                 (long long)others, others > 1 ? "s" : "");
        snprintf(why, size, "%lld case%s of another stack %s not in it", (long long)others, others > 1 ? "s" : "",
                 others > 1 ? "are" : "is");
    }
    FILE *file = settings_open(source, figure->name);
    if (file) {
        fprintf(file, "BLOCK = %d\nOPTIMUM = %.9g\nBEST = %lld\nKEEP_MEMORY = ", params_connection(&p)->colour,
                recompute_paper_optimum(p.depth, p.streams), (long long)best);
        fprintf(file, isfinite(keep[0]) ? "%.9g\n" : "NaN\n", keep[0]);
        fprintf(file, isfinite(keep[1]) ? "KEEP_TIME = %.9g\n" : "KEEP_TIME = NaN\n", keep[1]);
    }
    put_caption(file, source, false, text);
    return data_close(file, source, figure->name, why, size) ? FIGURE_WRITTEN : FIGURE_FAILED;
}
