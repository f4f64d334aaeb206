/* The end of a record: abandoned, interrupted or complete. */
#include "results/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void writer_leave(const struct record *r) {
    int nowhere = memfd_create("left", MFD_CLOEXEC); /* HDF5 cuts it to size, which /dev/null refuses */
    if (nowhere < 0)
        nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nowhere >= 0 && r->descriptor >= 0)
        dup3(nowhere, r->descriptor, O_CLOEXEC);
    if (nowhere >= 0)
        close(nowhere);
}

void writer_abandon(struct record *r) {
    if (!r->broken)
        r->broken = strdup(record_error());
    writer_leave(r);
}

bool writer_close(struct record *r) {
    bool good = true;
    for (int i = 0; i < r->dataset_count; i++) {
        const struct writer_dataset *d = &r->dataset[i];
        if (d->id < 0)
            continue;
        H5Sclose(d->memory);
        H5Sclose(d->file);
        if (kind_is_text(d->kind))
            H5Tclose(d->type);
        good = H5Dclose(d->id) >= 0 && good;
    }
    for (int kind = 0; kind < KINDS; kind++) {
        H5Tclose(r->type_in_file[kind]);
        H5Tclose(r->type[kind]);
    }
    if (r->end >= 0)
        H5Dclose(r->end);
    if (r->file >= 0)
        good = H5Fclose(r->file) >= 0 && good;
    return good;
}

void writer_free(struct record *r) {
    if (!r)
        return;
    for (int i = 0; r->column_name && i < r->list_count[RECORD_LIST_COLUMNS]; i++)
        free(r->column_name[i]);
    if (r->lock >= 0)
        close(r->lock);
    free(r->column_name);
    free(r->column_bytes);
    free(r->computed);
    for (int i = 0; r->dataset && i < r->dataset_count; i++) {
        free(r->dataset[i].gathered);
        free(r->dataset[i].held);
    }
    free(r->dataset);
    writer_forget(r);
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

/* The file with checksums takes the name PATH, and PATH.part goes. Others may have done the same with either name: what
 * is theirs stays, and nothing is said to be complete. */
static bool move_into_place(const struct record *r, const char *status) {
    if (!place_is(r->part, &r->own))
        return record_fail("%s: another process has replaced it; what this run wrote is lost", r->part);
    char *sealed = writer_seal(r, status);
    bool good = sealed != NULL;
    if (good && !place_is(r->part, &r->own))
        good = record_fail("%s: another process has replaced it; what this run wrote is lost", r->part);
    if (good && !place_take(sealed, r->path, &r->target)) {
        char *why = strdup(record_error());
        good = record_fail("%s; the results are in %s", why ? why : r->path, r->part);
        free(why);
    }
    if (good)
        place_remove(r->part, &r->own);
    else if (sealed)
        unlink(sealed);
    free(sealed);
    return good;
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
    bool good = record_commit(r);
    if (good && !(writer_reserve(r) && writer_resize(r, r->rows) && writer_flush(r) && set_status(r, status) &&
                  writer_flush(r))) {
        good = false;
        writer_abandon(r);
    }
    if (good)
        writer_leave(r); /* closing would cut off the room that is left, and then say so: two steps */
    writer_close(r);
    good = good && synchronise(r->part) && (!rename_it || move_into_place(r, status));
    writer_free(r);
    return good;
}

bool record_finish(struct record *r, bool complete) {
    return record_finish_as(r, complete ? RECORD_COMPLETE : RECORD_INTERRUPTED, complete);
}

void record_discard(struct record *r) {
    writer_abandon(r);
    writer_close(r);
    place_remove(r->part, &r->own);
    writer_free(r);
}
