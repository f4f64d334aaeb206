/* Whether a record holds what the run of record_example.h wrote, and the files of a test in a folder of their own. */
#ifndef RECORD_EXPECT_H
#define RECORD_EXPECT_H

#include "tests/record_example.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <unistd.h>

/* Whether the samples and scalars of a row are those of the case. */
static inline bool same_timing(struct record_reader *r, int64_t row, const struct record_case *c) {
    struct record_timing got;
    const struct record_timing *want = c->timing;
    const double *error = record_accuracy(r, "error");
    bool good = error && same(error[row], c->accuracies ? c->accuracies[0] : NAN);
    for (int k = 0; k < TIMINGS && good; k++) {
        const double *values = record_timing_value(r, timings[k].name);
        good = values && same(values[row], c->timings ? c->timings[k] : NAN);
    }
    if (!want || !good)
        return good && record_rounds(r, row) == 0 && !record_timing(r, row, &got);
    good = record_timing(r, row, &got) && got.rounds == want->rounds && !strcmp(got.stop, want->stop);
    for (int64_t k = 0; good && k < SUBJECTS * want->rounds; k++)
        good = same(got.seconds[k], want->seconds[k]) && same(got.clock[k], want->clock[k]) &&
               got.order[k] == want->order[k] && got.flags[k] == want->flags[k];
    for (int s = 0; good && s < SUBJECTS; s++)
        good = got.batch[s] == want->batch[s] && got.sets[s] == want->sets[s] &&
               !strcmp(record_subject(r, s), subjects[s]);
    return good;
}

/* Whether what training left in a row is that of the case. */
static inline bool same_training(struct record_reader *r, int64_t row, const struct record_case *c) {
    struct record_training got, want;
    double **ours[TRAINED], **theirs[TRAINED];
    int64_t count[TRAINED];
    if (!c->training)
        return record_points(r, row) == 0 && !record_training(r, row, &got);
    want = *c->training;
    bool good = record_training(r, row, &got) && got.points == want.points && got.steps == want.steps &&
                got.diverged == want.diverged && same(got.seconds_per_step, want.seconds_per_step);
    if (!good)
        return false;
    trained_arrays(&got, c->layers, theirs, count);
    trained_arrays(&want, c->layers, ours, count);
    for (int k = 0; k < TRAINED; k++)
        for (int64_t at = 0; good && at < count[k]; at++)
            good = same((*theirs[k])[at], (*ours[k])[at]);
    for (int k = 0; good && k < METRICS; k++)
        good = !strcmp(record_metric(r, k), metrics[k]) && record_metric_called(r, metrics[k]) == k;
    return good && !memcmp(got.step, want.step, (size_t)want.points * 8) &&
           !memcmp(got.t_max, want.t_max, RECORD_PROJECTIONS * 8);
}

/* Whether the depth mixing matrix of a row is that of the case. */
static inline bool same_mixing(struct record_reader *r, int64_t row, const struct record_case *c) {
    double got[MIXING * MIXING];
    int64_t stride = 0;
    if (!c->mixing)
        return record_mixing_rows(r, row) == 0 && !record_mixing(r, row, c->mixing_rows, got, &stride);
    bool good = record_mixing(r, row, c->mixing_rows, got, &stride) && stride == c->mixing_stride;
    for (int64_t k = 0; good && k < c->mixing_rows * c->mixing_rows; k++)
        good = same(got[k], c->mixing[k]);
    return good;
}

/* The first thing about row `row` that is not as case `i` wrote it; NULL when all is. */
static inline const char *difference(struct record_reader *r, int64_t row, int64_t i, int64_t layers) {
    static char what[300];
    struct example e;
    example_init(&e, i, layers);
    const struct record_case *c = &e.c;
    const int64_t n = c->streams;
    double panel[PANEL * STREAMS * STREAMS], scale[PANEL],
        *spectrum = calloc((size_t)(c->layers * n), sizeof *spectrum);
    const char *const *key = record_texts(r, "key"), *const *status = record_texts(r, "status"),
                      *const *reason = record_texts(r, "reason");
    const char *const *input = record_texts(r, "input");
    *strchr(e.text, '\n') = '?'; /* read, a text is one line */
    const int64_t *width = record_ints(r, "width"), *own_layers = record_ints(r, "layers");
    const double *gain = record_reals(r, "gain"), *seconds = record_reals(r, "seconds");
    *what = 0;
    if (!key || !status || !reason || !input || !width || !own_layers || !gain || !seconds)
        snprintf(what, sizeof what, "a column: %s", record_error());
    else if (strcmp(key[row], c->key) || strcmp(reason[row], c->reason) || strcmp(input[row], e.text) ||
             strcmp(status[row], c->status == RECORD_DONE ? "done" : "failed"))
        snprintf(what, sizeof what, "texts %s | %s | %s | %s", key[row], reason[row], input[row], status[row]);
    else if (width[row] != c->values[0].i || own_layers[row] != c->layers || !same(gain[row], c->values[1].r) ||
             seconds[row] != c->seconds)
        snprintf(what, sizeof what, "numbers %lld %lld %g %g", (long long)width[row], (long long)own_layers[row],
                 gain[row], seconds[row]);
    for (int k = 0; !*what && k < SUMMARIES; k++) {
        const double *got = record_summary(r, summaries[k].name);
        if (!got || !same(got[row], c->summaries ? c->summaries[k] : NAN))
            snprintf(what, sizeof what, "summary %s: %g %s", summaries[k].name, got ? got[row] : 0,
                     got ? "" : record_error());
    }
    for (int q = 0; !*what && q < CURVES; q++) {
        const double *got = record_curve_of(r, curves[q].name, row);
        if (!got)
            snprintf(what, sizeof what, "curve %s: %s", curves[q].name, record_error());
        if (record_curve_computed(r, curves[q].name, row) != !!e.curve[q])
            snprintf(what, sizeof what, "curve %s: computed or not", curves[q].name);
        for (int64_t l = 0; got && l < c->layers; l++)
            if (!same(got[l], e.curve[q] ? e.curve[q][l] : NAN))
                snprintf(what, sizeof what, "curve %s layer %lld: %g", curves[q].name, (long long)l, got[l]);
    }
    if (!*what && (record_panels(r, row, n, panel, scale) != !!c->panels ||
                   record_spectrum(r, row, n, spectrum) != !!c->qr_spectrum))
        snprintf(what, sizeof what, "panels or spectrum: %s", record_error());
    if (!*what && !same_timing(r, row, c))
        snprintf(what, sizeof what, "timing or accuracy: %s", record_error());
    if (!*what && !same_mixing(r, row, c))
        snprintf(what, sizeof what, "mixing: %s", record_error());
    if (!*what && !same_training(r, row, c))
        snprintf(what, sizeof what, "training: %s", record_error());
    for (int k = 0; !*what && c->panels && k < PANEL * n * n; k++)
        if (!same(panel[k], c->panels[k]) || !same(scale[k % PANEL], c->panel_log10_scale[k % PANEL]))
            snprintf(what, sizeof what, "panel element %d: %g", k, panel[k]);
    for (int k = 0; !*what && c->qr_spectrum && k < c->layers * n; k++)
        if (!same(spectrum[k], c->qr_spectrum[k]))
            snprintf(what, sizeof what, "spectrum element %d: %g", k, spectrum[k]);
    free(spectrum);
    example_free(&e);
    return *what ? what : NULL;
}

/* ---- Files ------------------------------------------------------------------------------------------------------ */

static char folder[64];

static inline void enter(void) {
    snprintf(folder, sizeof folder, "/tmp/test_record.XXXXXX");
    cr_assert(mkdtemp(folder) && !chdir(folder), "no temporary folder");
}

static inline void leave(void) {
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(!chdir("/") && !system(command));
}

static inline bool exists(const char *path) {
    return !access(path, F_OK);
}

static inline char *slurp(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    cr_assert(f, "%s: %s", path, strerror(errno));
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*size + 1);
    cr_assert(fread(bytes, 1, *size, f) == *size);
    bytes[*size] = 0;
    fclose(f);
    return bytes;
}

static inline void spit(const char *path, const char *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(bytes, 1, size, f) == size && !fclose(f));
}

static inline void write_file(const char *path, int64_t first, int64_t count, int64_t layers, const char *suite) {
    const struct record_schema schema = schema_of(layers, suite);
    struct record *r = record_create(path, &schema, false, false);
    cr_assert(r, "%s", record_error());
    for (int64_t i = first; i < first + count; i++)
        cr_assert(append(r, i, layers), "%s", record_error());
    cr_assert(record_finish(r, true), "%s", record_error());
}

/* The file holds cases first..first+count-1 in any order, and nothing else. */
static inline void check_file(const char *path, int64_t first, int64_t count, int64_t layers) {
    struct record_reader *r = record_open(path);
    cr_assert(r, "%s", record_error());
    cr_expect(record_count(r) == count, "%s: %lld cases, want %lld", path, (long long)record_count(r),
              (long long)count);
    bool *seen = calloc((size_t)count + 1, sizeof *seen);
    for (int64_t row = 0; row < record_count(r); row++) {
        long long i = -1;
        sscanf(record_texts(r, "key")[row], "--case %lld", &i);
        cr_assert(i >= first && i < first + count && !seen[i - first], "%s: row %lld is case %lld", path,
                  (long long)row, i);
        seen[i - first] = true;
        const char *wrong = difference(r, row, i, layers);
        cr_expect(!wrong, "%s: case %lld: %s", path, i, wrong);
    }
    free(seen);
    record_close(r);
}

static inline void expect_error(const char *want) {
    cr_expect(strstr(record_error(), want) && !strchr(record_error(), '\n'), "error is `%s`, want `%s`", record_error(),
              want);
}

#endif
