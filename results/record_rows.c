/* Values of rows. HDF5 takes as long for one value as for a block of them, and a case has more than a hundred. So
 * numbers and texts are gathered until the next flush, a block of WRITER_BLOCK rows at most, or as many blocks as
 * writer_gather() was asked for; arrays are written at once. */
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

/* Of a block: runs of neighbouring rows, each with one call. */
static bool settle_block(const struct record *r, const struct writer_dataset *d, int64_t block) {
    const unsigned char *values = d->gathered + (size_t)(block * WRITER_BLOCK) * d->bytes;
    const int64_t first = (d->window * r->blocks + block) * WRITER_BLOCK;
    const uint64_t held = d->held[block];
    bool good = true;
    for (int at = 0, run; good && held >> at; at += run) {
        for (run = 0; held >> (at + run) & 1; run++)
            ;
        if (run)
            good = write_rows(r, d, first + at, (hsize_t)run, NULL, values + (size_t)at * d->bytes);
        else
            run = 1;
    }
    d->held[block] = 0;
    return good;
}

static bool settle(const struct record *r, struct writer_dataset *d) {
    bool good = true;
    for (int64_t block = 0; good && d->holds && block < r->blocks; block++)
        good = settle_block(r, d, block);
    d->holds = false;
    return good;
}

static bool allocate(const struct record *r, struct writer_dataset *d) {
    if (!d->gathered)
        d->gathered = malloc((size_t)(r->blocks * WRITER_BLOCK) * d->bytes);
    if (!d->held)
        d->held = calloc((size_t)r->blocks, sizeof *d->held);
    return (d->gathered && d->held) || record_fail("out of memory");
}

bool writer_put(struct record *r, struct writer_dataset *d, int64_t row, const void *value) {
    const int64_t rows = r->blocks * WRITER_BLOCK, window = row / rows, at = row % rows;
    if (d->rank > 1)
        return write_rows(r, d, row, 1, NULL, value);
    if (!allocate(r, d) || (d->window != window && !settle(r, d)))
        return false;
    d->window = window;
    d->holds = true;
    d->held[at / WRITER_BLOCK] |= (uint32_t)1 << at % WRITER_BLOCK;
    memcpy(d->gathered + (size_t)at * d->bytes, value, d->bytes);
    return true;
}

static bool holds_block(const struct record *r, int64_t block) {
    bool any = false;
    for (int i = 0; !any && i < r->dataset_count; i++)
        any = r->dataset[i].holds && r->dataset[i].held[block];
    return any;
}

/* Each block finds room for its chunks; a single one has it since its first row came. */
bool writer_settle(struct record *r) {
    bool good = true;
    for (int64_t block = 0; good && block < r->blocks; block++) {
        if (r->blocks > 1)
            good = !holds_block(r, block) || writer_reserve(r);
        for (int i = 0; good && i < r->dataset_count; i++)
            good = !r->dataset[i].holds || settle_block(r, &r->dataset[i], block);
    }
    for (int i = 0; i < r->dataset_count; i++)
        r->dataset[i].holds = false;
    return good;
}

int64_t writer_gather(struct record *r, size_t bytes) {
    size_t row = 1;
    for (int i = 0; i < r->dataset_count; i++) {
        struct writer_dataset *d = &r->dataset[i];
        row += d->id >= 0 && d->rank == 1 ? d->bytes : 0;
        free(d->gathered); /* of one block, which is empty */
        free(d->held);
        d->gathered = NULL;
        d->held = NULL;
    }
    const int64_t fit = (int64_t)(bytes / row / WRITER_BLOCK), all = (r->cases + WRITER_BLOCK - 1) / WRITER_BLOCK;
    r->blocks = fit < all ? fit : all;
    r->blocks = r->blocks < 1 ? 1 : r->blocks;
    return r->blocks * WRITER_BLOCK;
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

bool writer_flush_file(const struct record *r) {
    return H5Fflush(r->file, H5F_SCOPE_GLOBAL) >= 0 || record_fail_hdf5("cannot write %s", r->part);
}

bool writer_flush(struct record *r) {
    return writer_settle(r) && writer_flush_file(r);
}
