#include "suites/command/run_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "results/record.h"
#include "suites/case/options.h"
#include "suites/worker/pool.h"
#include "suites/worker/progress.h"

/* What a worker is doing. */
struct running {
    const struct job *job; /* NULL: nothing */
    struct study_call call;
    double since;
};

struct state {
    struct case_run *run;
    struct running *running;    /* [at_once] */
    int64_t next;               /* of the jobs */
    const struct job *finished; /* the job whose result waits to be written while its worker computes the next case; or
                                 * NULL */
    struct study_result result;
    double estimated, busy; /* of the cases done: seconds by the estimates, and of their workers */
    bool broken;
    const struct worker *workers;  /* [at_once] */
    int64_t gathered;              /* cases written that do not count yet */
    double begin, told, committed; /* when the first case began, a line was last written, cases last came to count */
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int running_now(const struct state *s) {
    int count = 0;
    for (int k = 0; k < s->run->at_once; k++)
        count += s->running[k].job != NULL;
    return count;
}

/* Seconds to the end: the estimates, in the measure of the cases done, spread over the workers. */
static double seconds_left(const struct state *s) {
    const struct case_run *run = s->run;
    const double scale = s->estimated > 0 ? s->busy / s->estimated : 1;
    double sum = 0;
    int64_t cases = running_now(s);
    for (int k = 0; k < run->at_once; k++)
        if (s->running[k].job) {
            double here = scale * s->running[k].job->seconds - (now() - s->running[k].since);
            sum += here > 0 ? here : 0;
        }
    for (int64_t k = s->next; k < run->count; k++, cases++)
        sum += scale * run->job[k].seconds;
    return cases ? sum / (double)(cases < run->at_once ? cases : run->at_once) : 0;
}

static const struct params *params_of(const struct state *s, const struct job *job) {
    return &s->run->suite->cases[job->number];
}

/* "[12/400, 1 failed, 2 running] 3.4/s, ETA 01:23". */
static void put_state(const struct state *s, char *text, size_t size) {
    const struct case_run *run = s->run;
    const long long done = (long long)(run->done + run->kept), total = (long long)(run->count + run->kept);
    size_t used = (size_t)snprintf(text, size, "[%lld/%lld", done, total);
    if (run->failed)
        used += (size_t)snprintf(text + used, size - used, ", %lld failed", (long long)run->failed);
    if (run->at_once > 1 && done < total)
        used += (size_t)snprintf(text + used, size - used, ", %d running", running_now(s));
    snprintf(text + used, size - used, "]");
    progress_append_rate(text, size, run->done, now() - s->begin, done < total ? seconds_left(s) : -1);
}

/* One rewritten line on a terminal. */
static void put_line(struct state *s, const char *behind, const char *key, bool last) {
    enum { WIDTH = 60 };
    char text[160];
    put_state(s, text, sizeof text);
    if (progress_on_terminal())
        fprintf(stderr, "\r\033[K%s  %s  %.*s%s", text, behind, WIDTH, key, last ? "\n" : "");
    else
        fprintf(stderr, "%s  %s  %s\n", text, behind, key);
    s->told = now();
}

/* A case has ended: a line at most once a second, and for the last of all. */
static void tell_end(struct state *s, const char *key, double seconds) {
    const struct case_run *run = s->run;
    char behind[40];
    const bool last = run->done == run->count;
    if (run->quiet || (!last && now() - s->told < (progress_on_terminal() ? 0.1 : 1.0)))
        return;
    snprintf(behind, sizeof behind, "%.2f s", seconds);
    put_line(s, behind, key, last);
}

/* If no case has ended for a while, says what the longest-running one is doing. */
static void tell_stage(struct state *s) {
    const double silence = 1.4; /* asked twice a second, it makes a line every two */
    const struct running *longest = NULL;
    char stage[WORKER_STAGE], behind[40 + WORKER_STAGE];
    if (s->run->quiet || now() - s->told < silence)
        return;
    for (int k = 0; k < s->run->at_once; k++)
        if (s->running[k].job && (!longest || s->running[k].since < longest->since))
            longest = &s->running[k];
    if (!longest)
        return;
    worker_stage(&s->workers[longest - s->running], stage);
    snprintf(behind, sizeof behind, "%.0f s, %s", now() - longest->since, *stage ? stage : "begins");
    put_line(s, behind, longest->job->key, false);
}

static void break_off(struct state *s) {
    s->broken = true;
    cannot("%s", record_error());
}

/* Makes the cases written count. */
static void commit(struct state *s) {
    if (s->gathered && !s->broken && !s->run->commit(s->run->user))
        break_off(s);
    if (!s->broken)
        s->run->done += s->gathered;
    s->gathered = 0;
    s->committed = now();
}

/* Short cases come to count together, others at once. */
static bool is_due(const struct state *s) {
    const double together = 0.1;
    return now() - s->committed >= together || s->run->done + s->gathered == s->run->count;
}

/* Writes the result that waits, if there is one. */
static void settle(struct state *s) {
    struct case_run *run = s->run;
    const struct study_result *r = &s->result;
    const char *key = s->finished ? s->finished->key : NULL;
    if (!key)
        return;
    if (!s->broken && !run->write(run->user, params_of(s, s->finished), key, r, false))
        break_off(s);
    if (!s->broken) {
        s->gathered++;
        run->failed += r->reason[0] != 0;
        run->diverged += r->trained && r->trained->is.diverged;
        if (r->reason[0])
            fprintf(stderr, "%s%s: failed: %s\n", progress_on_terminal() ? "\r\033[K" : "", key, r->reason);
        if (is_due(s))
            commit(s);
    }
    if (!s->broken)
        tell_end(s, key, r->seconds);
    study_release(&s->result);
    s->finished = NULL;
}

static bool next(void *user, int worker, struct message *request) {
    struct state *s = user;
    struct case_run *run = s->run;
    double needed = 0;
    if (run->at_once == 1)
        settle(s); /* it may be a timing that comes next */
    if (s->next == run->count || *run->stopped || s->broken)
        return false;
    for (int k = 0; k < run->at_once; k++)
        needed += s->running[k].job ? s->running[k].job->bytes : 0;
    if (needed > 0 && needed + run->job[s->next].bytes > run->bytes)
        return false;
    struct running *here = &s->running[worker];
    here->job = &run->job[s->next++];
    if (params_has(params_of(s, here->job), STUDY_TIMES)) /* beside which nothing is written */
        commit(s);
    here->since = now();
    study_call_begin(&here->call, params_of(s, here->job), run->keeping, request);
    return true;
}

static bool partial(void *user, int worker, struct message *m) {
    struct state *s = user;
    struct running *here = &s->running[worker];
    const struct study_result *so_far = study_call_checkpoint(&here->call, m);
    /* A failed write is reported again at the end of the case; a signal may have come meanwhile. */
    return so_far && s->run->write(s->run->user, params_of(s, here->job), here->job->key, so_far, true) &&
           !*s->run->stopped;
}

/* A device that failed once may fail every later case: then the worker ends too. */
static bool final(void *user, int worker, struct message *reply, const char *why) {
    struct state *s = user;
    struct running *here = &s->running[worker];
    settle(s);
    study_call_end(&here->call, reply, why, &s->result);
    bool good = !s->result.reason[0];
    s->finished = here->job;
    s->estimated += here->job->seconds;
    s->busy += now() - here->since;
    here->job = NULL;
    if (!reply && *s->run->stopped) { /* ended by the signal, not by itself */
        study_release(&s->result);
        s->finished = NULL;
    }
    return good;
}

static bool go_on(void *user) {
    struct state *s = user;
    settle(s);
    if (is_due(s))
        commit(s);
    tell_stage(s);
    return !s->broken && !*s->run->stopped;
}

/* Writes what the running workers have sent so far. */
static void forget(struct state *s) {
    struct study_result unfinished;
    for (int k = 0; k < s->run->at_once; k++)
        if (s->running[k].job) {
            study_call_end(&s->running[k].call, NULL, "interrupted", &unfinished);
            study_release(&unfinished);
        }
}

bool run_cases(struct case_run *run, struct worker *first) {
    struct state s = {.run = run, .begin = now(), .told = now()};
    struct worker *workers = calloc((size_t)run->at_once, sizeof *workers);
    s.running = calloc((size_t)run->at_once, sizeof *s.running);
    bool good = workers && s.running;
    if (good) {
        if (run->single)
            worker_stop(first);
        else
            workers[0] = *first, *first = (struct worker){0};
        for (int k = 0; k < run->at_once; k++)
            workers[k].single = run->single;
        s.workers = workers;
        const struct pool_user user = {next, partial, final, go_on, &s};
        good = pool_run(workers, run->at_once, run->timeout, &user);
        commit(&s);
        forget(&s);
    }
    for (int k = 0; workers && k < run->at_once; k++)
        worker_stop(&workers[k]);
    free(workers);
    free(s.running);
    if (!good)
        return cannot("out of memory"), false;
    return !s.broken;
}
