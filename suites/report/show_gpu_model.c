#include "suites/report/show_gpu_model.h"

#include <stdio.h>
#include <string.h>

#include "cpu_ref/library.h"
#include "suites/case/params.h"
#include "suites/rows/gpu_model.h"

/* Times of others' kernels for mHC with n = 4, bf16 and 20 iterations, as they were published: kernels alone. Where a
 * source times parts, they are added up: norm, projection, Sinkhorn and aggregate are our mhc.pre. All of them go over
 * x twice, and their backwards move two to four times what ours do. */
#define MHCBENCH "TransformerEngine's Triton, kainzhong/mhc_bench"
#define MEGATRON "Megatron's cuTile, NVIDIA/Megatron-LM #3828"
#define FLAGGEMS "FlagGems #1901"
static const struct published {
    const char *source, *on, *gpu; /* which GPU; the model that stands for it */
    int64_t T, C;
    const char *what, *rows[4];
    double seconds;
} published[] = {
    {MHCBENCH, "B200", "b200", 4096, 8192, "pre", {"mhc.pre"}, 132.9e-6},
    {MHCBENCH, "B200", "b200", 4096, 8192, "post", {"mhc.post"}, 87.1e-6},
    {MHCBENCH, "B200", "b200", 4096, 8192, "backward", {"mhc.post_backward_y", "mhc.backward"}, 507.0e-6},
    {MHCBENCH,
     "B200",
     "b200",
     4096,
     6656,
     "both ways",
     {"mhc.pre", "mhc.post", "mhc.post_backward_y", "mhc.backward"},
     598.0e-6},
    {MHCBENCH,
     "B200",
     "b200",
     8192,
     4096,
     "both ways",
     {"mhc.pre", "mhc.post", "mhc.post_backward_y", "mhc.backward"},
     730.5e-6},
    {MHCBENCH,
     "B200",
     "b200",
     16384,
     2560,
     "both ways",
     {"mhc.pre", "mhc.post", "mhc.post_backward_y", "mhc.backward"},
     913.6e-6},
    {MHCBENCH,
     "B200",
     "b200",
     32768,
     7168,
     "both ways",
     {"mhc.pre", "mhc.post", "mhc.post_backward_y", "mhc.backward"},
     4610e-6},
    {MEGATRON, "GB200", "b200", 32768, 7168, "pre", {"mhc.pre"}, 840e-6},
    {MEGATRON, "GB200", "b200", 32768, 7168, "post", {"mhc.post"}, 684e-6},
    {MEGATRON, "GB200", "b200", 32768, 7168, "backward", {"mhc.post_backward_y", "mhc.backward"}, 4884e-6},
    {FLAGGEMS, "H100/H800", "h100", 4096, 1280, "post", {"mhc.post"}, 39.0e-6},
    {FLAGGEMS, "H100/H800", "h100", 4096, 2560, "post", {"mhc.post"}, 69.8e-6},
    {FLAGGEMS, "H100/H800", "h100", 4096, 7168, "post", {"mhc.post"}, 183.6e-6},
};

static const struct gpu *gpu_called(const char *name) {
    const struct gpu *gpu = gpu_models;
    while (gpu->name && strcmp(gpu->name, name))
        gpu++;
    return gpu;
}

/* The rows of a published figure on a GPU, with the kernels for clusters or with two passes. */
static double modelled(const struct published *p, bool clusters) {
    struct gpu gpu = *gpu_called(p->gpu);
    const struct mhc_case c = {
        .T = p->T, .n = 4, .C = p->C, .t_max = 20, .stream = MHC_BF16, .coef = MHC_F32, .param = MHC_F32};
    double sum = 0;
    gpu.clusters = clusters;
    for (int k = 0; k < 4 && p->rows[k]; k++) {
        struct gpu_cost cost = {0};
        gpu_model_cost(&gpu, mhc_row_find(&mhc_cpu64, p->rows[k]), &c, &cost);
        sum += cost.seconds;
    }
    return sum;
}

static void say_made_of(const struct gpu *gpu, struct tables *t) {
    tables_say(t,
               "MODEL of %s: %.3g TB/s, %.3g TFLOP/s in bf16 and %.3g in f32, %.3g GB, L2 of %.3g MB (%s). Nothing is "
               "run.\n\n"
               "Time of an operation = its kernels x %.1f us (%.1f in a graph) + the larger of its bytes over a share "
               "of the bandwidth and its flops over a share of the peak. Bytes: those of the contract and what our "
               "kernels move besides. %s.\nGap between kernels: %s. No data sheet has one.\n\n",
               gpu->product, gpu->bandwidth * 1e-12, gpu->tensor_flops * 1e-12, gpu->plain_flops * 1e-12,
               gpu->memory * 1e-9, gpu->cache * 1e-6, gpu->source, 1e6 * GPU_GAP, 1e6 * GPU_GRAPH_GAP,
               gpu->clusters ? "mHC and HC in one pass, in clusters, where n is 1, 2 or 4 and streams are bf16; else "
                               "in two"
                             : "It has no clusters: mHC and HC take two passes, and there is no form across layers",
               GPU_GAP_SOURCE);
    static const struct column columns[] = {{"share", "share", .width = 6, .format = "%.1f %%", .scale = 100},
                                            {"of", "of", .width = -36},
                                            {"source", "from", .width = -1}};
    table_begin(t, "shares", columns);
    for (int k = 0; k < GPU_SHARES; k++)
        table_row(t, in_reals(gpu_shares[k].share), in_words(gpu_shares[k].what), in_words(gpu_shares[k].source));
    table_end(t);
}

bool show_gpu_model(const char *backend, struct tables *t, char *why, size_t why_size) {
    const struct mhc_library *known = gpu_model_library(backend, why, why_size);
    static const struct column columns[] = {
        {"gpu", "GPU", .width = -9},
        {"tokens", "T", .width = 5},
        {"width", "C", .width = 5},
        {"operation", "operation", .width = -9},
        {"published", "published/us", .width = 12, .digits = 4, .scale = 1e6},
        {"one_pass", "MODEL/us", .width = 9, .digits = 4, .scale = 1e6},
        {"one_pass_error", "error", .width = 8, .format = "%+.0f %%", .scale = 100},
        {"two_passes", "two passes/us", .width = 13, .digits = 4, .scale = 1e6},
        {"two_passes_error", "error", .width = 8, .format = "%+.0f %%", .scale = 100},
        {"source", "source", .width = -1},
    };
    if (!known)
        return false;
    known->close((void *)known);
    say_made_of(gpu_called(backend + strlen(BACKEND_MODEL)), t);
    tables_say(t,
               "\nError against published figures: MODEL / published - 1. They are of other kernels than ours: these "
               "go over x twice, so our two passes are nearest to them, and move more in the backward.\n\n");
    table_begin(t, "published", columns);
    for (size_t k = 0; k < sizeof published / sizeof *published; k++) {
        const struct published *p = &published[k];
        double one = modelled(p, true), two = modelled(p, false);
        table_row(t, in_words(p->on), in_wholes(p->T), in_wholes(p->C), in_words(p->what), in_reals(p->seconds),
                  in_reals(one), in_reals(one / p->seconds - 1), in_reals(two), in_reals(two / p->seconds - 1),
                  in_words(p->source));
    }
    table_end(t);
    return true;
}
