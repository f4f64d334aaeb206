/* The table of study `recompute`. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "suites/report/figure_lines.h"
#include "suites/report/show_recompute.h"
#include "suites/report/shows.h"
#include "suites/stack/program.h"
#include "suites/study/recompute.h"

bool recompute_is_case(struct record_reader *r, int64_t index, struct params *p) {
    groups_params(r, index, p);
    return p->study == STUDY_RECOMPUTE && !strcmp(record_texts(r, "status")[index], "done") &&
           timing(r, "memory_peak", index) > 0;
}

bool recompute_alike(const struct params *p, const struct params *q) {
    return same_but(p, q, params_find("recompute"), NULL) && p->seed == q->seed;
}

static bool has_earlier(struct record_reader *r, int64_t index, const struct params *p) {
    struct params q;
    for (int64_t k = 0; k < index; k++)
        if (recompute_is_case(r, k, &q) && recompute_alike(p, &q))
            return true;
    return false;
}

int64_t recompute_next(struct record_reader *r, int64_t index, struct params *p) {
    while (++index < record_count(r) && record_subject_count(r))
        if (recompute_is_case(r, index, p) && !has_earlier(r, index, p))
            return index;
    return -1;
}

static void add_row(struct record_reader *r, int64_t i, double automatic, struct tables *t) {
    char interval[64];
    double median = timing(r, "median", i), low = timing(r, "low", i), high = timing(r, "high", i),
           ratio = timing(r, "ratio", i), ratio_low = timing(r, "ratio_low", i),
           ratio_high = timing(r, "ratio_high", i), every = timing(r, "every", i);
    struct params p;
    groups_params(r, i, &p);
    bool rule = every == automatic, model = params_is_model(&p);
    snprintf(interval, sizeof interval,
             model                  ? "%.4f MODEL"
             : isfinite(ratio_high) ? "%.4f [%.4f, %.4f]"
                                    : "-",
             ratio, ratio_low, ratio_high); /* from six rounds on */
    table_row(t, (struct value){.kind = VALUE_WHOLE, .text = every >= 1 ? NULL : "keep", .whole = (int64_t)every},
              in_reals(timing(r, "memory_predicted", i)), in_reals(timing(r, "memory_peak", i)),
              in_reals(timing(r, "memory_paper", i)), in_interval(NULL, median, low, high), in_reals(timing_half(r, i)),
              in_interval(interval, ratio, ratio_low, ratio_high),
              (struct value){.kind = VALUE_TRUTH, .text = rule ? "auto" : "", .whole = rule});
}

static void add_table(struct record_reader *r, int64_t first, const struct params *p, struct tables *t) {
    static const struct column columns[] = {
        {"recompute", "L_r", .width = 6},
        {"bytes_predicted", "predicted", .width = 10, .format = "%.3f", .scale = 1e-6},
        {"bytes_peak", "peak", .width = 10, .format = "%.3f", .scale = 1e-6},
        {"bytes_paper", "Eq. 20", .width = 8, .format = "%.3f", .scale = 1e-6},
        {"seconds", "step/ms", .width = 10, .digits = 4, .scale = 1e3, COLUMN_INTERVAL},
        {NULL, "+-", .width = 8, COLUMN_PERCENT},
        {"ratio", "time / that of auto", .width = -1, COLUMN_INTERVAL},
        {"auto", "", .width = -1},
    };
    double least = INFINITY, best = 0;
    char title[500], block[32], branch[32];
    struct params q;
    snprintf(block, sizeof block, "%s", params_word(p, "block"));
    snprintf(branch, sizeof branch, "%s", params_word(p, "branch"));
    snprintf(title, sizeof title,
             "--study recompute --connection %s --branch %s --depth %lld --streams %lld --width %lld --tokens %lld "
             "--backend %s",
             block, branch, (long long)p->depth, (long long)p->streams, (long long)p->width, (long long)p->tokens,
             p->backend);
    tables_say(t, "\n%s\n\n", title);
    table_begin(t, title, columns);
    for (int64_t i = first; i < record_count(r); i++)
        if (recompute_is_case(r, i, &q) && recompute_alike(p, &q)) {
            add_row(r, i, (double)program_recompute_rule(p->depth, p->streams), t);
            if (timing(r, "memory_peak", i) < least) {
                least = timing(r, "memory_peak", i);
                best = timing(r, "every", i);
            }
        }
    table_end(t);
    tables_say(t, "\nLeast memory at L_r = %.0f; by the paper's formula at sqrt(n L / (n + 2)) = %.1f.\n", best,
               recompute_paper_optimum(p->depth, p->streams));
}

void show_recompute(struct record_reader *r, struct tables *t, unsigned how) {
    (void)how;
    struct params p;
    bool any = false;
    for (int64_t i = -1; (i = recompute_next(r, i, &p)) >= 0; any = true) {
        if (params_is_model(&p))
            tables_say(t, "\n%s", SHOW_MODEL);
        if (!any)
            tables_say(t,
                       "\nMemory in MB (1e6 bytes): what the stack predicts, the most it had allocated, and what Eq. "
                       "20 of the paper counts, which leaves out what does not depend on L_r. Time of a step, forward "
                       "and backward, and its ratio to --recompute auto in the same rounds; auto marks the L_r that "
                       "this stands for, the paper's rule. +- -: too few rounds for an interval.\n");
        add_table(r, i, &p, t);
    }
}
