#include "suites/gate/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/library.h"
#include "cpu_ref/philox.h"

double random_uniform(struct randoms *r) {
    return mhc_uniform_of_bits(mhc_bits(r->seed, r->what, 0, r->at++));
}

int64_t random_below(struct randoms *r, int64_t count) {
    return (int64_t)(random_uniform(r) * (double)count);
}

static bool chance(struct randoms *r, double probability) {
    return random_uniform(r) < probability;
}

static int64_t from_to(struct randoms *r, int64_t low, int64_t high) {
    return low + random_below(r, high - low + 1);
}

#define ONE_OF(r, ...) \
    ((const int64_t[]){__VA_ARGS__}[random_below(r, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))])

static bool has_letter(const struct mhc_row *row, const char *letters) {
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        if (strpbrk(arg->extents, letters))
            return true;
    return false;
}

/* --- shapes --- */

static int64_t draw_width(struct randoms *r) {
    double which = random_uniform(r);
    if (which < 0.40)
        return 8 * from_to(r, 1, 40);
    if (which < 0.70)
        return from_to(r, 1, 250);
    if (which < 0.80)
        return from_to(r, 1, 9);
    if (which < 0.92)
        return 64 * from_to(r, 1, 8);
    return ONE_OF(r, 600, 640, 1200, 1280, 2400, 2560, 4800); /* clusters of 2, 4, 8, 16 blocks */
}

static int64_t draw_vocabulary(struct randoms *r) {
    return chance(r, 0.5) ? from_to(r, 1, 40) : chance(r, 0.7) ? from_to(r, 41, 600) : ONE_OF(r, 1, 2, 256, 1024, 4099);
}

static int64_t draw_tokens(struct randoms *r, int64_t most) {
    int64_t T = chance(r, 0.6)   ? from_to(r, 1, 12)
                : chance(r, 0.6) ? from_to(r, 13, 70)
                                 : ONE_OF(r, 1, 16, 32, 64, 128, 131);
    if (most > 200 && chance(r, 0.5)) /* a GPU has room for them */
        T = from_to(r, 1, most < 6000 ? most : 6000);
    return T < most ? T : most < 1 ? 1 : most;
}

static void draw_types(struct randoms *r, struct mhc_case *c, int attempt, int64_t trial) {
    int64_t turn = attempt < 40 ? trial % 2 : random_below(r, 3);
    c->stream = turn == 0 ? MHC_F32 : turn == 1 ? MHC_BF16 : MHC_F64;
    c->coef = c->param = c->stream == MHC_F64 ? MHC_F64 : MHC_F32;
}

/* Elements of the largest parameter: phi, theta and the matrices of branches are bounded too. */
static int64_t largest_parameter(const struct mhc_row *row, const struct mhc_case *c) {
    int64_t largest = 0;
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        if (arg->role == MHC_PARAM && mhc_elements(c, arg) > largest)
            largest = mhc_elements(c, arg);
    return largest;
}

static void draw_shape(struct randoms *r, const struct mhc_row *row, int64_t size, struct mhc_case *c) {
    c->n = has_letter(row, CHECK_STREAMS)
               ? chance(r, 0.75) ? ONE_OF(r, 1, 2, 4, 4, 4, 8) : from_to(r, 1, MHC_MAX_STREAMS)
               : 1;
    c->C = has_letter(row, "CD") ? draw_width(r) : 1;
    c->hidden = has_letter(row, "HG") ? chance(r, 0.5) ? 8 * from_to(r, 1, 30) : from_to(r, 1, 200) : 0;
    if (has_letter(row, "A")) {
        c->heads = from_to(r, 1, 5);
        c->head_dim = chance(r, 0.6) ? ONE_OF(r, 8, 16, 32, 64, 128) : from_to(r, 1, 80);
    }
    c->vocabulary = has_letter(row, "V") ? draw_vocabulary(r) : 0;
    c->sources = has_letter(row, "R") ? from_to(r, 1, 12) : 0;
    while (largest_parameter(row, c) > 10 * size && c->C > 1)
        c->C = (c->C + 1) / 2;
    int64_t wide = c->C > c->n ? c->C : c->n;
    c->T = draw_tokens(r, size / (c->n * (wide > c->vocabulary ? wide : c->vocabulary)));
    c->weights = has_letter(row, "W") ? from_to(r, 1, chance(r, 0.5) ? 40 : 10 * size) : 0;
    if (has_letter(row, "AS")) {
        c->S = chance(r, 0.4)   ? from_to(r, 1, 20)
               : chance(r, 0.7) ? from_to(r, 1, 140)
                                : ONE_OF(r, 16, 32, 64, 128, 192, 257);
        c->T = c->S * (chance(r, 0.6) ? 1 : from_to(r, 1, 3));
    }
}

static const struct {
    int32_t map;
    const char *name;
} maps[] = {
#define MAP(id, name) {id, #name},
#include "cpu_ref/maps/maps.def"
#undef MAP
};

static void draw_constants(struct randoms *r, const struct mhc_row *row, struct mhc_case *c) {
    static const double eps[] = {0, 1e-6, 1e-5, 1e-3};
    c->t_max = chance(r, 0.6) ? ONE_OF(r, 1, 2, 3, 20, 20) : from_to(r, 1, 40);
    c->convention = chance(r, 0.5) ? MHC_V4 : MHC_PAPER;
    c->activation = chance(r, 0.5) ? MHC_GELU : MHC_SWIGLU;
    c->rms_eps = eps[random_below(r, 3)];
    c->sinkhorn_eps = eps[random_below(r, 4)]; /* convention `paper` must ignore it */
    if (has_letter(row, "KQEN") && chance(r, 0.5))
        c->map = maps[random_below(r, sizeof maps / sizeof *maps)].map;
    c->map_order = (int32_t)from_to(r, 1, 2);
    c->map_constant = chance(r, 0.5) ? 1.0 / 32 : 1 - random_uniform(r);
}

/* Powers of ten by which x is scaled, either way. The norm of pre must survive squares of x that leave the range of
 * a float. Gradients through that norm, and branches, need only survive 12. */
static int reach_of(const struct subject *s) {
    return !strcmp(row_operation(s->row), "pre") || !strcmp(row_operation(s->row), "post_pre") ? 32 : 12;
}

static void draw_extremes(struct randoms *r, const struct subject *s, struct trial *t) {
    t->logit_std = chance(r, 0.3) ? 10 + 50 * random_uniform(r) : 1;
    t->steep_b = chance(r, 0.5);
    t->grad_scale = chance(r, 0.1) ? pow(10, 8 * random_uniform(r) - 4) : 1;
    t->x_scale = chance(r, 0.15) ? pow(10, reach_of(s) * (2 * random_uniform(r) - 1)) : 1;
    if (t->c.C < CHECK_SHORT)
        t->x_scale = 1;
    t->zero_token = chance(r, 0.1) ? random_below(r, t->c.T) : -1;
    t->large_token = -1;
    t->through_post_pre = chance(r, 0.4);
}

const char *const type_words[] = {"f64", "f32", "bf16"};

/* What only the operations of training have. */
static void describe_training(struct trial *t, const struct mhc_row *row) {
    static const char *const indices[] = {"", " indices=last", " indices=ends", " indices=runs"};
    static const char *const steps[] = {"",
                                        " first-step",
                                        " millionth-step",
                                        " clipped",
                                        " below-clip",
                                        " large-epsilon",
                                        " no-gradient",
                                        " tiny-gradient"};
    size_t at = strlen(t->text), size = sizeof t->text;
    if (has_letter(row, "V"))
        at += (size_t)snprintf(t->text + at, size - at, "%s", indices[t->indices]);
    if (has_letter(row, "W"))
        at += (size_t)snprintf(t->text + at, size - at, "%s", steps[t->step]);
    if (t->edge > 0)
        snprintf(t->text + at, size - at, " edge=%g", t->edge);
}

static void describe(struct trial *t, const struct mhc_row *row) {
    const struct mhc_case *c = &t->c;
    size_t at = 0, size = sizeof t->text;
    at += (size_t)snprintf(t->text, size, "%s T=%lld", type_words[c->stream], (long long)c->T);
    if (has_letter(row, CHECK_STREAMS))
        at += (size_t)snprintf(t->text + at, size - at, " n=%lld", (long long)c->n);
    for (size_t k = 0; k < sizeof maps / sizeof *maps && has_letter(row, "KQEN"); k++)
        if (maps[k].map == c->map && c->map)
            at += (size_t)snprintf(t->text + at, size - at, " map=%s,%d,%.3g", maps[k].name, c->map_order,
                                   c->map_constant);
    if (has_letter(row, "CD"))
        at += (size_t)snprintf(t->text + at, size - at, " C=%lld", (long long)c->C);
    if (has_letter(row, "H"))
        at += (size_t)snprintf(t->text + at, size - at, " hidden=%lld %s", (long long)c->hidden,
                               c->activation == MHC_SWIGLU ? "swiglu" : "gelu");
    if (has_letter(row, "S"))
        at += (size_t)snprintf(t->text + at, size - at, " S=%lld", (long long)c->S);
    if (has_letter(row, "A"))
        at += (size_t)snprintf(t->text + at, size - at, " S=%lld heads=%lld head_dim=%lld", (long long)c->S,
                               (long long)c->heads, (long long)c->head_dim);
    if (has_letter(row, "V"))
        at += (size_t)snprintf(t->text + at, size - at, " V=%lld", (long long)c->vocabulary);
    if (has_letter(row, "W"))
        at += (size_t)snprintf(t->text + at, size - at, " W=%lld", (long long)c->weights);
    snprintf(t->text + at, size - at, " t_max=%lld %s eps=%g,%g logits=%.3g x=%.2g grad=%.2g%s%s", (long long)c->t_max,
             c->convention == MHC_V4 ? "v4" : "paper", c->rms_eps, c->sinkhorn_eps, t->logit_std, t->x_scale,
             t->grad_scale,
             t->zero_token >= 0    ? " zero-token"
             : t->large_token >= 0 ? " large-token"
             : t->ties             ? " ties"
                                   : "",
             t->shared ? " shared-inputs" : "");
    describe_training(t, row);
}

/* Whether the row supports the case in its type, or in another one, which the case then gets. */
static bool takes(struct trial *t, const struct subject *s, const char **why) {
    const int32_t types[] = {t->c.stream, MHC_F32, MHC_BF16, MHC_F64};
    for (int k = 0; k < 4; k++) {
        t->c.stream = types[k];
        t->c.coef = t->c.param = types[k] == MHC_F64 ? MHC_F64 : MHC_F32;
        if (s->row->supports(&t->c, why))
            return true;
    }
    return false;
}

static bool draw_fixed(struct trial *t, const struct subject *s, int64_t trial, const char **why) {
    cover_case(t, s->row, trial);
    bool good = takes(t, s, why);
    for (int attempt = 1; !good && t->state && cover_state(t, attempt); attempt++)
        good = takes(t, s, why);
    describe(t, s->row);
    return good;
}

bool trial_draw(struct trial *t, const struct subject *s, uint64_t seed, int64_t trial, int64_t size,
                const char **why) {
    uint32_t label = mhc_what(s->label);
    *t = (struct trial){.seed = mhc_bits(seed, label, 1, (uint64_t)trial)};
    struct randoms r = {t->seed, label, 0};
    *why = "it supports no case";
    if (trial < cover_count(s->row))
        return draw_fixed(t, s, trial, why);
    trial -= cover_count(s->row);
    for (int attempt = 0; attempt < 400; attempt++) {
        t->c = (struct mhc_case){0};
        draw_types(&r, &t->c, attempt, trial);
        draw_shape(&r, s->row, size, &t->c);
        if (trial == 1 || trial == 2) /* the shape of decoding, once per type */
            t->c.T = 1, t->c.S = t->c.S ? 1 : 0;
        draw_constants(&r, s->row, &t->c);
        draw_extremes(&r, s, t);
        if (s->row->supports(&t->c, why)) {
            describe(t, s->row);
            return true;
        }
    }
    return false;
}
