/* Values of rows. HDF5 takes as long for one value as for a block of them, and a case has more than a hundred. So
 * numbers and texts are gathered until the next flush, a block of WRITER_BLOCK rows at most; arrays are written at
 * once. */
#include "results/writer.h"

#include <stdlib.h>
#include <string.h>

/* Writes as many `rows` from `row` on; `block` is the extent in the further dimensions, NULL where all of it. */
static bool write_rows(const struct record *r, const struct writer_dataset *d, int64_t row, hsize_t rows,
                       const hsize_t *block, const void *data) {
    const hsize_t start[4] = {(hsize_t)row};
    hsize_t count[4] = {rows};
    for (int i = 1; i < d->rank; i++)
        count[i] = block ? block[i - 1] : d->extent[i];
    const bool whole_row = rows == 1 && !block;
    hid_t memory = whole_row ? d->memory : H5Screate_simple(d->rank, count, NULL);
    const bool good = memory >= 0 && d->file >= 0 &&
                      H5Sselect_hyperslab(d->file, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                      H5Dwrite(d->id, d->type, memory, d->file, H5P_DEFAULT, data) >= 0;
    if (!good)
        record_fail_hdf5("cannot write %s", r->part);
    if (!whole_row)
        H5Sclose(memory);
    return good;
}

bool writer_write_block(const struct record *r, const struct writer_dataset *d, int64_t row, const hsize_t *block,
                        const void *data) {
    return write_rows(r, d, row, 1, block, data);
}

/* Runs of neighbouring rows, each with one call. */
static bool settle(const struct record *r, struct writer_dataset *d) {
    bool good = true;
    for (int at = 0, run; good && d->held >> at; at += run) {
        for (run = 0; at + run < WRITER_BLOCK && d->held >> (at + run) & 1; run++)
            ;
        if (run)
            good = write_rows(r, d, d->block * WRITER_BLOCK + at, (hsize_t)run, NULL, d->gathered + at * d->bytes);
        else
            run = 1;
    }
    d->held = 0;
    return good;
}

bool writer_put(struct record *r, struct writer_dataset *d, int64_t row, const void *value) {
    const int64_t block = row / WRITER_BLOCK, at = row % WRITER_BLOCK;
    if (d->rank > 1)
        return write_rows(r, d, row, 1, NULL, value);
    if (!d->gathered && !(d->gathered = malloc(WRITER_BLOCK * d->bytes)))
        return record_fail("out of memory");
    if (d->held && d->block != block && !settle(r, d))
        return false;
    d->block = block;
    d->held |= (uint64_t)1 << at;
    memcpy(d->gathered + (size_t)at * d->bytes, value, d->bytes);
    return true;
}

bool writer_settle(struct record *r) {
    bool good = true;
    for (int i = 0; good && i < r->dataset_count; i++)
        good = settle(r, &r->dataset[i]);
    return good;
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

bool writer_flush(struct record *r) {
    return writer_settle(r) &&
           (H5Fflush(r->file, H5F_SCOPE_GLOBAL) >= 0 || record_fail_hdf5("cannot write %s", r->part));
}
