/* The groups /timing and /accuracy: what was measured of time, and how wrong the results were. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/reader.h"
#include "results/writer.h"

/* ---- Writing ---------------------------------------------------------------------------------------------------- */

static bool create_scalars(const struct record *r, hid_t group, struct writer_dataset *d,
                           const struct record_curve *info, int count) {
    bool good = true;
    for (int i = 0; good && i < count; i++)
        good = writer_create_dataset(r, &d[i], group, info[i].name, KIND_REAL, info[i].unit, info[i].long_name, 1,
                                     &writer_case_axis);
    return good;
}

bool writer_create_timing(struct record *r, hid_t group, const struct record_schema *s) {
    static const struct {
        enum writer_extra place;
        int rank;
        enum writer_kind kind;
        const char *name, *unit, *long_name;
    } own[] = {
        {TIMING_ROUNDS, 1, KIND_INT, "rounds", "1", "samples of every subject, 0 where none were recorded"},
        {TIMING_STOP, 1, KIND_TEXT, "stop", "", "why the loop stopped: precise, rounds or seconds"},
        {TIMING_BATCH, 2, KIND_INT, "batch", "1", "calls a sample"},
        {TIMING_SETS, 2, KIND_INT, "sets", "1", "buffer sets that the calls rotated over"},
        {TIMING_SECONDS, 3, KIND_REAL, "seconds", "s", "time of one call, mean of the sample's batch"},
        {TIMING_ORDER, 3, KIND_FLAG, "order", "1", "place of the sample in its round, from 0"},
        {TIMING_FLAGS, 3, KIND_FLAG, "flags", "", "sum of 1: preempted, 2: throttled, 4: not held"},
        {TIMING_CLOCK, 3, KIND_REAL, "clock", "1", "clock of the device, as a share of the warm-up's; NaN: unknown"},
    };
    const struct writer_axis axes[] = {
        writer_case_axis, {"subject", (hsize_t)s->subject_count}, {"round", (hsize_t)s->rounds}};
    bool good = writer_create_case_scale(r, &r->extra[TIMING_CASE], group) &&
                writer_create_names(r, group, "subject", s->subjects, s->subject_count,
                                    "what was timed; a value that is a ratio says to which") &&
                writer_create_scale(group, axes[2], 1, "round, from 1; every round visits every subject once");
    for (size_t i = 0; good && i < sizeof own / sizeof *own; i++)
        good = writer_create_dataset(r, &r->extra[own[i].place], group, own[i].name, own[i].kind, own[i].unit,
                                     own[i].long_name, own[i].rank, axes);
    return good && create_scalars(r, group, r->timings, s->timings, s->timing_count);
}

bool writer_create_accuracy(struct record *r, hid_t group, const struct record_schema *s) {
    return writer_create_case_scale(r, &r->extra[ACCURACY_CASE], group) &&
           create_scalars(r, group, r->accuracies, s->accuracies, s->accuracy_count);
}

static bool write_scalars(const struct record *r, const struct writer_dataset *d, int count, const double *values,
                          int64_t row) {
    const double nothing = NAN;
    bool good = true;
    for (int i = 0; good && i < count; i++)
        good = writer_write_block(r, &d[i], row, NULL, values ? &values[i] : &nothing);
    return good;
}

bool writer_write_timing(const struct record *r, const struct record_case *c, int64_t row) {
    const struct writer_dataset *extra = r->extra;
    const struct record_timing *t = c->timing;
    bool good = (extra[TIMING_CASE].id < 0 || writer_write_block(r, &extra[TIMING_CASE], row, NULL, &row)) &&
                (extra[ACCURACY_CASE].id < 0 || writer_write_block(r, &extra[ACCURACY_CASE], row, NULL, &row)) &&
                write_scalars(r, r->timings, r->timing_count, c->timings, row) &&
                write_scalars(r, r->accuracies, r->accuracy_count, c->accuracies, row);
    if (!good || !t)
        return good;
    const hsize_t samples[] = {(hsize_t)r->subjects, (hsize_t)t->rounds};
    return writer_write_block(r, &extra[TIMING_ROUNDS], row, NULL, &t->rounds) &&
           writer_write_text(r, &extra[TIMING_STOP], row, t->stop) &&
           writer_write_block(r, &extra[TIMING_BATCH], row, NULL, t->batch) &&
           writer_write_block(r, &extra[TIMING_SETS], row, NULL, t->sets) &&
           writer_write_block(r, &extra[TIMING_SECONDS], row, samples, t->seconds) &&
           writer_write_block(r, &extra[TIMING_ORDER], row, samples, t->order) &&
           writer_write_block(r, &extra[TIMING_FLAGS], row, samples, t->flags) &&
           writer_write_block(r, &extra[TIMING_CLOCK], row, samples, t->clock);
}

/* ---- Reading ---------------------------------------------------------------------------------------------------- */

/* The datasets of samples, in the order of struct timing_series. */
static const struct {
    const char *name;
    int rank;
    enum record_type type;
} sample_dataset[TIMING_SERIES] = {
    [SERIES_ROUNDS] = {"rounds", 1, RECORD_INT},    [SERIES_STOP] = {"stop", 1, RECORD_TEXT},
    [SERIES_BATCH] = {"batch", 2, RECORD_INT},      [SERIES_SETS] = {"sets", 2, RECORD_INT},
    [SERIES_SECONDS] = {"seconds", 3, RECORD_REAL}, [SERIES_CLOCK] = {"clock", 3, RECORD_REAL},
    [SERIES_ORDER] = {"order", 3, RECORD_INT},      [SERIES_FLAGS] = {"flags", 3, RECORD_INT},
};

bool timing_open(struct record_reader *r) {
    hsize_t extent[4], subjects;
    if (r->timing_group < 0)
        return true;
    struct timing_series *t = &r->timing;
    if (series_open(r, r->timing_group, "timing", "subject", 1, 0, &subjects, &t->subject) != VERDICT_GOOD)
        return false;
    if (t->subject.type != RECORD_TEXT || subjects < 1 || subjects > RECORD_MAX_SUBJECTS)
        return record_fail("%s: timing/subject: wrong type or extent", r->path);
    if (!series_load(r, "timing", &t->subject, (int64_t)subjects))
        return false;
    t->subjects = (int64_t)subjects;
    for (int i = 0; i < TIMING_SERIES; i++) {
        struct series *s = &t->series[i];
        const char *name = sample_dataset[i].name;
        if (series_open(r, r->timing_group, "timing", name, sample_dataset[i].rank, r->count, extent, s) !=
            VERDICT_GOOD)
            return false;
        if (s->type != sample_dataset[i].type || s->is_status)
            return record_fail("%s: timing/%s: wrong type", r->path, name);
        if (i == SERIES_SECONDS)
            t->width = (int64_t)extent[2];
        if ((sample_dataset[i].rank > 1 && extent[1] != subjects) ||
            (sample_dataset[i].rank > 2 && (int64_t)extent[2] != t->width))
            return record_fail("%s: timing/%s: the extents do not fit together", r->path, name);
    }
    return true;
}

void timing_close(struct record_reader *r) {
    series_close(&r->timing.subject, 0);
    for (int i = 0; i < TIMING_SERIES; i++)
        series_close(&r->timing.series[i], 0);
    free(r->timing.block);
}

int record_subject_count(const struct record_reader *r) {
    return (int)r->timing.subjects;
}

const char *record_subject(const struct record_reader *r, int index) {
    return index >= 0 && index < r->timing.subjects ? r->timing.subject.texts[index] : NULL;
}

int record_subject_called(const struct record_reader *r, const char *name) {
    for (int s = 0; s < record_subject_count(r); s++)
        if (!strcmp(record_subject(r, s), name))
            return s;
    return -1;
}

int64_t record_max_rounds(const struct record_reader *r) {
    return r->timing.width;
}

int64_t record_rounds(struct record_reader *r, int64_t index) {
    struct series *s = &r->timing.series[SERIES_ROUNDS];
    if (s->dataset < 0 || index < 0 || index >= r->count || !series_load(r, "timing", s, r->count))
        return 0;
    const int64_t rounds = ((const int64_t *)s->values)[index];
    if (rounds >= 0 && rounds <= r->timing.width)
        return rounds;
    record_fail("%s: timing/rounds: case %lld has %lld", r->path, (long long)index, (long long)rounds);
    return 0;
}

bool record_timing(struct record_reader *r, int64_t index, struct record_timing *out) {
    struct timing_series *t = &r->timing;
    const int64_t rounds = record_rounds(r, index);
    if (rounds == 0)
        return record_fail("%s: timing: no samples of case %lld", r->path, (long long)index);
    const hsize_t start[3] = {(hsize_t)index}, count[] = {1, (hsize_t)t->subjects, (hsize_t)rounds};
    const size_t subjects = (size_t)t->subjects, samples = subjects * (size_t)rounds;
    free(t->block);
    double *seconds = t->block = malloc(2 * subjects * 8 + samples * (2 * 8 + 2));
    if (!t->block || !series_load(r, "timing", &t->series[SERIES_STOP], r->count))
        return t->block ? false : record_fail("%s: out of memory", r->path);
    double *clock = seconds + samples;
    int64_t *batch = (int64_t *)(clock + samples), *sets = batch + subjects;
    int8_t *order = (int8_t *)(sets + subjects), *flags = order + samples;
    *out = (struct record_timing){rounds, seconds, clock, order,
                                  flags,  batch,   sets,  t->series[SERIES_STOP].texts[index]};
    const struct series *s = t->series;
    return series_read_block(r, "timing", &s[SERIES_SECONDS], 3, start, count, H5T_NATIVE_DOUBLE, seconds) &&
           series_read_block(r, "timing", &s[SERIES_CLOCK], 3, start, count, H5T_NATIVE_DOUBLE, clock) &&
           series_read_block(r, "timing", &s[SERIES_BATCH], 2, start, count, H5T_NATIVE_INT64, batch) &&
           series_read_block(r, "timing", &s[SERIES_SETS], 2, start, count, H5T_NATIVE_INT64, sets) &&
           series_read_block(r, "timing", &s[SERIES_ORDER], 3, start, count, H5T_NATIVE_INT8, order) &&
           series_read_block(r, "timing", &s[SERIES_FLAGS], 3, start, count, H5T_NATIVE_INT8, flags);
}
