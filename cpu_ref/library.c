/* The rows of this room as libraries. */
#include "cpu_ref/library.h"

#include <cblas.h>

#include "build_info.h"

#define ROW(id) extern const struct mhc_row id##_f64, id##_f32;
#include "cpu_ref/rows.def"
#undef ROW

static const struct mhc_row *const rows64[] = {
#define ROW(id) &id##_f64,
#include "cpu_ref/rows.def"
#undef ROW
    NULL};

static const struct mhc_row *const rows32[] = {
#define ROW(id) &id##_f32,
#include "cpu_ref/rows.def"
#undef ROW
    NULL};

/* Threads are OpenMP's here: operations split their work themselves and call BLAS from inside the pieces. The kernels
 * of OpenBLAS are those that the process began with (cpu_ref/blas_core.h). */
static int open_cpu(void **context, char *why, size_t why_size) {
    (void)why, (void)why_size;
    openblas_set_num_threads(1);
    *context = NULL;
    return 0;
}

#define LIBRARY(text, list)                                                                                            \
    {                                                                                                                  \
        .abi = MHC_ABI, .size = sizeof(struct mhc_library), .name = text, .build = PROVENANCE_BUILD, .open = open_cpu, \
        .rows = list                                                                                                   \
    }

#ifdef MHC_SHARED_LIBRARY
static const struct mhc_row *const rows[] = {
#define ROW(id) &id##_f64, &id##_f32,
#include "cpu_ref/rows.def"
#undef ROW
    NULL};
__attribute__((visibility("default"))) extern const struct mhc_library mhc_library;
const struct mhc_library mhc_library = LIBRARY("cpu", rows);
#endif

const struct mhc_library mhc_cpu64 = LIBRARY("cpu64", rows64);
const struct mhc_library mhc_cpu32 = LIBRARY("cpu32", rows32);
