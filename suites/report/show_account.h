/* The account of a case of study `overhead`: every part of a step by itself. And what the tables of the study share. */
#ifndef SHOW_ACCOUNT_H
#define SHOW_ACCOUNT_H

#include "results/record.h"
#include "results/table.h"
#include "suites/study/overhead_record.h"

/* Whether the samples of a case are computed, by a model of a GPU. */
bool samples_are_model(const struct record_timing *);

void show_account(struct record_reader *, int64_t index, struct tables *);
/* Prints what its columns and flags mean. */
void show_account_legend(struct tables *);

/* A scalar under /timing by its number (overhead_of_variant(), ...); NaN where the file lacks it. */
double overhead_value(struct record_reader *, int scalar, int64_t index);
static inline double overhead_variant_value(struct record_reader *r, int64_t index, int v, enum overhead_value what) {
    return overhead_value(r, overhead_of_variant((enum step_variant)v, what), index);
}

/* What the rates of a case's parts are measured against: bytes and floating-point operations per second. */
struct attainable {
    double copy, gemm, cache;
};
struct attainable overhead_attainable(struct record_reader *, const struct record_timing *, int64_t index);
/* The rate of a part of a step as a share of what is attainable, of a GEMM for products and attention's core, else of
 * a copy. */
double overhead_part_rate(struct record_reader *, int64_t index, int subject, double step, struct attainable);
#define OVERHEAD_SLOW 0.7 /* below this share a part is called slow */

/* "p", "t", "g" where more than so many percent of a subject's samples were preempted, throttled, or launched one by
 * one: the queue was not held. "MODEL": they are computed. */
enum { FLAGGED_PERCENT = 10, SAMPLE_FLAGS = 8 };
void overhead_sample_flags(const struct record_timing *, int subject, char flags[SAMPLE_FLAGS]);

#endif
