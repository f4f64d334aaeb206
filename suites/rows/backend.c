#include "suites/rows/backend.h"

#include <dlfcn.h>
#include <fenv.h>
#include <float.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu_ref/library.h"
#include "suites/case/params.h"
#include "suites/rows/gpu_model.h"
#include "suites/worker/worker.h"

/* libmhc_<name>.so lies beside the program. */
static void library_path(const char *name, char *path, size_t size) {
    const char *self = worker_program();
    const char *slash = strrchr(self, '/');
    snprintf(path, size, "%.*s/libmhc_%s.so", (int)(slash ? slash - self : 0), self, name);
}

/* Whether an argument is one that this program can make. Rows of this repository have theirs from operations.def; a
 * library of somebody else may say anything. */
static bool is_argument(const struct mhc_arg *arg) {
    const struct mhc_case any = {.T = 1, .n = 1};
    const char *letter = arg->extents;
    while (letter && *letter && mhc_extent(&any, *letter) >= 0)
        letter++;
    return letter && !*letter && arg->role <= MHC_SCALAR && arg->direction <= MHC_OUT;
}

/* What every caller of a row relies on. NULL, or the first thing that a library lacks. */
static const char *lacking(const struct mhc_library *l) {
    static char text[200];
    if (!l->rows)
        return "it has no rows";
    for (int r = 0; l->rows[r]; r++) {
        const struct mhc_row *row = l->rows[r];
        int args = 0;
        while (row->args && args < MHC_MAX_ARGS && row->args[args].name && is_argument(&row->args[args]))
            args++;
        const char *what = !row->name             ? "name"
                           : !row->run            ? "run()"
                           : !row->supports       ? "supports()"
                           : !row->tolerance      ? "tolerance()"
                           : !row->flops          ? "flops()"
                           : !row->traffic        ? "traffic()"
                           : !row->args           ? "arguments"
                           : args == MHC_MAX_ARGS ? "end of its arguments"
                           : row->args[args].name ? "valid extents, role or direction of an argument"
                                                  : NULL;
        if (what)
            return snprintf(text, sizeof text, "row %d, %.60s, has no %s", r, row->name ? row->name : "?", what), text;
    }
    return NULL;
}

bool backend_path(const char *name, char *path, size_t size) {
    if (strchr(name, '/'))
        snprintf(path, size, "%s", name);
    else if (!strcmp(name, "cuda") || !strcmp(name, "emu"))
        library_path(name, path, size);
    else if (strcmp(name, "cpu64") && strcmp(name, "cpu32")) /* a file here */
        snprintf(path, size, "./%s", name);
    else
        return false;
    return true;
}

static bool open_shared(struct backend *b, const char *name, char *why, size_t why_size) {
    char path[PATH_MAX + 32];
    backend_path(name, path, sizeof path);
    if (access(path, R_OK))
        return snprintf(why, why_size,
                        strchr(name, '/') ? "backend %s: no such library"
                        : !strcmp(name, "cuda")
                            ? "backend cuda: there is no libmhc_cuda.so beside the program: make builds it where it "
                              "finds nvcc (NVCC=PATH says where); without a GPU use cpu32, cpu64 or emu"
                            : "backend %s: there is no libmhc_%s.so beside the program: run make",
                        name, name),
               false;
    b->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!b->handle) {
        const char *said = dlerror(); /* of a library that it needs itself, libcublas.so say */
        size_t length = strlen(path); /* which most of them repeat */
        bool repeats = !strncmp(said, path, length) && !strncmp(said + length, ": ", 2);
        return snprintf(why, why_size, "backend %s: %s%s", name, said + (repeats ? length + 2 : 0),
                        strstr(said, "cannot open shared object")
                            ? "; install it, or name its folder in LD_LIBRARY_PATH"
                            : ""),
               false;
    }
    b->library = dlsym(b->handle, "mhc_library");
    if (!b->library)
        return snprintf(why, why_size, "backend %s: it exports no mhc_library", name), false;
    if (b->library->abi != MHC_ABI || b->library->size != sizeof(struct mhc_library))
        return snprintf(why, why_size, "backend %s: it has ABI %u, this program needs ABI %d", name, b->library->abi,
                        MHC_ABI),
               false;
    return true;
}

/* Nothing of a library that could not be opened may be called, not even its close(). */
static bool abandon(struct backend *b) {
    if (b->handle)
        dlclose(b->handle);
    *b = (struct backend){0};
    return false;
}

static bool is_model(const char *name) {
    return !strncmp(name, BACKEND_MODEL, strlen(BACKEND_MODEL));
}

/* What its library is, is also its context. */
static bool open_model(struct backend *b, const char *name, char *why, size_t why_size) {
    *b = (struct backend){.library = gpu_model_library(name, why, why_size), .model = true};
    b->context = b->queue = (void *)b->library;
    return b->library;
}

static bool open_named(struct backend *b, const char *name, char *why, size_t why_size) {
    *b = (struct backend){0};
    if (!strcmp(name, "cpu64"))
        b->library = &mhc_cpu64;
    else if (!strcmp(name, "cpu32"))
        b->library = &mhc_cpu32;
    else if (strchr(name, '/') || !strcmp(name, "cuda") || !strcmp(name, "emu")) {
        if (!open_shared(b, name, why, why_size))
            return abandon(b);
    } else if (!access(name, F_OK)) { /* a file here; a path has a slash */
        char path[PATH_MAX];
        snprintf(path, sizeof path, "./%s", name);
        return open_named(b, path, why, why_size);
    } else
        return snprintf(
                   why, why_size,
                   "backend %s: not one of cpu64, cpu32, cuda, emu or the path of a library, which has a slash: ./%s",
                   name, name),
               false;
    if (b->library->open && b->library->open(&b->context, why, why_size)) {
        if (!strcmp(name, "cuda")) {
            size_t used = strlen(why);
            snprintf(why + used, why_size - used, "; without one use cpu32, cpu64 or emu");
        }
        return abandon(b);
    }
    const char *lacks = lacking(b->library);
    if (!lacks && b->library->queues && b->library->queues->create(b->context, &b->queue, 0))
        lacks = "no queue can be created";
    if (lacks) {
        snprintf(why, why_size, "backend %s: %s", name, lacks);
        if (b->library->close)
            b->library->close(b->context);
        return abandon(b);
    }
    return true;
}

/* A library that was built with -ffast-math turns small numbers to 0 in all of its process when it is loaded; the
 * reference must not notice. */
bool backend_open(struct backend *b, const char *name, char *why, size_t why_size) {
    fenv_t before;
    if (is_model(name)) {
        *b = (struct backend){0};
        return snprintf(
                   why, why_size,
                   "backend %s: a model of a GPU computes no numbers, only times: for run --study overhead, kernels "
                   "or recompute",
                   name),
               false;
    }
    fegetenv(&before);
    bool good = open_named(b, name, why, why_size);
    fesetenv(&before);
    return good;
}

bool backend_open_timed(struct backend *b, const char *name, char *why, size_t why_size) {
    return (is_model(name) ? open_model : backend_open)(b, name, why, why_size);
}

void backend_close(struct backend *b) {
    if (b->queue)
        b->library->queues->destroy(b->context, b->queue);
    if (b->library && b->library->close)
        b->library->close(b->context);
    if (b->handle)
        dlclose(b->handle);
    *b = (struct backend){0};
}

const char *backend_use(const char *name, const struct backend **backend) {
    static struct backend open;
    static char open_name[200], why[256];
    *backend = &open;
    if (open.library && !strcmp(open_name, name))
        return NULL;
    if (open.library)
        backend_close(&open);
    snprintf(open_name, sizeof open_name, "%s", name);
    return backend_open_timed(&open, name, why, sizeof why) ? NULL : why;
}

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
