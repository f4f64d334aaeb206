/* The attributes of a vector file: read whatever their storage, and checked against their ranges. Internal to
 * this room. */
#ifndef VECTOR_ATTRIBUTES_H
#define VECTOR_ATTRIBUTES_H

#include <hdf5.h>

#include "suites/verify/vector_case.h"

/* Room for a reason of one line. */
struct text {
    char *at;
    size_t size;
};

/* Writes the reason and returns false, so that a check can return the call. */
bool refuse(struct text why, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum found { ABSENT, UNREADABLE, READ };

/* One attribute: `class` H5T_STRING reads into a char[size] (fixed or variable strings), H5T_INTEGER an int64_t (any
 * width), H5T_FLOAT a double (integers too). */
enum found vector_attribute(hid_t object, const char *name, H5T_class_t class, void *value, size_t size);

/* The op, or stack.<block>, of that name; NULL: there is none. */
const struct vector_op *vector_op_find(const char *name);
/* Whether an attribute is required or optional. */
bool vector_op_requires(const struct vector_op *, const char *attribute);

/* Writes what vector_attributes() reads, of an op that is no stack. */
bool vector_attributes_write(hid_t group, const struct vector_case *, const char *source);
/* "mhc_n4_C33_T7_t_max3_paper": what the attributes say. */
void vector_attributes_name(const struct vector_case *, char *text, size_t size);

/* Fills op, block, sizes, constants and tolerances of a case from its group. */
bool vector_attributes(hid_t group, struct vector_case *, struct text why);

#endif
