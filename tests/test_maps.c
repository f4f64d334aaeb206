/* Every residual map of cpu_ref/maps, and every connection of suites/case/connections.def, is what it is said to be. */
#include "suites/stack/ensemble.h"
#include "suites/study/study.h"
#include "tests/check.h"

/* Every map with s = 2 and, where s counts, with 1. */
static const struct {
    int32_t id, order;
    const char *name;
} maps[] = {
#define MAP(id, name) {id, 2, #name},
#include "cpu_ref/maps/maps.def"
#undef MAP
    {MHC_ORTHOSTOCHASTIC, 1, "orthostochastic, s = 1"}};
enum { MAPS = sizeof maps / sizeof *maps, MOST = 512 };

static const double spreads[] = {0.1, 3, 30, 300};
enum { SPREADS = sizeof spreads / sizeof *spreads };

static struct mhc_case case_of(int library, int32_t map, int64_t n) {
    struct mhc_case c = make_case(library, 131, n, 1, 20, MHC_PAPER, 0);
    c.map = map, c.map_order = 2, c.map_constant = 0.375;
    return c;
}

/* Of maps[m]. */
static struct mhc_case case_of_map(int library, int m, int64_t n) {
    struct mhc_case c = case_of(library, maps[m].id, n);
    c.map_order = maps[m].order;
    return c;
}

static bool exists(const struct mhc_case *c) {
    const char *why;
    return mhc_row_find(c->coef == MHC_F64 ? &mhc_cpu64 : &mhc_cpu32, "map.forward")->supports(c, &why);
}

static void draw_logits(const struct mhc_case *c, struct arrays *d, double spread) {
    int64_t count = c->T * mhc_map_logits(c);
    double *logits = put(d, "logits", count);
    for (int64_t k = 0; k < count; k++)
        logits[k] = (float)(spread * mhc_normal(1, mhc_what("logits"), 0, (uint64_t)k));
}

static double loss(const struct mhc_case *c, struct arrays *d) {
    double sum = 0;
    run_named(&mhc_cpu64, "map.forward", c, d, NULL);
    for (int64_t k = 0; k < c->T * c->n * c->n; k++)
        sum += arrays_get(d, "res")[k] * arrays_get(d, "grad_res")[k];
    return sum;
}

/* The gradient of every logit of a token against differences of the fourth order. */
Test(maps, gradients) {
    for (int m = 0; m < MAPS; m++)
        for (int64_t n = 1; n <= 8; n++) {
            struct mhc_case c = case_of_map(0, m, n);
            struct arrays d = {0};
            c.T = 1;
            if (!exists(&c) || !mhc_extent(&c, 'N'))
                continue;
            draw_logits(&c, &d, 1);
            run_named(&mhc_cpu64, "map.backward", &c, &d, NULL);
            double *logits = arrays_get(&d, "logits"), *grad = arrays_get(&d, "grad_logits"), got[MOST], want[MOST],
                   h = 1e-3;
            int64_t K = mhc_map_logits(&c);
            for (int64_t k = 0; k < K; k++) {
                got[k] = grad[k];
                double value[5], kept = logits[k];
                for (int step = -2; step <= 2; step++) {
                    logits[k] = kept + step * h;
                    value[step + 2] = loss(&c, &d);
                }
                logits[k] = kept;
                want[k] = (8 * (value[3] - value[1]) - (value[4] - value[0])) / (12 * h);
            }
            check_close(got, want, K, 1e-9, maps[m].name, "grad_logits");
            arrays_clear(&d);
        }
}

/* What float32 makes of logits of any size is what float64 does, and both are finite. */
Test(maps, single_precision) {
    for (int m = 0; m < MAPS; m++)
        for (int64_t n = 1; n <= MHC_MAX_STREAMS; n++)
            for (int s = 0; s < SPREADS; s++) {
                struct mhc_case c[2] = {case_of_map(0, m, n), case_of_map(1, m, n)};
                struct arrays d[2] = {{.count = 0}, {.count = 0}};
                if (!exists(&c[0]))
                    continue;
                for (int l = 0; l < 2; l++) {
                    draw_logits(&c[l], &d[l], spreads[s]);
                    run_named(libraries[l], "map.forward", &c[l], &d[l], NULL);
                    run_named(libraries[l], "map.backward", &c[l], &d[l], NULL);
                }
                int64_t cells = c[0].T * n * mhc_extent(&c[0], 'N'), K = c[0].T * mhc_map_logits(&c[0]);
                const double *res = arrays_get(&d[0], "res"), *grad = arrays_get(&d[0], "grad_logits");
                for (int64_t k = 0; k < cells; k++)
                    cr_assert(isfinite(res[k]), "%s at %g: res[%lld] is %g", maps[m].name, spreads[s], (long long)k,
                              res[k]);
                check_close(arrays_get(&d[1], "res"), res, cells, 2e-5 * fmax(1, array_largest(res, cells)),
                            maps[m].name, "res");
                check_close(arrays_get(&d[1], "grad_logits"), grad, K, 2e-4 * fmax(1, array_largest(grad, K)),
                            maps[m].name, "grad_logits");
                for (int l = 0; l < 2; l++)
                    arrays_clear(&d[l]);
            }
}

/* Logits of +-1e30: finite, and what a token has is the same whatever its neighbours. A NaN makes all of its token NaN,
 * where res is not the logits themselves, and nothing of another token. */
Test(maps, extreme_logits) {
    for (int m = 0; m < MAPS; m++)
        for (int64_t n = 2; n <= 8; n++)
            for (int l = 0; l < LIBRARIES; l++) {
                struct mhc_case c = case_of_map(l, m, n);
                struct arrays d = {0};
                if (!exists(&c) || !mhc_extent(&c, 'N'))
                    continue;
                int64_t K = mhc_map_logits(&c), cells = n * n, lost = 77;
                draw_logits(&c, &d, 1);
                double *logits = arrays_get(&d, "logits");
                for (int64_t k = 0; k < c.T * K; k++)
                    logits[k] = copysign(1e30, logits[k]);
                logits[lost * K + K / 2] = NAN;
                run_named(libraries[l], "map.forward", &c, &d, NULL);
                run_named(libraries[l], "map.backward", &c, &d, NULL);
                for (int64_t k = 0; k < c.T * cells; k++)
                    cr_assert(c.map == MHC_FREE || isnan(arrays_get(&d, "res")[k]) == (k / cells == lost),
                              "%s, n = %lld, token %lld: %g", maps[m].name, (long long)n, (long long)(k / cells),
                              arrays_get(&d, "res")[k]);
                for (int64_t k = 0; k < c.T * K; k++)
                    cr_assert(k / K == lost || isfinite(arrays_get(&d, "grad_logits")[k]), "%s, n = %lld", maps[m].name,
                              (long long)n);
                arrays_clear(&d);
            }
}

/* A shape that a map cannot do is refused, and the reason says which it can. */
Test(maps, shapes_that_a_map_cannot_do) {
    static const struct {
        int32_t map, order;
        int64_t n;
        double constant;
        const char *needs;
    } refused[] = {
        {MHC_PERMUTATIONS, 2, 6, 1, "n from 1 to 5"},       {MHC_KRONECKER, 2, 6, 1, "n of 1, 2, 4, 8 or 16"},
        {MHC_ORTHOSTOCHASTIC, 0, 4, 1, "map_order 1 or 2"}, {MHC_ORTHOSTOCHASTIC, 3, 4, 1, "map_order 1 or 2"},
        {MHC_CIRCULANT, 2, 4, 0, "above 0 and at most 1"},  {MHC_CIRCULANT, 2, 4, 1.5, "above 0 and at most 1"}};
    for (size_t k = 0; k < sizeof refused / sizeof *refused; k++)
        for (int l = 0; l < LIBRARIES; l++) {
            struct mhc_case c = case_of(l, refused[k].map, refused[k].n);
            const char *why = "";
            c.map_order = refused[k].order, c.map_constant = refused[k].constant;
            cr_expect(!mhc_row_find(libraries[l], "mhc.pre")->supports(&c, &why) && strstr(why, refused[k].needs), "%s",
                      why);
        }
}

/* --- the table of connections --- */

/* Sums of rows and columns of the maps that the table calls exact, and the signs of all: an orthogonal matrix is off by
 * roundings of the logits' size. */
Test(maps, connections_are_what_the_table_says) {
    for (int k = 0; k < CONNECTIONS; k++) {
        const struct connection *connection = &connections[k];
        cr_expect(connection_find(connection->name) == connection);
        cr_expect(mhc_row_find(&mhc_cpu64, "mhc.pre") && *connection->label &&
                  (!strncmp(connection->reference, "arXiv ", 6) || !strncmp(connection->reference, "github ", 7)));
        if (!connection_has_logits(connection))
            continue;
        for (int64_t n = 3; n <= 8; n++)
            for (int s = 0; s < 3; s++) { /* past 30 a softmax has exact zeros */
                struct mhc_case c = case_of(0, connection->map, n);
                struct arrays d = {0};
                if (!exists(&c))
                    continue;
                draw_logits(&c, &d, spreads[s]);
                run_named(&mhc_cpu64, "map.forward", &c, &d, NULL);
                const double *res = arrays_get(&d, "res");
                double worst = 0, least = INFINITY,
                       rounding = c.map == MHC_ORTHOSTOCHASTIC ? 10 * fmax(1, spreads[s]) : 1;
                for (int64_t t = 0; t < c.T; t++)
                    for (int64_t i = 0; i < n; i++) {
                        double row = 0, column = 0;
                        for (int64_t j = 0; j < n; j++) {
                            row += res[(t * n + i) * n + j];
                            column += res[(t * n + j) * n + i];
                            least = fmin(least, res[(t * n + i) * n + j]);
                        }
                        worst = fmax(worst, fmax(fabs(row - 1), fabs(column - 1)));
                    }
                cr_expect(!connection->exact || worst < 1e-14 * rounding, "%s: a sum is off by %g", connection->name,
                          worst);
                cr_expect(connection->negative ? least < 0 || spreads[s] < 1 : least >= 0, "%s: an entry is %g",
                          connection->name, least);
                arrays_clear(&d);
            }
    }
}

/* A row refuses what does not exist. */
Test(maps, unknown_ones_are_refused) {
    static const char *const rows[] = {"map.forward",  "map.backward", "mhc.pre",
                                       "mhc.backward", "mhc.post_pre", "mhc.logits"};
    for (int l = 0; l < LIBRARIES; l++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            struct mhc_case c = case_of(l, MHC_MAPS, 4);
            const char *why = NULL;
            cr_expect(!mhc_row_find(libraries[l], rows[r])->supports(&c, &why) && why && strstr(why, "residual map"),
                      "%s", rows[r]);
        }
}

/* --- KromHC --- */

/* The composite of L layers has the eigenvalues that the products of 2 p - 1 over layers say, on the Hadamard
 * vectors; and the start. */
Test(maps, kronecker_composites) {
    enum { LAYERS = 7, n = 8, FACTORS = 3 };
    struct mhc_case c = case_of(0, MHC_KRONECKER, n);
    struct arrays d = {0};
    double factor[FACTORS] = {1, 1, 1}, vector[n], next[n], b[2 * FACTORS];
    c.T = LAYERS;
    draw_logits(&c, &d, 1);
    run_named(&mhc_cpu64, "map.forward", &c, &d, NULL);
    const double *logits = arrays_get(&d, "logits"), *res = arrays_get(&d, "res");
    for (int k = 0; k < LAYERS * FACTORS; k++) /* 2 p - 1 of a softmax of two */
        factor[k % FACTORS] *= tanh((logits[2 * k] - logits[2 * k + 1]) / 2);
    for (int set = 0; set < n; set++) {
        double eigenvalue = 1;
        for (int f = 0; f < FACTORS; f++)
            eigenvalue *= set >> (FACTORS - 1 - f) & 1 ? factor[f] : 1;
        for (int i = 0; i < n; i++)
            vector[i] = __builtin_parity((unsigned)(set & i)) ? -1 : 1;
        for (int l = 0; l < LAYERS; l++) {
            for (int i = 0; i < n; i++) {
                next[i] = 0;
                for (int j = 0; j < n; j++)
                    next[i] += res[(l * n + i) * n + j] * vector[j];
            }
            memcpy(vector, next, sizeof vector);
        }
        for (int i = 0; i < n; i++)
            cr_expect(fabs(vector[i] - (__builtin_parity((unsigned)(set & i)) ? -1 : 1) * eigenvalue) < 1e-14,
                      "eigenvalue %d", set);
    }
    map_start_f64(&c, 1, 0, b);
    cr_expect(fabs(1 / (1 + exp(b[1] - b[0])) - 0.99966464987) < 1e-10);
    arrays_clear(&d);
}

/* --- a scaled skip --- */

/* Its map is one number per layer, HC's of one stream: 1 + s Z_shared + w Z_layer. Every stack that starts otherwise
 * begins as a ResNet. What the rows make of it is that number. */
Test(maps, a_skip_is_one_number) {
    struct params p;
    char why[200];
    double sum = 0, squares = 0, last = 0;
    params_defaults(&p);
    cr_assert(params_set(&p, params_find("block"), "skip", why, sizeof why));
    p.streams = 1, p.w = 0.25, p.width = 3, p.tokens = 2;
    cr_assert(params_check(&p, why, sizeof why), "%s", why);
    for (int64_t layer = 0; layer < 2000; layer++) {
        double scale, map;
        ensemble_parameter(&p, layer, "scale", 1, &scale);
        ensemble_static(&p, layer, &map);
        cr_expect(scale == map && scale != last);
        last = scale;
        sum += scale - 1;
        squares += (scale - 1) * (scale - 1);
    }
    cr_expect(fabs(sum / 2000) < 0.03 && fabs(sqrt(squares / 2000) - 0.25) < 0.02, "%g, %g", sum / 2000,
              sqrt(squares / 2000));
    cr_expect(!ensemble_dynamic(&p));
    p.s = 1, p.w = 0;
    double first, second;
    ensemble_static(&p, 0, &first), ensemble_static(&p, 7, &second);
    cr_expect(first == second && first != 1);
    for (p.init = INIT_MIXED; p.init <= INIT_PRE_NORM; p.init++) {
        ensemble_static(&p, 3, &first);
        cr_expect(first == 1, "init %lld: %g", (long long)p.init, first);
    }
    p.streams = 4;
    cr_expect(!params_check(&p, why, sizeof why) && strstr(why, "--streams 1"), "%s", why);
}

static double last_of(const struct study_result *r, enum mhc_metric metric) {
    return r->curves.curve[metric][MHC_MEAN][r->L - 1];
}

static void study(struct params *p, int64_t which, struct study_result *r) {
    p->study = which;
    study_run(&(struct study_context){.p = p}, r);
    cr_assert(!r->reason[0] && r->mixing, "%s: %s", params_connection(p)->name, r->reason);
}

static struct params reach_case(int block) {
    struct params p;
    params_defaults(&p);
    p.block = block;
    p.streams = connection_has_one_stream(&connections[block]) ? 1 : 4;
    p.depth = 6;
    p.width = 8;
    p.tokens = 3;
    p.alpha = 0;
    p.w = 0.3;
    return p;
}

/* Without a dynamic part the coefficients that study maps draws are those that a stack computes: so is the reach. */
Test(maps, reach_is_that_of_the_stack) {
    for (int block = 0; block < CONNECTIONS; block++)
        for (int init = INIT_LATENT; init <= INIT_PRE_NORM; init++) {
            struct params p = reach_case(block);
            struct study_result alone, stack;
            p.init = init;
            study(&p, STUDY_MAPS, &alone);
            study(&p, STUDY_PROPAGATE, &stack);
            for (int m = MHC_reach_forward_max; m <= MHC_reach_rank; m++)
                for (int64_t l = 0; l < p.depth; l++) {
                    const double a = alone.curves.curve[m][MHC_MEAN][l], b = stack.curves.curve[m][MHC_MEAN][l];
                    cr_expect(fabs(a - b) <= 1e-7 * fmax(1, fabs(b)), "%s, start %d: %s of layer %ld: %.17g and %.17g",
                              connections[block].name, init, mhc_metric_info[m].name, (long)l, a, b);
                }
            for (int64_t k = 0; k < 49; k++)
                cr_expect((isnan(alone.mixing[k]) && isnan(stack.mixing[k])) ||
                              fabs(alone.mixing[k] - stack.mixing[k]) <= 1e-9,
                          "%s, start %d: entry %ld", connections[block].name, init, (long)k);
            study_release(&alone);
            study_release(&stack);
        }
}

/* Equal writes and rows that sum to 1: whatever the map, every source is read as by a ResNet, and no streams differ. */
Test(maps, equal_writes_are_a_resnet) {
    for (int block = 0; block < CONNECTIONS; block++) {
        struct params p = reach_case(block);
        struct study_result r;
        if (connections[block].generator != GENERATOR_MHC)
            continue;
        p.pre_post = PRE_POST_EQUAL;
        study(&p, STUDY_MAPS, &r);
        for (int64_t k = 0; k < 49; k++)
            cr_expect(isnan(r.mixing[k]) || fabs(r.mixing[k]) < 1e-8, "%s: entry %ld: %g", connections[block].name,
                      (long)k, r.mixing[k]);
        cr_expect(fabs(last_of(&r, MHC_reach_rank) - 1) < 1e-6, "%s", connections[block].name);
        cr_expect(fabs(last_of(&r, MHC_reach_sources) - 7) < 1e-6, "%s", connections[block].name);
        study_release(&r);
    }
}
