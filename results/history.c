#include "results/history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "results/layout.h"
#include "results/place.h"

#define HISTORY_SCHEMA "mhcbench-history/1"
enum { MOST_ATTEMPTS = 100 };

enum extent { ENTRIES, CASES, ROWS };
static const struct {
    const char *name, *long_name;
    enum checkpoint_type type;
    enum extent extent;
    size_t place;
} fields[] = {
#define FIELD(name, member, type, extent, text) \
    { name, text, type, extent, offsetof(struct history, member) }
    FIELD("entry_revision", revision, CHECKPOINT_NAMES, ENTRIES, "of the new library"),
    FIELD("entry_base", base, CHECKPOINT_NAMES, ENTRIES, "of the old library"),
    FIELD("entry_machine", machine, CHECKPOINT_NAMES, ENTRIES, "type of CPU"),
    FIELD("entry_time", time, CHECKPOINT_NAMES, ENTRIES, "end of the run, UTC"),
    FIELD("case_name", name, CHECKPOINT_LINES, CASES, "operation, shape and type"),
    FIELD("row_entry", entry, CHECKPOINT_INTEGERS, ROWS, "place of its entry, from 0"),
    FIELD("row_case", of, CHECKPOINT_INTEGERS, ROWS, "place of its case, from 0"),
    FIELD("row_verdict", verdict, CHECKPOINT_BYTES, ROWS, "place in the attribute verdicts, from 0"),
    FIELD("row_ratio", ratio, CHECKPOINT_DOUBLES, ROWS, "time of the new library / time of the old one"),
    FIELD("row_low", low, CHECKPOINT_DOUBLES, ROWS, "lower end of its 99 % interval"),
    FIELD("row_high", high, CHECKPOINT_DOUBLES, ROWS, "upper end of its 99 % interval")};
enum { FIELDS = sizeof fields / sizeof *fields };

static void **array_of(struct history *h, int field) {
    return (void **)((char *)h + fields[field].place);
}

static int64_t count_of(const struct history *h, int field) {
    return fields[field].extent == ENTRIES ? h->entries : fields[field].extent == CASES ? h->cases : h->rows;
}

void history_release(struct history *h) {
    for (int k = 0; h && k < FIELDS; k++)
        free(*array_of(h, k));
    if (h)
        free(h->verdicts);
    free(h);
}

struct history *history_new(const char *verdicts, int64_t entries, int64_t cases, int64_t rows) {
    struct history *h = calloc(1, sizeof *h);
    bool good = h && (h->verdicts = strdup(verdicts));
    if (good)
        h->entries = entries, h->cases = cases, h->rows = rows;
    for (int k = 0; good && k < FIELDS; k++) {
        *array_of(h, k) = calloc((size_t)count_of(h, k) + 1, (size_t)checkpoint_element(fields[k].type));
        good = *array_of(h, k) != NULL;
    }
    if (good)
        return h;
    history_release(h);
    return record_fail("out of memory"), NULL;
}

bool history_is(const char *path) {
    return checkpoint_says(path, HISTORY_SCHEMA);
}

/* Places are places, and texts end. */
static bool is_sound(struct history *h) {
    for (int64_t k = 0; k < h->rows; k++)
        if (h->entry[k] < 0 || h->entry[k] >= h->entries || h->of[k] < 0 || h->of[k] >= h->cases)
            return false;
    for (int k = 0; k < FIELDS; k++) {
        const int64_t size = checkpoint_element(fields[k].type);
        for (int64_t i = 0; i < count_of(h, k) && size >= CHECKPOINT_NAME; i++)
            ((char *)*array_of(h, k))[(i + 1) * size - 1] = 0;
    }
    return true;
}

struct history *history_read(const char *path) {
    struct checkpoint *c = checkpoint_read_as(path, HISTORY_SCHEMA);
    const struct checkpoint_array *array[FIELDS];
    const char *verdicts = c ? checkpoint_fact(c, "verdicts") : NULL;
    int64_t count[3] = {-1, -1, -1};
    bool good = verdicts != NULL;
    for (int k = 0; k < FIELDS && good; k++) {
        int64_t *extent = &count[fields[k].extent];
        array[k] = checkpoint_array(c, fields[k].name, fields[k].type, *extent);
        good = array[k] != NULL;
        *extent = good ? array[k]->count : 0;
    }
    if (c && !good)
        record_fail("%s is no history of this version: a dataset or the attribute verdicts is missing", path);
    struct history *h = good ? history_new(verdicts, count[ENTRIES], count[CASES], count[ROWS]) : NULL;
    for (int k = 0; k < FIELDS && h; k++)
        memcpy(*array_of(h, k), array[k]->data, (size_t)(array[k]->count * checkpoint_element(fields[k].type)));
    if (c)
        checkpoint_release(c);
    if (!h || is_sound(h))
        return h;
    history_release(h);
    return record_fail("%s is damaged: a row is of no entry or no case", path), NULL;
}

static int64_t case_called(const struct history *h, const char *name) {
    int64_t k = 0;
    while (k < h->cases && strcmp(h->name[k], name))
        k++;
    return k;
}

/* The entries of both, in new memory. Cases of one name become one. */
static struct history *join(const struct history *was, const struct history *more) {
    struct history *h = history_new(was->verdicts, was->entries + more->entries, was->cases + more->cases,
                                    was->rows + more->rows);
    if (!h)
        return NULL;
    const struct history *const parts[2] = {was, more};
    h->cases = 0;
    for (int p = 0; p < 2; p++) {
        const struct history *part = parts[p];
        const int64_t row = p ? was->rows : 0, entry = p ? was->entries : 0;
        for (int k = 0; k < FIELDS; k++)
            if (fields[k].extent != CASES)
                memcpy((char *)*array_of(h, k) +
                           (fields[k].extent == ROWS ? row : entry) * checkpoint_element(fields[k].type),
                       *array_of((struct history *)part, k),
                       (size_t)(count_of(part, k) * checkpoint_element(fields[k].type)));
        for (int64_t i = 0; i < part->rows; i++) {
            const int64_t of = case_called(h, part->name[part->of[i]]);
            if (of == h->cases)
                memcpy(h->name[h->cases++], part->name[part->of[i]], sizeof *h->name);
            h->of[row + i] = of;
            h->entry[row + i] += entry;
        }
    }
    return h;
}

static bool replace(const char *path, const struct place *seen, const struct history *h) {
    struct checkpoint c = {.schema = HISTORY_SCHEMA, .fact = {{"verdicts", h->verdicts}}, .facts = 1, .arrays = FIELDS};
    for (int k = 0; k < FIELDS; k++)
        c.array[k] = (struct checkpoint_array){fields[k].name, fields[k].long_name, fields[k].type, count_of(h, k),
                                               *array_of((struct history *)h, k)};
    return checkpoint_replace(path, seen, &c);
}

static bool append_to(const char *path, const struct place *seen, const struct history *more) {
    struct history *was = seen->there ? history_read(path) : history_new(more->verdicts, 0, 0, 0);
    struct history *joined = NULL;
    bool good = was != NULL;
    if (good && strcmp(was->verdicts, more->verdicts))
        good = record_fail("%s: its verdicts are %s, of another version", path, was->verdicts);
    good = good && (joined = join(was, more)) && replace(path, seen, joined);
    history_release(was);
    history_release(joined);
    return good;
}

/* Opens what PATH leads to: as long as it is open, no other file can have its inode. -1: nothing is there, or `good` is
 * false and the error line says why it cannot be added to. */
static int open_seen(const char *path, struct place *seen, bool *good) {
    const int file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    *seen = (struct place){0};
    *good = file < 0 ? errno == ENOENT : place_opened(file, path, seen);
    if (file < 0 && errno == ELOOP)
        record_fail("%s: a link, not a regular file", path);
    else if (file < 0 && !*good)
        record_fail("%s: %s", path, strerror(errno));
    else if (seen->there && !S_ISREG(seen->mode))
        *good = record_fail("%s: not a regular file", path);
    return file;
}

bool history_append(const char *path, const struct history *more) {
    for (int attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
        struct place seen, now;
        bool good;
        const int file = open_seen(path, &seen, &good), has = good;
        good = good && append_to(path, &seen, more);
        const bool other = has && !good && place_look(path, &now) &&
                           (now.there != seen.there || now.device != seen.device || now.inode != seen.inode);
        if (file >= 0)
            close(file);
        if (good || !other)
            return good;
    }
    return record_fail("%s: other processes replace it all the time", path);
}
