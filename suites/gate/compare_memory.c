/* Whether one case needs more memory in the second of two records. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "results/text.h"
#include "suites/gate/compare.h"

/* Bytes that are held. Those that are moved (`bytes`) follow from the operation's model; a `footprint` is that of all
 * sets a part rotates over, and of smaller arrays there are more. */
static bool is_memory(const struct record_curve *scalar) {
    return !strcmp(scalar->unit, "byte") && !text_ends_with(scalar->name, "bytes") &&
           !text_ends_with(scalar->name, "footprint");
}

void compare_memory(struct compare *c, const int64_t index[2], struct gate_row *r) {
    struct record_curve info;
    char said[GATE_REASON], name[80] = "";
    double was = 0, is = 0;
    int grew = 0;
    for (int k = 0; k < record_list_count(c->file[COMPARE_BASE], RECORD_LIST_TIMINGS); k++) {
        if (!record_list_curve(c->file[COMPARE_BASE], RECORD_LIST_TIMINGS, k, &info) || !is_memory(&info))
            continue;
        const double *before = record_timing_value(c->file[COMPARE_BASE], info.name);
        const double *after = record_timing_value(c->file[COMPARE_NEW], info.name);
        double base = before ? before[index[COMPARE_BASE]] : NAN, now = after ? after[index[COMPARE_NEW]] : NAN;
        if (isnan(base) || !mhc_more_memory(base, now))
            continue;
        if (!grew++ || isnan(now) || now * was > is * base) {
            snprintf(name, sizeof name, "%s", info.name);
            was = base;
            is = now;
        }
    }
    if (!grew)
        return;
    snprintf(said, sizeof said, "%.200s", r->reason);
    if (isnan(is))
        gate_say(r, "the memory %s is in the base alone; %s", name, said);
    else
        gate_say(r, "needs more memory: %s is %.0f bytes, was %.0f (%.3g times)%s%s; %s", name, is, was, is / was,
                 grew > 1 ? ", and others grew" : "", c->ungated[0] ? ", not gated" : "", said);
    if (c->ungated[0])
        return;
    r->verdict = MHC_INVALID;
    r->fails = true;
}
