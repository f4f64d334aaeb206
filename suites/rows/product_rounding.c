#include <math.h>
#include <string.h>

#include "suites/rows/examine.h"

/* A logit of mHC is alpha times x phi / r. A kernel may take every float of that product as the sum of two bf16
 * (kernels/product.h); public kernels take tf32, a hundred times coarser. Two bf16 leave a remainder of 2^-18 of a
 * float at most and 0.31 of that on average; two factors leave 0.44 of it, and 0.17 more because the product of the two
 * small parts is left out: together 0.47 2^-18, about 2^-19, of the root of the sum of squares of the terms. That root
 * is the length of phi's column, because x / r has elements of about 1. */
#define ROUNDED_TERM 0x1p-19

/* An element of res is the exponential of a sum of up to 2n - 1 logits with signs: its own and those by which Sinkhorn
 * divided rows and columns. So its relative error, and that of its gradient, is sqrt(2n) times a logit's. The emulator
 * made 1,500 draws of mhc.backward and mhc.pre in float32 whose logits had a spread of 100. Their largest error was a
 * quarter of 1e-3 plus six times that. Three times leaves a factor of two. */
#define PRODUCT_ROOM 3

/* Of the first `used` of all columns, times alpha. */
static double longest_column(const struct examination *e, const double *phi, const double *alpha, int64_t columns,
                             int64_t used) {
    int64_t rows = mhc_extent(&e->c, 'D'), n = e->c.n;
    double longest = 0;
    for (int64_t m = 0; m < used; m++) {
        double squares = 0;
        for (int64_t k = 0; k < rows; k++)
            squares += phi[k * columns + m] * phi[k * columns + m];
        longest = fmax(longest, fabs(alpha[m < n ? 0 : m < 2 * n ? 1 : 2]) * sqrt(squares));
    }
    return longest;
}

double product_rounding(const struct examination *e, const struct mhc_arg *of) {
    const double *phi = arrays_get(&e->given, "phi"), *alpha = arrays_get(&e->given, "alpha");
    int64_t columns = mhc_extent(&e->c, 'Q'), count = arrays_count(&e->given, "phi");
    bool of_res = strcmp(of->name, "pre") && strcmp(of->name, "post") && strcmp(of->name, "u");
    int32_t type = of->role == MHC_COEF ? e->c.coef : e->c.stream; /* for bf16 the contract's tolerance is enough */
    bool behind = strcmp(of->name, "logits") != 0;                 /* behind an exponential */
    if (type != MHC_F32 || !behind || !phi || !alpha || count != mhc_extent(&e->c, 'D') * columns)
        return 0;
    return PRODUCT_ROOM * sqrt(2.0 * (double)e->c.n) * ROUNDED_TERM *
           longest_column(e, phi, alpha, columns, of_res ? columns : 2 * e->c.n);
}
