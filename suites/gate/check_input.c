/* The inputs of a case of `check`: natural ones, which the case makes larger, smaller, steeper or alike. */
#include <math.h>
#include <string.h>

#include "cpu_ref/adamw.h"
#include "cpu_ref/philox.h"
#include "suites/gate/check.h"

/* The factor of an element. Logits of res get the standard deviation that the trial asks for, through b or through
 * alpha; scores of attention grow too. Logits of pre and post stay small, where a float can tell 1 - sigmoid from 0. */
static double steepness(const struct trial *t, const struct mhc_arg *arg, int64_t element) {
    if (!strcmp(arg->name, "logits") || !strcmp(arg->name, "b_res"))
        return t->logit_std;
    /* In bf16 o is rounded, and in a branch q and k too. That moves large scores, and the differences in their
     * gradients, by as much as matters. */
    bool rounded = t->c.stream == MHC_BF16;
    if (!strcmp(arg->name, "qkv")) /* its q */
        return t->logit_std > 1 && element / mhc_extent(&t->c, 'A') % 3 == 0 ? rounded ? 4 : 8 : 1;
    if (!strcmp(arg->name, "w_q"))
        return t->logit_std > 1 && !rounded ? 8 : 1;
    if (!strcmp(arg->name, "alpha") && element == 2)
        return t->steep_b ? 1 : t->logit_std;
    if (!strcmp(arg->name, "b") && element >= 2 * t->c.n)
        return t->steep_b ? t->logit_std : 1;
    return 1;
}

/* --- training --- */

static void put_indices(const struct trial *t, int64_t count, int64_t limit, double *values) {
    for (int64_t k = 0; k < count && t->indices; k++)
        values[k] = t->indices == INDICES_LAST   ? (double)(limit - 1)
                    : t->indices == INDICES_ENDS ? (double)(k % 2 * (limit - 1))
                                                 : (double)(k / 3 % limit);
}

/* A step's numbers, in the order of adamw.h. */
static const double hypers[CHECK_STEPS][ADAMW_HYPERS] = {
    [STEP_FIRST] = {0.5, 0.9, 0.999, 1e-20, 0.1, 0, 1},     [STEP_MILLIONTH] = {0.5, 0.9, 0.999, 1e-8, 0, 1, 1e6},
    [STEP_CLIPPED] = {0.5, 0.9, 0.95, 1e-8, 0.1, 1e-2, 2},  [STEP_BELOW_CLIP] = {0.5, 0.9, 0.95, 1e-8, 0.1, 100, 3},
    [STEP_LARGE_EPSILON] = {0.5, 0.5, 0.5, 1, 0.5, 0.5, 7}, [STEP_NO_GRADIENT] = {0.5, 0.9, 0.999, 1e-8, 0.1, 1, 1},
    [STEP_TINY] = {0.5, 0.9, 0.999, 1e-30, 0, 0, 2}};

/* The scale of an array that the optimizer reads, or whose norm is asked for. */
static double step_scale(const struct trial *t, const struct mhc_arg *arg) {
    bool moment = !strcmp(arg->name, "momentum") || !strcmp(arg->name, "rms");
    bool grad = !strcmp(arg->name, "grad");
    if (t->step == STEP_NO_GRADIENT && (moment || grad || !strcmp(arg->name, "norm")))
        return 0;
    return t->step == STEP_TINY && (moment || grad) ? 1e-25 : t->step == STEP_MILLIONTH && grad ? 1e25 : 1;
}

static void put_step(const struct trial *t, const struct mhc_arg *arg, int64_t count, double *values) {
    double scale = step_scale(t, arg);
    bool hyper = !strcmp(arg->name, "hyper") && t->step;
    for (int64_t k = 0; k < count; k++)
        values[k] = hyper ? hypers[t->step][k] : scale * values[k];
}

static void put_edge(const struct trial *t, int64_t count, double *values) {
    int64_t row = count / t->c.T;
    for (int64_t k = 0; k < count; k++)
        values[k] = k / row % 2 ? t->edge + values[k] : copysign(t->edge, values[k]);
}

void trial_input(const void *user, const struct mhc_case *c, const struct mhc_arg *arg, double *values) {
    const struct trial *t = user;
    int64_t count = mhc_elements(c, arg);
    bool drawn = arg->role != MHC_INDEX && arg->role != MHC_SCALAR; /* else as the contract says */
    bool x = arg->role == MHC_STREAM && (!strcmp(arg->name, "x") || !strcmp(arg->name, "u"));
    double scale = x ? t->x_scale : !strncmp(arg->name, "grad", 4) ? t->grad_scale : 1;
    /* Half the trials leave the narrow range that natural inputs keep to; betas stay in it. */
    struct mhc_arg wide = *arg;
    if (t->seed % 2 && arg->size < 0.4f && drawn && !t->mild)
        wide.size = 0.4f;
    uint32_t what = mhc_what(arg->name);
    for (int64_t k = 0; k < count; k++) {
        double normal = mhc_normal(t->seed, what, 2, (uint64_t)k);
        if (x && c->C < CHECK_SHORT) /* away from 0, where 1 / |x| is infinite */
            normal += copysign(0.3, normal);
        double steep = drawn ? steepness(t, arg, k) : 1;
        values[k] = steep * (drawn ? scale : 1) * mhc_natural(c, &wide, k, normal);
        if (t->ties && steep > 1) /* few distinct values, so that several of many are the largest */
            values[k] = steep * round(values[k] / steep);
    }
    if (x && t->large_token >= 0)
        for (int64_t k = 0; k < count / c->T; k++)
            values[t->large_token * (count / c->T) + k] *= 1000;
    if (x && t->zero_token >= 0) {
        int64_t token = count / c->T;
        memset(values + t->zero_token * token, 0, (size_t)token * sizeof *values);
    }
    if (arg->role == MHC_INDEX)
        put_indices(t, count, mhc_extent(c, arg->fan_in), values);
    if (c->weights && t->step)
        put_step(t, arg, count, values);
    if (t->edge > 0 && !strcmp(arg->name, "logits"))
        put_edge(t, count, values);
}
