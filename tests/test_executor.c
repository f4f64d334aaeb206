/* The executor of kernels/host catches what would go wrong on a GPU. tests/planted.cu has kernels with bugs beside the
 * same kernels without. This test builds it plainly, with the address sanitizer and with the thread sanitizer. A table
 * below says which build must catch each bug, in any order of fibres. Without its bug each kernel is right and silent
 * everywhere. tests/semantics.cu holds the wrappers to plain loops. */
#include "tests/command.h"

TestSuite(executor, .init = enter, .fini = leave, .timeout = 1800);

/* How a build shows a bug: the executor's own line, a report of a sanitizer, numbers that are wrong, a
 * launch refused. */
enum shown { NOT, LINE, REPORT, WRONG, REFUSED };

static const struct plant {
    const char *name;
    enum shown plain, address, thread;
    const char *text; /* of the line or the report */
} plants[] = {
    {"neighbour", NOT, NOT, REPORT, "data race"},
    {"reuse", NOT, NOT, REPORT, "data race"},
    {"lanes", NOT, NOT, REPORT, "data race"},
    {"lanes_shuffled", NOT, NOT, REPORT, "data race"},
    {"blocks_share", NOT, NOT, REPORT, "data race"},
    {"copy_no_barrier", NOT, NOT, REPORT, "data race"},
    {"copy_not_waited", WRONG, WRONG, REPORT, "data race"},
    {"no_cluster_wait", WRONG, WRONG, REPORT, "data race"},
    {"early_return", LINE, LINE, LINE, "for ever, with 63 of 64 others; 1 of 64 threads have ended"},
    {"two_barriers", LINE, LINE, LINE, "__syncthreads at"},
    {"half_a_warp", LINE, LINE, LINE, "for ever, with 16 of 32 others"},
    {"two_shuffles", LINE, LINE, LINE, "warp operation at"},
    {"copy_left", LINE, LINE, LINE, "it ended with asynchronous copies under way"},
    {"no_first_meeting", LINE, LINE, LINE, "before the cluster has met"},
    {"no_last_meeting", LINE, LINE, LINE, ""}, /* either block may end first */
    {"arrives_twice", LINE, LINE, LINE, "cluster_arrive twice"},
    {"uninitialised", WRONG, WRONG, WRONG, ""},
    {"shared_overrun", NOT, REPORT, NOT, "heap-buffer-overflow"},
    {"global_write_overrun", NOT, REPORT, NOT, "heap-buffer-overflow"},
    {"global_read_overrun", NOT, REPORT, NOT, "heap-buffer-overflow"},
    {"misaligned", NOT, REPORT, NOT, "misaligned address"},
    {"odd_block", REFUSED, REFUSED, REFUSED, ""},
    {"large_block", REFUSED, REFUSED, REFUSED, ""},
    {"much_shared_memory", REFUSED, REFUSED, REFUSED, ""},
    {"tall_grid", REFUSED, REFUSED, REFUSED, ""},
    {"odd_cluster", REFUSED, REFUSED, REFUSED, ""},
    {"large_cluster", REFUSED, REFUSED, REFUSED, ""},
    {"empty_grid", REFUSED, REFUSED, REFUSED, ""},
};
enum { PLANTS = sizeof plants / sizeof *plants };

/* The executor itself is not instrumented for threads: its bookkeeping is no kernel's. */
static void build(const char *source, const char *kernel_flags, const char *executor_flags) {
    GOOD("for f in tests/%s.cu kernels/host/executor.cc kernels/host/fibre.cc; do"
         "  case $f in *.cu) flags='%s';; *) flags='%s';; esac;"
         "  ${CXX:-g++} -std=c++20 -O1 -g -ffp-contract=off -Wno-unknown-pragmas -I$R $flags -x c++ -c $R/$f -o "
         "$(basename $f).o || exit 1; done; ${CXX:-g++} %s *.o -o %s",
         source, kernel_flags, executor_flags, kernel_flags, source);
}

static void expect_shown(const struct plant *p, enum shown shown, const char *seed) {
    int code = sh("EMU_SHUFFLE=%s ./planted %s bad", seed, p->name);
    const char *line = strstr(err, "emu: kernel");
    switch (shown) {
    case NOT: return;
    case LINE:
        cr_expect(code == 128 + SIGABRT && line && strstr(line, p->text),
                  "%s, EMU_SHUFFLE=%s: exit %d, no line `%s`:\n%s", p->name, seed, code, p->text, err);
        return;
    case REPORT:
        cr_expect(code && strstr(err, p->text) && !line, "%s, EMU_SHUFFLE=%s: exit %d, no report `%s`:\n%s", p->name,
                  seed, code, p->text, err);
        return;
    case WRONG:
    case REFUSED:
        cr_expect(code == (shown == WRONG ? 1 : 2), "%s, EMU_SHUFFLE=%s: exit %d\n%s", p->name, seed, code, err);
        return;
    }
}

/* All of them in one process: the start of one under a sanitizer takes longer than they do. */
static void expect_silence(const char *seed) {
    char names[1000] = "";
    for (int k = 0; k < PLANTS; k++)
        snprintf(names + strlen(names), sizeof names - strlen(names), " %s", plants[k].name);
    int code = sh("EMU_SHUFFLE=%s ./planted%s good", seed, names);
    cr_expect(code == 0 && !err[0], "without their bugs, EMU_SHUFFLE=%s: exit %d\n%s", seed, code, err);
}

/* An order that is random still shows a bug that any order shows; wrong numbers may need the plain one. */
static void expect_all(enum shown (*shown)(const struct plant *), const char *const seeds[]) {
    for (int s = 0; seeds[s]; s++) {
        expect_silence(seeds[s]);
        for (int k = 0; k < PLANTS; k++)
            if (shown(&plants[k]) != NOT && (!seeds[s][0] || shown(&plants[k]) != WRONG))
                expect_shown(&plants[k], shown(&plants[k]), seeds[s]);
    }
}

static enum shown by_executor(const struct plant *p) {
    return p->plain;
}
static enum shown by_address(const struct plant *p) {
    return p->address;
}
static enum shown by_threads(const struct plant *p) {
    return p->thread;
}

Test(executor, planted_bugs) {
    build("planted", "", "");
    expect_all(by_executor, (const char *const[]){"", "1", "2", NULL});
}

Test(executor, planted_bugs_under_the_address_sanitizer) {
    const char *flags = "-fsanitize=address,undefined -fno-sanitize-recover=undefined";
    build("planted", flags, flags);
    expect_all(by_address, (const char *const[]){"", NULL});
}

Test(executor, planted_bugs_under_the_thread_sanitizer) {
    build("planted", "-fsanitize=thread", "-DEXECUTOR_TSAN");
    if (sh("./planted neighbour good") && strstr(err, "unexpected memory mapping"))
        cr_skip("the thread sanitizer does not run on this kernel: %s", err);
    expect_all(by_threads, (const char *const[]){"", "1", NULL});
}

/* The first line of `out` that starts so. */
static void copy_order(char *order, size_t size) {
    const char *line = strstr(out, "\norder ");
    cr_assert(line, "no order printed:\n%s", out);
    snprintf(order, size, "%s", line);
}

Test(executor, wrappers_mean_what_they_say) {
    static char plain[1 << 12], shuffled[1 << 12], other[1 << 12];
    build("semantics", "", "");
    GOOD("EMU_SHUFFLE= ./semantics");
    cr_expect(strstr(out, "ok   mma_bf16") && !strstr(out, "FAIL"), "%s", out);
    copy_order(plain, sizeof plain);
    GOOD("EMU_SHUFFLE=1 ./semantics");
    copy_order(shuffled, sizeof shuffled);
    GOOD("EMU_SHUFFLE=2 ./semantics");
    copy_order(other, sizeof other);
    cr_expect(!strncmp(plain, "\norder 0 1 2 3 4", 16), "%s", plain);
    cr_expect(strcmp(plain, shuffled) && strcmp(plain, other) && strcmp(shuffled, other),
              "EMU_SHUFFLE shuffles nothing");
    GOOD("EMU_SHUFFLE=1 ./semantics");
    copy_order(other, sizeof other);
    cr_expect(!strcmp(shuffled, other), "EMU_SHUFFLE=1 gives another order every time");
    build("semantics", "-fsanitize=address,undefined -fno-sanitize-recover=undefined",
          "-fsanitize=address,undefined -fno-sanitize-recover=undefined");
    GOOD("./semantics");
    cr_expect(!err[0], "%s", err);
}
