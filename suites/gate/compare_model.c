/* A record of a model of a GPU beside a measured one, or beside another model: times side by side, and no verdict. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "results/table.h"
#include "suites/case/options.h"
#include "suites/case/params.h"
#include "suites/gate/compare.h"
#include "suites/study/overhead_record.h"

enum { NAME = 80, HEAD = 2 * NAME };

static double value_of(const struct compare *c, int f, const int64_t index[2], const char *name) {
    const double *values = record_timing_value(c->file[f], name);
    return values ? values[index[f]] : NAN;
}

/* "[7.1, 7.9]" of a scalar of a measured case, from its low and high; "": it has none. */
static const char *interval_of(const struct compare *c, const int64_t index[2], const char *const ends[2], double scale,
                               char text[64]) {
    text[0] = 0;
    for (int f = 0; f < 2; f++) {
        double low = value_of(c, f, index, ends[0]), high = value_of(c, f, index, ends[1]);
        if (isfinite(low) && isfinite(high))
            snprintf(text, 64, "[%.4g, %.4g]", scale * low, scale * high);
    }
    return text;
}

/* A scalar of both files in a unit; nothing where either lacks it. */
static void add(const struct compare *c, const int64_t index[2], const char *what, const char *name,
                const char *const ends[2], double scale, const char *unit, struct tables *t) {
    double base = value_of(c, COMPARE_BASE, index, name), now = value_of(c, COMPARE_NEW, index, name);
    char interval[64];
    if (isfinite(base) && isfinite(now))
        table_row(t, in_words(what), in_words(unit), in_reals(scale * base), in_reals(scale * now),
                  in_words(interval_of(c, index, ends, scale, interval)), in_reals(now / base));
}

/* The times of a case, whatever study it is of. */
static void add_case(const struct compare *c, const int64_t index[2], struct tables *t) {
    char name[3][NAME];
    add(c, index, "time", "median", (const char *[]){"low", "high"}, 1e6, "us", t);
    add(c, index, "time over that of auto or of a copy", "ratio", (const char *[]){"ratio_low", "ratio_high"}, 1, "",
        t);
    for (int v = 0; v < STEP_VARIANTS; v++) {
        snprintf(name[0], NAME, "%s_median", step_name(v));
        snprintf(name[1], NAME, "%s step", step_name(v));
        add(c, index, name[1], name[0], (const char *[]){"", ""}, 1e3, "ms", t);
        if (v == STEP_RESIDUAL)
            continue;
        snprintf(name[0], NAME, "%s_overhead", step_name(v));
        snprintf(name[1], NAME, "%s_overhead_low", step_name(v));
        snprintf(name[2], NAME, "%s_overhead_high", step_name(v));
        char what[NAME + 16];
        snprintf(what, sizeof what, "%s overhead", step_name(v));
        add(c, index, what, name[0], (const char *[]){name[1], name[2]}, 100, "%", t);
    }
}

/* "MODEL of h200, base"; "measured on cuda, new". */
static void head_of(const struct compare *c, int f, char head[HEAD]) {
    const char *backend = c->backend[f];
    bool model = !strncmp(backend, BACKEND_MODEL, strlen(BACKEND_MODEL));
    snprintf(head, HEAD, "%s %.60s, %s", model ? "MODEL of" : "measured on",
             model      ? backend + strlen(BACKEND_MODEL)
             : *backend ? backend
                        : params_find("backend")->standard,
             f == COMPARE_NEW ? "new" : "base");
}

int compare_models(struct compare *c, const char *glob) {
    struct tables t = {.out = stdout, .most = 0};
    char head[2][HEAD];
    int64_t both = 0;
    for (int f = 0; f < 2; f++)
        head_of(c, f, head[f]);
    const struct column columns[] = {
        {"what", "what", .width = -24},
        {"unit", "unit", .width = -4},
        {"base", head[COMPARE_BASE], .width = 12, .digits = 4},
        {"new", head[COMPARE_NEW], .width = 12, .digits = 4},
        {"interval", "95 % interval", .width = -18},
        {"ratio", "new / base", .width = 10, .digits = 3},
    };
    printf(
        "compare: %s, %s; %s, %s\nA model has no interval, and nothing is judged. Cases meet that differ in backend, "
        "rounds, budget and seed alone.\n",
        c->path[COMPARE_BASE], head[COMPARE_BASE], c->path[COMPARE_NEW], head[COMPARE_NEW]);
    for (int64_t k = 0; k < c->keys[COMPARE_BASE].count; k++) {
        const char *key = c->keys[COMPARE_BASE].text[k];
        const int64_t index[2] = {k, compare_partner(&c->keys[COMPARE_NEW], &c->keys[COMPARE_BASE], k)};
        if (index[COMPARE_NEW] < 0 || !compare_wanted(glob, key))
            continue;
        both++;
        tables_say(&t, "\n%s\n\n", key);
        table_begin(&t, key, columns);
        add_case(c, index, &t);
        table_end(&t);
    }
    return !tables_end(&t) ? cannot("out of memory")
           : both          ? EXIT_GOOD
                           : cannot("no case of %s is in %s", c->path[COMPARE_BASE], c->path[COMPARE_NEW]);
}
