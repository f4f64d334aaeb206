/* A suite: cases spelled as lines of options, `#` starts a comment.
 *
 *   set --streams 4 --t-max 20                 holds for the lines below
 *   --study maps --connection hc,mhc --depth 8:512:x2 --seed 1:32:1
 *   --d 0,12 --s 0,6 --zip d,s                 pairs instead of the product
 *
 * A value is a list a,b,c whose items may be ranges low:high:step or low:high:xFACTOR, or patterns of operations. A
 * line is the product of its lists, the last one running fastest; a case that an earlier line made already is not
 * made twice. --t-max and --d are dropped from a case whose block has no Sinkhorn or no logits, so that the same
 * numbers never stand under two names. */
#ifndef SUITE_H
#define SUITE_H

#include "suites/case/params.h"

struct suite {
    struct params *cases;
    int *lines;      /* line of each case */
    bool *patterned; /* of each case: its operation is one that a pattern means, and not named itself */
    int64_t count, repeated;
    char ignored[600]; /* an option that a line gave to a block that has no use for it; "": none */
    char *text;        /* the cases as lines that make them again */
    const char *name;
};

/* Reads a file, or one line given as options (`path` NULL). `overrides` come after the options of every line. false:
 * one line in `why`, with file and line number. */
bool suite_read(struct suite *, const char *path, char *const *overrides, int override_count, char *why,
                size_t why_size);
/* Reads lines, as the text of a suite has them. false: as above. */
bool suite_read_text(struct suite *, const char *text, char *why, size_t why_size);
/* Drops the cases that are not wanted. false: out of memory. */
bool suite_keep(struct suite *, const bool *wanted);
void suite_release(struct suite *);

#endif
