/* A backend that is open: its types and rows, its memory, and calls of a row. */
#include "suites/rows/backend.h"

#include <fenv.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_types(struct mhc_case *c, int32_t stream) {
    c->stream = stream;
    c->coef = c->param = stream == MHC_F64 ? MHC_F64 : MHC_F32;
}

/* Whether a row of a name that starts so takes these types. */
static bool takes(const struct backend *b, const char *prefix, const struct mhc_case *c) {
    const char *why;
    for (const struct mhc_row *const *row = b->library->rows; *row; row++)
        if (!strncmp((*row)->name, prefix, strlen(prefix)) && (*row)->supports(c, &why))
            return true;
    return false;
}

void backend_types(const struct backend *b, int type, struct mhc_case *c) {
    static const char *const prefixes[] = {"stack.",
                                           ""}; /* a library of a few kernels has no ends of a stack: any row says it */
    if (type >= 0) {
        set_types(c, type);
        return;
    }
    for (int p = 0; p < 2; p++)
        for (int32_t t = MHC_F64; t <= MHC_BF16; t++) {
            struct mhc_case any = {.T = 1, .n = 1, .C = 1}; /* of any shape: a Sinkhorn has no C */
            set_types(&any, t);
            set_types(c, t);
            if (takes(b, prefixes[p], &any) || (p && takes(b, "", c)))
                return;
        }
    set_types(c, MHC_F64);
}

const struct mhc_row *backend_row(const struct backend *b, const char *kind, const char *operation,
                                  const struct mhc_case *c, const char **why) {
    size_t length = strlen(kind);
    *why = "the backend has no such operation";
    for (const struct mhc_row *const *row = b->library->rows; *row; row++)
        if (!strncmp((*row)->name, kind, length) && (*row)->name[length] == '.' &&
            !strcmp((*row)->name + length + 1, operation) && (*row)->supports(c, why))
            return *row;
    return NULL;
}

void *backend_allocate(const struct backend *b, int64_t bytes) {
    void *pointer = NULL;
    size_t size = ((size_t)(bytes > 0 ? bytes : 1) + 63) / 64 * 64;
    if (bytes < 0)
        return NULL;
    if (!b->library->memory)
        return aligned_alloc(64, size);
    return b->library->memory->allocate(b->context, &pointer, (int64_t)size) ? NULL : pointer;
}

void backend_release(const struct backend *b, void *pointer) {
    if (!pointer)
        return;
    if (b->library->memory)
        b->library->memory->release(b->context, pointer);
    else
        free(pointer);
}

static bool read_number(const char *path, long long *value) {
    FILE *file = fopen(path, "r");
    bool good = file && fscanf(file, "%lld", value) == 1; /* "max" is no number: no limit */
    if (file)
        fclose(file);
    return good;
}

int64_t backend_available(const struct backend *b) {
    if (b->library->memory)
        return b->library->memory->available(b->context);
    long long kilobytes = 0, limit = 0, used = 0;
    char line[128];
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %lld", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    int64_t free_bytes = kilobytes ? kilobytes * 1024 : INT64_MAX;
    /* a container may have less than the machine */
    if (read_number("/sys/fs/cgroup/memory.max", &limit) && read_number("/sys/fs/cgroup/memory.current", &used) &&
        limit - used < free_bytes)
        free_bytes = limit > used ? limit - used : 0;
    return free_bytes;
}

bool backend_read(const struct backend *b, void *to, const void *from, int64_t bytes) {
    if (b->library->memory)
        return !b->library->memory->to_host(b->context, to, from, bytes);
    memcpy(to, from, (size_t)bytes);
    return true;
}

bool backend_write(const struct backend *b, void *to, const void *from, int64_t bytes) {
    if (b->library->memory)
        return !b->library->memory->to_device(b->context, to, from, bytes);
    memcpy(to, from, (size_t)bytes);
    return true;
}

static uint16_t bf16_of_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40); /* a NaN stays one */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float float_of_bf16(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Through a block on the host, so that any count works; on all threads where that is worth it. */
enum { STAGE = 1 << 20, WORTH_THREADS = 1 << 16 };

static void to_type(void *to, const double *from, int64_t count, int32_t type) {
#pragma omp parallel for schedule(static) if (count > WORTH_THREADS)
    for (int64_t k = 0; k < count; k++)
        if (type == MHC_F64)
            ((double *)to)[k] = from[k];
        else if (type == MHC_F32)
            ((float *)to)[k] = (float)from[k];
        else if (type == MHC_I32)
            ((int32_t *)to)[k] = (int32_t)from[k];
        else
            ((uint16_t *)to)[k] = bf16_of_float((float)from[k]);
}

static void of_type(double *to, const void *from, int64_t count, int32_t type) {
#pragma omp parallel for schedule(static) if (count > WORTH_THREADS)
    for (int64_t k = 0; k < count; k++)
        to[k] = type == MHC_F64   ? ((const double *)from)[k]
                : type == MHC_F32 ? (double)((const float *)from)[k]
                : type == MHC_I32 ? (double)((const int32_t *)from)[k]
                                  : (double)float_of_bf16(((const uint16_t *)from)[k]);
}

bool backend_upload(const struct backend *b, void *to, const double *from, int64_t count, int32_t type) {
    bool good = true;
    int64_t bytes = mhc_type_bytes(type);
    void *stage = malloc((size_t)(count < STAGE ? count + 1 : STAGE) * sizeof(double));
    for (int64_t at = 0; good && stage && at < count; at += STAGE) {
        int64_t some = count - at < STAGE ? count - at : STAGE;
        void *block = b->library->memory ? stage : (char *)to + at * bytes;
        to_type(block, from + at, some, type);
        if (b->library->memory)
            good = !b->library->memory->to_device(b->context, (char *)to + at * bytes, stage, some * bytes);
    }
    free(stage);
    return good && stage;
}

bool backend_download(const struct backend *b, double *to, const void *from, int64_t count, int32_t type) {
    bool good = true;
    int64_t bytes = mhc_type_bytes(type);
    void *stage = malloc((size_t)(count < STAGE ? count + 1 : STAGE) * sizeof(double));
    for (int64_t at = 0; good && stage && at < count; at += STAGE) {
        int64_t some = count - at < STAGE ? count - at : STAGE;
        const void *block = (const char *)from + at * bytes;
        if (b->library->memory) {
            good = !b->library->memory->to_host(b->context, stage, block, some * bytes);
            block = stage;
        }
        of_type(to + at, block, some, type);
    }
    free(stage);
    return good && stage;
}

static const struct mhc_library no_rows;
const struct backend backend_host = {.library = &no_rows};

bool backend_round(double *values, int64_t count, int32_t type) {
    void *rounded = type == MHC_F64 ? NULL : malloc((size_t)((count + 1) * mhc_type_bytes(type)));
    bool good = type == MHC_F64 || (rounded && backend_upload(&backend_host, rounded, values, count, type) &&
                                    backend_download(&backend_host, values, rounded, count, type));
    free(rounded);
    return good;
}

const char *backend_failure(const struct backend *b) {
    static _Thread_local char message[160];
    const char *why = b->library->error ? b->library->error(b->context) : NULL;
    snprintf(message, sizeof message, "%s", why && *why ? why : "the device failed");
    return message;
}

int backend_modes(void) {
    volatile double smallest = DBL_MIN, half = smallest / 2;
    volatile float least = FLT_MIN, its_half = least / 2;
    return (fegetround() != FE_TONEAREST) + 2 * !(half > 0 && its_half > 0);
}

/* The reference must not compute in what a library left. */
static const char *run_in_modes(const struct backend *b, const struct mhc_row *row, const struct mhc_case *c,
                                void *const bound[], void *save, void *work) {
    fenv_t before;
    int modes = backend_modes();
    fegetenv(&before);
    if (row->run(b->context, b->queue, c, bound, save, work) ||
        (b->library->queues && b->library->queues->synchronize(b->context, b->queue)))
        return backend_failure(b);
    if (backend_modes() == modes)
        return NULL;
    fesetenv(&before);
    return BACKEND_MODES;
}

const char *backend_run(const struct backend *b, const struct mhc_row *row, const struct mhc_case *c,
                        const struct array *arrays, int count, void *save, void *work) {
    static _Thread_local char message[240];
    void *bound[MHC_MAX_ARGS] = {0};
    for (int a = 0; row->args[a].name; a++) {
        int k = 0;
        while (k < count && strcmp(arrays[k].name, row->args[a].name))
            k++;
        if (k < count)
            bound[a] = arrays[k].pointer;
        if (!bound[a] && mhc_elements(c, &row->args[a])) {
            snprintf(message, sizeof message, "%s: no array `%s`", row->name, row->args[a].name);
            return message;
        }
    }
    const char *why = run_in_modes(b, row, c, bound, save, work);
    if (why)
        snprintf(message, sizeof message, "%s: %s", row->name, why);
    return why ? message : NULL;
}
