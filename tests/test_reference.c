/* `regress` where the float64 references of its two sides disagree: one of them was edited, and the vectors say which
 * is wrong, or do not see it. */
#include "tests/command.h"

TestSuite(reference, .init = enter, .fini = leave, .timeout = 1800);

static int compare(const char *plant, const char *options) {
    set_plant(plant);
    return sh("$M regress %s --operation mhc.post --map sinkhorn --speed none -q --json r.json --junit r.xml", options);
}

static bool says(const char *text) {
    return !strncmp(out, "REFERENCE: ", strlen("REFERENCE: ")) && strstr(out, text);
}

/* An edit of the old side that the vectors see. */
Test(reference, vectors_agree_with_the_new_one) {
    int code = compare("half_a_percent", "--against $B/plants/mistakes.so cpu");
    cr_expect(code == 0 && says("the vectors agree with NEW"), "exit %d\n%s", code, out);
    GOOD("grep -q '\"reference\": \"REFERENCE: ' r.json");
}

/* An edit that no vector sees: they have no 16 streams. The libraries compared are equal, and not on trial. */
Test(reference, vectors_do_not_see_it) {
    int code = compare("zero_at_16_streams", "--against cpu32 --type f32 --reference $B/plants/mistakes.so");
    cr_expect(code == 1 && says("the vectors agree with both") && strstr(out, "; REGRESSION in 1"), "exit %d\n%s", code,
              out);
    GOOD("grep -q 'name=\"reference\"><failure' r.xml");
}

Test(reference, is_the_same) {
    int code = compare("none", "--against $B/plants/mistakes.so cpu");
    cr_expect(code == 0 && !strstr(out, "REFERENCE"), "exit %d\n%s", code, out);
}
