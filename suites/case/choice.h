/* Cases of a record that a user names by their options: `--connection mhc --t-max 20,100`. */
#ifndef CHOICE_H
#define CHOICE_H

#include "results/record.h"
#include "suites/case/params.h"

/* A parameter of a case from its column; one that an older file lacks is left as it is. */
void choice_param(struct record_reader *, int64_t index, const struct param *, struct params *);

/* So many words that are neither options of a case nor their values: files. The options can be read when the record is
 * open. false: reported, also where there is another option. */
bool choice_files(int argc, char **argv, const char **file, int count, const char *usage);
/* Takes case options out of argv and leaves the other cases out of the record. false: reported, also when no case is
 * left. */
bool choice_select(struct record_reader *, const char *path, int *argc, char **argv);

/* Takes case options out of argv, each with one value or several joined by commas, texts as patterns; a case is
 * chosen when every option has one of the values. chosen[]: one entry per case, new memory. false: reported, also when
 * no case is chosen. */
bool choice_take(struct record_reader *, const char *path, int *argc, char **argv, bool **chosen);

#endif
