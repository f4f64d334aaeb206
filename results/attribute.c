#include "results/attribute.h"

#include <string.h>

static bool read_variable(hid_t attribute, hid_t memory, char *value, size_t size) {
    char *text = NULL;
    const bool good = H5Tset_size(memory, H5T_VARIABLE) >= 0 && H5Aread(attribute, memory, &text) >= 0 && text &&
                      strlen(text) < size;
    if (good)
        memcpy(value, text, strlen(text) + 1);
    if (text)
        H5free_memory(text);
    return good;
}

bool attribute_text(hid_t attribute, char *value, size_t size) {
    hid_t type = H5Aget_type(attribute);
    bool good = type >= 0 && H5Tget_class(type) == H5T_STRING;
    hid_t memory = good ? H5Tcopy(H5T_C_S1) : -1;
    good = good && H5Tset_cset(memory, H5Tget_cset(type)) >= 0; /* HDF5 does not convert character sets */
    if (good && H5Tis_variable_str(type) > 0)
        good = read_variable(attribute, memory, value, size);
    else if (good)
        good = H5Tget_size(type) < size && H5Tset_size(memory, size) >= 0 && H5Aread(attribute, memory, value) >= 0;
    if (memory >= 0)
        H5Tclose(memory);
    if (type >= 0)
        H5Tclose(type);
    return good;
}

bool link_is_hard(hid_t group, const char *name) {
    H5L_info_t link;
    return H5Lexists(group, name, H5P_DEFAULT) > 0 && H5Lget_info(group, name, &link, H5P_DEFAULT) >= 0 &&
           link.type == H5L_TYPE_HARD;
}

bool dataset_is_inside(hid_t dataset) {
    hid_t creation = H5Dget_create_plist(dataset);
    const bool inside = H5Pget_external_count(creation) == 0 && H5Pget_layout(creation) != H5D_VIRTUAL;
    H5Pclose(creation);
    return inside;
}
