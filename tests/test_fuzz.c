/* Texts and files that a user hands over, changed at random: whatever they hold, the readers end with an answer or one
 * line. Every run tries the same inputs, for FUZZ_SECONDS of each target (default 8), beginning with FUZZ_SEED. An
 * input that ends a reader stays in /tmp/mhcbench-fuzz.TARGET.NUMBER. HDF5 may crash on a damaged file by itself:
 * that is the business of the process that reads for the program, and is counted. */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "results/record.h"
#include "suites/case/axis.h"
#include "suites/case/suite.h"
#include "suites/command/launch.h"
#include "suites/verify/vectors.h"

enum { LARGEST = 2 << 20, SECONDS = 8, OF_HDF5 = 99, BATCH = 200, INPUT_SECONDS = 20 };

TestSuite(fuzz, .timeout = 3600);

#ifdef __SANITIZE_ADDRESS__
__attribute__((visibility("default"))) const char *__asan_default_suppressions(void);
const char *__asan_default_suppressions(void) {
    return "interceptor_via_lib:libhdf5\n";
}
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:detect_leaks=0";
}
#endif

/* ---- What is read ----------------------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *bytes, size_t size) {
    FILE *file = fopen(path, "w");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file))
        _exit(2);
}

static void read_suite(const char *bytes, size_t size) {
    struct suite suite;
    char why[600] = "";
    write_file("fuzz.suite", bytes, size);
    if (suite_read(&suite, "fuzz.suite", NULL, 0, why, sizeof why))
        suite_release(&suite);
    else if (!*why || strchr(why, '\n'))
        abort();
}

/* "--option values" */
static void read_axis(const char *bytes, size_t size) {
    char text[4096], why[600] = "";
    struct axis axis;
    snprintf(text, sizeof text, "%.*s", (int)size, bytes);
    char *values = strchr(text, ' ');
    if (!values || strncmp(text, "--", 2))
        return;
    *values++ = 0;
    const struct param *param = params_find(text + 2);
    if (param && !axis_read(&axis, param, values, why, sizeof why) && !*why)
        abort();
    if (param)
        axis_release(&axis);
}

/* Lines NAME=VALUE. */
static void read_environment(const char *bytes, size_t size) {
    static char text[LARGEST + 1];
    struct launch launch;
    char *rest = NULL;
    memcpy(text, bytes, size);
    text[size] = 0;
    clearenv();
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *value = strchr(line, '=');
        if (!value || value == line)
            continue;
        *value++ = 0;
        setenv(line, value, 1);
    }
    for (int64_t shards = 0; shards < 9; shards += 8)
        if (launch_read(&launch, shards) &&
            (launch.size < 1 || launch.rank < 0 || launch.rank >= launch.size || launch.local_rank < 0))
            abort();
}

static void read_record(const char *bytes, size_t size) {
    static const char *const what[] = {"cases", "curves", "samples"};
    write_file("fuzz.h5", bytes, size);
    struct record_reader *r = record_open("fuzz.h5");
    if (!r)
        return;
    for (int k = 0; k < 3; k++)
        record_export_csv(r, what[k], "/dev/null");
    for (int64_t i = 0; i < record_count(r); i++) {
        double panel[6 * 16 * 16], scale[6];
        struct record_training training;
        const int64_t n = record_panel_streams(r, i);
        if (n > 0 && n <= 16)
            record_panels(r, i, n, panel, scale);
        if (record_points(r, i) > 0)
            record_training(r, i, &training);
    }
    record_close(r);
}

static void read_vectors(const char *bytes, size_t size) {
    struct vector_case one;
    char why[600] = "";
    write_file("fuzz.h5", bytes, size);
    struct vectors *v = vectors_open("fuzz.h5", true, why, sizeof why);
    for (int64_t k = 0; v && k < vectors_count(v); k++)
        if (vectors_read(v, vectors_name(v, k), &one, why, sizeof why))
            vector_case_release(&one);
    if (v)
        vectors_close(v);
    else if (!*why || strchr(why, '\n'))
        abort();
}

/* ---- Inputs ----------------------------------------------------------------------------------------------------- */

static uint64_t state;
static size_t below(size_t count) { /* MMIX's generator */
    state = state * 6364136223846793005u + 1442695040888963407u;
    return count ? (size_t)(state >> 16) % count : 0;
}

/* Bytes that mean something to the readers of texts. */
static const char *const words[] = {
    "--",      "set ",  ",",   ":",  "x10",  "1e308", "-1", "nan",  "inf",     "*",
    "!",       "'",     "\"",  "\\", "#",    "\n",    "=",  "0x7f", "all",     "9223372036854775807",
    "1:9:0",   "--zip", "d,s", "+",  "auto", " ",     "\t", "\r",   "--seed ", "--connection ",
    "0:1:1e-9"};

static size_t change_text(char *bytes, size_t size) {
    for (size_t k = 1 + below(6); k > 0; k--) {
        const size_t at = below(size + 1), kind = below(4);
        const char *word = words[below(sizeof words / sizeof *words)];
        const size_t length = strlen(word);
        if (kind == 0 && at < size) {
            bytes[at] = (char)below(256);
        } else if (kind == 1 && size + length < LARGEST / 2) {
            memmove(bytes + at + length, bytes + at, size - at);
            memcpy(bytes + at, word, length);
            size += length;
        } else if (kind == 2) {
            const size_t gone = below(size - at < 16 ? size - at + 1 : 16);
            memmove(bytes + at, bytes + at + gone, size - at - gone);
            size -= gone;
        } else if (kind == 3 && size && size < LARGEST / 4) {
            const size_t from = below(size), some = below(size - from < 40 ? size - from : 40);
            char kept[40];
            memcpy(kept, bytes + from, some);
            memmove(bytes + at + some, bytes + at, size - at);
            memcpy(bytes + at, kept, some);
            size += some;
        }
    }
    return size;
}

/* Half of the changes aim at what is not zero: most of a file is chunks. */
static size_t change_file(char *bytes, size_t size) {
    for (size_t k = 1 + below(8), aimed = below(2); k > 0; k--) {
        size_t at = below(size);
        for (size_t step = 0; aimed && step < size && !bytes[at]; step++)
            at = (at + 1) % size;
        bytes[at] = (char)below(256);
    }
    return below(16) ? size : below(size);
}

struct target {
    const char *name, *corpus;
    void (*read)(const char *bytes, size_t size);
    size_t (*change)(char *bytes, size_t size);
};

/* ---- One input after the other ---------------------------------------------------------------------------------- */

static struct {
    size_t size;
    int64_t number;
    char bytes[LARGEST];
} * last; /* the input at hand, in memory that the parent sees */

/* Whose code was the first above libc? */
static void end(int number) {
    void *frame[64];
    const int count = backtrace(frame, 64);
    for (int k = 2; k < count; k++) {
        Dl_info of;
        if (!dladdr(frame[k], &of) || !of.dli_fname || strstr(of.dli_fname, "libc.so"))
            continue;
        if (strstr(of.dli_fname, "libhdf5"))
            _exit(OF_HDF5);
        break;
    }
    signal(number, SIG_DFL);
    raise(number);
}

/* Reads changed inputs until the time is over or a batch is done. */
static void read_batch(const struct target *t, const glob_t *corpus, int64_t first, double until) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
    void *unused[1];
    backtrace(unused, 1); /* loads what it needs */
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDERR_FILENO);
    for (size_t k = 0; k < sizeof signals / sizeof *signals; k++)
        signal(signals[k], end);
#ifndef __SANITIZE_ADDRESS__
    setrlimit(RLIMIT_DATA, &(struct rlimit){(rlim_t)4 << 30, (rlim_t)4 << 30});
#endif
    for (int64_t k = first; k < first + BATCH; k++) {
        struct timespec now;
        state = (uint64_t)k * 0x9E3779B97F4A7C15u + strtoull(getenv("FUZZ_SEED") ? getenv("FUZZ_SEED") : "1", NULL, 10);
        FILE *file = fopen(corpus->gl_pathv[below(corpus->gl_pathc)], "r");
        last->size = file ? fread(last->bytes, 1, LARGEST - 4096, file) : 0;
        if (file)
            fclose(file);
        last->size = t->change(last->bytes, last->size);
        last->number = k;
        alarm(INPUT_SECONDS);
        t->read(last->bytes, last->size);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if ((double)now.tv_sec > until)
            _exit(1);
    }
    _exit(0);
}

static void keep_input(const struct target *t) {
    char path[80];
    snprintf(path, sizeof path, "/tmp/mhcbench-fuzz.%s.%lld", t->name, (long long)last->number);
    write_file(path, last->bytes, last->size);
    fprintf(stderr, "%s: the input is %s\n", t->name, path);
}

static void fuzz(const struct target *t) {
    char folder[] = "/tmp/mhcbench-fuzz-XXXXXX", command[100], root[4096], pattern[4400];
    struct timespec now;
    glob_t corpus;
    int64_t tried = 0, of_hdf5 = 0;
    snprintf(pattern, sizeof pattern, "%s/%s", getcwd(root, sizeof root), t->corpus);
    cr_assert(!glob(pattern, 0, NULL, &corpus) && mkdtemp(folder) && !chdir(folder));
    last = mmap(NULL, sizeof *last, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(last != MAP_FAILED);
    clock_gettime(CLOCK_MONOTONIC, &now);
    const double until = (double)now.tv_sec + (getenv("FUZZ_SECONDS") ? atof(getenv("FUZZ_SECONDS")) : SECONDS);
    for (int status = 0; !WIFEXITED(status) || WEXITSTATUS(status) != 1;) {
        const pid_t child = fork();
        if (child == 0)
            read_batch(t, &corpus, tried, until);
        waitpid(child, &status, 0);
        const bool hdf5 = WIFEXITED(status) && WEXITSTATUS(status) == OF_HDF5;
        of_hdf5 += hdf5;
        tried = last->number + 1;
        if (!hdf5 && (WIFSIGNALED(status) || WEXITSTATUS(status) > 1)) { /* 0, 1: the batch, the time is over */
            keep_input(t);
            cr_expect(false, "%s: input %lld ends the reader: status %d", t->name, (long long)last->number, status);
            break;
        }
    }
    fprintf(stderr, "%s: %lld inputs%s\n", t->name, (long long)tried, of_hdf5 ? ", some of which ended HDF5" : "");
    cr_expect(tried > 5, "%s: %lld inputs", t->name, (long long)tried);
    cr_expect(of_hdf5 * 20 <= tried + 100, "%s: %lld of %lld inputs ended HDF5", t->name, (long long)of_hdf5,
              (long long)tried);
    globfree(&corpus);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_expect(!chdir(root) && !system(command));
}

Test(fuzz, suite) {
    fuzz(&(struct target){"suite", "tests/fuzz/suite/*", read_suite, change_text});
}

Test(fuzz, axis) {
    fuzz(&(struct target){"axis", "tests/fuzz/axis/*", read_axis, change_text});
}

Test(fuzz, environment) {
    fuzz(&(struct target){"environment", "tests/fuzz/environment/*", read_environment, change_text});
}

Test(fuzz, record) {
    fuzz(&(struct target){"record", "tests/golden/v1.h5", read_record, change_file});
}

Test(fuzz, vectors) {
    fuzz(&(struct target){"vectors", "tests/vectors/public.h5", read_vectors, change_file});
}
