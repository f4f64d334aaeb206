/* The figures of study `overhead`: bars, the step in parts, and lines against C and T. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "suites/report/figure_data.h"
#include "suites/report/paper.h"
#include "suites/study/overhead_record.h"

enum { MOST_CASES = 400, MOST_GROUPS = 10, KEY = 2048 };

/* The cases that were timed and chosen, in the order of the record. */
struct timed {
    int64_t index;
    struct params p;
};

static int read_cases(const struct figure_source *source, struct timed *out) {
    struct record_reader *r = source->reader;
    const char *const *status = record_texts(r, "status"), *const *study = record_texts(r, "study");
    int count = 0;
    for (int64_t k = 0;
         k < record_count(r) && count < MOST_CASES && record_subject_called(r, step_name(STEP_RESIDUAL)) >= 0; k++)
        if (status && study && !strcmp(status[k], "done") && !strcmp(study[k], "overhead") && source->chosen[k] &&
            record_rounds(r, k)) {
            out[count].index = k;
            groups_params(r, k, &out[count++].p);
        }
    return count;
}

static enum figure_outcome nothing(char *why, size_t size) {
    snprintf(why, size, "no case of study overhead was timed");
    return FIGURE_SKIPPED;
}

static double value(const struct figure_source *source, int k, const struct timed *t) {
    const double *values = record_timing_value(source->reader, overhead_timing_info()[k].name);
    return values ? values[t->index] : NAN;
}

static double of_variant(const struct figure_source *source, const struct timed *t, int v, enum overhead_value what) {
    return value(source, overhead_of_variant((enum step_variant)v, what), t);
}

/* Options that a figure may leave open. */
enum { OPEN_SHAPE = 1, OPEN_TOKENS = 2, OPEN_CORE = 4, OPEN_KIND = 8 };

/* Whether two cases differ in nothing but what is open. */
static bool like(const struct params *a, const struct params *b, int open) {
    struct params x = *b;
    char key[2][KEY];
    if (open & OPEN_SHAPE) {
        x.width = a->width, x.hidden = a->hidden, x.heads = a->heads, x.head_dim = a->head_dim, x.preset = a->preset;
        x.sequence = a->sequence;
    }
    if (open & OPEN_TOKENS)
        x.tokens = a->tokens, x.sequence = a->sequence;
    if (open & OPEN_CORE)
        x.attention = a->attention;
    if (open & OPEN_KIND)
        x.kind = a->kind;
    params_key(a, key[0], KEY);
    params_key(&x, key[1], KEY);
    return !strcmp(key[0], key[1]);
}

/* What tells a shape from another of its width; empty where none has the same. */
static void tell_apart(const struct timed *group, int groups, int g, char *text, size_t size) {
    static const char *const names[] = {"hidden", "heads", "head-dim", "sequence"};
    text[0] = 0;
    for (size_t n = 0; n < sizeof names / sizeof *names && !*text; n++)
        for (int k = 0; k < groups && !*text; k++) {
            const struct params *p = &group[g].p, *q = &group[k].p;
            const struct param *param = params_find(names[n]);
            if (!q->preset && q->width == p->width && parameter_value(p, param) != parameter_value(q, param))
                snprintf(text, size, "%s=%.0f", names[n], parameter_value(p, param));
        }
}

/* "27b" over "active", or "C=128". */
static void put_label(FILE *settings, const struct timed *group, int groups, int g) {
    char text[40], below[40];
    const struct params *p = &group[g].p;
    if (!settings)
        return;
    snprintf(text, sizeof text, "C=%lld", (long long)p->width);
    tell_apart(group, groups, g, below, sizeof below);
    fprintf(settings, "LABEL[%d] = ", g + 1);
    put_string(settings, p->preset ? params_word(p, "preset") : text);
    fprintf(settings, "\nKIND[%d] = ", g + 1);
    put_string(settings, p->preset ? params_word(p, "kind") : below);
    fprintf(settings, "\n");
}

/* A time on a CPU says nothing about the paper's, which is of GPUs: neither its number nor its line stands there. */
static bool on_cpu(const struct params *p) {
    return !strncmp(p->backend, "cpu", 3) || !strcmp(p->backend, "emu");
}

/* " Dashed: the paper's 6.7 %.", and the setting that draws it. */
static void say_paper(FILE *settings, const struct params *p, char *text, size_t size) {
    if (settings)
        fprintf(settings, "PAPER = %d\n", !on_cpu(p));
    if (!on_cpu(p))
        snprintf(text + strlen(text), size - strlen(text), " Dashed: the paper's %g\u00a0%%.", 100 * PAPER_OVERHEAD);
}

/* "on cpu32, L=4, n=4, T=128": what a figure holds fixed. */
static void constants_of(const struct figure_source *source, const struct params *p, int open, char *text,
                         size_t size) {
    char backend[300];
    device_name(source, p->backend, backend, sizeof backend);
    size_t used = (size_t)snprintf(text, size, "%s on %s, %lld layers, n=%lld",
                                   p->overlap ? "Two micro-batches in overlap" : "One step", backend,
                                   (long long)p->depth, (long long)p->streams);
    if (!(open & OPEN_TOKENS))
        used += (size_t)snprintf(text + used, size - used, ", T=%lld", (long long)p->tokens);
    if (!(open & OPEN_SHAPE))
        used += (size_t)snprintf(text + used, size - used, ", C=%lld", (long long)p->width);
    if (!(open & OPEN_CORE))
        used += (size_t)snprintf(text + used, size - used, ", %s attention's core", p->attention ? "with" : "without");
    snprintf(text + used, size - used, "%s%s%s", p->optimizer ? ", with AdamW" : "", p->graphs ? ", as a graph" : "",
             on_cpu(p) ? ". On a CPU: says nothing about a GPU" : "");
}

/* Cases that a figure leaves out and those that failed, behind its caption and beside it. */
static void say_left_out(const struct figure_source *source, int cases, char *text, size_t text_size, char *why,
                         size_t size) {
    long long failed = (long long)failed_cases(source, "overhead");
    why[0] = 0;
    if (cases) {
        snprintf(text + strlen(text), text_size - strlen(text),
                 " Not shown: %d case%s of other shapes, backends or ways to run.", cases, cases > 1 ? "s" : "");
        snprintf(why, size, "%d case%s of other shapes, backends or ways to run %s not in it", cases,
                 cases > 1 ? "s" : "", cases > 1 ? "are" : "is");
    }
    if (failed) {
        snprintf(text + strlen(text), text_size - strlen(text), " Failed: %lld case%s.", failed, failed > 1 ? "s" : "");
        snprintf(why + strlen(why), size - strlen(why), "%s%lld case%s failed", cases ? "; " : "", failed,
                 failed > 1 ? "s" : "");
    }
}

/* The variants that some case was to time, in order: their place in the data, from 1; 0 for the others. */
struct places {
    int of[STEP_VARIANTS], count;
};

static struct places places_of(const struct timed *cases, int count) {
    struct places places = {.count = 0};
    for (int v = 0; v < STEP_VARIANTS; v++) {
        bool timed = false;
        for (int k = 0; k < count; k++)
            timed |= step_is_timed(cases[k].p.timed, v);
        places.of[v] = timed ? ++places.count : 0;
    }
    return places;
}

/* Variants that the backend could not run. */
static void say_missing(const struct figure_source *source, const struct timed *t, char *text, size_t size) {
    bool some = false;
    for (int v = 0; v < STEP_VARIANTS; v++)
        if (step_is_timed(t->p.timed, v) && isnan(of_variant(source, t, v, OVERHEAD_RATIO))) {
            size_t used = strlen(text);
            snprintf(text + used, size - used, "%s %s", some ? ";" : " Not in this backend:", step_way(v).label);
            some = true;
        }
    snprintf(text + strlen(text), size - strlen(text), "%s", some ? "." : "");
}

/* Whether a variant was timed, but in too few rounds for an interval: then its median is no result. */
static bool lacks_interval(const struct figure_source *source, const struct timed *t, int v) {
    return isfinite(of_variant(source, t, v, OVERHEAD_RATIO)) &&
           !(of_variant(source, t, v, OVERHEAD_LOW) <= of_variant(source, t, v, OVERHEAD_HIGH));
}

/* " 3 medians of too few rounds for an interval are not drawn." */
static void say_unknown(int unknown, char *text, size_t size) {
    if (unknown)
        snprintf(text + strlen(text), size - strlen(text), " Not drawn: %d value%s of too few rounds for an interval.",
                 unknown, unknown > 1 ? "s" : "");
}

static void put_overhead(FILE *file, const struct figure_source *source, const struct timed *t, int v, int *unknown) {
    *unknown += lacks_interval(source, t, v);
    put_number(file, 100 * of_variant(source, t, v, OVERHEAD_RATIO));
    put_number(file, 100 * of_variant(source, t, v, OVERHEAD_LOW));
    put_number(file, 100 * of_variant(source, t, v, OVERHEAD_HIGH));
    if (file)
        putc('\n', file);
}

/* Their names and colours. */
static void put_variants(FILE *settings, const struct places *places) {
    if (!settings)
        return;
    fprintf(settings, "VARIANTS = %d\narray NAME[VARIANTS]\narray BLOCK[VARIANTS]\narray RANK[VARIANTS]\n",
            places->count);
    for (int v = 0; v < STEP_VARIANTS; v++) {
        const struct step_way way = step_way(v);
        if (!places->of[v])
            continue;
        fprintf(settings, "NAME[%d] = ", places->of[v]);
        put_string(settings, way.label);
        fprintf(settings, "\nBLOCK[%d] = %d\nRANK[%d] = %d\n", places->of[v], way.connection->colour, places->of[v],
                way.shade);
    }
}

/* ---- bars ---- */

/* The shapes at the tokens and ways of the first case. */
enum figure_outcome figure_overhead(const struct figure_source *source, const struct figure *figure, char *why,
                                    size_t size) {
    static struct timed cases[MOST_CASES], group[MOST_GROUPS];
    int count = read_cases(source, cases), groups = 0, missing = 0, unknown = 0;
    bool core[2] = {false, false};
    char text[1400];
    if (!count)
        return nothing(why, size);
    const struct places places = places_of(cases, count);
    FILE *data = data_open(source, figure->name, "group,core,variant,overhead,low,high"),
         *settings = settings_open(source, figure->name);
    for (int k = 0; k < count; k++) {
        int g = 0;
        if (!like(&cases[0].p, &cases[k].p, OPEN_SHAPE | OPEN_CORE | OPEN_KIND)) {
            missing++;
            continue;
        }
        while (g < groups && !like(&group[g].p, &cases[k].p, OPEN_CORE))
            g++;
        if (g == MOST_GROUPS) {
            missing++;
            continue;
        }
        if (g == groups)
            group[groups++] = cases[k];
        core[cases[k].p.attention] = true;
        for (int v = STEP_RESIDUAL + 1; v < STEP_VARIANTS && data; v++) {
            if (!places.of[v])
                continue;
            fprintf(data, "%d,%d,%d", g + 1, (int)cases[k].p.attention, places.of[v]);
            put_overhead(data, source, &cases[k], v, &unknown);
        }
    }
    if (settings)
        fprintf(settings, "GROUPS = %d\nFROM = %d\nTO = %d\narray LABEL[%d]\narray KIND[%d]\n", groups, !core[0],
                core[1], groups, groups);
    for (int g = 0; g < groups; g++)
        put_label(settings, group, groups, g);
    put_variants(settings, &places);
    constants_of(source, &cases[0].p, OPEN_SHAPE | OPEN_CORE, text, sizeof text);
    snprintf(
        text + strlen(text), sizeof text - strlen(text),
        ". Bars: how much longer a training step (forward and backward) takes than with the residual, t / t(residual) − 1, "
        "median; whiskers: its 95 %% interval.");
    say_paper(settings, &cases[0].p, text, sizeof text);
    say_unknown(unknown, text, sizeof text);
    say_missing(source, &cases[0], text, sizeof text);
    say_left_out(source, missing, text, sizeof text, why, size);
    put_caption(settings, source, true, text);
    bool good = data_close(settings, source, figure->name, why, size);
    return data_close(data, source, figure->name, why, size) && good ? FIGURE_WRITTEN : FIGURE_FAILED;
}

/* ---- the step in parts ---- */

/* The parts as the figure stacks them. */
static const struct {
    const char *name;
    enum step_part from, to;
} stacked[] = {{"GEMM", STEP_GEMM_FORWARD, STEP_GEMM_BACKWARD_WEIGHT},
               {"attention core", STEP_CORE_FORWARD, STEP_CORE_BACKWARD},
               {"activation", STEP_ACTIVATION_FORWARD, STEP_ACTIVATION_BACKWARD},
               {"optimizer of F", STEP_UPDATE, STEP_UPDATE},
               {"norm", STEP_NORM_FORWARD, STEP_NORM_BACKWARD},
               {"pre", STEP_PRE, STEP_PRE},
               {"post", STEP_POST, STEP_POST},
               {"post backward y", STEP_POST_BACKWARD_Y, STEP_POST_BACKWARD_Y},
               {"backward", STEP_BACKWARD, STEP_BACKWARD},
               {"optimizer of connection", STEP_OWN_UPDATE, STEP_OWN_UPDATE}};
enum { STACKED = sizeof stacked / sizeof *stacked };

/* Milliseconds of a part, 0 where it was not timed. F's are those of the residual. */
static double part_time(const struct figure_source *source, const struct timed *t, int v, int part) {
    int of = part < STEP_SHARED_PARTS ? STEP_RESIDUAL : v;
    double share = value(
        source, overhead_of_part(overhead_subject((enum step_variant)v, (enum step_part)part), OVERHEAD_PART_SHARE), t);
    return isnan(share) ? 0 : 1e3 * share * of_variant(source, t, of, OVERHEAD_MEDIAN);
}

/* The case to take apart: with the core where there is one, else the first; not one in overlap, which has no account.
 */
static const struct timed *case_in_parts(const struct timed *cases, int count) {
    const struct timed *best = NULL;
    for (int k = 0; k < count; k++)
        if (!cases[k].p.overlap &&
            (!best || (cases[k].p.attention && !best->p.attention && like(&best->p, &cases[k].p, OPEN_CORE))))
            best = &cases[k];
    return best;
}

enum figure_outcome figure_overhead_step(const struct figure_source *source, const struct figure *figure, char *why,
                                         size_t size) {
    static struct timed cases[MOST_CASES];
    int count = read_cases(source, cases);
    const struct timed *t = case_in_parts(cases, count);
    bool timed[STACKED] = {false};
    char text[1400];
    if (!t)
        return nothing(why, size);
    const struct places places = places_of(t, 1);
    FILE *data = data_open(source, figure->name, "variant,part,from,to,step"),
         *settings = settings_open(source, figure->name);
    for (int v = 0; v < STEP_VARIANTS; v++) {
        double at = 0;
        for (int k = 0; k < STACKED && !isnan(of_variant(source, t, v, OVERHEAD_RATIO)); k++) {
            double own = 0;
            for (int part = (int)stacked[k].from; part <= (int)stacked[k].to; part++)
                own += part_time(source, t, v, part);
            timed[k] |= own > 0;
            if (data)
                fprintf(data, "%d,%d", places.of[v], k + 1);
            put_number(data, at);
            put_number(data, at += own);
            put_number(data, 1e3 * of_variant(source, t, v, OVERHEAD_MEDIAN));
            if (data)
                putc('\n', data);
        }
    }
    put_variants(settings, &places);
    if (settings)
        fprintf(settings, "PARTS = %d\narray PART[%d]\n", STACKED, STACKED);
    for (int k = 0; k < STACKED && settings; k++) {
        fprintf(settings, "PART[%d] = ", k + 1);
        put_string(settings, timed[k] ? stacked[k].name : ""); /* no name: not in the legend */
        fprintf(settings, "\n");
    }
    constants_of(source, &t->p, 0, text, sizeof text);
    snprintf(text + strlen(text), sizeof text - strlen(text),
             ". Bars: the parts, each timed by itself beside the whole step, F's in that of the residual. Marks: "
             "median of the whole step, of %lld round%s.",
             (long long)record_rounds(source->reader, t->index),
             record_rounds(source->reader, t->index) > 1 ? "s" : "");
    say_missing(source, t, text, sizeof text);
    say_left_out(source, count - 1, text, sizeof text, why, size);
    put_caption(settings, source, true, text);
    bool good = data_close(settings, source, figure->name, why, size);
    return data_close(data, source, figure->name, why, size) && good ? FIGURE_WRITTEN : FIGURE_FAILED;
}

/* ---- against C and T ---- */

static int64_t along(const struct timed *t, int open) {
    return open & OPEN_TOKENS ? t->p.tokens : t->p.width;
}

/* The case that most others of different C or T are like; -1: none is like another. */
static int base_of(const struct timed *cases, int count, int open, int *members) {
    int best = -1;
    *members = 1;
    for (int k = 0; k < count; k++) {
        int alike = 0;
        for (int j = 0; j < count; j++) {
            bool first = like(&cases[k].p, &cases[j].p, open);
            for (int i = 0; i < j && first; i++)
                first = !(like(&cases[k].p, &cases[i].p, open) && along(&cases[i], open) == along(&cases[j], open));
            alike += first;
        }
        if (alike > *members) {
            *members = alike;
            best = k;
        }
    }
    return best;
}

/* The next larger C or T among the cases like the base; the case that has it in `at`. INT64_MAX: there is none. */
static int64_t next_along(const struct timed *cases, int count, int base, int open, int64_t last, int *at) {
    int64_t next = INT64_MAX;
    for (int k = 0; k < count; k++)
        if (like(&cases[base].p, &cases[k].p, open) && along(&cases[k], open) > last && along(&cases[k], open) < next)
            next = along(&cases[ *at = k], open);
    return next;
}

/* Ticks where the cases are, as far as there is room: XTICS[panel] = '64, 128'; GAP[panel]: log2 of the smallest
 * ratio of neighbours. */
static void put_ticks(FILE *settings, int panel, const struct timed *cases, int count, int base, int open) {
    int at;
    int64_t first = next_along(cases, count, base, open, 0, &at), largest = first;
    double gap = INFINITY;
    if (!settings)
        return;
    for (int64_t next = first; (next = next_along(cases, count, base, open, next, &at)) < INT64_MAX; largest = next)
        gap = fmin(gap, log2((double)next / (double)largest));
    double apart = pow((double)largest / (double)first, 0.12);
    fprintf(settings, "XTICS[%d] = '%lld", panel, (long long)first);
    for (int64_t next = first, told = first; next < INT64_MAX; next = next_along(cases, count, base, open, next, &at))
        if (next > told && (double)next >= (double)told * apart)
            fprintf(settings, ", %lld", (long long)(told = next));
    fprintf(settings, "'; GAP[%d] = %.9g\n", panel, gap);
}

enum figure_outcome figure_overhead_sweep(const struct figure_source *source, const struct figure *figure, char *why,
                                          size_t size) {
    static struct timed cases[MOST_CASES];
    const int open[2] = {OPEN_SHAPE, OPEN_TOKENS};
    int count = read_cases(source, cases), missing = 0, unknown = 0, at = 0, members[2], base[2];
    bool shown[MOST_CASES] = {false};
    char text[2000] = "", constants[700];
    if (!count)
        return nothing(why, size);
    for (int panel = 0; panel < 2; panel++)
        base[panel] = base_of(cases, count, open[panel], &members[panel]);
    if (base[0] < 0 && base[1] < 0)
        return snprintf(why, size, "no two cases of study overhead differ in C or T alone"), FIGURE_SKIPPED;
    const struct places places = places_of(cases, count);
    FILE *data = data_open(source, figure->name, "panel,variant,at,overhead,low,high"),
         *settings = settings_open(source, figure->name);
    if (settings)
        fprintf(settings, "array XTICS[2]\narray GAP[2]\n");
    for (int panel = 0; panel < 2; panel++) {
        for (int v = STEP_RESIDUAL + 1; v < STEP_VARIANTS && base[panel] >= 0; v++) {
            if (!places.of[v])
                continue;
            for (int64_t last = 0, next; /* in the order of C or T */
                 (next = next_along(cases, count, base[panel], open[panel], last, &at)) < INT64_MAX; last = next) {
                if (data)
                    fprintf(data, "%d,%d,%lld", panel + 1, places.of[v], (long long)next);
                put_overhead(data, source, &cases[at], v, &unknown);
                shown[at] = true;
            }
        }
        if (base[panel] < 0)
            continue;
        put_ticks(settings, panel + 1, cases, count, base[panel], open[panel]);
        constants_of(source, &cases[base[panel]].p, open[panel], constants, sizeof constants);
        snprintf(text + strlen(text), sizeof text - strlen(text), "Against %s: %s. ", panel ? "T" : "C", constants);
    }
    put_variants(settings, &places);
    if (settings)
        fprintf(settings, "HAS_C = %d\nHAS_T = %d\n", base[0] >= 0, base[1] >= 0);
    snprintf(
        text + strlen(text), sizeof text - strlen(text),
        "How much longer a training step takes than with the residual, t / t(residual) − 1: median with its 95 %% interval. "
        "Connections stand side by side.");
    say_paper(settings, &cases[base[0] < 0 ? base[1] : base[0]].p, text, sizeof text);
    say_unknown(unknown, text, sizeof text);
    say_missing(source, &cases[base[0] < 0 ? base[1] : base[0]], text, sizeof text);
    for (int k = 0; k < count; k++)
        missing += !shown[k];
    say_left_out(source, missing, text, sizeof text, why, size);
    put_caption(settings, source, true, text);
    bool good = data_close(settings, source, figure->name, why, size);
    return data_close(data, source, figure->name, why, size) && good ? FIGURE_WRITTEN : FIGURE_FAILED;
}
