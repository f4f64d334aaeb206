/* What is measured of the streams x [T][n][C] themselves, of their gradient, and of the logits of res. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "analysis/lapack.h"
#include "analysis/maps.h"

/* Inner products of the streams of one token, gram[i][j] * 2^(exponent[i] + exponent[j]). */
struct gram {
    double dot[MHC_MAX_STREAMS][MHC_MAX_STREAMS];
    int exponent[MHC_MAX_STREAMS];
    int64_t n;
};

static double dot_product(const double *a, const double *b, int64_t count) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < count; c++)
        sum += a[c] * b[c];
    return sum;
}

static void fill_gram(struct gram *g, const double *x, int64_t C) {
    for (int64_t i = 0; i < g->n; i++)
        for (int64_t j = 0; j <= i; j++)
            g->dot[i][j] = g->dot[j][i] = dot_product(x + i * C, x + j * C, C);
}

static bool squares_are_safe(const struct gram *g) {
    for (int64_t i = 0; i < g->n; i++)
        if (!(g->dot[i][i] > 0x1p-900 && g->dot[i][i] < 0x1p1000))
            return false;
    return true;
}

/* Streams whose squares do not fit are scaled first, each by its own power of two, in `scratch` [n][C]. */
static void gram_of_token(struct gram *g, const double *x, int64_t n, int64_t C, double *scratch) {
    *g = (struct gram){.n = n};
    fill_gram(g, x, C);
    if (squares_are_safe(g))
        return;
    for (int64_t i = 0; i < n; i++) {
        double largest = 0;
        for (int64_t c = 0; c < C; c++)
            largest = fmax(largest, fabs(x[i * C + c]));
        g->exponent[i] = largest > 0 && isfinite(largest) ? ilogb(largest) : 0;
        for (int64_t c = 0; c < C; c++)
            scratch[i * C + c] = ldexp(x[i * C + c], -g->exponent[i]);
    }
    fill_gram(g, scratch, C);
}

static int largest_exponent(const struct gram *g) {
    int largest = INT_MIN;
    for (int64_t i = 0; i < g->n; i++)
        if (g->dot[i][i] != 0 && g->exponent[i] > largest)
            largest = g->exponent[i];
    return largest;
}

static double similarity(const struct gram *g) {
    double sum = 0;
    for (int64_t i = 0; i < g->n; i++)
        for (int64_t j = 0; j < i; j++)
            if (g->dot[i][i] != 0 && g->dot[j][j] != 0)
                sum += g->dot[i][j] / sqrt(g->dot[i][i]) / sqrt(g->dot[j][j]);
    return g->n == 1 ? 1 : sum / ((double)(g->n * (g->n - 1)) / 2);
}

/* exp(entropy of the normalised singular values), the square roots of the eigenvalues of the Gram matrix. Eigenvalues
 * within rounding of zero count as zero; without a stream that is not zero the rank is 0. */
static double effective_rank(const struct gram *g) {
    enum { WORK = 4 * MHC_MAX_STREAMS };
    int n = (int)g->n, lwork = WORK, info, common = largest_exponent(g);
    if (common == INT_MIN)
        return 0;
    double a[MAP_SIZE], eigenvalue[MHC_MAX_STREAMS], work[WORK], largest_diagonal = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            a[i * n + j] = ldexp(g->dot[i][j], g->exponent[i] + g->exponent[j] - 2 * common);
    for (int i = 0; i < n; i++)
        largest_diagonal = fmax(largest_diagonal, a[i * n + i]);
    for (int e = 0; e < n * n; e++)
        a[e] /= largest_diagonal;
    dsyev_("N", "U", &n, a, &n, eigenvalue, work, &lwork, &info, 1, 1);
    if (info != 0)
        return NAN;
    double sum = 0, entropy = 0, threshold = 8 * n * DBL_EPSILON * eigenvalue[n - 1];
    for (int i = 0; i < n; i++)
        sum += eigenvalue[i] > threshold ? sqrt(eigenvalue[i]) : 0;
    for (int i = 0; i < n; i++) {
        double share = eigenvalue[i] > threshold ? sqrt(eigenvalue[i]) / sum : 0;
        entropy -= share > 0 ? share * log(share) : 0;
    }
    return exp(entropy);
}

static bool gram_is_finite(const struct gram *g) {
    bool finite = true;
    for (int64_t i = 0; i < g->n; i++)
        finite = finite && isfinite(g->dot[i][i]);
    return finite;
}

double streams_rank(const double *x, int64_t n, int64_t C, double *scratch) {
    struct gram g;
    gram_of_token(&g, x, n, C, scratch);
    return gram_is_finite(&g) ? effective_rank(&g) : NAN;
}

enum { RMS, NONFINITE, SIMILARITY, RANK, SCORES };

/* score[s * stride]; scratch [n][C] */
static void score_token(const double *x, int64_t n, int64_t C, double *scratch, double *score, int64_t stride) {
    struct gram g;
    gram_of_token(&g, x, n, C, scratch);
    const bool finite = gram_is_finite(&g);
    score[RMS * stride] = mhc_norm(x, n * C) / sqrt((double)(n * C));
    score[NONFINITE * stride] = !finite;
    score[SIMILARITY * stride] = finite ? similarity(&g) : NAN;
    score[RANK * stride] = finite ? effective_rank(&g) : NAN;
}

int mhc_measure_streams(const double *x, int64_t T, int64_t n, int64_t C, int64_t layer, struct mhc_curves *curves) {
    static const enum mhc_metric metrics[SCORES] = {
        [RMS] = MHC_x_rms,
        [NONFINITE] = MHC_x_nonfinite,
        [SIMILARITY] = MHC_stream_similarity,
        [RANK] = MHC_effective_rank,
    };
    double *score = maps_allocate(SCORES * T, sizeof *score);
    int failed = score ? 0 : -1;
#pragma omp parallel if (!failed)
    {
        double *scratch = maps_allocate(n * C, sizeof *scratch);
        if (!scratch) {
#pragma omp atomic write
            failed = -1;
        }
#pragma omp for schedule(static)
        for (int64_t t = 0; t < T; t++)
            if (scratch && score)
                score_token(x + t * n * C, n, C, scratch, score + t, T);
        free(scratch);
    }
    for (int s = 0; s < SCORES && !failed; s++)
        failed = mhc_summarise(curves, metrics[s], layer, score + s * T, NULL, T);
    free(score);
    return failed;
}

int mhc_measure_gradient(const double *grad_x, int64_t T, int64_t n, int64_t C, int64_t layer,
                         struct mhc_curves *curves) {
    double *score = maps_allocate(T, sizeof *score);
    if (!score)
        return -1;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < T; t++)
        score[t] = mhc_norm(grad_x + t * n * C, n * C) / sqrt((double)(n * C));
    int failed = mhc_summarise(curves, MHC_grad_x_rms, layer, score, NULL, T);
    free(score);
    return failed;
}

int mhc_measure_logits(const double *logits, int64_t T, int64_t n, int64_t layer, struct mhc_curves *curves) {
    double *score = maps_allocate(T, sizeof *score);
    if (!score)
        return -1;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < T; t++) {
        const double *logit = logits + t * n * n;
        double smallest = logit[0], largest = logit[0], undefined = 0;
        for (int64_t e = 0; e < n * n; e++) {
            smallest = fmin(smallest, logit[e]);
            largest = fmax(largest, logit[e]);
            undefined = isnan(logit[e]) ? NAN : undefined;
        }
        score[t] = largest - smallest + undefined;
    }
    int failed = mhc_summarise(curves, MHC_logit_range, layer, score, NULL, T);
    free(score);
    return failed;
}
