/* A trained model as the ensemble of another study: its parameters are those of a checkpoint, its tokens the held-out
 * ones that training is measured on. Study maps takes the maps alone, on cpu64; propagate the whole stack, there and
 * back from the gradient of the loss. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/checkpoint.h"
#include "suites/case/from.h"
#include "suites/study/train.h"
#include "suites/study/train_file.h"

enum { LINE = 250 };

/* The case that the model was trained as, with what this one asks of it. */
static const char *describe(const struct params *p, const struct checkpoint *c, struct params *model) {
    static _Thread_local char why[LINE];
    char detail[LINE];
    const char *key = checkpoint_fact(c, "case");
    if (!key || !from_read_key(model, key, detail, sizeof detail) || model->study != STUDY_TRAIN)
        return "--from is not a checkpoint of study train";
    for (int k = 0; k < params_count; k++) { /* the file may be another by now */
        char here[PARAM_TEXT_SIZE], there[PARAM_TEXT_SIZE];
        params_text(p, &params_table[k], here, sizeof here);
        params_text(model, &params_table[k], there, sizeof there);
        if (params_knows(p, &params_table[k]) && params_table[k].role & ROLE_MODEL && strcmp(here, there))
            return snprintf(why, sizeof why, "the model of --from has --%s %.80s, and not %.80s",
                            params_option(&params_table[k]), there, here),
                   why;
    }
    bool maps = p->study == STUDY_MAPS;
    model->tokens = p->tokens;
    model->t_max = p->t_max;
    model->record = p->record;
    model->measure = maps ? p->measure & (PROBE_OF_MAPS | MHC_GROUP_LOGIT) : p->measure;
    model->gradient = maps ? 0 : p->gradient;
    model->type = p->type;
    model->backend = maps ? params_keep("cpu64") : p->backend;
    model->input = p->input;
    if (p->tokens % model_sequence(model))
        return snprintf(why, sizeof why, "--tokens %lld is not a multiple of the model's --sequence %lld",
                        (long long)p->tokens, (long long)model_sequence(model)),
               why;
    return NULL;
}

struct replay {
    struct checkpoint *c;
    struct params model;
    struct train t;
};

static const char *compose(struct replay *o, const struct params *p) {
    const struct backend *b;
    *o = (struct replay){.c = checkpoint_read(p->from)};
    const char *why = o->c ? describe(p, o->c, &o->model) : record_error();
    why = why ? why : backend_use(o->model.backend, &b);
    return why ? why : train_compose_look(&o->t, &o->model, b);
}

static void release(struct replay *o) {
    train_release(&o->t);
    checkpoint_release(o->c);
}

static const char *open_model(struct replay *o) {
    static _Thread_local char line[LINE];
    char digest[DIGEST_SIZE];
    const char *why = train_open(&o->t), *trained = checkpoint_fact(o->c, "text");
    if (why)
        return why;
    digest_bytes(o->t.text.bytes, (size_t)o->t.text.size, digest);
    if (!trained || strcmp(trained, digest))
        return snprintf(line, sizeof line, "--input %.150s is not the text that the model was trained on",
                        o->model.input),
               line;
    why = train_parts_give(o->c, &o->t.memory, false);
    return why ? snprintf(line, sizeof line, "--from is no checkpoint of this model: %s", why), line : NULL;
}

static const char *run(struct replay *o, const struct study_context *context, struct study_result *r) {
    struct train *t = &o->t;
    double loss;
    const char *why = open_model(o);
    if (why)
        return why;
    t->result = r;
    t->probe = (struct probe){.p = &o->model, .spec = &t->program[LOOK].spec, .result = r, .gradient = t->memory.host};
    why = probe_open(&t->probe) ? train_run_held_out(t, LOOK, train_look, &loss) : "out of memory";
    const struct mhc_depth depth = probe_depth(&t->probe);
    if (!why && t->probe.res && !study_measure_maps(&o->model, &depth, r))
        why = "out of memory";
    if (!why && t->probe.res)
        why = maps_keep(context, o->model.tokens, t->probe.res, t->probe.pre, t->probe.post);
    probe_close(&t->probe);
    return why;
}

void train_replay(const struct study_context *context, struct study_result *r) {
    struct replay o;
    const char *why = compose(&o, context->p);
    why = why ? why : run(&o, context, r);
    if (why)
        snprintf(r->reason, sizeof r->reason, "%s", why);
    release(&o);
}

bool train_replay_estimate(const struct params *p, double *needed, double *available, char *why, size_t why_size) {
    struct replay o;
    const char *no = compose(&o, p);
    no = no || train_text_check(&o.model, why, why_size) ? no : why;
    if (!no) {
        double T = (double)p->tokens, maps = (double)(p->depth * p->streams * (p->streams + 2));
        *needed = o.t.memory.set_bytes + 8 * T * (maps + 3 * (double)(p->streams * o.model.width)) +
                  mhc_measure_bytes(p->depth, p->tokens, p->streams);
        *available = (double)backend_available(o.t.backend);
    }
    if (no && no != why)
        snprintf(why, why_size, "%s", no);
    release(&o);
    return !no;
}

double train_replay_flops(const struct params *p) {
    struct replay o;
    double flops = compose(&o, p) ? 0 : program_flops(&o.t.program[LOOK], STEP_ALL);
    release(&o);
    return flops + study_measure_flops(p, p->tokens);
}
