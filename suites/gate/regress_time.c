/* How long do two libraries take, side by side in one process? */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "suites/gate/regress_looks.h"
#include "suites/rows/yardstick.h"
#include "suites/timing/timing.h"

enum subject { OLD, NEW, COPY, SUBJECTS };

#define HOST_SAMPLE 3e-4 /* s; short, because on a busy machine most longer samples lose the CPU on the way */
#define MORE_LOOKS 0.5   /* of the budget, at most, for looks at further calls */
#define ALIKE 0.2        /* shares of preempted samples that are closer than this are alike */

/* The timing loop knows one clock, but each library has its own. A sample starts the clock of its subject at the
 * first call. The queues of the others are idle then. */
struct relay {
    struct timing_clock clock[2];
    const struct timing_clock *running;
    struct subject_user *subject; /* of the sample */
    bool hold;                    /* its queue before it starts */
    int64_t calls;                /* of the subjects that share their memory */
    uint64_t random;              /* unknown to any library */
};
struct subject_user {
    int side; /* of its library */
    struct relay *relay;
    const struct timing_clock *clock;
    struct bound_row row;
    bool shared;
    struct looks *looks; /* at its calls; NULL: none */
};

static const char *relay_run(void *user, int64_t set) {
    struct subject_user *s = user;
    const char *why = NULL;
    if (!s->relay->running) {
        regress_mark(s->side);
        s->relay->subject = s;
        why = s->looks ? looks_spoil(s->looks, &s->row, s->shared ? s->relay->calls : set, &s->relay->random) : NULL;
        s->relay->running = s->clock;
        why = why ? why : s->relay->hold ? s->clock->hold(s->clock->user) : NULL;
        why = why ? why : s->clock->start(s->clock->user);
        s->relay->hold = false;
    }
    if (s->looks)
        s->looks->calls++;
    if (s->shared) /* each call takes the next set, whichever side it is of: the coldest one */
        set = s->relay->calls++ % s->row.sets;
    return why ? why : bound_row_run(&s->row, set);
}
static const char *relay_start(void *user) {
    ((struct relay *)user)->running = NULL;
    return NULL;
}
static const char *relay_stop(void *user, double *seconds) {
    const struct relay *r = user;
    const char *why = r->running->stop(r->running->user, seconds);
    return why || !r->subject->looks ? why : looks_judge(r->subject->looks, &r->subject->row);
}
static const char *relay_hold(void *user) {
    ((struct relay *)user)->hold = true;
    return NULL;
}
static const char *relay_release(void *user) {
    const struct timing_clock *running = ((struct relay *)user)->running;
    return running ? running->release(running->user) : NULL;
}
static void relay_pause(void *user, double seconds) {
    const struct timing_clock *any = ((struct relay *)user)->clock;
    any->pause(any->user, seconds);
}
static double relay_now(void *user) {
    const struct timing_clock *any = ((struct relay *)user)->clock;
    return any->now(any->user);
}
static int64_t relay_preemptions(void *user) {
    const struct timing_clock *any = ((struct relay *)user)->clock;
    return any->preemptions(any->user);
}
static double relay_frequency(void *user) {
    const struct timing_clock *running = ((struct relay *)user)->running;
    return running->frequency(running->user);
}

static bool relay_held_in_vain(void *user) {
    const struct timing_clock *running = ((struct relay *)user)->running;
    return running->held_in_vain(running->user);
}

static bool open_relay(struct relay *r, const struct regress_case side[2], struct timing_clock *clock, char *why,
                       size_t size) {
    *r = (struct relay){0};
    if (getrandom(&r->random, sizeof r->random, GRND_NONBLOCK) != sizeof r->random || !r->random)
        r->random = (uint64_t)(1e9 * worker_now());
    for (int s = 0; s < 2; s++)
        if (!timing_clock_open(&r->clock[s], side[s].e.backend, why, size))
            return false;
    *clock = (struct timing_clock){.user = r, .start = relay_start, .stop = relay_stop, .now = relay_now};
    if (r->clock[0].preemptions && r->clock[1].preemptions)
        clock->preemptions = relay_preemptions;
    if (r->clock[0].frequency && r->clock[1].frequency)
        clock->frequency = relay_frequency;
    if (r->clock[0].hold && r->clock[1].hold) {
        clock->hold = relay_hold;
        clock->release = relay_release;
        clock->held_in_vain = relay_held_in_vain;
    }
    if (r->clock[0].pause)
        clock->pause = relay_pause;
    return true;
}

static const char *bind(struct subject_user *s, const struct params *p, const struct examination *e) {
    regress_mark(s->side);
    return kernel_case_bind(&s->row, p, e, &e->before.save);
}

static const char *bind_copy(struct subject_user *s, const struct params *p, const struct examination *e) {
    struct mhc_case c = yardstick_copy_case(&e->c, examined_row(e)->traffic(&e->c));
    const struct mhc_row *row = yardstick_row(e->backend, "copy", &c);
    if (!row)
        return NULL;
    regress_mark(s->side);
    return bound_row_open(&s->row, e->backend, row, &c, kernel_case_sets(p, e->backend, bound_row_bytes(row, &c, 0)),
                          NULL, NULL);
}

/* Where arrays lie can favour a side for as long as they lie there, by 10 % and more. So on the host both sides work
 * in turn on the same arrays, work included. If the row writes save, the side that runs writes it. If it reads save
 * and the libraries keep something different there, each side has its own, in the other order in every other
 * measurement. */
static const char *bind_shared(struct subject_user *subject, const struct regress_case side[2], struct looks looks[2],
                               const struct regress_question *q) {
    struct save its[2], all[DRAWS] = {{0}};
    int64_t at[2], most = 0;
    for (int s = 0; s < 2; s++) {
        const struct examination *e = &side[s].e;
        its[s] = e->before.save;
        its[s].count = bound_row_save(examined_row(e), &e->c, &e->before.save);
        its[s].bytes = examined_row(e)->save_bytes ? NULL : its[s].bytes;
    }
    bool same = (!its[OLD].bytes && !its[NEW].bytes) ||
                (its[OLD].bytes && its[NEW].bytes && its[OLD].count == its[NEW].count &&
                 !memcmp(its[OLD].bytes, its[NEW].bytes, (size_t)its[OLD].count));
    int first = q->measurement % 2 ? NEW : OLD;
    at[first] = 0;
    at[!first] = same ? 0 : backend_aligned(its[first].count);
    for (int s = 0; s < 2; s++)
        most = at[s] + its[s].count > most ? at[s] + its[s].count : most;
    const char *why = NULL;
    for (int d = 0; d < DRAWS && !why; d++) {
        all[d] = (struct save){calloc(1, (size_t)most + 1), most};
        why = all[d].bytes ? NULL : "out of memory";
        for (int s = 0; s < 2 && !why; s++)
            if (its[s].bytes)
                memcpy(all[d].bytes + at[s], (d ? &side[s].twin : &side[s].e)->before.save.bytes, (size_t)its[s].count);
    }
    why = why ? why : kernel_case_bind(&subject[OLD].row, &q->p, &side[REGRESS_BASE].e, &all[0]);
    for (int s = 0; s < 2 && !why; s++)
        why = looks_open(&looks[s], &subject[OLD].row, &side[s], &side[REGRESS_BASE], all);
    for (int d = 0; d < DRAWS; d++)
        free(all[d].bytes);
    int64_t saves = subject[OLD].row.save_offset;
    subject[OLD].row.save_offset = saves + at[OLD];
    subject[OLD].shared = subject[NEW].shared = true;
    regress_mark(REGRESS_NEW);
    return why ? why
               : bound_row_share(&subject[NEW].row, &subject[OLD].row, side[REGRESS_NEW].e.backend,
                                 examined_row(&side[REGRESS_NEW].e), saves + at[NEW]);
}

static const char *bind_own(struct subject_user *s, const struct regress_case *c, struct looks *l,
                            const struct params *p) {
    const struct save save[DRAWS] = {c->e.before.save, c->twin.before.save};
    const char *why = bind(s, p, &c->e);
    return why ? why : looks_open(l, &s->row, c, c, save);
}

/* On devices memory need not be shared: each side has its own, in the other order in every other measurement. */
static const char *bind_all(struct subject_user *subject, const struct regress_case side[2], struct looks looks[2],
                            const struct regress_question *q) {
    int first = q->measurement % 2;
    const char *why;
    if (!side[0].e.backend->library->memory && !side[1].e.backend->library->memory)
        why = bind_shared(subject, side, looks, q);
    else {
        why = bind_own(&subject[first], &side[first], &looks[first], &q->p);
        why = why ? why : bind_own(&subject[!first], &side[!first], &looks[!first], &q->p);
    }
    for (int s = 0; s < 2 && !why; s++)
        subject[s].looks = &looks[s];
    return why ? why : bind_copy(&subject[COPY], &q->p, &side[REGRESS_BASE].e);
}

/* Whether both are still right after they were timed, on inputs that they did not have last. The new one is asked
 * first. */
static const char *still_right(struct subject_user *subject, struct regress_answer *answer) {
    for (int s = REGRESS_NEW; s >= REGRESS_BASE; s--) {
        const struct bound_row *b = &subject[s].row;
        struct looks *l = subject[s].looks;
        const char *why = NULL;
        struct accuracy a;
        regress_mark(s);
        for (int d = 0; d < DRAWS && !why; d++) {
            why = backend_write(b->backend, b->slab, l->image[d], b->set_bytes) ? NULL : "its arrays cannot be filled";
            why = why ? why : bound_row_finish(&subject[s].row, 0);
            why = why ? why : examine_set(l->draw[d], b, 0, &a);
        }
        if (why) {
            answer->after = true;
            return why;
        }
    }
    return NULL;
}

static double share_flagged(const struct timing *t, int subject, int flag) {
    return timing_flagged(t->flags + subject * t->room, t->rounds, flag);
}

/* Pairs of rounds; those of several measurements lie one behind the other. */
struct kept {
    double *old, *new;
    int8_t *old_place, *new_place;
    int64_t count, room;
};

static bool kept_room(struct kept *k, int64_t room) {
    if (room <= k->room)
        return true;
    double *old = realloc(k->old, (size_t)room * sizeof *old), *new = realloc(k->new, (size_t)room * sizeof *new);
    int8_t *old_place = realloc(k->old_place, (size_t)room), *new_place = realloc(k->new_place, (size_t)room);
    k->old = old ? old : k->old, k->new = new ? new : k->new;
    k->old_place = old_place ? old_place : k->old_place, k->new_place = new_place ? new_place : k->new_place;
    bool good = old && new &&old_place &&new_place;
    k->room = good ? room : k->room;
    return good;
}

static struct mhc_pairs kept_pairs(const struct kept *k, int64_t from) {
    return (struct mhc_pairs){k->new + from, k->old + from, k->new_place + from, k->old_place + from, k->count - from};
}

/* Adds the pairs of rounds that lost no CPU on the way, or all if there are too few of these. If one side is
 * preempted much more often than the other, its own threads may push each other aside; then no pair is left out. */
static void keep_undisturbed(const struct timing *t, struct kept *k) {
    double more = share_flagged(t, NEW, TIMING_PREEMPTED) - share_flagged(t, OLD, TIMING_PREEMPTED);
    int64_t before = k->count;
    for (int whatever = fabs(more) > ALIKE; whatever < 2; whatever++) {
        k->count = before;
        for (int64_t round = 0; round < t->rounds; round++) {
            int64_t a = OLD * t->room + round, b = NEW * t->room + round;
            if (!whatever && (t->flags[a] | t->flags[b]) & TIMING_PREEMPTED)
                continue;
            k->old[k->count] = t->seconds[a], k->new[k->count] = t->seconds[b];
            k->old_place[k->count] = t->order[a], k->new_place[k->count++] = t->order[b];
        }
        if (k->count - before >= MHC_LEAST_ROUNDS)
            break;
    }
}

/* `answer` gets what this measurement says and, from the second one on, what all say together. */
static bool summarise(const struct timing *t, int measurement, struct regress_answer *answer) {
    static struct kept kept;
    kept.count = measurement ? kept.count : 0;
    int64_t before = kept.count, room = before + t->rounds;
    double *work = malloc((2 * (size_t)room + 2 * MHC_RESAMPLES) * sizeof *work);
    if (!work || !kept_room(&kept, room))
        return free(work), false;
    keep_undisturbed(t, &kept);
    const struct mhc_pairs here = kept_pairs(&kept, before), all = kept_pairs(&kept, 0);
    answer->rounds = here.count;
    answer->change = mhc_paired_change(&here, work);
    answer->together = measurement ? mhc_paired_change(&all, work) : answer->change;
    answer->copies = NAN;
    if (t->subjects > COPY)
        answer->copies =
            mhc_ratio_interval(t->seconds + OLD * t->room, t->seconds + COPY * t->room, t->rounds, work).median;
    answer->throttled = fmax(share_flagged(t, OLD, TIMING_THROTTLED), share_flagged(t, NEW, TIMING_THROTTLED));
    answer->not_held = fmax(share_flagged(t, OLD, TIMING_NOT_HELD), share_flagged(t, NEW, TIMING_NOT_HELD));
    free(work);
    return true;
}

/* Seconds of the new library's median call. */
static double median_call(const struct timing *t) {
    double *work = malloc((size_t)t->rounds * sizeof *work), median = NAN;
    if (work && t->rounds) {
        memcpy(work, t->seconds + NEW * t->room, (size_t)t->rounds * sizeof *work);
        median = mhc_median_interval(work, t->rounds).median;
    }
    free(work);
    return median;
}

const char *regress_case_time(const struct regress_case side[2], const struct regress_question *q,
                              struct regress_answer *answer) {
    static char message[200];
    struct relay relay;
    struct timing_clock clock;
    struct timing t = {0};
    struct looks looks[2] = {{.draw = {NULL}}};
    struct subject_user subject[SUBJECTS] = {{REGRESS_BASE, .relay = &relay, .clock = &relay.clock[REGRESS_BASE]},
                                             {REGRESS_NEW, .relay = &relay, .clock = &relay.clock[REGRESS_NEW]},
                                             {REGRESS_BASE, .relay = &relay, .clock = &relay.clock[REGRESS_BASE]}};
    struct timing_subject subjects[SUBJECTS];
    const struct backend *paced =
        side[side[REGRESS_BASE].e.backend->library->queues ? REGRESS_BASE : REGRESS_NEW].e.backend;
    int64_t patience = (int64_t)1 << q->measurement; /* a case that was not settled gets more time */
    struct timing_rules rules = timing_rules_for(paced, patience * q->p.rounds, (double)patience * q->p.budget);
    if (!paced->library->queues)
        rules.sample_seconds = HOST_SAMPLE;
    rules.alike = COPY;
    rules.seed = (uint64_t)q->p.seed * 1000 + (uint64_t)q->measurement;
    const char *why = open_relay(&relay, side, &clock, message, sizeof message) ? NULL : message;
    why = why ? why : bind_all(subject, side, looks, q);
    for (int s = 0; s < SUBJECTS; s++)
        subjects[s] = (struct timing_subject){
            .run = relay_run, .user = &subject[s], .sets = subject[s].row.sets, .launches = BOUND_ROW_LAUNCHES};
    why = why ? why : timing_run(&t, subjects, subject[COPY].row.row ? SUBJECTS : COPY, &rules, &clock);
    if (!why && !summarise(&t, q->measurement, answer))
        why = "out of memory";
    if (!why) {
        regress_mark(REGRESS_NEW);
        why = looks_complete(&looks[NEW], &subject[NEW].row, MORE_LOOKS * (double)q->p.budget, &relay.random);
        answer->after = why != NULL;
    }
    why = why ? why : still_right(subject, answer);
    answer->vary = looks[NEW].vary && !looks[OLD].vary;
    if (!why && subject[COPY].row.row)
        why = kernel_case_too_fast(&side[REGRESS_NEW].e, median_call(&t), &subject[COPY].row, subject[COPY].clock,
                                   &answer->too_fast);
    timing_release(&t);
    for (int s = SUBJECTS - 1; s >= 0; s--)
        bound_row_close(&subject[s].row);
    for (int s = 0; s < 2; s++) {
        looks_close(&looks[s]);
        timing_clock_close(&relay.clock[s]);
    }
    return why;
}
