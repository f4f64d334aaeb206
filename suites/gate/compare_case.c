/* Values of one case in two records: errors, curves, summaries, spectra, panels and memory. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/text.h"
#include "suites/case/params.h"
#include "suites/gate/compare.h"
#include "suites/rows/array_error.h"

/* What was found so far; of several differences of one gravity the first is told, of changes the largest. */
struct values {
    int measured; /* groups of curves that BASE has, of enum mhc_metric_group: no others count */
    int64_t elements, different, noted;
    enum mhc_difference worst;
    const char *exact; /* by what the same numbers are expected: in float64, by one build; NULL: they are not */
    double change;
    char told[GATE_REASON], changed[GATE_REASON];
};

static const char *value_text(double x, int digits, char text[32]) {
    if (isnan(x))
        return "NaN";
    if (isinf(x))
        return x > 0 ? "Inf" : "-Inf";
    snprintf(text, 32, "%.*g", digits, x);
    return text;
}

/* Two numbers that differ do not print alike: with so many digits, or as many as show it. */
struct pair {
    char text[2][32];
    const char *base, *now;
};
static const struct pair *pair_of(double base, double now, int digits) {
    static struct pair p;
    for (bool alike = true; alike && digits <= 17; digits++) {
        p.base = value_text(base, digits, p.text[0]);
        p.now = value_text(now, digits, p.text[1]);
        alike = base != now && !strcmp(p.base, p.now);
    }
    return &p;
}

static void tell(char *text, const char *name, int64_t layer, double base, double now, const char *more) {
    const struct pair *p = pair_of(base, now, 6);
    char place[48] = "";
    if (layer > 0)
        snprintf(place, sizeof place, " at layer %lld", (long long)layer);
    snprintf(text, GATE_REASON, "%s%s is %s, was %s%s", name, place, p->now, p->base, more);
}

/* `change`: how far they are apart, as a share. */
static void note(struct values *v, enum mhc_difference d, double change, const char *name, int64_t layer, double base,
                 double now) {
    v->elements++;
    v->different += d != MHC_EQUAL;
    if (v->exact && (d == MHC_CLOSE || d == MHC_APART)) {
        v->noted += change > COMPARE_NOTED;
        if (change > v->change) {
            v->change = change;
            tell(v->changed, name, layer, base, now, "");
        }
    }
    if (d <= v->worst)
        return;
    v->worst = d;
    tell(v->told, name, layer, base, now,
         d == MHC_NON_FINITE   ? ": overflow is not where it was"
         : d == MHC_UNRESOLVED ? ": below rounding in one file only"
                               : "");
}

void compare_note(struct values *v, enum mhc_metric metric, const char *name, int64_t layer, double base, double now) {
    if (metric != MHC_METRICS && !(mhc_metric_info[metric].group & v->measured))
        return;
    const enum mhc_difference d = mhc_value_difference(base, now, metric);
    note(v, d, d == MHC_EQUAL ? 0 : mhc_value_change(base, now, metric), name, layer, base, now);
}

/* Something that BASE has and NEW has not. */
static bool gone(struct gate_row *r, const char *what, const char *name) {
    r->verdict = MHC_INVALID;
    r->fails = true;
    gate_say(r, "%s %s is in the base alone", what, name);
    return false;
}

static bool compare_curves(struct compare *c, const int64_t index[2], struct gate_row *r, struct values *v) {
    const int64_t layers = record_ints(c->file[COMPARE_BASE], "layers")[index[COMPARE_BASE]];
    struct record_curve curve;
    const int64_t now_layers = record_ints(c->file[COMPARE_NEW], "layers")[index[COMPARE_NEW]];
    if (layers != now_layers) {
        gone(r, "", "");
        return gate_say(r, "it has %lld layers, was %lld", (long long)now_layers, (long long)layers), false;
    }
    for (int k = 0; k < record_curve_count(c->file[COMPARE_BASE]); k++) {
        if (!record_curve(c->file[COMPARE_BASE], k, &curve) ||
            !record_curve_computed(c->file[COMPARE_BASE], curve.name, index[COMPARE_BASE]))
            continue;
        const double *base = record_curve_of(c->file[COMPARE_BASE], curve.name, index[COMPARE_BASE]);
        const double *now = record_curve_computed(c->file[COMPARE_NEW], curve.name, index[COMPARE_NEW])
                                ? record_curve_of(c->file[COMPARE_NEW], curve.name, index[COMPARE_NEW])
                                : NULL;
        if (!base || !now)
            return gone(r, "curve", curve.name);
        enum mhc_metric metric = mhc_metric_of(curve.name);
        for (int64_t l = 0; l < layers; l++)
            compare_note(v, metric, curve.name, l + 1, base[l], now[l]);
    }
    return true;
}

static bool compare_summaries(struct compare *c, const int64_t index[2], struct gate_row *r, struct values *v) {
    struct record_curve summary;
    for (int k = 0; k < record_list_count(c->file[COMPARE_BASE], RECORD_LIST_SUMMARIES); k++) {
        if (!record_list_curve(c->file[COMPARE_BASE], RECORD_LIST_SUMMARIES, k, &summary))
            continue;
        const double *base = record_summary(c->file[COMPARE_BASE], summary.name);
        const double *now = record_summary(c->file[COMPARE_NEW], summary.name);
        if (!base || !now)
            return gone(r, "summary", summary.name);
        double was = base[index[COMPARE_BASE]], is = now[index[COMPARE_NEW]];
        compare_note(v, mhc_metric_of(summary.name), summary.name, 0, was, is);
    }
    return true;
}

/* log10 of singular values: those far below the largest are rounding of it in float64, so the slack grows with depth
 * only where they are. */
static bool compare_spectrum(struct compare *c, const int64_t index[2], struct gate_row *r, struct values *v) {
    const int64_t layers = record_ints(c->file[COMPARE_BASE], "layers")[index[COMPARE_BASE]];
    const int64_t n = record_spectrum_streams(c->file[COMPARE_BASE], index[COMPARE_BASE]), count = layers * n;
    double *values[2] = {NULL, NULL};
    bool good = true;
    for (int s = 0; s < 2 && n > 0 && good; s++) {
        values[s] = malloc((size_t)count * sizeof(double));
        c->no_memory |= !values[s];
        good = values[s] && record_spectrum(c->file[s], index[s], n, values[s]);
    }
    if (!good)
        gone(r, "the QR", "spectrum");
    for (int64_t k = 0; k < count && good; k++)
        compare_note(v, MHC_composite_spectral_norm, "QR spectrum", k / n + 1, values[0][k], values[1][k]);
    free(values[0]);
    free(values[1]);
    return good;
}

/* Elements of a matrix are as exact as its largest is. */
static bool compare_panels(struct compare *c, const int64_t index[2], struct gate_row *r, struct values *v) {
    const int64_t n = record_panel_streams(c->file[COMPARE_BASE], index[COMPARE_BASE]), size = n * n;
    double *panel[2] = {NULL, NULL}, scale[2][6];
    bool good = true;
    for (int s = 0; s < 2 && n > 0 && good; s++) {
        panel[s] = malloc((size_t)(6 * size) * sizeof(double));
        c->no_memory |= !panel[s];
        good = panel[s] && record_panels(c->file[s], index[s], n, panel[s], scale[s]);
    }
    if (!good)
        gone(r, "one of", "its panels");
    for (int64_t k = 0; k < 6 * size && good; k++) {
        double base = panel[0][k], now = panel[1][k] * pow(10, scale[1][k / size] - scale[0][k / size]);
        double largest = array_largest(panel[0] + k / size * size, size), off = fabs(now - base);
        enum mhc_difference d = mhc_value_difference(base, now, MHC_METRICS);
        note(v, d == MHC_APART && off <= MHC_GAIN_TOLERANCE * largest ? MHC_CLOSE : d, off / largest,
             "a composite matrix", 0, base, now);
    }
    free(panel[0]);
    free(panel[1]);
    return good;
}

/* Entries of a row of the depth mixing matrix are as exact as the largest of the row is. */
static bool compare_mixing(struct compare *c, const int64_t index[2], struct gate_row *r, struct values *v) {
    const int64_t rows = record_mixing_rows(c->file[COMPARE_BASE], index[COMPARE_BASE]);
    double *matrix[2] = {NULL, NULL};
    int64_t stride;
    bool good = true;
    for (int s = 0; s < 2 && rows > 0 && good; s++) {
        matrix[s] = malloc((size_t)(rows * rows) * sizeof(double));
        c->no_memory |= !matrix[s];
        good = matrix[s] && record_mixing(c->file[s], index[s], rows, matrix[s], &stride);
    }
    if (!good)
        gone(r, "the depth mixing", "matrix");
    for (int64_t q = 0; q < rows && good; q++) {
        double largest = -INFINITY;
        for (int64_t k = 0; k < rows; k++)
            largest = fmax(largest, matrix[0][q * rows + k]);
        for (int64_t k = 0; k < rows; k++) {
            const double base = matrix[0][q * rows + k], now = matrix[1][q * rows + k];
            const double off = fabs(pow(10, now - largest) - pow(10, base - largest));
            enum mhc_difference d = mhc_value_difference(base, now, MHC_reach_forward_max);
            note(v, d == MHC_APART && off <= MHC_GAIN_TOLERANCE ? MHC_CLOSE : d, off, "depth mixing", q + 1, base, now);
        }
    }
    free(matrix[0]);
    free(matrix[1]);
    return good;
}

static double scalar(struct record_reader *file, const char *name, int64_t index) {
    const double *values = record_accuracy(file, name);
    return values ? values[index] : NAN;
}

/* Errors that are stored as a share of their own tolerance: "<variant>_error_over_tolerance" of a step. */
static bool compare_shares(struct compare *c, const int64_t index[2], struct gate_row *r, struct values *v) {
    struct record_curve share;
    for (int k = 0; k < record_list_count(c->file[COMPARE_BASE], RECORD_LIST_ACCURACIES); k++) {
        if (!record_list_curve(c->file[COMPARE_BASE], RECORD_LIST_ACCURACIES, k, &share) ||
            !text_ends_with(share.name, "_error_over_tolerance"))
            continue;
        double base = scalar(c->file[COMPARE_BASE], share.name, index[COMPARE_BASE]);
        double now = scalar(c->file[COMPARE_NEW], share.name, index[COMPARE_NEW]);
        if (isnan(base) && isnan(now))
            continue;
        if (isnan(now))
            return gone(r, "the accuracy", share.name);
        enum mhc_accuracy a = mhc_accuracy_of(base, now, 1);
        note(v, base == now ? MHC_EQUAL : MHC_CLOSE, 0, share.name, 0, base, now);
        if (a == MHC_ACCURATE)
            continue;
        r->verdict = MHC_INVALID;
        r->fails = true;
        if (a == MHC_WRONG)
            gate_say(r, "%s is %s, above 1", share.name, pair_of(1, now, 3)->now);
        else
            gate_say(r, "less accurate: %s is %s, was %s (allowed: twice that, or %.2g)", share.name,
                     pair_of(base, now, 2)->now, pair_of(base, now, 2)->base, MHC_ERROR_FLOOR);
        return false;
    }
    return true;
}

/* Errors against the oracle, where the case has them. */
static bool compare_accuracy(struct compare *c, const int64_t index[2], struct gate_row *r) {
    double base = scalar(c->file[COMPARE_BASE], "error", index[COMPARE_BASE]);
    double now = scalar(c->file[COMPARE_NEW], "error", index[COMPARE_NEW]);
    double tolerance = mhc_common_tolerance(scalar(c->file[COMPARE_BASE], "tolerance", index[COMPARE_BASE]),
                                            scalar(c->file[COMPARE_NEW], "tolerance", index[COMPARE_NEW]));
    r->base_error = base;
    r->now_error = now;
    r->tolerance = tolerance;
    if (isnan(base) && isnan(now) && isnan(tolerance))
        return true;
    enum mhc_accuracy a = mhc_accuracy_of(base, now, tolerance);
    if (a == MHC_ACCURATE)
        return true;
    r->verdict = MHC_INVALID;
    r->fails = true;
    if (a == MHC_WRONG)
        gate_say(r, "error %s is not within the tolerance of %s", pair_of(tolerance, now, 2)->now,
                 pair_of(tolerance, now, 2)->base);
    else
        gate_say(r, "less accurate: error %s, was %s (allowed: twice that, or %.2g)", pair_of(base, now, 2)->now,
                 pair_of(base, now, 2)->base, MHC_ERROR_FLOOR * tolerance);
    return false;
}

/* Whether the second file knows every part of a training step that the first has. It may lack a connection: its
 * subject NAME and those of its parts, NAME.PART. */
static bool knows_parts(struct record_reader *a, struct record_reader *b) {
    bool all = true;
    for (int s = 0; s < record_subject_count(a); s++) {
        char whole[64];
        const char *subject = record_subject(a, s);
        snprintf(whole, sizeof whole, "%.*s", (int)strcspn(subject, "."), subject);
        bool lacks = record_subject_called(a, whole) >= 0 && record_subject_called(b, whole) < 0;
        all &= lacks || record_subject_called(b, subject) >= 0;
    }
    return all;
}

/* Whether both files know the same parts of a training step: a version that composes it of others runs another step
 * under the same key. */
static bool same_step(struct compare *c, const int64_t index[2], struct gate_row *r) {
    struct record_reader *base = c->file[COMPARE_BASE], *now = c->file[COMPARE_NEW];
    const char *const *study = record_texts(base, "study");
    bool same = knows_parts(base, now) && knows_parts(now, base);
    if (same || !study || strcmp(study[index[COMPARE_BASE]], "overhead"))
        return true;
    r->verdict = MHC_AMBIGUOUS;
    r->open = true;
    return gate_say(r, "the two versions compose a training step of different parts: record both with one of them"),
           false;
}

static const char *text_in(struct record_reader *file, const char *column, int64_t index) {
    const char *const *texts = record_texts(file, column);
    return texts ? texts[index] : "";
}

/* Whether a case is made in float64: maps are, but for those that round on the way; else it is the type of the
 * streams. */
static bool is_float64(struct record_reader *file, int64_t index) {
    const char *type = text_in(file, "type", index), *rounded = text_in(file, "round", index);
    if (!params_study_has(text_in(file, "study", index), STUDY_RUNS))
        return !*rounded || !strcmp(rounded, "none");
    return !strcmp(type, "f64") || (!strcmp(type, "widest") && !strcmp(text_in(file, "backend", index), "cpu64"));
}

/* Groups of curves, of enum mhc_metric_group, that a case has: BASE may have fewer. */
static int measured_in(struct record_reader *file, int64_t index) {
    struct params p;
    char unused[8];
    const char *groups = text_in(file, "measure", index);
    const bool known = *groups && params_set(&p, params_find("measure"), groups, unused, sizeof unused);
    return known ? (int)p.measure : ~0;
}

/* Why the values of both are the same but for the order of sums; NULL: they need not be. */
static const char *why_exact(const struct compare *c, const int64_t index[2]) {
    if (!strcmp(text_in(c->file[COMPARE_NEW], "study", index[COMPARE_NEW]), "train"))
        return "by one build";
    return c->same_machine && is_float64(c->file[COMPARE_BASE], index[COMPARE_BASE]) &&
                   is_float64(c->file[COMPARE_NEW], index[COMPARE_NEW])
               ? "in float64"
               : NULL;
}

void compare_case(struct compare *c, const int64_t index[2], struct gate_row *r) {
    struct values v = {.worst = MHC_EQUAL,
                       .measured = measured_in(c->file[COMPARE_BASE], index[COMPARE_BASE]),
                       .exact = why_exact(c, index)};
    if (v.measured & ~measured_in(c->file[COMPARE_NEW], index[COMPARE_NEW])) {
        r->verdict = MHC_INVALID;
        r->fails = true;
        gate_say(r, "--measure %s: the base has more, %s", text_in(c->file[COMPARE_NEW], "measure", index[COMPARE_NEW]),
                 text_in(c->file[COMPARE_BASE], "measure", index[COMPARE_BASE]));
        return;
    }
    if (!same_step(c, index, r))
        return;
    if (!compare_accuracy(c, index, r) || !compare_shares(c, index, r, &v) || !compare_curves(c, index, r, &v) ||
        !compare_summaries(c, index, r, &v) || !compare_spectrum(c, index, r, &v) || !compare_panels(c, index, r, &v) ||
        !compare_mixing(c, index, r, &v) || !compare_trained_values(c, index, r, &v))
        return;
    if (!isnan(r->base_error) || !isnan(r->now_error)) {
        v.elements++;
        v.different += r->base_error != r->now_error;
    }
    if (v.different)
        snprintf(r->bits, sizeof r->bits, "%lld of %lld", (long long)v.different, (long long)v.elements);
    else
        snprintf(r->bits, sizeof r->bits, "equal");
    c->report.small += v.noted;
    if (v.worst == MHC_NON_FINITE || (v.worst == MHC_APART && !v.exact)) {
        r->verdict = MHC_INVALID;
        r->fails = true;
        gate_say(r, "%s", v.told);
    } else if (v.change > c->tolerance) {
        r->verdict = MHC_INVALID;
        r->fails = true;
        gate_say(r, "%s: apart by %.2g, %s on one machine (allowed: %.2g)", v.changed, v.change, v.exact, c->tolerance);
    } else if (v.worst == MHC_UNRESOLVED) {
        r->verdict = MHC_AMBIGUOUS;
        r->open = true;
        gate_say(r, "%s", v.told);
    } else {
        gate_say(r, "values agree");
        compare_memory(c, index, r);
    }
}
