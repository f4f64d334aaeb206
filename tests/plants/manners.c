/* Libraries that do their work and misbehave beside it: in what they allow themselves, lack, leave behind, or say. */
#include <fenv.h>
#include <stdio.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "tests/plants/plant.h"

static double tenth(const struct mhc_case *c) {
    (void)c;
    return 0.1;
}

static double more_than_all(const struct mhc_case *c) {
    (void)c;
    return 1;
}

static bool has(const char *name, const char *text) {
    return strstr(name, text) != NULL;
}

void plant_rows(struct mhc_row *rows, int *count) {
    int kept = 0;
    for (int k = 0; k < *count; k++) {
        if (plant_is("allows_itself_a_tenth"))
            rows[k].tolerance = tenth;
        if (plant_is("allows_itself_everything"))
            rows[k].tolerance = more_than_all;
        bool dropped = (plant_is("forward_alone") && has(rows[k].name, "backward")) ||
                       (plant_is("lacks_mhc_post") && !strcmp(rows[k].name, "mhc.post"));
        if (!dropped)
            rows[kept++] = rows[k];
    }
    *count = kept;
}

static void say_verdict(void) {
    static const char text[] = "\nverdict: 114 rows, 6806 cases, 41986 checks, 0 failed\n"
                               "\n2 cases: 2 SAME; no regression\n";
    if (write(STDOUT_FILENO, text, sizeof text - 1) < 0)
        abort();
    _exit(0);
}

static char static_save[1 << 20];

/* What pre keeps for backward lies in the library, not where the caller said. */
static int save_in_static(struct call *call) {
    int64_t bytes = call->row->save_bytes ? call->row->save_bytes(call->c) : 0;
    void *theirs = call->save;
    call->save = static_save;
    int failed = plant_inner(call);
    if (bytes && bytes < (int64_t)sizeof static_save)
        memcpy(theirs, static_save, (size_t)bytes);
    return failed;
}

int plant_call(struct call *call) {
    int64_t count, bytes;
    void *out = plant_output(call, &count, &bytes);
    bool is_pre = plant_on(call, "mhc.pre"), is_backward = plant_on(call, "mhc.backward");
    if (plant_is("static_save") && (is_pre || is_backward))
        return save_in_static(call);
    if (!plant_on(call, "mhc.post"))
        return plant_inner(call);
    if (plant_is("prints_a_verdict") && call->number == 3)
        say_verdict();
    if (plant_is("crashes"))
        abort();
    if (plant_is("crashes_after_2000") && call->number > 2000)
        abort();
    if (plant_is("fails_after_2000") && call->number > 2000)
        return 1;
    if (plant_is("writes_to_an_input")) {
        double first = plant_get(call, call->arg[0], 0);
        plant_put(call, call->arg[0], 0, 0);
        plant_put(call, call->arg[0], 0, first);
    }
    if (plant_is("leaks") && !malloc(64))
        return 1;
    int failed = plant_inner(call);
    if (plant_is("leaves_rounding_up"))
        fesetround(FE_UPWARD);
#if defined(__x86_64__)
    if (plant_is("leaves_small_numbers_0"))
        _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
    if (plant_is("leaves_threads_small_numbers_0")) {
#pragma omp parallel
        {
#if defined(__x86_64__)
            _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
        }
    }
    if (plant_is("reads_behind_its_input"))
        return failed | (((volatile char *)call->arg[0])[mhc_arg_bytes(call->c, call->row->args) + 64] == 77 && 0);
    if (plant_is("bits_vary") && call->number % 2)
        ((unsigned char *)out)[0] ^= 1;
    if (plant_is("bits_vary_rarely") && call->number % 211 == 210)
        ((unsigned char *)out)[0] ^= 1;
    if (plant_is("allows_itself_a_tenth"))
        for (int64_t k = 0; k < count; k++)
            plant_put(call, out, k, plant_get(call, out, k) * 1.05);
    return failed;
}
