/* A history: what each run of `regress` found, one entry behind the other. */
#ifndef REGRESS_RECORD_H
#define REGRESS_RECORD_H

#include "suites/gate/gate_report.h"

/* Whether an entry can be added to FILE, which is not there yet or is a history. false: reported. */
bool regress_record_begin(const char *file);
struct regress_found {
    const struct gate_report *report;
    const char *base, *now; /* what the libraries say of their builds, beginning with a revision */
};
/* Adds an entry with one row per case. false: reported, and the file is as it was. */
bool regress_record_add(const char *file, const struct regress_found *);

#endif
