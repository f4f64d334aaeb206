/* `make bench-cpu`: the CPU reference against a copy and a GEMM of the same run, as shares. Rounds are interleaved,
 * so that a slow spell of the machine hits all alike; medians are printed. Reports only: no test depends on it. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/analysis.h"
#include "cpu_ref/blas_core.h"
#include "cpu_ref/library.h"
#include "cpu_ref/philox.h"
#define REAL_BITS 32 /* for the names of the float32 room */
#include "cpu_ref/real.h"
#include "suites/rows/backend.h"

enum { ROUNDS = 15, COPY_BYTES = 64 << 20, GEMM = 1024, MAX_ITEMS = 64, L = 60, MAP_T = 4096 };

struct item {
    const char *name;
    double bytes, flops; /* of one call; 0: not meaningful */
    bool wide;           /* float64: compare with dgemm */
    void (*run)(void *);
    void *user;
    double seconds[ROUNDS];
};
static struct item items[MAX_ITEMS];
static int item_count;

static void *filled(int64_t count, int64_t size, double scale) {
    void *data = aligned_alloc(64, (size_t)((count * size + 63) / 64 * 64));
    for (int64_t k = 0; k < count; k++)
        if (size == 8)
            ((double *)data)[k] = scale * mhc_normal(1, 2, 3, (uint64_t)k);
        else
            ((float *)data)[k] = (float)(scale * mhc_normal(1, 2, 3, (uint64_t)k));
    return data;
}

static void copy(void *user) {
    char *from = user, *to = from + COPY_BYTES;
#pragma omp parallel for schedule(static)
    for (int64_t k = 0; k < COPY_BYTES; k += 1 << 16)
        memcpy(to + k, from + k, 1 << 16);
}

/* The GEMM that the operations themselves call. */
void gemm_parallel_f64(enum transpose ta, enum transpose tb, int64_t m, int64_t n, int64_t k, double alpha,
                       const double *a, int64_t lda, const double *b, int64_t ldb, double beta, double *c, int64_t ldc);

static void gemm32(void *user) {
    float *a = user, *b = a + GEMM * GEMM, *c = b + GEMM * GEMM;
    gemm_parallel_f32(NO_TRANSPOSE, NO_TRANSPOSE, GEMM, GEMM, GEMM, 1, a, GEMM, b, GEMM, 0, c, GEMM);
}

static void gemm64(void *user) {
    double *a = user, *b = a + GEMM * GEMM, *c = b + GEMM * GEMM;
    gemm_parallel_f64(NO_TRANSPOSE, NO_TRANSPOSE, GEMM, GEMM, GEMM, 1, a, GEMM, b, GEMM, 0, c, GEMM);
}

/* One row with its arrays. */
struct call {
    const struct backend *backend;
    const struct mhc_row *row;
    const struct mhc_case *c;
    struct array arrays[MHC_MAX_ARGS * 4];
    int count;
    void *save, *work;
};

static void run_call(void *user) {
    struct call *k = user;
    const char *why = backend_run(k->backend, k->row, k->c, k->arrays, k->count, k->save, k->work);
    if (why) {
        fprintf(stderr, "bench_cpu: %s\n", why);
        exit(2);
    }
}

static void add(const char *name, double bytes, double flops, bool wide, void (*run)(void *), void *user) {
    items[item_count++] = (struct item){
        .name = name, .bytes = bytes, .flops = flops, .wide = wide, .run = run, .user = user};
}

static double row_bytes(const struct mhc_row *row, const struct mhc_case *c) {
    double bytes = 0;
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        bytes += (double)(mhc_elements(c, arg) * mhc_type_bytes(mhc_arg_type(c, arg)));
    return bytes;
}

/* Adds a row; arrays are shared by name through the table `shared`. */
static void add_row(const struct backend *b, const struct mhc_case *c, const char *kind, const char *operation,
                    struct call *shared, const char *label) {
    const char *why;
    struct call *k = calloc(1, sizeof *k);
    k->row = backend_row(b, kind, operation, c, &why);
    if (!k->row) {
        fprintf(stderr, "bench_cpu: %s.%s: %s\n", kind, operation, why);
        exit(2);
    }
    for (const struct mhc_arg *arg = k->row->args; arg->name; arg++) {
        int at = 0;
        while (at < shared->count && strcmp(shared->arrays[at].name, arg->name))
            at++;
        if (at == shared->count)
            shared->arrays[shared->count++] = (struct array){arg->name, filled(mhc_elements(c, arg),
                                                                               mhc_type_bytes(mhc_arg_type(c, arg)),
                                                                               !strcmp(arg->name, "phi") ? 0.01 : 1)};
    }
    memcpy(k->arrays, shared->arrays, sizeof k->arrays);
    k->count = shared->count;
    k->backend = b;
    k->c = c;
    if (!shared->save && row_save_bytes(k->row, c))
        shared->save = backend_allocate(b, row_save_bytes(k->row, c));
    k->save = shared->save;
    k->work = backend_allocate(b, row_work_bytes(k->row, c));
    add(label, row_bytes(k->row, c), k->row->flops(c), c->stream == MHC_F64, run_call, k);
}

struct gains {
    const double *res;
    struct mhc_curves curves;
};

static void run_gains(void *user) {
    struct gains *g = user;
    if (mhc_measure_maps(g->res, L, MAP_T, 4, &g->curves))
        exit(2);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const struct item *item) {
    double sorted[ROUNDS];
    memcpy(sorted, item->seconds, sizeof sorted);
    qsort(sorted, ROUNDS, sizeof *sorted, by_size);
    return sorted[ROUNDS / 2];
}

static void measure(void) {
    for (int round = -2; round < ROUNDS; round++) /* two rounds warm up */
        for (int k = 0; k < item_count; k++) {
            int at = (k + (round + 2) * 5) % item_count;
            double start = omp_get_wtime();
            items[at].run(items[at].user);
            if (round >= 0)
                items[at].seconds[round] = omp_get_wtime() - start;
        }
}

/* The residual maps with four streams, three items each: their forward alone, and fused in mhc.pre and backward.
 * Sinkhorn, the measure of the others, is the first of the list. */
static const struct {
    const char *name;
    int32_t map, order;
} maps[] = {
#define MAP(id, name) {#name, id, 1},
#include "cpu_ref/maps/maps.def"
#undef MAP
    {"orthostochastic, s = 2", MHC_ORTHOSTOCHASTIC, 2}};
enum { MAPS = sizeof maps / sizeof *maps, EACH = 3 };
static int first_map;
static struct mhc_case map_cases[MAPS][2];

static void nothing(void *user) {
    (void)user;
}

static void add_maps(const struct backend *b64, const struct backend *b32, const struct mhc_case *alone,
                     const struct mhc_case *fused) {
    first_map = item_count;
    for (int k = 0; k < MAPS; k++) {
        static struct call arrays[MAPS][2];
        for (int wide = 0; wide < 2; wide++) {
            map_cases[k][wide] = wide ? *alone : *fused;
            map_cases[k][wide].map = maps[k].map, map_cases[k][wide].map_order = maps[k].order;
            map_cases[k][wide].map_constant = 0.5;
        }
        if (maps[k].map == MHC_IDENTITY) /* nothing to compute */
            add(maps[k].name, 0, 0, true, nothing, NULL);
        else
            add_row(b64, &map_cases[k][1], "map", "forward", &arrays[k][1], maps[k].name);
        add_row(b32, &map_cases[k][0], "mhc", "pre", &arrays[k][0], "mhc.pre");
        add_row(b32, &map_cases[k][0], "mhc", "backward", &arrays[k][0], "mhc.backward");
    }
}

static void report_maps(void) {
    double sinkhorn = median(&items[first_map + 1]) + median(&items[first_map + 2]);
    printf("\nresidual maps, n = 4, t_max = 20: 60 x 4096 maps forward, float64; "
           "mhc.pre and backward, T = 1024, C = 1280, float32\n");
    printf("%-44s %10s %12s %12s\n", "", "ms", "fused, ms", "of Sinkhorn");
    for (int k = 0; k < MAPS; k++) {
        const struct item *i = &items[first_map + EACH * k];
        double fused = median(i + 1) + median(i + 2);
        printf("%-44s %10.3f %12.3f %12.3f\n", i->name, 1e3 * median(i), 1e3 * fused, fused / sinkhorn);
    }
}

static void report(void) {
    double copy_rate = items[0].bytes / median(&items[0]),
           gemm_rate[2] = {items[1].flops / median(&items[1]), items[2].flops / median(&items[2])};
    printf("%d threads, medians of %d interleaved rounds\n\n", omp_get_max_threads(), ROUNDS);
    printf("%-44s %10s %9s %9s %12s %12s\n", "", "ms", "GB/s", "GFLOP/s", "% of copy", "% of GEMM");
    for (int k = 0; k < first_map; k++) {
        const struct item *i = &items[k];
        double seconds = median(i);
        printf("%-44s %10.3f %9.2f %9.2f %12.0f %12.0f\n", i->name, seconds * 1e3, i->bytes / seconds * 1e-9,
               i->flops / seconds * 1e-9, 100 * i->bytes / seconds / copy_rate,
               100 * i->flops / seconds / gemm_rate[i->wide]);
    }
    printf("\nall composite gains of 60 x 4096 maps 4x4, float64, 20 Sinkhorn iterations: %.1f ms\n",
           1e3 * (median(&items[3]) + median(&items[4])));
    printf("one mHC connection, T = 1024, C = 1280, n = 4, float32: forward %.1f ms, forward and backward %.1f ms\n",
           1e3 * (median(&items[5]) + median(&items[6])),
           1e3 * (median(&items[5]) + median(&items[6]) + median(&items[7]) + median(&items[8])));
    printf("bytes and operations are the rows' own models: every argument moved once; "
           "a share above 100 %% means the caches helped\n");
}

int main(int argc, char **argv) {
    (void)argc;
    blas_core_mend(argv);
    struct backend b64, b32;
    char why[200];
    if (!backend_open(&b64, "cpu64", why, sizeof why) || !backend_open(&b32, "cpu32", why, sizeof why))
        return 2;
    double cube = 2.0 * GEMM * GEMM * GEMM;
    add("copy, 64 MiB", 2.0 * COPY_BYTES, 0, false, copy, filled(2 * COPY_BYTES / 8, 8, 1));
    add("GEMM 1024^3, float32", 3.0 * GEMM * GEMM * 4, cube, false, gemm32, filled(3 * GEMM * GEMM, 4, 1));
    add("GEMM 1024^3, float64", 3.0 * GEMM * GEMM * 8, cube, true, gemm64, filled(3 * GEMM * GEMM, 8, 1));

    struct mhc_case alone = {.T = L * MAP_T, .n = 4, .t_max = 20};
    struct call map_arrays = {0}, connection = {0};
    add_row(&b64, &alone, "sinkhorn", "forward", &map_arrays, "Sinkhorn, 60 x 4096 maps, float64");
    struct gains gains = {.res = map_arrays.arrays[1].pointer};
    if (!mhc_curves_allocate(&gains.curves, L, MHC_GROUP_GAIN, false))
        return 2;
    add("gains of the 60 layers, single and composite", 2.0 * 8 * 16 * L * MAP_T, 2.0 * 2 * 64 * L * MAP_T, true,
        run_gains, &gains);

    struct mhc_case c = {.T = 1024,
                         .n = 4,
                         .C = 1280,
                         .t_max = 20,
                         .rms_eps = 1e-20,
                         .stream = MHC_F32,
                         .coef = MHC_F32,
                         .param = MHC_F32};
    add_row(&b32, &c, "mhc", "pre", &connection, "mhc.pre");
    add_row(&b32, &c, "mhc", "post", &connection, "mhc.post");
    add_row(&b32, &c, "mhc", "post_backward_y", &connection, "mhc.post_backward_y");
    add_row(&b32, &c, "mhc", "backward", &connection, "mhc.backward");
    add_maps(&b64, &b32, &alone, &c);
    measure();
    report();
    report_maps();
    return 0;
}
