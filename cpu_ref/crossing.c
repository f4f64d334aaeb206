/* What lies between two layers in one operation: `post_pre` is post of the layer below with pre of this one, `backward_y` is backward
 * with post_backward_y of the layer below. Here they are composed of the rows that mean the same, with every array where it can be looked
 * at; other libraries keep x_next or grad_x in registers. Arrays of the layer below are called <name>_below. */
#include "cpu_ref/connection.h"

#define DECLARE(kind)                                                                              \
    extern const struct mhc_row NAME(kind##_pre), NAME(kind##_post), NAME(kind##_post_backward_y), \
        NAME(kind##_backward);
DECLARE(hc)
DECLARE(mhc)
DECLARE(identity)

/* The arguments of a part of a row, found by name; some have another name in the whole. */
struct renamed {
    const char *part, *whole;
};

static void bind(const struct mhc_row *part, const struct renamed *names, const struct mhc_row *whole,
                 void *const arg[], void *out[MHC_MAX_ARGS]) {
    for (int a = 0; part->args[a].name; a++) {
        const char *name = part->args[a].name;
        for (const struct renamed *n = names; n->part; n++)
            if (!strcmp(n->part, part->args[a].name))
                name = n->whole;
        int at = 0;
        while (strcmp(whole->args[at].name, name))
            at++;
        out[a] = arg[at];
    }
}

static int post_pre(const struct mhc_row *whole, const struct mhc_row *post, const struct mhc_row *pre,
                    const struct mhc_case *c, void *const arg[], void *save, void *work) {
    static const struct renamed below[] = {{"post", "post_below"}, {"res", "res_below"}, {NULL, NULL}};
    static const struct renamed here[] = {{"x", "x_next"}, {NULL, NULL}};
    void *out[MHC_MAX_ARGS];
    bind(post, below, whole, arg, out);
    int failed = post->run(NULL, NULL, c, out, NULL, NULL);
    bind(pre, here, whole, arg, out);
    return failed ? failed : pre->run(NULL, NULL, c, out, save, work);
}

static int backward_y(const struct mhc_row *whole, const struct mhc_row *backward,
                      const struct mhc_row *post_backward_y, const struct mhc_case *c, void *const arg[], void *save,
                      void *work) {
    static const struct renamed here[] = {{NULL, NULL}};
    static const struct renamed below[] = {
        {"grad_x_next", "grad_x"}, {"post", "post_below"}, {"grad_y", "grad_y_below"}, {NULL, NULL}};
    void *out[MHC_MAX_ARGS];
    bind(backward, here, whole, arg, out);
    int failed = backward->run(NULL, NULL, c, out, save, work);
    bind(post_backward_y, below, whole, arg, out);
    return failed ? failed : post_backward_y->run(NULL, NULL, c, out, NULL, NULL);
}

static int64_t bytes(int64_t (*of)(const struct mhc_case *), const struct mhc_case *c) {
    return of ? of(c) : 0;
}

/* The two rows of a kind, given the kind and their arguments. */
#define CROSSING(kind, post_pre_args, backward_y_args)                                                             \
    static int64_t kind##_save(const struct mhc_case *c) {                                                         \
        return bytes(NAME(kind##_pre).save_bytes, c);                                                              \
    }                                                                                                              \
    static int64_t kind##_pre_work(const struct mhc_case *c) {                                                     \
        return bytes(NAME(kind##_pre).work_bytes, c);                                                              \
    }                                                                                                              \
    static int64_t kind##_backward_work(const struct mhc_case *c) {                                                \
        return bytes(NAME(kind##_backward).work_bytes, c);                                                         \
    }                                                                                                              \
    static bool kind##_supports(const struct mhc_case *c, const char **why) {                                      \
        return NAME(kind##_pre).supports(c, why);                                                                  \
    }                                                                                                              \
    static double kind##_post_pre_flops(const struct mhc_case *c) {                                                \
        return NAME(kind##_post).flops(c) + NAME(kind##_pre).flops(c);                                             \
    }                                                                                                              \
    static double kind##_backward_y_flops(const struct mhc_case *c) {                                              \
        return NAME(kind##_backward).flops(c) + NAME(kind##_post_backward_y).flops(c);                             \
    }                                                                                                              \
    extern const struct mhc_row NAME(kind##_post_pre), NAME(kind##_backward_y);                                    \
    static int kind##_post_pre_run(void *context, void *queue, const struct mhc_case *c, void *const arg[],        \
                                   void *save, void *work) {                                                       \
        (void)context, (void)queue;                                                                                \
        return post_pre(&NAME(kind##_post_pre), &NAME(kind##_post), &NAME(kind##_pre), c, arg, save, work);        \
    }                                                                                                              \
    static int kind##_backward_y_run(void *context, void *queue, const struct mhc_case *c, void *const arg[],      \
                                     void *save, void *work) {                                                     \
        (void)context, (void)queue;                                                                                \
        return backward_y(&NAME(kind##_backward_y), &NAME(kind##_backward), &NAME(kind##_post_backward_y), c, arg, \
                          save, work);                                                                             \
    }                                                                                                              \
    const struct mhc_row NAME(kind##_post_pre) = {.name = #kind ".post_pre",                                       \
                                                  .args = post_pre_args,                                           \
                                                  .supports = kind##_supports,                                     \
                                                  .save_bytes = kind##_save,                                       \
                                                  .work_bytes = kind##_pre_work,                                   \
                                                  .flops = kind##_post_pre_flops,                                  \
                                                  .tolerance = NAME(tolerance),                                    \
                                                  .run = kind##_post_pre_run};                                     \
    const struct mhc_row NAME(kind##_backward_y) = {.name = #kind ".backward_y",                                   \
                                                    .args = backward_y_args,                                       \
                                                    .supports = kind##_supports,                                   \
                                                    .work_bytes = kind##_backward_work,                            \
                                                    .flops = kind##_backward_y_flops,                              \
                                                    .tolerance = NAME(tolerance),                                  \
                                                    .run = kind##_backward_y_run};

#define LIST(...) \
    { __VA_ARGS__ }
#define IN(name, extents, role) \
    { name, extents, role, MHC_IN }
#define OUT(name, extents, role) \
    { name, extents, role, MHC_OUT }

/* Arguments that the kinds share, in the order of the rows they come from. */
#define BELOW IN("x", "TnC", MHC_STREAM), IN("y", "TC", MHC_STREAM), IN("post_below", "Tn", MHC_COEF)
#define MADE                                                                                  \
    OUT("x_next", "TnC", MHC_STREAM), OUT("u", "TC", MHC_STREAM), OUT("pre", "Tn", MHC_COEF), \
        OUT("post", "Tn", MHC_COEF)
#define RES_BELOW IN("res_below", "Tnn", MHC_COEF)
#define RES_MADE OUT("res", "Tnn", MHC_COEF)
#define GIVEN                                                                                    \
    IN("grad_x_next", "TnC", MHC_STREAM), IN("x", "TnC", MHC_STREAM), IN("y", "TC", MHC_STREAM), \
        IN("grad_u", "TC", MHC_STREAM), IN("pre", "Tn", MHC_COEF), IN("post", "Tn", MHC_COEF)
#define RES IN("res", "Tnn", MHC_COEF)
#define POST_BELOW IN("post_below", "Tn", MHC_COEF)
#define GRADS OUT("grad_x", "TnC", MHC_STREAM), OUT("grad_y_below", "TC", MHC_STREAM)

#define MHC_PARAMS IN("phi", "DK", MHC_PARAM), IN("b", "K", MHC_PARAM), IN("alpha", "3", MHC_PARAM)
#define MHC_GRADS OUT("grad_phi", "DK", MHC_PARAM), OUT("grad_b", "K", MHC_PARAM), OUT("grad_alpha", "3", MHC_PARAM)
CROSSING(mhc, LIST(BELOW, RES_BELOW, MHC_PARAMS, MADE, RES_MADE),
         LIST(GIVEN, RES, MHC_PARAMS, POST_BELOW, GRADS, MHC_GRADS))

#define IDENTITY_PARAMS IN("phi", "DJ", MHC_PARAM), IN("b", "J", MHC_PARAM), IN("alpha", "2", MHC_PARAM)
#define IDENTITY_GRADS \
    OUT("grad_phi", "DJ", MHC_PARAM), OUT("grad_b", "J", MHC_PARAM), OUT("grad_alpha", "2", MHC_PARAM)
CROSSING(identity, LIST(BELOW, IDENTITY_PARAMS, MADE), LIST(GIVEN, IDENTITY_PARAMS, POST_BELOW, GRADS, IDENTITY_GRADS))

#define HC_THETAS IN("theta_pre", "C", MHC_PARAM), IN("theta_post", "C", MHC_PARAM), IN("theta_res", "nC", MHC_PARAM)
#define HC_BIASES IN("b_pre", "n", MHC_PARAM), IN("b_post", "n", MHC_PARAM), IN("b_res", "nn", MHC_PARAM)
#define HC_ALPHA IN("alpha", "3", MHC_PARAM)
#define HC_GRADS                                                                                                       \
    OUT("grad_theta_pre", "C", MHC_PARAM), OUT("grad_theta_post", "C", MHC_PARAM),                                     \
        OUT("grad_theta_res", "nC", MHC_PARAM), OUT("grad_b_pre", "n", MHC_PARAM), OUT("grad_b_post", "n", MHC_PARAM), \
        OUT("grad_b_res", "nn", MHC_PARAM), OUT("grad_alpha", "3", MHC_PARAM)
CROSSING(hc, LIST(BELOW, RES_BELOW, HC_THETAS, HC_BIASES, HC_ALPHA, MADE, RES_MADE),
         LIST(GIVEN, RES, HC_THETAS, HC_ALPHA, POST_BELOW, GRADS, HC_GRADS))
