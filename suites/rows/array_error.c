#include "suites/rows/array_error.h"

#include <math.h>

enum { MOST_SIDES = 9, WORTH_THREADS = 65536 };

double array_largest(const double *values, int64_t count) {
    double largest = 0;
#pragma omp parallel for reduction(max : largest) schedule(static) if (count > WORTH_THREADS)
    for (int64_t k = 0; k < count; k++)
        if (isfinite(values[k]) && fabs(values[k]) > largest)
            largest = fabs(values[k]);
    return largest;
}

/* Element e belongs to array number e / inner % count of those that lie side by side. */
struct sides {
    int64_t count, inner;
    double scale[MOST_SIDES];
};

static int64_t side_of(const struct sides *s, int64_t e) {
    return s->count == 1 ? 0 : e / s->inner % s->count;
}

static struct sides sides_of(const struct mhc_arg *arg, const struct mhc_case *c) {
    struct sides s = {.count = 1, .inner = 1};
    for (const char *letter = arg->extents; *letter; letter++) {
        bool beside = letter > arg->extents && mhc_is_beside(*letter);
        s = beside ? (struct sides){.count = mhc_extent(c, *letter), .inner = 1}
                   : (struct sides){.count = s.count, .inner = s.inner * mhc_extent(c, *letter)};
    }
    return s;
}

static double off(double got, double want, double scale) {
    if (got == want)
        return 0;
    double error = fabs(got - want) / scale;
    return isfinite(error) ? error : INFINITY;
}

double array_error(const struct mhc_arg *arg, const struct mhc_case *c, const double *got, const double *want,
                   double smallest, int64_t *element) {
    struct sides sides = sides_of(arg, c);
    int64_t count = mhc_elements(c, arg), at = 0;
    double worst = 0;
    for (int64_t s = 0; s < sides.count; s++)
        sides.scale[s] = smallest;
    for (int64_t from = 0; from < count; from += sides.count == 1 ? count : sides.inner) {
        double *scale = &sides.scale[side_of(&sides, from)];
        *scale = fmax(*scale, array_largest(want + from, sides.count == 1 ? count : sides.inner));
    }
#pragma omp parallel for reduction(max : worst) schedule(static) if (count > WORTH_THREADS)
    for (int64_t e = 0; e < count; e++)
        worst = fmax(worst, off(got[e], want[e], sides.scale[side_of(&sides, e)]));
    while (worst > 0 && at < count - 1 && off(got[at], want[at], sides.scale[side_of(&sides, at)]) < worst)
        at++;
    if (element)
        *element = at;
    return worst;
}
