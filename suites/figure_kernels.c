/* The figures of study `kernels`: the roofline, and what share of a copy's bandwidth each operation reaches. Both are of the largest
 * shape of every operation, on the backend and in the type that most cases have. What is attainable was measured in the same rounds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/analysis.h"
#include "suites/figure_data.h"

/* A timed case; `backend`, `type` and `cache` as they stand in the record. */
struct dot {
    int64_t index, size;
    const char *operation, *backend, *type, *cache;
};

struct dots {
    struct dot *dot;
    int64_t count;
};

/* Kinds as the scripts colour them: their colours are those of the blocks. */
enum kind { RESNET, HC, HC_STATIC, MHC, IDENTITY, BRANCH, OTHER, KINDS };
static const char *const kind_label[KINDS] = {"ResNet", "HC", "static HC", "mHC", "identity HC", "branch F", "other"};

static enum kind kind_of(const char *operation) {
    static const struct {
        const char *prefix;
        enum kind kind;
    } known[] = {{"resnet.", RESNET},  {"hc-static.", HC_STATIC}, {"hc.", HC},        {"hc-", HC},          {"mhc.", MHC},
                 {"mhc-", MHC},        {"identity.", IDENTITY},   {"linear.", BRANCH}, {"mlp.", BRANCH},     {"attention.", BRANCH},
                 {"addnorm.", BRANCH}, {"norm.", BRANCH},         {"gemm.", BRANCH},   {"sinkhorn.", MHC}};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (!strncmp(operation, known[k].prefix, strlen(known[k].prefix)))
            return known[k].kind;
    return OTHER;
}

static double value(const struct figure_source *source, const char *name, int64_t index) {
    const double *values = record_timing_value(source->reader, name);
    return values ? values[index] : NAN;
}

static bool alike(const struct dot *a, const struct dot *b) {
    return !strcmp(a->backend, b->backend) && !strcmp(a->type, b->type) && !strcmp(a->cache, b->cache);
}

/* All timed cases of the study. */
static struct dots read_dots(const struct figure_source *source) {
    struct record_reader *r = source->reader;
    const char *const *study = record_texts(r, "study"), *const *status = record_texts(r, "status");
    const char *const *operation = record_texts(r, "operation"), *const *backend = record_texts(r, "backend");
    const char *const *type = record_texts(r, "type"), *const *cache = record_texts(r, "cache");
    const int64_t *tokens = record_ints(r, "tokens"), *width = record_ints(r, "width"), *streams = record_ints(r, "streams");
    struct dots d = {malloc((size_t)(record_count(r) + 1) * sizeof *d.dot), 0};
    if (!study || !status || !operation || !backend || !type || !cache || !tokens || !width || !streams)
        return d;
    for (int64_t i = 0; d.dot && i < record_count(r); i++)
        if (!strcmp(study[i], "kernels") && !strcmp(status[i], "done") && value(source, "median", i) > 0)
            d.dot[d.count++] = (struct dot){i, tokens[i] * width[i] * streams[i], operation[i], backend[i], type[i], cache[i]};
    return d;
}

/* Keeps what is shown: of the most frequent backend, type and cache, the largest case of each operation. */
static void choose(struct dots *d) {
    int64_t most = 0, kept = 0;
    struct dot best = {0};
    for (int64_t i = 0; i < d->count; i++) {
        int64_t same = 0;
        for (int64_t j = 0; j < d->count; j++)
            same += alike(&d->dot[i], &d->dot[j]);
        if (same > most) {
            most = same;
            best = d->dot[i];
        }
    }
    for (int64_t i = 0; i < d->count; i++) {
        bool wanted = alike(&d->dot[i], &best);
        for (int64_t j = 0; j < d->count && wanted; j++) /* the first of the largest */
            wanted = j == i || strcmp(d->dot[j].operation, d->dot[i].operation) || !alike(&d->dot[j], &best) ||
                     d->dot[j].size < d->dot[i].size || (d->dot[j].size == d->dot[i].size && j > i);
        if (wanted)
            d->dot[kept++] = d->dot[i];
    }
    d->count = kept;
}

/* What a canary attains: the median over the cases it was timed beside; NaN where it never was. */
static double attained(const struct figure_source *source, const struct dots *d, const char *rate, const char *share) {
    double *values = malloc((size_t)(d->count + 1) * sizeof *values);
    int64_t count = 0;
    for (int64_t k = 0; values && k < d->count; k++) {
        double x = value(source, rate, d->dot[k].index) / value(source, share, d->dot[k].index);
        if (isfinite(x) && x > 0)
            values[count++] = x;
    }
    double median = count ? mhc_quantile(values, count, 0.5) : NAN;
    free(values);
    return median;
}

static bool write_data(const struct figure_source *source, const char *name, const struct dots *d, char *why, size_t why_size) {
    static const char *const columns[] = {"median", "low",       "high",       "bytes",     "flops",
                                          "bandwidth", "flop_rate", "copy_share", "gemm_share"};
    struct record_reader *r = source->reader;
    const int64_t *tokens = record_ints(r, "tokens"), *width = record_ints(r, "width"), *streams = record_ints(r, "streams");
    FILE *file = data_open(source, name, "row,operation,kind,backward,tokens,width,streams,median,low,high,bytes,flops,bandwidth,"
                                         "flop_rate,copy_share,gemm_share");
    for (int64_t k = 0; file && k < d->count; k++) {
        const struct dot *dot = &d->dot[k];
        fprintf(file, "%lld,%s,%d,%d,%lld,%lld,%lld", (long long)k, dot->operation, kind_of(dot->operation),
                strstr(dot->operation, "backward") != NULL, (long long)tokens[dot->index], (long long)width[dot->index],
                (long long)streams[dot->index]);
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
            put_number(file, value(source, columns[c], dot->index));
        putc('\n', file);
    }
    return data_close(file, source, name, why, why_size);
}

static void put_real(FILE *file, const char *name, double x) {
    if (file)
        fprintf(file, isfinite(x) ? "%s = %.9g\n" : "%s = NaN\n", name, x);
}

static bool write_settings(const struct figure_source *source, const char *name, const struct dots *d, bool wide,
                           const char *statement, char *why, size_t why_size) {
    const struct dot *first = d->dot;
    char text[1200];
    FILE *file = settings_open(source, name);
    unsigned kinds = 0;
    for (int64_t k = 0; k < d->count; k++)
        kinds |= 1u << kind_of(d->dot[k].operation);
    snprintf(text, sizeof text, "%s Largest shape of each operation; backend %s, type %s, %s arrays.", statement, first->backend,
             first->type, first->cache);
    if (file)
        fprintf(file, "ROWS = %lld\nKINDS = %d\narray KIND[%d]\narray HAS[%d]\n", (long long)d->count, KINDS, KINDS, KINDS);
    for (int k = 0; file && k < KINDS; k++) {
        fprintf(file, "HAS[%d] = %d; KIND[%d] = ", k + 1, (int)(kinds >> k & 1), k + 1);
        put_string(file, kind_label[k]);
        putc('\n', file);
    }
    put_real(file, "COPY", attained(source, d, "bandwidth", "copy_share"));
    put_real(file, "GEMM", attained(source, d, "flop_rate", "gemm_share"));
    put_caption(file, source, wide, text);
    return data_close(file, source, name, why, why_size);
}

static enum figure_outcome draw(const struct figure_source *source, const struct figure *figure, bool wide, const char *statement,
                                char *why, size_t size) {
    struct dots d = read_dots(source);
    choose(&d);
    enum figure_outcome outcome = FIGURE_WRITTEN;
    if (!d.count) {
        snprintf(why, size, "no case of it has timed an operation");
        outcome = FIGURE_SKIPPED;
    } else if (!write_data(source, figure->name, &d, why, size) ||
               !write_settings(source, figure->name, &d, wide, statement, why, size))
        outcome = FIGURE_FAILED;
    free(d.dot);
    return outcome;
}

enum figure_outcome figure_roofline(const struct figure_source *source, const struct figure *figure, char *why, size_t size) {
    return draw(source, figure, false,
                "Rate of operations against operations a byte, by the operations' own models. Lines: a copy and a GEMM timed in the "
                "same rounds (medians). Filled: forward; open: backward.",
                why, size);
}

enum figure_outcome figure_bandwidth(const struct figure_source *source, const struct figure *figure, char *why, size_t size) {
    return draw(source, figure, false,
                "Bytes an operation must move once over its time, as a share of a copy of as many bytes timed in the same rounds; "
                "whiskers: 95 % interval of the median time. Circles: its rate of operations as a share of a GEMM's.",
                why, size);
}
