/* Checkpoints of study train: a run that was killed goes on to the same bits, and what is not this run's is refused. */
#include "tests/checkpoint_example.h"

#include <math.h>
#include <sys/resource.h>
#include <time.h>

#include "cpu_ref/philox.h"
#include "results/digest.h"

TestSuite(checkpoint, .timeout = 1800);

static void pause_for(double seconds) {
    struct timespec t = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    nanosleep(&t, NULL);
}

/* Parameters and moments are the same bits. */
static void expect_same_model(const char *a, const char *b) {
    static const char *const arrays[] = {"parameters", "momentum", "rms", "state", "sums"};
    struct checkpoint *one = checkpoint_read(a);
    cr_assert(one, "%s", record_error());
    struct checkpoint *other = checkpoint_read(b);
    cr_assert(other, "%s", record_error());
    int found = 0;
    for (int k = 0; k < one->arrays; k++)
        for (size_t name = 0; name < sizeof arrays / sizeof *arrays; name++) {
            const struct checkpoint_array *x = &one->array[k], *y;
            if (strcmp(x->name, arrays[name]))
                continue;
            found++;
            y = checkpoint_array(other, x->name, x->type, x->count);
            cr_expect(y && x->count > 0 && !memcmp(x->data, y->data, (size_t)(x->count * checkpoint_element(x->type))),
                      "%s and %s differ in %s", a, b, x->name);
        }
    cr_expect(found == 5);
    checkpoint_release(one);
    checkpoint_release(other);
}

/* All of /training but the time of a step. */
static void expect_same_training(const char *a, const char *b, int64_t cases) {
    struct record_reader *one = record_open(a), *other = record_open(b);
    cr_assert(one && other && record_count(one) == cases && record_count(other) == cases, "%s", record_error());
    for (int64_t k = 0; k < cases; k++) {
        struct record_training x, y;
        cr_assert(record_training(one, k, &x) && record_training(other, k, &y), "%s", record_error());
        cr_assert(x.points == y.points && x.steps == y.steps && x.points > 1);
        size_t bytes = (size_t)x.points * sizeof(double);
        cr_expect(!memcmp(x.loss, y.loss, bytes) && !memcmp(x.held_out_loss, y.held_out_loss, bytes) &&
                  !memcmp(x.gradient_norm, y.gradient_norm, bytes) && !memcmp(x.alpha, y.alpha, bytes) &&
                  !memcmp(x.gradient_norm_max, y.gradient_norm_max, bytes) &&
                  !memcmp(x.held_out_loss_without_quarter, y.held_out_loss_without_quarter, 32));
        cr_expect(!memcmp(x.curves, y.curves, bytes * MHC_METRICS * 4));
    }
    record_close(one);
    record_close(other);
}

/* The n-th child of a process, 0: it has fewer. */
static pid_t child_of(pid_t parent, int n) {
    char name[64], text[256], *at = text;
    snprintf(name, sizeof name, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    read_all(name, text, sizeof text);
    for (; n > 0 && at; n--)
        at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL;
    return at ? (pid_t)atoi(at) : 0;
}

/* ---- killed ---- */

/* Updates in the first checkpoint of a folder; -1: there is none. */
static int64_t updates_in(const char *folder) {
    char pattern[80];
    glob_t files;
    int64_t found = -1;
    snprintf(pattern, sizeof pattern, "%s/*.h5", folder);
    if (!glob(pattern, 0, NULL, &files)) {
        struct checkpoint *c = checkpoint_read(files.gl_pathv[0]);
        cr_assert(c && checkpoint_array(c, "state", CHECKPOINT_INTEGERS, 2), "%s", record_error());
        found = *(const int64_t *)checkpoint_array(c, "state", CHECKPOINT_INTEGERS, 2)->data;
        checkpoint_release(c);
    }
    globfree(&files);
    return found;
}

/* Kills the run, or one of its children: a worker, whose case then has failed, or the reader of the
 * record. The first kill comes as soon as there is a checkpoint, the others fall on one by chance alone. */
static void run_with_kills(const char *command, int kills, int64_t last) {
    int killed = 0;
    for (int k = 0; k < kills; k++) {
        pid_t child = start(command), victim = child;
        for (int wait = 0; k == 0 && wait < 1000 && updates_in("parts") < 0; wait++)
            pause_for(0.01);
        if (k > 0)
            pause_for(0.05 + 0.4 * mhc_uniform_of_bits(mhc_bits(7, mhc_what("kill"), 0, (uint64_t)k)));
        if (k % 2)
            victim = child_of(child, k % 4 == 3);
        killed += victim > 0 && !kill(victim, SIGKILL);
        int code = result_of(child);
        cr_assert(code == 0 || code == 1 || code == 128 + SIGKILL || strstr(err, "the worker was killed") ||
                      strstr(err, "that reads it was killed"),
                  "exit %d: %s%s", code, out, err);
        cr_expect(k || (updates_in("parts") >= 0 && updates_in("parts") < last), "%lld updates",
                  (long long)updates_in("parts"));
    }
    cr_expect(killed >= kills / 2, "%d of %d killed", killed, kills);
    GOOD("%s", command);
}

static void expect_goes_on(const char *options, const char *jobs, int64_t cases, int64_t last) {
    char command[800];
    enter_with_text(3000);
    snprintf(command, sizeof command, "exec $M run " SMALL " %s --out whole.h5 --checkpoints whole -q", options);
    GOOD("%s", command);
    snprintf(command, sizeof command,
             "rm -f a.h5; exec $M run " SMALL " %s --out a.h5 --resume --checkpoints parts --checkpoint-every 7 %s -q",
             options, jobs);
    run_with_kills(command, 6, last);
    expect_same_results("a.h5", "whole.h5");
    expect_same_training("a.h5", "whole.h5", cases);
    GOOD("cd whole && ls *.h5");
    char *rest = out, files[20][64];
    int count = 0;
    for (char *name; (name = strtok_r(rest, "\n", &rest));)
        snprintf(files[count++], sizeof files[0], "%.60s", name);
    cr_expect(count == cases);
    for (int k = 0; k < count; k++) {
        char one[80], other[80];
        snprintf(one, sizeof one, "whole/%s", files[k]);
        snprintf(other, sizeof other, "parts/%s", files[k]);
        expect_same_model(one, other);
    }
    leave();
}

Test(checkpoint, killed_runs_go_on_to_the_same_bits) {
    expect_goes_on("--connection mhc --steps 900", "--jobs 1", 1, 900);
}

Test(checkpoint, so_do_several_at_once) {
    expect_goes_on("--connection hc,mhc,identity,resnet --steps 500 --backend cpu32 --seed 1", "--jobs 2", 4, 500);
}

/* A fresh run with the same folder has nothing left to do but to write what it has. */
Test(checkpoint, a_fresh_run_goes_on_too) {
    enter_with_text(3000);
    GOOD("$M run " SMALL " --steps 30 --out a.h5 --checkpoints c -q");
    GOOD("cp c/*.h5 before && $M run " SMALL " --steps 30 --out b.h5 --checkpoints c -q && cmp c/*.h5 before");
    expect_same_results("a.h5", "b.h5");
    expect_same_training("a.h5", "b.h5", 1);
    GOOD("ls c");
    cr_expect(!strstr(out, ".part"));
    leave();
}

/* ---- a case by hand ---- */

struct by_hand {
    struct params p;
    struct train t;
    struct backend b;
    struct study_keeping keeping;
    struct study_context context;
    struct study_result result;
};

static const char *begin(struct by_hand *h, const char *connection) {
    *h = (struct by_hand){.p = small(connection), .keeping = {.folder = ".", .every = 1}};
    open_train(&h->t, &h->p, &h->b);
    h->context = (struct study_context){.p = &h->p, .keeping = &h->keeping};
    h->result = (struct study_result){.L = h->p.depth, .n = h->p.streams};
    h->t.context = &h->context;
    h->t.result = &h->result;
    h->t.out = h->result.trained = trained_new(&h->p);
    return train_keep_open(&h->t);
}

static void steps(struct by_hand *h, int count) {
    double loss, norm;
    for (int k = 0; k < count; k++, h->t.out->is.steps++)
        cr_assert(!train_step(&h->t, &loss, &norm));
    h->t.out->is.points = 1;
}

static void end(struct by_hand *h) {
    train_release(&h->t);
    study_release(&h->result);
    backend_close(&h->b);
}

static struct rlimit no_limit;
static void limit_files(rlim_t bytes) {
    const struct rlimit limit = {bytes, no_limit.rlim_max};
    cr_assert(!setrlimit(RLIMIT_FSIZE, &limit));
}

/* Where the disk is full, the file is what it was. */
Test(checkpoint, the_last_one_survives_a_full_disk) {
    struct by_hand h;
    char before[DIGEST_SIZE], after[DIGEST_SIZE], part[1300];
    make_text(3000);
    enter();
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(!getrlimit(RLIMIT_FSIZE, &no_limit) && !begin(&h, "mhc"));
    snprintf(part, sizeof part, "%s.part", h.t.kept.path);
    steps(&h, 2);
    cr_assert(!train_keep(&h.t, false) && digest_file(h.t.kept.path, before));
    steps(&h, 1);
    for (rlim_t bytes = 0; bytes < 40000; bytes += 13000) {
        limit_files(bytes);
        const char *why = train_keep(&h.t, false);
        limit_files(no_limit.rlim_cur);
        cr_expect(why && strstr(why, "no checkpoint behind step 3, the last one stays") &&
                      strstr(why, "File too large"),
                  "%s", why);
        cr_expect(digest_file(h.t.kept.path, after) && !strcmp(before, after) && !exists(part));
        h.t.kept.step = 2;
    }
    end(&h);
    cr_assert(!begin(&h, "mhc") && h.t.kept.step == 2 && h.t.step == 3 && h.t.out->is.steps == 2);
    steps(&h, 1);
    cr_expect(!train_keep(&h.t, false) && digest_file(h.t.kept.path, after) && strcmp(before, after));
    end(&h);
    leave();
    remove_text();
}

/* The same through the program, on a disk that has room for one checkpoint and a half: the case ends, and goes on
 * elsewhere. */
Test(checkpoint, a_full_disk_ends_the_case) {
    enter_with_text(3000);
    GOOD("$M run " SMALL " --steps 40 --out whole.h5 --checkpoints whole -q");
    if (sh("mkdir c d && unshare -m mount -t tmpfs none c") != 0) {
        leave();
        cr_skip_test("no small disk can be mounted");
    }
    GOOD("stat -c %%s whole/*.h5");
    int code = sh("unshare -m sh -c 'mount -t tmpfs -o size=%ldk none c && "
                  "{ $M run " SMALL " --steps 40 --out a.h5 --checkpoints c --checkpoint-every 10 -q; code=$?; "
                  "ls c; mv c/*.h5 d; exit $code; }'",
                  atol(out) * 3 / 2 / 1024);
    cr_expect(code == 1 && strstr(err, "no checkpoint behind step 10, the last one stays") &&
                  strstr(err, "No space left"),
              "exit %d: %s", code, err);
    cr_expect(!strstr(out, ".part") && updates_in("d") == 0, "%s", out);
    GOOD("$M run " SMALL " --steps 40 --out a.h5 --overwrite --checkpoints d -q");
    expect_same_results("a.h5", "whole.h5");
    leave();
}

/* ---- refused ---- */

static void write_changed(const char *file, const char *fact, const char *value, const char *array) {
    struct checkpoint *c = checkpoint_read(file);
    cr_assert(c, "%s", record_error());
    struct checkpoint changed = *c;
    for (int k = 0; k < c->facts; k++)
        if (fact && !strcmp(c->fact[k].name, fact))
            changed.fact[k].value = value;
    for (int k = 0; k < c->arrays; k++) {
        changed.array[k].long_name = "changed";
        if (array && !strcmp(c->array[k].name, array))
            changed.array[k].count--;
    }
    cr_assert(checkpoint_write(file, &changed), "%s", record_error());
    checkpoint_release(c);
}

Test(checkpoint, what_is_not_this_run_is_refused) {
    static const struct {
        const char *fact, *value, *array, *want;
    } changes[] = {{NULL, NULL, NULL, NULL},
                   {"case", "--study train --block mhc --depth 6", NULL, "another case: --depth 6 there, 4 here"},
                   {"build", "0, cc", NULL, "another build: 0, cc, not "},
                   {"library", "0, cc", NULL, "another build of the backend: 0, cc, not "},
                   {"text", "abc", NULL, "another text: abc, not "},
                   {NULL, NULL, "parameters", "another program: its parameters or moments have another size"},
                   {NULL, NULL, "parameter_name", "another program: its parameters are not those"},
                   {NULL, NULL, "sums", "another program: it lacks the state"},
                   {NULL, NULL, "result", "another program: its result is another's"}};
    struct by_hand h;
    make_text(3000);
    enter();
    for (size_t k = 0; k < sizeof changes / sizeof *changes; k++) {
        cr_assert(!begin(&h, "mhc"));
        steps(&h, 2);
        cr_assert(!train_keep(&h.t, false));
        write_changed(h.t.kept.path, changes[k].fact, changes[k].value, changes[k].array);
        char file[1200];
        snprintf(file, sizeof file, "%s", h.t.kept.path);
        end(&h);
        const char *why = begin(&h, "mhc");
        cr_expect(changes[k].want ? why && strstr(why, changes[k].want) && strstr(why, file) && !strchr(why, '\n')
                                  : !why && h.t.kept.step == 2,
                  "%zu: %s", k, why);
        end(&h);
        cr_assert(!unlink(file));
    }
    leave();
    remove_text();
}

/* The program says it in one line before it runs anything. */
Test(checkpoint, the_program_refuses_in_one_line) {
    const char *run = "$M run " SMALL " --steps 3 --out b.h5 --checkpoints c";
    enter_with_text(3000);
    GOOD("$M run " SMALL " --steps 3 --out a.h5 --checkpoints c -q && mv c/*.h5 good");
    GOOD("$M run " SMALL " --steps 4 --out a.h5 --overwrite --checkpoints other -q && "
         "cp other/*.h5 c/$(basename $(cd other && ls *.h5)) && rm -r other");
    GOOD("$M run " SMALL " --steps 3 --out a.h5 --overwrite --checkpoints d -q && cp c/*.h5 d/$(cd d && ls)");
    expect_refusal("$M run " SMALL " --steps 3 --out b.h5 --checkpoints d", "another case: --steps 4 there, 3 here");
    GOOD("rm c/* && cp good c/$(cd d && ls)");
    GOOD("cp text kept && echo more >>text");
    expect_refusal(run, "another text");
    GOOD("mv kept text && for f in c/*; do head -c 9999 good >$f; done");
    expect_refusal(run, "damaged");
    GOOD("for f in c/*; do echo text >$f; done");
    expect_refusal(run, "damaged, or no HDF5 file");
    GOOD("rm c/* && mkfifo c/$(cd d && ls)");
    expect_refusal(run, "not a regular file");
    cr_expect(!exists("b.h5") && !exists("b.h5.part"));
    expect_refusal("$M run " SMALL " --out b.h5 --checkpoints text", "not a folder");
    expect_refusal("$M run " SMALL " --out b.h5 --checkpoints no/such", "no/such: No such file");
    expect_refusal("$M run " SMALL " --out b.h5 --checkpoint-every 5", "needs --checkpoints FOLDER");
    expect_refusal("$M run " SMALL " --out b.h5 --checkpoints e --checkpoint-every 0", "from 1 on, or auto");
    expect_refusal("$M run --study maps --depth 2 --out b.h5 --checkpoints e", "no case of study train");
    leave();
}

static bool same_content(const struct checkpoint *a, const struct checkpoint *b) {
    bool same = a->facts == b->facts && a->arrays == b->arrays;
    for (int k = 0; k < a->facts && same; k++)
        same = checkpoint_fact(b, a->fact[k].name) && !strcmp(checkpoint_fact(b, a->fact[k].name), a->fact[k].value);
    for (int k = 0; k < a->arrays && same; k++) {
        const struct checkpoint_array *x = &a->array[k], *y = checkpoint_array(b, x->name, x->type, x->count);
        same = y && !memcmp(x->data, y->data, (size_t)(x->count * checkpoint_element(x->type)));
    }
    return same;
}

/* A reader of its own process, as a worker is: what crashes it is not believed either. */
static bool believes(const char *file, const struct checkpoint *good) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        alarm(10);
        struct checkpoint *c = checkpoint_read(file);
        _exit(c && !same_content(good, c));
    }
    cr_assert(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

Test(checkpoint, damage_is_never_believed) {
    struct by_hand h;
    size_t size = 0;
    make_text(3000);
    enter();
    cr_assert(!begin(&h, "hc"));
    steps(&h, 2);
    cr_assert(!train_keep(&h.t, false));
    struct checkpoint *good = checkpoint_read(h.t.kept.path);
    FILE *file = fopen(h.t.kept.path, "rb");
    static unsigned char bytes[1 << 20];
    cr_assert(good && file && (size = fread(bytes, 1, sizeof bytes, file)) > 4096 && size < sizeof bytes);
    fclose(file);
    for (int k = 0; k < 400; k++) {
        size_t at = mhc_bits(3, mhc_what("damage"), 0, (uint64_t)k) % (k % 2 ? size : 4096);
        unsigned char kept = bytes[at];
        bytes[at] ^= (unsigned char)(1 << k % 8);
        write_all("damaged", bytes, size);
        bytes[at] = kept;
        cr_expect(!believes("damaged", good), "byte %zu", at);
    }
    for (size_t length = 0; length < size; length += size / 50) {
        write_all("damaged", bytes, length);
        cr_expect(!believes("damaged", good), "%zu bytes", length);
    }
    checkpoint_release(good);
    end(&h);
    leave();
    remove_text();
}

/* Bits depend on the number of threads: a checkpoint says with how many it was made. */
Test(checkpoint, another_number_of_threads_is_refused) {
    enter_with_text(3000);
    GOOD("$M run " SMALL " --steps 4 --out a.h5 --checkpoints c -q");
    expect_refusal("OMP_NUM_THREADS=2 $M run " SMALL " --steps 4 --out b.h5 --checkpoints c --jobs 1 -q",
                   "was made with another number of threads: 1, here it is 2; --jobs and OMP_NUM_THREADS decide it");
    expect_refusal("OMP_NUM_THREADS=2 $M run " SMALL " --steps 4 --out b.h5 --checkpoints c --jobs 1 --resume -q",
                   "--resume=anyway goes on");
    GOOD("OMP_NUM_THREADS=2 $M run " SMALL " --steps 4 --out b.h5 --checkpoints c --jobs 1 --resume=anyway -q");
    GOOD("OMP_NUM_THREADS=2 $M run " SMALL " --steps 4 --seed 1,2 --out d.h5 --checkpoints c --jobs 2 -q");
    leave();
}
