#include "suites/verify/vector_draw.h"

#include <math.h>

#include "cpu_ref/philox.h"
#include "suites/verify/vectors.h"

/* Where logits are alpha * product + b with a product of size 1: the squares of both parts sum to 1. */
#define DYNAMIC 0.6
#define STATIC 0.8

/* How to draw an input so that it suits a row. */
static const struct mhc_arg *argument(const struct vector_case *v, const char *name) {
    const struct mhc_arg *arg = NULL;
    for (int k = 0; v->op->operations[k] && !arg; k++)
        arg = mhc_arg_find(vector_row(v->op->name, v->op->operations[k]), name, MHC_IN);
    return arg;
}

static void draw_natural(const struct vector_case *v, struct vector_array *a, uint64_t seed) {
    const struct mhc_arg *arg = argument(v, a->name);
    for (int64_t k = 0; arg && k < a->count; k++)
        a->values[k] = mhc_natural(&v->c, arg, k, mhc_normal(seed, mhc_what(a->name), 0, (uint64_t)k));
}

static void scale(struct vector_array *a, int64_t from, double factor) {
    for (int64_t k = from; a && k < a->count; k++)
        a->values[k] *= factor;
}

/* Logits of res have the size that the caller asks for, those of pre and post size 1. */
static void spread_logits(struct vector_case *v, double logits) {
    struct vector_array *alpha = vector_find(v->in, v->ins, "alpha"), *b = vector_find(v->in, v->ins, "b");
    scale(vector_find(v->in, v->ins, "logits"), 0, logits);
    if (!alpha || !b) /* HC has no logits */
        return;
    for (int64_t k = 0; k < alpha->count; k++)
        alpha->values[k] = DYNAMIC * (k == 2 ? logits : 1);
    scale(b, 0, STATIC);
    scale(b, 2 * v->c.n, logits);
}

/* Puts the largest of a map's logits at three places: twice in the first row, twice in the first column. */
static void tie(double *logits, int64_t n) {
    double most = logits[0];
    for (int64_t k = 1; k < n * n; k++)
        most = fmax(most, logits[k]);
    logits[0] = most;
    if (n > 1)
        logits[1] = logits[n] = most;
}

/* Token 0 is 0, so that its logits are b; the mean square of token 1 is the epsilon, that of token 2 a hundredth. */
static void make_small(struct vector_case *v, struct vector_array *x) {
    const int64_t token = v->c.n * v->c.C;
    for (int64_t t = 0; t < 3 && t < v->c.T; t++) {
        double *values = x->values + t * token, sum = 0;
        for (int64_t k = 0; k < token; k++)
            sum += values[k] * values[k];
        const double want = t == 0 ? 0 : sqrt(v->c.rms_eps / (t == 1 ? 1 : 100) / (sum / (double)token));
        for (int64_t k = 0; k < token; k++)
            values[k] *= want;
    }
}

static void make_hard(struct vector_case *v) {
    struct vector_array *x = vector_find(v->in, v->ins, "x"), *b = vector_find(v->in, v->ins, "b"),
                        *logits = vector_find(v->in, v->ins, "logits");
    const int64_t n = v->c.n;
    if (x)
        make_small(v, x);
    if (b)
        tie(b->values + 2 * n, n);
    for (int64_t t = 0; logits && t < 2 && t < v->c.T; t++)
        tie(logits->values + t * n * n, n);
    for (int64_t k = 0; logits && k < n * n; k++) /* token 0: all are the same */
        logits->values[k] = logits->values[0];
}

void vector_draw(struct vector_case *v, const struct vector_inputs *inputs) {
    for (int k = 0; k < v->ins; k++)
        draw_natural(v, &v->in[k], inputs->seed);
    spread_logits(v, inputs->logits);
    if (inputs->hard)
        make_hard(v);
}
