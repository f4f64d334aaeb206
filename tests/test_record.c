/* The HDF5 record: what is written comes back bit for bit, for this reader and for those of others; resuming, refusing
 * and selecting. */
#include "tests/record_expect.h"

#include <dirent.h>
#include <sys/stat.h>

TestSuite(record, .init = enter, .fini = leave, .timeout = 1800);

/* What a file says of itself and of what is in it. */
static void expect_description(struct record_reader *q, const char *suite) {
    cr_expect_str_eq(record_attribute(q, "suite"), suite);
    cr_expect_str_eq(record_attribute(q, "schema"), RECORD_SCHEMA);
    cr_expect_str_eq(record_attribute(q, "program"), "mhcbench test");
    cr_expect_str_eq(record_attribute(q, "command"), "mhcbench run x.suite");
    cr_expect(strlen(record_attribute(q, "run_uuid")) == 36 && strlen(record_attribute(q, "created_utc")) == 20);
    cr_expect(!record_attribute(q, "absent"));
    cr_expect(record_fact_count(q) == 3);
    for (int i = 0; i < 3; i++) {
        const char *name, *value;
        cr_assert(record_fact(q, i, &name, &value));
        cr_expect(!strcmp(name, facts[i].name) && !strcmp(value, facts[i].value), "fact %d: %s = %s", i, name, value);
    }
    cr_expect(record_column_count(q) == COLUMNS && record_curve_count(q) == CURVES &&
              record_list_count(q, RECORD_LIST_SUMMARIES) == SUMMARIES);
    for (int i = 0; i < COLUMNS; i++) {
        struct record_column c;
        cr_assert(record_column(q, i, &c));
        cr_expect(!strcmp(c.name, columns[i].name) && !strcmp(c.unit, columns[i].unit) && c.type == columns[i].type &&
                      !strcmp(c.long_name, columns[i].long_name),
                  "column %d: %s", i, c.name);
    }
    for (int i = 0; i < CURVES; i++) {
        struct record_curve c;
        cr_assert(record_curve(q, i, &c));
        cr_expect(!strcmp(c.name, curves[i].name) && !strcmp(c.unit, curves[i].unit), "curve %d: %s", i, c.name);
    }
}

Test(record, round_trip) {
    enum { CASES = 75, LAYERS = 7 };
    char *suite = malloc(200001); /* more than an ordinary HDF5 attribute holds */
    memset(suite, 's', 200000);
    suite[200000] = 0;
    const struct record_schema schema = schema_of(LAYERS, suite);
    struct record *r = record_create("a.h5", &schema, false, false);
    cr_assert(r, "%s", record_error());
    cr_expect(exists("a.h5.part") && !exists("a.h5"));
    for (int64_t i = 0; i < CASES; i++) {
        if (i == 33) { /* a run can be looked at while it is going on */
            struct record_reader *running = record_open("a.h5.part");
            cr_assert(running, "%s", record_error());
            cr_expect(record_count(running) == 33 && !record_complete(running) && !difference(running, 32, 32, LAYERS));
            record_close(running);
            cr_expect(!record_create("a.h5", &schema, true, false));
            expect_error("another process is writing it");
        }
        cr_assert(append(r, i, LAYERS), "%s", record_error());
    }
    cr_expect(record_has(r, "--case 3") && !record_has(r, "--case 300"));
    cr_assert(record_finish(r, true), "%s", record_error());
    cr_expect(exists("a.h5") && !exists("a.h5.part"));
    check_file("a.h5", 0, CASES, LAYERS);

    struct record_reader *q = record_open("a.h5");
    cr_assert(q, "%s", record_error());
    cr_expect(record_complete(q) && record_max_layers(q) == LAYERS && record_max_streams(q) == STREAMS);
    expect_description(q, suite);
    const char *name, *value;
    struct record_column column;
    struct record_curve curve;
    cr_expect(!record_fact(q, 3, &name, &value) && !record_column(q, -1, &column) && !record_curve(q, CURVES, &curve) &&
              !record_list_curve(q, RECORD_LIST_SUMMARIES, SUMMARIES, &curve));
    cr_expect(!record_ints(q, "gain"));
    expect_error("a.h5: cases/gain: wrong type");
    cr_expect(!record_reals(q, "nothing"));
    expect_error("a.h5: cases/nothing: absent");
    cr_expect(!record_curve_of(q, "zeta", CASES) && !record_curve_of(q, "zeta", -1) && !record_curve_of(q, "x", 0));
    record_close(q);
    free(suite);
}

/* Other people's programs read it too; each is asked where it is installed. */
Test(record, other_readers) {
    write_file("a.h5", 0, 40, 7, "suite");
    if (!system("command -v h5dump >/dev/null"))
        cr_expect(!system("h5dump a.h5 >dump && grep -q 'STRSIZE 1024' dump && grep -q DIMENSION_LIST dump"));
    FILE *f = fopen("read.py", "w");
    fputs(
        "import sys\n"
        "try: import h5py\n"
        "except ImportError: sys.exit(0)\n"
        "f = h5py.File('a.h5', 'r')\n"
        "c = f['curves/zeta']\n"
        "assert [d.label for d in c.dims] == ['case', 'layer'], c.dims\n"
        "assert c.dims[1][0][:].tolist() == list(range(1, 8)) and c.dims[0][0].shape == (40,)\n"
        "assert f['cases/key'].asstr()[3] == '--case 3' and f['cases/width'][1] == 2**40 - 5\n"
        "assert h5py.check_enum_dtype(f['cases/status'].dtype) == {'missing': 0, 'done': 1, 'failed': 2}\n"
        "assert f['cases/status'][:].min() == 1 and len(set(d.shape[0] for d in f['cases'].values())) == 1\n"
        "assert f.attrs['schema'].decode() == 'mhcbench/1.4' and f['cases/seconds'].attrs['units'] == b's'\n"
        "try: import xarray, h5netcdf\n"
        "except ImportError: sys.exit(0)\n"
        "assert [d.label for d in f['timing/seconds'].dims] == ['case', 'subject', 'round'], f['timing/seconds'].dims\n"
        "for g in ('cases', 'curves', 'summary', 'panels', 'spectra', 'mixing', 'timing', 'accuracy'):\n"
        "    d = xarray.open_dataset('a.h5', group=g, engine='h5netcdf').load()\n"
        "    assert d.sizes['case'] == 40 and 'phony' not in str(d.sizes), d\n",
        f);
    fclose(f);
    if (!system("python3 -c '' 2>/dev/null"))
        cr_expect(!system("python3 read.py"), "h5py or xarray does not read the record");
    if (!system("/usr/bin/python3 -c '' 2>/dev/null"))
        cr_expect(!system("/usr/bin/python3 read.py"), "h5py or xarray does not read the record");
}

/* ---- Resuming and refusing -------------------------------------------------------------------------------------- */

/* A run of any other schema does not resume a.h5.part, and leaves it as it is. */
static void refuse_other_schemas(const struct record_schema *schema) {
    size_t size, later;
    char *before = slurp("a.h5.part", &size);
    struct record_column other[COLUMNS];
    struct record_curve other_curve[CURVES];
    memcpy(other, columns, sizeof other);
    memcpy(other_curve, curves, sizeof other_curve);
    other[1].type = RECORD_INT;
    other_curve[1].name = "fourth";
    struct record_schema changed[9];
    for (int i = 0; i < 9; i++)
        changed[i] = *schema;
    const char *const other_subjects[SUBJECTS] = {"baseline", "another"};
    changed[0].suite = "another";
    changed[1].columns = other;
    changed[2].column_count--;
    changed[3].curves = other_curve;
    changed[4].layers++;
    changed[5].summary_count--;
    changed[6].subjects = other_subjects;
    changed[7].rounds++;
    changed[8].timing_count--;
    const char *const want[9] = {
        "is of another suite",        "parameter 1 is gain",     "3 parameters, not 2",
        "curves/forward, not fourth", "room for 7 layers",       "2 datasets in summary, not 1",
        "times other subjects",       "other numbers of rounds", "2 datasets in timing, not 1"};
    for (int i = 0; i < 9; i++) {
        cr_expect(!record_create("a.h5", &changed[i], true, false), "change %d", i);
        expect_error(want[i]);
    }
    char *after = slurp("a.h5.part", &later);
    cr_expect(size == later && !memcmp(before, after, size), "a refused resume changed the file");
    free(before);
    free(after);
}

Test(record, resume) {
    enum { LAYERS = 7 };
    struct record_schema schema = schema_of(LAYERS, "suite");
    struct record *r = record_create("a.h5", &schema, true, false); /* with nothing to resume: a new one */
    cr_assert(r, "%s", record_error());
    for (int64_t i = 0; i < 14; i++)
        cr_assert(append(r, i, LAYERS));
    cr_assert(record_finish(r, false), "%s", record_error());
    cr_expect(exists("a.h5.part") && !exists("a.h5"));
    check_file("a.h5.part", 0, 14, LAYERS);
    cr_expect(!record_create("a.h5", &schema, false, false));
    expect_error("a.h5.part: was left by an unfinished run");

    refuse_other_schemas(&schema);
    r = record_create("a.h5", &schema, true, false);
    cr_assert(r, "%s", record_error());
    cr_expect(record_has(r, "--case 9") && !record_has(r, "--case 10"),
              "a failed case runs again, a finished one does not");
    cr_expect(!append(r, 3, LAYERS));
    expect_error("key repeated: --case 3");
    cr_assert(append(r, 14, LAYERS), "%s", record_error());
    cr_assert(record_finish(r, true), "%s", record_error());
    struct record_reader *q = record_open("a.h5");
    cr_assert(q, "%s", record_error());
    cr_expect(record_count(q) == 14);
    for (int64_t row = 0; row < record_count(q); row++)
        cr_expect(!difference(q, row, row < 10 ? row : row + 1, LAYERS), "row %lld", (long long)row);
    record_close(q);
    cr_expect(!record_create("a.h5", &schema, true, false));
    expect_error("a.h5: exists already");
    r = record_create("a.h5", &schema, false, true);
    cr_assert(r && record_finish(r, true), "%s", record_error());
    check_file("a.h5", 0, 0, LAYERS);
}

static void check_victim(void) {
    size_t size;
    char *text = slurp("victim", &size);
    cr_expect_str_eq(text, "mine");
    free(text);
}

static int files_here(void) {
    DIR *here = opendir(".");
    int count = 0;
    while (here && readdir(here))
        count++;
    closedir(here);
    return count - 2;
}

Test(record, refusals) {
    struct record_schema schema = schema_of(7, "suite");
    cr_expect(!record_create("nowhere/a.h5", &schema, false, false));
    expect_error("cannot write nowhere/a.h5.part: No such file or directory");
    cr_assert(!mkdir("dir", 0777) && !mkdir("b.h5.part", 0777));
    cr_expect(!record_create("dir", &schema, false, true));
    expect_error("dir: is there and is no regular file");
    cr_expect(!record_create("b.h5", &schema, false, true));
    expect_error("b.h5.part: is there and is no regular file");
    spit("victim", "mine", 4);
    cr_assert(!symlink("victim", "c.h5.part"));
    for (int k = 0; k < 3; k++) {
        cr_expect(!record_create("c.h5", &schema, k == 1, k == 2));
        expect_error("c.h5.part: is there and is no regular file");
    }
    check_victim();

    struct record_schema bad = schema;
    bad.layers = RECORD_MAX_LAYERS + 1;
    cr_expect(!record_create("a.h5", &bad, false, false));
    expect_error("65537 layers");
    const struct record_column own = {"key", "", "", RECORD_INT},
                               twice[] = {{"n", "", "", RECORD_INT}, {"n", "", "", RECORD_INT}};
    bad = schema;
    bad.columns = &own;
    bad.column_count = 1;
    cr_expect(!record_create("a.h5", &bad, false, false));
    expect_error("column key: not a usable name");
    bad.columns = twice;
    bad.column_count = 2;
    cr_expect(!record_create("a.h5", &bad, false, false));
    expect_error("dataset n: ");
    cr_expect(!exists("a.h5") && !exists("a.h5.part") && files_here() == 4, "something was left behind");
}

Test(record, refused_cases) {
    const struct record_schema schema = schema_of(7, "suite");
    struct record *r = record_create("a.h5", &schema, false, false);
    cr_assert(r, "%s", record_error());
    struct example e;
    char longer[2000];
    memset(longer, 'x', sizeof longer);
    longer[RECORD_KEY_BYTES + 1] = 0;
    example_init(&e, 0, 7);
    struct record_case c = e.c;
    c.key = longer;
    cr_expect(!record_append(r, &c));
    expect_error("key of 1025 bytes: at most 1024 fit: xxx");
    c = e.c;
    e.values[2].text = longer;
    cr_expect(!record_append(r, &c));
    expect_error("input: text of 1025 bytes, at most 256 fit: xxx");
    e.values[2].text = e.text;
    c.layers = 8;
    cr_expect(!record_append(r, &c));
    expect_error("8 layers: the record has room for 7");
    c = e.c;
    c.streams = STREAMS + 1;
    cr_expect(!record_append(r, &c));
    expect_error("4 streams: the record has room for 3");
    cr_assert(record_finish(r, true), "%s", record_error());
    example_free(&e);
    check_file("a.h5", 0, 0, 7);
}

/* The longest key, a text that fills its place, unterminated in the file, and a reason that is cut between letters. */
Test(record, longest_texts) {
    const struct record_schema schema = schema_of(7, "suite");
    struct record *r = record_create("a.h5", &schema, false, false);
    cr_assert(r, "%s", record_error());
    char longest[RECORD_KEY_BYTES + 1], full[RECORD_TEXT_BYTES + 1], reason[RECORD_REASON_BYTES + 100];
    memset(longest, 'x', sizeof longest);
    longest[RECORD_KEY_BYTES] = 0;
    memset(full, 'y', sizeof full);
    full[RECORD_TEXT_BYTES] = 0;
    reason[0] = 'r';
    for (size_t i = 1; i < sizeof reason; i += 2)
        memcpy(reason + i, "é", i + 2 < sizeof reason ? 2 : 1);
    reason[sizeof reason - 1] = 0;
    struct example e;
    example_init(&e, 0, 7);
    struct record_case c = e.c;
    c.key = longest;
    c.reason = reason;
    e.values[2].text = full;
    cr_expect(record_append(r, &c), "%s", record_error());
    cr_assert(record_finish(r, true), "%s", record_error());
    example_free(&e);
    struct record_reader *q = record_open("a.h5");
    cr_assert(q && record_count(q) == 1, "%s", record_error());
    const char *got = record_texts(q, "reason")[0];
    const size_t length = strlen(got);
    cr_expect(!strcmp(record_texts(q, "key")[0], longest) && !strcmp(record_texts(q, "input")[0], full));
    cr_expect(length <= RECORD_REASON_BYTES && length > RECORD_REASON_BYTES - 5 && !strcmp(got + length - 5, "é..."),
              "reason ends in %s", got + length - 6);
    record_close(q);
}

/* What is no checkpoint, and what may not replace one, is refused; then the case still takes its place. */
Test(record, checkpoints_are_replaced_by_no_less) {
    const struct record_schema schema = schema_of(5, "suite");
    struct record *r = record_create("a.h5", &schema, false, false);
    struct example e;
    example_init(&e, 4, 5);
    struct record_case early = e.c, less = e.c;
    early.status = RECORD_FAILED;
    early.reason = "no flag";
    cr_expect(r && !record_checkpoint(r, &early) && strstr(record_error(), "does not say what is unfinished"));
    early.reason = RECORD_UNFINISHED "the rest";
    cr_expect(record_checkpoint(r, &early), "%s", record_error());
    less.timing = NULL;
    cr_expect(!record_append(r, &less) && strstr(record_error(), "less than its checkpoint had"), "%s", record_error());
    cr_expect(record_append(r, &e.c) && !record_append(r, &e.c) && strstr(record_error(), "key repeated"));
    cr_expect(append(r, 1, 5) && record_finish(r, true), "%s", record_error());
    struct record_reader *got = record_open("a.h5");
    cr_assert(got && record_count(got) == 2 && !record_unfinished(got, 0) && !record_unfinished(got, 2));
    cr_expect(!difference(got, 0, 4, 5) && !difference(got, 1, 1, 5));
    record_close(got);
    example_free(&e);
}

/* Every second case of a file, complete and as it grows: what is read of them is theirs. */
Test(record, selected) {
    enum { CASES = 70, LAYERS = 9 };
    for (int complete = 0; complete < 2; complete++) {
        const struct record_schema schema = schema_of(LAYERS, "suite");
        struct record *w = record_create("s.h5", &schema, false, true);
        for (int64_t i = 0; i < CASES; i++)
            cr_assert(w && append(w, i, LAYERS), "%s", record_error());
        cr_assert(record_finish(w, complete));
        struct record_reader *r = record_open(complete ? "s.h5" : "s.h5.part");
        bool chosen[CASES] = {false};
        for (int64_t i = 1; i < CASES; i += 2)
            chosen[i] = true;
        cr_assert(r && record_texts(r, "key") && record_curve_of(r, "zeta", 3) && record_select(r, chosen));
        cr_assert_eq(record_count(r), CASES / 2);
        for (int64_t i = 0; i < CASES / 2; i++) {
            const char *wrong = difference(r, i, 2 * i + 1, LAYERS);
            cr_expect(!wrong, "case %lld: %s", (long long)i, wrong);
            cr_expect_eq(record_number(r, i), 2 * i + 1);
        }
        memset(chosen, 0, sizeof chosen);
        chosen[4] = true; /* of the chosen */
        cr_assert(record_select(r, chosen) && record_count(r) == 1 && record_number(r, 0) == 9);
        cr_expect(!difference(r, 0, 9, LAYERS));
        record_close(r);
    }
}
