/* Cases from earlier files: what resuming and merging need. */
#include <stdlib.h>
#include <string.h>

#include "results/reader.h"
#include "results/writer.h"

static bool same_text(const char *a, const char *b) {
    return !strcmp(a ? a : "", b ? b : "");
}

static bool agree_list(struct record_reader *r, const struct record_schema *s, enum record_list list,
                       const char *path) {
    const bool columns = list == RECORD_LIST_COLUMNS;
    const char *group = group_info[list_info[list].group].name;
    const int count = record_list_count(r, list), wanted = schema_count(s, list);
    if (count != wanted)
        return columns ? record_fail("%s: %d parameters, not %d: another version of the program made it", path, count,
                                     wanted)
                       : record_fail("%s: %d datasets in %s, not %d", path, count, group, wanted);
    for (int i = 0; i < count; i++) {
        const struct record_column want = schema_item(s, list, i);
        struct record_column got;
        if (!record_list_item(r, list, i, &got))
            return false;
        if (strcmp(got.name, want.name) || got.type != want.type || !same_text(got.unit, want.unit))
            return columns ? record_fail("%s: parameter %d is %s, not %s, or of another type or unit", path, i,
                                         got.name, want.name)
                           : record_fail("%s: %s/%s, not %s, or of another unit", path, group, got.name, want.name);
    }
    return true;
}

bool record_agrees(struct record_reader *r, const struct record_schema *s, const char *path) {
    if (!same_text(record_attribute(r, "suite"), s->suite))
        return record_fail("%s: is of another suite", path);
    for (int list = 0; list < RECORD_LISTS; list++)
        if (!agree_list(r, s, (enum record_list)list, path))
            return false;
    bool same = record_subject_count(r) == s->subject_count && (!s->subject_count || record_max_rounds(r) == s->rounds);
    for (int i = 0; same && i < s->subject_count; i++)
        same = !strcmp(record_subject(r, i), s->subjects[i]);
    if (!same)
        return record_fail("%s: times other subjects, or other numbers of rounds", path);
    bool trained = record_metric_count(r) == (s->points ? s->metric_count : 0) && record_max_points(r) == s->points;
    for (int i = 0; trained && i < record_metric_count(r); i++)
        trained = !strcmp(record_metric(r, i), s->metrics[i]);
    if (!trained)
        return record_fail("%s: other curves of training, or other numbers of points", path);
    if (record_max_layers(r) != s->layers || record_max_streams(r) != s->streams)
        return record_fail("%s: room for %lld layers and %lld streams, not %lld and %lld", path,
                           (long long)record_max_layers(r), (long long)record_max_streams(r), (long long)s->layers,
                           (long long)s->streams);
    return true;
}

/* Memory for one case. */
struct copier {
    struct record_reader *reader;
    union record_value *values;
    const double **curve;
    double *scalars[RECORD_LISTS];
    void *memory[GROUPS];
};

static void copier_free(struct copier *c) {
    free(c->values);
    free(c->curve);
    for (int list = 0; list < RECORD_LISTS; list++)
        free(c->scalars[list]);
    for (int g = 0; g < GROUPS; g++)
        free(c->memory[g]);
}

static bool copier_init(struct copier *c, struct record_reader *r) {
    *c = (struct copier){.reader = r};
    c->values = malloc(((size_t)record_list_count(r, RECORD_LIST_COLUMNS) + 1) * sizeof *c->values);
    c->curve = malloc(((size_t)record_list_count(r, RECORD_LIST_CURVES) + 1) * sizeof *c->curve);
    bool good = c->values && c->curve;
    for (int list = RECORD_LIST_SUMMARIES; list < RECORD_LISTS; list++) {
        c->scalars[list] = malloc(((size_t)record_list_count(r, (enum record_list)list) + 1) * sizeof(double));
        good = good && c->scalars[list];
    }
    return good || record_fail("out of memory");
}

static bool copy_values(struct copier *c, int64_t index) {
    for (int i = 0; i < record_list_count(c->reader, RECORD_LIST_COLUMNS); i++) {
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
    for (int i = 0; i < record_list_count(c->reader, RECORD_LIST_CURVES); i++) {
        struct record_curve curve;
        if (!record_curve(c->reader, i, &curve) || !(c->curve[i] = record_curve_of(c->reader, curve.name, index)))
            return false;
        if (!record_curve_computed(c->reader, curve.name, index))
            c->curve[i] = NULL;
    }
    return true;
}

/* One value of every scalar of a list. */
static bool copy_scalars(struct copier *c, int64_t index, enum record_list list) {
    for (int i = 0; i < record_list_count(c->reader, list); i++) {
        struct record_column scalar;
        const double *all;
        if (!record_list_item(c->reader, list, i, &scalar) || !(all = record_list_values(c->reader, list, scalar.name)))
            return false;
        c->scalars[list][i] = all[index];
    }
    return true;
}

static bool copy_case(struct record *out, struct copier *c, int64_t index, bool done) {
    struct record_timing timing;
    struct record_training training;
    struct record_case row = {
        .status = done ? RECORD_DONE : RECORD_FAILED,
        .values = c->values,
        .curves = c->curve,
        .summaries = c->scalars[RECORD_LIST_SUMMARIES],
        .timings = c->scalars[RECORD_LIST_TIMINGS],
        .accuracies = c->scalars[RECORD_LIST_ACCURACIES],
    };
    if (!copy_values(c, index) || !copy_curves(c, index))
        return false;
    for (int list = RECORD_LIST_SUMMARIES; list < RECORD_LISTS; list++)
        if (!copy_scalars(c, index, (enum record_list)list))
            return false;
    for (int g = 0; g < GROUPS; g++) {
        if (g != IN_CASES && reader_counted(c->reader, (enum layout_group)g, index) == 0)
            continue;
        if (g == IN_TIMING)
            row.timing = &timing;
        if (g == IN_TRAINING)
            row.training = &training;
        void *members = g == IN_TIMING ? (void *)&timing : g == IN_TRAINING ? (void *)&training : &row;
        if (!reader_fill(c->reader, (enum layout_group)g, index, members, &c->memory[g]))
            return false;
    }
    return record_append_soon(out, &row);
}

bool record_copy_cases(struct record *out, struct record_reader *from, const bool *wanted, const char *path) {
    struct copier c;
    const char *const *status = NULL;
    bool good = copier_init(&c, from) && (!wanted || record_select(from, wanted)) &&
                (status = record_texts(from, "status"));
    for (int64_t i = 0; good && i < record_count(from); i++) {
        const bool done = !strcmp(status[i], "done");
        good = !(wanted || done) || copy_case(out, &c, i, done);
    }
    copier_free(&c);
    if (!good && !strstr(record_error(), path)) {
        char *why = strdup(record_error());
        record_fail("%s: %s", path, why ? why : "out of memory");
        free(why);
    }
    return good;
}
