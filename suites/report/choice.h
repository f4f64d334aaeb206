/* Cases of a record that a user names by their options: `--connection mhc --t-max 20,100`. */
#ifndef CHOICE_H
#define CHOICE_H

#include "results/record.h"

/* Takes case options out of argv, each with one value or several joined by commas, texts as patterns; a case is
 * chosen when every option has one of the values. chosen[]: one entry per case, new memory. false: reported, also when
 * no case is chosen. */
bool choice_take(struct record_reader *, const char *path, int *argc, char **argv, bool **chosen);

#endif
