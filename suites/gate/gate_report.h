/* What a gate found, one row per case: the table, worst first, the files for CI, and the exit code. */
#ifndef GATE_REPORT_H
#define GATE_REPORT_H

#include <stdio.h>

#include "analysis/verdict.h"
#include "results/table.h"

enum { GATE_REASON = 500 };

struct gate_row {
    enum mhc_verdict verdict;
    bool fails;           /* a regression: exit 1 */
    bool open;            /* nothing is settled: exit 3 under --strict */
    bool crashed;         /* something failed while it was timed: never exit 0 */
    bool alone;           /* one side only: nothing was compared */
    char *name, *command; /* the case; the command that finds this again; the report frees both */
    char *label;          /* the part of the name that tells it from other rows; NULL: all of it */
    char reason[GATE_REASON];
    char bits[24];                           /* "equal", "3 of 4096", "" unknown */
    double base_error, now_error, tolerance; /* NaN: unknown */
    struct mhc_interval change;              /* time new / base; NaN: unknown */
    double copies;                           /* time of the base in copies of as many bytes; NaN: unknown */
    int64_t place;                           /* its number among the rows as they came, for gate_sort() */
};

struct gate_report {
    struct gate_row *row;
    int64_t count, room;
    const char *gate;       /* "compare" or "regress" */
    const char *base, *now; /* files or libraries */
    char first[900];  /* the first line: the references of the two sides disagree; "": they agree, or it is unknown */
    bool first_fails; /* they disagree, and it is not known that the new one is right */
    char note[1200];  /* lines above the table: why something is not gated */
    int64_t wanted;   /* where it was interrupted: cases that were wanted, of which `judged` are; 0: it was not */
    int64_t judged;
    int64_t small;      /* values that differ by more than the share `small_share`, and are right all the same */
    double small_share; /* 0: they are not counted */
    const char *last;   /* a sentence below the verdict; NULL: none */
};

/* Adds a row with the verdict SAME and everything unknown. NULL: out of memory. `name` and `command` are copied. */
struct gate_row *gate_add(struct gate_report *, const char *name, const char *command);
void gate_say(struct gate_row *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void gate_release(struct gate_report *);

/* Moves options that all rows share from the table into the note: "in every case: --backend cpu32". */
void gate_shorten(struct gate_report *);

/* Stands between the name of a row and the form of the operation it is about. */
#define GATE_FORM " as "

/* How many of the wanted cases were judged, where it was interrupted. */
const char *gate_interruption(const struct gate_report *);

/* Sorts the rows, worst first: what fails, what is open, then by verdict, then by the largest change; else as they
 * came. */
void gate_sort(struct gate_report *);

/* Prints the rows as a table. */
void gate_table(const struct gate_report *, struct tables *);

/* Prints the table and the verdict. Under every row that is not SAME stands the command that finds it again. */
void gate_print(const struct gate_report *, bool strict, FILE *);

/* The exit code: 0 nothing fails, 1 something does, 2 nothing could be compared, 3 something is open and `strict`,
 * or crashed; 130 it was interrupted, whatever was found. */
int gate_exit(const struct gate_report *, bool strict);

/* Options of the gates: --strict --json FILE --junit FILE, and two of speed, which `compare` refuses: --speed
 * gate|report|none --threshold PERCENT. */
enum gate_speed { GATE_SPEED, GATE_SPEED_REPORTED, GATE_NO_SPEED };
struct gate_options {
    const char *json, *junit, *speed_word, *threshold_word;
    enum gate_speed speed;
    double threshold; /* a share; 0: the default */
    bool strict;
};
bool gate_options_take(int *argc, char **argv, struct gate_options *);
/* The options that were given, but for files: what a command that repeats a row needs. */
void gate_options_text(const struct gate_options *, char *text, size_t size);

/* Opens the files that were asked for, so that a file that cannot be written is reported before any work is done. */
struct gate_files {
    FILE *json, *junit;
};
bool gate_files_open(struct gate_files *, const struct gate_options *,
                     const char *const input[2]); /* which must not be overwritten */
/* Writes and closes them. false: reported. */
bool gate_files_write(struct gate_files *, const struct gate_options *, const struct gate_report *, int code);

/* A word as a shell reads it: in quotes where it needs them. */
void gate_quote(const char *word, char *text, size_t size);

#endif
