/* What the wrappers of kernels/device.h mean, against plain loops: `semantics` prints one line a check and exits 1
 * when one fails. The host compiler builds it for the executor; nvcc builds it too, and then the GPU itself is held
 * to the same loops (first step of tests/gpu_check.sh). */
#include "tests/semantics.h"
#include "tests/semantics_matrices.h"

/* --- warps --- */

static __global__ void shuffles(const float *x, const uint32_t *w, float *moved, float *crossed, uint32_t *words,
                                float *sum, float *most) {
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x), lane = k % WARP;
    moved[k] = shuffle(x[k], (7 * lane + 3) % WARP);
    words[k] = shuffle(w[k], 31 - lane);
    crossed[k] = shuffle_xor(x[k], 5);
    sum[k] = warp_sum(x[k]);
    most[k] = warp_max(x[k]);
}
static void check_shuffles(void) {
    enum { ALL = 256 };
    float *x = room<float>(), *moved = room<float>(), *crossed = room<float>(), *sum = room<float>(),
          *most = room<float>();
    uint32_t *w = room<uint32_t>(), *words = room<uint32_t>();
    for (int k = 0; k < ALL; k++) {
        x[k] = random_float();
        w[k] = random_word();
    }
    bool good = finished(
        LAUNCH(shuffles, 2, ALL / 2, 0, NULL, (const float *)x, (const uint32_t *)w, moved, crossed, words, sum, most));
    for (int k = 0; k < ALL; k++) {
        int first = k / WARP * WARP, lane = k % WARP;
        float total[WARP], largest = -INFINITY;
        for (int i = 0; i < WARP; i++) {
            total[i] = x[first + i];
            largest = fmaxf(largest, x[first + i]);
        }
        for (int step = WARP / 2; step; step /= 2)
            for (int i = 0; i < step; i++)
                total[i] += total[i + step];
        good = good && moved[k] == x[first + (7 * lane + 3) % WARP] && crossed[k] == x[first + (lane ^ 5)] &&
               words[k] == w[first + 31 - lane] && most[k] == largest && sum[k] == total[0];
    }
    report("shuffle, shuffle_xor, warp_sum, warp_max", good);
}

static __global__ void votes(const uint32_t *w, uint32_t *where, int *count, double *sum) {
    int k = (int)threadIdx.x;
    where[k] = lanes_where(w[k] % 3 == 0);
    count[k] = set_bits(w[k]);
    sum[k] = warp_sum((double)w[k]);
}
static void check_votes(void) {
    enum { ALL = 96 };
    uint32_t *w = room<uint32_t>(), *where = room<uint32_t>();
    int *count = room<int>();
    double *sum = room<double>();
    for (int k = 0; k < ALL; k++)
        w[k] = random_word();
    bool good = finished(LAUNCH(votes, 1, ALL, 0, NULL, (const uint32_t *)w, where, count, sum));
    for (int k = 0; k < ALL; k++) {
        uint32_t expected = 0;
        double total = 0; /* of whole numbers below 2^37: exact */
        for (int i = 0; i < WARP; i++) {
            expected |= (uint32_t)(w[k / WARP * WARP + i] % 3 == 0) << i;
            total += w[k / WARP * WARP + i];
        }
        good = good && where[k] == expected && count[k] == __builtin_popcount(w[k]) && sum[k] == total;
    }
    report("lanes_where, set_bits, warp_sum of doubles", good);
}

/* --- powers and reciprocals --- */

static __global__ void powers(const float *x, float *power) {
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    power[k] = power_of_two(x[k]);
}
static void check_powers(void) {
    enum { ALL = 4096 };
    float *x = room<float>(), *power = room<float>();
    for (int k = 0; k < ALL; k++)
        x[k] = 130 * random_float();
    x[0] = 0, x[1] = -INFINITY, x[2] = -1000, x[3] = NAN, x[4] = INFINITY, x[5] = -126;
    bool good = finished(LAUNCH(powers, ALL / 128, 128, 0, NULL, (const float *)x, power));
    for (int k = 0; k < ALL; k++) {
        double wanted = exp2((double)x[k]), error = fabs(power[k] - wanted);
        good = good && (isnan(x[k])         ? isnan(power[k])
                        : wanted < 0x1p-126 ? power[k] == 0
                        : wanted >= 0x1p128 ? isinf(power[k])
                                            : error <= 0x1p-21 * wanted);
    }
    report("power_of_two", good);
}

static __global__ void reciprocals(const float *x, float *inverse) {
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    inverse[k] = reciprocal(x[k]);
}
static void check_reciprocals(void) {
    enum { ALL = 4096 };
    float *x = room<float>(), *inverse = room<float>();
    for (int k = 0; k < ALL; k++)
        x[k] = (random_float() < 0 ? -1 : 1) * exp2f(125 * random_float());
    x[0] = 1, x[1] = 0x1p-126f, x[2] = 0x1p126f, x[3] = NAN, x[4] = 3, x[5] = nextafterf(1, 0), x[6] = nextafterf(2, 1);
    bool good = finished(LAUNCH(reciprocals, ALL / 128, 128, 0, NULL, (const float *)x, inverse));
    for (int k = 0; k < ALL; k++) {
        double wanted = 1 / (double)x[k];
        good = good && (isnan(x[k]) ? isnan(inverse[k]) : fabs(inverse[k] - wanted) <= 0x1p-23 * fabs(wanted));
    }
    report("reciprocal", good);
}

/* --- bf16 --- */

static __global__ void pack(const float *in, uint32_t *out) {
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    out[k] = pack_bf16(in[2 * k], in[2 * k + 1]);
}
static void check_bf16(void) {
    enum { ALL = 8192 };
    float *in = room<float>();
    uint32_t *out = room<uint32_t>();
    for (int k = 0; k < 2 * ALL; k++) {
        uint32_t bits = random_word();
        if (k % 4 == 0)
            bits = (bits & 0xffff0000u) | 0x8000u; /* a tie */
        in[k] = float_of_bits(bits);
    }
    in[0] = 0.0f, in[1] = -0.0f, in[2] = INFINITY, in[3] = -INFINITY, in[4] = NAN, in[5] = 3.4e38f, in[6] = 1e-45f;
    bool good = finished(LAUNCH(pack, ALL / 256, 256, 0, NULL, (const float *)in, out));
    for (int k = 0; k < 2 * ALL; k++) {
        uint16_t got = half_of(out[k / 2], k % 2);
        if (isnan(in[k])) {
            good = good && isnan(value_of(got));
            continue;
        }
        /* The two neighbours of in[k], and the nearer of them, ties to the even one. */
        uint32_t bits;
        memcpy(&bits, &in[k], sizeof bits);
        uint16_t low = (uint16_t)(bits >> 16), high = (uint16_t)(low + 1);
        uint32_t rest = bits & 0xffff;
        uint16_t wanted = rest > 0x8000 || (rest == 0x8000 && low % 2) ? high : low;
        good = good && got == wanted;
    }
    report("pack_bf16 rounds to nearest even", good);
}

/* --- copies and clusters --- */

/* A load past the caches of what was asked for before. */
static __global__ void loads(const float *from, float *to) {
    int k = 4 * (int)threadIdx.x;
    prefetch(from + k);
    uint4 four = threadIdx.x % 2 ? load_once(from + k) : load_kept(from + k);
    to[k] = float_of_bits(four.x), to[k + 1] = float_of_bits(four.y), to[k + 2] = float_of_bits(four.z),
    to[k + 3] = float_of_bits(four.w);
}
static void check_loads(void) {
    enum { ALL = 512 };
    float *from = room<float>(), *to = room<float>();
    for (int k = 0; k < ALL; k++)
        from[k] = random_float();
    bool good = finished(LAUNCH(loads, 1, ALL / 4, 0, NULL, (const float *)from, to));
    report("prefetch, load_once, load_kept", good && !memcmp(from, to, ALL * sizeof(float)));
}

/* Two groups of copies, of 16 bytes and of a float each: after copy_wait<1> the older is there. */
static __global__ void copies(const float *from, float *to) {
    float *slot = (float *)shared_memory();
    int k = (int)threadIdx.x, all = (int)blockDim.x * 4;
    copy16_async(slot + 4 * k, from + 4 * k);
    copy_commit();
    for (int i = 0; i < 4; i++)
        copy4_async(slot + all + 4 * k + i, from + all + 4 * k + i);
    copy_commit();
    copy_wait<1>();
    for (int i = 0; i < 4; i++)
        to[4 * k + i] = slot[4 * k + i];
    copy_wait<0>();
    for (int i = 0; i < 4; i++)
        to[all + 4 * k + i] = slot[all + 4 * k + i];
}
static void check_copies(void) {
    enum { ALL = 512 };
    float *from = room<float>(), *to = room<float>();
    for (int k = 0; k < ALL; k++)
        from[k] = random_float();
    bool good = finished(LAUNCH(copies, 1, ALL / 8, ALL * sizeof(float), NULL, (const float *)from, to));
    report("asynchronous copies", good && !memcmp(from, to, ALL * sizeof(float)));
}

/* All send to all, in `turns` rounds with two inboxes, so that one meeting per round is enough. */
static __global__ void exchange(int turns, float *to) {
    float *inbox = (float *)shared_memory();
    int size = cluster_size(), rank = cluster_rank(), k = (int)threadIdx.x;
    float value = (float)(blockIdx.x + 1);
    cluster_arrive();
    cluster_wait();
    for (int turn = 0; turn < turns; turn++) {
        float *box = inbox + turn % 2 * size;
        if (k < size)
            cluster_store(box + rank, k, value * (float)(k + 1));
        cluster_arrive();
        cluster_wait();
        value = 0;
        for (int r = 0; r < size; r++)
            value += box[r] / (float)(rank + 1);
        value = value / (float)size + (float)rank;
    }
    if (k == 0)
        to[blockIdx.x] = value;
}
static void check_clusters(void) {
    for (int size = 1; size <= 16; size *= 2) {
        enum { CLUSTERS = 3, TURNS = 4 };
        float *to = room<float>(), value[16 * CLUSTERS], sent[16];
        bool good = finished(
            LAUNCH_CLUSTER(exchange, size, CLUSTERS * size, WARP, 2 * 16 * sizeof(float), NULL, (int)TURNS, to));
        for (int k = 0; k < CLUSTERS * size; k++)
            value[k] = (float)(k + 1);
        for (int turn = 0; turn < TURNS; turn++)
            for (int first = 0; first < CLUSTERS * size; first += size) {
                memcpy(sent, value + first, (size_t)size * sizeof(float));
                for (int rank = 0; rank < size; rank++) {
                    float sum = 0;
                    for (int r = 0; r < size; r++)
                        sum += sent[r] * (float)(rank + 1) / (float)(rank + 1);
                    value[first + rank] = sum / (float)size + (float)rank;
                }
            }
        for (int k = 0; k < CLUSTERS * size; k++)
            good = good && to[k] == value[k];
        char text[64];
        snprintf(text, sizeof text, "clusters of %d", size);
        report(text, good);
    }
}

/* --- places --- */

static __global__ void places(uint32_t *seen) {
    uint32_t block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    seen[block * blockDim.x + threadIdx.x] = block << 16 | threadIdx.x;
}
static void check_places(void) {
    uint32_t *seen = room<uint32_t>();
    bool good = finished(LAUNCH(places, dim3(5, 3, 2), 96, 0, NULL, seen));
    for (uint32_t k = 0; k < 30 * 96; k++)
        good = good && seen[k] == (k / 96 << 16 | k % 96);
    report("threads and blocks of a grid", good);
}

#ifndef __CUDACC__
/* In which order threads and blocks came: the host's memory is everybody's. */
static int came[4 * 64], arrivals;
static __global__ void sign_in(int) {
    came[arrivals++] = (int)(blockIdx.x * blockDim.x + threadIdx.x);
}
static void print_order(void) {
    finished(LAUNCH(sign_in, 4, 64, 0, NULL, 0));
    printf("order");
    for (int k = 0; k < arrivals; k++)
        printf(" %d", came[k]);
    printf("\n");
}
#else
static void print_order(void) {
}

/* How many clusters of blocks that fill a multiprocessor run at once. */
static void print_clusters(void) {
    for (unsigned size = 8; size <= 16; size *= 2) {
        int shared = 227 * 1024, count = 0;
        cudaLaunchAttribute attribute = {};
        attribute.id = cudaLaunchAttributeClusterDimension;
        attribute.val.clusterDim.x = size, attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
        cudaLaunchConfig_t config = {};
        config.gridDim = size, config.blockDim = 256, config.dynamicSmemBytes = (size_t)shared,
        config.attrs = &attribute, config.numAttrs = 1;
        cudaError_t error = cudaFuncSetAttribute(exchange, cudaFuncAttributeMaxDynamicSharedMemorySize, shared);
        if (!error)
            error = cudaFuncSetAttribute(exchange, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
        if (!error)
            error = cudaOccupancyMaxActiveClusters(&count, exchange, &config);
        printf("clusters of %u blocks with %d kB each, at once: %d%s%s\n", size, shared / 1024, count,
               error ? ", " : "", error ? cudaGetErrorString(error) : "");
    }
}
#endif

int main(void) {
#ifdef __CUDACC__
    int count = 0;
    if (cudaGetDeviceCount(&count) || !count) {
        fputs("semantics: this machine has no CUDA device or no driver for it\n", stderr);
        return 2;
    }
    print_clusters();
#endif
    check_shuffles();
    check_votes();
    check_multiply();
    check_transpose();
    check_fetch();
    check_powers();
    check_reciprocals();
    check_bf16();
    check_loads();
    check_copies();
    check_clusters();
    check_places();
    print_order();
    release_rooms();
    return failures != 0;
}
