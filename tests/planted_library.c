/* A library of a few right rows and, where BUG says so, one wrong in one way: tests/test_emu.c builds it once for
 * every bug, which `mhcbench check` must find. Without BUG it must find nothing. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cpu_ref/operations.h"

enum bug {
    NO_BUG,
    ONE_ELEMENT,      /* the last of all is a hundredth too large */
    NOT_A_NUMBER,     /* where a number belongs */
    MISSING_WRITE,    /* of one element */
    BEHIND,           /* writes one element past the end */
    FAR_BEHIND,       /* writes the 401st */
    BEFORE,           /* writes one element before the start */
    CHANGES_INPUT,    /* in one element */
    CHANGES_LAST_BIT, /* in every second run */
    READS_OUTPUT,     /* adds to what was there */
    READS_WORK,       /* which no call has written */
    WORK_OVERRUN,
    SAVE_OVERRUN,
    CHANGES_SAVE, /* in backward, which may only read it */
    NO_GRAPH,     /* fails while it is captured */
    FAILS,        /* and says why */
    CRASHES,
    OTHER_FORM,    /* mhc-micro.post adds in another order than mhc.post */
    OTHER_ARGS,    /* two arguments changed places */
    FAR_AWAY,      /* the last element of more than 10,000 */
    NO_ORACLE,     /* a row that cpu64 does not know */
    SUPPORTS_NONE, /* of the cases */
    HANGS,
    A_THOUSANDTH, /* of every element too much */
    ONE_BIT,      /* the last one of the last element */
    ENDS,         /* the process, as if all were well */
    ALLOWS_MORE,  /* a hundredth too much, and a tolerance that lets it pass */
    ALLOWS_ALL,   /* whatever it makes */
    ONE_TOKEN,    /* not a number where there is but one */
    KILLED,       /* as a system does that runs out of memory */
    LATER_FAILS,  /* after some calls, so that it is seen while it is timed */
    LATER_CRASHES,
    LATER_HANGS,
    LATER_ENDS,
    SLEEPS,         /* for a second, every call, after some */
    NAPS,           /* once, for half of the time limit that a test gives it */
    SPOILS,         /* what a library with SPOILED needs, after some calls */
    SPOILED,        /* fails then */
    MORE_WORK,      /* asks for twice the memory */
    HUGE_WORK,      /* asks for more than any machine has */
    FAILS_ONCE,     /* after some calls, in one process and in no other */
    PLACES,         /* says where its memory lies, after some calls */
    SUPPORTS_HANGS, /* of mhc.post */
    OPEN_HANGS,
    CLOSE_HANGS,
    OPENS_ONCE, /* in one folder; and crashes */
};
#ifndef BUG
#define BUG NO_BUG
#endif

enum { SOME_CALLS = 2000 }; /* more than are made before a row is timed */
static int runs;

/* The graph of one call of mhc.post; other rows run at once. */
static bool capturing;
static struct call {
    struct mhc_case c;
    void *arg[5], *work;
} kept_call;

static void hang(void) {
    for (volatile int wait = 1; wait;)
        ;
}

static bool supports(const struct mhc_case *c, const char **why) {
    if (c->stream != MHC_F32 || c->map == MHC_IDENTITY || BUG == SUPPORTS_NONE)
        return *why = "not today", false;
    return true;
}
static bool one_stream(const struct mhc_case *c, const char **why) {
    if (c->n != 1)
        return *why = "n must be 1", false;
    return supports(c, why);
}
static bool post_supports(const struct mhc_case *c, const char **why) {
    if (BUG == SUPPORTS_HANGS)
        hang();
    return supports(c, why);
}
static double tolerance(const struct mhc_case *c) {
    (void)c;
    return BUG == ALLOWS_MORE ? 0.04 : BUG == ALLOWS_ALL ? 1 : 1e-3;
}
static int64_t sixteen(const struct mhc_case *c) {
    (void)c;
    return 16;
}
static int64_t work_of(const struct mhc_case *c) {
    (void)c;
    return BUG == MORE_WORK ? 32 : BUG == HUGE_WORK ? (int64_t)1 << 43 : 16;
}

/* x_next = res.x + post^T.y, with the bug in its last element. */
static void plain_post(const struct mhc_case *c, float *x, const float *y, const float *post, const float *res,
                       float *x_next, bool other_order) {
    int64_t n = c->n, C = c->C;
    for (int64_t t = 0; t < c->T; t++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < C; k++) {
                double sum = 0;
                float mine = post[t * n + i] * y[t * C + k];
                for (int64_t j = 0; j < n; j++)
                    sum += (double)res[(t * n + i) * n + j] * (double)x[(t * n + j) * C + k];
                x_next[(t * n + i) * C + k] = other_order ? (float)sum + mine : (float)(sum + (double)mine);
            }
}

static void say_places(const char *what, int64_t place) {
    FILE *file = fopen("places", "a");
    if (file) {
        fprintf(file, "%s %lld\n", what, (long long)place);
        fclose(file);
    }
}

/* What bugs make of a right answer; `kept` is what lay in the last element of the output before the call. */
static void spoil_answer(const struct mhc_case *c, float *x, float *x_next, float kept, void *work) {
    int64_t last = c->T * c->n * c->C - 1;
    switch (BUG) {
    case ONE_ELEMENT: x_next[last] += 0.01f + 0.01f * x_next[last] * x_next[last]; break;
    case ONE_TOKEN:
        x_next[last] /= c->T > 1;
        x_next[last] *= c->T > 1;
        break;
    case FAR_AWAY: x_next[last] += last > 10000 ? 1 : 0; break;
    case NOT_A_NUMBER: x_next[last] = 0.0f / (x_next[last] - x_next[last]); break;
    case MISSING_WRITE: x_next[last] = kept; break;
    case BEHIND: x_next[last + 1] = 0; break;
    case FAR_BEHIND: x_next[last + 401] = 0; break;
    case BEFORE: x_next[-1] = 0; break;
    case CHANGES_INPUT: x[last] += 1; break;
    case CHANGES_LAST_BIT: ((uint32_t *)x_next)[last] ^= (uint32_t)runs % 2; break;
    case READS_OUTPUT: x_next[last] = kept == kept ? x_next[last] + kept : kept; break;
    case READS_WORK: x_next[last] += ((uint8_t *)work)[0] == 0xff ? 1e-5f : 0; break;
    case A_THOUSANDTH:
        for (int64_t k = 0; k <= last; k++)
            x_next[k] *= 1.001f;
        break;
    case ALLOWS_MORE:
        for (int64_t k = 0; k <= last; k++)
            x_next[k] *= 1.01f;
        break;
    case ONE_BIT: ((uint32_t *)x_next)[last] ^= 1; break;
    case WORK_OVERRUN: ((uint8_t *)work)[16] = 0; break;
    default: break;
    }
}

static int post(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)save;
    int64_t last = c->T * c->n * c->C - 1;
    float *x = arg[0], *x_next = arg[4], kept = x_next[last];
    if (capturing) {
        kept_call = (struct call){*c, {arg[0], arg[1], arg[2], arg[3], arg[4]}, work};
        return BUG == NO_GRAPH;
    }
    runs++;
    if (BUG == FAILS)
        return 1;
    if (BUG == CRASHES || BUG == OPENS_ONCE)
        abort();
    if (BUG == ENDS)
        exit(0);
    if (BUG == KILLED)
        kill(getpid(), SIGKILL);
    if (BUG == SLEEPS && runs > SOME_CALLS)
        sleep(1);
    if (BUG == NAPS && runs == SOME_CALLS)
        usleep(2200000);
    if (runs == SOME_CALLS && BUG == PLACES)
        say_places("work", (int64_t)work);
    if (runs > SOME_CALLS && BUG == SPOILS)
        setenv("SPOILT", "1", 1);
    if ((BUG == SPOILED && getenv("SPOILT")) || (runs > SOME_CALLS && BUG == LATER_FAILS))
        return 1;
    if (runs == SOME_CALLS + 1 && BUG == FAILS_ONCE && access("failed", F_OK))
        return fclose(fopen("failed", "w")), 1;
    if (runs > SOME_CALLS && BUG == LATER_CRASHES)
        abort();
    if (runs > SOME_CALLS && BUG == LATER_ENDS)
        exit(0);
    if (BUG == HANGS || (BUG == LATER_HANGS && runs > SOME_CALLS))
        hang();
    plain_post(c, x, arg[1], arg[2], arg[3], x_next, false);
    spoil_answer(c, x, x_next, kept, work);
    return 0;
}

static int micro_post(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    plain_post(c, arg[0], arg[1], arg[2], arg[3], arg[4], BUG == OTHER_FORM);
    return 0;
}

static int pre(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)work;
    static int calls;
    if (++calls == SOME_CALLS && BUG == PLACES)
        say_places("save", (char *)save - (char *)arg[0]);
    for (int64_t k = 0; k < c->T * c->C; k++)
        ((float *)arg[1])[k] = ((const float *)arg[0])[k];
    for (int k = 0; k < 16 + (BUG == SAVE_OVERRUN); k++)
        ((uint8_t *)save)[k] = (uint8_t)k;
    return 0;
}

/* grad_x = grad_x_next + grad_u, and wrong where pre has not kept what it should. */
static int backward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)work;
    static int calls;
    if (++calls == SOME_CALLS && BUG == PLACES)
        say_places("save", (char *)save - (char *)arg[0]);
    for (int64_t k = 0; k < c->T * c->C; k++)
        ((float *)arg[2])[k] = ((uint8_t *)save)[k % 16] == k % 16
                                   ? ((const float *)arg[0])[k] + ((const float *)arg[1])[k]
                                   : 0;
    if (BUG == CHANGES_SAVE)
        ((uint8_t *)save)[0] = 1;
    return 0;
}

static const struct mhc_arg other_args[] = {
    {.name = "x", .extents = "TnC", .role = MHC_STREAM, .direction = MHC_IN},
    {.name = "y", .extents = "TnC", .role = MHC_STREAM, .direction = MHC_IN},
    {.name = "post", .extents = "Tn", .role = MHC_COEF, .direction = MHC_IN},
    {.name = "res", .extents = "TnN", .role = MHC_COEF, .direction = MHC_IN},
    {.name = "x_next", .extents = "TnC", .role = MHC_STREAM, .direction = MHC_OUT},
    {.name = NULL}};

static const struct mhc_row mhc_post = {.name = BUG == NO_ORACLE ? "mhc.past" : "mhc.post",
                                        .args = BUG == OTHER_ARGS ? other_args : op_mhc_post_args,
                                        .supports = post_supports,
                                        .work_bytes = work_of,
                                        .traffic = op_mhc_post_traffic,
                                        .flops = op_mhc_post_flops,
                                        .tolerance = tolerance,
                                        .run = post};
static const struct mhc_row mhc_micro_post = {MHC_OPERATION(mhc_micro_post), .supports = supports,
                                              .tolerance = tolerance, .run = micro_post};
static const struct mhc_row resnet_pre = {MHC_OPERATION(resnet_pre), .supports = one_stream, .save_bytes = sixteen,
                                          .tolerance = tolerance, .run = pre};
static const struct mhc_row resnet_backward = {MHC_OPERATION(resnet_backward), .supports = one_stream,
                                               .tolerance = tolerance, .run = backward};

static const struct mhc_row *const rows[] = {&mhc_post, &mhc_micro_post, &resnet_pre, &resnet_backward, NULL};

static int capture(void *context, void *queue) {
    (void)context, (void)queue;
    kept_call.c.T = 0;
    capturing = true;
    return 0;
}
static int finish(void *context, void *queue, void **graph) {
    (void)context, (void)queue;
    *graph = &kept_call;
    capturing = false;
    return 0;
}
static int launch(void *context, void *queue, void *graph) {
    struct call *call = graph;
    return call->c.T ? post(context, queue, &call->c, call->arg, NULL, call->work) : 0;
}
static void destroy(void *context, void *graph) {
    (void)context, (void)graph;
}
static const struct mhc_graphs graphs = {capture, finish, launch, destroy};

static int create(void *context, void **queue, int high_priority) {
    (void)context, (void)high_priority;
    *queue = &runs;
    return 0;
}
static void end(void *context, void *queue) {
    (void)context, (void)queue;
}
static int synchronize(void *context, void *queue) {
    (void)context, (void)queue;
    return 0;
}
static const struct mhc_queues queues = {.create = create, .destroy = end, .synchronize = synchronize};

static const char *error(void *context) {
    (void)context;
    return "the planted failure";
}

static int open_library(void **context, char *why, size_t why_size) {
    *context = NULL;
    if (BUG == OPEN_HANGS)
        hang();
    if (BUG != OPENS_ONCE)
        return 0;
    FILE *file = fopen("opened", "wx");
    if (file)
        return fclose(file);
    snprintf(why, why_size, "it was open before");
    return 1;
}
static void close_library(void *context) {
    (void)context;
    if (BUG == CLOSE_HANGS)
        hang();
}

const struct mhc_library mhc_library = {.abi = MHC_ABI,
                                        .size = sizeof(struct mhc_library),
                                        .name = "planted",
                                        .build = "by a test",
                                        .open = open_library,
                                        .close = close_library,
                                        .error = error,
                                        .queues = &queues,
                                        .graphs = &graphs,
                                        .rows = rows};
