/* The forward product: x passes once, for the products and for the sum of squares; weights wait in shared memory as
 * operands of mma.
 *
 *   traffic of a row: x once for every COLUMN_TILE columns, 4 (columns+1) bytes a split written and read;
 *   weights from L2 for every block
 *
 * Few rows leave multiprocessors idle, so K is split over blocks too; their parts are summed in order. How many depends
 * on the case and the device alone. */
#include "kernels/product.h"

enum {
    WARPS = 4,
    STAGE = 4,   /* spans whose weights arrive together */
    BUFFERS = 3, /* of stages: one in use, two under way */
    BLOCKS_A_PROCESSOR = 3,
    MOST_BLOCKS = 1024 /* that splitting aims at: bounds the scratch without knowing the device */
};

/* Sixteen rows at a time: a float needs the registers of two bf16. */
#define ROW_TILES(T) (sizeof(T) == 2 ? 2 : 1)

/* How a product is laid over blocks. */
struct product_plan {
    int64_t rows, K;
    int columns, eights;               /* eights: of a block, as the template has them */
    int64_t tiles, row_blocks, stages; /* of columns; of rows; of K */
    int64_t splits, stages_a_split;
    struct weights weights;
};

/* Without a device: the most splits there can be. */
static struct product_plan plan_of(int64_t rows, int64_t K, int columns, int rows_a_block, const struct device *d) {
    struct product_plan p = {};
    p.rows = rows, p.K = K, p.columns = columns, p.eights = eights_of(columns);
    p.tiles = blocks_of(columns, COLUMN_TILE);
    p.row_blocks = blocks_of(rows, rows_a_block);
    p.stages = blocks_of(K, STAGE * SPAN);
    int64_t wanted = MOST_BLOCKS / (p.tiles * p.row_blocks), device_wants = wanted;
    if (d)
        device_wants = parts_at_once(d, BLOCKS_A_PROCESSOR, p.tiles * p.row_blocks);
    p.splits = device_wants < wanted ? device_wants : wanted;
    p.splits = p.splits < p.stages ? p.splits : p.stages;
    p.splits = p.splits < 1 ? 1 : p.splits;
    p.stages_a_split = blocks_of(p.stages, p.splits);
    p.splits = blocks_of(p.stages, p.stages_a_split);
    return p;
}

/* Bytes of the weights in the order of operands: [tile][span][eight][hi, lo][lane], a lane's eight channels of its
 * column. */
static int64_t operand_bytes(const struct product_plan *p) {
    return p->tiles * p->stages * STAGE * p->eights * 2 * WARP * (int64_t)sizeof(uint4);
}

/* A thread writes a lane's two words of eight. Channels and columns that do not exist are 0. */
static __global__ void weights_kernel(struct product_plan p, int64_t count, uint4 *operand) {
    int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count)
        return;
    int lane = (int)(at % WARP), eight = (int)(at / WARP % p.eights);
    int64_t span = at / WARP / p.eights, spans = p.stages * STAGE, tile = span / spans;
    int64_t k = span % spans * SPAN + lane % 4 * OCTET, column = tile * COLUMN_TILE + eight * 8 + lane / 4;
    float w[OCTET];
    for (int e = 0; e < OCTET; e++)
        w[e] = k + e < p.K && column < p.columns ? *weight_at(&p.weights, k + e, (int)column) : 0;
    uint4 hi, lo;
    split_pair(w[0], w[1], &hi.x, &lo.x);
    split_pair(w[2], w[3], &hi.y, &lo.y);
    split_pair(w[4], w[5], &hi.z, &lo.z);
    split_pair(w[6], w[7], &hi.w, &lo.w);
    operand[at / WARP * 2 * WARP + lane] = hi;
    operand[(at / WARP * 2 + 1) * WARP + lane] = lo;
}

/* Eight channels of rows g and g+8 (as two octets) times the weights of a span: two steps of mma for each term and
 * eight columns. */
template <typename T, int EIGHTS>
static __device__ __forceinline__ void multiply(const struct octet<T> x[2], const uint4 *operand, int lane,
                                                float d[EIGHTS][4]) {
    uint32_t hi[2][4], lo[2][4];
    octet_words(&x[0], hi[0], lo[0]);
    octet_words(&x[1], hi[1], lo[1]);
#pragma unroll
    for (int j = 0; j < EIGHTS; j++) {
        uint4 w_hi = operand[2 * j * WARP + lane], w_lo = operand[(2 * j + 1) * WARP + lane];
        uint32_t b_hi[2][2] = {{w_hi.x, w_hi.y}, {w_hi.z, w_hi.w}}, b_lo[2][2] = {{w_lo.x, w_lo.y}, {w_lo.z, w_lo.w}};
#pragma unroll
        for (int s = 0; s < 2; s++) {
            uint32_t a_hi[4] = {hi[0][2 * s], hi[1][2 * s], hi[0][2 * s + 1], hi[1][2 * s + 1]};
            mma_bf16(d[j], a_hi, b_hi[s]);
            mma_bf16(d[j], a_hi, b_lo[s]);
            if (sizeof(T) == sizeof(float)) {
                uint32_t a_lo[4] = {lo[0][2 * s], lo[1][2 * s], lo[0][2 * s + 1], lo[1][2 * s + 1]};
                mma_bf16(d[j], a_lo, b_hi[s]);
            }
        }
    }
}

template <typename T> static __device__ __forceinline__ float add_squares(const struct octet<T> *o, float sum) {
    float x[OCTET];
    octet_floats(o, x);
#pragma unroll
    for (int k = 0; k < OCTET; k++)
        sum = fmaf(x[k], x[k], sum);
    return sum;
}

/* The lane's rows: g and g+8 of every sixteen; those past the end read the last one, and are not stored. */
template <typename T, bool WIDE>
static __device__ __forceinline__ void load_rows(const T *x, const struct product_plan *p, int64_t first, int64_t k,
                                                 int64_t end, struct octet<T> to[ROW_TILES(T)][2]) {
#pragma unroll
    for (int i = 0; i < ROW_TILES(T) * 2; i++) {
        int64_t row = first + 8 * i;
        row = row < p->rows ? row : p->rows - 1;
        to[i / 2][i % 2] = load_raw<T, WIDE>(x + row * p->K + k, end - k);
    }
}

static __device__ __forceinline__ void load_stage(const uint4 *operand, int64_t stage, int64_t end, int size,
                                                  uint4 *ring) {
    if (stage < end)
        for (int k = (int)threadIdx.x; k < size; k += WARPS * WARP)
            copy16_async(ring + stage % BUFFERS * size + k, operand + stage * size + k);
    copy_commit();
}

/* Stores the lane's sums, [split][row][columns+1], the sum of squares last. */
template <typename T, int EIGHTS>
static __device__ __forceinline__ void store_parts(const struct product_plan *p, int64_t tile, int64_t first,
                                                   const float d[][EIGHTS][4], const float (*squares)[2],
                                                   float *partial) {
    int q = (int)threadIdx.x % 4, pitch = p->columns + 1;
#pragma unroll
    for (int i = 0; i < ROW_TILES(T) * 2; i++) {
        int64_t row = first + 8 * i;
        float sum = squares[i / 2][i % 2];
        sum += shuffle_xor(sum, 1);
        sum += shuffle_xor(sum, 2);
        float *to = partial + (blockIdx.y * p->rows + row) * pitch;
        if (row < p->rows && tile == 0 && q == 0)
            to[p->columns] = sum;
#pragma unroll
        for (int k = 0; k < 2 * EIGHTS; k++) {
            int column = (int)tile * COLUMN_TILE + k / 2 * 8 + 2 * q + k % 2;
            if (row < p->rows && column < p->columns)
                to[column] = d[i / 2][k / 2][i % 2 * 2 + k % 2];
        }
    }
}

/* Block (tile of columns, block of rows; split). */
template <typename T, bool WIDE, int EIGHTS>
static __global__ void __launch_bounds__(WARPS *WARP)
    parts_kernel(struct product_plan p, const T *x, const uint4 *operand, float *partial) {
    constexpr int TILES = ROW_TILES(T), SPAN_SIZE = EIGHTS * 2 * WARP, SIZE = STAGE * SPAN_SIZE;
    uint4 *ring = (uint4 *)shared_memory();
    int lane = (int)threadIdx.x % WARP;
    int64_t tile = blockIdx.x % p.tiles;
    int64_t first = ((int64_t)(blockIdx.x / p.tiles) * WARPS + threadIdx.x / WARP) * (TILES * 16) + lane / 4;
    int64_t stage = blockIdx.y * p.stages_a_split, last = stage + p.stages_a_split;
    last = last < p.stages ? last : p.stages;
    int64_t k = stage * (STAGE * SPAN) + lane % 4 * OCTET,
            end = last * (STAGE * SPAN) < p.K ? last * (STAGE * SPAN) : p.K;
    operand += tile * p.stages * SIZE;
    float d[TILES][EIGHTS][4] = {}, squares[TILES][2] = {};
    struct octet<T> next[TILES][2];
    load_stage(operand, stage, last, SIZE, ring);
    load_stage(operand, stage + 1, last, SIZE, ring);
    load_rows<T, WIDE>(x, &p, first, k, end, next);
    for (; stage < last; stage++) {
        copy_wait<1>();
        __syncthreads(); /* this stage is here, and the one before is no longer read */
        load_stage(operand, stage + 2, last, SIZE, ring);
#pragma unroll
        for (int s = 0; s < STAGE; s++) {
            struct octet<T> now[TILES][2];
            memcpy(now, next, sizeof now);
            k += SPAN;
            load_rows<T, WIDE>(x, &p, first, k, end, next);
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                multiply<T, EIGHTS>(now[i], ring + stage % BUFFERS * SIZE + s * SPAN_SIZE, lane, d[i]);
                squares[i][0] = add_squares(&now[i][0], squares[i][0]);
                squares[i][1] = add_squares(&now[i][1], squares[i][1]);
            }
        }
    }
    copy_wait<0>();
    store_parts<T, EIGHTS>(&p, tile, first, d, squares, partial);
}

/* --- the sum of the parts --- */

/* Mean squares between these lost nothing to underflow or overflow of float. */
#define SMALL 0x1p-90
#define LARGE 0x1p120

/* The norm of a row whose squares leave the range of float: scaled by the largest element. A warp; NaN and Inf stay
 * what they are. */
template <typename T> static __device__ float scaled_norm(const T *x, int64_t K, double eps) {
    float largest = 0, sum = 0;
    for (int64_t k = threadIdx.x % WARP; k < K; k += WARP)
        largest = fmaxf(largest, fabsf(to_float(x[k])));
    largest = warp_max(largest);
    if (largest == 0 || isinf(largest))
        return (float)sqrt((double)largest + eps);
    for (int64_t k = threadIdx.x % WARP; k < K; k += WARP) {
        float share = to_float(x[k]) / largest;
        sum = fmaf(share, share, sum);
    }
    return (float)hypot((double)largest * sqrt((double)warp_sum(sum) / (double)K), sqrt(eps));
}

/* One warp per row. */
template <typename T>
static __global__ void __launch_bounds__(WARPS *WARP)
    finish_kernel(struct product_plan p, const T *x, const float *partial, double eps, float *product, float *norm) {
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP, pitch = p.columns + 1;
    if (row >= p.rows)
        return;
    double squares = 0;
    for (int64_t s = 0; s < p.splits; s++)
        squares += partial[(s * p.rows + row) * pitch + p.columns];
    double mean = squares / (double)p.K;
    float r = (float)sqrt(mean + eps);
    if (mean < SMALL || mean > LARGE) /* not NaN */
        r = scaled_norm(x + row * p.K, p.K, eps);
    int lane = (int)threadIdx.x % WARP;
    for (int m = lane; m < p.columns; m += WARP) {
        float sum = 0;
        for (int64_t s = 0; s < p.splits; s++)
            sum += partial[(s * p.rows + row) * pitch + m];
        product[row * p.columns + m] = r == 0 ? 0 : sum / r;
    }
    if (lane == 0)
        norm[row] = r;
}

/* --- host --- */

template <typename T, bool WIDE, int EIGHTS>
static int start_parts(struct device *d, void *queue, const struct product_plan *p, const void *x, const uint4 *operand,
                       float *partial) {
    dim3 grid((unsigned)(p->tiles * p->row_blocks), (unsigned)p->splits);
    size_t shared = (size_t)BUFFERS * STAGE * EIGHTS * 2 * WARP * sizeof(uint4);
    return CHECKED(d, LAUNCH((parts_kernel<T, WIDE, EIGHTS>), grid, WARPS * WARP, shared, queue, *p, (const T *)x,
                             operand, partial));
}

template <typename T, bool WIDE>
static int start_eights(struct device *d, void *queue, const struct product_plan *p, const void *x,
                        const uint4 *operand, float *partial) {
    return p->eights == 1   ? start_parts<T, WIDE, 1>(d, queue, p, x, operand, partial)
           : p->eights == 2 ? start_parts<T, WIDE, 2>(d, queue, p, x, operand, partial)
           : p->eights == 3 ? start_parts<T, WIDE, 3>(d, queue, p, x, operand, partial)
                            : start_parts<T, WIDE, 4>(d, queue, p, x, operand, partial);
}

template <typename T>
static int start(struct device *d, void *queue, const struct product *f, double eps, float *product, float *r,
                 void *work) {
    struct product_plan p = plan_of(f->rows, f->K, f->weights.columns, WARPS * ROW_TILES(T) * 16, d);
    p.weights = f->weights;
    uint4 *operand = (uint4 *)work;
    float *partial = (float *)((char *)work + operand_bytes(&p));
    int64_t threads = p.tiles * p.stages * STAGE * p.eights * WARP;
    const int block = 128;
    if (CHECKED(d, LAUNCH(weights_kernel, (unsigned)blocks_of(threads, block), block, 0, queue, p, threads, operand)))
        return 1;
    int failed = f->K % OCTET ? start_eights<T, false>(d, queue, &p, f->x, operand, partial)
                              : start_eights<T, true>(d, queue, &p, f->x, operand, partial);
    return failed || CHECKED(d, LAUNCH((finish_kernel<T>), (unsigned)blocks_of(p.rows, WARPS), WARPS * WARP, 0, queue,
                                       p, (const T *)f->x, (const float *)partial, eps, product, r));
}

int product_forward(struct device *d, void *queue, const struct product *f, double eps, float *product, float *r,
                    void *work) {
    return f->stream == MHC_BF16 ? start<struct bf16>(d, queue, f, eps, product, r, work)
                                 : start<float>(d, queue, f, eps, product, r, work);
}

int64_t product_work_bytes(int64_t rows, int64_t K, int columns) {
    struct product_plan p = plan_of(rows, K, columns, WARPS * ROW_TILES(struct bf16) * 16, NULL);
    return operand_bytes(&p) + p.splits * rows * (columns + 1) * (int64_t)sizeof(float);
}
