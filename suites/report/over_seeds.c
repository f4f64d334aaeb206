#include "suites/report/over_seeds.h"

#include <math.h>
#include <stdlib.h>

#include "analysis/analysis.h"

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Whether the cases of a group have a summary of that metric. */
static bool is_measured(const struct params *p, const struct mhc_metric_info *info) {
    return p->measure & info->group && !(info->subject == MHC_OF_GRADIENT && p->gradient == 0) &&
           !(info->subject >= MHC_OF_STREAMS && !params_has(p, STUDY_STACK));
}

struct over_seeds over_seeds_of(struct record_reader *reader, const struct group *group, const char *summary) {
    const struct mhc_metric_info *info = &mhc_metric_info[mhc_metric_of(summary)];
    struct over_seeds r = {.logarithmic = info->scale == MHC_LOG10, .seeds = group->count};
    const double *stored = record_summary(reader, summary);
    double *values = malloc((size_t)group->count * sizeof *values);
    r.measured = stored && values && is_measured(&group->p, info);
    if (r.measured && info->subject == MHC_OF_DEPTH && params_has_maps(&group->p)) /* the file may lack pre and post */
        r.measured = !isnan(stored[group->cases[0]]);
    for (int64_t k = 0; k < group->count && r.measured; k++) {
        values[k] = stored[group->cases[k]];
        if (isnan(values[k])) {
            r.unresolved += info->may_be_unresolved;
            values[k] = INFINITY;
        }
    }
    if (r.measured) {
        qsort(values, (size_t)group->count, sizeof *values, ascending);
        r.least = values[0];
        r.most = values[group->count - 1];
        r.q10 = mhc_quantile(values, group->count, 0.1);
        r.median = mhc_quantile(values, group->count, 0.5);
        r.q90 = mhc_quantile(values, group->count, 0.9);
        int64_t rank = (int64_t)floor(0.5 * ((double)group->count - 1.96 * sqrt((double)group->count)));
        rank = rank < 1 ? 1 : rank;
        r.low = values[rank - 1];
        r.high = values[group->count - rank];
    }
    free(values);
    return r;
}

const char *over_seeds_number(double stored, bool logarithmic, char *text, size_t size) {
    double x = logarithmic ? pow(10, stored) : stored, magnitude = fabs(x);
    if (isinf(stored))
        snprintf(text, size, "overflow");
    else if (logarithmic && stored < -307) /* how the record stores an exact zero */
        snprintf(text, size, "0");
    else if (isinf(x))
        snprintf(text, size, "10^%.0f", stored);
    else if (magnitude >= 100 && magnitude < 1e6) {
        double unit = pow(10, floor(log10(magnitude)) - 2);
        snprintf(text, size, "%.0f", round(x / unit) * unit);
    } else
        snprintf(text, size, "%.3g", x);
    return text;
}

/* The median with its lower and upper value. */
static struct value between(struct over_seeds r, double low, double high, char text[OVER_SEEDS_TEXT]) {
    char a[32], b[32], c[32];
    if (!r.measured)
        return in_reals(NAN);
    if (r.unresolved) {
        snprintf(text, OVER_SEEDS_TEXT, "rounding in %lld of %lld", (long long)r.unresolved, (long long)r.seeds);
        return in_interval(text, NAN, NAN, NAN);
    }
    over_seeds_number(r.median, r.logarithmic, a, sizeof a);
    if (r.seeds == 1 || (isinf(low) && isinf(high)))
        snprintf(text, OVER_SEEDS_TEXT, "%s", a);
    else
        snprintf(text, OVER_SEEDS_TEXT, "%s [%s, %s]", a, over_seeds_number(low, r.logarithmic, b, sizeof b),
                 over_seeds_number(high, r.logarithmic, c, sizeof c));
    return in_interval(text, r.median, low, high);
}

struct value in_quantiles(struct over_seeds r, char text[OVER_SEEDS_TEXT]) {
    return between(r, r.q10, r.q90, text);
}

struct value in_range(struct over_seeds r, char text[OVER_SEEDS_TEXT]) {
    return between(r, r.least, r.most, text);
}
