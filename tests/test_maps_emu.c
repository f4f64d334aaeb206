/* The residual maps of the kernels, in float32 under the host executor, against those of the CPU in float64: logits of
 * every spread, and what is no number. */
#include "tests/check.h"

static const struct {
    int32_t id, order;
    const char *name;
} maps[] = {
#define MAP(id, name) {id, 2, #name},
#include "cpu_ref/maps/maps.def"
#undef MAP
    {MHC_ORTHOSTOCHASTIC, 1, "orthostochastic, s = 1"}};
enum { MAPS = sizeof maps / sizeof *maps, TOKENS = 71, LOST = 40 };

static const char *const rows[] = {"map.forward", "map.backward"}, *const outputs[] = {"res", "grad_logits"};

static void open_emu(struct backend *emu) {
    const char *build = getenv("BUILD");
    char path[4096], why[MAX_FAILURE];
    snprintf(path, sizeof path, "%s/libmhc_emu.so", build ? build : "build");
    cr_assert(backend_open(emu, path, why, sizeof why), "%s", why);
}

/* Runs both rows of maps[m] on both, with K logits; false: it does not exist for n. */
static bool run_both(const struct backend *emu, int m, int64_t n, double spread, struct arrays *want,
                     struct outcome got[2], int64_t *K) {
    struct mhc_case c[2];
    const char *reason;
    char why[MAX_FAILURE];
    for (int l = 0; l < 2; l++) {
        c[l] = make_case(l, TOKENS, n, 1, 20, MHC_PAPER, 0);
        c[l].map = maps[m].id, c[l].map_order = maps[m].order, c[l].map_constant = 0.375;
    }
    if (!mhc_row_find(emu->library, "map.forward")->supports(&c[1], &reason))
        return false;
    *K = mhc_map_logits(&c[0]);
    int64_t count = TOKENS * *K;
    double *logits = put(want, "logits", count);
    for (int64_t k = 0; k < count; k++) {
        double normal = mhc_normal(3, mhc_what("logits"), 0, (uint64_t)k);
        logits[k] = isinf(spread) ? copysign(1e30, normal) : (float)(spread * normal);
        if (isinf(spread) && k == LOST * *K)
            logits[k] = NAN;
    }
    for (int r = 0; r < 2; r++) {
        run_named(&mhc_cpu64, rows[r], &c[0], want, NULL);
        arrays_alias_all(&got[r].made, want);
        bool good = run_guarded(emu, mhc_row_find(emu->library, rows[r]), &c[1],
                                &(struct poison){.pattern = 0xffff, .shift = 64}, &got[r], why);
        cr_assert(good, "%s, n = %lld: %s", maps[m].name, (long long)n, why);
    }
    return true;
}

/* An orthogonal matrix is off by float's roundings of the logits' size, which is some hundreds of them for 32 rows. */
static double tolerance(int m, int r, int64_t n, double spread) {
    double rounding = maps[m].id == MHC_ORTHOSTOCHASTIC ? 1e-7 * fmax(1, spread) * (double)(2 * n) : 0;
    return (r ? 2e-4 : 2e-5) + rounding;
}

static void compare_at(const struct backend *emu, double spread) {
    for (int m = 0; m < MAPS; m++)
        for (int64_t n = 1; n <= MHC_MAX_STREAMS; n += n < 9 ? 1 : 7) {
            struct arrays want = {0};
            struct outcome got[2] = {{.save = {0}}, {.save = {0}}};
            int64_t K = 0;
            bool exists = run_both(emu, m, n, spread, &want, got, &K);
            for (int r = 0; r < 2 && exists; r++) {
                const double *right = arrays_get(&want, outputs[r]), *made = arrays_get(&got[r].made, outputs[r]);
                int64_t each = r ? K : n * n;
                double scale = array_largest(right, TOKENS * each);
                for (int64_t k = 0; k < TOKENS * each; k++)
                    cr_assert(isinf(spread) ? isnan(made[k]) == isnan(right[k]) && !isinf(made[k])
                                            : fabs(made[k] - right[k]) <= tolerance(m, r, n, spread) * fmax(1, scale),
                              "%s, n = %lld at %g: %s[%lld] of token %lld is %g, wanted %g", maps[m].name, (long long)n,
                              spread, outputs[r], (long long)(k % each), (long long)(k / each), made[k], right[k]);
            }
            for (int r = 0; r < 2; r++)
                outcome_clear(&got[r]);
            arrays_clear(&want);
        }
}

Test(maps_emu, every_spread_of_logits) {
    static const double spreads[] = {0.1, 3, 30, 300};
    struct backend emu;
    open_emu(&emu);
    for (int s = 0; s < 4; s++)
        compare_at(&emu, spreads[s]);
    backend_close(&emu);
}

/* Logits of +-1e30, and a NaN: NaN just where the CPU has it, and finite elsewhere. */
Test(maps_emu, extreme_logits) {
    struct backend emu;
    open_emu(&emu);
    compare_at(&emu, INFINITY);
    backend_close(&emu);
}
