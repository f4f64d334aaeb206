/* Opening a backend: the libraries that are linked in, those beside the program, files of anybody's. */
#include "suites/rows/backend.h"

#include <dlfcn.h>
#include <fenv.h>
#include <limits.h>
#include <stdio.h>
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
