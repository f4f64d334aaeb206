#include "suites/report/costs.h"

#include <math.h>
#include <stdio.h>

#include "cpu_ref/library.h"

/* Adds an operation's bytes and floating-point operations; `parameters`: its parameters too. */
static void add(struct costs *sum, const char *kind, const char *operation, const struct mhc_case *c, bool parameters) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", kind, operation);
    const struct mhc_row *row = mhc_row_find(&mhc_cpu32, name);
    if (!row) {
        *sum = (struct costs){NAN, NAN, NAN};
        return;
    }
    sum->bytes += row->traffic(c) / (double)c->T;
    sum->flops += row->flops(c) / (double)c->T;
    for (const struct mhc_arg *arg = row->args; parameters && arg->name; arg++)
        if (arg->role == MHC_PARAM && arg->direction == MHC_IN)
            sum->parameters += (double)mhc_elements(c, arg);
}

struct costs costs_of(const struct params *p) {
    const struct connection *connection = params_connection(p);
    struct mhc_case c = {.T = COSTS_TOKENS,
                         .n = p->streams,
                         .C = COSTS_WIDTH,
                         .t_max = p->t_max,
                         .map = params_map(p),
                         .stream = MHC_F32,
                         .coef = MHC_F32,
                         .param = MHC_F32};
    params_map_constants(p, &c);
    struct costs sum = {0, 0, 0};
    add(&sum, connection->rows, "pre", &c, true);
    add(&sum, connection->rows, "post", &c, false);
    add(&sum, connection->rows, "post_backward_y", &c, false);
    add(&sum, connection->rows, "backward", &c, false);
    return sum;
}
