/* Numbers about numbers. Pure functions: no files, no clock, no state. All arrays are float64, row-major.
 *
 * Scores are taken per token, then summarised over tokens. Composites never overflow: each token's product is kept as a
 * scaled matrix and a power of two, means of gains are sums of scaled mantissas. A result is non-finite only when an
 * input was, and then it is NaN or Inf at exactly the layers that input reaches (beyond that: a linear result that no
 * double can hold is Inf, and what is taken over resolved tokens is NaN where there are none). Results do not depend on
 * the number of threads. */
#ifndef ANALYSIS_H
#define ANALYSIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/metrics.h"

/* What is kept of a score over the tokens of one layer. */
enum mhc_statistic { MHC_MEAN, MHC_Q10, MHC_Q50, MHC_Q90, MHC_STATISTICS };
extern const char *const mhc_statistic_suffix[MHC_STATISTICS]; /* "", "_q10", "_q50", "_q90" */

/* curve[metric][statistic] has L doubles, or is NULL when that curve is not wanted. */
struct mhc_curves {
    int64_t L;
    double *curve[MHC_METRICS][MHC_STATISTICS];
};

/* Allocates the curves of the given groups (all statistics, or the mean alone), filled with NaN. false: no memory. */
bool mhc_curves_allocate(struct mhc_curves *, int64_t L, unsigned groups, bool quantiles);
void mhc_curves_release(struct mhc_curves *);

/* q-quantile (0..1) of `count` >= 1 values by linear interpolation between order statistics; reorders `values`. With
 * a NaN among them: NaN. */
double mhc_quantile(double *values, int64_t count, double q);

/* Fills mean and quantiles of one layer of one curve from a score per token, stored in the metric's scale.
 * `score` is linear; for a LOG10 metric the token's score is score[t] * 2^exponent[t] (exponent may be NULL).
 * 0, or -1 when out of memory, which only quantiles need. */
int mhc_summarise(struct mhc_curves *, enum mhc_metric, int64_t layer, const double *score, const int64_t *exponent,
                  int64_t T);

/* Groups GAIN, SPECTRUM and MIXING of a sequence of maps, res [L][T][n][n]. Wanted groups are those with allocated
 * curves. 1 <= n <= 16. Returns 0, or -1 when out of memory.
 *
 * With n = 1, lambda2 and the Dobrushin coefficient are 0. In composite_log10_det and the log column sums an exact
 * zero (of a pivot of H_l, of a sum) counts as the smallest normal double. smallest_singular and condition are of
 * resolved tokens: sigma_min > 64 n eps sigma_max, and the product of the singular values within 5 % of |det|, which
 * is a sum over layers and right for the others too. */
int mhc_measure_maps(const double *res, int64_t L, int64_t T, int64_t n, struct mhc_curves *);

/* Group REACH: scores of the depth mixing matrix M (metrics.h) of pre and post [L][T][n] and res [L][T][n][n]. The
 * entry copies the embedding into every stream. Entries of M are kept with a power of two per source, so that nothing
 * overflows at any depth. A row of zeros has no sources and no shares: 0. 0, or -1 when out of memory. */
struct mhc_depth {
    int64_t L, T, n;
    const double *res, *pre, *post;
};
int mhc_measure_reach(const struct mhc_depth *, struct mhc_curves *);

/* Rows of M that are kept of L layers, at most MHC_DEPTH_MOST: rows L, L - stride, L - 2 stride ... of L + 1, the last
 * one the exit, and as many sources: -1, stride - 1, 2 stride - 1 ... */
enum { MHC_DEPTH_MOST = 128 };
int64_t mhc_depth_stride(int64_t L);
int64_t mhc_depth_rows(int64_t L);
/* log10 of the token mean of |M|, out [rows][rows]: row q is the input of branch L - (rows - 1 - q) stride, column k
 * the source k stride - 1. NaN where the source comes later than the input. */
void mhc_depth_matrix(const struct mhc_depth *, double *out);

/* Bytes that the functions on maps take beside their arguments, at most. */
double mhc_measure_bytes(int64_t L, int64_t T, int64_t n);

/* Singular values of H_L...H_1, descending, out [T][n]; linear, Inf where they exceed the largest double. 0 or -1. */
int mhc_total_singular_values(const double *res, int64_t L, int64_t T, int64_t n, double *out);

/* log10 of the singular spectrum of H_l...H_1 by accumulated QR (sums of log10|r_ii|, descending), token mean, out
 * [L][n]. Resolves exponents that an explicit product loses to rounding. Each is an estimate whose error does not
 * usually grow with l (exact for diagonal maps); their sum is log10 |det|. 0 or -1. */
int mhc_qr_spectrum(const double *res, int64_t L, int64_t T, int64_t n, double *out);

/* The six matrices of the paper's Fig. 8, token means: H_1, H_h, H_L, H_h...H_1, H_L...H_(h+1), H_L...H_1 with
 * h = ceil(L/2), an empty product being the identity. panel [6][n][n] holds mantissas, panel p is
 * panel[p] * 10^log10_scale[p] (scale 0 unless the panel as a whole would overflow or vanish). 0 or -1. */
int mhc_composite_panels(const double *res, int64_t L, int64_t T, int64_t n, double *panel, double log10_scale[6]);

/* x_rms (or grad_x_rms), x_nonfinite, stream_similarity, effective_rank of x [T][n][C] at a layer. A RMS does not
 * overflow unless x does. The cosine with a zero stream is 0, the similarity of one stream 1, the rank of x = 0 is 0.
 * Rank comes from the n x n Gram matrix: singular values below about 1e-7 of the largest count as 0. 0 or -1. */
int mhc_measure_streams(const double *x, int64_t T, int64_t n, int64_t C, int64_t layer, struct mhc_curves *);
int mhc_measure_gradient(const double *grad_x, int64_t T, int64_t n, int64_t C, int64_t layer, struct mhc_curves *);

/* logit_range of logits [T][n][n] at a layer. 0 or -1. */
int mhc_measure_logits(const double *logits, int64_t T, int64_t n, int64_t layer, struct mhc_curves *);

/* Frobenius norm without overflow or underflow. */
double mhc_norm(const double *x, int64_t count);

/* Largest value of a curve over its layers, NaN if any is NaN. */
double mhc_curve_max(const double *curve, int64_t L);

#endif
