/* Checkpoints of study `train` on the disk.
 *
 * A file has all that a case needs to go on to the same bits: parameters, both moments, the number of steps, what was
 * summed since the last point, and the result so far. It stands behind the measurement of its step. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cpu_ref/library.h"
#include "results/checkpoint.h"
#include "suites/study/train.h"
#include "suites/study/train_file.h"

static const double SECONDS_BETWEEN = 30;
enum { KEY_SIZE = 2048, LINE = 400 };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* ---- writing ---- */

static const char *write_file(const struct train *t, const struct train_parts *parts) {
    static _Thread_local char why[LINE];
    char key[KEY_SIZE], threads[16];
    struct message result = {0};
    const int64_t state[] = {t->out->is.steps, t->summed};
    const double sums[] = {t->loss_sum, t->norm_sum, t->norm_most};
    snprintf(threads, sizeof threads, "%d", omp_get_max_threads());
    params_key(t->p, key, sizeof key);
    study_put_result(&result, t->result, "", 0);
    struct checkpoint c = {.fact = {{"case", key},
                                    {"build", mhc_cpu64.build},
                                    {"library", t->backend->library->build ? t->backend->library->build : ""},
                                    {"text", t->kept.text},
                                    {"threads", threads}},
                           .facts = 5};
    train_parts_put(parts, &c);
    c.array[c.arrays++] = (struct checkpoint_array){
        "state", "updates that were made, and how many of them since the last point", CHECKPOINT_INTEGERS, 2, state};
    c.array[c.arrays++] = (struct checkpoint_array){
        "sums", "since the last point: losses, norms of the gradient, the largest of them", CHECKPOINT_DOUBLES, 3,
        sums};
    c.array[c.arrays++] = (struct checkpoint_array){"result", "what was measured so far, as this build has it",
                                                    CHECKPOINT_BYTES, (int64_t)result.size, result.data};
    bool good = !result.bad && checkpoint_write(t->kept.path, &c);
    if (!good)
        snprintf(why, sizeof why, "no checkpoint behind step %lld, the last one stays: %.300s", (long long)state[0],
                 result.bad ? "out of memory" : record_error());
    message_clear(&result);
    return good ? NULL : why;
}

static bool is_time(const struct train *t, bool at_end) {
    const int64_t every = t->context->keeping->every, steps = t->out->is.steps;
    if (steps == t->kept.step)
        return false;
    return at_end || (every == EVERY_AUTO ? now() - t->kept.time >= SECONDS_BETWEEN : steps % every == 0);
}

const char *train_keep(struct train *t, bool at_end) {
    struct train_parts parts;
    if (!t->kept.path[0] || !is_time(t, at_end))
        return NULL;
    const char *why = train_parts_take(&parts, &t->memory);
    why = why ? why : write_file(t, &parts);
    train_parts_release(&parts);
    t->kept.step = t->out->is.steps;
    t->kept.time = now();
    return why;
}

/* ---- going on ---- */

/* Facts, of which each has to be the same. */
static bool same_fact(const struct checkpoint *c, const char *path, const char *name, const char *what,
                      const char *here, char *why, size_t size) {
    const char *there = checkpoint_fact(c, name);
    if (there && !strcmp(there, here))
        return true;
    snprintf(why, size, "%s is of another %s: %.100s, not %.100s", path, what, there ? there : "none", here);
    return false;
}

static bool same_case(const struct checkpoint *c, const char *path, const struct params *p, char *why, size_t size) {
    char key[KEY_SIZE], difference[240];
    const char *there = checkpoint_fact(c, "case");
    params_key(p, key, sizeof key);
    if (there && !strcmp(there, key))
        return true;
    train_case_difference(there ? there : "", p, difference, sizeof difference);
    snprintf(why, size, "%s is of another case: %s", path, difference);
    return false;
}

static bool is_ours(const struct checkpoint *c, const char *path, const struct params *p, const struct backend *b,
                    const char *text, char *why, size_t size) {
    return same_case(c, path, p, why, size) && same_fact(c, path, "build", "build", mhc_cpu64.build, why, size) &&
           same_fact(c, path, "library", "build of the backend", b->library->build ? b->library->build : "", why,
                     size) &&
           same_fact(c, path, "text", "text", text, why, size);
}

/* Bits depend on the number of threads, because GEMMs are cut into one piece for each. */
static bool same_threads(const struct checkpoint *c, const char *path, int64_t here, char *why, size_t size) {
    const char *there = checkpoint_fact(c, "threads");
    if (there && atoll(there) == here)
        return true;
    snprintf(
        why, size,
        "%.200s was made with another number of threads: %.16s, here it is %lld; --jobs and OMP_NUM_THREADS decide it, "
        "--resume=anyway goes on to other bits",
        path, there ? there : "unknown", (long long)here);
    return false;
}

/* What a program is, is said by its parameters. */
static const char *take_state(struct train *t, const struct checkpoint *c) {
    const struct checkpoint_array *state = checkpoint_array(c, "state", CHECKPOINT_INTEGERS, 2);
    const struct checkpoint_array *sums = checkpoint_array(c, "sums", CHECKPOINT_DOUBLES, 3);
    const struct checkpoint_array *bytes = checkpoint_array(c, "result", CHECKPOINT_BYTES, -1);
    const struct params *p = t->p;
    struct study_result so_far;
    if (!state || !sums || !bytes)
        return "it lacks the state of a case";
    struct message m = {.data = (unsigned char *)bytes->data, .size = (size_t)bytes->count};
    study_take_result(&m, p, &so_far);
    const struct record_training *is = so_far.trained ? &so_far.trained->is : NULL;
    const int64_t steps = ((const int64_t *)state->data)[0], summed = ((const int64_t *)state->data)[1];
    if (m.bad || m.at != m.size || !is || is->steps != steps || steps < 0 || steps > p->steps || is->points < 1 ||
        is->points > so_far.trained->room) {
        study_release(&so_far);
        return "its result is another's";
    }
    study_release(t->result);
    *t->result = so_far;
    t->out = so_far.trained;
    t->step = steps + 1;
    t->summed = summed;
    t->loss_sum = ((const double *)sums->data)[0];
    t->norm_sum = ((const double *)sums->data)[1];
    t->norm_most = ((const double *)sums->data)[2];
    t->kept.step = steps;
    return NULL;
}

static const char *resume(struct train *t, const struct checkpoint *c) {
    static _Thread_local char why[LINE];
    if (!is_ours(c, t->kept.path, t->p, t->backend, t->kept.text, why, sizeof why))
        return why;
    if (!t->context->keeping->anyway && !same_threads(c, t->kept.path, omp_get_max_threads(), why, sizeof why))
        return why;
    const char *wrong = train_parts_give(c, &t->memory, true);
    wrong = wrong ? wrong : take_state(t, c);
    if (wrong)
        snprintf(why, sizeof why, "%.200s is of another program: %.150s", t->kept.path, wrong);
    return wrong ? why : NULL;
}

const char *train_keep_open(struct train *t) {
    const struct study_keeping *keeping = t->context->keeping;
    t->kept.step = -1;
    t->kept.time = now();
    if (!keeping || !keeping->folder[0])
        return NULL;
    study_path(t->p, keeping->folder, t->kept.path);
    digest_bytes(t->text.bytes, (size_t)t->text.size, t->kept.text);
    if (access(t->kept.path, F_OK))
        return NULL;
    struct checkpoint *c = checkpoint_read(t->kept.path);
    const char *why = c ? resume(t, c) : record_error();
    checkpoint_release(c);
    return why;
}

bool train_keep_check(const struct params *p, const struct study_keeping *keeping, char *why, size_t why_size) {
    char path[STUDY_PATH], text[DIGEST_SIZE];
    const struct backend *b;
    study_path(p, keeping->folder, path);
    if (access(path, F_OK))
        return true;
    struct checkpoint *c = checkpoint_read(path);
    const char *no = c ? backend_use(p->backend, &b) : record_error();
    bool good = !no && digest_file(p->input, text);
    if (!good)
        snprintf(why, why_size, "%s", no ? no : "--input cannot be read");
    good = good && is_ours(c, path, p, b, text, why, why_size) &&
           (!keeping->threads || keeping->anyway || same_threads(c, path, keeping->threads, why, why_size));
    checkpoint_release(c);
    return good;
}
