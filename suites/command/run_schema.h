/* The record of `mhcbench run`: what datasets the cases of a suite give it, and a case as values of them. */
#ifndef RUN_SCHEMA_H
#define RUN_SCHEMA_H

#include "results/record.h"
#include "suites/case/suite.h"
#include "suites/study/study.h"

/* Columns, curves, summaries and sizes, in memory of this file: one record per process. */
void run_schema(struct record_schema *, const struct suite *);

struct run_destination {
    struct record *record;
    const struct record_schema *schema;
};
/* Writes a case, which counts after run_commit(), or what it has so far, which counts at once; `user`: a
 * run_destination. false: one line in record_error(). */
bool run_write_case(void *user, const struct params *, const char *key, const struct study_result *, bool checkpoint);
bool run_commit(void *user);

#endif
