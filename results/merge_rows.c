#include "results/merge_rows.h"

#include <stdlib.h>
#include <string.h>

static int by_key(const void *a, const void *b) {
    const struct merge_row *one = a, *other = b;
    const int later = strcmp(one->key, other->key);
    if (later)
        return later;
    if (one->done != other->done)
        return other->done - one->done;
    if (one->part != other->part)
        return one->part - other->part;
    return (one->row > other->row) - (one->row < other->row);
}

static int by_place(const void *a, const void *b) {
    const struct merge_row *one = a, *other = b;
    if (one->part != other->part)
        return one->part - other->part;
    if (one->taken != other->taken)
        return one->taken - other->taken;
    return (one->place > other->place) - (one->place < other->place);
}

static bool collect(struct merge_rows *m, struct record_reader *const *parts, int count) {
    int64_t all = 0;
    for (int k = 0; k < count; k++)
        all += record_count(parts[k]);
    m->row = calloc((size_t)all + 1, sizeof *m->row);
    m->keys = malloc(((size_t)all + 1) * sizeof *m->keys);
    bool good = (m->row && m->keys) || record_fail("out of memory");
    for (int k = 0; good && k < count; k++) {
        const char *const *key = record_texts(parts[k], "key"), *const *status = record_texts(parts[k], "status");
        good = key && status;
        for (int64_t i = 0; good && i < record_count(parts[k]); i++) {
            m->row[m->count] = (struct merge_row){strdup(key[i]), k, i, 0, !strcmp(status[i], "done"), false};
            good = m->row[m->count++].key || record_fail("out of memory");
        }
    }
    if (good)
        qsort(m->row, (size_t)m->count, sizeof *m->row, by_key);
    return good;
}

/* Those that are done must have the same values, whichever is taken. */
static bool choose(struct merge_rows *m, struct record_reader *const *parts, const char *const *paths) {
    char what[300];
    for (int64_t first = 0, k = 0; k < m->count; k++) {
        struct merge_row *one = &m->row[first], *other = &m->row[k];
        if (k == first || strcmp(one->key, other->key)) {
            first = k;
            other->taken = true;
            continue;
        }
        m->repeated++;
        if (one->done && other->done && (one->part != other->part || one->row != other->row) &&
            !record_same_values(parts[one->part], one->row, parts[other->part], other->row, what, sizeof what))
            return record_fail("%s and %s have other values of one case, in %s: %s", paths[one->part],
                               paths[other->part], what, one->key);
    }
    return true;
}

static struct merge_row *taken(const struct merge_rows *m, const char *key) {
    int64_t from = 0, to = m->count;
    while (from < to) { /* the first of its key */
        const int64_t middle = from + (to - from) / 2;
        if (strcmp(m->row[middle].key, key) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from < m->count && !strcmp(m->row[from].key, key) ? &m->row[from] : NULL;
}

static void give_place(struct merge_rows *m, struct merge_row *row) {
    row->place = m->cases;
    m->keys[m->cases++] = row->key;
}

static bool order(struct merge_rows *m, const char *suite) {
    char *copy = strdup(suite ? suite : ""), *rest = NULL;
    bool *placed = calloc((size_t)m->count + 1, sizeof *placed);
    const bool good = copy && placed;
    for (char *line = good ? strtok_r(copy, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
        struct merge_row *row = taken(m, line);
        if (!row || placed[row - m->row])
            continue;
        placed[row - m->row] = true;
        give_place(m, row);
    }
    for (int64_t k = 0; good && k < m->count; k++)
        if (m->row[k].taken && !placed[k])
            give_place(m, &m->row[k]);
    free(placed);
    free(copy);
    if (good)
        qsort(m->row, (size_t)m->count, sizeof *m->row, by_place);
    return good || record_fail("out of memory");
}

bool merge_rows_find(struct merge_rows *m, struct record_reader *const *parts, const char *const *paths, int count,
                     const char *suite) {
    *m = (struct merge_rows){0};
    return collect(m, parts, count) && choose(m, parts, paths) && order(m, suite);
}

/* How many rows stand before those of a part that have this place or a later one. */
static int64_t before(const struct merge_rows *m, int part, int64_t place) {
    const struct merge_row sought = {.part = part, .place = place, .taken = true};
    int64_t from = 0, to = m->count;
    while (from < to) {
        const int64_t middle = from + (to - from) / 2;
        if (by_place(&m->row[middle], &sought) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

int64_t merge_rows_of(const struct merge_rows *m, int part, int64_t first, int64_t end, const struct merge_row **row) {
    const int64_t from = before(m, part, first);
    *row = m->row + from;
    return before(m, part, end) - from;
}

void merge_rows_free(struct merge_rows *m) {
    for (int64_t k = 0; m->row && k < m->count; k++)
        free(m->row[k].key);
    free(m->row);
    free(m->keys);
}
