/* Writing cases. A case is written in two flushed steps: everything of it, then its status. Until the second step the
 * row does not count, so a writer killed anywhere leaves the finished cases and nothing half done. A checkpoint is
 * replaced in three: everything but the reason, which says until the end that the case is unfinished; the status; the
 * reason. */
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

/* Writes what a row holds of a dataset; `block` is its extent in the further dimensions, NULL where all of it. */
static bool write_block(const struct record *r, const struct writer_dataset *d, int64_t row, const hsize_t *block,
                        const void *data) {
    const hsize_t start[4] = {(hsize_t)row};
    hsize_t count[4] = {1};
    for (int i = 1; i < d->rank; i++)
        count[i] = block ? block[i - 1] : d->extent[i];
    hid_t memory = block ? H5Screate_simple(d->rank, count, NULL) : d->memory;
    const bool good = memory >= 0 && d->file >= 0 &&
                      H5Sselect_hyperslab(d->file, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                      H5Dwrite(d->id, d->type, memory, d->file, H5P_DEFAULT, data) >= 0;
    if (!good)
        record_fail_hdf5("cannot write %s", r->part);
    if (block)
        H5Sclose(memory);
    return good;
}

static bool write_value(const struct record *r, const struct writer_dataset *d, int64_t row, const void *value) {
    return write_block(r, d, row, NULL, value);
}

/* A reason may be the message of anything: shortened between characters, not refused. */
static bool write_text(const struct record *r, const struct writer_dataset *d, int64_t row, const char *text) {
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
    return write_block(r, d, row, NULL, padded);
}

bool writer_resize(struct record *r, int64_t rows) {
    for (int i = 0; i < r->dataset_count; i++) {
        struct writer_dataset *d = &r->dataset[i];
        d->extent[0] = (hsize_t)rows;
        if (d->id < 0)
            continue;
        H5Sclose(d->file);
        d->file = -1;
        if (H5Dset_extent(d->id, d->extent) < 0 || (d->file = H5Dget_space(d->id)) < 0)
            return record_fail_hdf5("cannot write %s", r->part);
    }
    r->capacity = rows;
    return true;
}

bool writer_flush(const struct record *r) {
    return H5Fflush(r->file, H5F_SCOPE_GLOBAL) >= 0 || record_fail_hdf5("cannot write %s", r->part);
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
        good = r->dataset[i].id < 0 || write_value(r, &r->dataset[i], 0, zeros);
    good = good && writer_flush(r) && writer_resize(r, 0) && writer_resize(r, WRITER_BLOCK);
    for (int64_t row = 0; good && row < WRITER_BLOCK; row++)
        good = write_value(r, &r->fixed[OWN_STATUS], row, zeros);
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
static bool write_fixed(const struct record *r, const struct record_case *c, const struct dataset_info *info,
                        const struct writer_dataset *d, int64_t row) {
    static const int64_t nothing;
    static const double no_number = NAN;
    const void *place = place_of(c, info);
    if (kind_is_text(d->kind)) {
        const char *text = place ? *(const char *const *)place : NULL;
        return write_text(r, d, row, text ? text : "");
    }
    if (d->rank == 1)
        return write_value(r, d, row, place ? place : d->kind == KIND_REAL ? (const void *)&no_number : &nothing);
    const void *array = place ? *(const void *const *)place : NULL;
    hsize_t block[3] = {1, 1, 1};
    for (int i = 0; array && i < d->rank - 1; i++)
        block[i] = (hsize_t)length_of(r, c, info->axis[i]);
    return !array || block[0] * block[1] * block[2] == 0 || write_block(r, d, row, block, array);
}

static bool write_curves(const struct record *r, const struct record_case *c, int64_t row) {
    const hsize_t layers = (hsize_t)c->layers;
    const int count = r->list_count[RECORD_LIST_CURVES];
    memset(r->computed, 0, (size_t)count);
    for (int i = 0; c->curves && i < count; i++) {
        r->computed[i] = c->curves[i] != NULL;
        if (c->curves[i] && layers > 0 && !write_block(r, &r->list[RECORD_LIST_CURVES][i], row, &layers, c->curves[i]))
            return false;
    }
    return count == 0 || write_value(r, &r->fixed[CURVE_COMPUTED], row, r->computed);
}

static bool write_columns(const struct record *r, const struct record_case *c, int64_t row) {
    bool good = true;
    for (int i = 0; good && i < r->list_count[RECORD_LIST_COLUMNS]; i++) {
        const struct writer_dataset *d = &r->list[RECORD_LIST_COLUMNS][i];
        good = d->kind == KIND_TEXT ? write_text(r, d, row, c->values[i].text) : write_value(r, d, row, &c->values[i]);
    }
    return good;
}

static bool write_scalars(const struct record *r, const struct record_case *c, enum record_list list, int64_t row) {
    const double nothing = NAN, *values = *(const double *const *)((const char *)c + list_info[list].values);
    bool good = true;
    for (int i = 0; good && i < r->list_count[list]; i++)
        good = write_value(r, &r->list[list][i], row, values ? &values[i] : &nothing);
    return good;
}

static bool write_reason(const struct record *r, const struct record_case *c, int64_t row) {
    return write_fixed(r, c, &dataset_info[OWN_REASON], &r->fixed[OWN_REASON], row);
}

/* Everything but the status and the reason, whose turn decides what a killed writer leaves. */
static bool write_row(struct record *r, const struct record_case *c, int64_t row) {
    bool good = row < r->capacity || writer_resize(r, (row / WRITER_BLOCK + 1) * WRITER_BLOCK);
    for (int g = 0; good && g < GROUPS; g++)
        good = r->number[g].id < 0 || write_value(r, &r->number[g], row, &row);
    for (int i = 0; good && i < DATASETS; i++)
        good = r->fixed[i].id < 0 || dataset_info[i].in == PLACE_OWN || i == OWN_REASON ||
               write_fixed(r, c, &dataset_info[i], &r->fixed[i], row);
    good = good && write_columns(r, c, row) && write_curves(r, c, row);
    for (int list = RECORD_LIST_SUMMARIES; good && list < RECORD_LISTS; list++)
        good = write_scalars(r, c, (enum record_list)list, row);
    return good;
}

static bool write_status(struct record *r, const struct record_case *c, int64_t row) {
    const int8_t status = (int8_t)c->status;
    return write_value(r, &r->fixed[OWN_STATUS], row, &status);
}

/* The place of an acceptable case; NULL: out of memory. */
static struct known_case *place(struct record *r, const struct record_case *c) {
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

bool record_append_unflushed(struct record *r, const struct record_case *c) {
    struct known_case *k = acceptable(r, c) ? place(r, c) : NULL;
    if (!k || !writer_reserve(r) || !write_row(r, c, k->row) || !write_reason(r, c, k->row))
        return false;
    remember(r, k, c, false);
    return true;
}

bool record_mark(struct record *r, const char *key, bool done) {
    const struct known_case *k = known(r, key);
    return k && write_status(r, &(struct record_case){.status = done ? RECORD_DONE : RECORD_FAILED}, k->row);
}

static bool write_new(struct record *r, const struct record_case *c, int64_t row) {
    return write_row(r, c, row) && write_reason(r, c, row) && writer_flush(r) && write_status(r, c, row) &&
           writer_flush(r);
}

static bool write_again(struct record *r, const struct record_case *c, int64_t row) {
    return write_row(r, c, row) && writer_flush(r) && write_status(r, c, row) && writer_flush(r) &&
           write_reason(r, c, row) && writer_flush(r);
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

static bool write_case(struct record *r, const struct record_case *c, bool checkpoint) {
    if (r->broken)
        return record_fail("%s", r->broken);
    struct known_case *k = acceptable(r, c) ? place(r, c) : NULL;
    if (!k)
        return false;
    if (!place_is(r->part, &r->own)) { /* rather now than after hours */
        record_fail("%s: another process has replaced it", r->part);
        writer_abandon(r);
        return false;
    }
    if (!writer_reserve(r) || !(k->unfinished ? write_again(r, c, k->row) : write_new(r, c, k->row))) {
        writer_abandon(r);
        return false;
    }
    remember(r, k, c, checkpoint);
    if (!synchronise(r)) {
        writer_abandon(r);
        return false;
    }
    return true;
}

bool record_append(struct record *r, const struct record_case *c) {
    return write_case(r, c, false);
}

bool record_checkpoint(struct record *r, const struct record_case *c) {
    if (c->status != RECORD_FAILED || !is_unfinished(c->reason))
        return record_fail("a checkpoint that does not say what is unfinished");
    return write_case(r, c, true);
}
