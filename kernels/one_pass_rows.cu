/* mHC, identity HC and HC in one pass over x each way, as rows: pre, post of the layer below with pre (post_pre), backward, and backward that
 * also writes grad_y of the layer below (backward_y). Where a device has no clusters, or too little shared memory for them, the two-pass rows
 * do it, from the same arguments and with the same `save`. */
#include "kernels/two_pass.h"

#include "kernels/connection_backward.h"
#include "kernels/one_pass.h"

/* The two-pass rows of a kind. */
static const struct mhc_row *pre_row(enum kind kind) {
    return kind == KIND_MHC ? &mhc_pre : kind == KIND_IDENTITY ? &identity_pre : &hc_pre;
}
static const struct mhc_row *backward_row(enum kind kind) {
    return kind == KIND_MHC ? &mhc_backward : kind == KIND_IDENTITY ? &identity_backward : &hc_backward;
}

/* Products of a token; they and the norms are what `save` keeps. */
static int64_t products_of(enum kind kind, const struct mhc_case *c) {
    return column_count((int)c->n, kind == KIND_IDENTITY);
}

/* The weights from argument `at` on. */
static struct one_pass_weights weights_of(enum kind kind, void *const a[], int *at) {
    struct one_pass_weights w = {};
    if (kind != KIND_HC) {
        w.phi = (const float *)a[(*at)++];
        return w;
    }
    w.theta_pre = (const float *)a[(*at)++];
    w.theta_post = (const float *)a[(*at)++];
    w.theta_res = (const float *)a[(*at)++];
    return w;
}

/* --- forward: x [, y, post_below, res_below], parameters -> [x_next,] u, pre, post, res --- */

/* The two-pass way: the arguments of pre are a selection of ours. */
static int two_pass_forward(void *context, void *queue, enum kind kind, bool crossing, const struct mhc_case *c,
                            void *const a[], void *save, void *work) {
    if (!crossing)
        return pre_row(kind)->run(context, queue, c, a, save, work);
    bool identity = kind == KIND_IDENTITY;
    int first = identity ? 3 : 4, parameters = kind == KIND_HC ? 7 : 3;
    void *pre[MHC_MAX_ARGS] = {a[first + parameters]}, *post[] = {a[0], a[1], a[2], identity ? pre[0] : a[3], pre[0]};
    memcpy(pre + 1, a + first, (size_t)parameters * sizeof *pre);
    memcpy(pre + 1 + parameters, a + first + parameters + 1, (identity ? 3 : 4) * sizeof *pre);
    int failed = identity ? gpu_post_identity(context, queue, c, post, NULL, NULL)
                          : gpu_post(context, queue, c, post, NULL, NULL);
    return failed || pre_row(kind)->run(context, queue, c, pre, save, work);
}

static int forward(void *context, void *queue, enum kind kind, bool crossing, const struct mhc_case *c, void *const a[],
                   void *save, void *work) {
    struct one_pass_forward f = {};
    int at = 0;
    f.x = (const struct bf16 *)a[at++];
    if (crossing) {
        f.y = (const struct bf16 *)a[at++];
        f.post_below = (const float *)a[at++];
        f.res_below = kind == KIND_IDENTITY ? NULL : (const float *)a[at++];
    }
    f.weights = weights_of(kind, a, &at);
    f.b = (const float *)a[at++];
    f.b_post = kind == KIND_HC ? (const float *)a[at++] : NULL;
    f.b_res = kind == KIND_HC ? (const float *)a[at++] : NULL;
    f.alpha = (const float *)a[at++];
    f.x_next = crossing ? (struct bf16 *)a[at++] : NULL;
    f.u = (struct bf16 *)a[at++];
    f.pre = (float *)a[at++];
    f.post = (float *)a[at++];
    f.res = kind == KIND_IDENTITY ? NULL : (float *)a[at++];
    f.product = (float *)save;
    f.r = f.product + c->T * products_of(kind, c);
    int failed = one_pass_forward_start(device_of(context), queue, kind, c, &f);
    return failed >= 0 ? failed : two_pass_forward(context, queue, kind, crossing, c, a, save, work);
}

/* --- backward: g, x, y, grad_u, pre, post, res [, post_below], parameters -> grad_x [, grad_y_below], gradients of the parameters --- */

struct arguments {
    struct one_pass_backward f;
    float *dweights[3], *db[3], *dalpha;
    int count, post_below, dy_below; /* arguments; places of those that only backward_y has */
};

static struct arguments arguments_of(enum kind kind, bool crossing, void *const a[]) {
    struct arguments g = {};
    struct one_pass_backward *f = &g.f;
    bool hc = kind == KIND_HC;
    int at = 0;
    f->g = (const struct bf16 *)a[at++], f->x = (const struct bf16 *)a[at++];
    f->y = (const struct bf16 *)a[at++], f->du = (const struct bf16 *)a[at++];
    f->pre = (const float *)a[at++], f->post = (const float *)a[at++];
    f->res = kind == KIND_IDENTITY ? NULL : (const float *)a[at++];
    g.post_below = at;
    f->post_below = crossing ? (const float *)a[at++] : NULL;
    f->weights = weights_of(kind, a, &at);
    f->b = hc ? NULL : (const float *)a[at++];
    f->alpha = (const float *)a[at++];
    f->dx = (struct bf16 *)a[at++];
    g.dy_below = at;
    f->dy_below = crossing ? (struct bf16 *)a[at++] : NULL;
    for (int k = 0; k < (hc ? 3 : 1); k++)
        g.dweights[k] = (float *)a[at++];
    for (int k = 0; k < (hc ? 3 : 1); k++)
        g.db[k] = (float *)a[at++];
    g.dalpha = (float *)a[at++];
    g.count = at;
    return g;
}

/* Scratch; the last users take turns in `rest`. */
struct scratch {
    float *z, *q;
    void *rest;
    int64_t bytes;
};

/* The rows of the product with the weights: tokens, or streams of tokens. */
static struct product product_of(enum kind kind, const struct mhc_case *c, const void *x, struct weights weights) {
    int64_t streams = kind == KIND_HC ? c->n : 1;
    struct product p = {c->stream, c->T * streams, c->n * c->C / streams, x, weights};
    return p;
}

static struct scratch scratch_of(enum kind kind, const struct mhc_case *c, void *work) {
    int columns = (int)products_of(kind, c);
    struct product p = product_of(kind, c, NULL, (struct weights){});
    struct room room = {(char *)work, 0};
    struct scratch s = {};
    s.z = (float *)take_room(&room, c->T * columns * (int64_t)sizeof(float));
    s.q = (float *)take_room(&room, c->T * columns * (int64_t)sizeof(float));
    int64_t sums = gpu_small_gradients_work_bytes(c, columns);
    int64_t weights = weight_gradient_work_bytes(p.rows, p.K, kind == KIND_HC ? (int)c->n + 2 : columns);
    s.rest = take_room(&room, sums > weights ? sums : weights);
    s.bytes = room.used;
    return s;
}

/* The two-pass way: its arguments are ours without post_below and grad_y_below. */
static int two_pass_backward(void *context, void *queue, enum kind kind, const struct arguments *g,
                             const struct mhc_case *c, void *const a[], void *save, void *work) {
    if (!g->f.dy_below)
        return backward_row(kind)->run(context, queue, c, a, save, work);
    void *own[MHC_MAX_ARGS], *below[] = {g->f.dx, (void *)g->f.post_below, g->f.dy_below};
    for (int k = 0, count = 0; k < g->count; k++)
        if (k != g->post_below && k != g->dy_below)
            own[count++] = a[k];
    return backward_row(kind)->run(context, queue, c, own, save, work) ||
           gpu_post_backward_y(context, queue, c, below, NULL, NULL);
}

static int backward(void *context, void *queue, enum kind kind, bool crossing, const struct mhc_case *c,
                    void *const a[], void *save, void *work) {
    struct device *d = device_of(context);
    const struct scratch s = scratch_of(kind, c, work);
    struct arguments g = arguments_of(kind, crossing, a);
    const int n = (int)c->n, columns = (int)products_of(kind, c);
    g.f.product = (const float *)save, g.f.r = g.f.product + c->T * columns;
    g.f.z = s.z, g.f.q = s.q;
    int failed = one_pass_backward_start(d, queue, kind, c, &g.f);
    if (failed)
        return failed > 0 ? failed : two_pass_backward(context, queue, kind, &g, c, a, save, work);
    struct small_gradients small = {s.z, g.f.product, columns, kind == KIND_HC, {g.db[0], g.db[1], g.db[2]}, g.dalpha};
    if (kind != KIND_HC)
        small.db[1] = g.db[0] + n, small.db[2] = g.db[0] + 2 * n;
    const struct weights to = kind == KIND_HC ? theta_weights(g.dweights[0], g.dweights[1], g.dweights[2], n, c->C)
                                              : phi_weights(g.dweights[0], columns);
    const struct product gradient = product_of(kind, c, g.f.x, to);
    return gpu_small_gradients(d, queue, c, &small, s.rest) || weight_gradient(d, queue, &gradient, s.q, s.rest);
}

/* --- rows --- */

static int64_t backward_work(enum kind kind, const struct mhc_case *c) {
    int64_t bytes = scratch_of(kind, c, NULL).bytes, two_pass = backward_row(kind)->work_bytes(c);
    return bytes > two_pass ? bytes : two_pass;
}

/* The functions of a kind's rows, and the rows. RES_BELOW, RES: the arguments of that name, or nothing. */
#define RUN_ARGUMENTS void *context, void *queue, const struct mhc_case *c, void *const a[], void *save, void *work
#define FUNCTIONS(id, KIND, shape)                                                                             \
    static bool id##_forward_supports(const struct mhc_case *c, const char **why) {                            \
        return shape(c, why) && one_pass_forward_fits(KIND, c, why);                                           \
    }                                                                                                          \
    static bool id##_backward_supports(const struct mhc_case *c, const char **why) {                           \
        return shape(c, why) && one_pass_backward_fits(KIND, c, why);                                          \
    }                                                                                                          \
    static int64_t id##_save(const struct mhc_case *c) {                                                       \
        return pre_row(KIND)->save_bytes(c);                                                                   \
    }                                                                                                          \
    static int64_t id##_forward_work(const struct mhc_case *c) {                                               \
        return pre_row(KIND)->work_bytes(c);                                                                   \
    }                                                                                                          \
    static int64_t id##_backward_work(const struct mhc_case *c) {                                              \
        return backward_work(KIND, c);                                                                         \
    }                                                                                                          \
    static double id##_pre_flops(const struct mhc_case *c) {                                                   \
        return pre_row(KIND)->flops(c);                                                                        \
    }                                                                                                          \
    static double id##_post_pre_flops(const struct mhc_case *c) {                                              \
        return pre_row(KIND)->flops(c) + (KIND == KIND_IDENTITY ? gpu_aggregate_flops(c) : gpu_post_flops(c)); \
    }                                                                                                          \
    static double id##_backward_flops(const struct mhc_case *c) {                                              \
        return backward_row(KIND)->flops(c);                                                                   \
    }                                                                                                          \
    static double id##_backward_y_flops(const struct mhc_case *c) {                                            \
        return backward_row(KIND)->flops(c) + gpu_aggregate_flops(c);                                          \
    }                                                                                                          \
    static int id##_pre_run(RUN_ARGUMENTS) {                                                                   \
        return forward(context, queue, KIND, false, c, a, save, work);                                         \
    }                                                                                                          \
    static int id##_post_pre_run(RUN_ARGUMENTS) {                                                              \
        return forward(context, queue, KIND, true, c, a, save, work);                                          \
    }                                                                                                          \
    static int id##_backward_run(RUN_ARGUMENTS) {                                                              \
        return backward(context, queue, KIND, false, c, a, save, work);                                        \
    }                                                                                                          \
    static int id##_backward_y_run(RUN_ARGUMENTS) {                                                            \
        return backward(context, queue, KIND, true, c, a, save, work);                                         \
    }
#define FORWARD_ROW(id, kind, operation, ...)                                                        \
    GPU_ROW(id##_##operation##_one_pass) = {.name = kind "." #operation,                             \
                                            .variant = "one pass, else two",                         \
                                            .args = {{"x", "TnC", MHC_STREAM, MHC_IN}, __VA_ARGS__}, \
                                            .supports = id##_forward_supports,                       \
                                            .save_bytes = id##_save,                                 \
                                            .work_bytes = id##_forward_work,                         \
                                            .flops = id##_##operation##_flops,                       \
                                            .tolerance = gpu_tolerance,                              \
                                            .run = id##_##operation##_run}
#define BACKWARD_ROW(id, kind, operation, ...)                                                   \
    GPU_ROW(id##_##operation##_one_pass) = {.name = kind "." #operation,                         \
                                            .variant = "one pass, else two",                     \
                                            .args = {{"grad_x_next", "TnC", MHC_STREAM, MHC_IN}, \
                                                     {"x", "TnC", MHC_STREAM, MHC_IN},           \
                                                     {"y", "TC", MHC_STREAM, MHC_IN},            \
                                                     {"grad_u", "TC", MHC_STREAM, MHC_IN},       \
                                                     __VA_ARGS__},                               \
                                            .supports = id##_backward_supports,                  \
                                            .work_bytes = id##_backward_work,                    \
                                            .flops = id##_##operation##_flops,                   \
                                            .tolerance = gpu_tolerance,                          \
                                            .run = id##_##operation##_run}

#define Y_AND_POST_BELOW                     \
    {"y", "TC", MHC_STREAM, MHC_IN}, {       \
        "post_below", "Tn", MHC_COEF, MHC_IN \
    }
#define RES_BELOW \
    { "res_below", "Tnn", MHC_COEF, MHC_IN }
#define POST_BELOW \
    { "post_below", "Tn", MHC_COEF, MHC_IN }
#define PRE_POST(direction)               \
    {"pre", "Tn", MHC_COEF, direction}, { \
        "post", "Tn", MHC_COEF, direction \
    }
#define RES(direction) \
    { "res", "Tnn", MHC_COEF, direction }
#define X_NEXT \
    { "x_next", "TnC", MHC_STREAM, MHC_OUT }
#define U \
    { "u", "TC", MHC_STREAM, MHC_OUT }
#define GRAD_X \
    { "grad_x", "TnC", MHC_STREAM, MHC_OUT }
#define GRAD_Y_BELOW \
    { "grad_y_below", "TC", MHC_STREAM, MHC_OUT }

#define PARAMETERS(prefix, columns, parts, direction)                                                 \
    {prefix "phi", "D" columns, MHC_PARAM, direction}, {prefix "b", columns, MHC_PARAM, direction}, { \
        prefix "alpha", parts, MHC_PARAM, direction                                                   \
    }
#define THETAS(prefix, direction)                                                                        \
    {prefix "theta_pre", "C", MHC_PARAM, direction}, {prefix "theta_post", "C", MHC_PARAM, direction}, { \
        prefix "theta_res", "nC", MHC_PARAM, direction                                                   \
    }
#define OFFSETS(prefix, direction)                                                               \
    {prefix "b_pre", "n", MHC_PARAM, direction}, {prefix "b_post", "n", MHC_PARAM, direction}, { \
        prefix "b_res", "nn", MHC_PARAM, direction                                               \
    }
#define ALPHA(prefix, direction) \
    { prefix "alpha", "3", MHC_PARAM, direction }

#define MHC_IN_ARGS PARAMETERS("", "K", "3", MHC_IN)
#define MHC_OUT_ARGS PARAMETERS("grad_", "K", "3", MHC_OUT)
FUNCTIONS(mhc, KIND_MHC, gpu_supports_sinkhorn)
FORWARD_ROW(mhc, "mhc", pre, MHC_IN_ARGS, U, PRE_POST(MHC_OUT), RES(MHC_OUT));
FORWARD_ROW(mhc, "mhc", post_pre, Y_AND_POST_BELOW, RES_BELOW, MHC_IN_ARGS, X_NEXT, U, PRE_POST(MHC_OUT), RES(MHC_OUT));
BACKWARD_ROW(mhc, "mhc", backward, PRE_POST(MHC_IN), RES(MHC_IN), MHC_IN_ARGS, GRAD_X, MHC_OUT_ARGS);
BACKWARD_ROW(mhc, "mhc", backward_y, PRE_POST(MHC_IN), RES(MHC_IN), POST_BELOW, MHC_IN_ARGS, GRAD_X, GRAD_Y_BELOW,
             MHC_OUT_ARGS);

#define IDENTITY_IN_ARGS PARAMETERS("", "J", "2", MHC_IN)
#define IDENTITY_OUT_ARGS PARAMETERS("grad_", "J", "2", MHC_OUT)
FUNCTIONS(identity, KIND_IDENTITY, gpu_supports)
FORWARD_ROW(identity, "identity", pre, IDENTITY_IN_ARGS, U, PRE_POST(MHC_OUT));
FORWARD_ROW(identity, "identity", post_pre, Y_AND_POST_BELOW, IDENTITY_IN_ARGS, X_NEXT, U, PRE_POST(MHC_OUT));
BACKWARD_ROW(identity, "identity", backward, PRE_POST(MHC_IN), IDENTITY_IN_ARGS, GRAD_X, IDENTITY_OUT_ARGS);
BACKWARD_ROW(identity, "identity", backward_y, PRE_POST(MHC_IN), POST_BELOW, IDENTITY_IN_ARGS, GRAD_X, GRAD_Y_BELOW,
             IDENTITY_OUT_ARGS);

#define HC_IN_ARGS THETAS("", MHC_IN), OFFSETS("", MHC_IN), ALPHA("", MHC_IN)
#define HC_OUT_ARGS THETAS("grad_", MHC_OUT), OFFSETS("grad_", MHC_OUT), ALPHA("grad_", MHC_OUT)
FUNCTIONS(hc, KIND_HC, gpu_supports)
FORWARD_ROW(hc, "hc", pre, HC_IN_ARGS, U, PRE_POST(MHC_OUT), RES(MHC_OUT));
FORWARD_ROW(hc, "hc", post_pre, Y_AND_POST_BELOW, RES_BELOW, HC_IN_ARGS, X_NEXT, U, PRE_POST(MHC_OUT), RES(MHC_OUT));
BACKWARD_ROW(hc, "hc", backward, PRE_POST(MHC_IN), RES(MHC_IN), THETAS("", MHC_IN), ALPHA("", MHC_IN), GRAD_X,
             HC_OUT_ARGS);
BACKWARD_ROW(hc, "hc", backward_y, PRE_POST(MHC_IN), RES(MHC_IN), POST_BELOW, THETAS("", MHC_IN), ALPHA("", MHC_IN),
             GRAD_X, GRAD_Y_BELOW, HC_OUT_ARGS);
