/* `make gpu-first` may be cut off at any moment, and what it had by then is there. The device does not exist, see
 * fake_queues.c. */
#include "tests/command.h"

#include <time.h>

static void enter_with_device(void) {
    enter();
    find_build();
    GOOD("cc -shared -fPIC -I$R $R/tests/fake_queues.c -o fake.so");
    char rows[2 * PATH_MAX];
    snprintf(rows, sizeof rows, "%s/libmhc_cpu.so", getenv("B"));
    setenv("FAKE_ROWS", rows, 1);
}

TestSuite(gpu_first, .init = enter_with_device, .fini = leave, .timeout = 1800);

static void pause_for(double seconds) {
    struct timespec t = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    nanosleep(&t, NULL);
}

/* Steps that have said how they ended. */
static int steps_said(const char *path) {
    static char text[1 << 20];
    int steps = 0;
    read_all(path, text, sizeof text);
    for (const char *at = text; (at = strstr(at, "\n--- ")) != NULL; at += 5)
        steps++;
    return steps;
}

/* Starts the script as a group of processes of its own and kills all of them within the step behind `steps`. */
static void run_and_kill(int steps) {
    pid_t child = start("exec setsid env SMALL=1 TYPE=f32 BIN=${M%%/*} BACKEND=$PWD/fake.so OUT=cut STEP_SECONDS=120 "
                        "sh $R/tests/gpu_first.sh $R");
    int waited = 0;
    while (steps_said("cut/first.txt") < steps && waited++ < 6000 && !kill(child, 0))
        pause_for(0.02);
    pause_for(0.15 * (steps % 4));
    kill(-child, SIGKILL);
    result_of(child);
}

Test(gpu_first, keeps_what_it_has_at_any_cut) {
    int overheads = 0;
    for (int moment = 1; moment <= 10; moment++) {
        GOOD("rm -rf cut");
        run_and_kill(moment);
        cr_expect(steps_said("cut/first.txt") >= moment, "%d steps, wanted %d", steps_said("cut/first.txt"), moment);
        /* every record that was handed over can be read; what the step at hand had is in the working folder */
        GOOD("cd cut; test ! -e records.tar || { mkdir read && cd read && tar xf ../records.tar &&"
             " for f in *; do $M show $f >/dev/null || exit 1; done; }");
        GOOD("cd cut && for f in work/*.h5; do test ! -e $f || $M show $f >/dev/null || exit 1; done");
        cr_expect(moment < 3 || exists("cut/records.tar"), "after %d steps there is no record", moment);
        overheads += !sh("cd cut/read && $M show active.h5 | grep -q '^mhc '");
    }
    cr_expect(overheads >= 3, "the overheads are there after %d of 10 cuts", overheads);
}
