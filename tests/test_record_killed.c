/* The HDF5 record: a writer may be killed at any write, and the disk may fail, and every case that was promised is
 * there. */
#include "tests/record_expect.h"

#include <hdf5.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

TestSuite(record_killed, .init = enter, .fini = leave, .timeout = 1800);

/* HDF5 writes through this instead of the C library's, so that a test can end a process, or fill the disk, at any
 * write. */
enum { PAGE = 4096, MOST_WRITES = 1 << 16 };
static struct {
    long writes; /* so far */
    long last;   /* this one and later ones do not succeed; -1: none */
    int error;   /* errno of a failing write, 0: the process ends */
    int torn;    /* 1: its first page still reaches the file, 2: all but its last */
    char *pages; /* [MOST_WRITES], where a run marks the writes that cover more than a page; NULL: nowhere */
} disk = {.last = -1};

__attribute__((visibility("default"))) ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t offset);
ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t offset) {
    if (disk.last >= 0 && disk.writes >= disk.last) {
        const off_t end = offset + (off_t)size,
                    cut = disk.torn == 1 ? offset / PAGE * PAGE + PAGE : (end - 1) / PAGE * PAGE;
        if (disk.torn && disk.writes == disk.last && cut > offset && cut < end) /* the kernel stops between pages */
            (void)!syscall(SYS_pwrite64, descriptor, bytes, (size_t)(cut - offset), offset);
        if (!disk.error)
            raise(SIGKILL);
        disk.writes++;
        errno = disk.error;
        return -1;
    }
    if (disk.pages && disk.writes < MOST_WRITES)
        disk.pages[disk.writes] = offset / PAGE != (offset + (off_t)size - 1) / PAGE;
    disk.writes++;
    return syscall(SYS_pwrite64, descriptor, bytes, size, offset);
}

struct shared {
    volatile int64_t flushed; /* cases that record_append() or record_commit() has promised */
    volatile long created;    /* writes until record_create() returned */
    volatile long writes;     /* in the whole run */
    volatile long at[512];    /* writes after each case */
    char pages[MOST_WRITES];  /* of the whole run, see disk.pages */
};

static struct shared *share(void) {
    void *page = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(page != MAP_FAILED);
    return page;
}

/* Whether cases come some places before or behind their rows, as from many workers. */
static bool out_of_order;
/* How many cases are committed at once. */
static int64_t together = 1;

static int64_t case_at(int64_t k, int64_t count) {
    const int64_t first = k / 5 * 5, length = count - first < 5 ? count - first : 5;
    return out_of_order ? first + length - 1 - k % 5 : k;
}

/* A whole run in the calling process, resuming if there is something to resume. */
static bool whole_run(int64_t count, int64_t layers, struct shared *progress) {
    struct record_schema schema = schema_of(layers, "suite");
    static char key[512][32];
    static const char *keys[512];
    for (int64_t i = 0; i < count; i++) {
        snprintf(key[i], sizeof key[i], "--case %lld", (long long)i);
        keys[i] = key[i];
    }
    if (out_of_order) {
        schema.cases = count;
        schema.keys = keys;
    }
    struct record *r = record_create("k.h5", &schema, true, false);
    if (!r)
        return false;
    progress->created = disk.writes;
    for (int64_t k = 0; k < count; k++) {
        const int64_t i = case_at(k, count);
        if (record_has(r, keys[i]))
            continue;
        const bool commits = (k + 1) % together == 0 || k + 1 == count;
        if (!append_by(record_append_soon, r, i, layers) || (commits && !record_commit(r))) {
            record_finish(r, false);
            return false;
        }
        progress->flushed = commits ? k + 1 : progress->flushed;
        progress->at[k] = disk.writes;
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

static herr_t read_object(hid_t file, const char *name, const H5O_info_t *info, void *bad) {
    char *text = bad;
    if (info->type != H5O_TYPE_DATASET || *text)
        return 0;
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT), space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    const hssize_t values = H5Sget_simple_extent_npoints(space);
    void *all = malloc((size_t)(values > 0 ? values : 0) * H5Tget_size(type) + 1);
    if (dataset < 0 || values < 0 || !all || H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, all) < 0)
        snprintf(text, 200, "%s", name);
    free(all);
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(dataset);
    return 0;
}

/* Every value of every dataset can be read, as h5dump and h5py read them, also of rows that do not count yet. */
static void check_every_value(const char *path, const char *how) {
    char bad[200] = "";
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    cr_assert(file >= 0, "%s: %s cannot be opened", how, path);
    const herr_t visited = H5Ovisit(file, H5_INDEX_NAME, H5_ITER_INC, read_object, bad);
    cr_expect(visited >= 0 && !*bad, "%s: %s of %s cannot be read", how, *bad ? bad : "an object", path);
    H5Fclose(file);
}

/* What is left of a run that ended early: every promised case, and at most those that were being written; rows in the
 * order of the cases. */
static void check_remains(int64_t count, int64_t layers, const struct shared *progress, const char *how) {
    if (exists("k.h5") || (!exists("k.h5.part") && !progress->created))
        return; /* it ended before there was a promise, or after the last */
    struct record_reader *r = record_open("k.h5.part");
    cr_assert(r, "%s after %lld cases: %s", how, (long long)progress->flushed, record_error());
    const int64_t found = record_count(r);
    cr_expect(found >= progress->flushed && found <= progress->flushed + together, "%s: %lld cases, %lld were flushed",
              how, (long long)found, (long long)progress->flushed);
    int64_t row = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t k = 0;
        while (case_at(k, count) != i)
            k++;
        if (k >= found)
            continue;
        const char *wrong = difference(r, row++, i, layers);
        cr_assert(!wrong, "%s after %lld cases: case %lld: %s", how, (long long)progress->flushed, (long long)i, wrong);
    }
    cr_expect(row == found);
    record_close(r);
    check_every_value("k.h5.part", how);
}

static void clean(struct shared *progress) {
    unlink("k.h5");
    unlink("k.h5.part");
    unlink("k.h5.part.new");
    memset(progress, 0, sizeof *progress);
    disk.writes = 0;
    disk.last = -1;
    disk.error = 0;
    disk.pages = NULL;
}

/* The write to try after the write `now`. From just before the file takes its name until it is being sealed readers
 * rely on it, and writes `step` apart are tried; before and after that fewer are. */
static long next_write(long now, long step, long named, long sealing) {
    const long far = 37 * step;
    if (now >= sealing)
        return now + far;
    return now < named ? (now + far < named ? now + far : named) : now + step;
}

/* Ends a run of `count` cases at every write from that of case `first` on, `step` apart; torn, at every write that can
 * be. */
static void end_at_every_write(int64_t first, int64_t count, int64_t layers, long step, int error, int torn,
                               struct shared *progress) {
    static char pages[MOST_WRITES];
    clean(progress);
    disk.pages = progress->pages;
    cr_assert(run_in_child(count, layers, progress) == 0, "%s", record_error());
    memcpy(pages, progress->pages, sizeof pages);
    const long begin = first ? progress->at[first - 1] : 0, end = progress->writes;
    cr_expect(end - begin > 50 && end < MOST_WRITES, "HDF5 does not write through the test's pwrite");
    const long named = progress->created - 10, sealing = progress->at[count - 1] + 60;
    const bool whole_too = error || !torn;
    int tried = 0;
    for (long k = begin; k <= end; k = next_write(k, whole_too ? step : 1, named, sealing)) {
        if (!whole_too && !pages[k])
            continue;
        char how[100];
        tried++;
        clean(progress);
        disk.last = k;
        disk.error = error;
        disk.torn = torn;
        const int status = run_in_child(count, layers, progress);
        disk.last = -1;
        snprintf(how, sizeof how, "%s at write %ld of %ld", error ? strerror(error) : "killed", k, end);
        if (error)
            cr_expect(WIFEXITED(status), "%s: signal %d", how, WTERMSIG(status));
        check_remains(count, layers, progress, how);
    }
    cr_expect(tried > 0, "nothing to tear");
}

Test(record_killed, at_every_write) {
    struct shared *progress = share();
    end_at_every_write(0, 2, 50, 1, 0, 0, progress);
    end_at_every_write(130, 132, 600, 41, 0, 0, progress);
    for (int torn = 0; torn < 3; torn++) {
        end_at_every_write(18, 21, 50, 1, 0, torn, progress);
        end_at_every_write(31, 33, 7, 1, 0, torn, progress); /* a second block of every dataset */
    }
}

/* What is known of a case before its end: all its samples, half of its scalars. */
static bool write_checkpoint(struct record *r, int64_t i, int64_t layers) {
    struct example e;
    example_init(&e, i, layers);
    struct record_case early = e.c;
    const double half[TIMINGS] = {e.timings[0], NAN};
    early.status = RECORD_FAILED;
    early.reason = RECORD_UNFINISHED "the other half";
    early.timings = half;
    const bool good = record_checkpoint(r, &early);
    example_free(&e);
    return good;
}

/* Two cases, then one with a checkpoint, and one more; the checkpoint is written twice and its case appended, before
 * the other or after it, or not at all. progress->flushed counts what was promised. */
enum after_checkpoint { ITS_CASE, OTHER_CASE, OTHER_THEN_ITS_CASE, WAYS };

static void run_with_checkpoint(int64_t layers, enum after_checkpoint way, struct shared *progress) {
    const struct record_schema schema = schema_of(layers, "suite");
    struct record *r = record_create("k.h5", &schema, false, true);
    bool good = r && append(r, 0, layers) && append(r, 1, layers);
    progress->created = disk.writes;
    good = good && write_checkpoint(r, 2, layers);
    progress->flushed = 3;
    progress->at[0] = disk.writes;
    good = good && (way != ITS_CASE || (write_checkpoint(r, 2, layers) && append(r, 2, layers)));
    progress->flushed += way == ITS_CASE;
    good = good && append(r, 4, layers);
    good = good && (way != OTHER_THEN_ITS_CASE || (write_checkpoint(r, 2, layers) && append(r, 2, layers)));
    progress->flushed += way == OTHER_THEN_ITS_CASE;
    good = good && (way == OTHER_CASE || (!append(r, 2, layers) && strstr(record_error(), "key repeated")));
    progress->writes = disk.writes;
    _exit(good && record_finish(r, true) ? 0 : 2);
}

/* Whatever write was the last, what a checkpoint promised is there, flagged until the case is done. */
static void check_checkpoint(const char *path, int64_t layers, int64_t promised, const char *how) {
    struct record_reader *r = record_open(path);
    cr_assert(r, "%s: %s", how, record_error());
    const int64_t count = record_count(r);
    cr_assert(count >= 2 && (promised < 3 || count >= 3), "%s: %lld cases", how, (long long)count);
    for (int64_t k = 0; k < 2; k++)
        cr_expect(!difference(r, k, k, layers), "%s: case %lld: %s", how, (long long)k, difference(r, k, k, layers));
    if (count > 2) {
        struct example e;
        struct record_timing t;
        example_init(&e, 2, layers);
        bool done = !strcmp(record_texts(r, "status")[2], "done"), unfinished = record_unfinished(r, 2);
        cr_expect(done != unfinished && (promised < 4 || done), "%s: %s, %s", how, record_texts(r, "status")[2],
                  record_texts(r, "reason")[2]);
        cr_expect(!strcmp(record_texts(r, "key")[2], e.key) &&
                      same(record_timing_value(r, timings[0].name)[2], e.timings[0]) && record_timing(r, 2, &t) &&
                      t.rounds == e.timing.rounds && !memcmp(t.order, e.order, (size_t)(SUBJECTS * t.rounds)),
                  "%s: the headline", how);
        if (promised >= 4)
            cr_expect(!difference(r, 2, 2, layers), "%s: %s", how, difference(r, 2, 2, layers));
        example_free(&e);
    }
    if (count > 3)
        cr_expect(!difference(r, 3, 4, layers), "%s: the next case: %s", how, difference(r, 3, 4, layers));
    record_close(r);
}

Test(record_killed, between_a_checkpoint_and_its_case) {
    enum { LAYERS = 20 };
    struct shared *progress = share();
    for (enum after_checkpoint way = ITS_CASE; way < WAYS; way++)
        for (int torn = 0; torn < 3; torn++) {
            static char pages[MOST_WRITES];
            long first = -1, last = 0;
            for (long k = -1; k <= last; k = k < 0 ? first : k + 1) {
                char how[100];
                int status;
                if (k >= 0 && torn && !pages[k]) /* nothing to tear */
                    continue;
                clean(progress);
                disk.last = k;
                disk.torn = torn;
                disk.pages = k < 0 ? progress->pages : NULL;
                const pid_t child = fork();
                if (child == 0)
                    run_with_checkpoint(LAYERS, way, progress);
                waitpid(child, &status, 0);
                disk.last = -1;
                snprintf(how, sizeof how, "killed at write %ld (torn %d, way %d)", k, torn, (int)way);
                if (k < 0) { /* the whole run */
                    cr_assert(WIFEXITED(status) && !WEXITSTATUS(status), "status %d", status);
                    check_checkpoint("k.h5", LAYERS, progress->flushed, "the whole run");
                    first = progress->created;
                    last = progress->writes;
                    memcpy(pages, progress->pages, sizeof pages);
                    cr_assert(last - first > 30 && last < MOST_WRITES);
                } else if (!exists("k.h5")) {
                    check_checkpoint("k.h5.part", LAYERS, progress->flushed, how);
                }
            }
        }
}

/* Five cases come to count together; those of one commit lie in two blocks. The last time on a full disk. */
Test(record_killed, at_every_write_of_a_commit) {
    struct shared *progress = share();
    together = 5;
    for (int torn = 0; torn < 3; torn++)
        end_at_every_write(30, 40, 7, 1, 0, torn, progress);
    end_at_every_write(30, 40, 7, 3, ENOSPC, 0, progress);
}

Test(record_killed, at_every_write_of_cases_out_of_order) {
    struct shared *progress = share();
    out_of_order = true;
    end_at_every_write(0, 3, 7, 1, 0, 0, progress);
    for (int torn = 0; torn < 3; torn++)
        end_at_every_write(30, 34, 7, 2, 0, torn, progress); /* the second block comes before the end of the first */
    clean(progress);
    cr_assert(run_in_child(34, 7, progress) == 0);
    check_file("k.h5", 0, 34, 7);
}

Test(record_killed, disk_broken_at_every_write) {
    struct shared *progress = share();
    end_at_every_write(0, 2, 7, 1, EIO, 0, progress);
    end_at_every_write(31, 33, 7, 1, EIO, 2, progress);
}

Test(record_killed, at_random) {
    enum { CASES = 60, LAYERS = 50, TRIALS = 40 };
    struct shared *progress = share();
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    clean(progress);
    cr_assert(run_in_child(CASES, LAYERS, progress) == 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    const long whole_us = (end.tv_sec - begin.tv_sec) * 1000000 + (end.tv_nsec - begin.tv_nsec) / 1000 + 1;
    srandom(1);
    int early = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        clean(progress);
        out_of_order = trial % 2;
        const pid_t child = fork();
        if (child == 0)
            _exit(!whole_run(CASES, LAYERS, progress));
        usleep((useconds_t)(random() % whole_us));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        early += !exists("k.h5");
        check_remains(CASES, LAYERS, progress, "killed at random");
        if (trial % 4 < 2 && !exists("k.h5")) {
            cr_assert(run_in_child(CASES, LAYERS, progress) == 0, "no resuming");
            check_file("k.h5", 0, CASES, LAYERS);
        }
    }
    cr_expect(early > 0, "no run was killed before its end");
}
