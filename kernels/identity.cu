/* Identity HC under names of its own: the rows of mHC with the map MHC_IDENTITY. */
#include "kernels/connection.h"

#define ROW(id) extern "C" const struct mhc_row id;
ROW(mhc_pre)
ROW(mhc_pre_one_pass)
ROW(mhc_post_pre_one_pass)
ROW(mhc_backward)
ROW(mhc_backward_one_pass)
ROW(mhc_backward_y_one_pass)
#undef ROW

static struct mhc_case with_identity(const struct mhc_case *c) {
    struct mhc_case identity = *c;
    identity.map = MHC_IDENTITY;
    return identity;
}

/* The preferred row that supports the case; both give the same sizes of `save`. */
static const struct mhc_row *row_of(const struct mhc_case *c, const struct mhc_row *preferred,
                                    const struct mhc_row *other) {
    const char *why;
    return preferred->supports(c, &why) ? preferred : other;
}

#define IDENTITY_ROW(id, preferred, other, ...)                                                              \
    static bool id##_supports(const struct mhc_case *c, const char **why) {                                  \
        struct mhc_case of = with_identity(c);                                                               \
        return row_of(&of, &preferred, &other)->supports(&of, why);                                          \
    }                                                                                                        \
    static int64_t id##_save(const struct mhc_case *c) {                                                     \
        struct mhc_case of = with_identity(c);                                                               \
        const struct mhc_row *row = row_of(&of, &preferred, &other);                                         \
        return row->save_bytes ? row->save_bytes(&of) : 0;                                                   \
    }                                                                                                        \
    static int64_t id##_work(const struct mhc_case *c) {                                                     \
        struct mhc_case of = with_identity(c);                                                               \
        return row_of(&of, &preferred, &other)->work_bytes(&of);                                             \
    }                                                                                                        \
    static int id##_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, \
                        void *work) {                                                                        \
        const struct id##_args *a = (const struct id##_args *)arg;                                           \
        struct mhc_case of = with_identity(c);                                                               \
        const void *own[] = {__VA_ARGS__};                                                                   \
        return row_of(&of, &preferred, &other)->run(context, queue, &of, (void *const *)own, save, work);    \
    }                                                                                                        \
    GPU_ROW(id) = {MHC_OPERATION(id),       .supports = id##_supports,  .save_bytes = id##_save,             \
                   .work_bytes = id##_work, .tolerance = gpu_tolerance, .run = id##_run}

IDENTITY_ROW(identity_pre, mhc_pre_one_pass, mhc_pre, a->x, a->phi, a->b, a->alpha, a->u, a->pre, a->post, NULL);
IDENTITY_ROW(identity_post_pre, mhc_post_pre_one_pass, mhc_post_pre_one_pass, a->x, a->y, a->post_below, NULL, a->phi,
             a->b, a->alpha, a->x_next, a->u, a->pre, a->post, NULL);
IDENTITY_ROW(identity_backward, mhc_backward_one_pass, mhc_backward, a->grad_x_next, a->x, a->y, a->grad_u, a->pre,
             a->post, NULL, a->phi, a->b, a->alpha, a->grad_x, a->grad_phi, a->grad_b, a->grad_alpha);
IDENTITY_ROW(identity_backward_y, mhc_backward_y_one_pass, mhc_backward_y_one_pass, a->grad_x_next, a->x, a->y,
             a->grad_u, a->pre, a->post, NULL, a->phi, a->b, a->alpha, a->post_below, a->grad_x, a->grad_y_below,
             a->grad_phi, a->grad_b, a->grad_alpha);

static int post_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    const struct identity_post_args *a = (const struct identity_post_args *)arg;
    struct mhc_case of = with_identity(c);
    return gpu_post(device_of(context), queue, &of, a->x, a->y, a->post, NULL, a->x_next);
}
GPU_ROW(identity_post) = {MHC_OPERATION(identity_post), .supports = gpu_supports, .tolerance = gpu_tolerance,
                          .run = post_run};

static int backward_y_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    const struct identity_post_backward_y_args *a = (const struct identity_post_backward_y_args *)arg;
    return gpu_aggregate(device_of(context), queue, c, a->grad_x_next, a->post, a->grad_y);
}
GPU_ROW(identity_post_backward_y) = {MHC_OPERATION(identity_post_backward_y), .supports = gpu_supports,
                                     .tolerance = gpu_tolerance, .run = backward_y_run};
