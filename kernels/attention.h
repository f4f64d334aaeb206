/* What lies between the projections of attention: o = causal softmax(q.k^T / sqrt(head_dim)).v, in heads, within
 * sequences of S tokens, without the S x S matrix: scores of a tile of queries and a tile of keys at a time, the
 * softmax carried on from tile to tile, exactly. Two ways, the same arguments:
 *   attention_forward.cu, attention_backward.cu   bf16 on tensor cores, head_dim a multiple of 8 to 128
 *   attention_plain.cu                            any type, any head_dim to WIDEST_HEAD, in float throughout
 *
 * Scores are kept in powers of two, score = q.k log2(e) / sqrt(head_dim), and so is the log-sum-exp of a row: P =
 * 2^(score - lse). Backward, D = <grad_o, o>: grad_v = P^T.grad_o; dS = P o (grad_o.v^T - D); grad_q = dS.k, grad_k =
 * dS^T.q, both over sqrt(head_dim). Blocks of queries make grad_q and D, then blocks of keys make grad_k and grad_v:
 * each sum belongs to one block, so no atomics. */
#ifndef KERNELS_ATTENTION_H
#define KERNELS_ATTENTION_H

#include "kernels/branch.h"

enum { WIDEST_HEAD = 1024 };

/* Rows of q, k, v and of their gradients lie `ld` apart, those of o and grad_o heads * head_dim. lse and D: see
 * attention_sums(). */
struct attention {
    int64_t sequences, ld;
    int S, heads, head_dim;
    const void *q, *k, *v, *grad_o;
    void *o, *grad_q, *grad_k, *grad_v;
    float *lse, *D;
};

/* Floats from the sums of one head of one sequence to those of the next: S, to whole 16 bytes. */
static __host__ __device__ __forceinline__ int64_t sums_of_head(int S) {
    return ((int64_t)S + 3) / 4 * 4;
}
/* Floats of lse, and of D. */
static inline int64_t attention_sums(const struct mhc_case *c) {
    return c->T / mhc_sequence(c) * c->heads * sums_of_head((int)mhc_sequence(c));
}

/* o and lse; then, from grad_o and o besides, D, grad_q, grad_k, grad_v. 0, or 1 with device.error set. */
int gpu_attention(struct device *, void *queue, const struct mhc_case *, const struct attention *);
int gpu_attention_backward(struct device *, void *queue, const struct mhc_case *, const struct attention *);

/* The two ways; head_dim is padded to D channels, 64 or 128, on tensor cores. */
int attention_forward_tensor(struct device *, void *queue, const struct attention *);
int attention_backward_tensor(struct device *, void *queue, const struct attention *);
int64_t attention_tensor_bytes(int head_dim); /* the most shared memory that a block of them takes */
int attention_forward_plain(struct device *, void *queue, int32_t type, const struct attention *);
int attention_backward_plain(struct device *, void *queue, int32_t type, const struct attention *);

/* --- in kernels --- */

#define LOG2_E 1.4426950408889634f

/* Where a head of a sequence lies. */
struct place {
    int64_t token;   /* first of the sequence */
    int64_t channel; /* first of the head in a row */
    int64_t sums;    /* first of the head in lse and D */
};
static __device__ __forceinline__ struct place place_of(const struct attention *a, uint32_t pair) {
    uint32_t sequence = pair / (uint32_t)a->heads, head = pair % (uint32_t)a->heads;
    struct place p = {(int64_t)sequence * a->S, (int64_t)head * a->head_dim, pair * sums_of_head(a->S)};
    return p;
}
static __device__ __forceinline__ float score_scale(int head_dim) {
    return LOG2_E / sqrtf((float)head_dim);
}

#endif
