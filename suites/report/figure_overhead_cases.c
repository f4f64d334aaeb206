#include "suites/report/figure_overhead.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "suites/report/figure_data.h"
#include "suites/report/paper.h"

enum { KEY = 2048 };

struct overhead_line *overhead_chosen(const struct figure_source *source, int *count) {
    int64_t all;
    struct overhead_line *lines = overhead_lines(source->reader, &all);
    *count = 0;
    for (int64_t k = 0; k < all; k++)
        if (!lines[k].unfinished && source->chosen[lines[k].index])
            lines[(*count)++] = lines[k];
    return lines;
}

enum figure_outcome overhead_nothing(char *why, size_t size) {
    snprintf(why, size, "no case of study overhead was timed");
    return FIGURE_SKIPPED;
}

bool overhead_like(const struct params *a, const struct params *b, int open) {
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

void overhead_say_paper(FILE *settings, const struct overhead_line *t, char *text, size_t size) {
    if (settings)
        fprintf(settings, "PAPER = %d\n", !t->cpu);
    if (!t->cpu)
        snprintf(text + strlen(text), size - strlen(text), " Dashed: the paper's %g\u00a0%%.", 100 * PAPER_OVERHEAD);
}

void overhead_constants(const struct figure_source *source, const struct overhead_line *t, int open, char *text,
                        size_t size) {
    const struct params *p = &t->p;
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
             t->cpu ? ". On a CPU: says nothing about a GPU" : "");
}

void overhead_say_left_out(const struct figure_source *source, int cases, char *text, size_t text_size, char *why,
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

struct overhead_places overhead_places_of(const struct overhead_line *cases, int count) {
    struct overhead_places places = {.count = 0};
    for (int v = 0; v < STEP_VARIANTS; v++) {
        bool timed = false;
        for (int k = 0; k < count; k++)
            timed |= step_is_timed(cases[k].p.timed, v);
        places.of[v] = timed ? ++places.count : 0;
    }
    return places;
}

void overhead_say_missing(const struct figure_source *source, const struct overhead_line *t, char *text, size_t size) {
    bool some = false;
    for (int v = 0; v < STEP_VARIANTS; v++)
        if (step_is_timed(t->p.timed, v) &&
            isnan(overhead_variant_value(source->reader, t->index, v, OVERHEAD_RATIO))) {
            size_t used = strlen(text);
            snprintf(text + used, size - used, "%s %s", some ? ";" : " Not in this backend:", step_way(v).label);
            some = true;
        }
    snprintf(text + strlen(text), size - strlen(text), "%s", some ? "." : "");
}

/* Whether a variant was timed, but in too few rounds for an interval: then its median is no result. */
static bool lacks_interval(const struct figure_source *source, const struct overhead_line *t, int v) {
    return !t->model && isfinite(overhead_variant_value(source->reader, t->index, v, OVERHEAD_RATIO)) &&
           !(overhead_variant_value(source->reader, t->index, v, OVERHEAD_LOW) <=
             overhead_variant_value(source->reader, t->index, v, OVERHEAD_HIGH));
}

void overhead_say_unknown(int unknown, char *text, size_t size) {
    if (unknown)
        snprintf(text + strlen(text), size - strlen(text), " Not drawn: %d value%s of too few rounds for an interval.",
                 unknown, unknown > 1 ? "s" : "");
}

void overhead_put(FILE *file, const struct figure_source *source, const struct overhead_line *t, int v, int *unknown) {
    *unknown += lacks_interval(source, t, v);
    put_number(file, 100 * overhead_variant_value(source->reader, t->index, v, OVERHEAD_RATIO));
    put_number(file, 100 * overhead_variant_value(source->reader, t->index, v, OVERHEAD_LOW));
    put_number(file, 100 * overhead_variant_value(source->reader, t->index, v, OVERHEAD_HIGH));
    if (file)
        putc('\n', file);
}

void overhead_put_variants(FILE *settings, const struct overhead_places *places) {
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
