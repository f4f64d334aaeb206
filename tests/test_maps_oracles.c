/* The residual maps of other publications than mHC's against plain functions, one for each formula, that share nothing
 * with cpu_ref/maps but the words; and where each publication starts. */
#include "tests/check.h"

enum { MOST_N = 6, MOST_K = 512 };

static struct mhc_case case_of(int32_t map, int64_t n, int64_t order) {
    struct mhc_case c = make_case(0, 9, n, 1, 20, MHC_PAPER, 0);
    c.map = map, c.map_order = (int32_t)order, c.map_constant = 0.375;
    return c;
}

static const double *res_of(const struct mhc_case *c, struct arrays *d) {
    run_named(&mhc_cpu64, "map.forward", c, d, NULL);
    return arrays_get(d, "res");
}

static double *draw_logits(const struct mhc_case *c, struct arrays *d, double spread) {
    int64_t count = c->T * mhc_map_logits(c);
    double *logits = put(d, "logits", count);
    for (int64_t k = 0; k < count; k++)
        logits[k] = spread * mhc_normal(2, mhc_what("logits"), 0, (uint64_t)k);
    return logits;
}

/* res of the biases at which the publication starts. */
static void res_at_start(const struct mhc_case *c, uint64_t seed, int64_t layer, double *res) {
    struct mhc_case one = *c;
    struct arrays d = {0};
    one.T = 1;
    map_start_f64(&one, seed, layer, put(&d, "logits", mhc_map_logits(&one)));
    memcpy(res, res_of(&one, &d), (size_t)(c->n * c->n) * sizeof *res);
    arrays_clear(&d);
}

static void softmax(int64_t count, const double *x, double *share) {
    double sum = 0;
    for (int64_t k = 0; k < count; k++)
        sum += exp(x[k]);
    for (int64_t k = 0; k < count; k++)
        share[k] = exp(x[k]) / sum;
}

/* --- mHC-lite --- */

/* Permutation k of n in lexicographic order, by the digits of k in factorials. */
static void permutation(int64_t n, int64_t k, int64_t *perm) {
    bool used[MOST_N] = {false};
    int64_t count = 1;
    for (int64_t i = 2; i <= n; i++)
        count *= i;
    for (int64_t i = 0; i < n; i++) {
        count /= n - i;
        int64_t skip = k / count, at = 0;
        k %= count;
        while (used[at] || skip--)
            at++;
        used[at] = true;
        perm[i] = at;
    }
}

Test(maps_oracles, permutations) {
    for (int64_t n = 1; n <= 5; n++) {
        struct mhc_case c = case_of(MHC_PERMUTATIONS, n, 0);
        struct arrays d = {0};
        int64_t K = mhc_map_logits(&c), perm[MOST_N];
        const double *logits = draw_logits(&c, &d, 2), *res = res_of(&c, &d);
        for (int64_t t = 0; t < c.T; t++) {
            double a[120], want[25] = {0};
            softmax(K, logits + t * K, a);
            for (int64_t k = 0; k < K; k++) {
                permutation(n, k, perm);
                for (int64_t from = 0; from < n; from++)
                    want[perm[from] * n + from] += a[k];
            }
            check_close(res + t * n * n, want, n * n, 1e-15, "permutations", "res");
        }
        arrays_clear(&d);
    }
}

/* One logit far above the others gives its permutation alone; (1 2 3 0), the tenth, sends each stream to the next. */
Test(maps_oracles, one_permutation_alone) {
    struct mhc_case c = case_of(MHC_PERMUTATIONS, 4, 0);
    struct arrays d = {0};
    int64_t perm[MOST_N];
    c.T = 24;
    double *logits = put(&d, "logits", 24 * 24);
    for (int64_t k = 0; k < 24; k++)
        logits[k * 25] = 1e4;
    const double *res = res_of(&c, &d);
    for (int64_t k = 0; k < 24; k++) {
        permutation(4, k, perm);
        for (int64_t cell = 0; cell < 16; cell++)
            cr_expect(res[k * 16 + cell] == (perm[cell % 4] == cell / 4));
    }
    static const double cycle[] = {0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
    cr_expect(!memcmp(res + 9 * 16, cycle, sizeof cycle));
    arrays_clear(&d);
    double start[16];
    res_at_start(&c, 1, 0, start);
    double identity = 1 / (1 + 23 * exp(-8));
    for (int k = 0; k < 16; k++) /* 6 permutations keep a stream, 6 bring it to each other place */
        cr_expect(fabs(start[k] - (k % 5 ? 6 * exp(-8) * identity : identity * (1 + 5 * exp(-8)))) < 4e-15);
}

/* --- go-mHC --- */

/* Solves M X = B in place of B, by Gauss with pivots. */
static void solve(int64_t m, double M[][32], double B[][32]) {
    for (int64_t k = 0; k < m; k++) {
        int64_t pivot = k;
        for (int64_t i = k + 1; i < m; i++)
            if (fabs(M[i][k]) > fabs(M[pivot][k]))
                pivot = i;
        for (int64_t j = 0; j < m; j++) {
            double swap = M[k][j], other = B[k][j];
            M[k][j] = M[pivot][j], M[pivot][j] = swap;
            B[k][j] = B[pivot][j], B[pivot][j] = other;
        }
        for (int64_t i = 0; i < m; i++) {
            double factor = i == k ? 0 : M[i][k] / M[k][k];
            for (int64_t j = 0; j < m; j++) {
                M[i][j] -= factor * M[k][j];
                B[i][j] -= factor * B[k][j];
            }
        }
    }
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < m; j++)
            B[i][j] /= M[i][i];
}

/* Q = (I + A)^-1 (I - A), A skew with a triangle. */
static void cayley(int64_t m, const double *triangle, double Q[][32]) {
    double M[32][32];
    for (int64_t i = 0; i < m; i++)
        M[i][i] = Q[i][i] = 1;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = i + 1; j < m; j++, triangle++) {
            M[i][j] = Q[j][i] = *triangle;
            M[j][i] = Q[i][j] = -*triangle;
        }
    solve(m, M, Q);
}

Test(maps_oracles, orthostochastic) {
    for (int64_t s = 1; s <= 2; s++)
        for (int64_t n = 1; n <= MOST_N; n++) {
            struct mhc_case c = case_of(MHC_ORTHOSTOCHASTIC, n, s);
            struct arrays d = {0};
            int64_t m = s * n, K = mhc_map_logits(&c);
            const double *logits = draw_logits(&c, &d, 2), *res = res_of(&c, &d);
            for (int64_t t = 0; t < c.T; t++) {
                double Q[32][32], want[MOST_N * MOST_N] = {0};
                cayley(m, logits + t * K, Q);
                for (int64_t i = 0; i < m; i++)
                    for (int64_t j = 0; j < m; j++) {
                        double product = 0;
                        for (int64_t k = 0; k < m; k++)
                            product += Q[i][k] * Q[j][k];
                        cr_assert(fabs(product - (i == j)) < 1e-13);
                        want[i / s * n + j / s] += Q[i][j] * Q[i][j] / (double)s;
                    }
                check_close(res + t * n * n, want, n * n, 1e-13, "orthostochastic", "res");
            }
            arrays_clear(&d);
        }
}

/* Drawn, another in each layer and for each seed, near the identity; the gradient is not 0 there. */
Test(maps_oracles, orthostochastic_start) {
    struct mhc_case c = case_of(MHC_ORTHOSTOCHASTIC, 4, 2);
    double b[3][28], squares = 0, start[16];
    map_start_f64(&c, 1, 0, b[0]), map_start_f64(&c, 1, 1, b[1]), map_start_f64(&c, 2, 0, b[2]);
    cr_expect(memcmp(b[0], b[1], sizeof b[0]) && memcmp(b[0], b[2], sizeof b[0]));
    for (int k = 0; k < 3; k++)
        for (int j = 0; j < 28; j++)
            squares += b[k][j] * b[k][j] / (3 * 28);
    cr_expect(fabs(sqrt(squares) - 0.1) < 0.03, "%g", sqrt(squares));
    res_at_start(&c, 1, 0, start);
    for (int i = 0; i < 4; i++)
        cr_expect(start[5 * i] > 0.6 && start[5 * i] < 1);
}

/* --- TBP-mHC --- */

/* The plan: `share` of the room of each cell, 1: as much as row and column hold, 0: as little as the rest allows. */
static void transport(int64_t n, const double *share, double *X) {
    double column[MOST_N];
    for (int64_t j = 0; j < n; j++)
        column[j] = 1;
    for (int64_t i = 0; i < n; i++) {
        double row = 1;
        for (int64_t j = 0; j < n; j++) {
            double behind = 0, below = (double)(n - 1 - i);
            for (int64_t k = j + 1; k < n; k++)
                behind += column[k];
            double low = fmax(0, fmax(row - behind, column[j] - below)), high = fmin(row, column[j]);
            double x = i == n - 1 ? column[j] : j == n - 1 ? row : low + (high - low) * share[i * (n - 1) + j];
            X[i * n + j] = x;
            row -= x, column[j] -= x;
        }
    }
}

static void transport_is(const struct mhc_case *c, const double *logits, const double *res, double tolerance) {
    int64_t n = c->n, K = (n - 1) * (n - 1);
    double delta = 1 / (1 + exp(8.0));
    for (int64_t t = 0; t < c->T; t++) {
        double share[25], X[36], want[36];
        for (int64_t k = 0; k < K; k++)
            share[k] = 1 / (1 + exp(-logits[t * K + k]));
        transport(n, share, X);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) /* X(i, j) leads from i to j */
                want[j * n + i] = (1 - delta) * X[i * n + j] + delta / (double)n;
        check_close(res + t * n * n, want, n * n, tolerance, "transport", "res");
    }
}

Test(maps_oracles, transport) {
    for (int64_t n = 1; n <= MOST_N; n++)
        for (int saturated = 0; saturated < 2; saturated++) { /* then every cell is 0 or 1: greedy corners */
            struct mhc_case c = case_of(MHC_TRANSPORT, n, 0);
            struct arrays d = {0};
            const double *logits = draw_logits(&c, &d, saturated ? 1e5 : 2), *res = res_of(&c, &d);
            transport_is(&c, logits, res, saturated ? 0 : 1e-14);
            for (int64_t k = 0; k < c.T * n * n && saturated; k++)
                cr_expect(res[k] < 1e-3 || res[k] > 0.999);
            arrays_clear(&d);
        }
}

/* Logits of 0 by hand, which is the start; all large: the identity. */
Test(maps_oracles, transport_start) {
    static const double half[] = {0.5,   0.25,   0.125,   0.125,   0.25,  0.375,  0.1875,  0.1875,
                                  0.125, 0.1875, 0.34375, 0.34375, 0.125, 0.1875, 0.34375, 0.34375};
    struct mhc_case c = case_of(MHC_TRANSPORT, 4, 0);
    struct arrays d = {0};
    double start[16], delta = 1 / (1 + exp(8.0));
    res_at_start(&c, 1, 0, start);
    for (int k = 0; k < 16; k++)
        cr_expect(fabs(start[k] - (1 - delta) * half[k] - delta / 4) < 1e-15);
    double *logits = put(&d, "logits", c.T * 9);
    for (int64_t k = 0; k < c.T * 9; k++)
        logits[k] = 1e5;
    const double *res = res_of(&c, &d);
    for (int64_t k = 0; k < c.T * 16; k++)
        cr_expect(fabs(res[k] - (k % 16 % 5 ? 0 : 1 - delta) - delta / 4) < 1e-15);
    arrays_clear(&d);
}

/* --- sHC --- */

/* Column k of the Helmert basis of the complement of (1, ..., 1), by Gram and Schmidt on e_0 - e_(k+1). */
static void helmert(int64_t n, double Z[][32]) {
    for (int64_t k = 0; k < n - 1; k++) {
        double column[MOST_N] = {0}, norm = 0;
        column[0] = 1, column[k + 1] = -1;
        for (int64_t j = 0; j < k; j++) {
            double dot = Z[0][j] - Z[k + 1][j];
            for (int64_t i = 0; i < n; i++)
                column[i] -= dot * Z[i][j];
        }
        for (int64_t i = 0; i < n; i++)
            norm += column[i] * column[i];
        for (int64_t i = 0; i < n; i++)
            Z[i][k] = column[i] / sqrt(norm);
    }
}

/* res = J/n + (Z U S V' Z')', and H'H = J/n + Z U S^2 U' Z': its singular values are 1 and |S|. */
Test(maps_oracles, spectral) {
    for (int64_t n = 1; n <= MOST_N; n++) {
        struct mhc_case c = case_of(MHC_SPECTRAL, n, 0);
        struct arrays d = {0};
        int64_t m = n - 1, K = mhc_map_logits(&c), triangle = m * (m - 1) / 2;
        const double *logits = draw_logits(&c, &d, 2), *res = res_of(&c, &d);
        double Z[MOST_N][32];
        helmert(n, Z);
        for (int64_t t = 0; t < c.T; t++) {
            double A[25], U[32][32], V[32][32], want[36];
            for (int64_t k = 0; k < K; k++)
                A[k] = tanh(logits[t * K + k]);
            cayley(m, A, U);
            cayley(m, A + triangle, V);
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j < n; j++) {
                    want[j * n + i] = 1 / (double)n;
                    for (int64_t k = 0; k < m; k++) {
                        double left = 0, right = 0;
                        for (int64_t p = 0; p < m; p++)
                            left += Z[i][p] * U[p][k], right += Z[j][p] * V[p][k];
                        want[j * n + i] += left * A[2 * triangle + k] * right;
                    }
                }
            check_close(res + t * n * n, want, n * n, 1e-14, "spectral", "res");
            for (int64_t k = 0; k < m; k++) { /* res Z U_k has the length |S_k| */
                double length = 0;
                for (int64_t i = 0; i < n; i++) {
                    double sum = 0;
                    for (int64_t j = 0; j < n; j++)
                        for (int64_t p = 0; p < m; p++)
                            sum += res[(t * n + i) * n + j] * Z[j][p] * U[p][k];
                    length += sum * sum;
                }
                cr_assert(fabs(sqrt(length) - fabs(A[2 * triangle + k])) < 1e-14);
            }
        }
        arrays_clear(&d);
        double start[36];
        res_at_start(&c, 1, 0, start);
        for (int64_t k = 0; k < n * n; k++)
            cr_expect(fabs(start[k] - 1 / (double)n - tanh(4) * ((k % (n + 1) == 0) - 1 / (double)n)) < 1e-15);
    }
}

/* --- C-mHC --- */

/* The product of the maps of L tokens is the circulant of the cyclic convolution of theirs: row i has c_k behind i. */
Test(maps_oracles, circulant_composites) {
    enum { n = 5 };
    struct mhc_case c = case_of(MHC_CIRCULANT, n, 0);
    struct arrays d = {0};
    const double *logits = draw_logits(&c, &d, 2), *res = res_of(&c, &d);
    double composite[n * n] = {0}, folded[n] = {1};
    for (int i = 0; i < n; i++)
        composite[i * n + i] = 1;
    for (int64_t t = 0; t < c.T; t++) {
        double share[n], next[n * n] = {0}, convolution[n] = {0};
        softmax(n, logits + t * n, share);
        for (int k = 0; k < n; k++)
            for (int j = 0; j < n; j++)
                convolution[(j + k) % n] += folded[j] * (c.map_constant * share[k] + (k ? 0 : 1 - c.map_constant));
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                for (int k = 0; k < n; k++)
                    next[i * n + j] += res[(t * n + i) * n + k] * composite[k * n + j];
        memcpy(composite, next, sizeof next);
        memcpy(folded, convolution, sizeof folded);
    }
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++)
            cr_expect(fabs(composite[i * n + (i + k) % n] - folded[k]) < 1e-15);
    arrays_clear(&d);
    double start[n * n];
    res_at_start(&c, 1, 0, start);
    for (int k = 0; k < n * n; k++)
        cr_expect(fabs(start[k] - (k % (n + 1) ? 0 : 1 - c.map_constant) - c.map_constant / n) < 1e-15);
}
