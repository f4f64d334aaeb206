#include "suites/rows/arrays.h"

#include <stdlib.h>
#include <string.h>

static const struct arrays_entry *find(const struct arrays *a, const char *name) {
    for (int k = 0; k < a->count; k++)
        if (!strcmp(a->entry[k].name, name))
            return &a->entry[k];
    return NULL;
}

double *arrays_get(const struct arrays *a, const char *name) {
    const struct arrays_entry *e = find(a, name);
    return e ? e->values : NULL;
}

int64_t arrays_count(const struct arrays *a, const char *name) {
    const struct arrays_entry *e = find(a, name);
    return e ? e->count : -1;
}

static void place(struct arrays *a, struct arrays_entry new) {
    const struct arrays_entry *old = find(a, new.name);
    if (!old && a->count == (int)(sizeof a->entry / sizeof *a->entry))
        abort(); /* no operation, with the rows before it, has so many */
    if (old && old->owned)
        free(old->values);
    a->entry[old ? old - a->entry : a->count++] = new;
}

double *arrays_put(struct arrays *a, const char *name, int64_t count) {
    double *values = aligned_alloc(64, ((size_t)(count > 0 ? count : 1) * sizeof *values + 63) / 64 * 64);
    if (values)
        place(a, (struct arrays_entry){name, values, count, true});
    return values;
}

void arrays_lend(struct arrays *a, const char *name, double *values, int64_t count) {
    place(a, (struct arrays_entry){name, values, count, false});
}

void arrays_alias(struct arrays *a, const char *name, const struct arrays *from, const char *its_name) {
    const struct arrays_entry *e = find(from, its_name);
    if (e)
        arrays_lend(a, name, e->values, e->count);
}

void arrays_alias_all(struct arrays *a, const struct arrays *from) {
    for (int k = 0; k < from->count; k++)
        arrays_alias(a, from->entry[k].name, from, from->entry[k].name);
}

void arrays_clear(struct arrays *a) {
    for (int k = 0; k < a->count; k++)
        if (a->entry[k].owned)
            free(a->entry[k].values);
    a->count = 0;
}
