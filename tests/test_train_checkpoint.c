/* Checkpoints of study train: a run that was killed goes on to the same bits, and what is not this run's is refused. */
#include "tests/command.h"
#include "tests/train_example.h"

#include <glob.h>
#include <hdf5.h>
#include <math.h>
#include <sys/resource.h>
#include <time.h>

#include "results/checkpoint.h"
#include "results/digest.h"
#include "cpu_ref/philox.h"

TestSuite(checkpoint, .timeout = 300);

#define SMALL                                                                                                          \
    "--study train --depth 4 --width 8 --sequence 6 --tokens 12 --heads 2 --head-dim 4 --hidden 10 --activation gelu " \
    "--batch 2 --warm-up 2 --alpha 0.1 --input text"

static void pause_for(double seconds) {
    struct timespec t = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    nanosleep(&t, NULL);
}

static void enter_with_text(int64_t size) {
    make_text(size);
    enter();
    GOOD("mv %s text", path);
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

/* Kills the run, or one of its workers, whose case then has failed, at moments that do not fall on a checkpoint but by chance. The first one as
 * soon as there is a checkpoint to go on from. */
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
        cr_assert(code == 0 || code == 1 || code == 128 + SIGKILL || strstr(err, "the worker was killed"),
                  "exit %d: %s%s", code, out, err);
        cr_expect(k || (updates_in("parts") >= 0 && updates_in("parts") < last), "%lld updates",
                  (long long)updates_in("parts"));
    }
    cr_expect(killed > kills / 2, "%d of %d killed", killed, kills);
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

/* The same through the program, on a disk that has room for one checkpoint and a half: the case ends, and goes on elsewhere. */
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

/* ---- bad input ---- */

Test(checkpoint, a_rate_too_high_is_a_result) {
    enter_with_text(3000);
    GOOD("$M run " SMALL " --connection hc,mhc --steps 40 --every 1 --warm-up 0 --learning-rate 1e300,0.001 "
         "--clip 0 --out a.h5 --checkpoints c --checkpoint-every 1");
    cr_expect(strstr(err, "4 of 4 cases, 2 of them diverged, in a.h5"), "%s", err);
    struct record_reader *r = record_open("a.h5");
    cr_assert(r && record_count(r) == 4, "%s", record_error());
    const double *rate = record_reals(r, "learning-rate");
    for (int64_t k = 0; k < 4; k++) {
        struct record_training is;
        cr_assert(record_training(r, k, &is) && !strcmp(record_texts(r, "status")[k], "done"), "%s", record_error());
        cr_expect(rate[k] > 1 ? is.diverged >= 1 && is.points >= 1 && isfinite(is.held_out_loss[is.points - 1])
                              : !is.diverged && is.steps == 40);
    }
    record_close(r);
    GOOD("cp a.h5 first.h5 && $M run " SMALL " --connection hc,mhc --steps 40 --every 1 --warm-up 0 "
         "--learning-rate 1e300,0.001 --clip 0 --out a.h5 --overwrite --checkpoints c --checkpoint-every 1");
    expect_same_results("a.h5", "first.h5");
    leave();
}

Test(checkpoint, texts_and_steps_at_their_limits) {
    enter_with_text(100);
    expect_refusal("$M run " SMALL " --out a.h5 --checkpoints c", "a window of --sequence takes 7");
    leave();
}

/* ---- a trained model as an ensemble ---- */

static const char *file_of(const char *folder, const char *connection) {
    static char name[160];
    char pattern[80];
    glob_t files;
    snprintf(pattern, sizeof pattern, "%s/%s-1-*.h5", folder, connection);
    cr_assert(!glob(pattern, 0, NULL, &files) && files.gl_pathc == 1, "%s", pattern);
    snprintf(name, sizeof name, "%s", files.gl_pathv[0]);
    globfree(&files);
    return name;
}

/* The curves of a case that stands first in both files. */
static void expect_same_curves(const char *a, const char *b, const char *const *names) {
    struct record_reader *one = record_open(a), *other = record_open(b);
    cr_assert(one && other, "%s", record_error());
    for (; *names; names++) {
        const double *x = record_curve_of(one, *names, 0), *y = record_curve_of(other, *names, 0);
        cr_expect(x && y && isfinite(x[0]) && !memcmp(x, y, 4 * sizeof *x), "%s and %s: %s", a, b, *names);
    }
    record_close(one);
    record_close(other);
}

/* On the tokens of training's last point, what is measured is what was measured there. */
static void expect_replayed(const char *connection, const char *backend) {
    static const char *const of_maps[] = {"single_forward_abs", "composite_backward_sum", "composite_forward_abs_q10",
                                          NULL};
    static const char *const of_stack[] = {
        "composite_backward_sum", "stream_similarity", "grad_x_rms", "grad_branch_norm", "x_rms", NULL};
    GOOD("rm -rf c && $M run " SMALL
         " --connection %s --backend %s --steps 40 --learning-rate 0.02 --out a.h5 --overwrite "
         "--checkpoints c -q",
         connection, backend);
    const char *file = file_of("c", connection);
    GOOD("$M run --study propagate --from %s --tokens 12 --backend %s --out p.h5 --overwrite -q", file, backend);
    expect_same_curves("a.h5", "p.h5", of_stack);
    if (strcmp(backend, "cpu64"))
        return;
    GOOD("$M run --study maps --from %s --tokens 12 --out m.h5 --overwrite -q && $M show m.h5", file);
    expect_same_curves("a.h5", "m.h5", of_maps);
}

Test(checkpoint, a_trained_model_is_an_ensemble) {
    enter_with_text(3000);
    expect_replayed("hc", "cpu64");
    expect_replayed("kromhc", "cpu64");
    expect_replayed("hc", "cpu32");
    expect_replayed("mhc", "cpu32");
    expect_replayed("mhc", "cpu64");
    const char *file = file_of("c", "mhc");
    GOOD("$M run --study maps --from %s --tokens 12 --t-max 5,1000 --out t.h5 -q", file);
    struct record_reader *trained = record_open("a.h5"), *projected = record_open("t.h5");
    struct record_training is;
    cr_assert(trained && projected && record_training(trained, 0, &is), "%s", record_error());
    for (int k = 0; k < 2; k++) { /* the first and the last t_max that training ends with */
        const double *want = is.t_max_curves +
                             ((k ? RECORD_PROJECTIONS - 1 : 0) * MHC_METRICS + MHC_composite_backward_sum) * 4;
        cr_expect(!memcmp(record_curve_of(projected, "composite_backward_sum", k), want, 4 * sizeof *want));
    }
    record_close(trained);
    record_close(projected);
    GOOD("$M run --study propagate --from %s --tokens 12 --gradient none --measure gain --out n.h5 -q && "
         "$M plot m.h5 --out figures && test -s figures/composite_maps.svg && $M export m.h5 | grep -c mhc",
         file);
    leave();
}

/* Without a step it is the start. */
Test(checkpoint, no_steps_leave_a_checkpoint_of_the_start) {
    enter_with_text(3000);
    GOOD("$M run " SMALL " --steps 0 --out a.h5 --checkpoints c -q && $M run " SMALL
         " --steps 0 --out b.h5 --checkpoints c -q");
    expect_same_results("a.h5", "b.h5");
    static const char *const names[] = {"single_forward_abs", "composite_backward_sum", NULL};
    GOOD("$M run --study maps --from %s --tokens 12 --out m.h5 -q", file_of("c", "mhc"));
    expect_same_curves("a.h5", "m.h5", names);
    leave();
}

Test(checkpoint, what_a_model_has_decided_is_refused) {
    static const struct {
        const char *options, *want;
    } cases[] = {{"--study maps --depth 6", "--depth 6: the model of --from"},
                 {"--study maps --connection hc", "--connection hc: the model of --from"},
                 {"--study maps --streams 2", "--streams 2: the model of --from"},
                 {"--study propagate --width 64", "--width 64: the model of --from"},
                 {"--study maps --seed 2", "--seed 2: the model of --from"},
                 {"--study maps --w 1", "--w says how an ensemble is drawn"},
                 {"--study maps --round bf16", "--round says how an ensemble is drawn"},
                 {"--study propagate --branch linear", "--branch says how an ensemble is drawn"},
                 {"--study maps --tokens 13", "not a multiple of the model's --sequence 6"},
                 {"--study maps --tokens 12 --input other", "--input other: No such file"},
                 {"--study kernels --operation mhc.pre", "--from has no meaning in --study kernels"}};
    char command[400];
    enter_with_text(3000);
    GOOD("$M run " SMALL " --steps 2 --out a.h5 --checkpoints c -q && mv c/*.h5 model");
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        snprintf(command, sizeof command, "$M run %s --from model --out b.h5", cases[k].options);
        expect_refusal(command, cases[k].want);
    }
    const char *run = "$M run --study maps --tokens 12 --from model --out b.h5";
    GOOD("cp model kept && cp text all && head -c 30000 model >cut && mv cut model");
    expect_refusal(run, "model is damaged");
    GOOD("cp a.h5 model");
    expect_refusal(run, "no checkpoint of this version");
    GOOD("cp text model");
    expect_refusal(run, "damaged, or no HDF5 file");
    GOOD("rm model");
    expect_refusal(run, "model: No such file");
    expect_refusal("$M run --study maps --input text --out b.h5", "with --from alone");
    GOOD("cp kept model && echo more >>text");
    cr_expect(sh("%s -q", run) == 1 && strstr(err, "is not the text that the model was trained on"), "%s", err);
    leave();
}

/* ---- files of maps ---- */

/* A dataset of a file of maps whose extents are those. */
static double *dataset(const char *file, const char *name, int rank, const hsize_t *want) {
    hsize_t extent[4], count = 1;
    hid_t h5 = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT), data = H5Dopen2(h5, name, H5P_DEFAULT);
    hid_t space = H5Dget_space(data);
    cr_assert(h5 >= 0 && data >= 0 && H5Sget_simple_extent_ndims(space) == rank, "%s of %s", name, file);
    H5Sget_simple_extent_dims(space, extent, NULL);
    for (int k = 0; k < rank; k++) {
        cr_assert(extent[k] == want[k], "%s: extent %d is %lld", name, k, (long long)extent[k]);
        count *= extent[k];
    }
    double *values = malloc(count * sizeof *values);
    cr_assert(H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Sclose(space);
    H5Dclose(data);
    H5Fclose(h5);
    return values;
}

/* What is measured of the file's maps is what the record has. */
static void expect_maps(const char *file, const char *record, int64_t T) {
    struct mhc_curves curves = {0};
    double *res = dataset(file, "res", 4, (hsize_t[]){4, (hsize_t)T, 4, 4});
    cr_assert(mhc_curves_allocate(&curves, 4, MHC_GROUP_GAIN, true) && !mhc_measure_maps(res, 4, T, 4, &curves));
    struct record_reader *r = record_open(record);
    const double *want = r ? record_curve_of(r, "composite_backward_sum", 0) : NULL;
    cr_expect(want && !memcmp(want, curves.curve[MHC_composite_backward_sum][MHC_MEAN], 4 * sizeof *want), "%s", file);
    record_close(r);
    mhc_curves_release(&curves);
    free(res);
}

Test(checkpoint, maps_can_be_kept) {
    static const char *const connections[] = {"hc", "mhc"};
    enter_with_text(3000);
    for (int k = 0; k < 2; k++) {
        GOOD("rm -rf maps c && $M run " SMALL " --connection %s --steps 20 --out a.h5 --overwrite --checkpoints c -q",
             connections[k]);
        const char *model = file_of("c", connections[k]);
        GOOD("$M run --study maps --from %s --tokens 12 --maps maps --out m.h5 --overwrite -q", model);
        const char *file = file_of("maps", connections[k]);
        expect_maps(file, "m.h5", 12);
        double *pre = dataset(file, "pre", 3, (hsize_t[]){4, 12, 4}),
               *post = dataset(file, "post", 3, (hsize_t[]){4, 12, 4});
        for (int i = 0; i < 4 * 12; i++) /* each layer starts at a stream of its own */
            cr_expect(pre[4 * i + i / 12] > 0.5 && post[4 * i + i / 12] > 0.5, "%s %d: %g %g", connections[k], i,
                      pre[4 * i + i / 12], post[4 * i + i / 12]);
        free(pre);
        free(post);
    }
    GOOD("rm -rf maps && $M run --study maps --depth 4 --alpha 0 --maps maps --out d.h5 -q");
    expect_maps(file_of("maps", "mhc"), "d.h5", 1);
    expect_refusal("$M run " SMALL " --out b.h5 --maps maps", "no case of study maps");
    leave();
}
