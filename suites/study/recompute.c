#include "suites/study/recompute.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/stack/ensemble.h"
#include "suites/stack/execute.h"
#include "suites/study/kernels_study.h"
#include "suites/study/propagate.h"
#include "suites/timing/timing.h"

double recompute_paper_bytes(int64_t T, int64_t n, int64_t C, int64_t L, int64_t every, int64_t element_bytes) {
    double blocks = every ? (double)((L + every - 1) / every) : (double)L;
    return (double)T * (double)C * (double)element_bytes * ((double)n * blocks + (double)((n + 2) * every));
}

double recompute_paper_optimum(int64_t L, int64_t n) {
    return sqrt((double)(n * L) / (double)(n + 2));
}

/* Behind what study kernels has, which a record of either study holds. */
static const struct timed_schema *times(void) {
    static const struct timed_schema schema = {.subjects = kernel_subject_name,
                                               .subject_count = TIMED_SUBJECTS,
                                               .timings = kernel_timing_info,
                                               .timing_count = TIMED_VALUES,
                                               .errors = kernel_error_info,
                                               .error_count = KERNEL_ERRORS};
    return &schema;
}

/* --- memory that counts --- */

/* What a library's memory functions are called through: bytes in use and the most of them. The worker runs one case
 * at a time. */
static struct {
    const struct mhc_memory *memory; /* of the library; NULL: the host's */
    struct counted_block {
        void *pointer;
        int64_t bytes;
    } * blocks;
    int64_t count, room, bytes, most;
} counted;

static int count_allocate(void *context, void **pointer, int64_t bytes) {
    if (counted.count == counted.room) {
        int64_t room = counted.room ? 2 * counted.room : 256;
        struct counted_block *grown = realloc(counted.blocks, (size_t)room * sizeof *grown);
        if (!grown)
            return 1;
        counted.blocks = grown;
        counted.room = room;
    }
    *pointer = NULL;
    if (counted.memory ? counted.memory->allocate(context, pointer, bytes)
                       : !(*pointer = aligned_alloc(64, (size_t)bytes)))
        return 1;
    counted.blocks[counted.count++] = (struct counted_block){*pointer, bytes};
    counted.bytes += bytes;
    counted.most = counted.bytes > counted.most ? counted.bytes : counted.most;
    return 0;
}

static void count_release(void *context, void *pointer) {
    for (int64_t k = counted.count; k-- > 0;)
        if (counted.blocks[k].pointer == pointer) {
            counted.bytes -= counted.blocks[k].bytes;
            counted.blocks[k] = counted.blocks[--counted.count];
            break;
        }
    if (counted.memory)
        counted.memory->release(context, pointer);
    else
        free(pointer);
}

static int copy_on_host(void *context, void *to, const void *from, int64_t bytes) {
    (void)context;
    memcpy(to, from, (size_t)bytes);
    return 0;
}
static int64_t plenty(void *context) {
    (void)context;
    return INT64_MAX;
}

/* The backend again, with memory that counts. */
static void count_memory(const struct backend *b, struct backend *counting, struct mhc_library *library,
                         struct mhc_memory *memory) {
    *memory = b->library->memory
                  ? *b->library->memory
                  : (struct mhc_memory){.to_device = copy_on_host, .to_host = copy_on_host, .available = plenty};
    memory->allocate = count_allocate;
    memory->release = count_release;
    *library = *b->library;
    library->memory = memory;
    *counting = *b;
    counting->library = library;
    free(counted.blocks);
    memset(&counted, 0, sizeof counted);
    counted.memory = b->library->memory;
}

/* --- a step --- */

struct stack {
    struct program program;
    struct program_owner owner;
};

/* What a stack is given. */
struct inputs {
    const struct params *p;
    double *x0, *grad_out;
};

static const char *run_step(void *user, int64_t set) {
    struct stack *s = user;
    (void)set;
    return program_execute(&s->program, &s->owner);
}

static const char *give(void *user, const struct program_array *a, double *values) {
    const struct inputs *in = user;
    const double *edge = !strcmp(a->argument, "x0") ? in->x0 : !strcmp(a->argument, "grad_out") ? in->grad_out : NULL;
    if (edge)
        memcpy(values, edge, (size_t)a->count * sizeof *values);
    else
        ensemble_parameter(in->p, a->layer, a->argument, a->count, values);
    return NULL;
}

static const char *open_stack(struct stack *s, const struct program_spec *spec, struct inputs *in) {
    s->owner = (struct program_owner){.user = in, .give = give};
    return program_open(&s->program, spec, &s->owner);
}

static struct program_spec describe(const struct params *p, const struct backend *b) {
    struct program_spec spec = ensemble_stack(p, b);
    spec.recompute = p->recompute == RECOMPUTE_AUTO ? program_recompute_rule(p->depth, p->streams) : p->recompute;
    return spec;
}

static bool estimate(const struct params *p, double *needed, double *available, char *why, size_t why_size) {
    struct backend b;
    if (!backend_open_timed(&b, p->backend, why, why_size))
        return false;
    struct program_spec spec = describe(p, &b), rule = spec;
    rule.recompute = program_recompute_rule(p->depth, p->streams);
    double one = program_estimate(&spec, why, why_size), other = one < 0 ? -1 : program_estimate(&rule, why, why_size);
    *needed = one + other + (b.library->memory ? 0 : 8.0 * 3 * (double)p->tokens * (double)p->width);
    *available = (double)backend_available(&b);
    backend_close(&b);
    return one >= 0 && other >= 0;
}

/* --- the case --- */

static const char *time_steps(const struct params *p, const struct backend *b, struct stack *rule, struct stack *step,
                              struct timed_result *out) {
    static char message[200];
    const struct timing_subject subjects[2] = {{run_step, rule, 1, 0}, {run_step, step, 1, 0}};
    const int places[2] = {RECOMPUTE_RULE, RECOMPUTE_STEP};
    const int64_t sets[2] = {1, 1};
    struct timing_rules rules = timing_rules_for(b, p->rounds, p->budget);
    struct timing_clock clock;
    struct timing t = {0};
    rules.seed = (uint64_t)p->seed;
    if (!timing_clock_open(&clock, b, message, sizeof message))
        return message;
    const char *why = timing_run(&t, subjects, 2, &rules, &clock);
    if (!why && !(timed_result_keep(out, &t, places, sets) && kernels_summarise(out, RECOMPUTE_STEP, RECOMPUTE_RULE)))
        why = "out of memory";
    timing_release(&t);
    timing_clock_close(&clock);
    return why;
}

/* The peak is that of a step of its own, which warms up besides. */
static const char *measure_peak(struct program_spec spec, struct inputs *in, struct timed_result *out) {
    struct mhc_library library;
    struct mhc_memory memory;
    struct backend counting;
    struct stack stack;
    count_memory(spec.backend, &counting, &library, &memory);
    spec.backend = &counting;
    const char *why = open_stack(&stack, &spec, in);
    why = why ? why : run_step(&stack, 0);
    out->timing[RECOMPUTE_PEAK] = (double)counted.most;
    program_close(&stack.program);
    return why;
}

static const char *run(const struct params *p, const struct backend *b, double *x0, double *grad_out,
                       struct timed_result *out) {
    static char message[200];
    struct program_spec spec = describe(p, b), rule_spec = spec;
    struct inputs in = {p, x0, grad_out};
    struct stack rule = {.owner = {0}}, step = rule;
    const struct mhc_case *c = &spec.c;
    rule_spec.recompute = program_recompute_rule(p->depth, p->streams);
    if (!ensemble_tokens(p, x0, message, sizeof message))
        return message;
    ensemble_output_gradient(p, grad_out);
    out->timing[RECOMPUTE_EVERY] = (double)spec.recompute;
    out->timing[RECOMPUTE_PAPER] = recompute_paper_bytes(c->T, c->n, c->C, spec.layers, spec.recompute,
                                                         mhc_type_bytes(c->stream));
    out->timing[RECOMPUTE_PREDICTED] = program_estimate(&spec, message, sizeof message);
    const char *why = out->timing[RECOMPUTE_PREDICTED] < 0 ? message : measure_peak(spec, &in, out);
    why = why ? why : open_stack(&step, &spec, &in);
    why = why ? why : open_stack(&rule, &rule_spec, &in);
    why = why ? why : time_steps(p, b, &rule, &step, out);
    program_close(&step.program);
    program_close(&rule.program);
    return why;
}

static void run_case(const struct study_context *context, struct study_result *r) {
    const struct params *p = context->p;
    struct backend b = {0};
    size_t edge = (size_t)(p->tokens * p->width);
    double *x0 = malloc(edge * sizeof *x0), *grad_out = malloc(edge * sizeof *grad_out);
    r->timed = timed_result_new(times());
    const char *why = x0 && grad_out && r->timed ? NULL : "out of memory";
    if (!why && backend_open_timed(&b, p->backend, r->reason, sizeof r->reason))
        why = run(p, &b, x0, grad_out, r->timed);
    if (why)
        snprintf(r->reason, sizeof r->reason, "%s", why);
    if (b.library)
        backend_close(&b);
    free(x0);
    free(grad_out);
}

/* Two stacks, each at least three times. */
static double flops(const struct params *p) {
    return 6 * propagate_flops(p);
}

const struct study study_recompute = {
    .run = run_case, .estimate = estimate, .flops = flops, .budgets = 1, .warm_ups = 1, .times = times};
