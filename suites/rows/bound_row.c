#include "suites/rows/bound_row.h"

#include <stdlib.h>
#include <string.h>

int64_t bound_row_save(const struct mhc_row *row, const struct mhc_case *c, const struct save *save) {
    int64_t own = row_save_bytes(row, c), kept = save ? save->count : 0;
    return own > kept ? own : kept;
}

int64_t bound_row_bytes(const struct mhc_row *row, const struct mhc_case *c, int64_t save_bytes) {
    int64_t bytes = backend_aligned(save_bytes);
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        bytes += backend_aligned(mhc_arg_bytes(c, arg));
    return bytes;
}

/* A pattern for inputs whose values do not matter: 0, +-1/16, ... in any type, nothing that a device could compress.
 * k * A >> 7 modulo 33 comes again after 33 * 2^7 elements, so that arrays of many GB are made by copying. */
enum { PATTERN = 33 << 7 };
static bool fill_pattern(const struct bound_row *b, const struct mhc_arg *arg, char *to) {
    const int32_t type = mhc_arg_type(&b->c, arg);
    const int64_t count = mhc_elements(&b->c, arg), bytes = mhc_arg_bytes(&b->c, arg),
                  period = PATTERN * mhc_type_bytes(type);
    double values[PATTERN];
    for (int64_t k = 0; k < PATTERN; k++) {
        values[k] = (double)((k * 2654435761u >> 7) % 33 - 16) / 16;
        if (arg->role == MHC_INDEX)
            values[k] = mhc_natural(&b->c, arg, k, values[k]);
    }
    if (!backend_upload(&backend_host, to, values, count < PATTERN ? count : PATTERN, type))
        return false;
#pragma omp parallel for schedule(static) if (bytes > 64 * period)
    for (int64_t at = period; at < bytes; at += period)
        memcpy(to + at, to, (size_t)(bytes - at < period ? bytes - at : period));
    return true;
}

bool bound_row_image(const struct bound_row *b, const struct arrays *inputs, const struct save *save, int spoilt,
                     char *set) {
    bool good = true;
    memset(set, spoilt, (size_t)b->set_bytes);
    for (int a = 0; b->row->args[a].name && good; a++) {
        const struct mhc_arg *arg = &b->row->args[a];
        const double *values = inputs ? arrays_get(inputs, arg->name) : NULL;
        if (arg->direction == MHC_IN)
            good = values ? backend_upload(&backend_host, set + b->offset[a], values, mhc_elements(&b->c, arg),
                                           mhc_arg_type(&b->c, arg))
                          : fill_pattern(b, arg, set + b->offset[a]);
    }
    if (save && save->count)
        memcpy(set + b->save_offset, save->bytes, (size_t)save->count);
    return good;
}

static const char *fill(struct bound_row *b, const char *set) {
    bool good = true;
    if (b->backend->model)
        return NULL;
    if (!b->backend->library->memory) {
#pragma omp parallel for schedule(static)
        for (int64_t s = 0; s < b->sets; s++)
            memcpy(b->slab + s * b->set_bytes, set, (size_t)b->set_bytes);
        return NULL;
    }
    for (int64_t s = 0; s < b->sets && good; s++)
        good = backend_write(b->backend, b->slab + s * b->set_bytes, set, b->set_bytes);
    return good ? NULL : "an array cannot be copied to the device";
}

const char *bound_row_open(struct bound_row *b, const struct backend *backend, const struct mhc_row *row,
                           const struct mhc_case *c, int64_t sets, const struct arrays *inputs,
                           const struct save *save) {
    int64_t save_bytes = bound_row_save(row, c, save);
    *b = (struct bound_row){.backend = backend, .row = row, .c = *c, .sets = sets, .save_bytes = save_bytes};
    for (int a = 0; row->args[a].name; a++)
        b->offset[a + 1] = b->save_offset = b->offset[a] + backend_aligned(mhc_arg_bytes(c, &row->args[a]));
    b->set_bytes = bound_row_bytes(row, c, save_bytes);
    char *set = malloc(backend->model ? 1 : (size_t)b->set_bytes);
    b->slab = backend_allocate(backend, sets * b->set_bytes);
    b->work = backend_allocate(backend, row_work_bytes(row, c));
    bool good = set && b->slab && b->work && (backend->model || bound_row_image(b, inputs, save, 0xFF, set));
    const char *why = good ? NULL : "out of memory";
    why = why ? why : fill(b, set);
    free(set);
    return why;
}

const char *bound_row_share(struct bound_row *b, struct bound_row *first, const struct backend *backend,
                            const struct mhc_row *row, int64_t save_offset) {
    int64_t work_bytes = row_work_bytes(row, &first->c);
    if (work_bytes > row_work_bytes(first->row, &first->c)) {
        backend_release(first->backend, first->work);
        first->work = backend_allocate(first->backend, work_bytes);
    }
    *b = *first;
    b->backend = backend;
    b->row = row;
    b->save_offset = save_offset;
    b->shares = true;
    for (int a = 0; row->args[a].name; a++) { /* arguments meet by name */
        const struct mhc_arg *same = mhc_arg_find(first->row, row->args[a].name, row->args[a].direction);
        if (!same)
            return "its arguments are not those of the other";
        b->offset[a] = first->offset[same - first->row->args];
    }
    return b->work ? NULL : "out of memory";
}

void bound_row_close(struct bound_row *b) {
    if (b->backend) {
        backend_release(b->backend, b->shares ? NULL : b->slab);
        backend_release(b->backend, b->shares ? NULL : b->work);
    }
    *b = (struct bound_row){0};
}

const char *bound_row_refill(const struct bound_row *b, int64_t set, const struct arrays *inputs,
                             const struct save *save, int spoilt) {
    if (b->backend->model)
        return NULL;
    char *image = malloc((size_t)b->set_bytes);
    bool good = image && bound_row_image(b, inputs, save, spoilt, image) &&
                backend_write(b->backend, b->slab + set * b->set_bytes, image, b->set_bytes);
    free(image);
    return good ? NULL : "its arrays cannot be filled";
}

const char *bound_row_run(void *user, int64_t set) {
    struct bound_row *b = user;
    void *argument[MHC_MAX_ARGS] = {0};
    for (int a = 0; b->row->args[a].name; a++)
        argument[a] = bound_row_argument(b, set, a);
    void *save = b->slab + set * b->set_bytes + b->save_offset;
    bool failed = b->row->run(b->backend->context, b->backend->queue, &b->c, argument, save, b->work) != 0;
    return failed ? backend_failure(b->backend) : NULL;
}

const char *bound_row_finish(struct bound_row *b, int64_t set) {
    const struct mhc_queues *queues = b->backend->library->queues;
    const char *why = bound_row_run(b, set);
    return !why && queues && queues->synchronize(b->backend->context, b->backend->queue) ? backend_failure(b->backend)
                                                                                         : why;
}
