/* What a run of `regress` found, behind what earlier ones left in the same file. */
#ifndef REGRESS_RECORD_H
#define REGRESS_RECORD_H

#include "suites/gate/gate_report.h"

/* Whether it can be added to FILE: nothing is there, or a history. false: reported. */
bool regress_record_begin(const char *file);
struct regress_found {
    const struct gate_report *report;
    const char *base, *now; /* what the libraries say of their builds, which begins with a revision */
};
/* Adds an entry with one row per case. false: reported, and the file is as it was. */
bool regress_record_add(const char *file, const struct regress_found *);

#endif
