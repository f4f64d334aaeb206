/* The attributes of a vector file: read whatever their storage, and checked against their ranges. Internal to
 * vectors.c. */
#ifndef VECTOR_ATTRIBUTES_H
#define VECTOR_ATTRIBUTES_H

#include <hdf5.h>

#include "suites/verify/vector_case.h"

/* Room for a reason of one line. */
struct text {
    char *at;
    size_t size;
};

/* Writes the reason; always false, so that a check can return it. */
bool refuse(struct text why, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum found { ABSENT, UNREADABLE, READ };

/* One attribute: `class` H5T_STRING reads into a char[size] (fixed or variable strings), H5T_INTEGER an int64_t (any
 * width), H5T_FLOAT a double (integers too). */
enum found vector_attribute(hid_t object, const char *name, H5T_class_t class, void *value, size_t size);

/* Fills op, block, sizes, constants and tolerances of a case from its group. */
bool vector_attributes(hid_t group, struct vector_case *, struct text why);

#endif
