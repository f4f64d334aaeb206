/* Every plant of tests/plants/ is found, by `check`, by `regress` or by both, at their defaults: the fixed cases are
 * the same whatever else is asked for, so the operation in question is enough. A good library is never found. */
#include "tests/command.h"

static void enter_unguarded(void) {
    enter();
    setenv("ASAN_OPTIONS", "handle_segv=0", 1); /* a library's fault ends the worker, as in any other build */
}

TestSuite(plants, .init = enter_unguarded, .fini = leave, .timeout = 1800);

enum { EITHER = -1 }; /* 0 or 1: how many calls are made is a matter of time */
struct planted {
    const char *name, *family, *operation, *text;
    int check, regress;
    const char *inner, *type; /* the good library that it is in, and a type that this has */
};

static void find(const struct planted *p) {
    bool all = !strcmp(p->operation, "*"), said = false;
    set_plant_in(p->name, p->inner);
    int code = sh("$M check $B/plants/%s.so --operation '%s' --trials 1", p->family, p->operation);
    cr_expect(code == p->check || (p->check == EITHER && (code == 0 || code == 1)),
              "check: exit %d instead of %d\n%.6000s%.600s", code, p->check, out, err);
    said |= strstr(out, p->text) != NULL;
    code = sh("$M regress --against $INNER $B/plants/%s.so --operation %s --type %s --speed %s --budget 0.2 -q",
              p->family, all ? "mhc.post,mhc.backward" : p->operation, p->type, all ? "none" : "report");
    cr_expect(code == p->regress, "regress: exit %d instead of %d\n%.6000s%.600s", code, p->regress, out, err);
    said |= strstr(out, p->text) != NULL;
    cr_expect(said, "none of them says `%s`\n%.6000s", p->text, out);
    cr_expect(!strstr(out, "\n2 cases: 2 SAME; no regression"), "%s", out);
}

#define PLANT_IN(plant, source, where, by_check, by_regress, what, inner, type)                   \
    Test(plants, plant) {                                                                         \
        find(&(struct planted){#plant, #source, where, what, by_check, by_regress, inner, type}); \
    }
#define PLANT(...) PLANT_IN(__VA_ARGS__, "libmhc_cpu.so", "f32")
#define BF16_PLANT(...) PLANT_IN(__VA_ARGS__, "libmhc_emu.so", "bf16")
#include "tests/plants/plants.def"

/* A good library in the same clothes. */
static void find_none(const char *family, const char *checked, const char *compared) {
    set_plant("none");
    GOOD("$M check $B/plants/%s.so --operation '%s' --trials 20", family, checked);
    GOOD("$M regress --against $INNER $B/plants/%s.so --operation %s --type f32 --speed report --budget 0.05 -q",
         family, compared);
    cr_expect(!strstr(out, "INVALID"), "%s", out);
}

static const char connection[] = "mhc.post,mhc.pre,mhc.backward --map sinkhorn";

Test(plants, none_of_cheats) {
    find_none("cheats", "mhc.*,sinkhorn.*", connection);
}

Test(plants, none_of_mistakes) {
    find_none("mistakes", "mhc.*,sinkhorn.*", connection);
}

Test(plants, none_of_training) {
    find_none("training", "adamw.*,embedding.*,cross-*,gradient.*", "adamw.update,embedding.backward");
}

Test(plants, none_of_manners) {
    find_none("manners", "mhc.*", connection);
}

Test(plants, none_of_intruders) {
    find_none("intruders", "mhc.*,linear.*", connection);
}

/* A wrong element in one of a thousand calls, no library knows which: 95 of 100 runs are to find it, and fewer than 16
 * of 20 do once in 400 times at that rate. */
Test(plants, one_in_1000_at_random) {
    enum { RUNS = 20, LEAST = 16 };
    int found = 0;
    set_plant("one_in_1000_at_random");
    for (int run = 0; run < RUNS; run++)
        found += sh("$M regress --against $INNER $B/plants/cheats.so --operation mhc.post --map sinkhorn --type f32 "
                    "--tokens 5 --width 33 --speed report -q") == 1;
    cr_expect(found >= LEAST, "found in %d of %d runs\n%.3000s", found, RUNS, out);
}

/* A row that failed is looked at once more: with --minutes for as long as one row may take, and no longer. */
Test(plants, a_second_look_ends) {
    set_plant("leaves_a_mark");
    int code = sh("$M check $B/plants/intruders.so --operation hc.pre,mhc.post --minutes 0.03 --timeout 10");
    cr_expect(code == 1 && strstr(out, "a row before it left something behind") && !strstr(out, "time limit"),
              "exit %d\n%.6000s", code, out);
}

/* A library that hangs and keeps its process from looking at the clock. */
Test(plants, ignores_the_clock) {
    set_plant("ignores_the_clock");
    int code = sh("$M check $B/plants/intruders.so --operation mhc.post --trials 1 --timeout 1");
    cr_expect(code == 1 && strstr(out, "FAIL mhc.post: time limit of 1 s"), "exit %d\n%.6000s", code, out);
}
