/* Merging records: shards into one file, and cases that several of them have. */
#include "tests/record_expect.h"

#include <sys/resource.h>

TestSuite(record_merge, .init = enter, .fini = leave, .timeout = 1800);

/* Case 4 with another value in one place. */
static void write_other(const char *path, void (*change)(struct example *)) {
    const struct record_schema schema = schema_of(7, "suite");
    struct record *w = record_create(path, &schema, false, true);
    struct example e;
    example_init(&e, 4, 7);
    change(&e);
    cr_assert(w && record_append(w, &e.c) && record_finish(w, true), "%s", record_error());
    example_free(&e);
}

static void nothing(struct example *e) {
    (void)e;
}
static void a_curve(struct example *e) {
    e->curve[1][2] += 1e-9;
}
static void a_summary(struct example *e) {
    e->summaries[0] = isnan(e->summaries[0]) ? 1 : NAN;
}
static void a_panel(struct example *e) {
    e->panels[3] *= 2;
}
static void an_entry_of_mixing(struct example *e) {
    e->mixing[0] = isnan(e->mixing[0]) ? 1 : NAN;
}
static void a_time(struct example *e) {
    e->seconds[1] *= 2;
}

Test(record_merge, holds_duplicates_to_each_other) {
    static const struct {
        void (*change)(struct example *);
        const char *where; /* "": not a value */
    } one[] = {{nothing, ""},
               {a_curve, "a.h5 and b.h5 have other values of one case, in curves/"},
               {a_summary, "in summary/"},
               {a_panel, "in panels/composite"},
               {an_entry_of_mixing, "in mixing/matrix"},
               {a_time, ""}};
    const char *const parts[] = {"a.h5", "b.h5"}, *const turned[] = {"b.h5", "a.h5"};
    write_file("a.h5", 0, 6, 7, "suite");
    for (size_t k = 0; k < sizeof one / sizeof *one; k++) {
        struct record_gaps gaps;
        write_other("b.h5", one[k].change);
        const bool good = record_merge("all.h5", parts, 2, true, &gaps, NULL);
        cr_expect(good == !*one[k].where && (good || strstr(record_error(), one[k].where)), "change %zu: %s", k,
                  record_error());
        cr_expect(record_merge("turned.h5", turned, 2, true, NULL, NULL) == good);
        if (good) {
            cr_expect_eq(gaps.repeated, 1);
            free(gaps.is_missing);
        }
        unlink("b.h5");
    }
    check_file("all.h5", 0, 6, 7);
}

Test(record_merge, joins_shards) {
    write_file("a.h5", 0, 20, 7, "suite");
    write_file("b.h5", 20, 20, 7, "suite");
    write_file("other.h5", 40, 3, 7, "another suite");
    const char *const good[] = {"a.h5", "b.h5"}, *const repeated[] = {"a.h5", "b.h5", "a.h5"},
                      *const mixed[] = {"a.h5", "other.h5"};
    const char *const absent[] = {"a.h5", "c.h5"}, *const part[] = {"c.h5.part"};
    cr_assert(record_merge("all.h5", good, 2, false, NULL, NULL), "%s", record_error());
    check_file("all.h5", 0, 40, 7);
    struct record_reader *r = record_open("all.h5");
    const char *name, *value;
    cr_assert(r && record_complete(r) && record_fact_count(r) == 3 && record_fact(r, 0, &name, &value));
    cr_expect(!strcmp(name, "host") && !strcmp(value, "here") && !strcmp(record_attribute(r, "suite"), "suite"));
    record_close(r);
    cr_expect(!record_merge("all.h5", good, 2, false, NULL, NULL));
    expect_error("all.h5: exists already");
    cr_assert(record_merge("all.h5", good, 2, true, NULL, NULL), "%s", record_error());
    cr_assert(record_merge("all.h5", repeated, 3, true, NULL, NULL), "%s", record_error());
    check_file("all.h5", 0, 40, 7);
    cr_expect(!record_merge("x.h5", mixed, 2, false, NULL, NULL));
    expect_error("other.h5: is of another suite");
    cr_expect(!record_merge("x.h5", absent, 2, false, NULL, NULL));
    expect_error("c.h5: No such file or directory");
    cr_expect(!record_merge("x.h5", NULL, 0, false, NULL, NULL));
    cr_expect(!exists("x.h5") && !exists("x.h5.part"), "a failed merge left something behind");
    cr_assert(!rename("b.h5", "c.h5.part"));
    cr_expect(!record_merge("c.h5", part, 1, true, NULL, NULL));
    expect_error("c.h5.part: would be overwritten");

    const struct record_fact there[] = {{"host", "there"}, {"cpu", "µ-processor"}, {"empty", ""}};
    struct record_schema schema = schema_of(7, "suite");
    schema.facts = there;
    struct record *w = record_create("d.h5", &schema, false, false);
    cr_assert(w && append(w, 20, 7) && append(w, 21, 7) && record_finish(w, false), "%s", record_error());
    const char *const unfinished[] = {"a.h5", "d.h5.part"};
    cr_assert(record_merge("e.h5", unfinished, 2, false, NULL, NULL), "%s", record_error());
    check_file("e.h5", 0, 22, 7);
    r = record_open("e.h5");
    cr_assert(r && record_fact(r, 0, &name, &value));
    cr_expect(!record_complete(r) && !strcmp(value, "here; there"), "host is %s", value);
    cr_assert(record_fact(r, 1, &name, &value));
    cr_expect(!strcmp(value, "µ-processor"), "cpu is %s", value);
    record_close(r);
}

/* Two cases of each part, which alternate, and the first case of all parts again in the last. */
Test(record_merge, has_few_of_many_parts_open) {
    enum { PARTS = 60 };
    static char name[PARTS + 1][16];
    const char *path[PARTS + 1];
    const struct record_schema schema = schema_of(7, "suite");
    for (int k = 0; k <= PARTS; k++) {
        snprintf(name[k], sizeof name[k], "part%d.h5", k);
        path[k] = name[k];
        struct record *w = record_create(path[k], &schema, false, false);
        for (int64_t i = k; w && k < PARTS && i < 2 * PARTS; i += PARTS)
            cr_assert(append(w, i, 7), "%s", record_error());
        for (int64_t i = 0; w && k == PARTS && i < PARTS; i++)
            cr_assert(append(w, i, 7), "%s", record_error());
        cr_assert(w && record_finish(w, true), "%s", record_error());
    }
    struct record_gaps gaps;
    const struct rlimit few = {PARTS / 2 + 10, PARTS / 2 + 10};
    cr_assert(!setrlimit(RLIMIT_NOFILE, &few));
    cr_assert(record_merge("all.h5", path, PARTS + 1, false, &gaps, NULL), "%s", record_error());
    cr_expect_eq(gaps.repeated, PARTS);
    free(gaps.is_missing);
    check_file("all.h5", 0, 2 * PARTS, 7);
}
