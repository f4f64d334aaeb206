/* The CUDA meaning of the names in kernels/device.h that are not CUDA's own; the host's is kernels/host/executor.h. */
#ifndef CUDA_DEVICE_H
#define CUDA_DEVICE_H

#include <cuda_bf16.h>
#include <cuda_runtime.h>

/* The block's dynamic shared memory, 128-byte aligned. */
static __device__ __forceinline__ unsigned char *shared_memory(void) {
    extern __shared__ __align__(128) unsigned char shared_block[];
    return shared_block;
}

/* Two floats rounded to bf16 in one word. */
static __device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    uint32_t word;
    memcpy(&word, &pair, sizeof word);
    return word;
}

static __device__ __forceinline__ float shuffle(float x, int lane) {
    return __shfl_sync(ALL_LANES, x, lane);
}
static __device__ __forceinline__ uint32_t shuffle(uint32_t x, int lane) {
    return __shfl_sync(ALL_LANES, x, lane);
}
static __device__ __forceinline__ float shuffle_xor(float x, int mask) {
    return __shfl_xor_sync(ALL_LANES, x, mask);
}
static __device__ __forceinline__ double shuffle_xor(double x, int mask) {
    return __shfl_xor_sync(ALL_LANES, x, mask);
}

/* Bit k is set where lane k says so. */
static __device__ __forceinline__ uint32_t lanes_where(bool mine) {
    return __ballot_sync(ALL_LANES, mine);
}
static __device__ __forceinline__ int set_bits(uint32_t word) {
    return __popc(word);
}

/* 16 bytes that this kernel reads once: past L1, first to leave L2. */
static __device__ __forceinline__ uint4 load_once(const void *from) {
    uint4 w;
    uint64_t policy;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy)); /* not volatile: made once a kernel */
    asm volatile("ld.global.nc.L1::no_allocate.L2::cache_hint.v4.u32 {%0,%1,%2,%3}, [%4], %5;"
                 : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w)
                 : "l"(from), "l"(policy));
    return w;
}

/* 16 bytes that the next kernel reads again: past L1, and in L2 like any other. */
static __device__ __forceinline__ uint4 load_kept(const void *from) {
    uint4 w;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w)
                 : "l"(from));
    return w;
}

/* 16 bytes in one store: of words that were made under a branch the compiler would make four. */
static __device__ __forceinline__ void store_whole(void *to, uint4 w) {
    asm volatile("st.global.v4.u32 [%0], {%1,%2,%3,%4};" ::"l"(to), "r"(w.x), "r"(w.y), "r"(w.z), "r"(w.w) : "memory");
}

/* Asks for the line at an address, so that a later load finds it in L2. */
static __device__ __forceinline__ void prefetch(const void *address) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

/* d += a.b on tensor cores: a [16][16] and b [16][8] of bf16, d [16][8] of float, in the fragments of PTX
 * mma.m16n8k16. With g = lane/4, q = lane%4: a[0] row g, columns 2q, 2q+1; a[1] row g+8; a[2], a[3] the same rows,
 * columns 2q+8, +9; b[0] column g, rows 2q, 2q+1; b[1] rows 2q+8, +9; d[0], d[1] row g, columns 2q, 2q+1; d[2], d[3]
 * row g+8. */
static __device__ __forceinline__ void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* An 8 x 8 matrix of 16-bit elements, transposed across the warp: lane holds row lane/4, columns 2(lane%4) and the
 * next, before and after. */
static __device__ __forceinline__ uint32_t transpose_8x8(uint32_t word) {
    uint32_t turned;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(turned) : "r"(word));
    return turned;
}

/* Four 8 x 8 matrices of 16-bit elements from shared memory: lane 8m + i gives the address of row i of matrix m,
 * eight elements, 16-byte aligned; word m is, of matrix m, row lane/4, columns 2(lane%4) and the next: fragments of
 * mma_bf16. */
static __device__ __forceinline__ void load_matrices(uint32_t words[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(row))
                 : "memory");
}
/* The same of the transposed matrices: column lane/4, rows 2(lane%4) and the next. */
static __device__ __forceinline__ void load_matrices_transposed(uint32_t words[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(row))
                 : "memory");
}

/* 1 / x to one unit in its last place, where x and 1 / x are normal. Division has a branch for the others, and what
 * follows waits for it. */
static __device__ __forceinline__ float reciprocal(float x) {
    float guess;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(guess) : "f"(x));
    return fmaf(fmaf(-x, guess, 1.0f), guess, guess); /* one step of Newton */
}

/* 2^x to 2^-22 of it, 0 where that is below the smallest normal float. */
static __device__ __forceinline__ float power_of_two(float x) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
}

/* 16 bytes from global to shared memory behind the thread's back; valid after copy_wait<N>() left at most N younger
 * groups under way, for other threads after a barrier besides. */
static __device__ __forceinline__ void copy16_async(void *shared, const void *global) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((uint32_t)__cvta_generic_to_shared(shared)),
                 "l"(global)
                 : "memory");
}
/* The same of one float. */
static __device__ __forceinline__ void copy4_async(float *shared, const float *global) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"((uint32_t)__cvta_generic_to_shared(shared)),
                 "l"(global)
                 : "memory");
}
static __device__ __forceinline__ void copy_commit(void) {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int N> static __device__ __forceinline__ void copy_wait(void) {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* --- clusters: blocks that run at once and reach each other's shared memory --- */

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define CLUSTER_CODE 0
#else
#define CLUSTER_CODE 1
#endif

static __device__ __forceinline__ int cluster_rank(void) {
    uint32_t rank = 0;
#if CLUSTER_CODE
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
    return (int)rank;
}
static __device__ __forceinline__ int cluster_size(void) {
    uint32_t size = 1;
#if CLUSTER_CODE
    asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
#endif
    return (int)size;
}
/* What a thread wrote before its arrive is seen by every thread of the cluster after its wait. The aligned form wants
 * a warp that has come together again after whatever branch it took. */
static __device__ __forceinline__ void cluster_arrive(void) {
#if CLUSTER_CODE
    __syncwarp();
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}
static __device__ __forceinline__ void cluster_wait(void) {
#if CLUSTER_CODE
    __syncwarp();
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}
/* Writes where `local` (in this block's shared memory) lies in the shared memory of block `rank` of the cluster. */
static __device__ __forceinline__ void cluster_store(float *local, int rank, float value) {
#if CLUSTER_CODE
    uint32_t there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
                 : "=r"(there)
                 : "r"((uint32_t)__cvta_generic_to_shared(local)), "r"(rank));
    asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(there), "f"(value) : "memory");
#endif
}

/* --- launches: 0, or the CUDA error --- */

template <typename... P, typename... A>
static int launch_cluster(void (*kernel)(P...), dim3 cluster, dim3 grid, dim3 block, size_t shared, void *queue,
                          A... args) {
    cudaError_t error = cudaSuccess;
    if (shared > 48 * 1024)
        error = cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    if (!error && cluster.x > 8)
        error = cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
    cudaLaunchAttribute attribute;
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = cluster.x, attribute.val.clusterDim.y = 1, attribute.val.clusterDim.z = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid, config.blockDim = block, config.dynamicSmemBytes = shared,
    config.stream = (cudaStream_t)queue;
    config.attrs = &attribute, config.numAttrs = cluster.x > 1;
    if (!error)
        error = cudaLaunchKernelEx(&config, kernel, (P)args...);
    return (int)error;
}

/* What is known of clusters_at_once(), -1: nothing yet; library.cu. */
int device_clusters(struct device *, const void *kernel, unsigned cluster, unsigned threads, size_t shared);
void device_keep_clusters(struct device *, const void *kernel, unsigned cluster, unsigned threads, size_t shared,
                          int count);

/* Clusters of this shape that run at once; 0 where the device has none or they do not fit. */
template <typename... P>
static int clusters_at_once(struct device *device, void (*kernel)(P...), dim3 cluster, dim3 block, size_t shared) {
    int count = device_clusters(device, (const void *)kernel, cluster.x, block.x, shared);
    if (count >= 0)
        return count;
    count = 0;
    cudaLaunchAttribute attribute;
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = cluster.x, attribute.val.clusterDim.y = 1, attribute.val.clusterDim.z = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = cluster, config.blockDim = block, config.dynamicSmemBytes = shared;
    config.attrs = &attribute, config.numAttrs = 1;
    if (cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared) ||
        cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                             cudaSharedmemCarveoutMaxShared) ||
        (cluster.x > 8 &&
         cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1)) ||
        cudaOccupancyMaxActiveClusters(&count, kernel, &config)) {
        (void)cudaGetLastError(); /* a shape that does not fit is an answer, not an error */
        count = 0;
    }
    device_keep_clusters(device, (const void *)kernel, cluster.x, block.x, shared, count);
    return count;
}

#define LAUNCH_CLUSTER(kernel, cluster, grid, block, shared, queue, ...) \
    launch_cluster(kernel, dim3(cluster), dim3(grid), dim3(block), shared, queue, __VA_ARGS__)
#define LAUNCH(kernel, grid, block, shared, queue, ...) \
    launch_cluster(kernel, dim3(1), dim3(grid), dim3(block), shared, queue, __VA_ARGS__)

#endif
