/* What a finished record becomes. While a record grows, a checksum of a chunk would be wrong whenever its writer is
 * killed between two pages of it, and a compressed chunk would be lost whole; so the growing file has neither, and is
 * copied into one that has both. The copy is read back and compared before anybody relies on it. */
#include "results/writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "results/reader.h"

/* Bytes of a dataset that are copied at a time, at most: where no chunk is missing; otherwise one chunk. */
enum { AT_ONCE = 1 << 20 };

/* A dataset in both files, and some rows of it at a time. */
struct twin {
    hid_t from, to, type;
    int rank;
    hsize_t extent[4], rows; /* rows: of one chunk, or of several of which none is missing, */
    bool whole;              /* as this says */
    size_t row_bytes;
    void *block[2];
};

static bool twin_open(struct twin *t, hid_t from, const char *name) {
    *t = (struct twin){.to = -1, .type = -1};
    t->from = H5Dopen2(from, name, H5P_DEFAULT);
    hid_t space = H5Dget_space(t->from), creation = H5Dget_create_plist(t->from);
    t->type = H5Dget_type(t->from);
    t->rank = H5Sget_simple_extent_ndims(space);
    hsize_t chunk[4];
    bool good = t->type >= 0 && t->rank >= 1 && t->rank <= 4 &&
                H5Sget_simple_extent_dims(space, t->extent, NULL) >= 0 &&
                H5Pget_chunk(creation, t->rank, chunk) == t->rank;
    H5Pclose(creation);
    H5Sclose(space);
    t->row_bytes = H5Tget_size(t->type);
    for (int k = 1; good && k < t->rank; k++)
        t->row_bytes *= t->extent[k];
    t->rows = good ? chunk[0] : 1;
    const hsize_t bytes = t->rows * t->row_bytes, chunks = (t->extent[0] + t->rows - 1) / t->rows;
    t->whole = H5Dget_storage_size(t->from) == chunks * bytes;
    if (t->whole && chunks > 0 && bytes > 0 && bytes < AT_ONCE)
        t->rows *= AT_ONCE / bytes < chunks ? AT_ONCE / bytes : chunks;
    for (int k = 0; good && k < 2; k++)
        good = (t->block[k] = malloc((size_t)t->rows * t->row_bytes + 1)) != NULL;
    return good;
}

static void twin_close(struct twin *t) {
    free(t->block[0]);
    free(t->block[1]);
    H5Tclose(t->type);
    H5Dclose(t->from);
}

/* Rows [first, first + rows) of one file, read or written. */
static bool transfer(const struct twin *t, hid_t dataset, bool write_it, hsize_t first, hsize_t rows, void *block) {
    const hsize_t start[4] = {first};
    hsize_t count[4] = {rows};
    for (int k = 1; k < t->rank; k++)
        count[k] = t->extent[k];
    hid_t memory = H5Screate_simple(t->rank, count, NULL), file = H5Dget_space(dataset);
    const bool good = H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                      (write_it ? H5Dwrite(dataset, t->type, memory, file, H5P_DEFAULT, block)
                                : H5Dread(dataset, t->type, memory, file, H5P_DEFAULT, block)) >= 0;
    H5Sclose(file);
    H5Sclose(memory);
    return good;
}

/* Chunks that were never written are left out. Copied, or read in both and compared. */
static bool each_chunk(struct twin *t, bool compare) {
    const bool any = H5Dget_storage_size(t->from) > 0;
    bool good = true;
    for (hsize_t first = 0; any && good && first < t->extent[0]; first += t->rows) {
        const hsize_t left = t->extent[0] - first, rows = left < t->rows ? left : t->rows, start[4] = {first};
        haddr_t address = HADDR_UNDEF;
        good = t->whole || H5Dget_chunk_info_by_coord(t->from, start, NULL, &address, NULL) >= 0;
        if (!good || (!t->whole && address == HADDR_UNDEF))
            continue;
        good = transfer(t, t->from, false, first, rows, t->block[0]) &&
               transfer(t, t->to, !compare, first, rows, t->block[compare]) &&
               (!compare || !memcmp(t->block[0], t->block[1], (size_t)rows * t->row_bytes));
    }
    return good;
}

/* The names of all datasets, as the new file has them. */
static bool name_of(const struct writer_dataset *d, char name[RECORD_MAX_NAME + 32]) {
    const ssize_t length = H5Iget_name(d->id, name, RECORD_MAX_NAME + 32);
    return length > 0 && length < RECORD_MAX_NAME + 32;
}

static bool copy_datasets(struct record *to, hid_t from) {
    bool good = true;
    for (int i = 0; good && i < to->dataset_count; i++) {
        struct writer_dataset *d = &to->dataset[i];
        char name[RECORD_MAX_NAME + 32];
        struct twin t;
        if (d->id < 0)
            continue;
        good = name_of(d, name);
        if (!good)
            continue;
        good = twin_open(&t, from, name);
        d->extent[0] = t.extent[0];
        t.to = d->id;
        good = good && H5Dset_extent(d->id, d->extent) >= 0 && each_chunk(&t, false);
        twin_close(&t);
        good = H5Dclose(d->id) >= 0 && good; /* and its cache of chunks */
        good = (d->id = H5Dopen2(to->file, name, H5P_DEFAULT)) >= 0 && good;
    }
    return good || record_fail_hdf5("cannot write %s", to->path);
}

/* Asks the new file, opened again, for all that the old one has; the names and lengths of the dimensions have been
 * compared with the schema. */
static bool compare_datasets(const struct record_reader *now, hid_t from, hid_t group, const char *group_name) {
    hsize_t links = 0;
    bool good = H5Gget_num_objs(group, &links) >= 0;
    for (hsize_t k = 0; good && k < links; k++) {
        char name[2 * RECORD_MAX_NAME + 32], own[RECORD_MAX_NAME + 1];
        H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, k, own, sizeof own, H5P_DEFAULT);
        snprintf(name, sizeof name, "%s/%s", group_name, own);
        hid_t dataset = H5Dopen2(now->file, name, H5P_DEFAULT), creation = H5Dget_create_plist(dataset);
        const bool chunked = H5Pget_layout(creation) == H5D_CHUNKED; /* the others are scales */
        struct twin t;
        H5Pclose(creation);
        if (chunked) {
            good = twin_open(&t, from, name);
            t.to = dataset;
            good = good && each_chunk(&t, true);
            twin_close(&t);
        }
        H5Dclose(dataset);
    }
    return good;
}

static bool read_back(const char *name, const struct record *was, struct record_reader *old,
                      const struct record_schema *schema, const char *status) {
    struct record_reader *now = record_open_raw(name);
    bool good = now && record_count(now) == record_count(old) && record_count(now) == was->rows &&
                !strcmp(record_attribute(now, "status"), status) && record_agrees(now, schema, name);
    for (int g = 0; good && g < GROUPS; g++)
        good = now->group[g] < 0 || compare_datasets(now, old->file, now->group[g], group_info[g].name);
    record_close(now);
    return good || record_fail("%s: what was written does not read back as it is in %s", was->path, was->part);
}

static bool synchronise(int descriptor) {
    return !fsync(descriptor) || record_fail("cannot synchronise: %s", strerror(errno));
}

static bool write_copy(const struct record *was, struct record_reader *old, const struct record_schema *schema,
                       const char *status, const char *name) {
    struct record *r = writer_allocate(was->path, schema);
    if (!r)
        return record_fail("out of memory");
    r->sealed = true;
    bool good = writer_create_file(r, name) && writer_lay_out(r, schema, old, status) && copy_datasets(r, old->file) &&
                (H5Fflush(r->file, H5F_SCOPE_GLOBAL) >= 0 || record_fail_hdf5("cannot write %s", was->path)) &&
                synchronise(r->descriptor);
    if (!good)
        writer_abandon(r);
    if (!writer_close(r) && good)
        good = record_fail_hdf5("cannot close %s", was->path);
    writer_free(r);
    return good;
}

char *writer_seal(const struct record *was, const char *status) {
    struct borrowed b = {0};
    struct record_reader *old = record_open_raw(was->part);
    const bool known = old && borrow_schema(&b, old);
    char *name = known ? place_beside(was->path) : NULL;
    if (name && !(write_copy(was, old, &b.schema, status, name) && read_back(name, was, old, &b.schema, status))) {
        unlink(name);
        free(name);
        name = NULL;
    }
    borrowed_free(&b);
    record_close(old);
    return name;
}
