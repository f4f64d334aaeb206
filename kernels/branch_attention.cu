/* Branch `attention`: v = RMSNorm(u); q, k, w = v.(w_q, w_k, w_v), in heads of head_dim; o = causal softmax(q.k^T /
 * sqrt(head_dim)).w within sequences of S tokens; y = o.w_o. What lies between the projections, attention.h, is a row
 * of its own too.
 *
 * w_q, w_k and w_v lie side by side in one matrix, so that v is read once and its gradient is summed in float and
 * rounded once. Keeps v times that matrix, [T][3A], o [T][A] and the log-sum-exp of every row of scores. */
#include "kernels/attention.h"

static bool supports(const struct mhc_case *c, const char **why) {
    if (c->heads < 1 || c->head_dim < 1)
        return *why = "heads and head_dim must be at least 1", false;
    if (c->head_dim > WIDEST_HEAD)
        return *why = "head_dim must be at most 1024", false;
    if (!gpu_supports(c, why))
        return false;
    if (c->T % mhc_sequence(c))
        return *why = "T must be a multiple of S", false;
    if (c->heads > INT32_MAX / c->T || c->heads * c->head_dim > INT32_MAX / 3)
        return *why = "T heads and 3 heads head_dim must be below 2^31", false;
    return true;
}

/* --- the core, either way --- */

/* bf16 in whole 16-byte chunks, rows aligned to them, on a device with room for the tiles. */
static bool on_tensor_cores(const struct device *d, const struct mhc_case *c, const struct attention *a) {
    return c->stream == MHC_BF16 && c->head_dim <= 128 && c->head_dim % 8 == 0 &&
           d->shared_bytes >= attention_tensor_bytes(a->head_dim);
}

int gpu_attention(struct device *d, void *queue, const struct mhc_case *c, const struct attention *a) {
    return on_tensor_cores(d, c, a) ? attention_forward_tensor(d, queue, a)
                                    : attention_forward_plain(d, queue, c->stream, a);
}
int gpu_attention_backward(struct device *d, void *queue, const struct mhc_case *c, const struct attention *a) {
    return on_tensor_cores(d, c, a) ? attention_backward_tensor(d, queue, a)
                                    : attention_backward_plain(d, queue, c->stream, a);
}

/* Sizes, and what the forward takes; q, k, v lie side by side in rows of 3A. */
static struct attention problem(const struct mhc_case *c, const void *qkv, void *o, float *lse) {
    int64_t A = c->heads * c->head_dim;
    struct attention a = {};
    a.S = (int)mhc_sequence(c);
    a.sequences = c->T / a.S;
    a.heads = (int)c->heads;
    a.head_dim = (int)c->head_dim;
    a.ld = 3 * A;
    a.q = qkv, a.k = column_of(c, (void *)qkv, A), a.v = column_of(c, (void *)qkv, 2 * A);
    a.o = o;
    a.lse = lse;
    return a;
}
/* What the backward takes besides; grad_qkv lies like qkv. */
static void add_gradients(struct attention *a, const struct mhc_case *c, const void *grad_o, void *grad_qkv, float *D) {
    int64_t A = c->heads * c->head_dim;
    a->grad_o = grad_o;
    a->grad_q = grad_qkv, a->grad_k = column_of(c, grad_qkv, A), a->grad_v = column_of(c, grad_qkv, 2 * A);
    a->D = D;
}

/* dS takes D = <grad_o, o> from numbers about as large, and o is a stream: what bf16 cost it stays. */
static double backward_tolerance(const struct mhc_case *c) {
    return c->stream == MHC_BF16 ? 2 * gpu_tolerance(c) : gpu_tolerance(c);
}

/* --- the branch --- */

struct kept {
    void *qkv, *o;
    float *lse;
};
static struct kept kept_of(const struct mhc_case *c, void *base, int64_t *bytes) {
    struct parts p = {(unsigned char *)base, 0};
    int64_t element = mhc_type_bytes(c->stream), size = c->T * c->heads * c->head_dim;
    struct kept kept = {part(&p, 3 * size, element), part(&p, size, element), NULL};
    kept.lse = (float *)part(&p, attention_sums(c), sizeof(float));
    *bytes = p.used;
    return kept;
}

struct work {
    void *v, *w_qkv, *w_o, *grad_o, *grad_qkv, *grad_v;
    float *r, *D, *partial;
};
static struct work work_of(const struct mhc_case *c, void *base, bool backward, int64_t *bytes) {
    struct parts p = {(unsigned char *)base, 0};
    int64_t element = mhc_type_bytes(c->stream), A = c->heads * c->head_dim;
    struct work work = {};
    work.v = part(&p, c->T * c->C, element);
    work.w_qkv = part(&p, c->C * 3 * A, element);
    work.w_o = weight_part(&p, c, A * c->C);
    work.r = (float *)part(&p, c->T, sizeof(float));
    if (backward) {
        work.grad_o = part(&p, c->T * A, element);
        work.grad_qkv = part(&p, c->T * 3 * A, element);
        work.grad_v = part(&p, c->T * c->C, element);
        work.D = (float *)part(&p, attention_sums(c), sizeof(float));
        work.partial = (float *)part(&p, normalise_partials(c), sizeof(float));
    }
    *bytes = p.used;
    return work;
}

static int join_weights(struct device *d, void *queue, const struct mhc_case *c, const void *w_q, const void *w_k,
                        const void *w_v, void *joined) {
    const void *const w[3] = {w_q, w_k, w_v};
    int64_t A = c->heads * c->head_dim;
    for (int k = 0; k < 3; k++)
        if (gpu_round(d, queue, c, w[k], c->C, A, column_of(c, joined, k * A), 3 * A))
            return 1;
    return 0;
}

static int forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *scratch) {
    struct device *d = device_of(context);
    int64_t T = c->T, C = c->C, A = c->heads * c->head_dim, bytes;
    struct work work = work_of(c, scratch, false, &bytes);
    struct kept kept = kept_of(c, save, &bytes);
    struct attention core = problem(c, kept.qkv, kept.o, kept.lse);
    const struct attention_forward_args *a = (const struct attention_forward_args *)arg;
    const void *w_o = a->w_o;
    return gpu_normalise(d, queue, c, a->u, (const float *)a->gain, work.r, work.v) ||
           join_weights(d, queue, c, a->w_q, a->w_k, a->w_v, work.w_qkv) ||
           use_weight(d, queue, c, &w_o, A, C, work.w_o) ||
           product(d, queue, c, T, 3 * A, C, work.v, C, work.w_qkv, 3 * A, kept.qkv, 3 * A) ||
           gpu_attention(d, queue, c, &core) || product(d, queue, c, T, C, A, kept.o, A, w_o, C, a->y, C);
}

static int backward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                    void *scratch) {
    struct device *d = device_of(context);
    int64_t T = c->T, C = c->C, A = c->heads * c->head_dim, bytes;
    struct work work = work_of(c, scratch, true, &bytes);
    struct kept kept = kept_of(c, save, &bytes);
    struct attention core = problem(c, kept.qkv, kept.o, kept.lse);
    const struct attention_backward_args *a = (const struct attention_backward_args *)arg;
    const void *w_o = a->w_o, *grad_y = a->grad_y;
    const float *gain = (const float *)a->gain;
    add_gradients(&core, c, work.grad_o, work.grad_qkv, work.D);
    if (gpu_normalise(d, queue, c, a->u, gain, work.r, work.v) ||
        join_weights(d, queue, c, a->w_q, a->w_k, a->w_v, work.w_qkv) ||
        use_weight(d, queue, c, &w_o, A, C, work.w_o) ||
        product_weight(d, queue, c, A, C, T, kept.o, A, grad_y, C, a->grad_w_o) ||
        product_back(d, queue, c, T, A, C, grad_y, C, w_o, C, work.grad_o, A) ||
        gpu_attention_backward(d, queue, c, &core))
        return 1;
    void *const grad_w[3] = {a->grad_w_q, a->grad_w_k, a->grad_w_v};
    for (int k = 0; k < 3; k++)
        if (product_weight(d, queue, c, C, A, T, work.v, C, column_of(c, work.grad_qkv, k * A), 3 * A, grad_w[k]))
            return 1;
    return product_back(d, queue, c, T, C, 3 * A, work.grad_qkv, 3 * A, work.w_qkv, 3 * A, work.grad_v, C) ||
           gpu_normalise_backward(d, queue, c, a->u, gain, work.r, work.grad_v, NULL, a->grad_u, (float *)a->grad_gain,
                                  work.partial);
}

static int64_t save_bytes(const struct mhc_case *c) {
    int64_t bytes;
    kept_of(c, NULL, &bytes);
    return bytes;
}
static int64_t forward_work(const struct mhc_case *c) {
    int64_t bytes;
    work_of(c, NULL, false, &bytes);
    return bytes;
}
static int64_t backward_work(const struct mhc_case *c) {
    int64_t bytes;
    work_of(c, NULL, true, &bytes);
    return bytes;
}
GPU_ROW(attention_forward) = {MHC_OPERATION(attention_forward), .supports = supports,       .save_bytes = save_bytes,
                              .work_bytes = forward_work,       .tolerance = gpu_tolerance, .run = forward};

GPU_ROW(attention_backward) = {MHC_OPERATION(attention_backward), .supports = supports, .work_bytes = backward_work,
                               .tolerance = backward_tolerance, .run = backward};

/* --- the core as rows of its own --- */

static int core_forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *) {
    const struct attention_core_forward_args *a = (const struct attention_core_forward_args *)arg;
    struct attention core = problem(c, a->qkv, a->o, (float *)save);
    return gpu_attention(device_of(context), queue, c, &core);
}

static int core_backward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                         void *work) {
    const struct attention_core_backward_args *a = (const struct attention_core_backward_args *)arg;
    struct attention core = problem(c, a->qkv, (void *)a->o, (float *)save); /* read, here */
    add_gradients(&core, c, a->grad_o, a->grad_qkv, (float *)work);
    return gpu_attention_backward(device_of(context), queue, c, &core);
}

static int64_t sums_bytes(const struct mhc_case *c) {
    return attention_sums(c) * (int64_t)sizeof(float);
}
GPU_ROW(attention_core_forward) = {MHC_OPERATION(attention_core_forward), .supports = supports,
                                   .save_bytes = sums_bytes, .tolerance = gpu_tolerance, .run = core_forward};

GPU_ROW(attention_core_backward) = {MHC_OPERATION(attention_core_backward), .supports = supports,
                                    .work_bytes = sums_bytes, .tolerance = backward_tolerance, .run = core_backward};
