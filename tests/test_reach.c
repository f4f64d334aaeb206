/* The depth mixing matrix against its definition, an explicit product in long double, and against closed forms. */
#include <omp.h>

#include "tests/depth_example.h"

enum { LAYERS = 9, TOKENS = 5 };

/* M[l][i] of token t, word for word: pre_l . H_(l-1)...H_(i+1) . post_i. */
static long double entry(const struct mhc_depth *d, int64_t l, int64_t i, int64_t t) {
    long double state[LARGEST], next[LARGEST], sum = 0;
    for (int64_t k = 0; k < d->n; k++)
        state[k] = i < 0 ? 1 : d->post[(i * d->T + t) * d->n + k];
    for (int64_t j = i + 1; j < l; j++) {
        for (int64_t a = 0; a < d->n; a++) {
            next[a] = 0;
            for (int64_t b = 0; b < d->n; b++)
                next[a] += d->res[(j * d->T + t) * d->n * d->n + a * d->n + b] * state[b];
        }
        memcpy(state, next, sizeof state);
    }
    for (int64_t k = 0; k < d->n; k++)
        sum += state[k] * (l == d->L ? 1.0L / d->n : d->pre[(l * d->T + t) * d->n + k]);
    return sum;
}

Test(reach, definitions_by_explicit_product) {
    FOR_ALL_N(n) {
        struct drawn x = draw(LAYERS, TOKENS, n, 0.4);
        const struct mhc_depth *d = &x.d;
        struct mhc_curves c;
        reach(d, &c);
        double *m = matrix(d);
        for (int64_t l = 0; l <= LAYERS; l++) {
            long double mean[LAYERS + 1] = {0}, most = 0, all = 0, sources = 0, first = 0, newest = 0;
            for (int64_t t = 0; t < TOKENS; t++) {
                long double sum = 0, largest = 0, entropy = 0, row[LAYERS + 1];
                for (int64_t i = -1; i < l; i++) {
                    row[i + 1] = fabsl(entry(d, l, i, t));
                    mean[i + 1] += row[i + 1] / TOKENS;
                    sum += row[i + 1];
                    largest = fmaxl(largest, row[i + 1]);
                }
                for (int64_t i = -1; i < l; i++)
                    entropy -= row[i + 1] / sum * logl(row[i + 1] / sum);
                most += largest / TOKENS, all += sum / (long double)(l + 1) / TOKENS;
                sources += expl(entropy) / TOKENS, first += row[0] / sum / TOKENS, newest += row[l] / sum / TOKENS;
            }
            for (int64_t i = -1; i < LAYERS; i++)
                EXPECT(m[l * (LAYERS + 1) + i + 1], i < l ? (double)log10l(mean[i + 1]) : NAN, 1e-12, "matrix", l, i);
            if (l == 0)
                continue;
            EXPECT(mean_of(&c, MHC_reach_forward_max, l - 1), (double)log10l(most), 1e-13, "max", n, l);
            EXPECT(mean_of(&c, MHC_reach_forward_mean, l - 1), (double)log10l(all), 1e-13, "mean", n, l);
            EXPECT(mean_of(&c, MHC_reach_sources, l - 1), (double)sources, 1e-12, "sources", n, l);
            EXPECT(mean_of(&c, MHC_reach_embedding, l - 1), (double)first, 1e-12, "embedding", n, l);
            EXPECT(mean_of(&c, MHC_reach_newest, l - 1), (double)newest, 1e-12, "newest", n, l);
        }
        for (int64_t i = 0; i < LAYERS; i++) {
            long double heard = 0;
            for (int64_t l = i + 1; l <= LAYERS; l++)
                for (int64_t t = 0; t < TOKENS; t++)
                    heard += fabsl(entry(d, l, i, t)) / TOKENS / (long double)(LAYERS - i);
            EXPECT(mean_of(&c, MHC_reach_backward, i), (double)log10l(heard), 1e-13, "backward", n, i);
        }
        free(m);
        mhc_curves_release(&c);
        release(&x);
    }
}

/* Effective rank of the contents, from the eigenvalues of their explicit Gram matrix. */
Test(reach, rank_by_explicit_product) {
    FOR_ALL_N(n) {
        struct drawn x = draw(LAYERS, 1, n, 0.4);
        struct mhc_curves c;
        reach(&x.d, &c);
        for (int64_t l = 0; l < LAYERS; l++) {
            long double w[LARGEST][LAYERS + 1], gram[LARGEST * LARGEST], eigenvalue[LARGEST], sum = 0, entropy = 0;
            double *read = malloc((size_t)(LAYERS * n) * sizeof *read);
            for (int64_t a = 0; a < n; a++) { /* stream a alone is read behind layer l */
                for (int64_t k = 0; k < LAYERS * n; k++)
                    read[k] = k % n == a;
                struct mhc_depth d = x.d;
                d.pre = read;
                for (int64_t i = -1; i <= l; i++)
                    w[a][i + 1] = l + 1 < LAYERS ? entry(&d, l + 1, i, 0) : 0;
            }
            free(read);
            if (l + 1 == LAYERS) /* the exit reads the mean of all streams */
                continue;
            for (int64_t e = 0; e < n * n; e++) {
                gram[e] = 0;
                for (int64_t i = 0; i <= l + 1; i++)
                    gram[e] += w[e / n][i] * w[e % n][i];
            }
            jacobi(n, gram, eigenvalue);
            for (int64_t a = 0; a < n; a++) /* the first n - l - 2 are 0 where there are fewer sources than streams */
                sum += a >= n - l - 2 ? sqrtl(fabsl(eigenvalue[a])) : 0;
            for (int64_t a = 0; a < n; a++)
                if (a >= n - l - 2)
                    entropy -= sqrtl(fabsl(eigenvalue[a])) / sum * logl(sqrtl(fabsl(eigenvalue[a])) / sum);
            EXPECT(mean_of(&c, MHC_reach_rank, l), (double)expl(entropy), 1e-7, "rank", n, l);
        }
        mhc_curves_release(&c);
        release(&x);
    }
}

/* What is kept of a deep stack are rows and sources of the matrix that nothing is left out of. */
Test(reach, matrix_of_a_deep_stack_is_thinned) {
    enum { L = 300, N = 2 };
    struct drawn x = draw(L, 2, N, 0.1);
    double *m = matrix(&x.d);
    const int64_t rows = mhc_depth_rows(L), stride = mhc_depth_stride(L);
    cr_assert(stride == 3 && rows == 101);
    for (int64_t L1 = 1; L1 < 3000; L1++) {
        const int64_t most = mhc_depth_rows(L1), apart = mhc_depth_stride(L1), first = L1 - (most - 1) * apart;
        cr_expect(most <= MHC_DEPTH_MOST && first >= 0 && first < apart && (most - 1) * apart <= L1, "L %ld", (long)L1);
    }
    for (int64_t q = 0; q < rows; q += 7)
        for (int64_t k = 0; k < rows; k += 5) {
            const int64_t l = L - (rows - 1 - q) * stride, i = k * stride - 1;
            long double mean = i < l ? (fabsl(entry(&x.d, l, i, 0)) + fabsl(entry(&x.d, l, i, 1))) / 2 : 0;
            EXPECT(m[q * rows + k], i < l ? (double)log10l(mean) : NAN, 1e-11, "matrix", l, i);
        }
    free(m);
    release(&x);
}

Test(reach, resnet_is_all_ones) {
    enum { L = 60, T = 3 };
    double ones[L * T];
    for (int k = 0; k < L * T; k++)
        ones[k] = 1;
    const struct mhc_depth d = {L, T, 1, ones, ones, ones};
    struct mhc_curves c;
    reach(&d, &c);
    double *m = matrix(&d);
    for (int64_t l = 0; l < L; l++) {
        EXPECT(mean_of(&c, MHC_reach_forward_max, l), 0, 0, "max", l, 0);
        EXPECT(mean_of(&c, MHC_reach_forward_mean, l), 0, 0, "mean", l, 0);
        EXPECT(mean_of(&c, MHC_reach_backward, l), 0, 0, "backward", l, 0);
        EXPECT(mean_of(&c, MHC_reach_sources, l), (double)(l + 2), 1e-14, "sources", l, 0);
        EXPECT(mean_of(&c, MHC_reach_embedding, l), 1 / (double)(l + 2), 1e-15, "embedding", l, 0);
        EXPECT(mean_of(&c, MHC_reach_newest, l), 1 / (double)(l + 2), 1e-15, "newest", l, 0);
        EXPECT(mean_of(&c, MHC_reach_rank, l), 1, 0, "rank", l, 0);
    }
    for (int64_t l = 0; l <= L; l++)
        for (int64_t k = 0; k <= L; k++)
            EXPECT(m[l * (L + 1) + k], k <= l ? 0 : NAN, 0, "matrix", l, k);
    free(m);
    mhc_curves_release(&c);
}

/* Divides the rows of maps by their sums, or the columns, or does both in turns as Sinkhorn's iterations do, the rows
 * last. */
static void normalise(double *map, int64_t n, bool rows) {
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t j = 0; j < n; j++)
            sum += map[rows ? i * n + j : j * n + i];
        for (int64_t j = 0; j < n; j++)
            map[rows ? i * n + j : j * n + i] /= sum;
    }
}

static void make_positive(struct drawn *x, double spread) {
    for (int64_t k = 0; k < x->d.L * x->d.T * x->d.n * x->d.n; k++)
        x->res[k] = exp(spread * mhc_normal(12, 1, 0, (uint64_t)k));
}

static double sum_of(const double *values, int64_t n) {
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += values[k];
    return sum;
}

/* Rows that sum to 1 and equal writes b_i: M[l][i] = b_i sum(pre_l), whatever the maps. */
Test(reach, equal_writes) {
    FOR_ALL_N(n) {
        struct drawn x = draw(LAYERS, 1, n, 0);
        make_positive(&x, 2);
        for (int64_t l = 0; l < LAYERS; l++) {
            normalise(x.res + l * n * n, n, true);
            for (int64_t k = 0; k < n; k++)
                x.post[l * n + k] = 0.5 + (double)l;
        }
        double *m = matrix(&x.d);
        for (int64_t l = 0; l <= LAYERS; l++)
            for (int64_t i = -1; i < l; i++) {
                const double read = l == LAYERS ? 1 : fabs(sum_of(x.pre + l * n, n));
                EXPECT(m[l * (LAYERS + 1) + i + 1], log10(read * (i < 0 ? 1 : 0.5 + (double)i)), 1e-12, "entry", l, i);
            }
        free(m);
        release(&x);
    }
}

/* Columns that sum to 1 and equal reads a_l: M[l][i] = a_l sum(post_i), a_l n of the embedding. */
Test(reach, equal_reads) {
    FOR_ALL_N(n) {
        struct drawn x = draw(LAYERS, 1, n, 0);
        make_positive(&x, 2);
        for (int64_t l = 0; l < LAYERS; l++) {
            normalise(x.res + l * n * n, n, false);
            for (int64_t k = 0; k < n; k++)
                x.pre[l * n + k] = 0.25 + (double)l;
        }
        double *m = matrix(&x.d);
        for (int64_t l = 0; l <= LAYERS; l++)
            for (int64_t i = -1; i < l; i++) {
                const double a = l == LAYERS ? 1 / (double)n : 0.25 + (double)l;
                const double written = i < 0 ? (double)n : fabs(sum_of(x.post + i * n, n));
                EXPECT(m[l * (LAYERS + 1) + i + 1], log10(a * written), 1e-12, "entry", l, i);
            }
        free(m);
        release(&x);
    }
}

/* Sinkhorn's columns miss 1. With equal reads M[l][i] / (a_l sum(post_i)) is a mean of the column sums of the maps
 * between i and l, weighted by post_i: between the smallest and the largest of them. */
Test(reach, sinkhorn_lies_between_its_column_sums) {
    enum { N = 4 };
    struct drawn x = draw(LAYERS, 1, N, 0);
    double widest = 0;
    make_positive(&x, 7);
    for (int64_t l = 0; l < LAYERS; l++) {
        for (int iteration = 0; iteration < 20; iteration++) {
            normalise(x.res + l * N * N, N, false);
            normalise(x.res + l * N * N, N, true);
        }
        for (int64_t k = 0; k < N; k++) {
            x.pre[l * N + k] = 0.7;
            x.post[l * N + k] = fabs(x.post[l * N + k]);
        }
    }
    double *m = matrix(&x.d);
    for (int64_t l = 1; l < LAYERS; l++)
        for (int64_t i = 0; i < l; i++) {
            struct mhc_depth column = x.d;
            double least = INFINITY, most = 0, unit[LAYERS * N];
            for (int64_t k = 0; k < N; k++) {
                memset(unit, 0, sizeof unit);
                unit[i * N + k] = 1;
                column.post = unit;
                const double sum = (double)entry(&column, l, i, 0) / 0.7;
                least = fmin(least, sum);
                most = fmax(most, sum);
            }
            const double ratio = pow(10, m[l * (LAYERS + 1) + i + 1]) / (0.7 * sum_of(x.post + i * N, N));
            cr_expect(ratio > least * (1 - 1e-12) && ratio < most * (1 + 1e-12), "%ld %ld: %g not in [%g, %g]", (long)l,
                      (long)i, ratio, least, most);
            widest = fmax(widest, most / least);
        }
    cr_expect(widest > 1.01, "column sums within %g of one another: nothing was tested", widest - 1);
    free(m);
    release(&x);
}

/* H = lambda I + (1 - lambda) J/n forgets at the rate of its second eigenvalue: reading stream 0, writing stream s
 * gives 1/n + lambda^(l - 1 - i) ((s == 0) - 1/n). */
Test(reach, second_eigenvalue_is_the_rate_of_forgetting) {
    enum { L = 40, N = 4 };
    const double lambda = 0.9;
    double map[N * N], pre[L * N] = {0}, post[L * N] = {0};
    for (int e = 0; e < N * N; e++)
        map[e] = (1 - lambda) / N + (e % (N + 1) == 0 ? lambda : 0);
    for (int l = 0; l < L; l++) {
        pre[l * N] = 1;
        post[l * N + l % 2] = 1;
    }
    double *res = repeat(map, L, 1, N);
    const struct mhc_depth d = {L, 1, N, res, pre, post};
    double *m = matrix(&d);
    for (int64_t l = 1; l < L; l++)
        for (int64_t i = 0; i < l; i++) {
            const double want = 1.0 / N + pow(lambda, (double)(l - 1 - i)) * ((i % 2 == 0) - 1.0 / N);
            EXPECT(pow(10, m[l * (L + 1) + i + 1]), want, 1e-13, "entry", l, i);
        }
    free(m);
    free(res);
}

Test(reach, threads_do_not_matter) {
    enum { N = 4, T = 37 };
    struct drawn x = draw(30, T, N, 0.3);
    struct mhc_curves c[2];
    double *m[2];
    for (int k = 0; k < 2; k++) {
        omp_set_num_threads(k ? 3 : 1);
        reach(&x.d, &c[k]);
        m[k] = matrix(&x.d);
    }
    for (int metric = MHC_reach_forward_max; metric <= MHC_reach_rank; metric++)
        for (int s = 0; s < MHC_STATISTICS; s++)
            cr_expect(!memcmp(c[0].curve[metric][s], c[1].curve[metric][s], 30 * sizeof(double)), "%s",
                      mhc_metric_info[metric].name);
    cr_expect(!memcmp(m[0], m[1], 31 * 31 * sizeof(double)));
    for (int k = 0; k < 2; k++) {
        free(m[k]);
        mhc_curves_release(&c[k]);
    }
    release(&x);
}
