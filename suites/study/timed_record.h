/* What the studies that time things put into a record: one list of subjects and scalars for all cases of a suite. */
#ifndef TIMED_RECORD_H
#define TIMED_RECORD_H

#include "suites/case/suite.h"
#include "suites/study/study.h"

/* Subjects, rounds and scalars for the timed cases of a suite; nothing where there are none. */
void timed_schema(const struct suite *, struct record_schema *);

/* A case's part of the record, and where it lies: valid until the next call. false: out of memory. */
bool timed_case(const struct record_schema *, const struct study_result *, struct record_case *);

#endif
