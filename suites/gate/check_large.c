/* Cases too large for the reference: arrays of more elements than 32 bits count. Random tokens lie at the start,
 * across the place where the count passes the limit, and at the end. Between them are zeros, which add nothing to
 * any sum. The row must make of these tokens what it makes of them alone, and the same gradients of parameters. */
#include "suites/gate/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/case/connections.h"

enum { GROUP = 16, GROUPS = 3, FEW = GROUP * GROUPS }; /* tokens */

/* The arrays of a case in the library's memory, by name. */
struct memory {
    const struct backend *b;
    const struct mhc_case *c;
    int64_t first[GROUPS]; /* where the groups of tokens start */
    struct array array[MHC_MAX_ARGS * 2];
    int count;
    void *save;
};

static bool is_per_token(const struct mhc_arg *arg) {
    return arg->extents[0] == 'T';
}

static int64_t per_token(const struct mhc_case *c, const struct mhc_arg *arg) {
    return mhc_elements(c, arg) / c->T;
}

/* Elements per token of one of the arrays that lie side by side in an argument. */
static int64_t of_one(const struct mhc_case *c, const struct mhc_arg *arg) {
    int64_t elements = per_token(c, arg);
    for (const char *letter = arg->extents + 1; *letter; letter++)
        elements /= mhc_is_beside(*letter) ? mhc_extent(c, *letter) : 1;
    return elements;
}

static void *find(const struct memory *m, const char *name) {
    for (int k = 0; k < m->count; k++)
        if (!strcmp(m->array[k].name, name))
            return m->array[k].pointer;
    return NULL;
}

/* Fills an array with one byte: 0, or 0xff, which is NaN in every type. */
static bool fill(const struct memory *m, void *to, int64_t bytes, int byte) {
    enum { STEP = 64 << 20 };
    bool good = true;
    if (!m->b->library->memory)
        return memset(to, byte, (size_t)bytes), true;
    void *stage = malloc(STEP);
    if (stage)
        memset(stage, byte, STEP);
    for (int64_t at = 0; good && stage && at < bytes; at += STEP)
        good = !m->b->library->memory->to_device(m->b->context, (char *)to + at, stage,
                                                 bytes - at < STEP ? bytes - at : STEP);
    free(stage);
    return good && stage;
}

/* Moves the values of the tokens in question, or all of an array without tokens, in the direction of `one`. */
static bool move(const struct memory *m, const struct mhc_arg *arg, double *values,
                 bool (*one)(const struct memory *, void *, double *, int64_t, int32_t)) {
    int32_t type = mhc_arg_type(m->c, arg);
    if (!is_per_token(arg))
        return one(m, find(m, arg->name), values, mhc_elements(m->c, arg), type);
    int64_t token = per_token(m->c, arg);
    for (int k = 0; k < GROUPS; k++)
        if (!one(m, (char *)find(m, arg->name) + m->first[k] * token * mhc_type_bytes(type), values + k * GROUP * token,
                 GROUP * token, type))
            return false;
    return true;
}
static bool up(const struct memory *m, void *at, double *values, int64_t count, int32_t type) {
    return backend_upload(m->b, at, values, count, type);
}
static bool down(const struct memory *m, void *at, double *values, int64_t count, int32_t type) {
    return backend_download(m->b, values, at, count, type);
}

/* Brings every argument of a row that is not there yet: inputs as drawn, outputs poisoned. */
static bool bring(struct memory *m, const struct mhc_row *row, const struct arrays *drawn) {
    for (const struct mhc_arg *arg = row->args; arg->name; arg++) {
        int64_t bytes = mhc_arg_bytes(m->c, arg);
        if (find(m, arg->name))
            continue;
        void *memory = backend_allocate(m->b, bytes);
        if (!memory)
            return false;
        m->array[m->count++] = (struct array){arg->name, memory};
        bool in = arg->direction == MHC_IN;
        if (!fill(m, memory, bytes, in ? 0 : 0xff) || (in && bytes && !move(m, arg, arrays_get(drawn, arg->name), up)))
            return false;
    }
    return true;
}

static void clear(struct memory *m) {
    for (int k = 0; k < m->count; k++)
        backend_release(m->b, m->array[k].pointer);
    backend_release(m->b, m->save);
}

/* Runs the rows in order on many tokens. `made` gets the outputs of the last row for the tokens in question. NULL,
 * or why not. */
static const char *run(const struct examination *e, const struct mhc_case *c, const int64_t first[GROUPS],
                       struct arrays *made) {
    struct memory m = {.b = e->backend, .c = c, .first = {first[0], first[1], first[2]}};
    int64_t save_bytes = row_save_bytes(e->row[0] ? e->row[0] : examined_row(e), c);
    const char *why = NULL;
    m.save = save_bytes ? backend_allocate(m.b, save_bytes) : NULL;
    why = save_bytes && !m.save ? "no memory for save" : NULL;
    for (int k = 0; k < e->rows && !why; k++) {
        int64_t bytes = row_work_bytes(e->row[k], c);
        void *work = bytes ? backend_allocate(m.b, bytes) : NULL;
        if (e->row[k])
            why = !bring(&m, e->row[k], &e->given) || (bytes && !work)
                      ? "no memory for its arrays"
                      : backend_run(m.b, e->row[k], c, m.array, m.count, m.save, work);
        backend_release(m.b, work);
    }
    for (const struct mhc_arg *arg = examined_row(e)->args; arg->name && !why; arg++)
        if (arg->direction == MHC_OUT) {
            int64_t count = is_per_token(arg) ? FEW * per_token(c, arg) : mhc_elements(c, arg);
            double *values = arrays_put(made, arg->name, count);
            why = values && move(&m, arg, values, down) ? NULL : "its outputs cannot be copied back";
        }
    clear(&m);
    return why;
}

static double case_bytes(const struct examination *e, const struct mhc_case *c) {
    double bytes = 0;
    for (int k = 0; k < e->rows; k++) {
        bytes += (double)(row_save_bytes(e->row[k], c) + row_work_bytes(e->row[k], c));
        for (const struct mhc_arg *arg = e->reference[k]->args; arg->name; arg++)
            bytes += (double)mhc_arg_bytes(c, arg);
    }
    return bytes;
}

/* The number of tokens, in whole groups, with which the largest array passes `elements`. */
static int64_t tokens_beyond(const struct mhc_row *row, const struct mhc_case *few, double elements,
                             int64_t *most_per_token) {
    *most_per_token = 0;
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        if (is_per_token(arg) && of_one(few, arg) > *most_per_token)
            *most_per_token = of_one(few, arg);
    return *most_per_token ? ((int64_t)(elements / (double)*most_per_token) / GROUP + 3) * GROUP : 0;
}

static void compare(struct checker *k, const struct trial *t, const struct mhc_row *row, const struct arrays *alone,
                    const struct arrays *among) {
    for (const struct mhc_arg *arg = row->args; arg->name; arg++) {
        if (arg->direction == MHC_IN)
            continue;
        struct finding f = finding_of(row, &t->c, arg, arrays_get(among, arg->name), arrays_get(alone, arg->name), 0,
                                      row->tolerance(&t->c));
        check(k, f.good, t, "`%s` element %lld of the tokens in question is %.9g among many tokens and %.9g alone",
              arg->name, (long long)f.element, f.got, f.want);
        k->worst[t->c.stream] = fmax(k->worst[t->c.stream], f.error / f.tolerance);
    }
}

bool large_run(struct checker *k, const struct subject *s, double elements, char why[MAX_FAILURE]) {
    bool on_host = !k->backend.library->memory;
    int64_t C = on_host ? 16 : 2048;
    struct trial t = {.c = {.T = FEW,
                            .n = connection_operation_has_one_stream(s->row->name) ? 1 : 4,
                            .C = C,
                            .S = GROUP,
                            .hidden = C,
                            .heads = C / 16,
                            .head_dim = 16,
                            .vocabulary = C,
                            .t_max = 20,
                            .rms_eps = 1e-6,
                            .activation = MHC_SWIGLU,
                            .stream = MHC_BF16,
                            .coef = MHC_F32,
                            .param = MHC_F32},
                      .seed = k->seed,
                      .logit_std = 1,
                      .x_scale = 1,
                      .grad_scale = 1,
                      .zero_token = -1,
                      .large_token = -1};
    const char *reason = "";
    if (!s->row->supports(&t.c, &reason))
        t.c.stream = MHC_F32;
    int64_t most, T = tokens_beyond(s->row, &t.c, elements, &most);
    struct mhc_case many = t.c;
    many.T = T;
    for (const struct mhc_arg *arg = s->row->args; arg->name; arg++)
        if (arg->role == MHC_SCALAR && T)
            return snprintf(why, MAX_FAILURE, "%s is a mean over all tokens", arg->name), false;
    if (!T || !s->row->supports(&t.c, &reason) || !s->row->supports(&many, &reason))
        return snprintf(why, MAX_FAILURE, "%s", T ? reason : "it has no tokens"), false;
    snprintf(t.text, sizeof t.text, "%s T=%lld n=%lld C=%lld: arrays to %.3g elements", type_words[t.c.stream],
             (long long)T, (long long)t.c.n, (long long)C, (double)(T * most));
    struct examination e;
    struct arrays among = {0};
    struct outcome alone = {0};
    const char *failed = trial_open(k, s, &t, &e);
    double needed = case_bytes(&e, &many), available = (double)backend_available(&k->backend);
    if (needed > 0.95 * available) {
        examine_close(&e);
        return snprintf(why, MAX_FAILURE, "it needs %.0f GB, there are %.0f", needed * 1e-9, available * 1e-9), false;
    }
    int64_t middle = (int64_t)(elements / (double)most) / GROUP * GROUP;
    if (!failed && !examine_run(&e, &examine_poison[0], &alone, why))
        failed = why;
    if (!failed)
        failed = run(&e, &many, (const int64_t[GROUPS]){0, middle > GROUP ? middle : GROUP, T - GROUP}, &among);
    if (check(k, !failed, &t, "%s", failed ? failed : ""))
        compare(k, &t, s->row, &alone.made, &among);
    snprintf(k->worst_text, sizeof k->worst_text, "%s", t.text);
    examine_close(&e);
    outcome_clear(&alone);
    arrays_clear(&among);
    return true;
}
