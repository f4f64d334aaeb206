/* Cases from earlier files: what resuming and merging need. */
#include "results/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool same_text(const char *a, const char *b) {
    return !strcmp(a ? a : "", b ? b : "");
}

static bool agree_columns(struct record_reader *r, const struct record_schema *s, const char *path) {
    if (record_column_count(r) != s->column_count)
        return record_fail("%s: %d parameters, not %d: another version of the program made it", path,
                           record_column_count(r), s->column_count);
    for (int i = 0; i < s->column_count; i++) {
        const struct record_column *want = &s->columns[i];
        struct record_column got;
        if (!record_column(r, i, &got))
            return false;
        if (strcmp(got.name, want->name) || got.type != want->type || !same_text(got.unit, want->unit))
            return record_fail("%s: parameter %d is %s, not %s, or of another type or unit", path, i, got.name,
                               want->name);
    }
    return true;
}

static bool agree_curves(struct record_reader *r, const char *what, int count,
                         bool (*get)(struct record_reader *, int, struct record_curve *),
                         const struct record_curve *want, int want_count, const char *path) {
    if (count != want_count)
        return record_fail("%s: %d datasets in %s, not %d", path, count, what, want_count);
    for (int i = 0; i < count; i++) {
        struct record_curve got;
        if (!get(r, i, &got))
            return false;
        if (strcmp(got.name, want[i].name) || !same_text(got.unit, want[i].unit))
            return record_fail("%s: %s/%s, not %s, or of another unit", path, what, got.name, want[i].name);
    }
    return true;
}

bool record_agrees(struct record_reader *r, const struct record_schema *s, const char *path) {
    if (!same_text(record_attribute(r, "suite"), s->suite))
        return record_fail("%s: is of another suite", path);
    if (!agree_columns(r, s, path) ||
        !agree_curves(r, "curves", record_curve_count(r), record_curve, s->curves, s->curve_count, path) ||
        !agree_curves(r, "summary", record_summary_count(r), record_summary_info, s->summaries, s->summary_count,
                      path) ||
        !agree_curves(r, "timing", record_timing_count(r), record_timing_info, s->timings, s->timing_count, path) ||
        !agree_curves(r, "accuracy", record_accuracy_count(r), record_accuracy_info, s->accuracies, s->accuracy_count,
                      path))
        return false;
    bool same = record_subject_count(r) == s->subject_count && (!s->subject_count || record_max_rounds(r) == s->rounds);
    for (int i = 0; same && i < s->subject_count; i++)
        same = !strcmp(record_subject(r, i), s->subjects[i]);
    if (!same)
        return record_fail("%s: times other subjects, or other numbers of rounds", path);
    if (record_max_layers(r) != s->layers || record_max_streams(r) != s->streams)
        return record_fail("%s: room for %lld layers and %lld streams, not %lld and %lld", path,
                           (long long)record_max_layers(r), (long long)record_max_streams(r), (long long)s->layers,
                           (long long)s->streams);
    return true;
}

/* Memory for one case, and the columns of the file it comes from. */
struct copier {
    struct record_reader *reader;
    int columns, curves, summaries, timings, accuracies;
    int64_t layers, streams;
    const char *const *key, *const *status, *const *reason;
    const double *seconds;
    const int64_t *layers_of;
    union record_value *values;
    const double **curve;
    double *summary, *timing, *accuracy, *panel, *spectrum;
    double scale[RECORD_PANELS];
};

static void copier_free(struct copier *c) {
    free(c->values);
    free(c->curve);
    free(c->summary);
    free(c->timing);
    free(c->accuracy);
    free(c->panel);
    free(c->spectrum);
}

static bool copier_init(struct copier *c, struct record_reader *r) {
    *c = (struct copier){.reader = r,
                         .columns = record_column_count(r),
                         .curves = record_curve_count(r),
                         .summaries = record_summary_count(r),
                         .timings = record_timing_count(r),
                         .accuracies = record_accuracy_count(r),
                         .layers = record_max_layers(r),
                         .streams = record_max_streams(r)};
    const size_t n = (size_t)c->streams;
    if (!(c->key = record_texts(r, "key")) || !(c->status = record_texts(r, "status")) ||
        !(c->reason = record_texts(r, "reason")) || !(c->seconds = record_reals(r, "seconds")) ||
        !(c->layers_of = record_ints(r, "layers")))
        return false;
    c->values = malloc(((size_t)c->columns + 1) * sizeof *c->values);
    c->curve = malloc(((size_t)c->curves + 1) * sizeof *c->curve);
    c->summary = malloc(((size_t)c->summaries + 1) * sizeof *c->summary);
    c->timing = malloc(((size_t)c->timings + 1) * sizeof *c->timing);
    c->accuracy = malloc(((size_t)c->accuracies + 1) * sizeof *c->accuracy);
    c->panel = malloc((RECORD_PANELS * n * n + 1) * sizeof *c->panel);
    c->spectrum = malloc(((size_t)c->layers * n + 1) * sizeof *c->spectrum);
    return (c->values && c->curve && c->summary && c->timing && c->accuracy && c->panel && c->spectrum) ||
           record_fail("out of memory");
}

static bool copy_values(struct copier *c, int64_t index) {
    for (int i = 0; i < c->columns; i++) {
        struct record_column column;
        const int64_t *ints = NULL;
        const double *reals = NULL;
        const char *const *texts = NULL;
        if (!record_column(c->reader, i, &column))
            return false;
        if (column.type == RECORD_INT && (ints = record_ints(c->reader, column.name)))
            c->values[i].i = ints[index];
        else if (column.type == RECORD_REAL && (reals = record_reals(c->reader, column.name)))
            c->values[i].r = reals[index];
        else if (column.type == RECORD_TEXT && (texts = record_texts(c->reader, column.name)))
            c->values[i].text = texts[index];
        else
            return false;
    }
    return true;
}

static bool copy_curves(struct copier *c, int64_t index) {
    for (int i = 0; i < c->curves; i++) {
        struct record_curve curve;
        if (!record_curve(c->reader, i, &curve) || !(c->curve[i] = record_curve_of(c->reader, curve.name, index)))
            return false;
        if (!record_curve_computed(c->reader, curve.name, index))
            c->curve[i] = NULL;
    }
    return true;
}

/* One value of every scalar of a group. */
static bool copy_scalars(struct copier *c, int64_t index, int count,
                         bool (*info)(struct record_reader *, int, struct record_curve *),
                         const double *(*values)(struct record_reader *, const char *), double *out) {
    for (int i = 0; i < count; i++) {
        struct record_curve scalar;
        const double *all;
        if (!info(c->reader, i, &scalar) || !(all = values(c->reader, scalar.name)))
            return false;
        out[i] = all[index];
    }
    return true;
}

static bool copy_case(struct record *out, struct copier *c, int64_t index) {
    const int64_t panel_streams = record_panel_streams(c->reader, index);
    const int64_t spectrum_streams = record_spectrum_streams(c->reader, index);
    const bool timed = record_rounds(c->reader, index) > 0;
    struct record_timing timing;
    if (!copy_values(c, index) || !copy_curves(c, index) ||
        !copy_scalars(c, index, c->summaries, record_summary_info, record_summary, c->summary) ||
        !copy_scalars(c, index, c->timings, record_timing_info, record_timing_value, c->timing) ||
        !copy_scalars(c, index, c->accuracies, record_accuracy_info, record_accuracy, c->accuracy) ||
        (timed && !record_timing(c->reader, index, &timing)) ||
        (panel_streams && !record_panels(c->reader, index, panel_streams, c->panel, c->scale)) ||
        (spectrum_streams && !record_spectrum(c->reader, index, spectrum_streams, c->spectrum)))
        return false;
    const struct record_case row = {
        .key = c->key[index],
        .status = strcmp(c->status[index], "done") ? RECORD_FAILED : RECORD_DONE,
        .reason = c->reason[index],
        .seconds = c->seconds[index],
        .layers = c->layers_of[index],
        .streams = panel_streams ? panel_streams : spectrum_streams,
        .values = c->values,
        .curves = c->curve,
        .summaries = c->summary,
        .panels = panel_streams ? c->panel : NULL,
        .panel_log10_scale = panel_streams ? c->scale : NULL,
        .qr_spectrum = spectrum_streams ? c->spectrum : NULL,
        .timing = timed ? &timing : NULL,
        .timings = c->timing,
        .accuracies = c->accuracy,
    };
    return record_append_unflushed(out, &row);
}

bool record_copy_cases(struct record *out, struct record_reader *from, bool failed_too, const char *path) {
    struct copier c;
    bool good = copier_init(&c, from);
    for (int64_t i = 0; good && i < record_count(from); i++)
        if (failed_too || !strcmp(c.status[i], "done"))
            good = copy_case(out, &c, i);
    copier_free(&c);
    if (!good && !strstr(record_error(), path)) {
        char *why = strdup(record_error());
        record_fail("%s: %s", path, why ? why : "out of memory");
        free(why);
    }
    return good;
}

/* The schema of an open record, for merging; `facts` are those of all parts. */
struct borrowed {
    struct record_schema schema;
    struct record_column *columns;
    struct record_curve *curves, *summaries, *timings, *accuracies;
    const char **subjects;
    struct record_fact *facts;
    char **joined; /* values of the facts */
};

static void borrowed_free(struct borrowed *b) {
    for (int i = 0; b->joined && i < b->schema.fact_count; i++)
        free(b->joined[i]);
    free(b->joined);
    free(b->facts);
    free(b->columns);
    free(b->curves);
    free(b->summaries);
    free(b->timings);
    free(b->accuracies);
    free(b->subjects);
}

/* Distinct values of one fact in all parts, joined. */
static char *join_fact(struct record_reader *const *parts, int count, const char *wanted) {
    char *all = strdup("");
    for (int k = 0; all && k < count; k++) {
        const char *value = NULL;
        for (int i = 0; i < record_fact_count(parts[k]) && !value; i++) {
            const char *name, *candidate;
            if (record_fact(parts[k], i, &name, &candidate) && !strcmp(name, wanted))
                value = candidate;
        }
        bool known = !value;
        for (int j = 0; j < k && !known; j++)
            for (int i = 0; i < record_fact_count(parts[j]) && !known; i++) {
                const char *name, *earlier;
                known = record_fact(parts[j], i, &name, &earlier) && !strcmp(name, wanted) && !strcmp(earlier, value);
            }
        if (known)
            continue;
        char *longer = *all ? record_format("%s; %s", all, value) : strdup(value);
        free(all);
        all = longer;
    }
    return all;
}

static bool borrow_schema(struct borrowed *b, struct record_reader *const *parts, int count) {
    struct record_reader *r = parts[0];
    const int columns = record_column_count(r), curves = record_curve_count(r), summaries = record_summary_count(r);
    const int facts = record_fact_count(r), subjects = record_subject_count(r);
    const int timings = record_timing_count(r), accuracies = record_accuracy_count(r);
    b->columns = calloc((size_t)columns + 1, sizeof *b->columns);
    b->curves = calloc((size_t)curves + 1, sizeof *b->curves);
    b->summaries = calloc((size_t)summaries + 1, sizeof *b->summaries);
    b->timings = calloc((size_t)timings + 1, sizeof *b->timings);
    b->accuracies = calloc((size_t)accuracies + 1, sizeof *b->accuracies);
    b->subjects = calloc((size_t)subjects + 1, sizeof *b->subjects);
    b->facts = calloc((size_t)facts + 1, sizeof *b->facts);
    b->joined = calloc((size_t)facts + 1, sizeof *b->joined);
    if (!b->columns || !b->curves || !b->summaries || !b->timings || !b->accuracies || !b->subjects || !b->facts ||
        !b->joined)
        return record_fail("out of memory");
    b->schema = (struct record_schema){
        .columns = b->columns,
        .column_count = columns,
        .curves = b->curves,
        .curve_count = curves,
        .summaries = b->summaries,
        .summary_count = summaries,
        .layers = record_max_layers(r),
        .streams = record_max_streams(r),
        .facts = b->facts,
        .fact_count = facts,
        .program = record_attribute(r, "program"),
        .command = record_attribute(r, "command"),
        .suite = record_attribute(r, "suite"),
        .subjects = b->subjects,
        .subject_count = subjects,
        .rounds = record_max_rounds(r),
        .timings = b->timings,
        .timing_count = timings,
        .accuracies = b->accuracies,
        .accuracy_count = accuracies,
    };
    for (int k = 0; k < count; k++)
        b->schema.cases += record_count(parts[k]);
    bool good = true;
    for (int i = 0; i < columns; i++)
        good = good && record_column(r, i, &b->columns[i]);
    for (int i = 0; i < curves; i++)
        good = good && record_curve(r, i, &b->curves[i]);
    for (int i = 0; i < summaries; i++)
        good = good && record_summary_info(r, i, &b->summaries[i]);
    for (int i = 0; i < timings; i++)
        good = good && record_timing_info(r, i, &b->timings[i]);
    for (int i = 0; i < accuracies; i++)
        good = good && record_accuracy_info(r, i, &b->accuracies[i]);
    for (int i = 0; i < subjects; i++)
        b->subjects[i] = record_subject(r, i);
    for (int i = 0; good && i < facts; i++) {
        good = record_fact(r, i, &b->facts[i].name, &b->facts[i].value);
        if (good && !(b->facts[i].value = b->joined[i] = join_fact(parts, count, b->facts[i].name)))
            good = record_fail("out of memory");
    }
    return good;
}

/* OUT.part will be replaced; a shard of that name would be lost with it. */
static bool check_parts(const char *out, const char *const *paths, int count) {
    struct stat target, part;
    char *target_path = record_format("%s" RECORD_SUFFIX, out);
    const bool there = target_path && !stat(target_path, &target);
    free(target_path);
    for (int i = 0; there && i < count; i++)
        if (!stat(paths[i], &part) && part.st_dev == target.st_dev && part.st_ino == target.st_ino)
            return record_fail("%s: would be overwritten while it is read; give the result another name", paths[i]);
    return count > 0 || record_fail("nothing to merge");
}

/* The suite text has a line a case, which is its key; another text has no gaps. */
static bool find_gaps(const struct record *merged, const char *suite, struct record_gaps *gaps) {
    char *copy = strdup(suite ? suite : ""), *rest = NULL;
    gaps->is_missing = copy ? calloc(strlen(copy) + 1, sizeof(bool)) : NULL;
    const bool good = gaps->is_missing != NULL;
    for (char *line = good ? strtok_r(copy, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "--", 2))
            continue;
        const bool missing = !record_has(merged, line);
        if (missing && !gaps->missing++)
            snprintf(gaps->first, sizeof gaps->first, "%s", line);
        gaps->is_missing[gaps->lines++] = missing;
    }
    free(copy);
    return good || record_fail("out of memory");
}

static bool merge_open(const char *out, const char *const *paths, struct record_reader *const *parts, int count,
                       bool overwrite, struct record_gaps *gaps) {
    struct borrowed b = {0};
    bool good = borrow_schema(&b, parts, count), complete = true;
    for (int i = 0; good && i < count; i++) {
        complete = complete && record_complete(parts[i]);
        good = record_agrees(parts[i], &b.schema, paths[i]);
    }
    struct record *merged = good ? record_create(out, &b.schema, false, overwrite) : NULL;
    for (int i = 0; merged && good && i < count; i++)
        good = record_copy_cases(merged, parts[i], true, paths[i]);
    good = good && merged && find_gaps(merged, b.schema.suite, gaps);
    if (merged && !good)
        record_discard(merged);
    else if (merged)
        good = record_finish_as(merged, complete && !gaps->missing ? RECORD_COMPLETE : RECORD_INTERRUPTED, true);
    borrowed_free(&b);
    return good && merged;
}

bool record_merge(const char *out, const char *const *paths, int count, bool overwrite, struct record_gaps *gaps) {
    struct record_gaps found = {0};
    if (!check_parts(out, paths, count))
        return false;
    struct record_reader **parts = calloc((unsigned)count, sizeof *parts);
    bool good = parts || record_fail("out of memory");
    for (int i = 0; good && i < count; i++)
        good = (parts[i] = record_open(paths[i])) != NULL;
    good = good && merge_open(out, paths, parts, count, overwrite, &found);
    for (int i = 0; parts && i < count; i++)
        record_close(parts[i]);
    free(parts);
    if (good && gaps)
        *gaps = found;
    else
        free(found.is_missing);
    return good;
}
