/* A backend is an opened library of operations. Arrays are found by name, so nothing above knows the order of a row's
 * arguments. */
#ifndef BACKEND_H
#define BACKEND_H

#include "cpu_ref/operation.h"

struct backend {
    const struct mhc_library *library;
    void *handle, *context, *queue; /* of dlopen; of the library */
    bool model; /* of a GPU that is not here (gpu_model.h): its calls take time and compute nothing */
};

/* The library behind a name; false: the backend is part of the program, or there is none of that name. */
bool backend_path(const char *name, char *path, size_t size);
/* Opens cpu64 or cpu32 (linked in), cuda or emu (libmhc_<name>.so beside the program), or the library at a path (a
 * name with a slash). false: *why is one line. A model of a GPU, "model:h200", is opened by backend_open_timed() alone,
 * for those that ask for times and not for numbers. */
bool backend_open_timed(struct backend *, const char *name, char *why, size_t why_size);
bool backend_open(struct backend *, const char *name, char *why, size_t why_size);
void backend_close(struct backend *);
/* As backend_open_timed(), and it stays open from case to case: starting a device takes longer than a case. NULL, or
 * why not. */
const char *backend_use(const char *name, const struct backend **);

/* Fills in the element types of a case: `type` for streams; coefficients and parameters are f64 with f64 streams,
 * else f32. A `type` of -1 takes the widest that the backend has in its stack, or in any row if it has no stack. */
void backend_types(const struct backend *, int type, struct mhc_case *);

/* The first row "<kind>.<operation>" that supports the case; NULL and the reason otherwise. */
const struct mhc_row *backend_row(const struct backend *, const char *kind, const char *operation,
                                  const struct mhc_case *, const char **why);

/* Memory of the backend, 64-byte aligned; NULL when there is none. */
void *backend_allocate(const struct backend *, int64_t bytes);
void backend_release(const struct backend *, void *);
/* Bytes that can still be allocated, as far as one can tell. */
int64_t backend_available(const struct backend *);

/* Bytes between the host and the backend's memory. false: the device failed. */
bool backend_read(const struct backend *, void *to, const void *from, int64_t bytes);
bool backend_write(const struct backend *, void *to, const void *from, int64_t bytes);

/* Where the next array that shares a piece of memory may start. */
static inline int64_t backend_aligned(int64_t bytes) {
    return (bytes + 255) / 256 * 256;
}

/* Between float64 on the host and `type` in the backend's memory. false: the device failed. */
bool backend_upload(const struct backend *, void *to, const double *from, int64_t count, int32_t type);
bool backend_download(const struct backend *, double *to, const void *from, int64_t count, int32_t type);

/* The host's memory, and no operation. */
extern const struct backend backend_host;

/* Rounds values on the host to a type. false: out of memory. */
bool backend_round(double *values, int64_t count, int32_t type);

struct array {
    const char *name;
    void *pointer;
};

/* How this thread computes, found by computing. 0: as a program starts; else it rounds to other than nearest, or
 * turns small numbers to 0. Every call of backend_run() must leave it as it was. */
int backend_modes(void);
#define BACKEND_MODES "it leaves another rounding mode, or small numbers that become 0"

/* Why the last call failed, in the library's words, else "the device failed"; good until the next question. */
const char *backend_failure(const struct backend *);

/* Runs a row with the arrays it names; an array of no elements need not be there. Returns NULL, or why it failed. */
const char *backend_run(const struct backend *, const struct mhc_row *, const struct mhc_case *, const struct array *,
                        int count, void *save, void *work);

static inline int64_t row_save_bytes(const struct mhc_row *row, const struct mhc_case *c) {
    return row && row->save_bytes ? row->save_bytes(c) : 0;
}
static inline int64_t row_work_bytes(const struct mhc_row *row, const struct mhc_case *c) {
    return row && row->work_bytes ? row->work_bytes(c) : 0;
}

#endif
