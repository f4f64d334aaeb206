/* What the checks of semantics.cu share: memory that host and device see, random numbers, and the line of a check. */
#ifndef SEMANTICS_H
#define SEMANTICS_H

#include "kernels/device.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROOM = 1 << 16 };

static int failures;

static void report(const char *what, bool good) {
    printf("%s %s\n", good ? "ok  " : "FAIL", what);
    failures += !good;
}

/* Memory that host and device both see, until the end. */
static void *rooms[64];
static int room_count;

template <typename T> static T *room(void) {
#ifdef __CUDACC__
    void *memory = NULL;
    if (cudaMallocHost(&memory, ROOM * sizeof(T))) /* the host's own memory, which the device reaches */
        memory = NULL;
#else
    void *memory = malloc(ROOM * sizeof(T));
#endif
    if (!memory) {
        fputs("semantics: no memory that the device sees\n", stderr);
        exit(2);
    }
    memset(memory, 0xff, ROOM * sizeof(T));
    rooms[room_count++] = memory;
    return (T *)memory;
}
static void release_rooms(void) {
    for (int k = 0; k < room_count; k++)
#ifdef __CUDACC__
        cudaFreeHost(rooms[k]);
#else
        free(rooms[k]);
#endif
}
static bool finished(int launched) {
#ifdef __CUDACC__
    return !launched && !cudaDeviceSynchronize();
#else
    return !launched;
#endif
}

static uint32_t random_word(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}
static float random_float(void) {
    return (float)(random_word() % 20001) / 10000 - 1;
}

static __host__ __device__ uint16_t half_of(uint32_t word, int k) {
    return (uint16_t)(k ? word >> 16 : word);
}
static float value_of(uint16_t bits) {
    return float_of_bits((uint32_t)bits << 16);
}

#endif
