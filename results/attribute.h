/* What is asked of an HDF5 file that others have written, before it is believed. */
#ifndef ATTRIBUTE_H
#define ATTRIBUTE_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>

/* The text of an open attribute of one element, of fixed or variable length, in either character set. false: it is
 * none, or does not fit. */
bool attribute_text(hid_t attribute, char *value, size_t size);

/* Links of other kinds lead to other files, or to themselves. */
bool link_is_hard(hid_t group, const char *name);
/* Whether the data of a dataset are in its own file. */
bool dataset_is_inside(hid_t dataset);

#endif
