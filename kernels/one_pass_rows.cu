/* mHC and HC in one pass over x each way, as rows: pre, post of the layer below with pre (post_pre), backward, and
 * backward that also writes grad_y of the layer below (backward_y). Where a device has no clusters, or too little
 * shared memory for them, the two-pass rows do it, from the same arguments and with the same `save`. */
#include "kernels/two_pass.h"

#include "kernels/connection_backward.h"
#include "kernels/one_pass.h"

/* The kernels of a row: those of mHC with the map of the case, or of HC. */
static const struct one_pass_kernels *mhc_one_pass(const struct mhc_case *c) {
    return gpu_map_of(c)->one_pass;
}

/* Products of a token; they and the norms are what `save` keeps. */
static int products_of(bool hc, const struct mhc_case *c) {
    return (int)(hc ? c->n * (c->n + 2) : mhc_extent(c, 'Q'));
}

/* --- arguments under the names of the kernels; A: the arguments of any row that has these --- */

template <typename A> static void name_mhc_weights(struct one_pass_weights *w, const A *a) {
    w->phi = (const float *)a->phi;
}
template <typename A> static void name_hc_weights(struct one_pass_weights *w, const A *a) {
    w->theta_pre = (const float *)a->theta_pre;
    w->theta_post = (const float *)a->theta_post;
    w->theta_res = (const float *)a->theta_res;
}

/* What pre reads and writes besides its weights and b. */
template <typename A> static struct one_pass_forward forward_of(const A *a) {
    struct one_pass_forward f = {};
    f.x = (const struct bf16 *)a->x;
    f.alpha = (const float *)a->alpha;
    f.u = (struct bf16 *)a->u;
    f.pre = (float *)a->pre, f.post = (float *)a->post, f.res = (float *)a->res;
    return f;
}
template <typename A> static void name_mhc_parameters(struct one_pass_forward *f, const A *a) {
    name_mhc_weights(&f->weights, a);
    f->b = (const float *)a->b;
}
template <typename A> static void name_hc_parameters(struct one_pass_forward *f, const A *a) {
    name_hc_weights(&f->weights, a);
    f->b = (const float *)a->b_pre, f->b_post = (const float *)a->b_post, f->b_res = (const float *)a->b_res;
}
/* What post_pre reads and writes besides. */
template <typename A> static void name_below(struct one_pass_forward *f, const A *a) {
    f->y = (const struct bf16 *)a->y;
    f->post_below = (const float *)a->post_below, f->res_below = (const float *)a->res_below;
    f->x_next = (struct bf16 *)a->x_next;
}

/* What backward reads and writes besides its weights and b, and the gradients of its parameters. */
template <typename A> static struct one_pass_backward backward_of(const A *a) {
    struct one_pass_backward f = {};
    f.g = (const struct bf16 *)a->grad_x_next, f.x = (const struct bf16 *)a->x;
    f.y = (const struct bf16 *)a->y, f.du = (const struct bf16 *)a->grad_u;
    f.pre = (const float *)a->pre, f.post = (const float *)a->post, f.res = (const float *)a->res;
    f.alpha = (const float *)a->alpha;
    f.dx = (struct bf16 *)a->grad_x;
    return f;
}
/* What backward_y reads and writes besides. */
template <typename A> static void name_below(struct one_pass_backward *f, const A *a) {
    f->post_below = (const float *)a->post_below;
    f->dy_below = (struct bf16 *)a->grad_y_below;
}

/* Where the gradients of the parameters go: b of pre, post and res. */
struct parameter_gradients {
    struct weights weights;
    float *b[3], *alpha;
};
template <typename A> static struct parameter_gradients mhc_gradients(const struct mhc_case *c, const A *a) {
    float *b = (float *)a->grad_b;
    struct parameter_gradients to = {
        phi_weights(a->grad_phi, (int)mhc_extent(c, 'Q')), {b, b + c->n, b + 2 * c->n}, (float *)a->grad_alpha};
    return to;
}
template <typename A> static struct parameter_gradients hc_gradients(const struct mhc_case *c, const A *a) {
    struct parameter_gradients to = {
        theta_weights(a->grad_theta_pre, a->grad_theta_post, a->grad_theta_res, c->n, c->C),
        {(float *)a->grad_b_pre, (float *)a->grad_b_post, (float *)a->grad_b_res},
        (float *)a->grad_alpha};
    return to;
}

/* --- forward: 0, 1 with device.error set, or -1 where this device cannot --- */

static int forward(void *context, void *queue, const struct one_pass_kernels *kernels, const struct mhc_case *c,
                   struct one_pass_forward *f, void *save) {
    f->product = (float *)save;
    f->r = f->product + c->T * products_of(kernels == &hc_one_pass, c);
    return kernels->forward(device_of(context), queue, c, f);
}

/* --- backward, likewise --- */

/* Scratch; the last users take turns in `rest`. */
struct scratch {
    float *z, *q;
    void *rest;
    int64_t bytes;
};

/* The rows of the product with the weights: tokens, or streams of tokens. */
static struct product product_of(bool hc, const struct mhc_case *c, const void *x, struct weights weights) {
    int64_t streams = hc ? c->n : 1;
    struct product p = {c->stream, c->T * streams, c->n * c->C / streams, x, weights};
    return p;
}

static struct scratch scratch_of(bool hc, const struct mhc_case *c, void *work) {
    int columns = products_of(hc, c);
    struct product p = product_of(hc, c, NULL, (struct weights){});
    struct room room = {(char *)work, 0};
    struct scratch s = {};
    s.z = (float *)take_room(&room, c->T * columns * (int64_t)sizeof(float));
    s.q = (float *)take_room(&room, c->T * columns * (int64_t)sizeof(float));
    int64_t sums = gpu_small_gradients_work_bytes(c, columns);
    int64_t weights = weight_gradient_work_bytes(p.rows, p.K, hc ? (int)c->n + 2 : columns);
    s.rest = take_room(&room, sums > weights ? sums : weights);
    s.bytes = room.used;
    return s;
}

static int backward(void *context, void *queue, const struct one_pass_kernels *kernels, const struct mhc_case *c,
                    struct one_pass_backward *f, const struct parameter_gradients *to, void *save, void *work) {
    struct device *d = device_of(context);
    const bool hc = kernels == &hc_one_pass;
    const struct scratch s = scratch_of(hc, c, work);
    const int columns = products_of(hc, c);
    f->product = (const float *)save, f->r = f->product + c->T * columns;
    f->z = s.z, f->q = s.q;
    int failed = kernels->backward(d, queue, c, f);
    if (failed)
        return failed;
    const struct small_gradients small = {s.z, f->product, columns, hc, {to->b[0], to->b[1], to->b[2]}, to->alpha};
    const struct product gradient = product_of(hc, c, f->x, to->weights);
    return gpu_small_gradients(d, queue, c, &small, s.rest) || weight_gradient(d, queue, &gradient, s.q, s.rest);
}

static int64_t work_of(bool hc, const struct mhc_row *two_pass, const struct mhc_case *c) {
    int64_t bytes = scratch_of(hc, c, NULL).bytes, other = two_pass->work_bytes(c);
    return bytes > other ? bytes : other;
}

/* --- rows --- */

#define RUN_ARGUMENTS void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work

static int mhc_pre_run(RUN_ARGUMENTS) {
    const struct mhc_pre_args *a = (const struct mhc_pre_args *)arg;
    struct one_pass_forward f = forward_of(a);
    name_mhc_parameters(&f, a);
    int failed = forward(context, queue, mhc_one_pass(c), c, &f, save);
    return failed >= 0 ? failed : mhc_pre.run(context, queue, c, arg, save, work);
}

static int mhc_post_pre_run(RUN_ARGUMENTS) {
    const struct mhc_post_pre_args *a = (const struct mhc_post_pre_args *)arg;
    struct one_pass_forward f = forward_of(a);
    name_mhc_parameters(&f, a);
    name_below(&f, a);
    int failed = forward(context, queue, mhc_one_pass(c), c, &f, save);
    if (failed >= 0)
        return failed;
    const struct mhc_pre_args pre = {a->x_next, a->phi, a->b, a->alpha, a->u, a->pre, a->post, a->res};
    return gpu_post(device_of(context), queue, c, a->x, a->y, a->post_below, a->res_below, a->x_next) ||
           mhc_pre.run(context, queue, c, (void *const *)&pre, save, work);
}

static int mhc_backward_run(RUN_ARGUMENTS) {
    const struct mhc_backward_args *a = (const struct mhc_backward_args *)arg;
    const struct parameter_gradients to = mhc_gradients(c, a);
    struct one_pass_backward f = backward_of(a);
    name_mhc_weights(&f.weights, a);
    f.b = (const float *)a->b;
    int failed = backward(context, queue, mhc_one_pass(c), c, &f, &to, save, work);
    return failed >= 0 ? failed : mhc_backward.run(context, queue, c, arg, save, work);
}

static int mhc_backward_y_run(RUN_ARGUMENTS) {
    const struct mhc_backward_y_args *a = (const struct mhc_backward_y_args *)arg;
    const struct parameter_gradients to = mhc_gradients(c, a);
    struct one_pass_backward f = backward_of(a);
    name_mhc_weights(&f.weights, a);
    name_below(&f, a);
    f.b = (const float *)a->b;
    int failed = backward(context, queue, mhc_one_pass(c), c, &f, &to, save, work);
    if (failed >= 0)
        return failed;
    const struct mhc_backward_args own = {a->grad_x_next, a->x,        a->y,      a->grad_u,    a->pre,
                                          a->post,        a->res,      a->phi,    a->b,         a->alpha,
                                          a->grad_x,      a->grad_phi, a->grad_b, a->grad_alpha};
    return mhc_backward.run(context, queue, c, (void *const *)&own, save, work) ||
           gpu_aggregate(device_of(context), queue, c, a->grad_x, a->post_below, a->grad_y_below);
}

static int hc_pre_run(RUN_ARGUMENTS) {
    const struct hc_pre_args *a = (const struct hc_pre_args *)arg;
    struct one_pass_forward f = forward_of(a);
    name_hc_parameters(&f, a);
    int failed = forward(context, queue, &hc_one_pass, c, &f, save);
    return failed >= 0 ? failed : hc_pre.run(context, queue, c, arg, save, work);
}

static int hc_post_pre_run(RUN_ARGUMENTS) {
    const struct hc_post_pre_args *a = (const struct hc_post_pre_args *)arg;
    struct one_pass_forward f = forward_of(a);
    name_hc_parameters(&f, a);
    name_below(&f, a);
    int failed = forward(context, queue, &hc_one_pass, c, &f, save);
    if (failed >= 0)
        return failed;
    const struct hc_pre_args pre = {a->x_next, a->theta_pre, a->theta_post, a->theta_res, a->b_pre, a->b_post,
                                    a->b_res,  a->alpha,     a->u,          a->pre,       a->post,  a->res};
    return gpu_post(device_of(context), queue, c, a->x, a->y, a->post_below, a->res_below, a->x_next) ||
           hc_pre.run(context, queue, c, (void *const *)&pre, save, work);
}

static int hc_backward_run(RUN_ARGUMENTS) {
    const struct hc_backward_args *a = (const struct hc_backward_args *)arg;
    const struct parameter_gradients to = hc_gradients(c, a);
    struct one_pass_backward f = backward_of(a);
    name_hc_weights(&f.weights, a);
    int failed = backward(context, queue, &hc_one_pass, c, &f, &to, save, work);
    return failed >= 0 ? failed : hc_backward.run(context, queue, c, arg, save, work);
}

static int hc_backward_y_run(RUN_ARGUMENTS) {
    const struct hc_backward_y_args *a = (const struct hc_backward_y_args *)arg;
    const struct parameter_gradients to = hc_gradients(c, a);
    struct one_pass_backward f = backward_of(a);
    name_hc_weights(&f.weights, a);
    name_below(&f, a);
    int failed = backward(context, queue, &hc_one_pass, c, &f, &to, save, work);
    if (failed >= 0)
        return failed;
    const struct hc_backward_args own = {a->grad_x_next,
                                         a->x,
                                         a->y,
                                         a->grad_u,
                                         a->pre,
                                         a->post,
                                         a->res,
                                         a->theta_pre,
                                         a->theta_post,
                                         a->theta_res,
                                         a->alpha,
                                         a->grad_x,
                                         a->grad_theta_pre,
                                         a->grad_theta_post,
                                         a->grad_theta_res,
                                         a->grad_b_pre,
                                         a->grad_b_post,
                                         a->grad_b_res,
                                         a->grad_alpha};
    return hc_backward.run(context, queue, c, (void *const *)&own, save, work) ||
           gpu_aggregate(device_of(context), queue, c, a->grad_x, a->post_below, a->grad_y_below);
}

/* The functions of a generator's rows, and the rows. */
#define FUNCTIONS(id, kernels, shape)                                                \
    static bool id##_forward_supports(const struct mhc_case *c, const char **why) {  \
        return shape(c, why) && (kernels)->forward_fits(c, why);                     \
    }                                                                                \
    static bool id##_backward_supports(const struct mhc_case *c, const char **why) { \
        return shape(c, why) && (kernels)->backward_fits(c, why);                    \
    }                                                                                \
    static int64_t id##_save(const struct mhc_case *c) {                             \
        return id##_pre.save_bytes(c);                                               \
    }                                                                                \
    static int64_t id##_forward_work(const struct mhc_case *c) {                     \
        return id##_pre.work_bytes(c);                                               \
    }                                                                                \
    static int64_t id##_backward_work(const struct mhc_case *c) {                    \
        return work_of((kernels) == &hc_one_pass, &id##_backward, c);                \
    }
#define FORWARD_ROW(id, operation)                                                                                     \
    GPU_ROW(id##_##operation##_one_pass) = {MHC_OPERATION(id##_##operation),   .implementation = "one pass, else two", \
                                            .supports = id##_forward_supports, .save_bytes = id##_save,                \
                                            .work_bytes = id##_forward_work,   .tolerance = gpu_tolerance,             \
                                            .run = id##_##operation##_run}
#define BACKWARD_ROW(id, operation)                                                 \
    GPU_ROW(id##_##operation##_one_pass) = {                                        \
        MHC_OPERATION(id##_##operation),    .implementation = "one pass, else two", \
        .supports = id##_backward_supports, .work_bytes = id##_backward_work,       \
        .tolerance = gpu_tolerance,         .run = id##_##operation##_run}

FUNCTIONS(mhc, mhc_one_pass(c), gpu_supports_mhc)
FORWARD_ROW(mhc, pre);
FORWARD_ROW(mhc, post_pre);
BACKWARD_ROW(mhc, backward);
BACKWARD_ROW(mhc, backward_y);

FUNCTIONS(hc, &hc_one_pass, gpu_supports_res)
FORWARD_ROW(hc, pre);
FORWARD_ROW(hc, post_pre);
BACKWARD_ROW(hc, backward);
BACKWARD_ROW(hc, backward_y);
