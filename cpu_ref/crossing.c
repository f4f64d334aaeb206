/* What lies between two layers in one operation: `post_pre` is post of the layer below with pre of this one,
 * `backward_y` is backward with post_backward_y of the layer below. Here they are composed of the rows that mean the
 * same, with every array where it can be looked at; other libraries keep x_next or grad_x in registers. Arrays of the
 * layer below are called <name>_below. */
#include "cpu_ref/connection.h"

#define DECLARE(kind)                                                                              \
    extern const struct mhc_row NAME(kind##_pre), NAME(kind##_post), NAME(kind##_post_backward_y), \
        NAME(kind##_backward);                                                                     \
    static int64_t kind##_save(const struct mhc_case *c) {                                         \
        return NAME(kind##_pre).save_bytes(c);                                                     \
    }                                                                                              \
    static int64_t kind##_backward_work(const struct mhc_case *c) {                                \
        return NAME(kind##_backward).work_bytes(c);                                                \
    }                                                                                              \
    static bool kind##_supports(const struct mhc_case *c, const char **why) {                      \
        return NAME(kind##_pre).supports(c, why);                                                  \
    }
DECLARE(hc)
DECLARE(mhc)

static int64_t hc_pre_work(const struct mhc_case *c) {
    return NAME(hc_pre).work_bytes(c);
}

RUN(mhc_post_pre) {
    const struct mhc_post_args post = {
        .x = a->x,
        .y = a->y,
        .post = a->post_below,
        .res = a->res_below,
        .x_next = a->x_next,
    };
    const struct mhc_pre_args pre = {
        .x = a->x_next,
        .phi = a->phi,
        .b = a->b,
        .alpha = a->alpha,
        .u = a->u,
        .pre = a->pre,
        .post = a->post,
        .res = a->res,
    };
    return RUN_ROW(mhc_post, c, &post, NULL, NULL) || RUN_ROW(mhc_pre, c, &pre, save, work);
}

RUN(mhc_backward_y) {
    const struct mhc_backward_args backward = {
        .grad_x_next = a->grad_x_next,
        .x = a->x,
        .y = a->y,
        .grad_u = a->grad_u,
        .pre = a->pre,
        .post = a->post,
        .res = a->res,
        .phi = a->phi,
        .b = a->b,
        .alpha = a->alpha,
        .grad_x = a->grad_x,
        .grad_phi = a->grad_phi,
        .grad_b = a->grad_b,
        .grad_alpha = a->grad_alpha,
    };
    const struct mhc_post_backward_y_args below = {
        .grad_x_next = a->grad_x,
        .post = a->post_below,
        .grad_y = a->grad_y_below,
    };
    return RUN_ROW(mhc_backward, c, &backward, save, work) || RUN_ROW(mhc_post_backward_y, c, &below, NULL, NULL);
}

RUN(hc_post_pre) {
    const struct hc_post_args post = {
        .x = a->x,
        .y = a->y,
        .post = a->post_below,
        .res = a->res_below,
        .x_next = a->x_next,
    };
    const struct hc_pre_args pre = {
        .x = a->x_next,
        .theta_pre = a->theta_pre,
        .theta_post = a->theta_post,
        .theta_res = a->theta_res,
        .b_pre = a->b_pre,
        .b_post = a->b_post,
        .b_res = a->b_res,
        .alpha = a->alpha,
        .u = a->u,
        .pre = a->pre,
        .post = a->post,
        .res = a->res,
    };
    return RUN_ROW(hc_post, c, &post, NULL, NULL) || RUN_ROW(hc_pre, c, &pre, save, work);
}

RUN(hc_backward_y) {
    const struct hc_backward_args backward = {
        .grad_x_next = a->grad_x_next,
        .x = a->x,
        .y = a->y,
        .grad_u = a->grad_u,
        .pre = a->pre,
        .post = a->post,
        .res = a->res,
        .theta_pre = a->theta_pre,
        .theta_post = a->theta_post,
        .theta_res = a->theta_res,
        .alpha = a->alpha,
        .grad_x = a->grad_x,
        .grad_theta_pre = a->grad_theta_pre,
        .grad_theta_post = a->grad_theta_post,
        .grad_theta_res = a->grad_theta_res,
        .grad_b_pre = a->grad_b_pre,
        .grad_b_post = a->grad_b_post,
        .grad_b_res = a->grad_b_res,
        .grad_alpha = a->grad_alpha,
    };
    const struct hc_post_backward_y_args below = {
        .grad_x_next = a->grad_x,
        .post = a->post_below,
        .grad_y = a->grad_y_below,
    };
    return RUN_ROW(hc_backward, c, &backward, save, work) || RUN_ROW(hc_post_backward_y, c, &below, NULL, NULL);
}

#define CROSSING(kind, pre_work)                                                                                      \
    const struct mhc_row NAME(kind##_post_pre) = {MHC_OPERATION(kind##_post_pre), .supports = kind##_supports,        \
                                                  .save_bytes = kind##_save,      .work_bytes = pre_work,             \
                                                  .tolerance = NAME(tolerance),   .run = kind##_post_pre_run};        \
    const struct mhc_row NAME(kind##_backward_y) = {MHC_OPERATION(kind##_backward_y), .supports = kind##_supports,    \
                                                    .work_bytes = kind##_backward_work, .tolerance = NAME(tolerance), \
                                                    .run = kind##_backward_y_run}
CROSSING(hc, hc_pre_work);
CROSSING(mhc, NULL);
