#include "suites/study/fits.h"

#include <stdio.h>

#include "suites/study/study.h"

enum { ESTIMATES = 10 }; /* each opens the backend */

/* Bytes that a case needs beyond what it may; negative: it fits. false: no estimate. */
static bool excess(struct worker *w, const struct params *p, double *bytes) {
    char why[400];
    double needed = 0, available = 0;
    bool good = params_check(p, why, sizeof why) &&
                study_estimate_request(w, p, NULL, &needed, &available, why, sizeof why);
    *bytes = needed - MEMORY_SHARE * available;
    return good;
}

/* The largest multiple of `unit` below *field for which p fits, found along the straight line that memory follows
 * nearly everywhere; 0: none. */
static int64_t largest(struct worker *w, struct params *p, int64_t *field, int64_t unit) {
    double low_excess, high_excess, here;
    int64_t low = 1, high = *field / unit;
    if (!excess(w, p, &high_excess))
        return 0;
    *field = unit;
    if (high < 2 || !excess(w, p, &low_excess) || low_excess > 0)
        return 0;
    for (int k = 0; k < ESTIMATES && high - low > 1; k++) {
        int64_t guess = low + (int64_t)((double)(high - low) * low_excess / (low_excess - high_excess));
        guess = guess <= low ? low + 1 : guess >= high ? high - 1 : guess;
        *field = guess * unit;
        if (!excess(w, p, &here))
            break;
        if (here <= 0) {
            low = guess;
            low_excess = here;
        } else {
            high = guess;
            high_excess = here;
        }
    }
    return low * unit;
}

void fits_text(struct worker *w, const struct params *p, char *text, size_t size) {
    struct params fewer = *p, shallower = *p;
    int64_t tokens = largest(w, &fewer, &fewer.tokens, p->sequence > 0 ? p->sequence : 1);
    int64_t depth = !params_knows(p, params_find("depth")) ? 0 : largest(w, &shallower, &shallower.depth, 1);
    text[0] = 0;
    if (tokens && depth)
        snprintf(text, size, ": --tokens %lld or --depth %lld would fit", (long long)tokens, (long long)depth);
    else if (tokens || depth)
        snprintf(text, size, ": --%s %lld would fit", tokens ? "tokens" : "depth",
                 (long long)(tokens ? tokens : depth));
}
