/* Small models for the tests of study train, and a text of theirs. */
#ifndef TRAIN_EXAMPLE_H
#define TRAIN_EXAMPLE_H

#include "tests/check.h"

#include <omp.h>
#include <unistd.h>

#include "suites/study/train.h"

static const char *const names[] = {"resnet", "skip",     "hc",     "hc-static", "mhc", "identity",
                                    "kromhc", "mhc-lite", "go-mhc", "tbp-mhc",   "shc", "c-mhc"};
enum { NAMES = sizeof names / sizeof *names };

static char path[64];

/* A text with something to learn: words that repeat. */
static inline void make_text(int64_t size) {
    snprintf(path, sizeof path, "/tmp/test_train.XXXXXX");
    int descriptor = mkstemp(path);
    FILE *file = fdopen(descriptor, "wb");
    cr_assert(file);
    for (int64_t k = 0; k < size; k++)
        fputc("the quick brown fox jumps over it. "[(k + k / 700) % 35], file);
    cr_assert(!fclose(file));
}

static inline void remove_text(void) {
    unlink(path);
}

static inline void set(struct params *p, const char *name, const char *value) {
    char why[300];
    cr_assert(params_set(p, params_find(name), value, why, sizeof why), "%s", why);
}

/* Two transformer blocks. */
static inline struct params small(const char *connection) {
    struct params p;
    params_defaults(&p);
    omp_set_num_threads(1); /* arrays of a few dozen numbers */
    set(&p, "study", "train");
    set(&p, "block", connection);
    set(&p, "activation", "gelu");
    set(&p, "input", path);
    p.depth = 4, p.streams = connection_has_one_stream(params_connection(&p)) ? 1 : 4;
    p.width = 8, p.sequence = 6, p.tokens = 12, p.heads = 2, p.head_dim = 4, p.hidden = 10, p.t_max = 20;
    p.batch = 2, p.steps = 4, p.warm_up = 2, p.alpha = 0.1;
    return p;
}

static inline void open_train(struct train *t, const struct params *p, struct backend *b) {
    char why[300];
    cr_assert(backend_open(b, p->backend, why, sizeof why), "%s", why);
    const char *failed = train_compose(t, p, b);
    failed = failed ? failed : train_open(t);
    cr_assert(!failed, "%s: %s", params_connection(p)->name, failed);
}

/* The held-out loss in front of the first step. */
static inline double start_of(const struct params *p) {
    struct train t;
    struct backend b;
    double loss;
    open_train(&t, p, &b);
    cr_assert(!train_run_held_out(&t, JUDGE, NULL, &loss));
    train_release(&t);
    backend_close(&b);
    return loss;
}

#endif
