/* Room for cases. HDF5 writes where the file ends after everything else of a flush, and no reader asks for what lies
 * behind that end. So an index that names a new chunk would be wrong until then. Therefore the end moves first: a
 * dataset without a name takes room behind it, and HDF5 writes the new end. That room is given back for chunks once the
 * next such dataset lies behind it; before, HDF5 would cut the file off there. */
#include "results/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A dataset without a name, whose bytes nothing writes; HDF5 gives them back when it is closed. */
static hid_t take(const struct record *r, hsize_t bytes) {
    hid_t space = H5Screate_simple(1, &bytes, NULL), properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY);
    H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER);
    hid_t taken = H5Dcreate_anon(r->file, H5T_STD_I8LE, space, properties, H5P_DEFAULT);
    H5Pclose(properties);
    H5Sclose(space);
    if (taken < 0)
        record_fail_hdf5("cannot write %s", r->part);
    return taken;
}

/* Up to the end that HDF5 is about to write. */
static bool take_disk(const struct record *r) {
    hsize_t size;
    if (H5Fget_filesize(r->file, &size) < 0)
        return record_fail_hdf5("cannot write %s", r->part);
    const off_t now = lseek(r->descriptor, 0, SEEK_END);
    const int error = now < (off_t)size ? posix_fallocate(r->descriptor, now, (off_t)size - now) : 0;
    const bool unknown = error == EOPNOTSUPP || error == EINVAL;
    return !error || (unknown && !ftruncate(r->descriptor, (off_t)size)) ||
           record_fail("cannot write %s: %s", r->part, strerror(unknown ? errno : error));
}

/* Whether one free piece holds all that a case may need. */
static bool has_room(const struct record *r) {
    const ssize_t count = H5Fget_free_sections(r->file, H5FD_MEM_DRAW, 0, NULL);
    H5F_sect_info_t *piece = count > 0 ? malloc((size_t)count * sizeof *piece) : NULL;
    bool found = false;
    if (piece && H5Fget_free_sections(r->file, H5FD_MEM_DRAW, (size_t)count, piece) == count)
        for (ssize_t k = 0; k < count; k++)
            found |= piece[k].size >= (hsize_t)r->reserve;
    free(piece);
    return found;
}

/* No free piece is as large, so the new dataset lies where the file ended, behind the last one. */
static bool move_end(struct record *r) {
    hid_t end = take(r, (hsize_t)r->reserve);
    if (end < 0 || !take_disk(r) || !writer_flush_file(r)) {
        if (end >= 0)
            H5Dclose(end);
        return false;
    }
    if (r->end >= 0)
        H5Dclose(r->end);
    r->end = end;
    return true;
}

bool writer_reserve(struct record *r) {
    if (r->end >= 0 && H5Fget_freespace(r->file) == r->room)
        return true;
    for (int turn = 0; turn < 2 && !has_room(r); turn++) /* the first dataset gives back nothing yet */
        if (!move_end(r))
            return false;
    r->room = H5Fget_freespace(r->file);
    return true;
}
