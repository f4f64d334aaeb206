/* Every plant of tests/plants/ is found, by `check`, by `regress` or by both, at their defaults: the fixed cases are
 * the same whatever else is asked for, so the operation in question is enough. A good library is never found. */
#include "tests/command.h"

TestSuite(plants, .init = enter, .fini = leave, .timeout = 600);

struct planted {
    const char *name, *family, *operation, *text;
    int check, regress;
};

static void set_up(const struct planted *p) {
    const char *build = getenv("BUILD");
    char path[2 * PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", root, build ? build : "build");
    setenv("B", build && build[0] == '/' ? build : path, 1);
    snprintf(path, sizeof path, "%s/libmhc_cpu.so", getenv("B"));
    setenv("INNER", path, 1);
    setenv("PLANT", p->name, 1);
}

static void find(const struct planted *p) {
    bool all = !strcmp(p->operation, "*"), said = false;
    set_up(p);
    int code = sh("$M check $B/plants/%s.so --operation '%s' --trials 1", p->family, p->operation);
    cr_expect(code == p->check, "check: exit %d instead of %d\n%.6000s%.600s", code, p->check, out, err);
    said |= strstr(out, p->text) != NULL;
    code = sh("$M regress --against $INNER $B/plants/%s.so --operation %s --type f32 --speed %s --budget 0.2 -q",
              p->family, all ? "mhc.post,mhc.backward" : p->operation, all ? "none" : "report");
    cr_expect(code == p->regress, "regress: exit %d instead of %d\n%.6000s%.600s", code, p->regress, out, err);
    said |= strstr(out, p->text) != NULL;
    cr_expect(said, "nobody says `%s`\n%.6000s", p->text, out);
    cr_expect(!strstr(out, "\n2 cases: 2 SAME; no regression"), "%s", out);
}

#define PLANT(plant, source, where, by_check, by_regress, what)                      \
    Test(plants, plant) {                                                            \
        find(&(struct planted){#plant, #source, where, what, by_check, by_regress}); \
    }
#include "tests/plants/plants.def"

Test(plants, none) {
    static const char *const families[] = {"cheats", "mistakes", "manners", "intruders"};
    for (int k = 0; k < 4; k++) {
        set_up(&(struct planted){.name = "none"});
        GOOD("$M check $B/plants/%s.so --operation 'mhc.*,sinkhorn.*' --trials 20", families[k]);
        GOOD(
            "$M regress --against $INNER $B/plants/%s.so --operation 'mhc.*' --type f32 --speed report --budget 0.05 -q",
            families[k]);
        cr_expect(!strstr(out, "INVALID"), "%s", out);
    }
}
