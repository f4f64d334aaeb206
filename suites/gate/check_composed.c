/* What rows mean that are made of others: the crossings between layers, which start from what the library made of x_next or grad_x. */
#include "suites/gate/check.h"

#include <string.h>

/* post_pre: x_next = post(x, y, coefficients of the layer below), then pre of what the library made of x_next, for rounding moves a last bit. */
static void post_pre(const struct trial *t, const char *kind, struct table *want, const struct table *made,
                     void **save) {
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
static void backward_y(const struct trial *t, const char *kind, struct table *want, const struct table *made,
                       void **save) {
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

bool composed_crossing(const struct subject *s) {
    return !strcmp(s->operation, "post_pre") || !strcmp(s->operation, "backward_y");
}

bool composed_known(const struct subject *s) {
    if (!strcmp(s->operation, "post_pre"))
        return oracle_row(s->base, "post") && oracle_row(s->base, "pre");
    if (!strcmp(s->operation, "backward_y"))
        return oracle_row(s->base, "backward") && oracle_row(s->base, "post_backward_y");
    return false;
}

void composed_run(const struct trial *t, const struct subject *s, struct table *want, const struct table *made,
                  void **save) {
    if (!strcmp(s->operation, "post_pre"))
        post_pre(t, s->base, want, made, save);
    else
        backward_y(t, s->base, want, made, save);
}
