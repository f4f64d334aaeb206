/* A record of schema mhcbench/1.0, kept for ever: every later reader must read the same from it. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "results/record.h"
#include "suites/report/groups.h"

static void expect_near(double got, double want, const char *what) {
    cr_expect(fabs(got - want) <= 1e-12 * fabs(want), "%s: got %.17g, want %.17g", what, got, want);
}

Test(schema, version_1_stays_readable) {
    struct record_reader *reader = record_open("tests/golden/v1.h5");
    cr_assert_not_null(reader, "%s", record_error());
    cr_expect_eq(record_count(reader), 3);
    cr_expect(record_complete(reader));
    cr_expect_str_eq(record_attribute(reader, "schema"), "mhcbench/1.0");
    cr_expect(record_subject_count(reader) == 0 && record_rounds(reader, 0) == 0 &&
              record_list_count(reader, RECORD_LIST_ACCURACIES) == 0);
    const char *const *keys = record_texts(reader, "key");
    cr_assert_not_null(keys);
    cr_expect_str_eq(
        keys[1],
        "--study maps --block hc --depth 6 --streams 2 --tokens 4 --w 0.5 --alpha 0.1 --measure gain --seed 2");
    cr_expect_str_eq(record_texts(reader, "status")[2], "done");
    cr_expect_eq(record_ints(reader, "layers")[2], 4);
    expect_near(record_reals(reader, "w")[0], 0.5, "w");
    expect_near(record_summary(reader, "composite_forward_sum_max")[0], 0.2872249062954191, "forward gain of case 0");
    expect_near(record_summary(reader, "composite_backward_abs_max")[2], 0.0493188477226918, "backward gain of case 2");
    const double *curve = record_curve_of(reader, "composite_forward_sum", 0);
    cr_assert_not_null(curve);
    double largest = -INFINITY;
    for (int l = 0; l < 6; l++)
        largest = fmax(largest, curve[l]);
    expect_near(largest, 0.2872249062954191, "largest of the curve");
    record_close(reader);
}

Test(schema, version_1_groups_by_seed) {
    struct record_reader *reader = record_open("tests/golden/v1.h5");
    struct groups g;
    char why[200];
    cr_assert_not_null(reader, "%s", record_error());
    cr_assert(groups_read(reader, &g, why, sizeof why), "%s", why);
    cr_expect_eq(g.count, 2);
    cr_expect_eq(g.group[0].count, 2);
    struct spread s = groups_summary(reader, &g.group[0], "composite_forward_sum_max");
    expect_near(log10(s.median), (0.2872249062954191 + 0.8203472621792716) / 2, "median over seeds, on the log scale");
    groups_release(&g);
    record_close(reader);
}
