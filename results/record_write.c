/* Writing cases. A case is written in two flushed steps: everything of it, then its status. Until the second step the
 * row does not count, so a writer killed anywhere leaves the finished cases and nothing half done. Many cases may share
 * these steps. A checkpoint is replaced in three: everything but the reason, which says until the end that the case is
 * unfinished; the status; the reason. */
#include "results/writer.h"

#include <errno.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int compare_keys(const void *a, const void *b) {
    return strcmp(((const struct known_case *)a)->key, ((const struct known_case *)b)->key);
}

static struct known_case *known(const struct record *r, const char *key) {
    struct known_case **found = tfind(&(struct known_case){.key = (char *)key}, &r->known, compare_keys);
    return found ? *found : NULL;
}

static void forget(void *node) {
    struct known_case *k = node;
    free(k->key);
    free(k);
}

void writer_forget(struct record *r) {
    tdestroy(r->known, forget);
    r->known = NULL;
}

struct known_case *writer_expect(struct record *r, const char *key) {
    struct known_case *k = calloc(1, sizeof *k);
    if (k && (k->key = strdup(key)) && tsearch(k, &r->known, compare_keys)) {
        k->row = r->next++;
        return k;
    }
    if (k)
        forget(k);
    record_fail("out of memory");
    return NULL;
}

bool record_has(const struct record *r, const char *key) {
    const struct known_case *k = known(r, key);
    return k && k->written;
}

/* A reason may be the message of anything: shortened between characters, not refused. */
static bool write_text(struct record *r, struct writer_dataset *d, int64_t row, const char *text) {
    char padded[RECORD_KEY_BYTES] = {0};
    size_t length = strlen(text);
    const bool whole = d->kind != KIND_REASON || length <= RECORD_REASON_BYTES;
    if (!whole) {
        length = RECORD_REASON_BYTES - 3;
        while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80)
            length--;
    }
    memcpy(padded, text, length);
    memcpy(padded + length, "...", whole ? 0 : 3);
    return writer_put(r, d, row, padded);
}

/* A row that is written, flushed and cut off again leaves an empty chunk index behind, so that no header will have to
 * point to a new one; the statuses of the first block are written to have their chunk. */
bool writer_prepare(struct record *r) {
    size_t largest = 0;
    r->reserve = WRITER_PAGE;
    for (int i = 0; i < r->dataset_count; i++) {
        const struct writer_dataset *d = &r->dataset[i];
        if (d->id < 0)
            continue;
        size_t row = H5Tget_size(d->type);
        for (int k = 1; k < d->rank; k++)
            row *= d->chunk[k];
        largest = row > largest ? row : largest;
        const size_t chunk = row * d->chunk[0];
        r->reserve += (off_t)(chunk + (chunk < WRITER_NODE_BYTES ? 0 : WRITER_PAGE)); /* which is aligned */
    }
    char *zeros = calloc(1, largest);
    bool good = zeros ? writer_resize(r, 1) : record_fail("out of memory");
    for (int i = 0; good && i < r->dataset_count; i++)
        good = r->dataset[i].id < 0 || writer_put(r, &r->dataset[i], 0, zeros);
    good = good && writer_flush(r) && writer_resize(r, 0) && writer_resize(r, WRITER_BLOCK);
    for (int64_t row = 0; good && row < WRITER_BLOCK; row++)
        good = writer_put(r, &r->fixed[OWN_STATUS], row, zeros);
    free(zeros);
    return good;
}

static bool is_unfinished(const char *reason) {
    return reason && !strncmp(reason, RECORD_UNFINISHED, strlen(RECORD_UNFINISHED));
}

/* Whether a case has all arrays that its checkpoint left in the row. */
static bool has_as_much(const struct record_case *c, const struct known_case *k) {
    return c->layers == k->layers && (c->timing ? c->timing->rounds : 0) >= k->rounds &&
           (c->training ? c->training->points : 0) >= k->points && (c->panels || !k->panels) &&
           (c->qr_spectrum || !k->spectrum) && (c->mixing || !k->mixing);
}

/* Refuses a case for what it is, before anything of it is written. */
static bool acceptable(const struct record *r, const struct record_case *c) {
    if (!c->key || !*c->key)
        return record_fail("a case without a key");
    if (strlen(c->key) > (size_t)r->key_bytes)
        return record_fail("key of %zu bytes: at most %d fit: %.60s...", strlen(c->key), r->key_bytes, c->key);
    const struct known_case *k = known(r, c->key);
    if (k && k->written && !k->unfinished)
        return record_fail("key repeated: %s", c->key);
    if (k && k->unfinished && !has_as_much(c, k))
        return record_fail("less than its checkpoint had: %s", c->key);
    if (c->status != RECORD_DONE && c->status != RECORD_FAILED)
        return record_fail("status %d: neither done nor failed", (int)c->status);
    const int64_t *room = r->length;
    if (c->layers < 0 || c->layers > room[AXIS_LAYER])
        return record_fail("%lld layers: the record has room for %lld", (long long)c->layers,
                           (long long)room[AXIS_LAYER]);
    if ((c->panels || c->qr_spectrum) && (c->streams < 1 || c->streams > room[AXIS_STREAM]))
        return record_fail("%lld streams: the record has room for %lld", (long long)c->streams,
                           (long long)room[AXIS_STREAM]);
    if (c->mixing && (c->mixing_rows < 1 || c->mixing_rows > room[AXIS_ROW]))
        return record_fail("%lld rows of mixing: the record has room for %lld", (long long)c->mixing_rows,
                           (long long)room[AXIS_ROW]);
    if (c->timing && (room[AXIS_SUBJECT] < 1 || c->timing->rounds < 1 || c->timing->rounds > room[AXIS_ROUND]))
        return record_fail("%lld rounds: the record has room for %lld", (long long)c->timing->rounds,
                           (long long)room[AXIS_ROUND]);
    if (c->timing && (!c->timing->stop || strlen(c->timing->stop) > RECORD_TEXT_BYTES))
        return record_fail("a timing that does not say why it stopped");
    if (c->training && (c->training->points < 1 || c->training->points > room[AXIS_POINT]))
        return record_fail("%lld points of training: the record has room for %lld", (long long)c->training->points,
                           (long long)room[AXIS_POINT]);
    if (!c->panels != !c->panel_log10_scale)
        return record_fail("panels and their scale belong together");
    const int columns = r->list_count[RECORD_LIST_COLUMNS];
    if (columns > 0 && !c->values)
        return record_fail("a case without parameters");
    for (int i = 0; i < columns; i++) {
        if (r->list[RECORD_LIST_COLUMNS][i].kind != KIND_TEXT)
            continue;
        if (!c->values[i].text)
            return record_fail("%s: no text", r->column_name[i]);
        if (strlen(c->values[i].text) > (size_t)r->column_bytes[i])
            return record_fail("%s: text of %zu bytes, at most %d fit: %.60s...", r->column_name[i],
                               strlen(c->values[i].text), r->column_bytes[i], c->values[i].text);
    }
    return true;
}

/* What a case has of a dataset: the place of its number, or of its pointer; NULL: nothing. */
static const void *place_of(const struct record_case *c, const struct dataset_info *d) {
    const void *given = *(const void *const *)((const char *)c + group_info[d->group].given);
    const void *of = d->in == PLACE_TIMING     ? (const void *)c->timing
                     : d->in == PLACE_TRAINING ? (const void *)c->training
                                               : c;
    return given ? (const char *)of + d->offset : NULL;
}

static int64_t length_of(const struct record *r, const struct record_case *c, enum layout_axis axis) {
    switch (axis) {
    case AXIS_LAYER: return c->layers;
    case AXIS_DESTINATION:
    case AXIS_SOURCE:
    case AXIS_STREAM: return c->streams;
    case AXIS_ROW:
    case AXIS_COLUMN: return c->mixing_rows;
    case AXIS_ROUND: return c->timing->rounds;
    case AXIS_POINT: return c->training->points;
    default: return r->length[axis];
    }
}

/* Numbers and texts of every case, so that a reader of all of them finds their chunk; of arrays what the case has. */
static bool write_fixed(struct record *r, const struct record_case *c, const struct dataset_info *info,
                        struct writer_dataset *d, int64_t row) {
    static const int64_t nothing;
    static const double no_number = NAN;
    const void *place = place_of(c, info);
    if (kind_is_text(d->kind)) {
        const char *text = place ? *(const char *const *)place : NULL;
        return write_text(r, d, row, text ? text : "");
    }
    if (d->rank == 1)
        return writer_put(r, d, row, place ? place : d->kind == KIND_REAL ? (const void *)&no_number : &nothing);
    const void *array = place ? *(const void *const *)place : NULL;
    hsize_t block[3] = {1, 1, 1};
    for (int i = 0; array && i < d->rank - 1; i++)
        block[i] = (hsize_t)length_of(r, c, info->axis[i]);
    return !array || block[0] * block[1] * block[2] == 0 || writer_write_block(r, d, row, block, array);
}

static bool write_curves(struct record *r, const struct record_case *c, int64_t row) {
    const hsize_t layers = (hsize_t)c->layers;
    const int count = r->list_count[RECORD_LIST_CURVES];
    memset(r->computed, 0, (size_t)count);
    for (int i = 0; c->curves && i < count; i++) {
        r->computed[i] = c->curves[i] != NULL;
        if (c->curves[i] && layers > 0 &&
            !writer_write_block(r, &r->list[RECORD_LIST_CURVES][i], row, &layers, c->curves[i]))
            return false;
    }
    return count == 0 || writer_put(r, &r->fixed[CURVE_COMPUTED], row, r->computed);
}

static bool write_columns(struct record *r, const struct record_case *c, int64_t row) {
    bool good = true;
    for (int i = 0; good && i < r->list_count[RECORD_LIST_COLUMNS]; i++) {
        struct writer_dataset *d = &r->list[RECORD_LIST_COLUMNS][i];
        good = d->kind == KIND_TEXT ? write_text(r, d, row, c->values[i].text) : writer_put(r, d, row, &c->values[i]);
    }
    return good;
}

static bool write_scalars(struct record *r, const struct record_case *c, enum record_list list, int64_t row) {
    const double nothing = NAN, *values = *(const double *const *)((const char *)c + list_info[list].values);
    bool good = true;
    for (int i = 0; good && i < r->list_count[list]; i++)
        good = writer_put(r, &r->list[list][i], row, values ? &values[i] : &nothing);
    return good;
}

static bool write_reason(struct record *r, const struct record_case *c, int64_t row) {
    return write_fixed(r, c, &dataset_info[OWN_REASON], &r->fixed[OWN_REASON], row);
}

/* The room that is free must hold the chunks of one more case, so what is gathered of another block takes its own
 * first. */
static bool take_row(struct record *r, int64_t row) {
    const int64_t end = (row / WRITER_BLOCK + 1) * WRITER_BLOCK;
    const struct writer_dataset *keys = &r->fixed[OWN_KEY];
    const bool same = !keys->holds || keys->window == row / (r->blocks * WRITER_BLOCK);
    return (same || writer_settle(r)) && writer_reserve(r) && (row < r->capacity || writer_resize(r, end));
}

/* Everything but the status and the reason, whose turn decides what a killed writer leaves. */
static bool write_row(struct record *r, const struct record_case *c, int64_t row) {
    bool good = take_row(r, row);
    for (int g = 0; good && g < GROUPS; g++)
        good = r->number[g].id < 0 || writer_put(r, &r->number[g], row, &row);
    for (int i = 0; good && i < DATASETS; i++)
        good = r->fixed[i].id < 0 || dataset_info[i].in == PLACE_OWN || i == OWN_REASON ||
               write_fixed(r, c, &dataset_info[i], &r->fixed[i], row);
    good = good && write_columns(r, c, row) && write_curves(r, c, row);
    for (int list = RECORD_LIST_SUMMARIES; good && list < RECORD_LISTS; list++)
        good = write_scalars(r, c, (enum record_list)list, row);
    return good;
}

/* Onto the disk, every few seconds. */
static bool synchronise(struct record *r) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    const double now = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
    if (r->synchronised == 0)
        r->synchronised = now;
    if (now - r->synchronised < WRITER_SYNC_SECONDS)
        return true;
    r->synchronised = now;
    return !fsync(r->descriptor) || errno == EINVAL || errno == ENOSYS ||
           record_fail("cannot synchronise %s: %s", r->part, strerror(errno));
}

/* A case that no earlier call refuses, and its place; NULL: refused, or nothing more can be written. */
static struct known_case *admit(struct record *r, const struct record_case *c) {
    if (r->broken)
        record_fail("%s", r->broken);
    if (r->broken || !acceptable(r, c))
        return NULL;
    struct known_case *k = known(r, c->key);
    return k ? k : writer_expect(r, c->key);
}

static void remember(struct record *r, struct known_case *k, const struct record_case *c, bool checkpoint) {
    k->written = true;
    k->unfinished = checkpoint;
    k->layers = c->layers;
    k->rounds = c->timing ? c->timing->rounds : 0;
    k->points = c->training ? c->training->points : 0;
    k->panels = c->panels != NULL;
    k->spectrum = c->qr_spectrum != NULL;
    k->mixing = c->mixing != NULL;
    r->rows = k->row < r->rows ? r->rows : k->row + 1;
}

static bool write_status(struct record *r, int64_t row, bool done) {
    const int8_t status = done ? RECORD_DONE : RECORD_FAILED;
    return writer_put(r, &r->fixed[OWN_STATUS], row, &status);
}

bool writer_commit(struct record *r) {
    bool good = writer_flush(r);
    for (; good && r->waiting; r->waiting = r->waiting->waiting) /* in the order of the calls */
        good = write_status(r, r->waiting->row, r->waiting->done);
    good = good && writer_flush(r) && synchronise(r);
    if (!good)
        writer_abandon(r);
    return good;
}

bool record_commit(struct record *r) {
    if (r->broken)
        return record_fail("%s", r->broken);
    if (!r->waiting)
        return true;
    if (place_is(r->part, &r->own)) /* rather now than after hours */
        return writer_commit(r);
    record_fail("%s: another process has replaced it", r->part);
    writer_abandon(r);
    return false;
}

static bool append_soon(struct record *r, struct known_case *k, const struct record_case *c, bool checkpoint) {
    if (!write_row(r, c, k->row) || !write_reason(r, c, k->row)) {
        writer_abandon(r);
        return false;
    }
    remember(r, k, c, checkpoint);
    k->done = c->status == RECORD_DONE;
    k->waiting = NULL;
    *(r->waiting ? &r->last_waiting->waiting : &r->waiting) = k;
    r->last_waiting = k;
    return true;
}

/* In the row of its checkpoint. */
static bool replace(struct record *r, struct known_case *k, const struct record_case *c, bool checkpoint) {
    if (!record_commit(r))
        return false;
    if (!(write_row(r, c, k->row) && writer_flush(r) && write_status(r, k->row, c->status == RECORD_DONE) &&
          writer_flush(r) && write_reason(r, c, k->row) && writer_flush(r) && synchronise(r))) {
        writer_abandon(r);
        return false;
    }
    remember(r, k, c, checkpoint);
    return true;
}

static bool append(struct record *r, const struct record_case *c, bool checkpoint) {
    struct known_case *k = admit(r, c);
    return k && (k->unfinished ? replace(r, k, c, checkpoint) : append_soon(r, k, c, checkpoint));
}

bool record_append_soon(struct record *r, const struct record_case *c) {
    return append(r, c, false);
}

bool record_append(struct record *r, const struct record_case *c) {
    return append(r, c, false) && record_commit(r);
}

bool record_checkpoint(struct record *r, const struct record_case *c) {
    if (c->status != RECORD_FAILED || !is_unfinished(c->reason))
        return record_fail("a checkpoint that does not say what is unfinished");
    return append(r, c, true) && record_commit(r);
}
