/* Every curve the suite can record: one line each, the single place that names them. A curve has one value per layer.
 *
 *   METRIC(id, group, scale, subject, direction, slack, unit, long name)
 *   group  what has to be computed for it: GAIN, SPECTRUM, MIXING (from res), STREAM (from x and its gradient),
 *          LOGIT (from the logits of res), GRADIENT (from parameter gradients), REACH (from pre, post and res)
 *          lambda2 and Dobrushin below n * DBL_EPSILON * the largest entry are rounding and raised to that; 0 stays 0
 *   scale  LOG10: stored as log10, an exact zero as log10 of the smallest normal double; LINEAR: as it is
 *   subject    what it is of; STREAMS and GRADIENT need a stack, GRADIENT its backward too
 *   direction  FORWARD: its last layer is L; BACKWARD: it has come through all layers at layer 1
 *   slack      what two runs may differ in besides a share of the value.
 *              BY(x): by x, whatever the size. Sums cancel, and float32 leaves 1e-7 where float64 has 1e-16.
 *              ABOVE(x): in anything below x. Logs of what shrinks to nothing are rounding of the largest entry.
 *              RESOLVED: one may be NaN, where no token is resolved.
 *              NONE: norms of streams and gradients may be small in earnest
 *
 * H_l is res of layer l, one matrix per token. single: of H_l; composite forward: of H_l...H_1; composite backward: of
 * H_L...H_l. Spectrum and mixing of composites are of the forward composite, composite_log_column_sum of the backward
 * one. sum: max |sum| (the paper's words); abs: max sum of |entries| (the induced norm). forward: rows; backward:
 * columns.
 *
 * M[l][i], the depth mixing matrix: how much of the output of branch i is in the input of branch l, i < l, both from 0;
 * i = -1 is the embedding, l = L the exit, the mean of the streams. Reach at layer l, from 1, is of row l of M, the
 * state behind that layer; backward reach of the output of that layer's branch, column l - 1. Norms in front of the
 * branch are left out. */
#ifndef METRICS_H
#define METRICS_H

#include <stdbool.h>

#define MHC_METRIC_LIST(METRIC)                                                                                       \
    METRIC(single_forward_sum, GAIN, LOG10, SINGLE, FORWARD, NONE, "1", "max |row sum| of H_l")                       \
    METRIC(single_forward_abs, GAIN, LOG10, SINGLE, FORWARD, NONE, "1", "max row sum of |H_l|")                       \
    METRIC(single_backward_sum, GAIN, LOG10, SINGLE, FORWARD, NONE, "1", "max |column sum| of H_l")                   \
    METRIC(single_backward_abs, GAIN, LOG10, SINGLE, FORWARD, NONE, "1", "max column sum of |H_l|")                   \
    METRIC(composite_forward_sum, GAIN, LOG10, COMPOSITE, FORWARD, NONE, "1", "max |row sum| of H_l...H_1")           \
    METRIC(composite_forward_abs, GAIN, LOG10, COMPOSITE, FORWARD, NONE, "1", "max row sum of |H_l...H_1|")           \
    METRIC(composite_backward_sum, GAIN, LOG10, COMPOSITE, BACKWARD, NONE, "1", "max |column sum| of H_L...H_l")      \
    METRIC(composite_backward_abs, GAIN, LOG10, COMPOSITE, BACKWARD, NONE, "1", "max column sum of |H_L...H_l|")      \
    METRIC(composite_spectral_norm, SPECTRUM, LOG10, COMPOSITE, FORWARD, NONE, "1",                                   \
           "largest singular value of H_l...H_1")                                                                     \
    METRIC(composite_smallest_singular, SPECTRUM, LOG10, COMPOSITE, FORWARD, RESOLVED, "1",                           \
           "smallest singular value of H_l...H_1, resolved tokens")                                                   \
    METRIC(composite_condition, SPECTRUM, LOG10, COMPOSITE, FORWARD, RESOLVED, "1",                                   \
           "condition number of H_l...H_1, resolved tokens")                                                          \
    METRIC(composite_unresolved, SPECTRUM, LINEAR, COMPOSITE, FORWARD, BY(0.05), "1",                                 \
           "share of tokens whose smallest singular value is rounding")                                               \
    METRIC(composite_log10_det, SPECTRUM, LINEAR, COMPOSITE, FORWARD, BY(0.01), "1",                                  \
           "log10 |det(H_l...H_1)|, mean over tokens")                                                                \
    METRIC(single_lambda2, MIXING, LOG10, SINGLE, FORWARD, ABOVE(-12), "1", "second largest |eigenvalue| of H_l")     \
    METRIC(composite_lambda2, MIXING, LOG10, COMPOSITE, FORWARD, ABOVE(-12), "1",                                     \
           "second largest |eigenvalue| of H_l...H_1")                                                                \
    METRIC(single_uniform_distance, MIXING, LOG10, SINGLE, FORWARD, ABOVE(-12), "1",                                  \
           "Frobenius distance of H_l to J/n")                                                                        \
    METRIC(composite_uniform_distance, MIXING, LOG10, COMPOSITE, FORWARD, ABOVE(-12), "1",                            \
           "Frobenius distance of H_l...H_1 to J/n")                                                                  \
    METRIC(single_dobrushin, MIXING, LOG10, SINGLE, FORWARD, ABOVE(-12), "1", "Dobrushin coefficient of H_l")         \
    METRIC(composite_dobrushin, MIXING, LOG10, COMPOSITE, FORWARD, ABOVE(-12), "1",                                   \
           "Dobrushin coefficient of H_l...H_1")                                                                      \
    METRIC(single_row_error, MIXING, LINEAR, SINGLE, FORWARD, BY(1e-5), "1", "max |row sum - 1| of H_l")              \
    METRIC(single_column_error, MIXING, LINEAR, SINGLE, FORWARD, BY(1e-5), "1", "max |column sum - 1| of H_l")        \
    METRIC(single_log_column_sum, MIXING, LINEAR, SINGLE, FORWARD, BY(1e-5), "1", "max |ln |column sum|| of H_l")     \
    METRIC(composite_log_column_sum, MIXING, LINEAR, COMPOSITE, BACKWARD, BY(1e-5), "1",                              \
           "max |ln |column sum|| of H_L...H_l")                                                                      \
    METRIC(single_negative, MIXING, LINEAR, SINGLE, FORWARD, BY(0.05), "1", "share of entries of H_l below 0")        \
    METRIC(single_nonfinite, MIXING, LINEAR, SINGLE, FORWARD, BY(0.05), "1", "share of entries of H_l NaN or Inf")    \
    METRIC(logit_range, LOGIT, LINEAR, LOGITS, FORWARD, NONE, "1", "max - min of the res logits of layer l")          \
    METRIC(x_rms, STREAM, LINEAR, STREAMS, FORWARD, NONE, "1",                                                        \
           "RMS of x_l over streams and channels, the input of layer l")                                              \
    METRIC(grad_x_rms, STREAM, LINEAR, GRADIENT, BACKWARD, NONE, "1", "RMS of the loss gradient with respect to x_l") \
    METRIC(x_nonfinite, STREAM, LINEAR, STREAMS, FORWARD, NONE, "1", "share of tokens with a NaN or Inf in x_l")      \
    METRIC(stream_similarity, STREAM, LINEAR, STREAMS, FORWARD, BY(1e-5), "1",                                        \
           "mean pairwise cosine of the streams of x_l")                                                              \
    METRIC(effective_rank, STREAM, LINEAR, STREAMS, FORWARD, NONE, "1",                                               \
           "exp(entropy of the normalised singular values) of x_l")                                                   \
    METRIC(grad_branch_norm, GRADIENT, LINEAR, GRADIENT, FORWARD, NONE, "1",                                          \
           "Frobenius norm of the gradients of the branch's weights")                                                 \
    METRIC(grad_connection_norm, GRADIENT, LINEAR, GRADIENT, FORWARD, NONE, "1",                                      \
           "Frobenius norm of the gradients of the connection")                                                       \
    METRIC(reach_forward_max, REACH, LOG10, DEPTH, FORWARD, NONE, "1",                                                \
           "largest |M| of a source of what is read behind layer l")                                                  \
    METRIC(reach_forward_mean, REACH, LOG10, DEPTH, FORWARD, NONE, "1",                                               \
           "mean |M| over the l + 1 sources of what is read behind layer l")                                          \
    METRIC(reach_backward, REACH, LOG10, DEPTH, BACKWARD, NONE, "1",                                                  \
           "mean |M| of the branch of layer l over all later inputs and the exit")                                    \
    METRIC(reach_sources, REACH, LINEAR, DEPTH, FORWARD, NONE, "1",                                                   \
           "effective sources behind layer l: exp(entropy of the shares of |M|)")                                     \
    METRIC(reach_embedding, REACH, LINEAR, DEPTH, FORWARD, BY(1e-5), "1",                                             \
           "share of the embedding in |M| behind layer l")                                                            \
    METRIC(reach_newest, REACH, LINEAR, DEPTH, FORWARD, BY(1e-5), "1",                                                \
           "share of the branch of layer l in |M| behind it")                                                         \
    METRIC(reach_rank, REACH, LINEAR, DEPTH, FORWARD, NONE, "1",                                                      \
           "effective rank of what the streams hold behind layer l, sources taken as orthonormal")

enum mhc_metric {
#define METRIC(id, ...) MHC_##id,
    MHC_METRIC_LIST(METRIC)
#undef METRIC
        MHC_METRICS
};

enum mhc_metric_group {
    MHC_GROUP_GAIN = 1,
    MHC_GROUP_SPECTRUM = 2,
    MHC_GROUP_MIXING = 4,
    MHC_GROUP_STREAM = 8,
    MHC_GROUP_LOGIT = 16,
    MHC_GROUP_GRADIENT = 32,
    MHC_GROUP_REACH = 64
};
enum mhc_metric_scale { MHC_LINEAR, MHC_LOG10 };
enum mhc_metric_subject {
    MHC_OF_SINGLE,
    MHC_OF_COMPOSITE,
    MHC_OF_LOGITS,
    MHC_OF_DEPTH,
    MHC_OF_STREAMS,
    MHC_OF_GRADIENT
};
enum mhc_metric_direction { MHC_RUNS_FORWARD, MHC_RUNS_BACKWARD };

struct mhc_metric_info {
    const char *name;
    int group; /* enum mhc_metric_group */
    enum mhc_metric_scale scale;
    enum mhc_metric_subject subject;
    enum mhc_metric_direction direction;
    double slack, floor; /* 0, -INFINITY: none */
    bool may_be_unresolved;
    const char *unit, *long_name;
};
extern const struct mhc_metric_info mhc_metric_info[MHC_METRICS];

/* The metric of a curve or summary: its name with a suffix; MHC_METRICS: none. */
enum mhc_metric mhc_metric_of(const char *name);

#endif
