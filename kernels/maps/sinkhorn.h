/* Sinkhorn-Knopp (mHC Eq. 9) of one token by one thread, the matrix in registers where N streams are known to the
 * compiler.
 *
 * An iteration divides columns, then rows, by their sums + eps; the first works on exp(logits), each column against
 * its own maximum. With eps = 0 every later divisor lies in [1/n^2, n], so entries keep their relative precision
 * however often they are scaled.
 *
 * Float holds this while no logit lies more than FLOAT_RANGE below the largest of its source: then nothing underflows
 * that later iterations could lift back into sight. Other tokens go through the same code in double, each for itself,
 * with the first row step too taken on the logits. An eps above LEAST_EPS hides all that underflow could lose, so v4
 * stays in float.
 *
 * Backward keeps of an iteration its 2n divisors, for as many iterations as fit in HISTORY_WORDS; earlier ones are
 * computed again from the logits. */
#ifndef KERNELS_MAPS_SINKHORN_H
#define KERNELS_MAPS_SINKHORN_H

#include "kernels/maps/sinkhorn_steps.h"

#define FLOAT_RANGE 40.0f
#define LEAST_EPS 1e-30f
enum { HISTORY_WORDS = 256 }; /* 32 iterations of 4 streams in float */

/* Does this matrix of logits, [destination][source], leave the range of float? */
template <int N> static __device__ __forceinline__ bool exceeds_float(int n_any, const float *logits, float eps) {
    const int n = STREAMS(N, n_any);
    float range = 0;
#pragma unroll
    for (int j = 0; j < n; j++) {
        float least = logits[j], most = least;
#pragma unroll
        for (int i = 1; i < n; i++) {
            least = fminf(least, logits[i * n + j]);
            most = fmaxf(most, logits[i * n + j]);
        }
        range = fmaxf(range, most - least);
    }
    return range > FLOAT_RANGE && eps < LEAST_EPS;
}

/* Logits in m, [destination][source], become res. */
template <typename real, int N>
static __device__ __forceinline__ void iterate(int n_any, real *m, int64_t t_max, real eps) {
    const int n = STREAMS(N, n_any);
    first_iteration<real, N, false>(n, eps, m, NULL);
    for (int64_t t = 1; t < t_max; t++) {
        divide<real, N, false>(n, 1, n, eps, m, NULL, 0);
        divide<real, N, false>(n, n, 1, eps, m, NULL, 0);
    }
}

/* The rare way with many streams: out of line and in loops, so that it costs the usual way no registers. */
static inline __device__ __attribute__((noinline)) void iterate_in_double(int n, double *m, int64_t t_max, double eps) {
    iterate<double, 0>(n, m, t_max, eps);
}

/* logits in m [n][n], laid out as the convention says, become res [destination][source]. t_max >= 1; eps counts in v4
 * alone. */
template <int N>
static __device__ __forceinline__ void sinkhorn(int n_any, float *m, int64_t t_max, bool v4, float eps) {
    const int n = STREAMS(N, n_any);
    if (v4) {
#pragma unroll
        for (int i = 1; i < n; i++) {
#pragma unroll
            for (int j = 0; j < i; j++) {
                float turned = m[i * n + j];
                m[i * n + j] = m[j * n + i];
                m[j * n + i] = turned;
            }
        }
    }
    eps = v4 ? eps : 0;
    if (!exceeds_float<N>(n, m, eps)) {
        iterate<float, N>(n, m, t_max, eps);
        return;
    }
    double wide[MATRIX(N)];
#pragma unroll
    for (int k = 0; k < n * n; k++)
        wide[k] = m[k];
    if constexpr (N > 0 && N <= 4) /* in registers: an address of `wide` would put it into local memory */
        iterate<double, N>(n, wide, t_max, eps);
    else
        iterate_in_double(n, wide, t_max, eps);
#pragma unroll
    for (int k = 0; k < n * n; k++)
        m[k] = (float)wide[k];
}

/* --- backward --- */

/* First of the iterations whose divisors are kept together with those of the one before `to`. They count from 0. */
template <typename real> static __device__ __forceinline__ int64_t era_of(int n, int64_t to) {
    const int64_t era = HISTORY_WORDS * sizeof(uint32_t) / sizeof(real) / (unsigned)(2 * n);
    return (to - 1) / era * era;
}

/* Iterations before `to`, from the logits into m; of those since the start of the era the divisors are kept. */
template <typename real, int N>
static __device__ __forceinline__ void record(int n_any, const float *logits, real *m, int64_t to, real eps,
                                              uint32_t *history) {
    const int n = STREAMS(N, n_any);
    const int64_t from = era_of<real>(n, to);
#pragma unroll
    for (int k = 0; k < n * n; k++)
        m[k] = logits[k];
    first_iteration<real, N, true>(n, eps, m, history);
    for (int64_t t = 1; t < to; t++) {
        int at = (int)(t > from ? t - from : 0) * 2 * n;
        divide<real, N, true>(n, 1, n, eps, m, history, at);
        divide<real, N, true>(n, n, 1, eps, m, history, at + n);
    }
}

/* grad_res in e becomes the gradient of the logits, [destination][source] both. RECORDED: m and the history are what
 * record() left of all t_max. */
template <typename real, int N, bool RECORDED>
static __device__ __forceinline__ void iterate_backward(int n_any, const float *logits, real *m, real *e, int64_t t_max,
                                                        real eps, uint32_t *history) {
    const int n = STREAMS(N, n_any);
    for (int64_t from, to = t_max; to > 0; to = from) {
        from = era_of<real>(n, to);
        if (!RECORDED || to < t_max)
            record<real, N>(n, logits, m, to, eps, history);
        for (int64_t t = to - 1; t >= from; t--) {
            int at = (int)(t - from) * 2 * n;
            if (t == t_max - 1)
                undo_last<real, N>(n, m, e, history, at + n, eps);
            else
                undo<real, N>(n, n, 1, m, e, history, at + n);
            if (t > 0)
                undo<real, N>(n, 1, n, m, e, history, at);
        }
    }
    undo_softmax<real, N>(n, logits, e, eps);
}

static inline __device__ __attribute__((noinline)) void iterate_backward_in_double(int n, const float *logits,
                                                                                   double *m, double *e, int64_t t_max,
                                                                                   double eps, uint32_t *history) {
    iterate_backward<double, 0, false>(n, logits, m, e, t_max, eps, history);
}

/* Backward in two steps, for a caller that has the logits before the gradient: most of the time goes into the first.
 * Both steps work on copies in registers, or each iteration would load and store the matrix; between the two steps a
 * trace takes no registers. It has an odd number of words: so no two threads meet in a bank of shared memory when each
 * wants the same word of its own. */
template <int N> struct sinkhorn_trace {
    uint32_t history[HISTORY_WORDS];       /* divisors of the iterations */
    float logits[MATRIX(N)], m[MATRIX(N)]; /* [destination][source] */
    int32_t in_float;
};

/* Elements of such a copy; with N = 0 there is none, for a matrix of any size fits no registers. */
#define COPY(N) ((N) ? MATRIX(N) : 1)

/* Logits [n][n], laid out as the convention says. */
template <int N>
static __device__ __forceinline__ void sinkhorn_record(int n_any, const float *logits, int64_t t_max, bool v4,
                                                       float eps, struct sinkhorn_trace<N> *trace) {
    const int n = STREAMS(N, n_any);
    float own[COPY(N)], result[COPY(N)], *from = N ? own : trace->logits, *m = N ? result : trace->m;
#pragma unroll
    for (int i = 0; i < n; i++) {
#pragma unroll
        for (int j = 0; j < n; j++)
            from[i * n + j] = v4 ? logits[j * n + i] : logits[i * n + j];
    }
    eps = v4 ? eps : 0;
    const bool in_float = !exceeds_float<N>(n, from, eps);
    trace->in_float = in_float;
#pragma unroll
    for (int k = 0; N && k < n * n; k++)
        trace->logits[k] = own[k];
    if (!in_float)
        return;
    record<float, N>(n, from, m, t_max, eps, trace->history);
#pragma unroll
    for (int k = 0; N && k < n * n; k++)
        trace->m[k] = result[k];
}

/* Gradient of these logits, laid out as they were, from grad_res [destination][source]. The trace is used up. */
template <int N>
static __device__ __forceinline__ void sinkhorn_backward_recorded(int n_any, struct sinkhorn_trace<N> *trace,
                                                                  const float *grad_res, float *grad_logits,
                                                                  int64_t t_max, bool v4, float eps) {
    const int n = STREAMS(N, n_any);
    float e[MATRIX(N)];
#pragma unroll
    for (int k = 0; k < n * n; k++)
        e[k] = grad_res[k];
    eps = v4 ? eps : 0;
    if (trace->in_float) {
        float result[COPY(N)], *m = N ? result : trace->m;
#pragma unroll
        for (int k = 0; N && k < n * n; k++)
            result[k] = trace->m[k];
        iterate_backward<float, N, true>(n, trace->logits, m, e, t_max, eps, trace->history);
    } else {
        double m[MATRIX(N)], wide[MATRIX(N)];
#pragma unroll
        for (int k = 0; k < n * n; k++)
            wide[k] = e[k];
        if constexpr (N > 0 && N <= 4) /* in registers, as in forward */
            iterate_backward<double, N, false>(n, trace->logits, m, wide, t_max, eps, trace->history);
        else
            iterate_backward_in_double(n, trace->logits, m, wide, t_max, eps, trace->history);
#pragma unroll
        for (int k = 0; k < n * n; k++)
            e[k] = (float)wide[k];
    }
#pragma unroll
    for (int i = 0; i < n; i++) {
#pragma unroll
        for (int j = 0; j < n; j++)
            grad_logits[i * n + j] = v4 ? e[j * n + i] : e[i * n + j];
    }
}

/* --- as a residual map --- */

struct sinkhorn_map {
    static constexpr bool RES = true, RECORDS = true, SLOW = true;
    static __host__ __device__ constexpr int logits(int n) {
        return n * n;
    }
    static bool supports(const struct mhc_case *c, const char **why) {
        return c->t_max >= 1 || (*why = "t_max must be at least 1", false);
    }
    template <int N> using trace = sinkhorn_trace<N>;

    template <int N> static __device__ __forceinline__ void forward(struct coefficients s, float *m) {
        sinkhorn<N>(s.n, m, s.t_max, s.v4, s.eps);
    }
    template <int N>
    static __device__ __forceinline__ void record(struct coefficients s, const float *logits, trace<N> *trace) {
        sinkhorn_record<N>(s.n, logits, s.t_max, s.v4, s.eps, trace);
    }
    template <int N>
    static __device__ __forceinline__ void backward(struct coefficients s, trace<N> *trace, const float *grad_res,
                                                    float *grad_logits) {
        sinkhorn_backward_recorded<N>(s.n, trace, grad_res, grad_logits, s.t_max, s.v4, s.eps);
    }
};

/* --- of a whole case, in kernels of their own: kernels/map_rows.cu --- */

/* [T][n][n] each; res may be logits, grad_logits may be grad_res. 0, or 1 with device.error set. */
int gpu_sinkhorn(struct device *, void *queue, const struct mhc_case *, const float *logits, float *res);
int gpu_sinkhorn_backward(struct device *, void *queue, const struct mhc_case *, const float *logits,
                          const float *grad_res, float *grad_logits);

#endif
