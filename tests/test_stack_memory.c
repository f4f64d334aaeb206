/* The deep stack on a device library that counts, with the rows of cpu64 and memory of its own: the stack's memory is
 * what it says, and what fails is told. */
#include "tests/stack_trial.h"

static struct {
    double bytes, most;
    int64_t blocks;
    bool no_transfers;
} device;

static int allocate(void *context, void **pointer, int64_t bytes) {
    (void)context;
    int64_t *block = bytes < (int64_t)1 << 32 ? aligned_alloc(64, ((size_t)bytes + 127) / 64 * 64) : NULL;
    if (!block)
        return 1;
    *block = bytes;
    device.bytes += (double)bytes;
    device.most = fmax(device.most, device.bytes);
    device.blocks++;
    *pointer = block + 8;
    return 0;
}
static void deallocate(void *context, void *pointer) {
    (void)context;
    int64_t *block = (int64_t *)pointer - 8;
    device.bytes -= (double)*block;
    device.blocks--;
    free(block);
}
static int copy(void *context, void *to, const void *from, int64_t bytes) {
    (void)context;
    memcpy(to, from, (size_t)bytes);
    return device.no_transfers;
}
static int64_t plenty(void *context) {
    (void)context;
    return (int64_t)1 << 40;
}
static const struct mhc_memory memory = {allocate, deallocate, copy, copy, plenty};

enum { ROWS = 128 };
static struct mhc_row copied[ROWS];
static const struct mhc_row *rows[ROWS + 1];
static struct mhc_library counting;

static int refuse(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)c, (void)arg, (void)save, (void)work;
    return 1;
}

static void open_counting(struct backend *b, const char *fails) {
    int count = 0;
    for (; mhc_cpu64.rows[count]; count++) {
        cr_assert(count < ROWS);
        copied[count] = *mhc_cpu64.rows[count];
        if (fails && !strcmp(copied[count].name, fails))
            copied[count].run = refuse;
        rows[count] = &copied[count];
    }
    rows[count] = NULL;
    counting = mhc_cpu64;
    counting.name = "counting";
    counting.memory = &memory;
    counting.rows = rows;
    memset(&device, 0, sizeof device);
    *b = (struct backend){.library = &counting};
}

Test(stack_memory, memory_is_what_it_says) {
    char why[300];
    for (int k = 0; k < KINDS; k++) {
        struct trial host = make(&kinds[k], "cpu64", 24), t = make(&kinds[k], "cpu64", 24);
        double keep = 0;
        cr_assert_null(run(&host));
        for (int64_t every = 0; every <= 6; every += 6)
            for (int mode = 0; mode < 4; mode++) {
                char what[300];
                open_counting(&t.backend, NULL);
                t.spec.recompute = every;
                t.spec.regenerate = !(mode & 1);
                t.spec.backward = mode & 2;
                describe(&t, what, sizeof what);
                const char *failure = run(&t);
                cr_assert(!failure, "%s: %s", what, failure);
                double said = program_estimate(&t.spec, why, sizeof why);
                cr_expect(said == device.most || (said < device.most && device.most <= said + 64 * 2000),
                          "%s: said %.0f bytes, allocated %.0f", what, said, device.most);
                cr_expect(device.blocks == 0 && device.bytes == 0, "%s: %lld blocks left", what,
                          (long long)device.blocks);
                if (t.spec.backward)
                    expect_same_bits(&host, &t);
                if (mode == 3 && every) /* a ResNet's own backward needs neither x nor y, but computing again needs y */
                    cr_expect(params_connection(&t.p)->generator == GENERATOR_NONE ? said <= keep : said < keep,
                              "%s: %.0f bytes, keeping all %.0f", what, said, keep);
                keep = mode == 3 && !every ? said : keep;
            }
        release(&host);
        release(&t);
    }
}

Test(stack_memory, failures_are_told) {
    const char *const fails[] = {"stack.entry",         "mhc.pre",
                                 "linear.forward",      "mhc.post",
                                 "stack.exit",          "stack.exit_backward",
                                 "mhc.post_backward_y", "linear.backward",
                                 "mhc.backward",        "stack.entry_backward"};
    struct kind kind = {"mhc", "linear", MHC_PAPER, 0};
    for (size_t k = 0; k < sizeof fails / sizeof *fails; k++)
        for (int64_t every = 0; every < 3; every++) {
            struct trial t = make(&kind, "cpu64", 5);
            open_counting(&t.backend, fails[k]);
            t.spec.recompute = every;
            const char *failure = run(&t);
            cr_expect(failure && strstr(failure, fails[k]), "%s fails, and the stack said `%s`", fails[k],
                      failure ? failure : "");
            cr_expect(device.blocks == 0, "%s: %lld blocks left", fails[k], (long long)device.blocks);
            release(&t);
        }
    struct trial t = make(&kind, "cpu64", 5);
    open_counting(&t.backend, NULL);
    device.no_transfers = true;
    const char *failure = run(&t);
    cr_expect(failure && strstr(failure, "cannot be copied"), "a transfer fails, and the stack said `%s`",
              failure ? failure : "");
    open_counting(&t.backend, NULL);
    t.spec.c.C = 1 << 15; /* a branch weight of 8 GB */
    failure = run(&t);
    cr_expect(failure && strstr(failure, "out of memory"), "no memory, and the stack said `%s`",
              failure ? failure : "");
    cr_expect(device.blocks == 0, "%lld blocks left", (long long)device.blocks);
    t.spec.c.C = 8;
    t.spec.connection = "no-such-block";
    failure = run(&t);
    cr_expect(failure && strstr(failure, "no-such-block.pre"), "no rows, and the stack said `%s`",
              failure ? failure : "");
    release(&t);
}
