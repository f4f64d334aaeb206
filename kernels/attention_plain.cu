/* Attention in float throughout, for any type of stream and any head_dim: what the tensor cores leave over, and what
 * float streams need. A block takes a tile of `rows` queries, or of keys, of a head, in shared memory with the tile
 * it meets; a thread works on one pair of a query and a key, or one channel of one row, at a time. */
#include "kernels/attention.h"

enum { THREADS = 128 };

/* Rows of a tile: six tiles, the most that a kernel holds, take 48 kB, of the widest heads 96. */
static int rows_of(int head_dim) {
    int rows = 32;
    while (rows > 4 && rows * head_dim > 2048)
        rows /= 2;
    return rows;
}
static size_t shared_bytes(int rows, int head_dim, int tiles, int matrices, int columns) {
    return (size_t)(tiles * rows * head_dim + matrices * rows * rows + columns * rows) * sizeof(float);
}

/* A tile of the head in floats, zeros behind the end of the sequence. */
template <typename T>
static __device__ __forceinline__ void load_rows(float *to, int rows, int head_dim, const T *from, int64_t ld,
                                                 int left) {
    for (int k = (int)threadIdx.x; k < rows * head_dim; k += THREADS)
        to[k] = k / head_dim < left ? to_float(from[k / head_dim * ld + k % head_dim]) : 0;
}
template <typename T>
static __device__ __forceinline__ void store_rows(T *to, int64_t ld, int rows, int head_dim, const float *from,
                                                  int left) {
    for (int k = (int)threadIdx.x; k < rows * head_dim; k += THREADS)
        if (k / head_dim < left)
            to[k / head_dim * ld + k % head_dim] = from_float<T>(from[k]);
}

static __device__ __forceinline__ float dot(int head_dim, const float *a, const float *b) {
    float sum = 0;
    for (int c = 0; c < head_dim; c++)
        sum = fmaf(a[c], b[c], sum);
    return sum;
}

/* sum[row][c] = factor[row] sum[row][c] + <weights of the row, column c of `tile`>; factor NULL: 1. The weight of row
 * i of the tile is at row * step_row + i * step. */
static __device__ __forceinline__ void add_product(float *sum, int rows, int head_dim, const float *factor,
                                                   const float *weight, int step_row, int step, const float *tile) {
    for (int k = (int)threadIdx.x; k < rows * head_dim; k += THREADS) {
        int row = k / head_dim, c = k % head_dim;
        float value = factor ? factor[row] * sum[k] : sum[k];
        for (int i = 0; i < rows; i++)
            value = fmaf(weight[row * step_row + i * step], tile[i * head_dim + c], value);
        sum[k] = value;
    }
}
static __device__ __forceinline__ void clear(float *sum, int count) {
    for (int k = (int)threadIdx.x; k < count; k += THREADS)
        sum[k] = 0;
}
static __device__ __forceinline__ void scale_rows(float *sum, int rows, int head_dim, float factor) {
    for (int k = (int)threadIdx.x; k < rows * head_dim; k += THREADS)
        sum[k] *= factor;
}

/* --- forward --- */

/* A row of scores becomes 2^(score - most) with the largest so far; factor is what was carried is multiplied by. */
static __device__ __forceinline__ void soften(int columns, float *s, float *most, float *sum, float *factor) {
    float largest = *most, part = 0;
    for (int j = 0; j < columns; j++)
        largest = fmaxf(largest, s[j]);
    *factor = exp2f(*most - largest);
    *most = largest;
    for (int j = 0; j < columns; j++) {
        s[j] = exp2f(s[j] - largest);
        part += s[j];
    }
    *sum = fmaf(*sum, *factor, part);
}

template <typename T> static __global__ void plain_kernel(int rows, struct attention a) {
    int d = a.head_dim, thread = (int)threadIdx.x;
    float *q = (float *)shared_memory(), *k = q + rows * d, *v = k + rows * d, *o = v + rows * d, *p = o + rows * d;
    float *most = p + rows * rows, *sum = most + rows, *factor = sum + rows, scale = score_scale(d);
    uint32_t pairs = (uint32_t)a.sequences * (uint32_t)a.heads;
    int64_t row = (int64_t)a.heads * d;
    struct place at = place_of(&a, blockIdx.x % pairs);
    int first = ((a.S - 1) / rows - (int)(blockIdx.x / pairs)) * rows;
    load_rows(q, rows, d, (const T *)a.q + (at.token + first) * a.ld + at.channel, a.ld, a.S - first);
    clear(o, rows * d);
    if (thread < rows) {
        most[thread] = -INFINITY;
        sum[thread] = 0;
    }
    for (int key = 0; key <= first; key += rows) { /* tiles of queries and keys lie alike */
        int64_t from = (at.token + key) * a.ld + at.channel;
        __syncthreads();
        load_rows(k, rows, d, (const T *)a.k + from, a.ld, a.S - key);
        load_rows(v, rows, d, (const T *)a.v + from, a.ld, a.S - key);
        __syncthreads();
        for (int pair = thread; pair < rows * rows; pair += THREADS) {
            int i = pair / rows, j = pair % rows;
            p[pair] = key + j <= first + i ? scale * dot(d, q + i * d, k + j * d) : -INFINITY;
        }
        __syncthreads();
        if (thread < rows)
            soften(rows, p + thread * rows, most + thread, sum + thread, factor + thread);
        __syncthreads();
        add_product(o, rows, d, factor, p, rows, 1, v);
    }
    __syncthreads();
    if (thread < rows) {
        if (first + thread < sums_of_head(a.S))
            a.lse[at.sums + first + thread] = most[thread] + log2f(sum[thread]);
        factor[thread] = 1 / sum[thread];
    }
    __syncthreads();
    for (int e = thread; e < rows * d; e += THREADS)
        o[e] *= factor[e / d];
    store_rows((T *)a.o + (at.token + first) * row + at.channel, row, rows, d, o, a.S - first);
}

/* --- backward --- */

/* P and dS of a tile of queries and a tile of keys, [rows][rows]. */
struct tiles {
    const float *q, *k, *v, *grad_o, *lse, *D;
};
static __device__ __forceinline__ void gradients_of_scores(int rows, int d, struct tiles t, int query, int key,
                                                           float *p, float *ds) {
    float scale = score_scale(d);
    for (int pair = (int)threadIdx.x; pair < rows * rows; pair += THREADS) {
        int i = pair / rows, j = pair % rows;
        float value = key + j <= query + i ? exp2f(fmaf(scale, dot(d, t.q + i * d, t.k + j * d), -t.lse[i])) : 0;
        ds[pair] = value * (dot(d, t.grad_o + i * d, t.v + j * d) - t.D[i]);
        if (p)
            p[pair] = value;
    }
}

template <typename T> static __global__ void plain_query_kernel(int rows, struct attention a) {
    int d = a.head_dim, thread = (int)threadIdx.x, size = rows * d;
    float *q = (float *)shared_memory(), *g = q + size, *k = g + size, *v = k + size, *grad_q = v + size,
          *ds = grad_q + size;
    float *lse = ds + rows * rows, *D = lse + rows;
    uint32_t pairs = (uint32_t)a.sequences * (uint32_t)a.heads;
    int64_t row = (int64_t)a.heads * d;
    struct place at = place_of(&a, blockIdx.x % pairs);
    int first = ((a.S - 1) / rows - (int)(blockIdx.x / pairs)) * rows, left = a.S - first;
    int64_t from = (at.token + first) * a.ld + at.channel, from_o = (at.token + first) * row + at.channel;
    load_rows(q, rows, d, (const T *)a.q + from, a.ld, left);
    load_rows(g, rows, d, (const T *)a.grad_o + from_o, row, left);
    load_rows(k, rows, d, (const T *)a.o + from_o, row, left); /* for D; keys come later */
    clear(grad_q, size);
    __syncthreads();
    if (thread < rows) {
        lse[thread] = thread < left ? a.lse[at.sums + first + thread] : 0;
        D[thread] = dot(d, g + thread * d, k + thread * d);
        if (first + thread < sums_of_head(a.S))
            a.D[at.sums + first + thread] = D[thread];
    }
    for (int key = 0; key <= first; key += rows) {
        int64_t from_k = (at.token + key) * a.ld + at.channel;
        __syncthreads();
        load_rows(k, rows, d, (const T *)a.k + from_k, a.ld, a.S - key);
        load_rows(v, rows, d, (const T *)a.v + from_k, a.ld, a.S - key);
        __syncthreads();
        struct tiles t = {q, k, v, g, lse, D};
        gradients_of_scores(rows, d, t, first, key, NULL, ds);
        __syncthreads();
        add_product(grad_q, rows, d, NULL, ds, rows, 1, k);
    }
    scale_rows(grad_q, rows, d, 1 / sqrtf((float)d)); /* of its own elements, as in add_product */
    store_rows((T *)a.grad_q + (at.token + first) * a.ld + at.channel, a.ld, rows, d, grad_q, left);
}

template <typename T> static __global__ void plain_key_kernel(int rows, struct attention a) {
    int d = a.head_dim, thread = (int)threadIdx.x, size = rows * d;
    float *q = (float *)shared_memory(), *g = q + size, *k = g + size, *v = k + size, *grad_k = v + size,
          *grad_v = grad_k + size;
    float *p = grad_v + size, *ds = p + rows * rows, *lse = ds + rows * rows, *D = lse + rows;
    uint32_t pairs = (uint32_t)a.sequences * (uint32_t)a.heads;
    int64_t row = (int64_t)a.heads * d;
    struct place at = place_of(&a, blockIdx.x % pairs);
    int first = (int)(blockIdx.x / pairs) * rows;
    int64_t from = (at.token + first) * a.ld + at.channel, to = (at.token + first) * a.ld + at.channel;
    load_rows(k, rows, d, (const T *)a.k + from, a.ld, a.S - first);
    load_rows(v, rows, d, (const T *)a.v + from, a.ld, a.S - first);
    clear(grad_k, size);
    clear(grad_v, size);
    for (int query = first; query < a.S; query += rows) {
        int64_t token = at.token + query;
        __syncthreads();
        load_rows(q, rows, d, (const T *)a.q + token * a.ld + at.channel, a.ld, a.S - query);
        load_rows(g, rows, d, (const T *)a.grad_o + token * row + at.channel, row, a.S - query);
        if (thread < rows) {
            lse[thread] = query + thread < a.S ? a.lse[at.sums + query + thread] : 0;
            D[thread] = query + thread < a.S ? a.D[at.sums + query + thread] : 0;
        }
        __syncthreads();
        struct tiles t = {q, k, v, g, lse, D};
        gradients_of_scores(rows, d, t, query, first, p, ds);
        __syncthreads();
        add_product(grad_v, rows, d, NULL, p, 1, rows, g);
        add_product(grad_k, rows, d, NULL, ds, 1, rows, q);
    }
    scale_rows(grad_k, rows, d, 1 / sqrtf((float)d));
    store_rows((T *)a.grad_k + to, a.ld, rows, d, grad_k, a.S - first);
    store_rows((T *)a.grad_v + to, a.ld, rows, d, grad_v, a.S - first);
}

/* --- launches --- */

static unsigned blocks_for(int rows, const struct attention *a) {
    return (unsigned)(blocks_of(a->S, rows) * a->sequences * a->heads);
}

template <typename T> static int start(struct device *d, void *queue, const struct attention *a) {
    int rows = rows_of(a->head_dim);
    return CHECKED(d, LAUNCH(plain_kernel<T>, blocks_for(rows, a), THREADS, shared_bytes(rows, a->head_dim, 4, 1, 3),
                             queue, rows, *a));
}
template <typename T> static int start_backward(struct device *d, void *queue, const struct attention *a) {
    int rows = rows_of(a->head_dim);
    size_t by_query = shared_bytes(rows, a->head_dim, 5, 1, 2), by_key = shared_bytes(rows, a->head_dim, 6, 2, 2);
    return CHECKED(d, LAUNCH(plain_query_kernel<T>, blocks_for(rows, a), THREADS, by_query, queue, rows, *a)) ||
           CHECKED(d, LAUNCH(plain_key_kernel<T>, blocks_for(rows, a), THREADS, by_key, queue, rows, *a));
}

int attention_forward_plain(struct device *d, void *queue, int32_t type, const struct attention *a) {
    return type == MHC_BF16 ? start<struct bf16>(d, queue, a) : start<float>(d, queue, a);
}
int attention_backward_plain(struct device *d, void *queue, int32_t type, const struct attention *a) {
    return type == MHC_BF16 ? start_backward<struct bf16>(d, queue, a) : start_backward<float>(d, queue, a);
}
