/* The cases of study `overhead` in a record, as its tables, figures and headline read them. */
#ifndef OVERHEAD_LINES_H
#define OVERHEAD_LINES_H

#include "suites/report/groups.h"
#include "suites/report/show_account.h"

/* A case that was timed. */
struct overhead_line {
    int64_t index;
    struct params p;
    const char *note;
    bool cpu;                 /* it ran on the CPU, which says nothing about a GPU */
    bool model;               /* it is computed, and ran nowhere */
    bool unfinished, printed; /* unfinished: its overheads are there, its account is not */
};

/* All of them, in the order of the record; release with free(). NULL only where *count is 0. */
struct overhead_line *overhead_lines(struct record_reader *, int64_t *count);

/* What the paper gives for a connection; NaN: nothing, and nothing beside a CPU. */
double overhead_of_paper(const struct overhead_line *, int variant);

/* "7.8 % [6.4, 10.9]"; "7.8 % MODEL"; a measured value that has no interval is no result: "-". */
struct value overhead_cell(struct record_reader *, const struct overhead_line *, int variant, char text[64]);

/* The variant's own flags and those that hold for the whole case. */
enum { OVERHEAD_FLAGS = 12 };
const char *overhead_flags(struct record_reader *, const struct overhead_line *, int variant,
                           char flags[OVERHEAD_FLAGS]);
/* Prints what flags mean: in short those among the letters of `which`; NULL: all, in full. */
void overhead_flags_legend(const char *which, struct tables *);

/* What the note of a case says of a variant: "<variant>: why; <variant>: why". */
bool overhead_reason(const char *note, const char *variant, char *why, size_t size);
/* "- why": a connection that was not timed; false: it was, or the case does not say. */
bool overhead_missing(struct record_reader *, const struct overhead_line *, int variant, char why[200]);

#endif
