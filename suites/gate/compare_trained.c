/* Trained stacks of two records: value by value where both ran the same arithmetic, else by statements over seeds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/case/options.h"
#include "suites/case/params.h"
#include "suites/gate/compare.h"

/* How far log10 of a forward gain that is 1 in exact arithmetic may be from 0. */
#define ROUNDING_OF_ONE 1e-3

static const char seed_option[] = " --seed ";

/* --- which way --- */

static bool trained(struct record_reader *file, int64_t index) {
    const char *const *study = record_texts(file, "study"), *const *status = record_texts(file, "status");
    return study && !strcmp(study[index], "train") && !strcmp(status[index], "done") && record_points(file, index) > 0;
}

static bool both_trained(const struct compare *c, const int64_t index[2]) {
    return index[COMPARE_BASE] >= 0 && index[COMPARE_NEW] >= 0 && trained(c->file[COMPARE_BASE], index[COMPARE_BASE]) &&
           trained(c->file[COMPARE_NEW], index[COMPARE_NEW]);
}

/* Columns that say what the bits of training depend on, except the BLAS kernels. */
static const char *const origins[][2] = {{"origin_revision", "revision"},
                                         {"origin_build", "build"},
                                         {"origin_library", "library"},
                                         {"origin_cpu", "type of CPU"}};

static const char *text_of(struct record_reader *file, const char *column, int64_t index) {
    const char *const *texts = record_texts(file, column);
    return texts ? texts[index] : NULL;
}

/* Writes what of it differs or is unknown in a pair of cases, "another build". `why` stays as it is if nothing does. */
static void say_difference(const struct compare *c, const int64_t index[2], char *why, size_t size) {
    const char *text[2];
    for (size_t k = 0; k < sizeof origins / sizeof *origins; k++) {
        for (int f = 0; f < 2; f++)
            text[f] = text_of(c->file[f], origins[k][0], index[f]);
        if (!text[0] || !text[1] || strcmp(text[0], text[1])) {
            snprintf(why, size, "%s %s", text[0] && text[1] ? "another" : "an unknown", origins[k][1]);
            return;
        }
    }
    const int64_t *base = record_ints(c->file[COMPARE_BASE], "origin_threads");
    const int64_t *now = record_ints(c->file[COMPARE_NEW], "origin_threads");
    for (int f = 0; f < 2; f++)
        text[f] = record_fact_called(c->file[f], "openblas_core");
    if (!base || !now || base[index[COMPARE_BASE]] != now[index[COMPARE_NEW]])
        snprintf(why, size, "%s number of threads", base && now ? "another" : "an unknown");
    else if (!text[0] || !text[1] || strcmp(text[0], text[1]))
        snprintf(why, size, "%s BLAS core", text[0] && text[1] ? "another" : "an unknown");
}

void compare_trained_decide(struct compare *c) {
    int64_t pairs = 0;
    char *why = c->trained.why;
    for (int64_t k = 0; k < c->keys[COMPARE_BASE].count && !*why; k++) {
        const int64_t index[2] = {k, compare_partner(&c->keys[COMPARE_NEW], &c->keys[COMPARE_BASE], k)};
        if (!both_trained(c, index))
            continue;
        pairs++;
        say_difference(c, index, why, sizeof c->trained.why);
    }
    size_t used = strlen(c->report.note), room = sizeof c->report.note - used;
    if (*why)
        snprintf(c->report.note + used, room, "trained stacks: compared by statements over seeds (%s)\n", why);
    else if (pairs)
        snprintf(c->report.note + used, room,
                 "trained stacks: compared value by value (equal build, threads, type of CPU and BLAS core)\n");
}

/* --- value by value --- */

/* The members of struct record_training with one value per point. */
static const struct {
    const char *name;
    size_t place;
} series[] = {
#define SERIES(member) \
    { #member, offsetof(struct record_training, member) }
    SERIES(loss),          SERIES(held_out_loss),  SERIES(gradient_norm),      SERIES(gradient_norm_max),
    SERIES(rate),          SERIES(alpha),          SERIES(alpha_max),          SERIES(logit_range),
    SERIES(mean_diagonal), SERIES(row_sum_spread), SERIES(smallest_column_sum)};

static const double *series_of(const struct record_training *t, int k) {
    return *(double *const *)((const char *)t + series[k].place);
}

/* [metrics][layers] of each file, whose metrics may stand in another order. */
static void note_curves(struct compare *c, int64_t layers, const char *at, const double *base, const double *now,
                        struct values *v) {
    char name[120];
    for (int m = 0; m < record_metric_count(c->file[COMPARE_BASE]); m++) {
        const char *metric = record_metric(c->file[COMPARE_BASE], m);
        int other = record_metric_called(c->file[COMPARE_NEW], metric);
        snprintf(name, sizeof name, "%s %s", metric, at);
        for (int64_t l = 0; l < layers && other >= 0; l++)
            compare_note(v, mhc_metric_of(metric), name, l + 1, base[m * layers + l], now[other * layers + l]);
    }
}

static void note_end(struct compare *c, int64_t layers, const struct record_training is[2], struct values *v) {
    const int64_t curve[2] = {record_metric_count(c->file[0]) * layers, record_metric_count(c->file[1]) * layers};
    char at[40];
    for (int k = 0; k < RECORD_PROJECTIONS; k++) {
        if (!is[COMPARE_BASE].t_max[k] || is[COMPARE_BASE].t_max[k] != is[COMPARE_NEW].t_max[k])
            continue;
        snprintf(at, sizeof at, "at t_max %lld", (long long)is[COMPARE_BASE].t_max[k]);
        compare_note(v, MHC_METRICS, at, 0, is[0].t_max_held_out_loss[k], is[1].t_max_held_out_loss[k]);
        note_curves(c, layers, at, is[0].t_max_curves + k * curve[0], is[1].t_max_curves + k * curve[1], v);
    }
    for (int k = 0; k < 4; k++)
        compare_note(v, MHC_METRICS, "held_out_loss_without_quarter", 0, is[0].held_out_loss_without_quarter[k],
                     is[1].held_out_loss_without_quarter[k]);
}

bool compare_trained_values(struct compare *c, const int64_t index[2], struct gate_row *r, struct values *v) {
    const int64_t layers = record_ints(c->file[COMPARE_BASE], "layers")[index[COMPARE_BASE]];
    const int64_t curve[2] = {record_metric_count(c->file[0]) * layers, record_metric_count(c->file[1]) * layers};
    struct record_training is[2];
    char text[80];
    if (!both_trained(c, index))
        return true;
    if (!record_training(c->file[0], index[0], &is[0]) || !record_training(c->file[1], index[1], &is[1]) ||
        is[0].points != is[1].points || memcmp(is[0].step, is[1].step, (size_t)is[0].points * sizeof *is[0].step)) {
        r->verdict = MHC_INVALID;
        r->fails = true;
        return gate_say(r, "it was measured at other steps, or ended at another"), false;
    }
    for (int64_t point = 0; point < is[0].points; point++) {
        snprintf(text, sizeof text, "at step %lld", (long long)is[0].step[point]);
        note_curves(c, layers, text, is[0].curves + point * curve[0], is[1].curves + point * curve[1], v);
        for (size_t k = 0; k < sizeof series / sizeof *series; k++) {
            snprintf(text, sizeof text, "%s at step %lld", series[k].name, (long long)is[0].step[point]);
            compare_note(v, MHC_METRICS, text, 0, series_of(&is[0], (int)k)[point], series_of(&is[1], (int)k)[point]);
        }
    }
    note_end(c, layers, is, v);
    return true;
}

/* --- by statements --- */

bool compare_trained_leaves(const struct compare *c, const int64_t index[2]) {
    return c->trained.why[0] && both_trained(c, index);
}

/* A copy of a key without its seed. NULL: out of memory. */
static char *without_seed(const char *key) {
    char *text = strdup(key);
    compare_take_out(text, seed_option);
    return text;
}

bool compare_trained_take(struct compare *c, const int64_t index[2]) {
    struct compare_trained *t = &c->trained;
    if (t->count == t->room) {
        int64_t room = t->room ? 2 * t->room : 64;
        struct compare_pair *grown = realloc(t->pair, (size_t)room * sizeof *grown);
        if (!grown)
            return cannot("out of memory"), false;
        t->pair = grown;
        t->room = room;
    }
    struct compare_pair *p = &t->pair[t->count];
    *p = (struct compare_pair){without_seed(c->keys[COMPARE_NEW].text[index[COMPARE_NEW]]), {index[0], index[1]}};
    if (!p->group)
        return cannot("out of memory"), false;
    t->count++;
    return true;
}

/* Sorts groups together, in the order of the base within each. */
static int by_group(const void *left, const void *right) {
    const struct compare_pair *a = left, *b = right;
    int order = strcmp(a->group, b->group);
    int64_t x = a->index[COMPARE_BASE], y = b->index[COMPARE_BASE];
    return order ? order : (x > y) - (x < y);
}

/* What the seeds of one file say. */
struct stand {
    struct mhc_mean loss, held_out; /* of runs that did not end */
    struct mhc_range forward, backward;
    double off_one; /* the largest |log10| of a forward gain */
    int64_t ended;
};

static double gain_of(struct record_reader *file, const struct record_training *is, int64_t layers, const char *name) {
    int m = record_metric_called(file, name);
    if (m < 0 || is->diverged)
        return NAN;
    const double *curve = is->curves + ((is->points - 1) * record_metric_count(file) + m) * layers;
    double most = curve[0];
    for (int64_t l = 1; l < layers; l++)
        most = curve[l] > most || isnan(curve[l]) ? curve[l] : most;
    return most;
}

/* false: out of memory. */
static bool stand_of(const struct compare *c, int f, const struct compare_pair *pair, int64_t count, struct stand *s) {
    double *forward = malloc((size_t)(2 * count) * sizeof *forward), *backward = forward + count;
    *s = (struct stand){.off_one = 0};
    for (int64_t k = 0; forward && k < count; k++) {
        const int64_t layers = record_ints(c->file[f], "layers")[pair[k].index[f]];
        struct record_training is;
        forward[k] = backward[k] = NAN;
        if (!record_training(c->file[f], pair[k].index[f], &is))
            continue;
        forward[k] = gain_of(c->file[f], &is, layers, "composite_forward_sum");
        backward[k] = gain_of(c->file[f], &is, layers, "composite_backward_sum");
        s->ended += is.diverged > 0;
        if (is.diverged)
            continue;
        mhc_mean_add(&s->loss, is.loss[is.points - 1]);
        mhc_mean_add(&s->held_out, is.held_out_loss[is.points - 1]);
        s->off_one = isnan(forward[k]) ? INFINITY : fmax(s->off_one, fabs(forward[k]));
    }
    if (!forward)
        return cannot("out of memory"), false;
    s->forward = mhc_range_of(forward, count);
    s->backward = mhc_range_of(backward, count);
    free(forward);
    return true;
}

/* Whether the rows of its maps sum to 1 whatever was trained, so that the forward gain is 1. */
static bool forward_is_one(struct record_reader *file, int64_t index) {
    const struct connection *connection = connection_find(text_of(file, "block", index));
    return connection && (connection->generator == GENERATOR_NONE || connection->generator == GENERATOR_MHC);
}

static bool fail(struct gate_row *r) {
    r->verdict = MHC_INVALID;
    r->fails = true;
    return false;
}

static bool loss_stands(struct gate_row *r, const char *name, const struct mhc_mean *base, const struct mhc_mean *now) {
    if (mhc_errors_apart(base, now) <= MHC_MOST_ERRORS)
        return true;
    gate_say(r, "%s over seeds is %.6g ± %.2g, was %.6g ± %.2g: more than %d standard errors apart", name,
             mhc_mean_of(now), mhc_mean_error(now), mhc_mean_of(base), mhc_mean_error(base), MHC_MOST_ERRORS);
    return fail(r);
}

static bool gain_stands(struct gate_row *r, const char *name, struct mhc_range base, struct mhc_range now) {
    if (mhc_ranges_agree(base, now))
        return true;
    gate_say(r,
             "%s gain, log10 over seeds, is %.3g [%.3g, %.3g], was %.3g [%.3g, %.3g]: a median outside the other range",
             name, now.median, now.least, now.most, base.median, base.least, base.most);
    return fail(r);
}

/* Nothing can be said of one seed, nor if runs ended early in one file and not in the other. */
static bool unsettled(struct gate_row *r, const struct stand s[2]) {
    if (s[COMPARE_BASE].ended == s[COMPARE_NEW].ended && isfinite(mhc_mean_error(&s[COMPARE_BASE].loss)) &&
        isfinite(mhc_mean_error(&s[COMPARE_NEW].loss)))
        return false;
    r->verdict = MHC_AMBIGUOUS;
    r->open = true;
    if (s[COMPARE_BASE].ended != s[COMPARE_NEW].ended)
        gate_say(r, "%lld runs ended with a loss that is no number, were %lld", (long long)s[COMPARE_NEW].ended,
                 (long long)s[COMPARE_BASE].ended);
    else
        gate_say(r, "statements need two seeds whose loss stayed a number: there are %lld, and were %lld",
                 (long long)s[COMPARE_NEW].loss.count, (long long)s[COMPARE_BASE].loss.count);
    return true;
}

static void judge_group(struct compare *c, const struct compare_pair *pair, const struct stand s[2],
                        struct gate_row *r) {
    const char *text[2];
    for (int f = 0; f < 2; f++)
        text[f] = text_of(c->file[f], "origin_input", pair->index[f]);
    if (text[0] && text[1] && strcmp(text[0], text[1])) {
        gate_say(r, "trained on another text: its SHA-256 is %.12s, was %.12s", text[1], text[0]);
        fail(r);
        return;
    }
    if (forward_is_one(c->file[COMPARE_NEW], pair->index[COMPARE_NEW]) &&
        !(s[COMPARE_NEW].off_one <= ROUNDING_OF_ONE)) {
        gate_say(r, "the forward gain of maps whose rows sum to 1 is not 1: log10 is off by %.2g",
                 s[COMPARE_NEW].off_one);
        fail(r);
        return;
    }
    if (unsettled(r, s) || !loss_stands(r, "held-out loss", &s[0].held_out, &s[1].held_out) ||
        !loss_stands(r, "training loss", &s[0].loss, &s[1].loss) ||
        !gain_stands(r, "forward", s[0].forward, s[1].forward) ||
        !gain_stands(r, "backward", s[0].backward, s[1].backward))
        return;
    gate_say(r, "statements agree: held-out loss %.4g (was %.4g), gain forward %.3g (%.3g), backward %.3g (%.3g)",
             mhc_mean_of(&s[1].held_out), mhc_mean_of(&s[0].held_out), pow(10, s[1].forward.median),
             pow(10, s[0].forward.median), pow(10, s[1].backward.median), pow(10, s[0].backward.median));
}

/* Writes a key that has no seed with " --seed 1,2,3" behind it. */
static void with_seeds(struct record_reader *file, int f, const struct compare_pair *pair, int64_t count,
                       const char *key, char *text, size_t size) {
    const int64_t *seed = record_ints(file, "seed");
    size_t used = (size_t)snprintf(text, size, "%s%s", key, seed_option);
    for (int64_t k = 0; k < count && used < size; k++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", k ? "," : "",
                                 seed ? (long long)seed[pair[k].index[f]] : 1);
}

static bool add_group(struct compare *c, const struct compare_pair *pair, int64_t count) {
    enum { SIZE = 8192 };
    static char name[SIZE], key[SIZE];
    struct stand s[2];
    struct record_reader *file = c->file[COMPARE_NEW];
    char *plain = without_seed(record_texts(file, "key")[pair->index[COMPARE_NEW]]);
    if (!plain)
        return cannot("out of memory"), false;
    with_seeds(file, COMPARE_NEW, pair, count, pair->group, name, sizeof name);
    with_seeds(file, COMPARE_NEW, pair, count, plain, key, sizeof key);
    free(plain);
    struct gate_row *r = compare_row(c, name, key);
    if (!r || !stand_of(c, COMPARE_BASE, pair, count, &s[0]) || !stand_of(c, COMPARE_NEW, pair, count, &s[1]))
        return false;
    judge_group(c, pair, s, r);
    return true;
}

bool compare_trained_judge(struct compare *c) {
    struct compare_trained *t = &c->trained;
    if (t->count)
        qsort(t->pair, (size_t)t->count, sizeof *t->pair, by_group);
    for (int64_t k = 0, count; k < t->count; k += count) {
        for (count = 1; k + count < t->count && !strcmp(t->pair[k].group, t->pair[k + count].group); count++)
            ;
        if (!add_group(c, t->pair + k, count))
            return false;
    }
    return true;
}

void compare_trained_release(struct compare_trained *t) {
    for (int64_t k = 0; k < t->count; k++)
        free(t->pair[k].group);
    free(t->pair);
    *t = (struct compare_trained){.pair = NULL};
}
