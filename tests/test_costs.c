/* What a connection is said to cost, against the sums by hand that the comments show. */
#include <criterion/criterion.h>

#include "suites/report/costs.h"

/* One site at n streams: elements that move and operations, per token, and parameters of the site. */
static void expect(const char *connection, int64_t streams, double elements, double flops, double parameters) {
    struct params p;
    char why[200];
    params_defaults(&p);
    cr_assert(params_set(&p, params_find("block"), connection, why, sizeof why), "%s", why);
    p.streams = streams;
    const struct costs costs = costs_of(&p);
    cr_expect_float_eq(costs.bytes, 4 * elements, 1e-6, "%s: %.3f bytes, not %.3f", connection, costs.bytes,
                       4 * elements);
    cr_expect_float_eq(costs.flops, flops, 1e-6, "%s: %.3f operations, not %.3f", connection, costs.flops, flops);
    cr_expect_float_eq(costs.parameters, parameters, 0, "%s: %.0f parameters", connection, costs.parameters);
}

Test(costs, are_those_by_hand) {
    const double C = 2560, T = 4096, channels = 4 * C; /* of a token with four streams */
    /* Streams: pre reads 4C, writes C; post 4C + C, 4C; post_backward_y 4C, C; backward reads 4C + 4C + C + C, writes
     * 4C. Coefficients: 24, 20, 4, 24. All tokens share the parameters: pre reads them, backward reads them and
     * writes their gradients. Operations: pre and backward 2 per channel, column and direction, and the norm, the
     * aggregate and the mixing; post 2C (4 x 4 + 4), post_backward_y 2C 4. Columns: 2 x 4, and 16 logits of mHC, 4 of
     * KromHC. */
    const double mhc = channels * 24 + 24 + 3, krom = channels * 12 + 12 + 3;
    expect("mhc", 4, 33 * C + 72 + 3 * mhc / T, 2 * channels * ((24 + 2) + (2 * 24 + 2 * 4 + 4)) + 40 * C + 8 * C, mhc);
    expect("kromhc", 4, 33 * C + 72 + 3 * krom / T, 2 * channels * ((12 + 2) + (2 * 12 + 2 * 4 + 4)) + 40 * C + 8 * C,
           krom);
    /* pre reads x and writes u; post reads x and y; post_backward_y; backward reads two gradients: 2 + 3 + 2 + 3. An
     * addition forward and one backward. */
    expect("resnet", 1, 10 * C, 2 * C, 0);
}
