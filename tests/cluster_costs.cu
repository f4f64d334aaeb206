/* What the pieces of a cluster's meeting cost on this GPU, in cycles. It takes a second and serves the design of the
 * one-pass kernels: should they meet by barriers or send with st.async? Does a barrier wait for loads, does it empty
 * L1 of local memory?
 *
 * A figure is the median over turns of the median over blocks, in the slowest warp of each. All blocks run at once. */
#include <algorithm>
#include <cstdio>
#include <vector>

#include "kernels/device.h"

enum { THREADS = 256, TURNS = 31, MOST_BLOCKS = 256, SHARED = 150 << 10, ACCESSES = 8 };
enum { WORDS = 4 << 20 }; /* of 16 bytes */

enum piece {
    MEETING,
    MEETING_RELAXED,
    ARRIVE,
    ARRIVE_BEHIND_STORES,
    ARRIVE_BEHIND_LOADS,
    LOADS,
    ARRIVE_BEHIND_PREFETCHES,
    ARRIVE_BEHIND_REMOTE_STORES,
    SEND_ASYNC,
    LOCAL_BEHIND_MEETING,
    LOCAL,
    L2_HIT
};
static const char *const name[] = {"a meeting: arrive.release, wait.acquire",
                                   "a meeting, arrive.relaxed",
                                   "arrive.release",
                                   "arrive.release behind 8 stores of 16 bytes per thread",
                                   "arrive.release behind 8 loads of 16 bytes per thread",
                                   "these 8 loads",
                                   "arrive.release behind 8 prefetches",
                                   "arrive.release behind 8 stores to other blocks",
                                   "st.async of 16 bytes to each block, and theirs are here",
                                   "a load from local memory behind a meeting",
                                   "a load from local memory",
                                   "a load that hits L2"};

static __device__ __forceinline__ uint32_t now(void) {
    uint32_t cycles;
    asm volatile("mov.u32 %0, %%clock;" : "=r"(cycles)::"memory");
    return cycles;
}
/* Waits until a value is here: an instruction reads it. None of ours is the one it looks for. */
static __device__ __forceinline__ void use(uint32_t word) {
    asm volatile("{.reg .pred p; setp.eq.u32 p, %0, 0x7fffffff; @p trap;}" ::"r"(word) : "memory");
}
static __device__ __forceinline__ uint32_t shared_address(const void *p) {
    return (uint32_t)__cvta_generic_to_shared(p);
}
/* The same place in the shared memory of block `rank`. */
static __device__ __forceinline__ uint32_t address_in(const void *p, int rank) {
    uint32_t there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(shared_address(p)), "r"(rank));
    return there;
}

/* --- st.async with an mbarrier --- */

static __device__ __forceinline__ void barrier_open(uint64_t *barrier) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(barrier)) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
static __device__ __forceinline__ void barrier_expect(uint64_t *barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                 : "memory");
}
static __device__ __forceinline__ void barrier_wait(uint64_t *barrier, int parity) {
    uint32_t done = 0;
    while (!done)
        asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
                     : "=r"(done)
                     : "r"(shared_address(barrier)), "r"(parity)
                     : "memory");
}
/* Four times `value` to where `box` lies in block `rank`, counted by the barrier there. */
static __device__ __forceinline__ void send_async(float4 *box, uint64_t *barrier, int rank, float value) {
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1,%1,%1,%1}, [%2];" ::"r"(
                     address_in(box, rank)),
                 "f"(value), "r"(address_in(barrier, rank))
                 : "memory");
}
/* A turn of it: cycles, or ~0 where what came is not what was sent. */
static __device__ __forceinline__ uint32_t exchange(float4 *box, uint64_t *barrier, int turn) {
    int thread = (int)threadIdx.x;
    if (thread == 0)
        barrier_expect(barrier, 16 * cluster_size());
    __syncthreads();
    uint32_t begin = now();
    if (thread < cluster_size())
        send_async(box + cluster_rank(), barrier, thread, (float)turn);
    barrier_wait(barrier, turn % 2);
    float got = ((volatile float4 *)box)[thread % cluster_size()].x;
    use(__float_as_uint(got));
    uint32_t spent = now() - begin;
    return got == (float)turn ? spent : ~0u;
}

/* --- a turn --- */

/* A thread's 16 bytes number k of a turn: new lines in each turn. */
static __device__ __forceinline__ uint4 *place(uint4 *memory, int turn, int k) {
    size_t at = (size_t)(turn * ACCESSES + k) * gridDim.x * THREADS + blockIdx.x * THREADS + threadIdx.x;
    return memory + at % WORDS;
}

/* What the warp has under way when the clock starts. */
template <int PIECE>
static __device__ __forceinline__ void put_under_way(uint4 *memory, float *box, int turn, uint4 *got) {
#pragma unroll
    for (int k = 0; k < ACCESSES; k++) {
        if (PIECE == ARRIVE_BEHIND_STORES)
            *place(memory, turn, k) = make_uint4(threadIdx.x, k, turn, 0);
        if (PIECE == ARRIVE_BEHIND_LOADS || PIECE == LOADS)
            got[k] = load_kept(place(memory, turn, k));
        if (PIECE == ARRIVE_BEHIND_PREFETCHES)
            prefetch(place(memory, turn, k));
        if (PIECE == ARRIVE_BEHIND_REMOTE_STORES)
            cluster_store(box + threadIdx.x, (cluster_rank() + k + 1) % cluster_size(), 1);
    }
}

static __device__ __forceinline__ void arrive_relaxed(void) {
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}

/* Cycles of a load, in this thread. */
template <int PIECE>
static __device__ __forceinline__ uint32_t read_one(const volatile uint32_t *local, const uint4 *memory, int at) {
    if (PIECE == LOCAL_BEHIND_MEETING) {
        cluster_arrive();
        cluster_wait();
    }
    uint32_t begin = now(), word;
    if (PIECE == L2_HIT)
        asm volatile("ld.global.cg.u32 %0, [%1];"
                     : "=r"(word)
                     : "l"((const uint32_t *)memory + blockIdx.x * WARP + threadIdx.x % WARP));
    else
        word = local[at];
    use(word);
    return now() - begin;
}

/* Cycles of a meeting or a part of it, in this thread. */
template <int PIECE> static __device__ __forceinline__ uint32_t cost_of(uint4 *memory, float4 *box, int turn) {
    uint4 got[ACCESSES] = {};
    put_under_way<PIECE>(memory, (float *)box, turn, got);
    uint32_t begin = now(), spent = 0;
    if (PIECE == MEETING_RELAXED)
        arrive_relaxed();
    else if (PIECE != LOADS)
        cluster_arrive();
    if (PIECE != MEETING && PIECE != MEETING_RELAXED && PIECE != LOADS)
        spent = now() - begin;
#pragma unroll
    for (int k = 0; k < ACCESSES; k++)
        use(got[k].x ^ got[k].y ^ got[k].z ^ got[k].w);
    if (PIECE == LOADS) {
        spent = now() - begin;
        cluster_arrive();
    }
    cluster_wait();
    return PIECE == MEETING || PIECE == MEETING_RELAXED ? now() - begin : spent;
}

/* cycles [turn][block]. stride: 7, which the compiler must not know, or it would keep `local` in registers. */
template <int PIECE>
static __global__ void __launch_bounds__(THREADS, 1) cost(uint4 *memory, uint32_t *cycles, int stride) {
    uint64_t *barrier = (uint64_t *)shared_memory();
    float4 *box = (float4 *)(shared_memory() + 128);
    volatile uint32_t local[64];
    for (int k = 0; k < 64; k++)
        local[k * stride % 64] = (uint32_t)k;
    if (PIECE == SEND_ASYNC && threadIdx.x == 0)
        barrier_open(barrier);
    for (int turn = 0; turn < TURNS; turn++) {
        uint32_t spent;
        __syncthreads();
        cluster_arrive();
        cluster_wait(); /* all begin together */
        if (PIECE == SEND_ASYNC)
            spent = exchange(box, barrier, turn);
        else if (PIECE == LOCAL_BEHIND_MEETING || PIECE == LOCAL || PIECE == L2_HIT)
            spent = read_one<PIECE>(local, memory, turn * stride % 64);
        else
            spent = cost_of<PIECE>(memory, box, turn);
        if (threadIdx.x % WARP == 0)
            atomicMax(cycles + turn * gridDim.x + blockIdx.x, spent);
    }
    cluster_arrive();
    cluster_wait(); /* a block must not end while others write into it */
}

/* --- host --- */

/* The middle one of `count` figures. */
static uint32_t median(uint32_t *from, size_t count) {
    std::nth_element(from, from + count / 2, from + count);
    return from[count / 2];
}

/* Clusters of this size that run at once. */
template <int PIECE> static int clusters_of(int size) {
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = size, attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = size, config.blockDim = THREADS, config.dynamicSmemBytes = SHARED;
    config.attrs = &attribute, config.numAttrs = 1;
    int count = 0;
    if (cudaFuncSetAttribute(cost<PIECE>, cudaFuncAttributeMaxDynamicSharedMemorySize, SHARED) ||
        cudaFuncSetAttribute(cost<PIECE>, cudaFuncAttributeNonPortableClusterSizeAllowed, 1) ||
        cudaOccupancyMaxActiveClusters(&count, cost<PIECE>, &config))
        (void)cudaGetLastError(); /* what does not fit is an answer */
    return count * size <= MOST_BLOCKS ? count : MOST_BLOCKS / size;
}

/* A line; false where the kernel failed or the data is wrong. */
template <int PIECE> static bool measure(uint4 *memory, uint32_t *cycles, int size) {
    int clusters = clusters_of<PIECE>(size);
    printf("%-56s %3d clusters of %2d", name[PIECE], clusters, size);
    if (!clusters)
        return puts(""), true;
    size_t blocks = (size_t)clusters * size;
    std::vector<uint32_t> all(TURNS * blocks), turns;
    int error = cudaMemset(cycles, 0, all.size() * sizeof *cycles);
    if (!error)
        error = LAUNCH_CLUSTER(cost<PIECE>, size, (unsigned)blocks, THREADS, SHARED, NULL, memory, cycles, 7);
    if (!error)
        error = cudaMemcpy(all.data(), cycles, all.size() * sizeof *cycles, cudaMemcpyDeviceToHost);
    if (error)
        return printf(": %s\n", cudaGetErrorString((cudaError_t)error)), false;
    bool wrong = std::count(all.begin(), all.end(), ~0u) > 0;
    for (int turn = 1; turn < TURNS; turn++) /* the first loads the code */
        turns.push_back(median(&all[turn * blocks], blocks));
    std::sort(turns.begin(), turns.end());
    printf(": %5u cycles (%u to %u)%s\n", turns[turns.size() / 2], turns.front(), turns.back(),
           wrong ? "  WRONG DATA" : "");
    fflush(stdout);
    return !wrong;
}

int main(void) {
    uint4 *memory;
    uint32_t *cycles;
    if (cudaMalloc(&memory, WORDS * sizeof *memory) || cudaMalloc(&cycles, TURNS * MOST_BLOCKS * sizeof *cycles) ||
        cudaMemset(memory, 0, WORDS * sizeof *memory))
        return fprintf(stderr, "cluster_costs: no device\n"), 2;
    bool good = true;
    for (int size : {2, 8, 16})
        for (bool (*piece)(uint4 *, uint32_t *, int) :
             {measure<MEETING>, measure<MEETING_RELAXED>, measure<ARRIVE>, measure<ARRIVE_BEHIND_STORES>,
              measure<ARRIVE_BEHIND_LOADS>, measure<LOADS>, measure<ARRIVE_BEHIND_PREFETCHES>,
              measure<ARRIVE_BEHIND_REMOTE_STORES>, measure<SEND_ASYNC>, measure<LOCAL_BEHIND_MEETING>, measure<LOCAL>,
              measure<L2_HIT>})
            good = piece(memory, cycles, size) && good;
    return !good;
}
