/* Appending cases and finishing. A case is written in two flushed steps: everything of it, then its status. Until the
 * second step the row does not count, so a writer killed anywhere leaves the finished cases and nothing half done. A
 * checkpoint is replaced in three: everything but the reason, which says until the end that the case is unfinished;
 * the status; the reason. */
#include "results/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int compare_keys(const void *a, const void *b) {
    return strcmp(a, b);
}

bool record_has(const struct record *r, const char *key) {
    return tfind(key, &r->keys, compare_keys) != NULL;
}

bool writer_write_block(const struct record *r, const struct writer_dataset *d, int64_t row, const hsize_t *block,
                        const void *data) {
    const hsize_t start[4] = {(hsize_t)row};
    hsize_t count[4] = {1};
    for (int i = 1; i < d->rank; i++)
        count[i] = block ? block[i - 1] : d->extent[i];
    hid_t memory = H5Screate_simple(d->rank, count, NULL), file = H5Dget_space(d->id);
    const bool good = memory >= 0 && file >= 0 &&
                      H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                      H5Dwrite(d->id, r->type[d->kind], memory, file, H5P_DEFAULT, data) >= 0;
    if (!good)
        record_fail_hdf5("cannot write %s", r->part);
    H5Sclose(file);
    H5Sclose(memory);
    return good;
}

static bool write_value(const struct record *r, const struct writer_dataset *d, int64_t row, const void *value) {
    return writer_write_block(r, d, row, NULL, value);
}

bool writer_write_text(const struct record *r, const struct writer_dataset *d, int64_t row, const char *text) {
    char padded[RECORD_KEY_BYTES] = {0};
    memcpy(padded, text, strlen(text));
    return writer_write_block(r, d, row, NULL, padded);
}

/* A reason may be the message of anything: shortened between characters, not refused. */
static bool write_reason(const struct record *r, int64_t row, const char *reason) {
    char text[RECORD_REASON_BYTES + 1];
    size_t length = strlen(reason ? reason : "");
    if (length <= RECORD_REASON_BYTES)
        return writer_write_text(r, &r->own[OWN_REASON], row, reason ? reason : "");
    length = RECORD_REASON_BYTES - 3;
    while (length > 0 && ((unsigned char)reason[length] & 0xC0) == 0x80)
        length--;
    memcpy(text, reason, length);
    memcpy(text + length, "...", 4);
    return writer_write_text(r, &r->own[OWN_REASON], row, text);
}

/* All datasets have the same number of rows at any time; they grow by blocks and are cut to the cases at the end. */
static bool resize(struct record *r, int64_t rows) {
    for (int i = 0; i < r->dataset_count; i++) {
        struct writer_dataset *d = &r->dataset[i];
        d->extent[0] = (hsize_t)rows;
        if (d->id >= 0 && H5Dset_extent(d->id, d->extent) < 0)
            return record_fail_hdf5("cannot write %s", r->part);
    }
    r->capacity = rows;
    return true;
}

static bool flush(const struct record *r) {
    return H5Fflush(r->file, H5F_SCOPE_GLOBAL) >= 0 || record_fail_hdf5("cannot write %s", r->part);
}

/* A row that is written, flushed and cut off again leaves an empty chunk index behind, so that no header will have to
 * point to a new one; the statuses of the first block are written to have their chunk. */
bool writer_prepare(struct record *r) {
    size_t largest = 0;
    r->reserve = 65536;
    for (int i = 0; i < r->dataset_count; i++) {
        const struct writer_dataset *d = &r->dataset[i];
        if (d->id < 0)
            continue;
        size_t row = H5Tget_size(r->type[d->kind]);
        for (int k = 1; k < d->rank; k++)
            row *= d->chunk[k];
        largest = row > largest ? row : largest;
        r->reserve += (off_t)(row * d->chunk[0] + 3 * WRITER_PAGE);
    }
    char *zeros = calloc(1, largest);
    bool good = zeros ? resize(r, 1) : record_fail("out of memory");
    for (int i = 0; good && i < r->dataset_count; i++)
        good = r->dataset[i].id < 0 || write_value(r, &r->dataset[i], 0, zeros);
    good = good && flush(r) && resize(r, 0) && resize(r, WRITER_BLOCK);
    for (int64_t row = 0; good && row < WRITER_BLOCK; row++)
        good = write_value(r, &r->own[OWN_STATUS], row, zeros);
    free(zeros);
    return good;
}

/* After a failed write HDF5 goes on with the others, and one of those may be what makes the file unreadable. So the
 * room is taken beforehand, and a full disk is found while nothing of the case has been written. */
static bool reserve(const struct record *r) {
    hsize_t size;
    if (H5Fget_filesize(r->file, &size) < 0)
        return record_fail_hdf5("cannot write %s", r->part);
    const int error = posix_fallocate(r->descriptor, (off_t)size, r->reserve);
    return !error || error == EOPNOTSUPP || error == EINVAL ||
           record_fail("cannot write %s: %s", r->part, strerror(error));
}

/* Gives back what was reserved and not needed. */
static void trim(const struct record *r) {
    hsize_t size;
    if (H5Fget_filesize(r->file, &size) >= 0)
        (void)!ftruncate(r->descriptor, (off_t)size);
}

static bool is_unfinished(const char *reason) {
    return reason && !strncmp(reason, RECORD_UNFINISHED, strlen(RECORD_UNFINISHED));
}

/* Is the last row a checkpoint of this case? */
static bool replaces(const struct record *r, const struct record_case *c) {
    return r->checkpoint.key && !strcmp(r->checkpoint.key, c->key);
}

/* Whether a case has all arrays that its checkpoint left in the row. */
static bool has_as_much(const struct record *r, const struct record_case *c) {
    return c->layers == r->checkpoint.layers && (c->timing ? c->timing->rounds : 0) >= r->checkpoint.rounds &&
           (c->panels || !r->checkpoint.panels) && (c->qr_spectrum || !r->checkpoint.spectrum);
}

/* Refuses a case for what it is, before anything of it is written. */
static bool acceptable(const struct record *r, const struct record_case *c) {
    if (!c->key || !*c->key)
        return record_fail("a case without a key");
    if (strlen(c->key) > RECORD_KEY_BYTES)
        return record_fail("key of %zu bytes: at most %d fit: %.60s...", strlen(c->key), RECORD_KEY_BYTES, c->key);
    if (record_has(r, c->key) && !replaces(r, c))
        return record_fail("key repeated: %s", c->key);
    if (replaces(r, c) && !has_as_much(r, c))
        return record_fail("less than its checkpoint had: %s", c->key);
    if (c->status != RECORD_DONE && c->status != RECORD_FAILED)
        return record_fail("status %d: neither done nor failed", (int)c->status);
    if (c->layers < 0 || c->layers > r->layers)
        return record_fail("%lld layers: the record has room for %lld", (long long)c->layers, (long long)r->layers);
    if ((c->panels || c->qr_spectrum) && (c->streams < 1 || c->streams > r->streams))
        return record_fail("%lld streams: the record has room for %lld", (long long)c->streams, (long long)r->streams);
    if (c->timing && (r->subjects < 1 || c->timing->rounds < 1 || c->timing->rounds > r->rounds))
        return record_fail("%lld rounds: the record has room for %lld", (long long)c->timing->rounds,
                           (long long)r->rounds);
    if (c->timing && (!c->timing->stop || strlen(c->timing->stop) > RECORD_TEXT_BYTES))
        return record_fail("a timing that does not say why it stopped");
    if (!c->panels != !c->panel_log10_scale)
        return record_fail("panels and their scale belong together");
    if (r->column_count > 0 && !c->values)
        return record_fail("a case without parameters");
    for (int i = 0; i < r->column_count; i++) {
        if (r->columns[i].kind != KIND_TEXT)
            continue;
        if (!c->values[i].text)
            return record_fail("%s: no text", r->column_name[i]);
        if (strlen(c->values[i].text) > RECORD_TEXT_BYTES)
            return record_fail("%s: text of %zu bytes, at most %d fit: %.60s...", r->column_name[i],
                               strlen(c->values[i].text), RECORD_TEXT_BYTES, c->values[i].text);
    }
    return true;
}

static bool write_columns(const struct record *r, const struct record_case *c, int64_t row) {
    bool good = write_value(r, &r->own[OWN_CASE], row, &row) && writer_write_text(r, &r->own[OWN_KEY], row, c->key) &&
                write_value(r, &r->own[OWN_SECONDS], row, &c->seconds) &&
                write_value(r, &r->own[OWN_LAYERS], row, &c->layers);
    for (int i = 0; good && i < r->column_count; i++) {
        const union record_value *v = &c->values[i];
        good = r->columns[i].kind == KIND_TEXT  ? writer_write_text(r, &r->columns[i], row, v->text)
               : r->columns[i].kind == KIND_INT ? write_value(r, &r->columns[i], row, &v->i)
                                                : write_value(r, &r->columns[i], row, &v->r);
    }
    return good;
}

static bool write_curves(const struct record *r, const struct record_case *c, int64_t row) {
    const hsize_t layers = (hsize_t)c->layers;
    memset(r->computed, 0, (size_t)r->curve_count);
    for (int i = 0; c->curves && i < r->curve_count; i++) {
        r->computed[i] = c->curves[i] != NULL;
        if (c->curves[i] && layers > 0 && !writer_write_block(r, &r->curves[i], row, &layers, c->curves[i]))
            return false;
    }
    return r->curve_count == 0 || write_value(r, &r->extra[CURVE_COMPUTED], row, r->computed);
}

static bool write_measurements(const struct record *r, const struct record_case *c, int64_t row) {
    const struct writer_dataset *extra = r->extra;
    const hsize_t layers = (hsize_t)c->layers, n = (hsize_t)c->streams;
    const int64_t panel_streams = c->panels ? c->streams : 0, spectrum_streams = c->qr_spectrum ? c->streams : 0;
    for (int i = 0; i < WRITER_EXTRAS; i++)
        if ((i == CURVE_CASE || i == SUMMARY_CASE || i == PANEL_CASE || i == SPECTRUM_CASE) && extra[i].id >= 0 &&
            !write_value(r, &extra[i], row, &row))
            return false;
    if (!write_curves(r, c, row))
        return false;
    for (int i = 0; i < r->summary_count; i++)
        if (!write_value(r, &r->summaries[i], row, c->summaries ? &c->summaries[i] : &(double){NAN}))
            return false;
    if (panel_streams &&
        !(write_value(r, &extra[PANEL_STREAMS], row, &panel_streams) &&
          writer_write_block(r, &extra[PANEL_COMPOSITE], row, (hsize_t[]){RECORD_PANELS, n, n}, c->panels) &&
          write_value(r, &extra[PANEL_LOG10_SCALE], row, c->panel_log10_scale)))
        return false;
    if (spectrum_streams && layers > 0 &&
        !(write_value(r, &extra[SPECTRUM_STREAMS], row, &spectrum_streams) &&
          writer_write_block(r, &extra[SPECTRUM_QR], row, (hsize_t[]){layers, n}, c->qr_spectrum)))
        return false;
    return writer_write_timing(r, c, row);
}

static bool remember_key(struct record *r, const char *key) {
    char *copy = strdup(key);
    if (copy && tsearch(copy, &r->keys, compare_keys))
        return true;
    free(copy);
    return record_fail("out of memory");
}

static bool write_row(struct record *r, const struct record_case *c, int64_t row) {
    return (row < r->capacity || resize(r, r->capacity + WRITER_BLOCK)) && write_columns(r, c, row) &&
           write_measurements(r, c, row);
}

static bool write_status(struct record *r, const struct record_case *c, int64_t row) {
    const int8_t status = (int8_t)c->status;
    return write_value(r, &r->own[OWN_STATUS], row, &status);
}

bool record_append_unflushed(struct record *r, const struct record_case *c) {
    if (!acceptable(r, c) || !write_row(r, c, r->rows) || !write_reason(r, r->rows, c->reason) ||
        !write_status(r, c, r->rows) || !remember_key(r, c->key))
        return false;
    r->rows++;
    return true;
}

static bool write_new(struct record *r, const struct record_case *c) {
    const int64_t row = r->rows;
    return write_row(r, c, row) && write_reason(r, row, c->reason) && flush(r) && write_status(r, c, row) && flush(r);
}

static bool write_again(struct record *r, const struct record_case *c) {
    const int64_t row = r->rows - 1;
    return write_row(r, c, row) && flush(r) && write_status(r, c, row) && flush(r) && write_reason(r, row, c->reason) &&
           flush(r);
}

static bool write_case(struct record *r, const struct record_case *c) {
    if (r->broken)
        return record_fail("%s", r->broken);
    if (!acceptable(r, c))
        return false;
    const bool again = replaces(r, c);
    if (!reserve(r) || !(again ? write_again(r, c) : write_new(r, c))) {
        writer_abandon(r);
        return false;
    }
    r->rows += !again;
    return again || remember_key(r, c->key);
}

static void forget_checkpoint(struct record *r) {
    free(r->checkpoint.key);
    r->checkpoint.key = NULL;
}

bool record_append(struct record *r, const struct record_case *c) {
    const bool good = write_case(r, c);
    if (good)
        forget_checkpoint(r);
    return good;
}

bool record_checkpoint(struct record *r, const struct record_case *c) {
    if (c->status != RECORD_FAILED || !is_unfinished(c->reason))
        return record_fail("a checkpoint that does not say what is unfinished");
    char *key = strdup(c->key ? c->key : "");
    if (!key || !write_case(r, c)) {
        const bool room = key != NULL;
        free(key);
        return room ? false : record_fail("out of memory");
    }
    forget_checkpoint(r);
    r->checkpoint.key = key;
    r->checkpoint.layers = c->layers;
    r->checkpoint.rounds = c->timing ? c->timing->rounds : 0;
    r->checkpoint.panels = c->panels != NULL;
    r->checkpoint.spectrum = c->qr_spectrum != NULL;
    return true;
}

void writer_abandon(struct record *r) {
    if (!r->broken)
        r->broken = strdup(record_error());
    const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nowhere >= 0 && r->descriptor >= 0)
        dup3(nowhere, r->descriptor, O_CLOEXEC);
    if (nowhere >= 0)
        close(nowhere);
}

bool writer_close(struct record *r) {
    bool good = true;
    for (int i = 0; i < r->dataset_count; i++)
        if (r->dataset[i].id >= 0)
            good = H5Dclose(r->dataset[i].id) >= 0 && good;
    for (int kind = 0; kind < KINDS; kind++) {
        H5Tclose(r->type_in_file[kind]);
        H5Tclose(r->type[kind]);
    }
    if (r->file >= 0)
        good = H5Fclose(r->file) >= 0 && good;
    return good;
}

void writer_free(struct record *r) {
    if (!r)
        return;
    for (int i = 0; r->column_name && i < r->column_count; i++)
        free(r->column_name[i]);
    free(r->column_name);
    free(r->computed);
    free(r->dataset);
    tdestroy(r->keys, free);
    free(r->checkpoint.key);
    free(r->broken);
    free(r->part);
    free(r->path);
    free(r);
}

static bool synchronise(const char *path) {
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    const bool good = descriptor >= 0 && !fsync(descriptor);
    if (!good)
        record_fail("cannot synchronise %s: %s", path, strerror(errno));
    if (descriptor >= 0)
        close(descriptor);
    return good;
}

/* Puts PATH.part in the place of PATH, and that on the disk. Some file systems cannot synchronise a folder: no error.
 */
static bool move_into_place(const struct record *r) {
    if (rename(r->part, r->path))
        return record_fail("cannot rename %s to %s: %s", r->part, r->path, strerror(errno));
    char *copy = strdup(r->path);
    const int folder = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (folder >= 0) {
        fsync(folder);
        close(folder);
    }
    free(copy);
    return true;
}

/* In place: the attribute was made with room for every status. */
static bool set_status(const struct record *r, const char *status) {
    char padded[RECORD_STATUS_BYTES] = {0};
    memcpy(padded, status, strlen(status));
    hid_t attribute = H5Aopen(r->file, "status", H5P_DEFAULT), type = record_text_type(sizeof padded);
    const bool good = attribute >= 0 && H5Awrite(attribute, type, padded) >= 0;
    if (!good)
        record_fail_hdf5("cannot write %s", r->part);
    H5Tclose(type);
    H5Aclose(attribute);
    return good;
}

bool record_finish_as(struct record *r, const char *status, bool rename_it) {
    bool good = !r->broken || record_fail("%s", r->broken);
    if (good && !(reserve(r) && resize(r, r->rows) && flush(r) && set_status(r, status) && flush(r))) {
        good = false;
        writer_abandon(r);
    }
    if (good)
        trim(r);
    const bool closed = writer_close(r);
    if (good && !closed)
        good = record_fail_hdf5("cannot close %s", r->part);
    good = good && synchronise(r->part) && (!rename_it || move_into_place(r));
    writer_free(r);
    return good;
}

bool record_finish(struct record *r, bool complete) {
    return record_finish_as(r, complete ? RECORD_COMPLETE : RECORD_INTERRUPTED, complete);
}

void record_discard(struct record *r) {
    writer_abandon(r);
    writer_close(r);
    unlink(r->part);
    writer_free(r);
}
