/* The table of study `recompute`. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "suites/report/figure_lines.h"
#include "suites/report/shows.h"
#include "suites/stack/program.h"
#include "suites/study/recompute.h"

static bool is_case(struct record_reader *r, int64_t index, struct params *p) {
    groups_params(r, index, p);
    return p->study == STUDY_RECOMPUTE && !strcmp(record_texts(r, "status")[index], "done") &&
           timing(r, "memory_peak", index) > 0;
}

static bool alike(const struct params *p, const struct params *q) {
    return same_but(p, q, params_find("recompute"), NULL) && p->seed == q->seed;
}

/* A case that an earlier one is like is in the table of that one. */
static bool has_table(struct record_reader *r, int64_t index, const struct params *p) {
    struct params q;
    for (int64_t k = 0; k < index; k++)
        if (is_case(r, k, &q) && alike(p, &q))
            return true;
    return false;
}

static void print_line(struct record_reader *r, int64_t i, double automatic) {
    char every[24] = "keep", half[24] = "-", interval[48] = "-";
    double median = timing(r, "median", i), width = timing(r, "high", i) - timing(r, "low", i),
           high = timing(r, "ratio_high", i);
    if (isfinite(width)) /* from six rounds on */
        snprintf(half, sizeof half, "%.1f %%", 50 * width / median);
    if (isfinite(high))
        snprintf(interval, sizeof interval, "[%.4f, %.4f]", timing(r, "ratio_low", i), high);
    if (timing(r, "every", i) >= 1)
        snprintf(every, sizeof every, "%.0f", timing(r, "every", i));
    printf("%6s  %10.3f  %10.3f  %8.3f  %10.4g  %8s  %.4f %s%s\n", every, timing(r, "memory_predicted", i) * 1e-6,
           timing(r, "memory_peak", i) * 1e-6, timing(r, "memory_paper", i) * 1e-6, median * 1e3, half,
           timing(r, "ratio", i), interval, timing(r, "every", i) == automatic ? "  auto" : "");
}

static void print_table(struct record_reader *r, int64_t first, const struct params *p) {
    double least = INFINITY, best = 0;
    char block[32], branch[32];
    struct params q;
    snprintf(block, sizeof block, "%s", params_word(p, "block"));
    snprintf(branch, sizeof branch, "%s", params_word(p, "branch"));
    printf(
        "\n--study recompute --connection %s --branch %s --depth %lld --streams %lld --width %lld --tokens %lld --backend %s\n\n"
        "%6s  %10s  %10s  %8s  %10s  %8s  %s\n",
        block, branch, (long long)p->depth, (long long)p->streams, (long long)p->width, (long long)p->tokens,
        p->backend, "L_r", "predicted", "peak", "Eq. 20", "step/ms", "+-", "time / that of auto");
    for (int64_t i = first; i < record_count(r); i++)
        if (is_case(r, i, &q) && alike(p, &q)) {
            print_line(r, i, (double)program_recompute_rule(p->depth, p->streams));
            if (timing(r, "memory_peak", i) < least) {
                least = timing(r, "memory_peak", i);
                best = timing(r, "every", i);
            }
        }
    printf("\nLeast memory at L_r = %.0f; by the paper's formula at sqrt(n L / (n + 2)) = %.1f.\n", best,
           recompute_paper_optimum(p->depth, p->streams));
}

void show_recompute(struct record_reader *r, bool all) {
    (void)all;
    struct params p;
    bool any = false;
    for (int64_t i = 0; record_subject_count(r) && i < record_count(r); i++)
        if (is_case(r, i, &p) && !has_table(r, i, &p)) {
            if (!any)
                printf(
                    "\nMemory in MB (1e6 bytes): what the stack predicts, the most it had allocated, and what Eq. 20 of the paper counts, which leaves\n"
                    "out what does not depend on L_r. Time of a step, forward and backward, and its ratio to --recompute auto in the same rounds;\n"
                    "auto marks the L_r that this stands for, the paper's rule. +- -: too few rounds for an interval.\n");
            any = true;
            print_table(r, i, &p);
        }
}
