/* The measure of every comparison with cpu64. */
#include "suites/rows/array_error.h"

#include "tests/check.h"

static const struct mhc_case shape = {.T = 2, .heads = 1, .head_dim = 2, .hidden = 2, .activation = MHC_SWIGLU};
static const struct mhc_arg qkv = {.name = "qkv", .extents = "T3A"}, inner = {.name = "inner", .extents = "TMH"},
                            alpha = {.name = "alpha", .extents = "3", .role = MHC_PARAM};

Test(array_error, is_a_share_of_the_largest) {
    const double want[3] = {-4, 1, 0}, got[3] = {-4, 1.5, 0};
    int64_t at;
    cr_expect(array_error(&alpha, &shape, got, want, 0, &at) == 0.125 && at == 1);
    cr_expect(array_error(&alpha, &shape, got, want, 10, NULL) == 0.05);
    cr_expect(array_error(&alpha, &shape, want, want, 0, &at) == 0 && at == 0);
}

/* An error that is small beside a neighbour is measured by its own array. */
Test(array_error, of_arrays_side_by_side_is_each_ones_own) {
    double want[12] = {1, 1, 10, 10, 100, 100, 1, 2, 10, 10, 100, 100}, got[12];
    int64_t at;
    memcpy(got, want, sizeof got);
    got[6] = 1.5;
    cr_expect(array_error(&qkv, &shape, got, want, 0, &at) == 0.25 && at == 6);
    cr_expect(array_error(&inner, &shape, got, want, 0, NULL) == 0.05,
              "two arrays of the first eight elements, in turns of two");
    struct mhc_case gelu = shape;
    gelu.activation = MHC_GELU;
    cr_expect(array_error(&inner, &gelu, got, want, 0, NULL) == 0, "one array, of the first four");
}

Test(array_error, is_infinite_where_one_side_is_not_finite) {
    const double want[3] = {1, 2, INFINITY}, nan[3] = {NAN, 2, INFINITY}, flipped[3] = {1, 2, -INFINITY}, zero[3] = {0},
                 tiny[3] = {0, 0, 1e-300};
    int64_t at;
    cr_expect(array_error(&alpha, &shape, want, want, 0, NULL) == 0);
    cr_expect(array_error(&alpha, &shape, nan, nan, 0, &at) == INFINITY && at == 0, "it was not written");
    cr_expect(array_error(&alpha, &shape, nan, want, 0, &at) == INFINITY && at == 0);
    cr_expect(array_error(&alpha, &shape, flipped, want, 0, &at) == INFINITY && at == 2);
    cr_expect(array_error(&alpha, &shape, tiny, zero, 0, &at) == INFINITY && at == 2);
}
