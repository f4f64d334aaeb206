/* Study `train` at work, between its files and their test: a model, its text and what is measured of it. */
#ifndef TRAIN_H
#define TRAIN_H

#include "results/digest.h"
#include "suites/stack/model.h"
#include "suites/study/probe.h"

/* ---- train_data.c: bytes and windows of them ---- */

/* The first `readable` bytes are for training, the rest is held out. */
struct train_text {
    unsigned char *bytes;
    int64_t size, readable;
};

/* Whether --input can serve: a file of which both parts hold a sequence and the byte behind it. */
bool train_text_check(const struct params *, char *why, size_t why_size);
bool train_text_read(struct train_text *, const struct params *, char *why, size_t why_size);
void train_text_release(struct train_text *);

/* Where the window of a row of the batch of a step, from 1, begins: a function of these, the seed and the text's
 * size, so that all connections of a seed read the same. */
int64_t train_window(const struct train_text *, const struct params *, int64_t step, int64_t row);
/* Where held-out window k of `count` begins: evenly spaced, the same for every case on that text. */
int64_t train_held_out_window(const struct train_text *, const struct params *, int64_t k, int64_t count);
/* Held-out windows on which a loss is measured: HELD_OUT_TOKENS, and at least those of --tokens, which come first. */
enum { HELD_OUT_TOKENS = 1024 };
int64_t train_held_out_windows(const struct params *);

/* ---- the learning rate of a step, from 1 ---- */
double train_rate(const struct params *, int64_t step);

/* ---- train.c: the programs, on one memory ---- */

enum { STEP, LOOK, JUDGE, PROJECTED, PROGRAMS = PROJECTED + RECORD_PROJECTIONS };
extern const int64_t train_t_max[RECORD_PROJECTIONS];

struct train {
    const struct params *p;
    const struct backend *backend;
    const struct study_context *context;
    struct study_result *result;
    struct trained_result *out;
    struct train_text text;
    struct program_memory memory;
    /* STEP: a step. LOOK: forward and backward on --tokens held-out tokens. JUDGE: the loss on all held-out windows,
     * PROJECTED and on: the same with another t_max. */
    struct program program[PROGRAMS];
    int64_t *window; /* where each sequence of the program that runs begins */
    int64_t step;    /* that runs; what was made before it: step - 1 updates */
    struct probe probe;
    double loss_sum, norm_sum, norm_most; /* of the steps since the last point */
    int64_t summed;
    struct {
        char path[STUDY_PATH]; /* of the checkpoint, "": none is kept */
        char text[DIGEST_SIZE];
        int64_t step; /* updates in front of the last one that was written or read; -1: there is none */
        double time;  /* when it was */
    } kept;
};

/* Composes the programs. NULL, or why they cannot be run; release in any case. */
const char *train_compose(struct train *, const struct params *, const struct backend *);
void train_release(struct train *);
/* The same with LOOK alone. */
const char *train_compose_look(struct train *, const struct params *, const struct backend *);
/* Takes the memory, reads the text and fills the parameters. NULL, or why not. */
const char *train_open(struct train *);
/* Makes an update; the loss and the gradient's norm in front of it. NULL, or why it failed. */
const char *train_step(struct train *, double *loss, double *norm);
/* Runs a program on held-out windows, with what is to be called behind every call, or NULL; the loss. */
typedef const char *train_after(void *user, const struct program *, const struct program_call *);
const char *train_run_held_out(struct train *, int program, train_after *, double *loss);

/* ---- train_measure.c ---- */

/* Adds a point to t->out, behind step - 1 updates, unless the held-out loss is no number. NULL, or why it failed. */
const char *train_measure(struct train *, double *held_out);
/* Has t->probe look at a program: behind every call of LOOK. */
const char *train_look(void *user, const struct program *, const struct program_call *);
/* At the end: other t_max, quarters switched off. */
const char *train_measure_end(struct train *);

/* ---- maps.c ---- */

/* Keeps the maps of a case, where that is asked for; pre and post may be NULL. NULL, or why they cannot be written. */
const char *maps_keep(const struct study_context *, int64_t T, const double *res, const double *pre,
                      const double *post);
/* Measures the maps of a case with --from, res [L][T][n][n], and keeps them. NULL, or why not. */
const char *maps_result(const struct study_context *, const double *res, const double *pre, const double *post,
                        struct study_result *);

/* ---- train_replay.c: a trained model as an ensemble, for studies maps and propagate with --from ---- */

void train_replay(const struct study_context *, struct study_result *);
bool train_replay_estimate(const struct params *, double *needed, double *available, char *why, size_t why_size);
double train_replay_flops(const struct params *);

/* ---- train_keep.c: checkpoints on the disk ---- */

/* Whether a case has none, or one to go on from. */
bool train_keep_check(const struct params *, const struct study_keeping *, char *why, size_t why_size);
/* Goes on from the checkpoint of the case, if there is one: t->kept.step says from where. NULL, or why not. */
const char *train_keep_open(struct train *);
/* Writes one where it is time to, or at the end. NULL, or why it cannot be written; the last one stays. */
const char *train_keep(struct train *, bool at_end);

#endif
