/* What the headline reports and what the recompute study prints, held to cpu_ref/paper.c; and the README's map from the
 * paper to the files. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis/analysis.h"
#include "cpu_ref/operation.h"
#include "cpu_ref/paper.h"
#include "cpu_ref/philox.h"
#include "suites/study/recompute.h"

enum { N = MHC_MAX_STREAMS };

/* --- Amax gains --- */

static void expect_curve(const struct mhc_curves *curves, enum mhc_metric metric, int64_t layer, double mean) {
    double got = curves->curve[metric][MHC_MEAN][layer], want = log10(mean);
    cr_assert(fabs(got - want) <= 1e-12 * fmax(1, fabs(want)), "%s of layer %lld is %.17g, wanted %.17g",
              mhc_metric_info[metric].name, (long long)layer, got, want);
}

/* Means over tokens of both readings: of H_l, of H_l...H_1 (forward) and of H_L...H_l (backward). */
static void check_gains(const double *res, int64_t L, int64_t T, int64_t n) {
    struct mhc_curves curves;
    cr_assert(mhc_curves_allocate(&curves, L, MHC_GROUP_GAIN, false));
    cr_assert_eq(mhc_measure_maps(res, L, T, n, &curves), 0);
    for (int64_t l = 0; l < L; l++) {
        double mean[MHC_METRICS] = {0};
        for (int64_t t = 0; t < T; t++) {
            double token[L][n][n], map[n][n], score[MHC_METRICS];
            for (int64_t k = 0; k < L; k++)
                memcpy(token[k], res + (k * T + t) * n * n, sizeof token[k]);
            const void *first = token[0], *here = token[l];
            void *composite = map;
            paper_amax_forward(n, here, &score[MHC_single_forward_sum], &score[MHC_single_forward_abs]);
            paper_amax_backward(n, here, &score[MHC_single_backward_sum], &score[MHC_single_backward_abs]);
            paper_eq4_composite(n, l + 1, first, composite);
            paper_amax_forward(n, composite, &score[MHC_composite_forward_sum], &score[MHC_composite_forward_abs]);
            paper_eq4_composite(n, L - l, here, composite);
            paper_amax_backward(n, composite, &score[MHC_composite_backward_sum], &score[MHC_composite_backward_abs]);
            for (int m = MHC_single_forward_sum; m <= MHC_composite_backward_abs; m++)
                mean[m] += score[m] / (double)T;
        }
        for (int m = MHC_single_forward_sum; m <= MHC_composite_backward_abs; m++)
            expect_curve(&curves, (enum mhc_metric)m, l, mean[m]);
    }
    mhc_curves_release(&curves);
}

/* Maps of HC, which may be negative, and of mHC, whose columns 20 iterations leave short of 1. */
Test(paper_numbers, gains) {
    static const int64_t n_of[] = {1, 2, 4, 7, 16};
    enum { L = 9, T = 6 };
    for (int k = 0; k < 5; k++) {
        int64_t n = n_of[k];
        double *res = calloc((size_t)(L * T * n * n), sizeof *res);
        for (int64_t e = 0; e < L * T * n * n; e++)
            res[e] = (e % (n * n) % (n + 1) == 0) + 0.3 * mhc_normal(4, 1, 0, (uint64_t)e);
        check_gains(res, L, T, n);
        for (int64_t m = 0; m < L * T; m++) {
            double logits[N * N];
            const void *from = logits;
            for (int64_t e = 0; e < n * n; e++)
                logits[e] = 5 * mhc_normal(5, 1, 0, (uint64_t)(m * n * n + e));
            paper_eq9_sinkhorn(n, 20, from, (void *)(res + m * n * n));
        }
        check_gains(res, L, T, n);
        free(res);
    }
}

/* --- recomputing --- */

/* Eq. 20: what the study prints beside its measurement; and its optimum is one. */
Test(paper_numbers, recompute_rule) {
    enum { T = 3, C = 7, BYTES = 2 };
    for (int64_t n = 1; n <= N; n++)
        for (int64_t L = 1; L <= 128; L++) {
            double optimum = paper_eq20_optimum(n, L), least = INFINITY;
            cr_assert(fabs(recompute_paper_optimum(L, n) - optimum) <= 1e-15 * optimum);
            for (int64_t every = 1; every <= L; every++) {
                double elements = paper_eq20_elements(n, C, L, every);
                double got = recompute_paper_bytes(T, n, C, L, every, BYTES);
                cr_assert(fabs(got - T * BYTES * elements) <= 1e-15 * got, "n=%lld L=%lld L_r=%lld: %.17g bytes",
                          (long long)n, (long long)L, (long long)every, got);
                least = fmin(least, elements);
            }
            /* Without the ceiling the optimum gives the least. The ceiling and a whole L_r add at most one of each. */
            double x = (double)(n * C), block = (double)((n + 2) * C);
            double smooth = x * (double)L / optimum + block * optimum;
            cr_assert(least >= smooth * (1 - 1e-14) && least <= smooth + x + block, "n=%lld L=%lld: %.17g, not %.17g",
                      (long long)n, (long long)L, least, smooth);
        }
}

/* --- the README's map, the checklists of CONTRIBUTING --- */

/* Every file that a section of a text names between ` and ` exists. A name counts if it has a slash and neither a
 * wildcard nor the words NAME and FILE, which stand for any name. Returns their number. */
static int files_named_in(const char *path, const char *section) {
    FILE *file = fopen(path, "r");
    cr_assert(file, "no %s in this folder", path);
    char line[1000];
    bool inside = false;
    int found = 0;
    while (fgets(line, sizeof line, file)) {
        if (!strncmp(line, "## ", 3))
            inside = strstr(line, section) != NULL;
        if (!inside)
            continue;
        for (char *word = strtok(line, "`"); word; word = strtok(NULL, "`"))
            if (strchr(word, '/') && !strpbrk(word, " |*\n") && !strstr(word, "NAME") && !strstr(word, "FILE")) {
                cr_assert(access(word, F_OK) == 0, "%s names %s, which does not exist", path, word);
                found++;
            }
    }
    fclose(file);
    return found;
}

Test(paper_numbers, readme_names_files_that_exist) {
    int found = files_named_in("README.md", "From the paper to the files");
    cr_assert(found >= 30, "only %d files were found", found);
}

Test(paper_numbers, contributing_names_files_that_exist) {
    int found = files_named_in(".github/CONTRIBUTING.md", "What to touch");
    cr_assert(found >= 25, "only %d files were found", found);
}

/* A README that is read in five minutes. */
Test(paper_numbers, readme_is_short) {
    FILE *file = fopen("README.md", "r");
    cr_assert(file, "no README.md in this folder");
    int lines = 0, words = 0, inside = 0;
    for (int c = getc(file); c != EOF; c = getc(file)) {
        bool blank = c == ' ' || c == '\n';
        lines += c == '\n';
        words += !blank && !inside;
        inside = !blank;
    }
    fclose(file);
    cr_expect(lines <= 200 && words <= 1800, "%d lines and %d words, at most 200 and 1800", lines, words);
}
