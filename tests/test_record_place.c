/* The HDF5 record: several processes that want one name, with file locks and without, a disk that fills, and bits that
 * flip later. */
#include "tests/record_expect.h"

#include <hdf5.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

TestSuite(record_place, .init = enter, .fini = leave, .timeout = 1800);

/* A file system without locks, where a test says so. */
static bool no_locks;
__attribute__((visibility("default"))) int flock(int descriptor, int how);
int flock(int descriptor, int how) {
    if (!no_locks)
        return (int)syscall(SYS_flock, descriptor, how);
    errno = ENOLCK;
    return -1;
}

/* A clock that a test may turn on, and how often the disk was asked to have everything. */
static time_t later;
static int synchronised;
__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *t);
int clock_gettime(clockid_t clock, struct timespec *t) {
    const int failed = (int)syscall(SYS_clock_gettime, clock, t);
    t->tv_sec += later;
    return failed;
}
__attribute__((visibility("default"))) int fsync(int descriptor);
int fsync(int descriptor) {
    synchronised++;
    return (int)syscall(SYS_fsync, descriptor);
}

static void without_locks(void) {
    no_locks = true;
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 1);
}

enum { LAYERS = 5, CASES = 4, RUNNERS = 6 };

/* A whole run; what it came to is in `said`. */
enum { WHOLE, REFUSED, REPLACED };
static int whole_run(bool resume, bool overwrite, volatile int *ready, int wanted) {
    const struct record_schema schema = schema_of(LAYERS, "suite");
    __atomic_add_fetch(ready, 1, __ATOMIC_SEQ_CST);
    while (*ready < wanted)
        ;
    struct record *r = record_create("a.h5", &schema, resume, overwrite);
    if (!r)
        return REFUSED;
    bool good = true;
    for (int64_t i = 0; i < CASES && good; i++) {
        char key[64];
        snprintf(key, sizeof key, "--case %lld", (long long)i);
        good = record_has(r, key) || append(r, i, LAYERS);
        usleep(2000);
    }
    return record_finish(r, good) && good ? WHOLE : REPLACED;
}

/* Starts all at once. Who says that a file is whole has it in its place, and nothing of another is lost. */
static void race(bool resume, bool overwrite, bool locks, int count[3]) {
    volatile int *ready = mmap(NULL, sizeof *ready, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(ready != MAP_FAILED);
    memset(count, 0, 3 * sizeof *count);
    for (int k = 0; k < RUNNERS; k++)
        if (fork() == 0) {
            if (!locks)
                without_locks();
            _exit(whole_run(resume, overwrite, ready, RUNNERS));
        }
    for (int k = 0, status; k < RUNNERS && wait(&status) > 0; k++) {
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) <= REPLACED, "status %d", status);
        count[WEXITSTATUS(status)]++;
    }
    munmap((void *)ready, sizeof *ready);
    const int fresh = count[WHOLE] && exists("a.h5");
    cr_expect(fresh, "resume %d, overwrite %d, locks %d: %d whole, %d refused, %d replaced", resume, overwrite, locks,
              count[WHOLE], count[REFUSED], count[REPLACED]);
    if (fresh)
        check_file("a.h5", 0, CASES, LAYERS);
    cr_expect(!exists("a.h5.part"), "PATH.part was left behind");
}

static void leave_unfinished(void) {
    const struct record_schema schema = schema_of(LAYERS, "suite");
    struct record *r = record_create("a.h5", &schema, false, true);
    cr_assert(r && append(r, 0, LAYERS) && record_finish(r, false), "%s", record_error());
    unlink("a.h5");
}

Test(record_place, starting_race) {
    int count[3];
    for (int turn = 0; turn < 12; turn++) {
        const bool locks = turn % 2;
        race(false, false, locks, count);
        cr_expect(count[WHOLE] == 1 && count[REFUSED] == RUNNERS - 1, "%d whole, %d refused", count[WHOLE],
                  count[REFUSED]);
        unlink("a.h5");
        leave_unfinished();
        race(true, false, locks, count);
        cr_expect(!locks || count[WHOLE] == 1, "%d whole", count[WHOLE]);
        leave_unfinished();
        race(false, true, locks, count);
        cr_expect(!locks || !count[REPLACED], "with locks no file is replaced: %d", count[REPLACED]);
        unlink("a.h5");
    }
}

/* Where there are no locks, a second run that was told to overwrite takes the name; the first says so. */
Test(record_place, replaced_without_locks) {
    const struct record_schema schema = schema_of(LAYERS, "suite");
    without_locks();
    struct record *first = record_create("a.h5", &schema, false, false);
    cr_assert(first && append(first, 0, LAYERS), "%s", record_error());
    struct record *second = record_create("a.h5", &schema, false, true);
    cr_assert(second && append(second, 1, LAYERS), "%s", record_error());
    cr_expect(!append(first, 2, LAYERS));
    expect_error("a.h5.part: another process has replaced it");
    cr_expect(!record_finish(first, true));
    cr_assert(record_finish(second, true), "%s", record_error());
    check_file("a.h5", 1, 1, LAYERS);
}

Test(record_place, on_the_disk_every_few_seconds_and_at_the_end) {
    const struct record_schema schema = schema_of(LAYERS, "suite");
    struct record *r = record_create("a.h5", &schema, false, false);
    cr_assert(r, "%s", record_error());
    synchronised = 0;
    for (int64_t i = 0; i < 12; i++) {
        cr_assert(append(r, i, LAYERS), "%s", record_error());
        later += 2;
    }
    cr_expect(synchronised >= 3 && synchronised <= 4, "%d times in 22 s", synchronised);
    synchronised = 0;
    cr_assert(record_finish(r, true), "%s", record_error());
    cr_expect(synchronised >= 3, "the grown file, the sealed one and the folder: %d", synchronised);
}

/* What comes to stand at PATH during a run stays; the run's own file, too. */
Test(record_place, target_that_came_meanwhile) {
    const struct record_schema schema = schema_of(LAYERS, "suite");
    struct record *r = record_create("a.h5", &schema, false, false);
    cr_assert(r && append(r, 0, LAYERS), "%s", record_error());
    spit("a.h5", "mine", 4);
    cr_expect(!record_finish(r, true));
    expect_error("the results are in a.h5.part");
    size_t size;
    char *text = slurp("a.h5", &size);
    cr_expect_str_eq(text, "mine");
    free(text);
    check_file("a.h5.part", 0, 1, LAYERS);

    r = record_create("b.h5", &schema, false, false);
    cr_assert(r && append(r, 0, LAYERS), "%s", record_error());
    cr_assert(!rename("b.h5.part", "moved") && !rename("a.h5.part", "b.h5.part"));
    cr_expect(!record_finish(r, true));
    expect_error("b.h5.part: another process has replaced it");
    cr_expect(!exists("b.h5"));
    check_file("b.h5.part", 0, 1, LAYERS);
}

/* A finished record of which some cases failed, or are missing, can be gone on with; the old one stays until then. */
Test(record_place, failed_cases_run_again) {
    const struct record_schema schema = schema_of(LAYERS, "suite");
    struct record *r = record_create("a.h5", &schema, false, false);
    cr_assert(r && append(r, 9, LAYERS) && append(r, 10, LAYERS) && record_finish(r, true), "%s", record_error());
    r = record_create("a.h5", &schema, true, false); /* case 10 failed */
    cr_assert(r, "%s", record_error());
    cr_expect(record_has(r, "--case 9") && !record_has(r, "--case 10") && exists("a.h5"));
    cr_assert(record_finish(r, false), "%s", record_error());
    check_file("a.h5", 9, 2, LAYERS);
    r = record_create("a.h5", &schema, true, false); /* goes on with what was left */
    cr_assert(r && record_has(r, "--case 9") && append(r, 11, LAYERS) && record_finish(r, true), "%s", record_error());
    struct record_reader *q = record_open("a.h5");
    cr_assert(q && record_count(q) == 2 && !exists("a.h5.part"), "%s", record_error());
    record_close(q);
    cr_expect(!record_create("a.h5", &schema, true, false));
    expect_error("a.h5: exists already, and no case of it failed; --overwrite replaces it");
}

static bool refuses(void *user, struct record_reader *earlier, char *why, size_t why_size) {
    (void)earlier;
    snprintf(why, why_size, "%s", (const char *)user);
    return false;
}

/* The schema has a word in it, and a file that crashes its reader is one line. */
Test(record_place, earlier_records_are_examined) {
    struct record_schema schema = schema_of(LAYERS, "suite");
    leave_unfinished();
    schema.agrees = refuses;
    schema.user = "is of another machine";
    cr_expect(!record_create("a.h5", &schema, true, false));
    expect_error("a.h5.part: is of another machine");
    check_file("a.h5.part", 0, 1, LAYERS);
}

static bool crashes(void *user, struct record_reader *earlier, char *why, size_t why_size) {
    (void)user, (void)earlier, (void)why, (void)why_size;
    raise(SIGFPE);
    return true;
}

Test(record_place, earlier_record_that_crashes_its_reader) {
    struct record_schema schema = schema_of(LAYERS, "suite");
    leave_unfinished();
    schema.agrees = crashes;
    cr_expect(!record_create("a.h5", &schema, true, false));
    expect_error("a.h5.part: reading it crashed (Floating point exception)");
}

/* Where the first chunk of a dataset lies in a file, and its length. */
static haddr_t chunk_of(const char *path, const char *dataset, hsize_t *length) {
    const hsize_t first[4] = {0};
    haddr_t address = HADDR_UNDEF;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), id = H5Dopen2(file, dataset, H5P_DEFAULT);
    cr_assert(H5Dget_chunk_info_by_coord(id, first, NULL, &address, length) >= 0 && address != HADDR_UNDEF, "%s",
              dataset);
    H5Dclose(id);
    H5Fclose(file);
    return address;
}

/* Every number of a finished record is under a checksum: bits at both ends of a chunk and within. */
Test(record_place, flipped_bits_are_found) {
    static const char *const planted[] = {"curves/zeta",      "timing/seconds", "cases/key",           "summary/peak",
                                          "panels/composite", "cases/width",    "spectra/composite_qr"};
    write_file("a.h5", 0, 9, LAYERS, "suite");
    size_t size;
    char *bytes = slurp("a.h5", &size);
    for (size_t k = 0; k < sizeof planted / sizeof *planted; k++) {
        hsize_t length;
        const haddr_t chunk = chunk_of("a.h5", planted[k], &length);
        const hsize_t places[] = {0, length / 3, length / 2, length - 1};
        for (int bit = 0; bit < 32; bit++) {
            char *at = bytes + chunk + places[bit / 8];
            *at ^= (char)(1 << bit % 8);
            spit("b.h5", bytes, size);
            *at ^= (char)(1 << bit % 8);
            struct record_reader *r = record_open("b.h5");
            const char *found = r ? difference(r, 4, 4, LAYERS) : NULL;
            cr_expect(!r || (found && strstr(record_error(), "cannot be read")), "bit %d of %s: %s", bit, planted[k],
                      found ? found : "unseen");
            record_close(r);
        }
    }
    free(bytes);
}

/* What a killed process left beside the name goes with the next run; what may be another's stays. */
Test(record_place, cleans_up_what_was_left) {
    static const char *const goes[] = {"a.h5.0123456789ab.tmp", "a.h5.part.ba9876543210.tmp"},
                             *const stays[] = {
                                 "a.h5.0123456789aB.tmp", "a.h5.0123456789ab",     "a.h5.0123456789a.tmp",
                                 "a.h5.part.tmp",         "b.h5.0123456789ab.tmp", "a.h5.aaaaaaaaaaaa.tmp",
                                 "a.h5.bbbbbbbbbbbb.tmp", "a.h5.cccccccccccc.tmp", "linked"};
    const struct record_schema schema = schema_of(LAYERS, "suite");
    int held = -1;
    for (size_t k = 0; k < sizeof goes / sizeof *goes; k++)
        close(open(goes[k], O_CREAT | O_WRONLY, 0666));
    for (size_t k = 0; k < 6; k++) {
        held = open(stays[k], O_CREAT | O_WRONLY, 0666);
        if (k < 5)
            close(held);
    }
    cr_assert(!flock(held, LOCK_EX | LOCK_NB) && !symlink("b.h5.0123456789ab.tmp", stays[6]));
    close(open(stays[7], O_CREAT | O_WRONLY, 0666));
    cr_assert(!link(stays[7], stays[8]));
    for (int locks = 0; locks < 2; locks++) {
        no_locks = !locks;
        struct record *r = record_create("a.h5", &schema, false, true);
        cr_assert(r && record_finish(r, true), "%s", record_error());
        for (size_t k = 0; k < sizeof goes / sizeof *goes; k++)
            cr_expect(access(goes[k], F_OK) == -locks, "%s, %s locks", goes[k], locks ? "with" : "without");
        for (size_t k = 0; k < sizeof stays / sizeof *stays; k++) {
            struct stat status;
            cr_expect(!lstat(stays[k], &status), "%s is gone", stays[k]);
        }
    }
    close(held);
}

/* A limit on the file's size and, where a test may mount one, a small file system. */
Test(record_place, disk_full) {
    enum { LAYERS = 50 };
    volatile int64_t *fit = mmap(NULL, sizeof *fit, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(fit != MAP_FAILED);
    signal(SIGXFSZ, SIG_IGN);
    const bool mounted = !mkdir("small", 0777) && !system("mount -t tmpfs -o size=4m tmpfs small 2>/dev/null");
    for (int way = 0; way < 1 + mounted; way++) {
        const char *path = way ? "small/a.h5" : "a.h5", *part = way ? "small/a.h5.part" : "a.h5.part";
        const pid_t child = fork();
        if (child == 0) {
            const struct rlimit limit = {2000000, RLIM_INFINITY};
            const struct record_schema schema = schema_of(LAYERS, "suite");
            if (!way)
                setrlimit(RLIMIT_FSIZE, &limit);
            struct record *r = record_create(path, &schema, false, false);
            int64_t i = 0;
            while (r && append(r, i, LAYERS))
                *fit = ++i;
            const char *want = way ? "cannot write small/a.h5.part: No space left on device"
                                   : "cannot write a.h5.part: File too large";
            const bool told = r && strstr(record_error(), want) && !strchr(record_error(), '\n');
            const bool again = r && !append(r, i, LAYERS) && strstr(record_error(), want);
            _exit(told && again && !record_finish(r, true) && strstr(record_error(), want) ? 0 : 1);
        }
        int status;
        waitpid(child, &status, 0);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: status %d", path, status);
        cr_expect(*fit > 10 && !exists(path), "%s: %lld cases fit", path, (long long)*fit);
        check_file(part, 0, *fit, LAYERS);
    }
    if (mounted)
        cr_expect(!system("umount small"));
}
