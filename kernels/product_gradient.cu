/* The gradient of the weights, dW[k][m] = sum_row x[row][k] q[row][m]: a warp owns channels, rows pass by, and mma
 * sums over them.
 *
 *   traffic: x once for every COLUMN_TILE columns; 4 K columns bytes written and read for every split;
 *   q from L2 for every block of channels
 *
 * Rows are split over blocks, at most MOST_SPLITS ways, and the parts summed in order. */
#include "kernels/product.h"

enum { WARPS = 4, GROUP = 16, MOST_SPLITS = 16, LEAST_GROUPS = 4, BLOCKS_A_PROCESSOR = 3 };

/* Spans of channels a warp owns. */
#define SPANS(T) (sizeof(T) == 2 ? 2 : 1)

struct gradient_plan {
    int64_t rows, K, groups; /* of GROUP rows */
    int columns, eights;
    int64_t tiles, channel_blocks, splits, groups_a_split;
    struct weights to;
};

static struct gradient_plan plan_of(int64_t rows, int64_t K, int columns, int channels_a_block,
                                    const struct device *d) {
    struct gradient_plan p = {};
    p.rows = rows, p.K = K, p.columns = columns, p.eights = eights_of(columns);
    p.groups = blocks_of(rows, GROUP);
    p.tiles = blocks_of(columns, COLUMN_TILE);
    p.channel_blocks = blocks_of(K, channels_a_block);
    int64_t most = blocks_of(p.groups, LEAST_GROUPS);
    most = most < MOST_SPLITS ? most : (int64_t)MOST_SPLITS;
    int64_t wanted = d ? parts_at_once(d, BLOCKS_A_PROCESSOR, p.tiles * p.channel_blocks) : most;
    p.splits = wanted < most ? wanted : most;
    p.groups_a_split = blocks_of(p.groups, p.splits);
    p.splits = blocks_of(p.groups, p.groups_a_split);
    return p;
}

static int64_t operand_bytes(const struct gradient_plan *p) {
    return p->tiles * p->groups * p->eights * WARP * (int64_t)sizeof(uint4);
}

/* q in the order of operands, [tile][group][eight][lane]: hi and lo of rows 2q, 2q+1 and of 2q+8, +9 in the lane's
 * column; 0 outside. */
static __global__ void operand_kernel(struct gradient_plan p, int64_t count, const float *q, uint4 *operand) {
    int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count)
        return;
    int lane = (int)(at % WARP), eight = (int)(at / WARP % p.eights);
    int64_t group = at / WARP / p.eights % p.groups, tile = at / WARP / p.eights / p.groups;
    int64_t row = group * GROUP + lane % 4 * 2, column = tile * COLUMN_TILE + eight * 8 + lane / 4;
    float v[4];
    for (int e = 0; e < 4; e++) {
        int64_t r = row + e / 2 * 8 + e % 2;
        v[e] = r < p.rows && column < p.columns ? q[r * p.columns + column] : 0;
    }
    uint4 w;
    split_pair(v[0], v[1], &w.x, &w.z);
    split_pair(v[2], v[3], &w.y, &w.w);
    operand[at] = w;
}

/* What a step needs: channels of rows g and g+8, and q of the group. */
template <typename T, int EIGHTS> struct gradient_step {
    struct octet<T> x[SPANS(T)][2];
    uint4 q[EIGHTS];
};

template <typename T, bool WIDE, int EIGHTS>
static __device__ __forceinline__ void load_step(const struct gradient_plan *p, const T *x, const uint4 *operand,
                                                 int64_t group, int64_t end, int64_t k,
                                                 struct gradient_step<T, EIGHTS> *s) {
    int lane = (int)threadIdx.x % WARP;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int64_t row = group * GROUP + lane / 4 + 8 * half;
        bool there = group < end && row < p->rows;
#pragma unroll
        for (int i = 0; i < SPANS(T); i++)
            s->x[i][half] = load_raw<T, WIDE>(x + (there ? row * p->K + k + i * SPAN : 0),
                                              there ? p->K - k - i * SPAN : 0);
    }
#pragma unroll
    for (int j = 0; j < EIGHTS; j++)
        s->q[j] = group < end ? operand[(group * EIGHTS + j) * WARP + lane] : make_uint4(0, 0, 0, 0);
}

/* Words `pair`, `pair` + 1 of two octets, turned: row g of the left operand is channel 8 (g/2) + 2 pair + g%2, row g+8
 * the one two on. */
static __device__ __forceinline__ void turn(const uint32_t low_rows[4], const uint32_t high_rows[4], int pair,
                                            uint32_t a[4]) {
    a[0] = transpose_8x8(low_rows[pair]);
    a[1] = transpose_8x8(low_rows[pair + 1]);
    a[2] = transpose_8x8(high_rows[pair]);
    a[3] = transpose_8x8(high_rows[pair + 1]);
}

template <typename T, int EIGHTS>
static __device__ __forceinline__ void multiply(const struct octet<T> x[2], const uint4 *q, float d[2][EIGHTS][4]) {
    uint32_t hi[2][4], lo[2][4];
    octet_words(&x[0], hi[0], lo[0]);
    octet_words(&x[1], hi[1], lo[1]);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        uint32_t a_hi[4], a_lo[4];
        turn(hi[0], hi[1], 2 * half, a_hi);
        if (sizeof(T) == sizeof(float))
            turn(lo[0], lo[1], 2 * half, a_lo);
#pragma unroll
        for (int j = 0; j < EIGHTS; j++) {
            uint32_t b_hi[2] = {q[j].x, q[j].y}, b_lo[2] = {q[j].z, q[j].w};
            mma_bf16(d[half][j], a_hi, b_hi);
            mma_bf16(d[half][j], a_hi, b_lo);
            if (sizeof(T) == sizeof(float))
                mma_bf16(d[half][j], a_lo, b_hi);
        }
    }
}

/* Block (tile of columns, block of channels; split). Two steps of loads are under way. The registers would also allow
 * one step and a block more a multiprocessor, which is a third less under way, and more parts to write and to sum. */
template <typename T, bool WIDE, int EIGHTS>
static __global__ void __launch_bounds__(WARPS *WARP, BLOCKS_A_PROCESSOR)
    parts_kernel(struct gradient_plan p, const T *x, const uint4 *operand, float *partial) {
    int lane = (int)threadIdx.x % WARP;
    int64_t tile = blockIdx.x % p.tiles;
    int64_t first = ((int64_t)(blockIdx.x / p.tiles) * WARPS + threadIdx.x / WARP) * (SPANS(T) * SPAN),
            k = first + lane % 4 * OCTET;
    int64_t group = blockIdx.y * p.groups_a_split, end = group + p.groups_a_split;
    end = end < p.groups ? end : p.groups;
    operand += tile * p.groups * EIGHTS * WARP;
    float d[SPANS(T)][2][EIGHTS][4] = {};
    struct gradient_step<T, EIGHTS> next, after;
    load_step<T, WIDE, EIGHTS>(&p, x, operand, group, end, k, &next);
    load_step<T, WIDE, EIGHTS>(&p, x, operand, group + 1, end, k, &after);
    for (; group < end; group++) {
        struct gradient_step<T, EIGHTS> now = next;
        next = after;
        load_step<T, WIDE, EIGHTS>(&p, x, operand, group + 2, end, k, &after);
#pragma unroll
        for (int i = 0; i < SPANS(T); i++)
            multiply<T, EIGHTS>(now.x[i], now.q, d[i]);
    }
#pragma unroll
    for (int e = 0; e < SPANS(T) * 2 * EIGHTS * 4; e++) { /* e: span, half, eight, place in the fragment */
        int i = e / (8 * EIGHTS), half = e / (4 * EIGHTS) % 2, j = e / 4 % EIGHTS, place = e % 4, g = lane / 4;
        int64_t channel = first + i * SPAN + g / 2 * 8 + 2 * (2 * half + place / 2) + g % 2;
        int64_t column = tile * COLUMN_TILE + j * 8 + lane % 4 * 2 + place % 2;
        if (channel < p.K && column < p.columns)
            partial[(blockIdx.y * p.K + channel) * p.columns + column] = d[i][half][j][place];
    }
}

static __global__ void sum_kernel(struct gradient_plan p, const float *partial) {
    int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, count = p.K * p.columns;
    if (at >= count)
        return;
    float sum = partial[at];
    for (int64_t s = 1; s < p.splits; s++)
        sum += partial[s * count + at];
    *weight_at(&p.to, at / p.columns, (int)(at % p.columns)) = sum;
}

template <typename T, bool WIDE>
static int start_parts(struct device *d, void *queue, const struct gradient_plan *p, const void *x,
                       const uint4 *operand, float *partial) {
    dim3 grid((unsigned)(p->tiles * p->channel_blocks), (unsigned)p->splits);
#define CALL(EIGHTS) \
    CHECKED(d, LAUNCH((parts_kernel<T, WIDE, EIGHTS>), grid, WARPS *WARP, 0, queue, *p, (const T *)x, operand, partial))
    return p->eights == 1 ? CALL(1) : p->eights == 2 ? CALL(2) : p->eights == 3 ? CALL(3) : CALL(4);
#undef CALL
}

template <typename T>
static int start(struct device *d, void *queue, const struct product *f, const float *q, void *work) {
    struct gradient_plan p = plan_of(f->rows, f->K, f->weights.columns, WARPS * SPANS(T) * SPAN, d);
    p.to = f->weights;
    uint4 *operand = (uint4 *)work;
    float *partial = (float *)((char *)work + operand_bytes(&p));
    int64_t operands = operand_bytes(&p) / (int64_t)sizeof(uint4), sums = p.K * p.columns;
    const int block = 128;
    if (CHECKED(d,
                LAUNCH(operand_kernel, (unsigned)blocks_of(operands, block), block, 0, queue, p, operands, q, operand)))
        return 1;
    if (f->K % OCTET ? start_parts<T, false>(d, queue, &p, f->x, operand, partial)
                     : start_parts<T, true>(d, queue, &p, f->x, operand, partial))
        return 1;
    return CHECKED(d, LAUNCH(sum_kernel, (unsigned)blocks_of(sums, block), block, 0, queue, p, (const float *)partial));
}

int weight_gradient(struct device *d, void *queue, const struct product *f, const float *q, void *work) {
    return f->stream == MHC_BF16 ? start<struct bf16>(d, queue, f, q, work) : start<float>(d, queue, f, q, work);
}

int64_t weight_gradient_work_bytes(int64_t rows, int64_t K, int columns) {
    struct gradient_plan p = plan_of(rows, K, columns, WARPS * SPAN, NULL);
    return operand_bytes(&p) + p.splits * K * columns * (int64_t)sizeof(float);
}
