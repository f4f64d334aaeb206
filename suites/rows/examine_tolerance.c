/* By what an output of a row is judged: the scale of its error at least, and its tolerance. */
#include "suites/rows/examine.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/verdict.h"
#include "suites/rows/array_error.h"

/* Whether a row is a whole branch or the head: a norm, then products with weights. */
static bool is_branch(const struct mhc_row *row) {
    bool weighs = false;
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        weighs |= arg->role == MHC_PARAM && arg->direction == MHC_IN && arg->name[0] == 'w';
    return weighs && mhc_arg_find(row, "gain", MHC_IN);
}

/* In bf16 such a row rounds on its way: v, the weights, what is between two products, the output; six times forward,
 * nine times backward. A rounding moves a term by up to 2^-9 of the term, 0.4 of that on average, whatever the sum of
 * all terms comes to: together by 0.4 sqrt(6 to 9) 2^-9, 0.2 to 0.25 %, of the root of the sum of their squares, twice
 * that where two factors are rounded that are multiplied (SwiGLU). That root is about 1 in natural units. The
 * contract's 2 % are five to ten times as much. But the largest of few elements may be far below 1 because its terms
 * cancelled: with those roundings and exact arithmetic between them, up to 11 % of 20,000 draws of one token with
 * hidden = 1 are farther off than 2 % of their largest element, and 0.02 % of swiglu with C = 53 and hidden = 24. In no
 * shape are more than 0.02 % farther off than 2 % of this, times what came in. */
#define ROUNDED_INSIDE 2

/* What comes out of a norm and weights has a unit of its own, whatever that of u or x is. */
static double smallest_forward(const struct examination *e, const struct mhc_arg *of) {
    bool sums = !strcmp(of->name, "y") || !strcmp(of->name, "logits");
    return e->c.stream == MHC_BF16 && sums && is_branch(examined_row(e)) ? ROUNDED_INSIDE : 0;
}

/* Extreme inputs leave arrays of very different units, and a gradient that cancels to nearly nothing (of a saturated
 * softmax, of x / |x| with one element) holds rounding of what cancelled. So a gradient is measured by no less than a
 * share of what came in, in its own unit: a parameter's has that of g x, the input of a branch, which starts with a
 * norm, that of g / u, a parameter of a branch that of a sum of g over tokens. */
double examine_smallest(const struct examination *e, const struct mhc_arg *of) {
    const struct mhc_row *row = examined_row(e);
    double incoming = 0, unit = 1, share = e->c.stream != MHC_BF16 ? 0.03 : is_branch(row) ? ROUNDED_INSIDE : 0.3;
    if (strncmp(of->name, "grad_", 5))
        return smallest_forward(e, of);
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        if (!strncmp(arg->name, "grad_", 5) && arg->direction == MHC_IN)
            incoming = fmax(incoming, array_largest(arrays_get(&e->want, arg->name), mhc_elements(&e->c, arg)));
    if (reference_row(e->reference[e->rows - 1]->name, "forward"))
        unit = !strcmp(of->name, "grad_u") ? 1 / e->x_scale : of->role == MHC_PARAM ? sqrt((double)e->c.T) : 1;
    else if (of->role == MHC_PARAM)
        unit = e->x_scale;
    return share * incoming * unit;
}

static double own_tolerance(const struct examination *e) {
    const struct mhc_row *row = examined_row(e);
    return row->tolerance ? row->tolerance(&e->c) : e->allowed;
}

const char *examine_allows_itself(const struct examination *e) {
    static _Thread_local char why[100];
    double tolerance = own_tolerance(e);
    if (tolerance > 0 && tolerance <= MHC_MOST_TOLERANCE)
        return NULL;
    snprintf(why, sizeof why, "it allows itself an error of %g, which proves nothing", tolerance);
    return why;
}

double examine_contract(const struct mhc_row *row, const struct mhc_case *c, const struct mhc_arg *arg) {
    bool rounded = !strncmp(row->name, "addnorm", 7); /* its r is that of the sum as it was written */
    int32_t type = arg->role == MHC_COEF && !rounded ? c->coef : c->stream;
    double twice = !strncmp(row->name, "attention", 9) && !strcmp(row_operation(row), "backward") ? 2 : 1;
    return type == MHC_F64 ? 1e-9 : type == MHC_F32 ? 1e-3 : twice * 2e-2; /* the scores are made again */
}

double examine_tolerance(const struct examination *e, const struct mhc_arg *arg) {
    double own = own_tolerance(e), contract = examine_contract(e->reference[e->rows - 1], &e->c, arg);
    return e->trusting ? own : fmin(own, contract * (e->share > 0 ? e->share : 1)) + product_rounding(e, arg);
}
