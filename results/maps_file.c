#include "results/maps_file.h"

#include "results/checkpoint_file.h"
#include "results/writer.h"

static bool write_array(hid_t file, const char *name, const char *long_name, const struct maps_file *m, int rank,
                        const double *values) {
    const hsize_t extent[4] = {(hsize_t)m->L, (hsize_t)m->T, (hsize_t)m->n, (hsize_t)m->n};
    hid_t space = H5Screate_simple(rank, extent, NULL), properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(properties, false);
    hid_t dataset = H5Dcreate2(file, name, H5T_IEEE_F64LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    const bool written = dataset >= 0 &&
                         H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0;
    if (!written)
        record_fail_hdf5("dataset %s", name);
    const bool good = written && writer_create_attribute(dataset, "long_name", long_name, 1);
    H5Dclose(dataset);
    H5Pclose(properties);
    H5Sclose(space);
    return good;
}

static bool fill(hid_t file, const void *what) {
    const struct maps_file *m = what;
    return writer_create_attribute(file, "schema", "mhcbench-maps/1", 1) &&
           writer_create_attribute(file, "case", m->key, 1) &&
           writer_create_attribute(file, "order", "destination-source", 1) &&
           write_array(file, "res", "residual maps: layer, token, destination, source", m, 4, m->res) &&
           (!m->pre || write_array(file, "pre", "layer, token, stream", m, 3, m->pre)) &&
           (!m->post || write_array(file, "post", "layer, token, stream", m, 3, m->post));
}

bool maps_file_write(const char *path, const struct maps_file *m) {
    return checkpoint_file_make(path, fill, m);
}
