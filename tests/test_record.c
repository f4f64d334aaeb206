/* The HDF5 record: what is written comes back bit for bit, a writer may die at any write, and no file can hurt the reader. */
#include "results/record.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- A run that can be predicted: case i of it, whatever is asked about it -------------------------------------- */

enum { COLUMNS = 3, CURVES = 4, SUMMARIES = 2, STREAMS = 3, PANEL = 6 };

static const struct record_column columns[COLUMNS] = {
    {"width", "1", "channels of a stream", RECORD_INT},
    {"gain", "1", "branch gain", RECORD_REAL},
    {"input", "", "what the streams start from", RECORD_TEXT},
};
static const struct record_curve curves[CURVES] = {
    {"zeta", "1", "the first by creation, the last by name"}, {"forward", "1", "gain"}, {"rare", "1", "seldom computed"}, {"never", "s", ""}};
static const struct record_curve summaries[SUMMARIES] = {{"peak", "1", "largest value"}, {"area", "m", "nonsense"}};
static const struct record_fact facts[] = {{"host", "here"}, {"cpu", "µ-processor"}, {"empty", ""}};

static struct record_schema schema_of(int64_t layers, const char *suite) {
    return (struct record_schema){columns, COLUMNS, curves, CURVES, summaries, SUMMARIES, layers, STREAMS, 200, facts, 3,
                                  "mhcbench test", "mhcbench run x.suite", suite};
}

struct example {
    char key[64], text[64];
    union record_value values[COLUMNS];
    double summaries[SUMMARIES], panels[PANEL * STREAMS * STREAMS], scale[PANEL];
    double *curve[CURVES], *spectrum;
    struct record_case c;
};

static double number(int64_t i, int what, int64_t k) {
    const int64_t mixed = (i * 7919 + what * 104729 + k * 1299709) % 1000003;
    if (mixed % 97 == 0)
        return NAN;
    if (mixed % 89 == 0)
        return mixed % 2 ? INFINITY : -INFINITY;
    return ((double)mixed - 500000) / 3;
}

static bool same(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

static void example_init(struct example *e, int64_t i, int64_t largest) {
    const int64_t layers = largest - i % 3 > 0 ? largest - i % 3 : 1, n = 1 + i % STREAMS;
    *e = (struct example){0};
    snprintf(e->key, sizeof e->key, "--case %lld", (long long)i);
    snprintf(e->text, sizeof e->text, "file \"%lld\", ünïcode\n", (long long)i);
    e->values[0].i = i * ((int64_t)1 << 40) - 5;
    e->values[1].r = number(i, 1, 0);
    e->values[2].text = e->text;
    for (int k = 0; k < SUMMARIES; k++)
        e->summaries[k] = number(i, 2, k);
    for (int k = 0; k < PANEL * STREAMS * STREAMS; k++)
        e->panels[k] = number(i, 3, k);
    for (int k = 0; k < PANEL; k++)
        e->scale[k] = number(i, 4, k);
    for (int q = 0; q < 3; q++) { /* the curve `never` stays NULL */
        if (q == 2 && i % 5)
            continue;
        e->curve[q] = malloc((size_t)layers * sizeof(double));
        for (int64_t l = 0; l < layers; l++)
            e->curve[q][l] = number(i, 10 + q, l);
    }
    e->spectrum = malloc((size_t)(layers * n) * sizeof(double));
    for (int64_t l = 0; l < layers * n; l++)
        e->spectrum[l] = number(i, 20, l);
    const bool failed = i % 11 == 10, matrices = i % 2 == 0;
    e->c = (struct record_case){e->key, failed ? RECORD_FAILED : RECORD_DONE, failed ? "killed by signal 11" : "", 0.25 * (double)i,
                                layers, n, e->values, (const double *const *)e->curve, failed ? NULL : e->summaries,
                                matrices ? e->panels : NULL, matrices ? e->scale : NULL, matrices ? e->spectrum : NULL};
}

static void example_free(struct example *e) {
    for (int q = 0; q < CURVES; q++)
        free(e->curve[q]);
    free(e->spectrum);
}

static bool append(struct record *r, int64_t i, int64_t layers) {
    struct example e;
    example_init(&e, i, layers);
    const bool good = record_append(r, &e.c);
    example_free(&e);
    return good;
}

/* The first thing about row `row` that is not as case `i` wrote it; NULL when all is. */
static const char *difference(struct record_reader *r, int64_t row, int64_t i, int64_t layers) {
    static char what[300];
    struct example e;
    example_init(&e, i, layers);
    const struct record_case *c = &e.c;
    const int64_t n = c->streams;
    double panel[PANEL * STREAMS * STREAMS], scale[PANEL], *spectrum = calloc((size_t)(c->layers * n), sizeof *spectrum);
    const char *const *key = record_texts(r, "key"), *const *status = record_texts(r, "status"), *const *reason = record_texts(r, "reason");
    const char *const *input = record_texts(r, "input");
    const int64_t *width = record_ints(r, "width"), *own_layers = record_ints(r, "layers");
    const double *gain = record_reals(r, "gain"), *seconds = record_reals(r, "seconds");
    *what = 0;
    if (!key || !status || !reason || !input || !width || !own_layers || !gain || !seconds)
        snprintf(what, sizeof what, "a column: %s", record_error());
    else if (strcmp(key[row], c->key) || strcmp(reason[row], c->reason) || strcmp(input[row], e.text) ||
             strcmp(status[row], c->status == RECORD_DONE ? "done" : "failed"))
        snprintf(what, sizeof what, "texts %s | %s | %s | %s", key[row], reason[row], input[row], status[row]);
    else if (width[row] != c->values[0].i || own_layers[row] != c->layers || !same(gain[row], c->values[1].r) || seconds[row] != c->seconds)
        snprintf(what, sizeof what, "numbers %lld %lld %g %g", (long long)width[row], (long long)own_layers[row], gain[row], seconds[row]);
    for (int k = 0; !*what && k < SUMMARIES; k++) {
        const double *got = record_summary(r, summaries[k].name);
        if (!got || !same(got[row], c->summaries ? c->summaries[k] : NAN))
            snprintf(what, sizeof what, "summary %s: %g %s", summaries[k].name, got ? got[row] : 0, got ? "" : record_error());
    }
    for (int q = 0; !*what && q < CURVES; q++) {
        const double *got = record_curve_of(r, curves[q].name, row);
        if (!got)
            snprintf(what, sizeof what, "curve %s: %s", curves[q].name, record_error());
        if (record_curve_computed(r, curves[q].name, row) != !!e.curve[q])
            snprintf(what, sizeof what, "curve %s: computed or not", curves[q].name);
        for (int64_t l = 0; got && l < c->layers; l++)
            if (!same(got[l], e.curve[q] ? e.curve[q][l] : NAN))
                snprintf(what, sizeof what, "curve %s layer %lld: %g", curves[q].name, (long long)l, got[l]);
    }
    if (!*what && (record_panels(r, row, n, panel, scale) != !!c->panels || record_spectrum(r, row, n, spectrum) != !!c->qr_spectrum))
        snprintf(what, sizeof what, "panels or spectrum: %s", record_error());
    for (int k = 0; !*what && c->panels && k < PANEL * n * n; k++)
        if (!same(panel[k], c->panels[k]) || !same(scale[k % PANEL], c->panel_log10_scale[k % PANEL]))
            snprintf(what, sizeof what, "panel element %d: %g", k, panel[k]);
    for (int k = 0; !*what && c->qr_spectrum && k < c->layers * n; k++)
        if (!same(spectrum[k], c->qr_spectrum[k]))
            snprintf(what, sizeof what, "spectrum element %d: %g", k, spectrum[k]);
    free(spectrum);
    example_free(&e);
    return *what ? what : NULL;
}

/* ---- Files ------------------------------------------------------------------------------------------------------ */

static char folder[64];

static void enter(void) {
    snprintf(folder, sizeof folder, "/tmp/test_record.XXXXXX");
    cr_assert(mkdtemp(folder) && !chdir(folder), "no temporary folder");
}

static void leave(void) {
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(!chdir("/") && !system(command));
}

TestSuite(record, .init = enter, .fini = leave, .timeout = 300);

static bool exists(const char *path) {
    return !access(path, F_OK);
}

static char *slurp(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    cr_assert(f, "%s: %s", path, strerror(errno));
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*size + 1);
    cr_assert(fread(bytes, 1, *size, f) == *size);
    bytes[*size] = 0;
    fclose(f);
    return bytes;
}

static void spit(const char *path, const char *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(bytes, 1, size, f) == size && !fclose(f));
}

static void write_file(const char *path, int64_t first, int64_t count, int64_t layers, const char *suite) {
    const struct record_schema schema = schema_of(layers, suite);
    struct record *r = record_create(path, &schema, false, false);
    cr_assert(r, "%s", record_error());
    for (int64_t i = first; i < first + count; i++)
        cr_assert(append(r, i, layers), "%s", record_error());
    cr_assert(record_finish(r, true), "%s", record_error());
}

/* The file holds cases first..first+count-1 in any order, and nothing else. */
static void check_file(const char *path, int64_t first, int64_t count, int64_t layers) {
    struct record_reader *r = record_open(path);
    cr_assert(r, "%s", record_error());
    cr_expect(record_count(r) == count, "%s: %lld cases, want %lld", path, (long long)record_count(r), (long long)count);
    bool *seen = calloc((size_t)count + 1, sizeof *seen);
    for (int64_t row = 0; row < record_count(r); row++) {
        long long i = -1;
        sscanf(record_texts(r, "key")[row], "--case %lld", &i);
        cr_assert(i >= first && i < first + count && !seen[i - first], "%s: row %lld is case %lld", path, (long long)row, i);
        seen[i - first] = true;
        const char *wrong = difference(r, row, i, layers);
        cr_expect(!wrong, "%s: case %lld: %s", path, i, wrong);
    }
    free(seen);
    record_close(r);
}

static void expect_error(const char *want) {
    cr_expect(strstr(record_error(), want) && !strchr(record_error(), '\n'), "error is `%s`, want `%s`", record_error(), want);
}

Test(record, round_trip) {
    enum { CASES = 75, LAYERS = 7 };
    char *suite = malloc(200001); /* more than an ordinary HDF5 attribute holds */
    memset(suite, 's', 200000);
    suite[200000] = 0;
    const struct record_schema schema = schema_of(LAYERS, suite);
    struct record *r = record_create("a.h5", &schema, false, false);
    cr_assert(r, "%s", record_error());
    cr_expect(exists("a.h5.part") && !exists("a.h5.part.new") && !exists("a.h5"));
    for (int64_t i = 0; i < CASES; i++) {
        if (i == 33) { /* a run can be looked at while it is going on */
            struct record_reader *running = record_open("a.h5.part");
            cr_assert(running, "%s", record_error());
            cr_expect(record_count(running) == 33 && !record_complete(running) && !difference(running, 32, 32, LAYERS));
            record_close(running);
            cr_expect(!record_create("a.h5", &schema, true, false));
            expect_error("another process is writing it");
        }
        cr_assert(append(r, i, LAYERS), "%s", record_error());
    }
    cr_expect(record_has(r, "--case 3") && !record_has(r, "--case 300"));
    cr_assert(record_finish(r, true), "%s", record_error());
    cr_expect(exists("a.h5") && !exists("a.h5.part"));
    check_file("a.h5", 0, CASES, LAYERS);

    struct record_reader *q = record_open("a.h5");
    cr_assert(q, "%s", record_error());
    cr_expect(record_complete(q) && record_max_layers(q) == LAYERS && record_max_streams(q) == STREAMS);
    cr_expect_str_eq(record_attribute(q, "suite"), suite);
    cr_expect_str_eq(record_attribute(q, "schema"), RECORD_SCHEMA);
    cr_expect_str_eq(record_attribute(q, "program"), "mhcbench test");
    cr_expect_str_eq(record_attribute(q, "command"), "mhcbench run x.suite");
    cr_expect(strlen(record_attribute(q, "run_uuid")) == 36 && strlen(record_attribute(q, "created_utc")) == 20);
    cr_expect(!record_attribute(q, "absent"));
    cr_expect(record_fact_count(q) == 3);
    for (int i = 0; i < 3; i++) {
        const char *name, *value;
        cr_assert(record_fact(q, i, &name, &value));
        cr_expect(!strcmp(name, facts[i].name) && !strcmp(value, facts[i].value), "fact %d: %s = %s", i, name, value);
    }
    cr_expect(record_column_count(q) == COLUMNS && record_curve_count(q) == CURVES && record_summary_count(q) == SUMMARIES);
    for (int i = 0; i < COLUMNS; i++) {
        struct record_column c;
        cr_assert(record_column(q, i, &c));
        cr_expect(!strcmp(c.name, columns[i].name) && !strcmp(c.unit, columns[i].unit) && c.type == columns[i].type &&
                  !strcmp(c.long_name, columns[i].long_name), "column %d: %s", i, c.name);
    }
    for (int i = 0; i < CURVES; i++) {
        struct record_curve c;
        cr_assert(record_curve(q, i, &c));
        cr_expect(!strcmp(c.name, curves[i].name) && !strcmp(c.unit, curves[i].unit), "curve %d: %s", i, c.name);
    }
    const char *name, *value;
    struct record_column column;
    struct record_curve curve;
    cr_expect(!record_fact(q, 3, &name, &value) && !record_column(q, -1, &column) && !record_curve(q, CURVES, &curve) &&
              !record_summary_info(q, SUMMARIES, &curve));
    cr_expect(!record_ints(q, "gain"));
    expect_error("a.h5: cases/gain: wrong type");
    cr_expect(!record_reals(q, "nothing"));
    expect_error("a.h5: cases/nothing: absent");
    cr_expect(!record_curve_of(q, "zeta", CASES) && !record_curve_of(q, "zeta", -1) && !record_curve_of(q, "x", 0));
    record_close(q);
    free(suite);
}

/* Other people's programs read it too; each is asked where it is installed. */
Test(record, other_readers) {
    write_file("a.h5", 0, 40, 7, "suite");
    if (!system("command -v h5dump >/dev/null"))
        cr_expect(!system("h5dump a.h5 >dump && grep -q 'STRSIZE 1024' dump && grep -q DIMENSION_LIST dump"));
    FILE *f = fopen("read.py", "w");
    fputs("import sys\n"
          "try: import h5py\n"
          "except ImportError: sys.exit(0)\n"
          "f = h5py.File('a.h5', 'r')\n"
          "c = f['curves/zeta']\n"
          "assert [d.label for d in c.dims] == ['case', 'layer'], c.dims\n"
          "assert c.dims[1][0][:].tolist() == list(range(1, 8)) and c.dims[0][0].shape == (40,)\n"
          "assert f['cases/key'].asstr()[3] == '--case 3' and f['cases/width'][1] == 2**40 - 5\n"
          "assert h5py.check_enum_dtype(f['cases/status'].dtype) == {'missing': 0, 'done': 1, 'failed': 2}\n"
          "assert f['cases/status'][:].min() == 1 and len(set(d.shape[0] for d in f['cases'].values())) == 1\n"
          "assert f.attrs['schema'].decode() == 'mhcbench/1.0' and f['cases/seconds'].attrs['units'] == b's'\n"
          "try: import xarray, h5netcdf\n"
          "except ImportError: sys.exit(0)\n"
          "for g in ('cases', 'curves', 'summary', 'panels', 'spectra'):\n"
          "    d = xarray.open_dataset('a.h5', group=g, engine='h5netcdf').load()\n"
          "    assert d.sizes['case'] == 40 and 'phony' not in str(d.sizes), d\n", f);
    fclose(f);
    if (!system("python3 -c '' 2>/dev/null"))
        cr_expect(!system("python3 read.py"), "h5py or xarray does not read the record");
    if (!system("/usr/bin/python3 -c '' 2>/dev/null"))
        cr_expect(!system("/usr/bin/python3 read.py"), "h5py or xarray does not read the record");
}

/* ---- Death and full disks --------------------------------------------------------------------------------------- */

/* HDF5 writes through this instead of the C library's, so that a test can end a process, or fill the disk, at any write. */
enum { PAGE = 4096 };
static struct {
    long writes;    /* so far */
    long last;      /* this one and later ones do not succeed; -1: none */
    int error;      /* errno of a failing write, 0: the process ends */
    int torn;       /* 1: its first page still reaches the file, 2: all but its last */
} disk = {.last = -1};

__attribute__((visibility("default"))) ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t offset);
ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t offset) {
    if (disk.last >= 0 && disk.writes >= disk.last) {
        const off_t end = offset + (off_t)size, cut = disk.torn == 1 ? offset / PAGE * PAGE + PAGE : (end - 1) / PAGE * PAGE;
        if (disk.torn && disk.writes == disk.last && cut > offset && cut < end) /* the kernel stops between pages */
            (void)!syscall(SYS_pwrite64, descriptor, bytes, (size_t)(cut - offset), offset);
        if (!disk.error)
            raise(SIGKILL);
        disk.writes++;
        errno = disk.error;
        return -1;
    }
    disk.writes++;
    return syscall(SYS_pwrite64, descriptor, bytes, size, offset);
}

struct shared {
    volatile int64_t flushed; /* cases that record_append() has promised */
    volatile long created;    /* writes until record_create() returned */
    volatile long writes;     /* in the whole run */
    volatile long at[512];    /* writes after each case */
};

static struct shared *share(void) {
    void *page = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(page != MAP_FAILED);
    return page;
}

/* A whole run in the calling process, resuming if there is something to resume. */
static bool whole_run(int64_t count, int64_t layers, struct shared *progress) {
    const struct record_schema schema = schema_of(layers, "suite");
    struct record *r = record_create("k.h5", &schema, true, false);
    if (!r)
        return false;
    progress->created = disk.writes;
    for (int64_t i = 0; i < count; i++) {
        char key[64];
        snprintf(key, sizeof key, "--case %lld", (long long)i);
        if (record_has(r, key))
            continue;
        if (!append(r, i, layers)) {
            record_finish(r, false);
            return false;
        }
        progress->flushed = i + 1;
        progress->at[i] = disk.writes;
    }
    const bool good = record_finish(r, true);
    progress->writes = disk.writes;
    return good;
}

static int run_in_child(int64_t count, int64_t layers, struct shared *progress) {
    const pid_t child = fork();
    if (child == 0)
        _exit(whole_run(count, layers, progress) ? 0 : 2);
    int status;
    waitpid(child, &status, 0);
    return status;
}

/* What is left of a run that ended early: every promised case, and at most the one that was being written. */
static void check_remains(int64_t layers, const struct shared *progress, const char *how) {
    if (exists("k.h5") || (!exists("k.h5.part") && !progress->created))
        return; /* it ended before there was a promise, or after the last */
    struct record_reader *r = record_open("k.h5.part");
    cr_assert(r, "%s after %lld cases: %s", how, (long long)progress->flushed, record_error());
    const int64_t found = record_count(r);
    cr_expect(found >= progress->flushed && found <= progress->flushed + 1, "%s: %lld cases, %lld were flushed", how, (long long)found,
              (long long)progress->flushed);
    for (int64_t i = 0; i < found; i++) {
        const char *wrong = difference(r, i, i, layers);
        cr_assert(!wrong, "%s after %lld cases: case %lld: %s", how, (long long)progress->flushed, (long long)i, wrong);
    }
    record_close(r);
}

static void clean(struct shared *progress) {
    unlink("k.h5");
    unlink("k.h5.part");
    unlink("k.h5.part.new");
    memset(progress, 0, sizeof *progress);
    disk.writes = 0;
    disk.last = -1;
    disk.error = 0;
}

/* Ends a run of `count` cases at every write from that of case `first` on, `step` apart. */
static void end_at_every_write(int64_t first, int64_t count, int64_t layers, long step, int error, int torn, struct shared *progress) {
    clean(progress);
    cr_assert(run_in_child(count, layers, progress) == 0, "%s", record_error());
    const long begin = first ? progress->at[first - 1] : 0, end = progress->writes;
    cr_expect(end - begin > 50, "HDF5 does not write through the test's pwrite");
    for (long k = begin; k <= end; k += step) {
        char how[100];
        clean(progress);
        disk.last = k;
        disk.error = error;
        disk.torn = torn;
        const int status = run_in_child(count, layers, progress);
        disk.last = -1;
        snprintf(how, sizeof how, "%s at write %ld of %ld", error ? strerror(error) : "killed", k, end);
        if (error)
            cr_expect(WIFEXITED(status), "%s: signal %d", how, WTERMSIG(status));
        check_remains(layers, progress, how);
    }
}

Test(record, killed_at_every_write) {
    struct shared *progress = share();
    for (int torn = 0; torn < 3; torn++) {
        end_at_every_write(0, 2, 50, 1, 0, torn, progress);
        end_at_every_write(18, 21, 50, 1, 0, torn, progress);
        end_at_every_write(31, 33, 7, 1, 0, torn, progress);    /* a second block of every dataset */
        end_at_every_write(130, 132, 600, 17, 0, torn, progress);
    }
}

Test(record, disk_broken_at_every_write) {
    struct shared *progress = share();
    end_at_every_write(0, 2, 7, 1, EIO, 0, progress);
    end_at_every_write(31, 33, 7, 1, EIO, 2, progress);
}

Test(record, killed_at_random) {
    enum { CASES = 60, LAYERS = 50, TRIALS = 40 };
    struct shared *progress = share();
    srandom(1);
    int early = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        clean(progress);
        const pid_t child = fork();
        if (child == 0)
            _exit(!whole_run(CASES, LAYERS, progress));
        usleep((useconds_t)(random() % 60000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        early += !exists("k.h5");
        check_remains(LAYERS, progress, "killed at random");
        if (trial % 4 == 0 && !exists("k.h5")) {
            cr_assert(run_in_child(CASES, LAYERS, progress) == 0, "no resuming");
            check_file("k.h5", 0, CASES, LAYERS);
        }
    }
    cr_expect(early > TRIALS / 4, "only %d of %d runs were killed before their end", early, TRIALS);
}

/* A limit on the file's size and, where a test may mount one, a small file system. */
Test(record, disk_full) {
    enum { LAYERS = 50 };
    struct shared *progress = share();
    signal(SIGXFSZ, SIG_IGN);
    const bool mounted = !mkdir("small", 0777) && !system("mount -t tmpfs -o size=2m tmpfs small 2>/dev/null");
    for (int way = 0; way < 1 + mounted; way++) {
        const char *path = way ? "small/a.h5" : "a.h5", *part = way ? "small/a.h5.part" : "a.h5.part";
        const pid_t child = fork();
        if (child == 0) {
            const struct rlimit limit = {1000000, RLIM_INFINITY};
            const struct record_schema schema = schema_of(LAYERS, "suite");
            if (!way)
                setrlimit(RLIMIT_FSIZE, &limit);
            struct record *r = record_create(path, &schema, false, false);
            int64_t i = 0;
            while (r && append(r, i, LAYERS))
                progress->flushed = ++i;
            const char *want = way ? "cannot write small/a.h5.part: No space left on device" : "cannot write a.h5.part: File too large";
            const bool told = r && strstr(record_error(), want) && !strchr(record_error(), '\n');
            const bool again = r && !append(r, i, LAYERS) && strstr(record_error(), want);
            _exit(told && again && !record_finish(r, true) && strstr(record_error(), want) ? 0 : 1);
        }
        int status;
        waitpid(child, &status, 0);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: status %d", path, status);
        cr_expect(progress->flushed > 10 && !exists(path), "%s: %lld cases fit", path, (long long)progress->flushed);
        check_file(part, 0, progress->flushed, LAYERS);
    }
    if (mounted)
        cr_expect(!system("umount small"));
}

/* ---- Resuming and refusing -------------------------------------------------------------------------------------- */

Test(record, resume) {
    enum { LAYERS = 7 };
    struct record_schema schema = schema_of(LAYERS, "suite");
    struct record *r = record_create("a.h5", &schema, true, false); /* with nothing to resume: a new one */
    cr_assert(r, "%s", record_error());
    for (int64_t i = 0; i < 14; i++)
        cr_assert(append(r, i, LAYERS));
    cr_assert(record_finish(r, false), "%s", record_error());
    cr_expect(exists("a.h5.part") && !exists("a.h5"));
    check_file("a.h5.part", 0, 14, LAYERS);
    cr_expect(!record_create("a.h5", &schema, false, false));
    expect_error("a.h5.part: was left by an unfinished run");

    size_t size, later;
    char *before = slurp("a.h5.part", &size);
    struct record_column other[COLUMNS];
    struct record_curve other_curve[CURVES];
    memcpy(other, columns, sizeof other);
    memcpy(other_curve, curves, sizeof other_curve);
    other[1].type = RECORD_INT;
    other_curve[1].name = "fourth";
    struct record_schema changed[6];
    for (int i = 0; i < 6; i++)
        changed[i] = schema;
    changed[0].suite = "another";
    changed[1].columns = other;
    changed[2].column_count--;
    changed[3].curves = other_curve;
    changed[4].layers++;
    changed[5].summary_count--;
    const char *const want[6] = {"is of another suite", "parameter 1 is gain", "3 parameters, not 2", "curves/forward, not fourth",
                                 "room for 7 layers", "2 datasets in summary, not 1"};
    for (int i = 0; i < 6; i++) {
        cr_expect(!record_create("a.h5", &changed[i], true, false), "change %d", i);
        expect_error(want[i]);
    }
    char *after = slurp("a.h5.part", &later);
    cr_expect(size == later && !memcmp(before, after, size), "a refused resume changed the file");
    free(before);
    free(after);

    r = record_create("a.h5", &schema, true, false);
    cr_assert(r, "%s", record_error());
    cr_expect(record_has(r, "--case 9") && !record_has(r, "--case 10"), "a failed case runs again, a finished one does not");
    cr_expect(!append(r, 3, LAYERS));
    expect_error("key repeated: --case 3");
    cr_assert(append(r, 14, LAYERS), "%s", record_error());
    cr_assert(record_finish(r, true), "%s", record_error());
    struct record_reader *q = record_open("a.h5");
    cr_assert(q, "%s", record_error());
    cr_expect(record_count(q) == 14);
    for (int64_t row = 0; row < record_count(q); row++)
        cr_expect(!difference(q, row, row < 10 ? row : row + 1, LAYERS), "row %lld", (long long)row);
    record_close(q);
    cr_expect(!record_create("a.h5", &schema, true, false));
    expect_error("a.h5: exists already");
    r = record_create("a.h5", &schema, false, true);
    cr_assert(r && record_finish(r, true), "%s", record_error());
    check_file("a.h5", 0, 0, LAYERS);
}

Test(record, refusals) {
    struct record_schema schema = schema_of(7, "suite");
    cr_expect(!record_create("nowhere/a.h5", &schema, false, false));
    expect_error("cannot write nowhere/a.h5.part.new: No such file or directory");
    cr_assert(!mkdir("dir", 0777) && !mkdir("b.h5.part", 0777));
    cr_expect(!record_create("dir", &schema, false, true));
    expect_error("dir: is there and is no regular file");
    cr_expect(!record_create("b.h5", &schema, false, true));
    expect_error("b.h5.part: is there and is no regular file");
    cr_assert(!symlink("/proc/version", "c.h5.part.new"));
    cr_expect(!record_create("c.h5", &schema, false, false));
    expect_error("cannot write c.h5.part.new: ");

    struct record_schema bad = schema;
    bad.layers = RECORD_MAX_LAYERS + 1;
    cr_expect(!record_create("a.h5", &bad, false, false));
    expect_error("65537 layers");
    const struct record_column own = {"key", "", "", RECORD_INT}, twice[] = {{"n", "", "", RECORD_INT}, {"n", "", "", RECORD_INT}};
    bad = schema;
    bad.columns = &own;
    bad.column_count = 1;
    cr_expect(!record_create("a.h5", &bad, false, false));
    expect_error("column key: not a usable name");
    bad.columns = twice;
    bad.column_count = 2;
    cr_expect(!record_create("a.h5", &bad, false, false));
    expect_error("dataset n: ");
    cr_expect(!exists("a.h5") && !exists("a.h5.part") && !exists("a.h5.part.new"), "something was left behind");

    struct record *r = record_create("a.h5", &schema, false, false);
    cr_assert(r, "%s", record_error());
    struct example e;
    char longer[2000];
    memset(longer, 'x', sizeof longer);
    longer[RECORD_KEY_BYTES + 1] = 0;
    example_init(&e, 0, 7);
    struct record_case c = e.c;
    c.key = longer;
    cr_expect(!record_append(r, &c));
    expect_error("key of 1025 bytes: at most 1024 fit: xxx");
    c = e.c;
    e.values[2].text = longer;
    cr_expect(!record_append(r, &c));
    expect_error("input: text of 1025 bytes, at most 256 fit: xxx");
    e.values[2].text = e.text;
    c.layers = 8;
    cr_expect(!record_append(r, &c));
    expect_error("8 layers: the record has room for 7");
    c = e.c;
    c.streams = STREAMS + 1;
    cr_expect(!record_append(r, &c));
    expect_error("4 streams: the record has room for 3");
    longer[RECORD_KEY_BYTES] = 0; /* the longest key, and a text that fills its place, unterminated in the file */
    char full[RECORD_TEXT_BYTES + 1], reason[RECORD_REASON_BYTES + 100];
    memset(full, 'y', sizeof full);
    full[RECORD_TEXT_BYTES] = 0;
    reason[0] = 'r';
    for (size_t i = 1; i < sizeof reason; i += 2)
        memcpy(reason + i, "é", i + 2 < sizeof reason ? 2 : 1);
    reason[sizeof reason - 1] = 0;
    c = e.c;
    c.key = longer;
    c.reason = reason;
    e.values[2].text = full;
    cr_expect(record_append(r, &c), "%s", record_error());
    cr_assert(record_finish(r, true), "%s", record_error());
    example_free(&e);
    struct record_reader *q = record_open("a.h5");
    cr_assert(q && record_count(q) == 1, "%s", record_error());
    const char *got = record_texts(q, "reason")[0];
    const size_t length = strlen(got);
    cr_expect(!strcmp(record_texts(q, "key")[0], longer) && !strcmp(record_texts(q, "input")[0], full));
    cr_expect(length <= RECORD_REASON_BYTES && length > RECORD_REASON_BYTES - 5 && !strcmp(got + length - 5, "é..."), "reason ends in %s",
              got + length - 6);
    record_close(q);
}

/* ---- Hostile files ---------------------------------------------------------------------------------------------- */

/* Opens the file, reads everything a reader can ask for and exports it. */
static void read_everything(const char *path) {
    struct record_reader *r = record_open(path);
    if (!r)
        return;
    double *panel = malloc(sizeof(double) * PANEL * RECORD_MAX_STREAMS * RECORD_MAX_STREAMS), scale[PANEL];
    for (int64_t i = 0; i < record_count(r); i++) {
        record_panels(r, i, record_panel_streams(r, i), panel, scale);
        const int64_t *layers = record_ints(r, "layers"), n = record_spectrum_streams(r, i);
        double *spectrum = malloc(sizeof(double) * (size_t)((layers ? layers[i] : 0) * n + 1));
        record_spectrum(r, i, n, spectrum);
        free(spectrum);
    }
    free(panel);
    for (int k = 0; k < 2; k++) {
        record_export_csv(r, k ? "cases" : "curves", "/dev/null");
        record_export_json(r, k ? "cases" : "curves", "/dev/null");
    }
    record_close(r);
}

/* Reads in a process of its own. What that process dies of is reported, unless it died inside HDF5: a signal raised there
 * is the business of the worker that reads files for the program. */
static void survive(const char *path, const char *how, int *inside_hdf5) {
    const pid_t child = fork();
    if (child == 0) {
#ifndef __SANITIZE_ADDRESS__ /* which reserves more for itself */
        const struct rlimit memory = {(rlim_t)4 << 30, (rlim_t)4 << 30};
        setrlimit(RLIMIT_DATA, &memory);
#endif
        alarm(20);
        read_everything(path);
        _exit(*record_error() || !strchr(record_error(), '\n') ? 0 : 3);
    }
    int status;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "%s: signal %d\n", how, WTERMSIG(status));
        ++*inside_hdf5;
    } else {
        cr_expect(WEXITSTATUS(status) == 0, "%s: exit %d", how, WEXITSTATUS(status));
    }
}

Test(record, fuzz) {
    enum { CUTS = 200, FLIPS = 500 };
    write_file("a.h5", 0, 9, 7, "suite");
    size_t size;
    char *bytes = slurp("a.h5", &size), how[100];
    int inside_hdf5 = 0;
    for (int i = 0; i < CUTS; i++) {
        const size_t length = size * (size_t)i / CUTS;
        snprintf(how, sizeof how, "cut to %zu of %zu bytes", length, size);
        spit("f.h5", bytes, length);
        survive("f.h5", how, &inside_hdf5);
    }
    uint64_t state = 42; /* MMIX's generator, so that every run tries the same files */
    for (int i = 0; i < FLIPS; i++) {
        char *copy = malloc(size);
        memcpy(copy, bytes, size);
        for (int k = 0; k < 1 + i % 8; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            size_t at = (size_t)(state >> 16) % size;
            if (i % 2) /* most of the file is chunks; half of the trials aim at what is not zero */
                for (size_t step = 0; step < size && !copy[at]; step++)
                    at = (at + 1) % size;
            copy[at] = (char)(state >> 8);
        }
        snprintf(how, sizeof how, "flip %d", i);
        spit("f.h5", copy, size);
        survive("f.h5", how, &inside_hdf5);
        free(copy);
    }
    free(bytes);
    cr_expect(inside_hdf5 <= FLIPS / 50, "%d of %d damaged files ended the reader by a signal", inside_hdf5, FLIPS + CUTS);
}

/* Opens a copy of the good file for tampering. */
static hid_t tamper(const char *bytes, size_t size) {
    spit("h.h5", bytes, size);
    return H5Fopen("h.h5", H5F_ACC_RDWR, H5P_DEFAULT);
}

static void replace_dataset(hid_t file, const char *path, hid_t type, int rank, const hsize_t *extent, const hsize_t *chunk, hid_t creation) {
    hid_t properties = creation >= 0 ? creation : H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(rank, extent, NULL);
    if (chunk)
        H5Pset_chunk(properties, rank, chunk);
    H5Ldelete(file, path, H5P_DEFAULT);
    hid_t dataset = H5Dcreate2(file, path, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    cr_assert(dataset >= 0, "%s", path);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(properties);
}

static void set_text(hid_t file, const char *name, const char *value) {
    H5Adelete(file, name);
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, strlen(value));
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    cr_assert(attribute >= 0 && H5Awrite(attribute, type, value) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static void expect_opened(void) {
    struct record_reader *r = record_open("h.h5");
    cr_expect(r, "%s", record_error());
    record_close(r);
}

static void expect_refused(const char *want) {
    struct record_reader *r = record_open("h.h5");
    cr_expect(!r, "`%s` was not refused", want);
    if (!r)
        expect_error(want);
    record_close(r);
}

Test(record, hostile) {
    write_file("a.h5", 0, 9, 7, "suite");
    size_t size;
    char *bytes = slurp("a.h5", &size);
    const hsize_t nine = 9, three = 3, huge = (hsize_t)1 << 40, square[] = {9, 9}, wide[] = {9, 3}, vast[] = {9, (hsize_t)1 << 33};
    const hsize_t big_chunk[] = {1, 60000}, broad[] = {9, 60000};
    hid_t variable = H5Tcopy(H5T_C_S1), file, creation;
    H5Tset_size(variable, H5T_VARIABLE);

    unlink("h.h5");
    expect_refused("h.h5: No such file or directory");
    spit("h.h5", "plain text", 10);
    expect_refused("h.h5: no HDF5 file");
    cr_expect(!record_open("."));
    expect_error(".: no regular file");
    spit("h.h5", bytes, size / 2);
    expect_refused("h.h5: truncated or damaged");

    file = tamper(bytes, size), set_text(file, "schema", "mhcbench/2.0"), H5Fclose(file);
    expect_refused("h.h5: schema mhcbench/2.0: this program reads mhcbench/1.x");
    file = tamper(bytes, size), set_text(file, "schema", "mhcbench/1.7"), H5Fclose(file);
    check_file("h.h5", 0, 9, 7);
    file = tamper(bytes, size), set_text(file, "schema", "nonsense\n\033[2J"), H5Fclose(file);
    expect_refused("h.h5: schema nonsense??[2J: this program");
    file = tamper(bytes, size), H5Adelete(file, "schema"), H5Fclose(file);
    expect_refused("h.h5: no record of mhcbench");
    file = tamper(bytes, size), H5Adelete(file, "status"), H5Fclose(file);
    expect_refused("h.h5: no attribute status");
    file = tamper(bytes, size), H5Ldelete(file, "cases", H5P_DEFAULT), H5Fclose(file);
    expect_refused("h.h5: cases: absent");
    file = tamper(bytes, size), H5Ldelete(file, "cases/layers", H5P_DEFAULT), H5Fclose(file);
    expect_refused("h.h5: cases/layers: absent");

    file = tamper(bytes, size), replace_dataset(file, "cases/key", H5T_STD_I64LE, 1, &nine, NULL, -1), H5Fclose(file);
    expect_refused("h.h5: cases/key: wrong type");
    file = tamper(bytes, size), replace_dataset(file, "cases/key", variable, 1, &nine, NULL, -1), H5Fclose(file);
    expect_refused("h.h5: cases/key: wrong type");
    file = tamper(bytes, size), replace_dataset(file, "cases/status", H5T_STD_I8LE, 1, &nine, NULL, -1), H5Fclose(file);
    expect_refused("h.h5: cases/status: wrong type");
    file = tamper(bytes, size), replace_dataset(file, "cases/seconds", H5T_IEEE_F64LE, 2, square, NULL, -1), H5Fclose(file);
    expect_refused("h.h5: cases/seconds: wrong number of dimensions");
    file = tamper(bytes, size), replace_dataset(file, "cases/gain", H5T_IEEE_F64LE, 1, &three, NULL, -1), H5Fclose(file);
    expect_refused("h.h5: cases/gain: fewer rows than cases");
    file = tamper(bytes, size), replace_dataset(file, "summary/peak", H5T_IEEE_F64LE, 1, &huge, &three, -1), H5Fclose(file);
    expect_opened(); /* rows beyond the cases are never read */
    file = tamper(bytes, size), replace_dataset(file, "curves/rare", H5T_IEEE_F64LE, 2, wide, NULL, -1), H5Fclose(file);
    expect_refused("h.h5: curves/rare: 3 layers wide, case 0 has 7");
    file = tamper(bytes, size), replace_dataset(file, "curves/rare", H5T_IEEE_F64LE, 2, vast, (hsize_t[]){1, 1}, -1), H5Fclose(file);
    expect_refused("h.h5: curves/rare: impossible extent");
    file = tamper(bytes, size), replace_dataset(file, "cases/width", H5T_STD_I64LE, 1, &huge, (hsize_t[]){1 << 28}, -1), H5Fclose(file);
    expect_refused("h.h5: cases/width: chunks too large");
    file = tamper(bytes, size), replace_dataset(file, "curves/rare", H5T_IEEE_F64LE, 2, broad, big_chunk, -1), H5Fclose(file);
    expect_opened();
    file = tamper(bytes, size), replace_dataset(file, "panels/composite", H5T_IEEE_F64LE, 2, wide, NULL, -1), H5Fclose(file);
    expect_refused("h.h5: panels/composite: wrong number of dimensions");

    creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(creation, "/etc/passwd", 0, 72);
    file = tamper(bytes, size), replace_dataset(file, "cases/gain", H5T_IEEE_F64LE, 1, &nine, NULL, creation), H5Fclose(file);
    expect_refused("h.h5: cases/gain: data in another file");
    creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_filter(creation, 32001, H5Z_FLAG_OPTIONAL, 0, NULL);
    file = tamper(bytes, size), replace_dataset(file, "cases/gain", H5T_IEEE_F64LE, 1, &nine, &three, creation), H5Fclose(file);
    expect_refused("h.h5: cases/gain: a filter other than deflate");

    file = tamper(bytes, size);
    H5Ldelete(file, "cases/seconds", H5P_DEFAULT);
    H5Lcreate_external("a.h5", "/cases/seconds", file, "cases/seconds", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    expect_refused("h.h5: cases/seconds: a link, not a dataset");
    file = tamper(bytes, size);
    H5Ldelete(file, "curves", H5P_DEFAULT);
    H5Lcreate_soft("/curves", file, "curves", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    expect_refused("h.h5: curves: a link, not a group");

    /* What a later minor version may add is ignored: groups, cycles of them, datasets of other ranks and types, links. */
    file = tamper(bytes, size);
    H5Lcreate_hard(file, "/", file, "cases/cycle", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "/cases", file, "curves/cycle", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("a.h5", "/", file, "summary/elsewhere", H5P_DEFAULT, H5P_DEFAULT);
    replace_dataset(file, "cases/extra", H5T_IEEE_F64LE, 2, square, NULL, -1);
    replace_dataset(file, "curves/extra", variable, 2, square, NULL, -1);
    replace_dataset(file, "extra", H5T_STD_REF_OBJ, 1, &nine, NULL, -1);
    H5Fclose(file);
    check_file("h.h5", 0, 9, 7);

    int inside_hdf5 = 0;
    file = tamper(bytes, size);
    int64_t layers = INT64_MAX, streams[9] = {-1, 99, 3, 3, 3, 3, 3, 3, 3};
    hid_t dataset = H5Dopen2(file, "panels/streams", H5P_DEFAULT);
    H5Dwrite(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, streams);
    H5Dclose(dataset);
    H5Fclose(file);
    survive("h.h5", "wrong streams", &inside_hdf5);
    file = tamper(bytes, size);
    dataset = H5Dopen2(file, "cases/layers", H5P_DEFAULT);
    hid_t space = H5Dget_space(dataset), one = H5Screate(H5S_SCALAR);
    H5Sselect_elements(space, H5S_SELECT_SET, 1, &three);
    H5Dwrite(dataset, H5T_NATIVE_INT64, one, space, H5P_DEFAULT, &layers);
    H5Sclose(space), H5Sclose(one), H5Dclose(dataset), H5Fclose(file);
    expect_refused("h.h5: cases/layers: case 3 has 9223372036854775807 layers");
    cr_expect(inside_hdf5 == 0);
    free(bytes);
    if (!system("command -v h5repack >/dev/null")) { /* an archived copy is a record like any other */
        cr_expect(!system("h5repack -f SHUF -f GZIP=4 a.h5 packed.h5"));
        check_file("packed.h5", 0, 9, 7);
    }
}

/* ---- Export and merge ------------------------------------------------------------------------------------------- */

static void expect_text(const char *path, const char *want) {
    size_t size;
    char *got = slurp(path, &size);
    const char *body = got;
    while (*body == '#')
        body = strchr(body, '\n') + 1;
    cr_expect_str_eq(body, want, "%s is\n%s\nwant\n%s", path, body, want);
    free(got);
}

Test(record, export) {
    const struct record_column one[] = {{"n", "1", "", RECORD_INT}, {"std", "1", "", RECORD_REAL}, {"note", "", "", RECORD_TEXT}};
    const struct record_curve curve[] = {{"gain", "1", ""}, {"loss", "1", ""}}, peak[] = {{"peak", "1", ""}};
    const struct record_schema schema = {one, 3, curve, 2, peak, 1, 3, 0, 2, facts, 3, "p", "c", "line 1\nline 2\n"};
    struct record *r = record_create("a.h5", &schema, false, false);
    cr_assert(r, "%s", record_error());
    const double gain[] = {0.1, NAN, -INFINITY}, inf = INFINITY;
    const union record_value plain[] = {{.i = -7}, {.r = 1e300}, {.text = "say \"a, b\""}};
    const union record_value odd[] = {{.i = INT64_MIN}, {.r = NAN}, {.text = "tab\tnew\nline \\ \xff é"}};
    const double *const first[] = {gain, NULL};
    const struct record_case a = {.key = "--n -7", .status = RECORD_DONE, .seconds = 0.5, .layers = 3, .values = plain, .curves = first, .summaries = &inf};
    const struct record_case b = {.key = "--n 1,2", .status = RECORD_FAILED, .reason = "signal 9", .seconds = 2, .layers = 2, .values = odd};
    cr_assert(record_append(r, &a) && record_append(r, &b) && record_finish(r, true), "%s", record_error());
    struct record_reader *q = record_open("a.h5");
    cr_assert(q, "%s", record_error());
    cr_assert(record_export_csv(q, "cases", "cases.csv") && record_export_csv(q, "curves", "curves.csv") &&
              record_export_json(q, "cases", "cases.json") && record_export_json(q, "curves", "curves.json"), "%s", record_error());
    expect_text("cases.csv", "case,key,status,reason,seconds,layers,n,std,note,peak\n"
                             "0,--n -7,done,,0.5,3,-7,1.0000000000000001e+300,\"say \"\"a, b\"\"\",\n"
                             "1,\"--n 1,2\",failed,signal 9,2,2,-9223372036854775808,,\"tab\tnew\nline \\ \xff é\",\n");
    expect_text("curves.csv", "case,key,layer,gain,loss\n"
                              "0,--n -7,1,0.10000000000000001,\n"
                              "0,--n -7,2,,\n"
                              "0,--n -7,3,,\n");
    expect_text("cases.json", "[\n{\"case\":0,\"key\":\"--n -7\",\"status\":\"done\",\"reason\":\"\",\"seconds\":0.5,\"layers\":3,\"n\":-7,"
                              "\"std\":1.0000000000000001e+300,\"note\":\"say \\\"a, b\\\"\",\"peak\":\"Infinity\"},\n"
                              "{\"case\":1,\"key\":\"--n 1,2\",\"status\":\"failed\",\"reason\":\"signal 9\",\"seconds\":2,\"layers\":2,"
                              "\"n\":-9223372036854775808,\"std\":null,\"note\":\"tab\\u0009new\\u000aline \\\\ \\ufffd é\",\"peak\":null}\n]\n");
    expect_text("curves.json", "[\n{\"case\":0,\"key\":\"--n -7\",\"layer\":1,\"gain\":0.10000000000000001,\"loss\":null},\n"
                               "{\"case\":0,\"key\":\"--n -7\",\"layer\":2,\"gain\":null,\"loss\":null},\n"
                               "{\"case\":0,\"key\":\"--n -7\",\"layer\":3,\"gain\":\"-Infinity\",\"loss\":null}\n]\n");
    size_t size;
    char *csv = slurp("cases.csv", &size);
    cr_expect(!strncmp(csv, "# schema: mhcbench/1.0\n# status: complete\n", 42) && strstr(csv, "\n# suite: line 1\n#   line 2\n# host: here\n"),
              "provenance is\n%s", csv);
    free(csv);
    cr_expect(!record_export_csv(q, "layers", "x.csv"));
    expect_error("export: layers: neither cases nor curves");
    cr_expect(!record_export_csv(q, "cases", "nowhere/x.csv"));
    expect_error("cannot write nowhere/x.csv: No such file or directory");
    if (exists("/dev/full")) {
        cr_expect(!record_export_json(q, "cases", "/dev/full"));
        expect_error("cannot write /dev/full: No space left on device");
    }
    record_close(q);
}

Test(record, merge) {
    write_file("a.h5", 0, 20, 7, "suite");
    write_file("b.h5", 20, 20, 7, "suite");
    write_file("other.h5", 40, 3, 7, "another suite");
    const char *const good[] = {"a.h5", "b.h5"}, *const repeated[] = {"a.h5", "b.h5", "a.h5"}, *const mixed[] = {"a.h5", "other.h5"};
    const char *const absent[] = {"a.h5", "c.h5"}, *const part[] = {"c.h5.part"};
    cr_assert(record_merge("all.h5", good, 2, false), "%s", record_error());
    check_file("all.h5", 0, 40, 7);
    struct record_reader *r = record_open("all.h5");
    const char *name, *value;
    cr_assert(r && record_complete(r) && record_fact_count(r) == 3 && record_fact(r, 0, &name, &value));
    cr_expect(!strcmp(name, "host") && !strcmp(value, "here") && !strcmp(record_attribute(r, "suite"), "suite"));
    record_close(r);
    cr_expect(!record_merge("all.h5", good, 2, false));
    expect_error("all.h5: exists already");
    cr_assert(record_merge("all.h5", good, 2, true), "%s", record_error());
    cr_expect(!record_merge("x.h5", repeated, 3, false));
    expect_error("a.h5: key repeated: --case 0");
    cr_expect(!record_merge("x.h5", mixed, 2, false));
    expect_error("other.h5: is of another suite");
    cr_expect(!record_merge("x.h5", absent, 2, false));
    expect_error("c.h5: No such file or directory");
    cr_expect(!record_merge("x.h5", NULL, 0, false));
    cr_expect(!exists("x.h5") && !exists("x.h5.part"), "a failed merge left something behind");
    cr_assert(!rename("b.h5", "c.h5.part"));
    cr_expect(!record_merge("c.h5", part, 1, true));
    expect_error("c.h5.part: would be overwritten");

    const struct record_fact there[] = {{"host", "there"}, {"cpu", "µ-processor"}, {"empty", ""}};
    struct record_schema schema = schema_of(7, "suite");
    schema.facts = there;
    struct record *w = record_create("d.h5", &schema, false, false);
    cr_assert(w && append(w, 20, 7) && append(w, 21, 7) && record_finish(w, false), "%s", record_error());
    const char *const unfinished[] = {"a.h5", "d.h5.part"};
    cr_assert(record_merge("e.h5", unfinished, 2, false), "%s", record_error());
    check_file("e.h5", 0, 22, 7);
    r = record_open("e.h5");
    cr_assert(r && record_fact(r, 0, &name, &value));
    cr_expect(!record_complete(r) && !strcmp(value, "here; there"), "host is %s", value);
    cr_assert(record_fact(r, 1, &name, &value));
    cr_expect(!strcmp(value, "µ-processor"), "cpu is %s", value);
    record_close(r);
}
