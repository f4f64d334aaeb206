/* What rows mean that are made of others: the crossings between layers, which start from what the library made of x_next or grad_x, and the
 * arrows of the paper's Table 2 (kind `micro`), by formulas of their own, so that cpu64's rows are checked too. */
#include "suites/check.h"

#include <string.h>

/* post_pre: x_next = post(x, y, coefficients of the layer below), then pre of what the library made of x_next, for rounding moves a last bit. */
static void post_pre(const struct trial *t, const char *kind, struct table *want, const struct table *made, void **save) {
    struct table below = {0};
    table_alias_all(&below, want);
    table_alias(&below, "post", want, "post_below");
    table_alias(&below, "res", want, "res_below");
    oracle_run(kind, "post", &t->c, &below, save);
    table_alias(want, "x", made, "x_next");
    oracle_run(kind, "pre", &t->c, want, save);
    int64_t count = t->c.T * t->c.n * t->c.C;
    memcpy(table_put(want, "x_next", count), table_get(&below, "x_next"), (size_t)count * sizeof(double));
    table_clear(&below);
}

/* backward_y: backward, then grad_y of the layer below from the library's grad_x. */
static void backward_y(const struct trial *t, const char *kind, struct table *want, const struct table *made, void **save) {
    struct table below = {0};
    void *unused = NULL;
    oracle_run(kind, "backward", &t->c, want, save);
    table_alias(&below, "grad_x_next", made, "grad_x");
    table_alias(&below, "post", want, "post_below");
    oracle_run(kind, "post_backward_y", &t->c, &below, &unused);
    int64_t count = t->c.T * t->c.C;
    memcpy(table_put(want, "grad_y_below", count), table_get(&below, "grad_y"), (size_t)count * sizeof(double));
    table_clear(&below);
}

/* --- arrows --- */

static void coefficients_mhc(const struct trial *t, struct table *want, void **save) {
    oracle_run("mhc", "pre", &t->c, want, save);
}
static void coefficients_hc(const struct trial *t, struct table *want, void **save) {
    oracle_run("hc", "pre", &t->c, want, save);
}

/* out[t][i] = sum over j of a[t][i][j] in[t][j], rows of C. */
static void mix(const struct mhc_case *c, int64_t rows, int64_t columns, const double *a, const double *in, double *out) {
    memset(out, 0, (size_t)(c->T * rows * c->C) * sizeof *out);
    for (int64_t t = 0; t < c->T; t++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++)
                for (int64_t k = 0; k < c->C; k++)
                    out[(t * rows + i) * c->C + k] += a[(t * rows + i) * columns + j] * in[(t * columns + j) * c->C + k];
}
static void apply_pre(const struct trial *t, struct table *want, void **save) {
    (void)save;
    const struct mhc_case *c = &t->c;
    mix(c, 1, c->n, table_get(want, "pre"), table_get(want, "x"), table_put(want, "u", c->T * c->C));
}
static void apply_post(const struct trial *t, struct table *want, void **save) {
    (void)save;
    const struct mhc_case *c = &t->c;
    mix(c, c->n, 1, table_get(want, "post"), table_get(want, "y"), table_put(want, "mixed", c->T * c->n * c->C));
}
static void apply_res(const struct trial *t, struct table *want, void **save) {
    (void)save;
    const struct mhc_case *c = &t->c;
    mix(c, c->n, c->n, table_get(want, "res"), table_get(want, "x"), table_put(want, "mixed_res", c->T * c->n * c->C));
}

static void add(const char *a, const char *b, int64_t count, struct table *want) {
    double *sum = table_put(want, "x_next", count);
    for (int64_t k = 0; k < count; k++)
        sum[k] = table_get(want, a)[k] + table_get(want, b)[k];
}
static void merge(const struct trial *t, struct table *want, void **save) {
    (void)save;
    add("mixed", "mixed_res", t->c.T * t->c.n * t->c.C, want);
}
static void residual_merge(const struct trial *t, struct table *want, void **save) {
    (void)save;
    add("x", "y", t->c.T * t->c.C, want);
}

static const struct arrow {
    const char *name;
    void (*run)(const struct trial *, struct table *, void **save);
} arrows[] = {{"micro.coefficients_mhc", coefficients_mhc},
              {"micro.coefficients_hc", coefficients_hc},
              {"micro.apply_pre", apply_pre},
              {"micro.apply_post", apply_post},
              {"micro.apply_res", apply_res},
              {"micro.merge", merge},
              {"micro.residual_merge", residual_merge}};
enum { ARROWS = sizeof arrows / sizeof *arrows };

static const struct arrow *arrow_of(const struct subject *s) {
    for (int k = 0; k < ARROWS; k++)
        if (!strcmp(arrows[k].name, s->row->name))
            return &arrows[k];
    return NULL;
}

/* --- all of them --- */

bool composed_crossing(const struct subject *s) {
    return !strcmp(s->operation, "post_pre") || !strcmp(s->operation, "backward_y");
}

bool composed_known(const struct subject *s) {
    if (!strcmp(s->operation, "post_pre"))
        return oracle_row(s->base, "post") && oracle_row(s->base, "pre");
    if (!strcmp(s->operation, "backward_y"))
        return oracle_row(s->base, "backward") && oracle_row(s->base, "post_backward_y");
    return arrow_of(s);
}

void composed_run(const struct trial *t, const struct subject *s, struct table *want, const struct table *made, void **save) {
    if (!strcmp(s->operation, "post_pre"))
        post_pre(t, s->base, want, made, save);
    else if (!strcmp(s->operation, "backward_y"))
        backward_y(t, s->base, want, made, save);
    else
        arrow_of(s)->run(t, want, save);
}
