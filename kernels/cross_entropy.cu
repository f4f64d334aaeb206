/* The loss of a stack: mean softmax cross entropy, and its gradient by the logits, in one kernel and a sum.
 *
 *   loss = mean_t (log sum_v exp(l_tv) - l_t,target)        grad_tv = (exp(l_tv) / sum_v exp(l_tv) - [v = target]) / T
 *
 * A block takes a token. Largest logit and sum of exponentials are found in one walk over the row, each thread
 * correcting its sum when it meets a larger logit; the gradient takes a second walk. Memory brings the logits once:
 * between the walks the row waits in shared memory, to 227 kB of it. What does not fit is read again; by then
 * every multiprocessor holds one block, so 132 rows are under way, and what they read again stays in the L2 (50 MB) up
 * to 600 kB per row, 300000 logits in bf16.
 *
 * The target is kept out of both, as a softmax of two: itself and the rest. So 1 - p does not cancel where p is
 * nearly 1, and a loss far below an eps of float is right. A target outside the vocabulary makes its token's gradient
 * NaN, and the loss. A row need not start at 16 bytes: the elements before the first and behind the last whole octet
 * go one by one.
 *
 *   traffic per token, bf16      4V bytes, 2V read and 2V written      exponentials  2V
 */
#include "kernels/sums.h"

enum { FEW_THREADS = 512, MOST_THREADS = 1024 };

#define LOG2_E 1.44269504f
#define LOWEST -3.402823466e38f /* finite, so that a logit of -inf has the exponential 0 */

/* The exponentials of some logits, over that of the largest of them. */
struct exponentials {
    float largest, sum;
};

static __device__ __forceinline__ float exponential(float x, float largest) {
    return power_of_two((x - largest) * LOG2_E);
}

template <int W> static __device__ __forceinline__ void add(struct exponentials *e, const float x[W]) {
    float top = x[0];
#pragma unroll
    for (int w = 1; w < W; w++)
        top = fmaxf(top, x[w]);
    if (top > e->largest) {
        e->sum *= exponential(e->largest, top);
        e->largest = top;
    }
#pragma unroll
    for (int w = 0; w < W; w++)
        e->sum += exponential(x[w], e->largest);
}

/* `value` for the element of the octet from `first` on that is the target, if it is there. */
static __device__ __forceinline__ void replace(float x[OCTET], int first, int target, float value) {
    uint32_t at = (uint32_t)target - (uint32_t)first;
    if (at < OCTET)
#pragma unroll
        for (uint32_t w = 0; w < OCTET; w++)
            x[w] = w == at ? value : x[w];
}

/* A row: `head` elements, whole octets that start at 16 bytes, the rest. */
struct row {
    int V, head, octets;
};
static __device__ __forceinline__ struct row row_of(int V, int64_t start) {
    struct row r = {V, (int)(-start & (OCTET - 1)), 0};
    r.head = r.head < V ? r.head : V;
    r.octets = (V - r.head) / OCTET;
    return r;
}
/* The element of this thread outside the octets; -1: it has none. */
static __device__ __forceinline__ int edge_of(const struct row *r) {
    int k = (int)threadIdx.x, inner = r->octets * OCTET;
    return k < r->head ? k : k < r->V - inner ? k + inner : -1;
}

template <typename T> struct words { uint4 w[sizeof(T) * OCTET / 16]; };

/* An octet, past L1. */
template <typename T> static __device__ __forceinline__ struct words<T> read(const T *from) {
    struct words<T> octet;
#pragma unroll
    for (size_t k = 0; k < sizeof(T) * OCTET / 16; k++)
        octet.w[k] = load_kept((const uint4 *)from + k);
    return octet;
}

/* Octet o of a row, whose first element is `first`: it waits if there is room, and is added but for the target. */
template <typename T>
static __device__ __forceinline__ void take(struct exponentials *e, const struct words<T> *octet, int o, int first,
                                            int kept, int target, struct words<T> *waiting) {
    float x[OCTET];
    if (o < kept)
        waiting[o] = *octet; /* for this thread itself */
    load_octet((const T *)octet->w, x);
    replace(x, first, target, -INFINITY);
    add<OCTET>(e, x);
}

/* All logits of the row but the target's; those of this thread. */
template <typename T>
static __device__ __forceinline__ struct exponentials sum_rest(const struct row *r, int kept, int target,
                                                               const T *logits, struct words<T> *waiting) {
    struct exponentials e = {LOWEST, 0};
    int edge = edge_of(r), step = (int)blockDim.x;
    const T *inner = logits + r->head;
    if (edge >= 0 && edge != target) {
        float x = to_float(logits[edge]);
        add<1>(&e, &x);
    }
    for (int o = (int)threadIdx.x; o < r->octets; o += 2 * step) {
        int next = o + step;
        bool two = next < r->octets;
        struct words<T> a = read(inner + (int64_t)o * OCTET), b = a;
        if (two) /* both are under way before either is waited for */
            b = read(inner + (int64_t)next * OCTET);
        take(&e, &a, o, r->head + o * OCTET, kept, target, waiting);
        if (two)
            take(&e, &b, next, r->head + next * OCTET, kept, target, waiting);
    }
    return e;
}

/* `kept`: octets of a row that shared memory has room for. */
template <typename T>
static __global__ void __launch_bounds__(MOST_THREADS)
    cross_entropy_kernel(int V, int kept, float share, const T *logits, const int32_t *targets, double *loss, T *grad) {
    float *room = (float *)shared_memory();
    struct words<T> *waiting = (struct words<T> *)(room + WARP);
    int64_t start = (int64_t)blockIdx.x * V;
    int target = targets[blockIdx.x];
    struct row r = row_of(V, start);
    logits += start;
    grad += start;
    bool known = (uint32_t)target < (uint32_t)V;
    float its = known ? to_float(logits[target]) : NAN;

    struct exponentials mine = sum_rest(&r, kept, target, logits, waiting);
    float others = block_max(mine.largest, room), largest = fmaxf(others, its);
    float rest = block_sum(mine.sum * exponential(mine.largest, others), room) * exponential(others, largest);
    float sum = rest + exponential(its, largest), factor = share / sum, of_target = -rest * factor;
    if (threadIdx.x == 0)
        loss[blockIdx.x] = its == largest ? log1pf(rest) : (double)(largest - its) + logf(sum);

    int edge = edge_of(&r);
    if (edge >= 0)
        grad[edge] = from_float<T>(edge == target ? of_target : exponential(to_float(logits[edge]), largest) * factor);
    for (int o = (int)threadIdx.x; o < r.octets; o += (int)blockDim.x) {
        float x[OCTET];
        load_octet(o < kept ? (const T *)waiting[o].w : logits + r.head + (int64_t)o * OCTET, x);
#pragma unroll
        for (int w = 0; w < OCTET; w++)
            x[w] = exponential(x[w], largest) * factor;
        replace(x, r.head + o * OCTET, target, of_target);
        store_octet(grad + r.head + (int64_t)o * OCTET, x);
    }
}

/* --- the row --- */

static bool supports(const struct mhc_case *c, const char **why) {
    struct mhc_case small = *c; /* neither streams nor channels */
    small.n = small.C = 1;
    if (c->vocabulary < 1 || c->vocabulary > INT32_MAX / 2)
        return *why = "the vocabulary must be from 1 to 2^30", false;
    return gpu_supports(&small, why);
}

template <typename T>
static int start(struct device *d, void *queue, const struct mhc_case *c, const struct cross_entropy_forward_args *a,
                 double *losses) {
    int64_t octet = (int64_t)sizeof(struct words<T>), room = WARP * (int64_t)sizeof(float),
            octets = c->vocabulary / OCTET, fits = (d->shared_bytes - room) / octet,
            kept = octets < fits ? octets : fits;
    /* Several blocks on a multiprocessor, or one. */
    int64_t most = 2 * octets < fits ? FEW_THREADS : MOST_THREADS, threads = blocks_of(octets + 1, WARP) * WARP;
    return CHECKED(d, LAUNCH(cross_entropy_kernel<T>, (unsigned)c->T, (unsigned)(threads < most ? threads : most),
                             (size_t)(room + kept * octet), queue, (int)c->vocabulary, (int)kept, 1 / (float)c->T,
                             (const T *)a->logits, (const int32_t *)a->targets, losses, (T *)a->grad_logits)) ||
           gpu_finish_sum(d, queue, c->T, losses, AS_MEAN, a->loss);
}

static int forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *work) {
    struct device *d = device_of(context);
    const struct cross_entropy_forward_args *a = (const struct cross_entropy_forward_args *)arg;
    double *losses = (double *)work;
    return c->stream == MHC_BF16 ? start<struct bf16>(d, queue, c, a, losses) : start<float>(d, queue, c, a, losses);
}

static int64_t work_bytes(const struct mhc_case *c) {
    return c->T * (int64_t)sizeof(double);
}

GPU_ROW(cross_entropy_forward) = {MHC_OPERATION(cross_entropy_forward), .supports = supports, .work_bytes = work_bytes,
                                  .tolerance = gpu_tolerance, .run = forward};
