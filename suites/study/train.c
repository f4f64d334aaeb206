/* Study `train`: small language models, trained, and what becomes of their connections.
 *
 * A run is its steps in order; the state is in the flat arrays of the program's memory and in the step's number alone,
 * as every random number is a function of (seed, step, row) or (seed, name, layer). */
#include "suites/study/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cpu_ref/adamw.h"

const int64_t train_t_max[RECORD_PROJECTIONS] = {5, 10, 20, 50, 100, 1000};

/* ---- the programs ---- */

/* A step fuses across layers where the backend can; what is looked at has every connection as a row of its own. */
static bool fuses(const struct program_spec *spec, const struct params *p) {
    const char *why, *rows = params_connection(p)->rows;
    return backend_row(spec->backend, rows, "post_pre", &spec->c, &why) &&
           backend_row(spec->backend, rows, "backward_y", &spec->c, &why);
}

static struct program_spec spec_of(const struct train *t, int program) {
    const struct params *p = t->p;
    int64_t S = model_sequence(p);
    int64_t tokens = program == STEP ? p->batch * S : program == LOOK ? p->tokens : S * train_held_out_windows(p);
    struct program_spec spec = model_spec(p, t->backend, tokens);
    spec.adamw = program == STEP;
    spec.backward = program == STEP || (program == LOOK && p->gradient != 0);
    if (program == STEP && fuses(&spec, p))
        spec.form = PROGRAM_ACROSS;
    if (program >= PROJECTED)
        spec.c.t_max = train_t_max[program - PROJECTED];
    return spec;
}

/* Programs that a case has. */
static int programs(const struct params *p) {
    return connection_has_sinkhorn(params_connection(p)) ? PROGRAMS : PROJECTED;
}

static const char *compose(struct train *t, const struct params *p, const struct backend *b, int from, int to) {
    static _Thread_local char message[240];
    *t = (struct train){.p = p, .backend = b};
    for (int k = from; k < to; k++) {
        const struct program_spec spec = spec_of(t, k);
        const char *why = program_compose(&t->program[k], &spec, &t->memory);
        if (why)
            return snprintf(message, sizeof message, "%s", why), message;
    }
    return NULL;
}

const char *train_compose(struct train *t, const struct params *p, const struct backend *b) {
    return compose(t, p, b, 0, programs(p));
}

const char *train_compose_look(struct train *t, const struct params *p, const struct backend *b) {
    return compose(t, p, b, LOOK, LOOK + 1);
}

void train_release(struct train *t) {
    for (int k = 0; k < PROGRAMS; k++)
        program_release(&t->program[k]);
    if (t->memory.backend)
        program_memory_release(&t->memory);
    train_text_release(&t->text);
    free(t->window);
    t->window = NULL;
}

/* ---- what it is given ---- */

static void fill_hyper(const struct train *t, enum parameter_group group, double *hyper) {
    const struct params *p = t->p;
    bool connection = group == GROUP_CONNECTION;
    hyper[ADAMW_RATE] = train_rate(p, t->step) * (connection ? p->connection_factor : 1);
    hyper[ADAMW_BETA1] = 0.9;
    hyper[ADAMW_BETA2] = 0.95;
    hyper[ADAMW_EPSILON] = p->epsilon;
    hyper[ADAMW_DECAY] = connection ? p->connection_decay : group == GROUP_MATRICES ? p->decay : 0;
    hyper[ADAMW_CLIP] = p->clip;
    hyper[ADAMW_STEP] = (double)t->step;
}

static const char *give(void *user, const struct program_array *a, double *values) {
    const struct train *t = user;
    bool targets = !strcmp(a->argument, "targets");
    int64_t S = model_sequence(t->p);
    if (!strcmp(a->argument, "hyper"))
        fill_hyper(t, (enum parameter_group)a->layer, values);
    else if (targets || !strcmp(a->argument, "tokens"))
        for (int64_t k = 0; k < a->count; k++)
            values[k] = t->text.bytes[t->window[k / S] + k % S + targets];
    else
        model_parameter(t->p, a, values);
    return NULL;
}

/* Reads a scalar that a program has left. */
static const char *scalar(const struct train *t, const struct program *program, const char *name, double *value) {
    int64_t at = program_find(&program->arrays, name, -1);
    return at >= 0 && backend_read(t->backend, value, program_pointer(program, at, 0, 0), sizeof *value)
               ? NULL
               : "a number cannot be copied from the device";
}

const char *train_open(struct train *t) {
    static _Thread_local char why[300];
    int64_t held_out = train_held_out_windows(t->p);
    if (!train_text_read(&t->text, t->p, why, sizeof why))
        return why;
    t->window = malloc((size_t)(t->p->batch > held_out ? t->p->batch : held_out) * sizeof *t->window);
    const char *failed = t->window ? program_memory_open(&t->memory, 1) : "out of memory";
    t->step = 1;
    return failed ? failed : program_memory_fill(&t->memory, give, t);
}

const char *train_step(struct train *t, double *loss, double *norm) {
    const struct program *program = &t->program[STEP];
    const struct program_owner owner = {t, give, NULL};
    for (int64_t row = 0; row < t->p->batch; row++)
        t->window[row] = train_window(&t->text, t->p, t->step, row);
    const char *why = program_execute(program, &owner);
    why = why ? why : scalar(t, program, "loss", loss);
    why = why ? why : scalar(t, program, "norm", norm);
    program_memory_turn(&t->memory);
    t->step++;
    return why;
}

const char *train_run_held_out(struct train *t, int program, train_after *after, double *loss) {
    int64_t count = train_held_out_windows(t->p);
    const struct program_owner owner = {t, give, after};
    for (int64_t k = 0; k < count; k++)
        t->window[k] = train_held_out_window(&t->text, t->p, k, count);
    const char *why = program_execute(&t->program[program], &owner);
    return why ? why : scalar(t, &t->program[program], "loss", loss);
}

/* ---- a run ---- */

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* What there is so far goes to the parent, once a second at most. */
static void tell(const struct train *t, double *last) {
    char missing[80];
    if (now() - *last < 1)
        return;
    *last = now();
    snprintf(missing, sizeof missing, "%lld of %lld steps done", (long long)t->out->is.steps, (long long)t->p->steps);
    study_checkpoint(t->context, t->result, missing);
}

/* A step, timed, and what the next point will say of it. */
static const char *step(struct train *t, double *seconds, double *loss) {
    double norm = 0, began = now();
    const char *why = train_step(t, loss, &norm);
    *seconds += now() - began;
    t->loss_sum += *loss;
    t->norm_sum += norm;
    t->norm_most = fmax(t->norm_most, norm);
    t->summed++;
    return why;
}

/* Until all steps are done or a loss is no number. */
static const char *run_steps(struct train *t) {
    struct record_training *is = &t->out->is;
    double seconds = is->steps ? is->seconds_per_step * (double)is->steps : 0, loss = 0, last = now();
    for (;;) {
        bool measures = trained_is_point(t->p, is->steps) && is->steps != t->kept.step, ends = is->steps == t->p->steps;
        const char *why = measures ? train_measure(t, &loss) : NULL;
        why = why || !isfinite(loss) ? why : train_keep(t, ends);
        if (why || !isfinite(loss) || ends) {
            is->diverged = isfinite(loss) ? 0 : is->steps + 1;
            return why;
        }
        tell(t, &last);
        worker_at("step", is->steps + 1, t->p->steps);
        if ((why = step(t, &seconds, &loss)) != NULL)
            return why;
        if (!isfinite(loss)) {
            is->diverged = is->steps + 1;
            return NULL;
        }
        is->seconds_per_step = seconds / (double)++is->steps;
    }
}

static const char *train(struct train *t) {
    const char *why = run_steps(t);
    if (!why && t->out->is.points == 0)
        why = "the loss is no number at the start";
    return why || t->out->is.diverged ? why : train_measure_end(t);
}

static const char *open_case(struct train *t, const struct study_context *context, struct study_result *r) {
    const struct backend *b;
    const char *why = backend_use(context->p->backend, &b);
    why = why ? why : train_compose(t, context->p, b);
    why = why ? why : train_open(t);
    if (why)
        return why;
    t->context = context;
    t->result = r;
    t->out = r->trained = trained_new(context->p);
    t->probe = (struct probe){.p = t->p, .spec = &t->program[LOOK].spec, .result = r, .gradient = t->memory.host};
    return t->out && probe_open(&t->probe) ? train_keep_open(t) : "out of memory";
}

static void run(const struct study_context *context, struct study_result *r) {
    struct train t = {.p = context->p};
    const char *why = open_case(&t, context, r);
    why = why ? why : train(&t);
    if (why)
        snprintf(r->reason, sizeof r->reason, "%s", why);
    if (t.probe.spec)
        probe_close(&t.probe);
    train_release(&t);
}

/* ---- what it takes ---- */

/* A point of the record may take so many bytes, that a reader will have it. */
static const double MOST_RECORD = 32 << 20;

static bool estimate(const struct params *p, double *needed, double *available, char *why, size_t why_size) {
    const struct backend *b;
    struct train t = {0};
    const char *no = train_text_check(p, why, why_size) ? backend_use(p->backend, &b) : why;
    double T = (double)p->tokens, maps = (double)(p->depth * p->streams * p->streams);
    if (!no && trained_bytes(p) > MOST_RECORD)
        no = "so many measurements are too large for a record: --every with more steps";
    if (!no && !(no = train_compose(&t, p, b))) {
        *needed = t.memory.set_bytes + trained_bytes(p) + 8 * T * (maps + 3 * (double)(p->streams * p->width)) +
                  mhc_measure_bytes(p->depth, p->tokens, p->streams);
        *available = (double)backend_available(b);
    }
    train_release(&t);
    if (no && no != why)
        snprintf(why, why_size, "%s", no);
    return !no;
}

static double flops(const struct params *p) {
    const struct backend *b;
    struct train t = {0};
    double sum = 0;
    if (!backend_use(p->backend, &b) && !train_compose(&t, p, b)) {
        double looks = program_flops(&t.program[LOOK], STEP_ALL) + program_flops(&t.program[JUDGE], STEP_ALL) +
                       study_measure_flops(p, p->tokens);
        sum = (double)p->steps * program_flops(&t.program[STEP], STEP_ALL) + (double)trained_points(p) * looks;
    }
    train_release(&t);
    return sum;
}

const struct study study_train = {.run = run, .estimate = estimate, .flops = flops, .resumes = train_keep_check};
