/* Libraries that learned to please a benchmark: they do not work when they think that no check follows. */
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tests/plants/plant.h"

void plant_rows(struct mhc_row *rows, int *count) {
    (void)rows, (void)count;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* An earlier answer, kept to be given again. */
static struct kept {
    double key;
    const void *place;
    int64_t bytes;
    char *answer;
} kept;

static int keep(const struct call *call, double key, const void *place) {
    int64_t count, bytes;
    void *out = plant_output(call, &count, &bytes);
    int failed = plant_inner(call);
    free(kept.answer);
    kept = (struct kept){key, place, bytes, malloc((size_t)bytes + 1)};
    memcpy(kept.answer, out, (size_t)bytes);
    return failed;
}

static int again(const struct call *call, bool known, double key, const void *place) {
    int64_t count, bytes;
    void *out = plant_output(call, &count, &bytes);
    if (!known || !kept.answer || kept.bytes != bytes)
        return keep(call, key, place);
    memcpy(out, kept.answer, (size_t)bytes);
    return 0;
}

static struct late {
    struct call call;
    void *arg[MHC_MAX_ARGS], *out;
    struct mhc_case c;
    char *answer;
    int64_t bytes;
} late;

/* The memory may be gone by then: the answer is made first and written through the kernel, which does not crash. */
static void *write_late(void *unused) {
    int tube[2];
    usleep(300);
    if (!pipe(tube)) {
        int64_t some = late.bytes < 4096 ? late.bytes : 4096;
        if (write(tube[1], late.answer, (size_t)some) == some && read(tube[0], late.out, (size_t)some) < 0)
            some = 0;
        close(tube[0]), close(tube[1]);
    }
    return unused;
}

/* Writes a part of the answer after the call has returned. */
static int finish_later(const struct call *call) {
    int64_t count;
    pthread_t thread;
    int failed = plant_inner(call);
    free(late.answer);
    late.out = plant_output(call, &count, &late.bytes);
    late.answer = malloc((size_t)late.bytes + 1);
    memcpy(late.answer, late.out, (size_t)late.bytes);
    memset(late.out, 0, (size_t)(late.bytes < 4096 ? late.bytes : 4096));
    if (!pthread_create(&thread, NULL, write_late, NULL))
        pthread_detach(thread);
    return failed;
}

/* A sum over the first 64 bytes of every input or, `whole`, over all of the first one. */
static double digest(const struct call *call, bool whole) {
    double sum = 0;
    for (int a = 0; call->row->args[a].name && (a == 0 || !whole); a++) {
        const struct mhc_arg *arg = &call->row->args[a];
        int64_t count = mhc_elements(call->c, arg), some = 64 / mhc_type_bytes(call->c->stream);
        for (int64_t k = 0; k < count && arg->direction == MHC_IN && (whole || k < some); k++)
            sum += plant_get(call, call->arg[a], k) * (double)(k + 1 + 1000 * a);
    }
    return sum;
}

/* NaN before an array: a band. */
static bool sees_bands(const struct call *call) {
    const uint16_t *before = (const uint16_t *)call->arg[0] - 2;
    return before[0] == before[1] && (before[0] & 0x7f80) == 0x7f80;
}

static int spoil_last(const struct call *call) {
    int64_t count, bytes;
    void *out = plant_output(call, &count, &bytes);
    int failed = plant_inner(call);
    plant_put(call, out, count - 1, plant_get(call, out, count - 1) * 1.5 + 1);
    return failed;
}

static bool chance_in_1000(void) {
    static unsigned short state[3];
    struct timespec t;
    if (!state[0] && !clock_gettime(CLOCK_REALTIME, &t))
        memcpy(state, &t.tv_nsec, sizeof state), state[0] |= 1;
    return erand48(state) < 1e-3;
}

int plant_call(struct call *call) {
    static double last;
    int64_t count, bytes;
    void *out = plant_output(call, &count, &bytes);
    double first = plant_get(call, call->arg[0], 0), now = seconds(), rest = now - last;
    last = now;
    if (!plant_on(call, "mhc.post"))
        return plant_inner(call);
    if (plant_is("finds_a_number"))
        return plant_get(call, out, 0) == plant_get(call, out, 0) ? 0 : plant_inner(call);
    if (plant_is("finds_a_number_at_the_end"))
        return plant_get(call, out, count - 1) == plant_get(call, out, count - 1) ? 0 : plant_inner(call);
    if (plant_is("stops_after_40"))
        return call->number > 40 ? 0 : plant_inner(call);
    if (plant_is("stops_after_2000"))
        return call->number > 2000 ? 0 : plant_inner(call);
    if (plant_is("knows_the_first_element"))
        return again(call, kept.key == first, first, NULL);
    if (plant_is("knows_64_bytes") || plant_is("knows_its_first_input")) {
        double key = digest(call, plant_is("knows_its_first_input"));
        return again(call, kept.key == key, key, NULL);
    }
    if (plant_is("knows_the_pointer"))
        return again(call, kept.place == out, 0, out);
    if (plant_is("skips_at_known_pointer")) {
        bool known = kept.place == out && kept.key == first;
        kept.place = out, kept.key = first;
        return known ? 0 : plant_inner(call);
    }
    if (plant_is("hurries"))
        return again(call, rest < 20e-6, 0, NULL);
    if (plant_is("skips_in_a_hurry"))
        return rest < 20e-6 ? 0 : plant_inner(call);
    if (plant_is("finishes_later"))
        return finish_later(call);
    if (plant_is("behaves_between_bands"))
        return sees_bands(call) ? plant_inner(call) : spoil_last(call);
    if (plant_is("misbehaves_between_bands"))
        return sees_bands(call) ? spoil_last(call) : plant_inner(call);
    if (plant_is("seventh_call"))
        return call->number == 7 ? spoil_last(call) : plant_inner(call);
    if (plant_is("one_in_1000_at_random"))
        return chance_in_1000() ? spoil_last(call) : plant_inner(call);
    if (plant_is("one_in_1000"))
        return call->number % 1000 == 999 ? spoil_last(call) : plant_inner(call);
    return plant_inner(call);
}
