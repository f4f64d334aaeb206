/* The figures of study `kernels`: the roofline, and what share of a copy's bandwidth each operation reaches. Both
 * show one shape, the one that most operations were timed at, on the backend and in the type that most cases have;
 * else kinds could not be compared. What is attainable was measured in the same rounds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/analysis.h"
#include "cpu_ref/library.h"
#include "suites/report/figure_data.h"

enum { MOST_OPERATIONS = 200, NAMES = 160 };

/* What an operation was timed at. It has no say where no argument has that extent: a ResNet's n is 1, Sinkhorn has no
 * C. */
struct shape {
    int64_t tokens, width, streams, t_max;
    bool any_width, any_streams;
};

/* A timed case; `backend`, `type` and `cache` as they stand in the record; `id` numbers the operations. */
struct dot {
    int64_t index;
    int id;
    char operation[64]; /* "mhc.pre", or "mhc.pre (identity)" of another map than Sinkhorn's */
    const char *backend, *type, *cache;
    struct shape shape;
};

struct dots {
    struct dot *dot;
    int64_t count;
    int operations;     /* that the record has */
    struct shape shape; /* that is shown */
    int elsewhere;      /* operations that were not timed at it */
    char elsewhere_names[NAMES];
    int64_t otherwise; /* cases of another backend, type or cache */
    int64_t failed;    /* cases */
};

/* Kinds as the scripts colour them: their colours are those of the blocks. */
enum kind { RESNET, HC, HC_STATIC, MHC, IDENTITY, BRANCH, OTHER, KINDS };
static const char *const kind_label[KINDS] = {"ResNet",          "HC",   "static HC", "mHC", "identity HC",
                                              "F and its parts", "other"};

static enum kind kind_of(const char *operation) {
    static const struct {
        const char *prefix;
        enum kind kind;
    } known[] = {{"resnet.", RESNET},
                 {"hc-static.", HC_STATIC},
                 {"hc.", HC},
                 {"hc-", HC},
                 {"mhc.", MHC},
                 {"mhc-", MHC},
                 {"sinkhorn.", MHC},
                 {"identity.", IDENTITY}, /* as old records have it */
                 {"linear.", BRANCH},
                 {"mlp.", BRANCH},
                 {"attention.", BRANCH},
                 {"attention-core.", BRANCH},
                 {"activation.", BRANCH},
                 {"addnorm.", BRANCH},
                 {"norm.", BRANCH},
                 {"gemm.", BRANCH}};
    if (strstr(operation, " (identity)"))
        return IDENTITY;
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (!strncmp(operation, known[k].prefix, strlen(known[k].prefix)))
            return known[k].kind;
    return OTHER;
}

/* Whether an argument of the operation has an extent. */
static bool has_extent(const char *operation, char letter) {
    const struct mhc_row *row = mhc_row_find(&mhc_cpu64, operation);
    for (const struct mhc_arg *arg = row ? row->args : NULL; arg && arg->name; arg++)
        if (strchr(arg->extents, letter))
            return true;
    return !row;
}

static double value(const struct figure_source *source, const char *name, int64_t index) {
    const double *values = record_timing_value(source->reader, name);
    return values ? values[index] : NAN;
}

static bool alike(const struct dot *a, const struct dot *b) {
    return !strcmp(a->backend, b->backend) && !strcmp(a->type, b->type) && !strcmp(a->cache, b->cache);
}

/* All timed cases of the study that were chosen. */
static struct dots read_dots(const struct figure_source *source) {
    struct record_reader *r = source->reader;
    const char *const *study = record_texts(r, "study"), *const *status = record_texts(r, "status");
    const char *const *operation = record_texts(r, "operation"), *const *backend = record_texts(r, "backend");
    const char *const *type = record_texts(r, "type"), *const *cache = record_texts(r, "cache");
    const int64_t *tokens = record_ints(r, "tokens"), *width = record_ints(r, "width"),
                  *streams = record_ints(r, "streams");
    const int64_t *t_max = record_ints(r, "t-max");
    const char *const *map = record_texts(r, "map"); /* old records have none */
    struct dots d = {.dot = malloc((size_t)(record_count(r) + 1) * sizeof *d.dot)};
    if (!study || !status || !operation || !backend || !type || !cache || !tokens || !width || !streams || !t_max)
        return d;
    for (int64_t i = 0; d.dot && i < record_count(r); i++) {
        if (strcmp(study[i], "kernels") || strcmp(status[i], "done") || !(value(source, "median", i) > 0) ||
            !source->chosen[i])
            continue;
        struct dot dot = {i,
                          -1,
                          "",
                          backend[i],
                          type[i],
                          cache[i],
                          {tokens[i], width[i], streams[i], t_max[i], !has_extent(operation[i], 'C'),
                           connection_operation_has_one_stream(operation[i]) || !has_extent(operation[i], 'n')}};
        bool own = map && strcmp(map[i], "sinkhorn");
        snprintf(dot.operation, sizeof dot.operation, own ? "%.40s (%.20s)" : "%.40s", operation[i], own ? map[i] : "");
        for (int64_t j = 0; j < d.count && dot.id < 0; j++)
            dot.id = strcmp(d.dot[j].operation, dot.operation) ? -1 : d.dot[j].id;
        if (dot.id < 0 && d.operations < MOST_OPERATIONS)
            dot.id = d.operations++;
        if (dot.id >= 0)
            d.dot[d.count++] = dot;
    }
    return d;
}

static bool fits(const struct shape *s, const struct shape *wanted) {
    return s->tokens == wanted->tokens && s->t_max == wanted->t_max && (s->any_width || s->width == wanted->width) &&
           (s->any_streams || s->streams == wanted->streams);
}

/* Of the most frequent backend, type and cache. */
static void choose_way(struct dots *d) {
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
    for (int64_t i = 0; i < d->count; i++)
        if (alike(&d->dot[i], &best))
            d->dot[kept++] = d->dot[i];
    d->otherwise = d->count - kept;
    d->count = kept;
}

/* The shape that most operations have; among those the largest. */
static void choose_shape(struct dots *d) {
    int most = 0;
    double largest = 0;
    bool widths = false, streams = false; /* an operation without channels says nothing of C */
    for (int64_t i = 0; i < d->count; i++) {
        widths |= !d->dot[i].shape.any_width;
        streams |= !d->dot[i].shape.any_streams;
    }
    for (int64_t i = 0; i < d->count; i++) {
        const struct shape *s = &d->dot[i].shape;
        if (most && ((s->any_width && widths) || (s->any_streams && streams)))
            continue;
        bool has[MOST_OPERATIONS] = {false};
        double size = (double)s->tokens * (double)s->width * (double)s->streams;
        int count = 0;
        for (int64_t j = 0; j < d->count; j++)
            if (!has[d->dot[j].id] && fits(&d->dot[j].shape, s)) {
                has[d->dot[j].id] = true;
                count++;
            }
        bool vague = most && ((d->shape.any_width && widths) || (d->shape.any_streams && streams));
        if (vague || count > most || (count == most && size > largest)) {
            most = count;
            largest = size;
            d->shape = *s;
        }
    }
}

/* Keeps what is shown, the first case of every operation at the shape, and names the operations that have none. */
static void choose(struct dots *d) {
    bool shown[MOST_OPERATIONS] = {false}, named[MOST_OPERATIONS] = {false}, taken[MOST_OPERATIONS] = {false};
    int64_t kept = 0;
    choose_way(d);
    choose_shape(d);
    for (int64_t i = 0; i < d->count; i++)
        shown[d->dot[i].id] |= fits(&d->dot[i].shape, &d->shape);
    for (int64_t i = 0; i < d->count; i++) {
        const struct dot *dot = &d->dot[i];
        size_t used = strlen(d->elsewhere_names);
        if (shown[dot->id] || named[dot->id])
            continue;
        named[dot->id] = true;
        d->elsewhere++;
        if (used + strlen(dot->operation) + 8 < NAMES)
            snprintf(d->elsewhere_names + used, NAMES - used, "%s%s", used ? ", " : "", dot->operation);
    }
    for (int64_t i = 0; i < d->count; i++)
        if (!taken[d->dot[i].id] && fits(&d->dot[i].shape, &d->shape)) {
            taken[d->dot[i].id] = true;
            d->dot[kept++] = d->dot[i];
        }
    d->count = kept;
}

/* What a yardstick attains: the median over the cases it was timed beside; NaN where it never was. */
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

/* What operations are held against, in the same rounds: NaN where there was none. */
struct roof {
    double copy, gemm;
    int above; /* operations that do more */
};

/* Whether an operation does more than what it is held against: than the roof allows at its FLOP per byte;
 * than a copy. */
static bool is_above_roof(const struct figure_source *source, const struct roof *roof, int64_t index) {
    double flops = value(source, "flops", index), allowed = roof->copy * flops / value(source, "bytes", index);
    allowed = roof->gemm < allowed ? roof->gemm : allowed;
    return flops > 0 && value(source, "flop_rate", index) > allowed;
}

static bool is_above_copy(const struct figure_source *source, const struct roof *roof, int64_t index) {
    (void)roof;
    return value(source, "copy_share", index) > 1;
}

typedef bool above_function(const struct figure_source *, const struct roof *, int64_t index);

static bool write_data(const struct figure_source *source, const char *name, const struct dots *d,
                       above_function *is_above, struct roof *roof, char *why, size_t why_size) {
    static const char *const columns[] = {"median",    "low",       "high",       "bytes",     "flops",
                                          "bandwidth", "flop_rate", "copy_share", "gemm_share"};
    FILE *file = data_open(source, name,
                           "row,operation,kind,backward,tokens,width,streams,median,low,high,bytes,flops,bandwidth,"
                           "flop_rate,copy_share,gemm_share,above");
    for (int64_t k = 0; k < d->count; k++) {
        const struct dot *dot = &d->dot[k];
        bool above = is_above(source, roof, dot->index);
        roof->above += above;
        if (!file)
            continue;
        fprintf(file, "%lld", (long long)k);
        put_field(file, dot->operation);
        fprintf(file, ",%d,%d,%lld,%lld,%lld", kind_of(dot->operation), strstr(dot->operation, "backward") != NULL,
                (long long)dot->shape.tokens, (long long)dot->shape.width, (long long)dot->shape.streams);
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
            put_number(file, value(source, columns[c], dot->index));
        fprintf(file, ",%d\n", above);
    }
    return data_close(file, source, name, why, why_size);
}

static void put_real(FILE *file, const char *name, double x) {
    if (file)
        fprintf(file, isfinite(x) ? "%s = %.9g\n" : "%s = NaN\n", name, x);
}

/* "T = 512, C = 256, n = 4": what the dots have in common. */
static void put_shape(FILE *file, const struct dots *d) {
    char text[160];
    const struct shape *s = &d->shape;
    size_t used = (size_t)snprintf(text, sizeof text, "T = %lld", (long long)s->tokens);
    if (!s->any_width)
        used += (size_t)snprintf(text + used, sizeof text - used, ", C = %lld", (long long)s->width);
    if (!s->any_streams)
        used += (size_t)snprintf(text + used, sizeof text - used, ", n = %lld", (long long)s->streams);
    if (s->t_max != 20)
        used += (size_t)snprintf(text + used, sizeof text - used, ", t_{max} = %lld", (long long)s->t_max);
    if (file)
        fprintf(file, "SHAPE = ");
    put_string(file, text);
    if (file)
        putc('\n', file);
}

static bool write_settings(const struct figure_source *source, const char *name, const struct dots *d,
                           const struct roof *roof, const char *statement, char *why, size_t why_size) {
    const struct dot *first = d->dot;
    char text[1800], backend[300];
    FILE *file = settings_open(source, name);
    unsigned kinds = 0;
    size_t longest = 0;
    for (int64_t k = 0; k < d->count; k++) {
        kinds |= 1u << kind_of(d->dot[k].operation);
        longest = strlen(d->dot[k].operation) > longest ? strlen(d->dot[k].operation) : longest;
    }
    device_name(source, first->backend, backend, sizeof backend);
    snprintf(text, sizeof text, "%s All at the shape above%s; backend %s, %s%s, %s arrays.", statement,
             kinds & 1u << RESNET ? " (ResNet: n=1)" : "", backend,
             strcmp(first->type, "widest") ? "type " : "its widest type",
             strcmp(first->type, "widest") ? first->type : "", first->cache);
    if (d->elsewhere)
        snprintf(text + strlen(text), sizeof text - strlen(text), " Timed at other shapes only: %d operation%s.",
                 d->elsewhere, d->elsewhere > 1 ? "s" : "");
    if (d->otherwise)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 " Not shown: %lld case%s of another backend, type or cache.", (long long)d->otherwise,
                 d->otherwise > 1 ? "s" : "");
    if (d->failed)
        snprintf(text + strlen(text), sizeof text - strlen(text), " Failed: %lld case%s.", (long long)d->failed,
                 d->failed > 1 ? "s" : "");
    if (file)
        fprintf(file, "ROWS = %lld\nLONGEST = %zu\nHAS_GEMM = %d\nKINDS = %d\narray KIND[%d]\narray HAS[%d]\n",
                (long long)d->count, longest, isfinite(roof->gemm), KINDS, KINDS, KINDS);
    for (int k = 0; file && k < KINDS; k++) {
        fprintf(file, "HAS[%d] = %d; KIND[%d] = ", k + 1, (int)(kinds >> k & 1), k + 1);
        put_string(file, kind_label[k]);
        putc('\n', file);
    }
    put_shape(file, d);
    put_real(file, "COPY", roof->copy);
    put_real(file, "GEMM", roof->gemm);
    put_caption(file, source, false, text);
    return data_close(file, source, name, why, why_size);
}

/* What is left out: operations of other shapes, cases of another way. */
static void say_left_out(const struct dots *d, char *why, size_t size) {
    if (d->elsewhere)
        snprintf(why, size, "%d operation%s not in it, timed at other shapes only: %s", d->elsewhere,
                 d->elsewhere > 1 ? "s are" : " is", d->elsewhere_names);
    if (d->otherwise)
        snprintf(why + strlen(why), size - strlen(why), "%s%lld case%s of another backend, type or cache %s not in it",
                 d->elsewhere ? "; " : "", (long long)d->otherwise, d->otherwise > 1 ? "s" : "",
                 d->otherwise > 1 ? "are" : "is");
    if (d->failed)
        snprintf(why + strlen(why), size - strlen(why), "%s%lld case%s failed", *why ? "; " : "", (long long)d->failed,
                 d->failed > 1 ? "s" : "");
}

/* Of a figure: what it shows, what it adds where there are operations of no kind of connection, where a GEMM was
 * timed too, and where an operation does more than it should. */
struct statement {
    const char *what, *interval, *other, *gemm, *above; /* interval: not said of a model, which has none */
};

static bool has_other(const struct dots *d) {
    for (int64_t k = 0; k < d->count; k++)
        if (kind_of(d->dot[k].operation) == OTHER)
            return true;
    return false;
}

static enum figure_outcome draw(const struct figure_source *source, const struct figure *figure,
                                above_function *is_above, struct statement s, char *why, size_t size) {
    struct dots d = read_dots(source);
    d.failed = failed_cases(source, "kernels");
    char text[900];
    choose(&d);
    enum figure_outcome outcome = FIGURE_WRITTEN;
    struct roof roof = {attained(source, &d, "bandwidth", "copy_share"),
                        attained(source, &d, "flop_rate", "gemm_share"), 0};
    if (!d.count) {
        snprintf(why, size, "no case of it has timed an operation");
        outcome = FIGURE_SKIPPED;
    } else if (!write_data(source, figure->name, &d, is_above, &roof, why, size)) {
        outcome = FIGURE_FAILED;
    } else {
        const bool model = !strncmp(d.dot[0].backend, BACKEND_MODEL, strlen(BACKEND_MODEL));
        snprintf(text, sizeof text, "%s%s.%s%s%s", s.what, model ? "" : s.interval, has_other(&d) ? s.other : "",
                 isfinite(roof.gemm) ? s.gemm : "", roof.above ? s.above : "");
        outcome = write_settings(source, figure->name, &d, &roof, text, why, size) ? FIGURE_WRITTEN : FIGURE_FAILED;
        if (outcome == FIGURE_WRITTEN)
            say_left_out(&d, why, size);
    }
    free(d.dot);
    return outcome;
}

enum figure_outcome figure_roofline(const struct figure_source *source, const struct figure *figure, char *why,
                                    size_t size) {
    static const struct statement s = {
        "Rate against FLOP per byte, both by the operations' own models; what computes nothing is not shown. Line: "
        "timed in the same rounds, medians over the operations",
        "", " Other: arrows of Table 2 (micro), ends of the stack, the optimizer.", "",
        " Ringed: above it, which can be where arrays stay in a cache, where more is read than written, or where the "
        "clock changed between cases."};
    return draw(source, figure, is_above_roof, s, why, size);
}

enum figure_outcome figure_bandwidth(const struct figure_source *source, const struct figure *figure, char *why,
                                     size_t size) {
    static const struct statement s = {
        "Bytes an operation must move once over its time, as a share of a copy of as many bytes timed in the same "
        "rounds",
        "; whiskers: 95 % interval of the median time (open bars: too few rounds for one)", "",
        " Circles: its FLOP rate as a share of a GEMM's.",
        " Above 100 %: less than a copy takes, which can be where arrays stay in a cache or where more is read than "
        "written."};
    return draw(source, figure, is_above_copy, s, why, size);
}
