/* `regress --record` and its figure: entries stay even if a process that adds one is killed. */
#include "tests/command.h"

#include <math.h>
#include <time.h>

#include "results/history.h"

TestSuite(history, .init = enter, .fini = leave, .timeout = 1800);

static const char verdicts[] = "SAME,NEW,FASTER,AMBIGUOUS,SLOWER,MISSING,INVALID";

/* An entry of cases "op 0" to "op count - 1" whose ratio is `ratio`. */
static struct history *entry_of(const char *base, const char *revision, const char *machine, int count, double ratio) {
    struct history *h = history_new(verdicts, 1, count, count);
    cr_assert(h, "%s", record_error());
    snprintf(h->base[0], sizeof h->base[0], "%s", base);
    snprintf(h->revision[0], sizeof h->revision[0], "%s", revision);
    snprintf(h->machine[0], sizeof h->machine[0], "%s", machine);
    for (int k = 0; k < count; k++) {
        snprintf(h->name[k], sizeof h->name[k], "op %d", k);
        h->of[k] = k;
        h->ratio[k] = ratio;
        h->low[k] = ratio * 0.99;
        h->high[k] = ratio * 1.01;
        h->verdict[k] = ratio > 1.03 ? 4 : 0;
    }
    return h;
}

static bool append(const char *base, const char *revision, const char *machine, int count, double ratio) {
    struct history *h = entry_of(base, revision, machine, count, ratio);
    bool good = history_append("h.h5", h);
    history_release(h);
    return good;
}

Test(history, regress_adds_an_entry) {
    GOOD("for k in 1 2; do $M regress --against cpu32 --operation hc.pre,mhc.pre --tokens 5 --width 33 --speed none "
         "--type f32 --record h.h5 -q || exit 1; done");
    struct history *h = history_read("h.h5");
    cr_assert(h, "%s", record_error());
    cr_expect(h->entries == 2 && h->cases > 1 && h->rows == 2 * h->cases, "%ld entries, %ld cases, %ld rows",
              (long)h->entries, (long)h->cases, (long)h->rows);
    cr_expect(!strcmp(h->revision[0], h->base[1]) && strlen(h->revision[0]) >= 7 && strlen(h->time[1]) == 20);
    cr_expect(h->entry[h->cases] == 1 && h->of[h->cases] == h->of[0] && isnan(h->ratio[0]), "not timed");
    const int64_t rows = h->rows;
    history_release(h);
    expect_refusal("$M plot h.h5", "no run in it timed a case");
    GOOD("$M regress --against cpu32 --operation hc.pre --tokens 5 --width 33 --type f32 --record h.h5 -q && "
         "$M plot h.h5 --out f && test -s f/history.svg && test -s f/history.png");
    h = history_read("h.h5");
    cr_assert(h && h->entries == 3 && h->rows == rows + 1);
    cr_expect(h->ratio[rows] > 0 && h->low[rows] <= h->ratio[rows] && h->ratio[rows] <= h->high[rows]);
    history_release(h);
}

/* What is no history is refused before anything is judged, and stays. */
Test(history, other_files_are_refused) {
    GOOD("$M run --study maps --depth 3 --out r.h5 -q; cp r.h5 was.h5; echo text >t; : >empty; mkdir d; ln -s h.h5 l");
    static const char *const files[][2] = {{"r.h5", "schema mhcbench/1"},
                                           {"t", "no HDF5 file"},
                                           {"empty", "empty"},
                                           {"d", "not a regular file"},
                                           {"nosuch/h.h5", "nosuch"}};
    for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
        char command[300];
        snprintf(command, sizeof command,
                 "$M regress --against cpu32 --operation hc.pre --tokens 5 --width 33 --type f32 --speed none "
                 "--record %s -q >/dev/null",
                 files[k][0]);
        expect_refusal(command, files[k][1]);
    }
    GOOD("cmp r.h5 was.h5");
    cr_assert(append("a", "b", "cpu", 3, 1));
    GOOD("rm l; ln -s h.h5 l; cp h.h5 was.h5; printf X | dd of=h.h5 bs=1 seek=3000 conv=notrunc 2>/dev/null");
    cr_expect(!append("b", "c", "cpu", 3, 1) && strstr(record_error(), "h.h5"), "a flipped byte: %s", record_error());
    GOOD("cp was.h5 h.h5");
    struct history *h = entry_of("b", "c", "cpu", 3, 1);
    cr_expect(!history_append("l", h) && strstr(record_error(), "not a regular file"), "a link: %s", record_error());
    history_release(h);
    GOOD("cmp h.h5 was.h5");
}

/* Processes that add at once lose nothing of one another. */
Test(history, many_at_once) {
    enum { WRITERS = 6, EACH = 5 };
    pid_t child[WRITERS];
    for (int w = 0; w < WRITERS; w++)
        if ((child[w] = fork()) == 0) {
            bool good = true;
            for (int k = 0; k < EACH && good; k++) {
                char revision[32];
                snprintf(revision, sizeof revision, "%d.%d", w, k);
                good &= append("base", revision, "cpu", 2 + w, 1);
            }
            if (!good)
                write_text(w % 2 ? "why1" : "why0", record_error());
            _exit(!good);
        }
    for (int w = 0; w < WRITERS; w++) {
        int status;
        cr_expect(waitpid(child[w], &status, 0) == child[w] && WIFEXITED(status) && !WEXITSTATUS(status));
    }
    (void)sh("cat why?");
    struct history *h = history_read("h.h5");
    cr_assert(h, "%s %s", record_error(), out);
    cr_expect(!out[0], "%s", out);
    cr_expect(h->entries == WRITERS * EACH && h->cases == 1 + WRITERS && h->rows == EACH * (2 + 3 + 4 + 5 + 6 + 7));
    history_release(h);
    GOOD("test $(ls | grep -c h.h5) = 1");
}

/* A kill at any moment leaves all entries that were there. */
Test(history, killed_while_adding) {
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    cr_assert(append("a", "b", "cpu", 200, 1));
    clock_gettime(CLOCK_MONOTONIC, &to);
    const double once = (double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3;
    int64_t entries = 1;
    for (int k = 0; k < 40; k++) {
        pid_t child = fork();
        if (child == 0)
            for (;;)
                append("b", "c", "cpu", 200, 1);
        usleep((useconds_t)(0.1 * once * (1 + k)));
        kill(child, SIGKILL);
        cr_assert(waitpid(child, NULL, 0) == child);
        struct history *h = history_read("h.h5");
        cr_assert(h && h->entries >= entries && h->rows == 200 * h->entries, "%s", record_error());
        entries = h->entries;
        history_release(h);
    }
    cr_expect(entries > 1, "something was added");
}

/* The last level of "op 0" in history.csv. */
static double level_after(int at) {
    char line[400];
    double level = NAN, value;
    int line_number, piece, place;
    GOOD("$M plot h.h5 --out f --format svg");
    FILE *csv = fopen("f/data/history.csv", "r");
    while (csv && fgets(line, sizeof line, csv))
        if (sscanf(line, "%d,%d,%d,%lf", &line_number, &piece, &place, &value) == 4 && line_number == 1 && place == at)
            level = value;
    cr_assert(csv && !fclose(csv));
    return level;
}

/* Ratios to a parent are multiplied, those to one release are not; another machine, or an unknown base, begins anew. */
Test(history, levels) {
    cr_assert(append("a", "b", "cpu", 1, 0.5) && append("b", "c", "cpu", 1, 1.2));
    cr_expect(fabs(level_after(2) - 0.6) < 1e-8, "%g", level_after(2));
    cr_assert(append("a", "d", "cpu", 1, 0.9));
    cr_expect(fabs(level_after(3) - 0.9) < 1e-8, "%g", level_after(3));
    cr_assert(append("b", "e", "cpu", 1, 1.5));
    cr_expect(fabs(level_after(4) - 0.75) < 1e-8, "%g", level_after(4));
    cr_assert(append("e", "f", "another cpu", 1, 1.1));
    cr_expect(fabs(level_after(5) - 1.1) < 1e-8, "%g", level_after(5));
    cr_assert(append("unseen", "g", "cpu", 1, 0.8));
    cr_expect(fabs(level_after(6) - 0.8) < 1e-8, "%g", level_after(6));
}
