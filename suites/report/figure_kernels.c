/* The figures of study `kernels`: the roofline, and what share of a copy's bandwidth each operation reaches. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/analysis.h"
#include "suites/report/figure_data.h"
#include "suites/report/figure_dots.h"

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

/* What a yardstick attains: the median over the cases beside which it was timed; NaN: it never was. */
static double attained(const struct figure_source *source, const struct dots *d, const char *rate, const char *share) {
    double *values = malloc((size_t)(d->count + 1) * sizeof *values);
    int64_t count = 0;
    for (int64_t k = 0; values && k < d->count; k++) {
        double x = figure_dot_value(source, rate, d->dot[k].index) / figure_dot_value(source, share, d->dot[k].index);
        if (isfinite(x) && x > 0)
            values[count++] = x;
    }
    double median = count ? mhc_quantile(values, count, 0.5) : NAN;
    free(values);
    return median;
}

/* The yardsticks that operations are held against; NaN: there was none. */
struct roof {
    double copy, gemm;
    int above; /* operations that do more */
};

/* Whether an operation does more than what it is held against: than the roof allows at its FLOP per byte;
 * than a copy. */
static bool is_above_roof(const struct figure_source *source, const struct roof *roof, int64_t index) {
    double flops = figure_dot_value(source, "flops", index),
           allowed = roof->copy * flops / figure_dot_value(source, "bytes", index);
    allowed = roof->gemm < allowed ? roof->gemm : allowed;
    return flops > 0 && figure_dot_value(source, "flop_rate", index) > allowed;
}

static bool is_above_copy(const struct figure_source *source, const struct roof *roof, int64_t index) {
    (void)roof;
    return figure_dot_value(source, "copy_share", index) > 1;
}

typedef bool above_function(const struct figure_source *, const struct roof *, int64_t index);

/* A model has no rounds in which something could be faster than its roof; only rounding lifts it above the median. */
static bool by_model(const struct dots *d) {
    return !strncmp(d->dot[0].backend, BACKEND_MODEL, strlen(BACKEND_MODEL));
}

static bool write_data(const struct figure_source *source, const char *name, const struct dots *d,
                       above_function *is_above, struct roof *roof, char *why, size_t why_size) {
    static const char *const columns[] = {"median",    "low",       "high",       "bytes",     "flops",
                                          "bandwidth", "flop_rate", "copy_share", "gemm_share"};
    FILE *file = data_open(source, name,
                           "row,operation,kind,backward,tokens,width,streams,median,low,high,bytes,flops,bandwidth,"
                           "flop_rate,copy_share,gemm_share,above");
    for (int64_t k = 0; k < d->count; k++) {
        const struct dot *dot = &d->dot[k];
        bool above = !by_model(d) && is_above(source, roof, dot->index);
        roof->above += above;
        if (!file)
            continue;
        fprintf(file, "%lld", (long long)k);
        put_field(file, dot->operation);
        fprintf(file, ",%d,%d,%lld,%lld,%lld", kind_of(dot->operation), strstr(dot->operation, "backward") != NULL,
                (long long)dot->shape.tokens, (long long)dot->shape.width, (long long)dot->shape.streams);
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
            put_number(file, figure_dot_value(source, columns[c], dot->index));
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

/* Says what is left out: operations of other shapes, cases of another backend, type or cache. */
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

/* The caption of a figure: what it shows, and beside what, timed or by a model; then what it adds if there are
 * operations of no connection, if there is a GEMM, and if an operation does more than it should. */
struct statement {
    const char *what, *timed, *model, *other, *gemm, *above;
};

static bool has_other(const struct dots *d) {
    for (int64_t k = 0; k < d->count; k++)
        if (kind_of(d->dot[k].operation) == OTHER)
            return true;
    return false;
}

static enum figure_outcome draw(const struct figure_source *source, const struct figure *figure,
                                above_function *is_above, struct statement s, char *why, size_t size) {
    struct dots d = figure_dots(source);
    d.failed = failed_cases(source, "kernels");
    char text[900];
    enum figure_outcome outcome = FIGURE_WRITTEN;
    struct roof roof = {attained(source, &d, "bandwidth", "copy_share"),
                        attained(source, &d, "flop_rate", "gemm_share"), 0};
    if (!d.count) {
        snprintf(why, size, "no case of it has timed an operation");
        outcome = FIGURE_SKIPPED;
    } else if (!write_data(source, figure->name, &d, is_above, &roof, why, size)) {
        outcome = FIGURE_FAILED;
    } else {
        snprintf(text, sizeof text, "%s%s.%s%s%s", s.what, by_model(&d) ? s.model : s.timed,
                 has_other(&d) ? s.other : "", isfinite(roof.gemm) ? s.gemm : "", roof.above ? s.above : "");
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
        "Rate against FLOP per byte, both as the operations count them; what computes nothing is not shown. Line: "
        "what ",
        "a copy and a GEMM reached in the same rounds, medians over the operations",
        "the model gives a copy and a GEMM, medians over the operations",
        " Other: arrows of Table 2 (micro), ends of the stack, the optimizer.",
        "",
        " Ringed: above it, which can be where arrays stay in a cache, where more is read than written, or where the "
        "clock changed between cases."};
    return draw(source, figure, is_above_roof, s, why, size);
}

enum figure_outcome figure_bandwidth(const struct figure_source *source, const struct figure *figure, char *why,
                                     size_t size) {
    static const struct statement s = {
        "Rate at which an operation moves the bytes that it must move once, as a share of ",
        "a copy of as many bytes in the same rounds; whiskers: 95 % interval of the median time (open bars: too few "
        "rounds for one)",
        "what the model gives a copy of as many bytes",
        "",
        " Circles: its FLOP rate as a share of a GEMM's.",
        " Above 100 %: less than a copy takes, which can be where arrays stay in a cache or where more is read than "
        "written."};
    return draw(source, figure, is_above_copy, s, why, size);
}
