/* The random numbers of a case: calibrated maps, tokens from a text, and what is held out of it. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "suites/stack/ensemble.h"
#include "suites/stack/program.h"
#include "tests/suite_line.h"

static struct params params_of(const char *line) {
    struct suite s = read_line(line);
    struct params p = s.cases[0];
    suite_release(&s);
    return p;
}

static double spread_of(const double *values, int64_t count) {
    double sum = 0;
    for (int64_t k = 0; k < count; k++)
        sum += values[k] * values[k];
    return sqrt(sum / (double)count);
}

Test(ensemble, draws_are_reproducible_and_shared_between_hc_and_mhc) {
    double mhc[256], hc[256], again[256], other[256];
    for (int64_t n = 1; n <= 16; n += 5)
        for (int64_t layer = 0; layer < 3; layer++) {
            char line[200];
            snprintf(line, sizeof line, "--streams %lld --block mhc --d 12 --s 6 --w 0.5 --seed 3", (long long)n);
            struct params p = params_of(line), q = p;
            ensemble_static(&p, layer, mhc);
            ensemble_static(&p, layer, again);
            cr_expect(!memcmp(mhc, again, (size_t)(n * n) * 8), "the same seed draws different bits, n = %lld",
                      (long long)n);
            q.seed = 4;
            ensemble_static(&q, layer, other);
            for (int64_t k = 0; k < n * n; k++)
                cr_expect(mhc[k] != other[k], "seeds 3 and 4 share element %lld", (long long)k);
            p.block = connection_find("hc") - connections;
            ensemble_static(&p, layer, hc);
            for (int64_t k = 0; k < n * n; k++) {
                double one = k % (n + 1) == 0, error = fabs((mhc[k] - 12 * one) - (hc[k] - one));
                cr_expect(error <= 1e-14, "n = %lld, element %lld: logits - d I is %.17g, map - I is %.17g",
                          (long long)n, (long long)k, mhc[k] - 12 * one, hc[k] - one);
            }
            p.block = connection_find("mhc") - connections;
            p.convention = MHC_V4; /* [source][destination] */
            ensemble_static(&p, layer, other);
            for (int64_t k = 0; k < n * n; k++)
                cr_expect(other[k] == mhc[k % n * n + k / n], "v4 is not the transpose at %lld", (long long)k);
        }
}

Test(ensemble, sizes_of_the_draws) {
    enum { N = 200000 };
    static double values[N], two[N];
    const struct {
        const char *line, *name;
        double want;
    } parameter[] = {{"--phi 3 --streams 4 --width 25", "phi", 3 / sqrt(100)},
                     {"--init mixed --phi 1 --streams 4 --width 25", "phi", 1 / sqrt(100)},
                     {"--block hc --phi 3 --width 25", "theta_res", 3 / sqrt(25)},
                     {"--width 400 --branch-gain 2", "w", 2 / sqrt(400)},
                     {"--width 400 --hidden 100", "w_down", 1 / sqrt(100)},
                     {"--width 400 --heads 2 --head-dim 8", "w_o", 1 / sqrt(16)},
                     {"--alpha 0.25", "alpha", 0.25},
                     {"--init gap --alpha 0.25", "alpha", 0},
                     {"--branch mlp", "gain", 1}};
    for (size_t k = 0; k < sizeof parameter / sizeof *parameter; k++) {
        struct params p = params_of(parameter[k].line);
        ensemble_parameter(&p, 1, parameter[k].name, N, values);
        double got = spread_of(values, N), want = parameter[k].want;
        cr_expect(!(fabs(got - want) > 0.01 * want), "%s %s: std %.4g, wanted %.4g", parameter[k].line,
                  parameter[k].name, got, want);
    }
    struct params p = params_of("--study maps --s 2 --w 0 --seed 1"), q = p;
    double shared[2][16], sum = 0;
    for (q.seed = 1; q.seed <= 2000; q.seed++) { /* s: one draw for all layers */
        ensemble_static(&q, 0, shared[0]);
        ensemble_static(&q, 9, shared[1]);
        cr_assert(!memcmp(shared[0], shared[1], sizeof shared[0]));
        sum += spread_of(shared[0], 16) * spread_of(shared[0], 16);
    }
    cr_expect(!(fabs(sqrt(sum / 2000) - 2) > 0.04), "std of s Z_shared: %.4g, wanted 2", sqrt(sum / 2000));
    ensemble_dynamic_draw(&p, 0, N, values);
    ensemble_dynamic_draw(&p, 1, N, two);
    double product = 0;
    for (int64_t k = 0; k < N; k++)
        product += values[k] * two[k] / N;
    cr_expect(!(fabs(spread_of(values, N) - 1) > 0.01) && !(fabs(product) > 0.01), "std %g, correlation of layers %g",
              spread_of(values, N), product);
}

Test(ensemble, text_becomes_tokens) {
    struct params p = params_of("--tokens 6 --width 3");
    double x[18], y[18];
    char why[300] = "";
    p.input = "/tmp/mhcbench-input-test";
    FILE *file = fopen(p.input, "wb");
    fputs("abcabcd", file);
    fclose(file);
    cr_assert(ensemble_tokens(&p, x, why, sizeof why), "%s", why);
    cr_expect(!memcmp(x, x + 9, 72) && memcmp(x, x + 3, 24) && memcmp(x, x + 6, 24),
              "equal bytes are equal tokens, and only those");
    p.seed = 2;
    cr_assert(ensemble_tokens(&p, y, why, sizeof why));
    cr_expect(memcmp(x, y, sizeof x), "the table depends on the seed");
    p.tokens = 7;
    cr_expect(!ensemble_tokens(&p, x, why, sizeof why) && strstr(why, "has 7 bytes, 6 without the last 5 %"), "%s",
              why);
    unlink(p.input);
    cr_expect(!ensemble_tokens(&p, x, why, sizeof why) && strstr(why, "No such file"), "%s", why);
}

/* Of 140 bytes, the last 7 are never read, and the one before them is. */
Test(ensemble, last_bytes_are_held_out) {
    enum { BYTES = 140, HELD_OUT = 7, SEEDS = 1000 };
    struct params p = params_of("--tokens 3 --width 1");
    char why[300] = "", bytes[BYTES];
    double plain[SEEDS][3], x[3];
    int differ[2] = {0, 0};
    p.input = "/tmp/mhcbench-held-out-test";
    for (int what = -1; what < 2;
         what++) { /* one byte all over; another one where it is held out; another one just before */
        memset(bytes, 'a', BYTES);
        memset(bytes + BYTES - HELD_OUT - (what == 1), 'b', what < 0 ? 0 : what ? 1 : HELD_OUT);
        FILE *file = fopen(p.input, "wb");
        cr_assert(file && fwrite(bytes, 1, BYTES, file) == BYTES);
        fclose(file);
        for (p.seed = 1; p.seed <= SEEDS; p.seed++) {
            cr_assert(ensemble_tokens(&p, what < 0 ? plain[p.seed - 1] : x, why, sizeof why), "%s", why);
            if (what >= 0)
                differ[what] += memcmp(x, plain[p.seed - 1], sizeof x) != 0;
        }
    }
    unlink(p.input);
    cr_expect(differ[0] == 0 && differ[1] > 0, "%d seeds read what is held out, %d the last byte before", differ[0],
              differ[1]);
    cr_expect(ensemble_readable(0) == 0 && ensemble_readable(1) == 0 && ensemble_readable(7) == 6 &&
              ensemble_readable(1562931) == 1484784);
}

Test(stack, recompute_rule) {
    cr_expect(program_recompute_rule(60, 4) == 6, "got %lld", (long long)program_recompute_rule(60, 4));
    cr_expect(program_recompute_rule(1, 1) == 1 && program_recompute_rule(1000, 16) == 30);
}
