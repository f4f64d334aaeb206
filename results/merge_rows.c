#include "results/merge_rows.h"

#include <errno.h>
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

bool merge_parts_allocate(struct merge_parts *p) {
    p->reader = calloc((unsigned)p->count, sizeof *p->reader);
    p->used = calloc((unsigned)p->count, sizeof *p->used);
    p->status = calloc((unsigned)p->count, sizeof *p->status);
    return (p->reader && p->used && p->status) || record_fail("out of memory");
}

/* Closes the one that was not asked for the longest, where so many are open. */
static void make_room(struct merge_parts *p) {
    int open = 0, oldest = 0;
    for (int k = 1; k < p->count; k++) {
        if (!p->reader[k])
            continue;
        oldest = open == 0 || p->used[k] < p->used[oldest] ? k : oldest;
        open++;
    }
    if (open < RECORD_PARTS_OPEN - 1) /* the first is open too */
        return;
    record_close(p->reader[oldest]);
    p->reader[oldest] = NULL;
}

bool merge_part_is_same(struct merge_parts *p, int part) {
    struct stat now, *first = &p->status[part];
    if (stat(p->path[part], &now))
        return record_fail("cannot read %s: %s", p->path[part], strerror(errno));
    if (!first->st_ino)
        *first = now;
    return (now.st_dev == first->st_dev && now.st_ino == first->st_ino && now.st_size == first->st_size &&
            now.st_mtim.tv_sec == first->st_mtim.tv_sec && now.st_mtim.tv_nsec == first->st_mtim.tv_nsec) ||
           record_fail("%s: has changed while it was read", p->path[part]);
}

struct record_reader *merge_part(struct merge_parts *p, int part) {
    p->used[part] = ++p->uses;
    if (p->reader[part])
        return p->reader[part];
    if (!merge_part_is_same(p, part))
        return NULL;
    make_room(p);
    p->reader[part] = record_open(p->path[part]);
    p->complete = p->complete && p->reader[part] && record_complete(p->reader[part]);
    return p->reader[part];
}

void merge_parts_close(struct merge_parts *p, int from) {
    for (int k = from; p->reader && k < p->count; k++) {
        record_close(p->reader[k]);
        p->reader[k] = NULL;
    }
    if (from > 0)
        return;
    free(p->reader);
    free(p->used);
    free(p->status);
}

bool merge_rows_add(struct merge_rows *m, struct record_reader *r, int part) {
    const char *const *key = record_texts(r, "key"), *const *status = record_texts(r, "status");
    const int64_t needed = m->count + record_count(r), room = needed > m->room ? needed + needed / 2 : m->room;
    struct merge_row *row = room > m->room || !m->row ? realloc(m->row, ((size_t)room + 1) * sizeof *row) : m->row;
    bool good = key && status && (row || record_fail("out of memory"));
    m->row = row ? row : m->row;
    m->room = row ? room : m->room;
    for (int64_t i = 0; good && i < record_count(r); i++) {
        m->row[m->count] = (struct merge_row){strdup(key[i]),    part, i, 0, !strcmp(status[i], "done"), false,
                                              record_complete(r)};
        good = m->row[m->count++].key || record_fail("out of memory");
    }
    return good;
}

bool merge_row_is_in(const struct merge_row *row, struct record_reader *part, const char *path) {
    const char *const *key = record_texts(part, "key");
    return key && ((row->row < record_count(part) && !strcmp(key[row->row], row->key)) ||
                   record_fail("%s: has changed while it was read", path));
}

/* Two rows of one case, which are both done. */
struct pair {
    const struct merge_row *one, *other;
};

/* Those of the same two parts together, so that a part is opened for each other part at most. */
static int by_parts(const void *a, const void *b) {
    const struct pair *x = a, *y = b;
    if (x->one->part != y->one->part)
        return x->one->part - y->one->part;
    return x->other->part != y->other->part ? x->other->part - y->other->part : strcmp(x->one->key, y->one->key);
}

static bool same_values(struct merge_parts *p, const struct pair *pair) {
    const struct merge_row *one = pair->one, *other = pair->other;
    const char *const *path = p->path;
    char what[300];
    struct record_reader *const a = merge_part(p, one->part), *const b = a ? merge_part(p, other->part) : NULL;
    return b && merge_row_is_in(one, a, path[one->part]) && merge_row_is_in(other, b, path[other->part]) &&
           (record_same_values(a, one->row, b, other->row, what, sizeof what) ||
            record_fail("%s and %s have other values of one case, in %s: %s", path[one->part], path[other->part], what,
                        one->key));
}

/* The first row of each key is taken. Those that are done must have the same values, whichever is taken. */
static bool choose(struct merge_rows *m, struct merge_parts *parts) {
    struct pair *pair = malloc(((size_t)m->count + 1) * sizeof *pair);
    int64_t pairs = 0;
    bool good = pair || record_fail("out of memory");
    for (int64_t first = 0, k = 0; good && k < m->count; k++) {
        const struct merge_row *one = &m->row[first], *other = &m->row[k];
        if (k == first || strcmp(one->key, other->key)) {
            first = k;
            m->row[k].taken = true;
            continue;
        }
        m->repeated++;
        if (one->done && other->done)
            pair[pairs++] = (struct pair){one, other};
    }
    if (pairs > 0)
        qsort(pair, (size_t)pairs, sizeof *pair, by_parts);
    for (int64_t k = 0; good && k < pairs; k++)
        good = same_values(parts, &pair[k]);
    free(pair);
    return good;
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
    if (good && m->count > 0)
        qsort(m->row, (size_t)m->count, sizeof *m->row, by_place);
    return good || record_fail("out of memory");
}

bool merge_rows_find(struct merge_rows *m, struct merge_parts *parts, const char *suite) {
    m->keys = malloc(((size_t)m->count + 1) * sizeof *m->keys);
    if (!m->keys)
        return record_fail("out of memory");
    if (m->count > 0)
        qsort(m->row, (size_t)m->count, sizeof *m->row, by_key);
    return choose(m, parts) && order(m, suite);
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
