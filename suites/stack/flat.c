/* The flat arrays of a model: where its parameters, their gradients and moments lie.
 *
 * A set of memory has, behind what else is held, one flat array of gradients and two each of parameters, momentum and
 * rms. Slices start at 64 bytes, as rows ask for. What lies between them is zero, and an update leaves it so: it has
 * no gradient. */
#include <stdlib.h>
#include <string.h>

#include "suites/stack/compose.h"

enum { SLICE = 64, PLACES_OF_ALL = 1 + 2 * (FLAT_KINDS - FLAT_PARAMETER) };

void plan_slice(struct program *p, int64_t array, enum program_flat flat, int64_t slice, enum parameter_group group) {
    struct program_array *a = &p->arrays.array[array];
    if (a->held)
        slice = a->offset;
    a->flat = flat;
    a->slice = slice;
    if (flat == FLAT_PARAMETER && slice >= 0) {
        p->memory->held.array[slice].flat = flat;
        p->memory->held.array[slice].group = group;
    }
}

void plan_flat(struct program_memory *m) {
    int64_t at = 0;
    for (int group = 0; group < PARAMETER_GROUPS; group++) {
        m->flat.first[group] = at;
        for (int64_t k = 0; k < m->held.count; k++) {
            struct program_array *a = &m->held.array[k];
            if (a->flat != FLAT_PARAMETER || (int)a->group != group)
                continue;
            a->offset = at;
            at += (a->bytes + SLICE - 1) / SLICE * SLICE;
        }
    }
    m->flat.first[PARAMETER_GROUPS] = at;
    m->flat.bytes = (double)backend_aligned(at);
}

double plan_flat_bytes(struct program_memory *m) {
    plan_flat(m);
    m->flat.begin = m->held.bytes;
    return PLACES_OF_ALL * m->flat.bytes;
}

char *plan_flat_pointer(const struct program_memory *m, enum program_flat flat, bool next, int64_t set) {
    int place = flat == FLAT_GRADIENT ? 0
                                      : 1 + 2 * (int)(flat - FLAT_PARAMETER) + (next ? !m->flat.turn : m->flat.turn);
    return m->slab + set * (int64_t)m->set_bytes + (int64_t)m->flat.begin + place * (int64_t)m->flat.bytes;
}

int64_t plan_slice_offset(const struct program_memory *m, int64_t slice) {
    return slice >= 0 ? m->held.array[slice].offset : slice == FLAT_ALL ? 0 : m->flat.first[-1 - slice];
}

const char *plan_clear_flat(const struct program_memory *m, int64_t set) {
    int64_t bytes = PLACES_OF_ALL * (int64_t)m->flat.bytes;
    char *zeros = calloc(1, (size_t)bytes + 1);
    bool good = zeros &&
                (!bytes || backend_write(m->backend, plan_flat_pointer(m, FLAT_GRADIENT, false, set), zeros, bytes));
    free(zeros);
    return good ? NULL : "an array cannot be copied to the device";
}

void program_memory_turn(struct program_memory *m) {
    m->flat.turn = !m->flat.turn;
}

char *program_memory_flat(const struct program_memory *m, enum program_flat flat) {
    return plan_flat_pointer(m, flat, false, 0);
}

char *program_memory_parameter(const struct program_memory *m, int64_t held) {
    return program_memory_flat(m, FLAT_PARAMETER) + m->held.array[held].offset;
}

int64_t program_memory_group(const struct program_memory *m, enum parameter_group group, int64_t element_bytes) {
    return (m->flat.first[group + 1] - m->flat.first[group]) / element_bytes;
}
