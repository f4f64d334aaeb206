/* A GPU that is not here, as a library whose calls compute nothing and take a computed time: backend "model:h200".
 *
 *   time of an operation = its kernels x a gap + the larger of   bytes / (share of the bandwidth x bandwidth)
 *                                                                flops / (share of the peak x peak)
 *
 * Bytes and flops are those of the contract, cpu_ref/operations.def; what our kernels move beyond it stands in a table
 * of gpu_model.c, which a test holds to the counts of the emulator (kernels/counts.txt). Its clock is a sum of such
 * times: a model has no noise, no cache and no interval, and one queue. Its memory is addresses alone: nothing in it
 * can be read, so nothing can be checked. */
#ifndef GPU_MODEL_H
#define GPU_MODEL_H

#include "cpu_ref/operation.h"

/* How such a device begins to say what it is. */
#define DEVICE_MODEL "MODEL of "

/* What a data sheet says of a GPU, in SI units. */
struct gpu {
    const char *name, *product, *source;
    double bandwidth, tensor_flops,
        plain_flops;      /* byte/s; dense bf16 with float32 sums; float32 without tensor cores */
    double memory, cache; /* bytes; cache: L2 */
    bool clusters;        /* compute capability 9.0 or later: our one-pass kernels */
};
extern const struct gpu gpu_models[]; /* ends with an empty name */

/* The shares of what a data sheet says that are taken as reached, and where they are from. */
enum gpu_share {
    GPU_COPY,
    GPU_STREAM,   /* kernels that only stream */
    GPU_TWO_PASS, /* connections in two passes over x, forward; backward */
    GPU_TWO_PASS_BACKWARD,
    GPU_ONE_PASS, /* in one pass, in clusters: forward; across layers; backward */
    GPU_ACROSS,
    GPU_ONE_PASS_BACKWARD,
    GPU_PRODUCT, /* of the peak: GEMMs; the core of attention */
    GPU_ATTENTION,
    GPU_SHARES
};
extern const struct gpu_share_of {
    double share;
    const char *what, *source;
} gpu_shares[GPU_SHARES];

/* Seconds between two kernels of a queue, and of a graph. */
#define GPU_GAP 0.9e-6
#define GPU_GRAPH_GAP 0.5e-6
#define GPU_GAP_SOURCE                                                                                                 \
    "NVIDIA developer blog, Getting Started with CUDA Graphs, 2019, on a V100: 3.8 us per kernel of 2.9 us, 3.4 in a " \
    "graph"

/* The library of a GPU with its context, which open() of it hands out; NULL: no such GPU, one line in `why`. `name` is
 * "model:h200". */
const struct mhc_library *gpu_model_library(const char *name, char *why, size_t why_size);

/* What one call of an operation moves on a GPU, its kernels, and its time. false: this GPU does not have it. */
struct gpu_cost {
    double bytes, flops, seconds; /* seconds: launched one by one */
    int kernels;
};
bool gpu_model_cost(const struct gpu *, const struct mhc_row *, const struct mhc_case *, struct gpu_cost *);

#endif
