#include "suites/gate/regress.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpu_ref/library.h"
#include "suites/case/options.h"
#include "suites/gate/gate.h"
#include "suites/gate/regress_record.h"
#include "suites/case/suite.h"
#include "suites/study/fits.h"
#include "suites/study/kernels_study.h"
#include "suites/worker/progress.h"

static const char usage[] =
    "regress --against OLD [NEW] [FILE.suite] [case options] [--strict] [--speed gate|report|none] "
    "[--threshold PERCENT] [--timeout SECONDS] [--trust-tolerance] [--reference OLD] [--counters] [--json FILE] "
    "[--junit FILE] [--record FILE.h5] [-q]";
static const char help[] =
    "Is a changed kernel still right, and still fast? Loads two libraries of operations into one process and "
    "compares them case by case: both against cpu64, the bits of one against the other, then time, side by side in "
    "shuffled rounds.\n\n"
    "  --against OLD      the old library: a path, or cpu32, cpu64, emu or cuda of this build; cpu: both CPU "
    "backends, libmhc_cpu.so\n"
    "  NEW                the new library; default: this build's own of OLD's name\n"
    "  FILE.suite         cases of study kernels, such as suites/kernels.suite; default: every operation at two "
    "small shapes (check tries many more, single tokens among them)\n"
    "  case options       select or add cases: --operation mhc.*,hc.post --tokens 64,512 --width 2560 --type bf16 "
    "... Without --type every type and every form of an operation counts (mhc-micro.post beside mhc.post), without "
    "--map every residual map. --budget SECONDS, default 1, is the time of the first measurement of a case; "
    "those that follow where it settles nothing get more\n"
    "  --speed WORD       gate (default); report: show speed and do not gate it; none: accuracy only\n"
    "  --threshold N      difference of speed in percent that counts; default: 3\n"
    "  --timeout SECONDS  limit of each step of a case, beside what the reference may need; default: 60\n"
    "  --trust-tolerance  accept a row's own tolerance, up to 0.1, also if it is wider than the contract's for its "
    "types\n"
    "  --reference OLD    the CPU library of the old build; default: the library of --against if that is a "
    "libmhc_cpu.so. If its float64 rows contradict this program's reference, the first line says so and the run "
    "fails, until the vectors and the tests of paper.c say that this program is right\n"
    "  --counters         instead: compare exactly what the kernels of both ask of memory, counted on the CPU, in "
    "libraries that `make emu-counts` builds. More bytes, worse coalescing or more bank conflicts, by 1 % or "
    "--threshold, is SLOWER\n"
    "  --record FILE.h5   add ratio and interval of every row to a history; `plot FILE.h5` draws speed over commits\n"
    "  --json FILE        write the table as JSON\n"
    "  --junit FILE       write the verdicts as JUnit XML\n"
    "  --strict           exit 3 if something stays AMBIGUOUS\n"
    "  -q                 no progress on the terminal\n\n"
    "Exit: 0 no regression, 1 SLOWER, MISSING or INVALID, 2 nothing could be compared, 3 see --strict, 130 "
    "interrupted.\n";

static const char every_map[] =
#define MAP(id, name) "," #name
#include "cpu_ref/maps/maps.def"
#undef MAP
    ;

/* Without a suite the first of these words count; without options all of them do. */
#define DEFAULT_CASES                                                                                          \
    "--study", "kernels", "--operation", "all", "--map", (char *)every_map + 1, "--tokens", "5,64", "--width", \
        "33,256", "--zip", "tokens,width"
enum { FIRST_WORDS = 6, MOST_WORDS = 250 };

volatile sig_atomic_t regress_stopped;

static void stop(int signal_number) {
    (void)signal_number;
    if (regress_stopped)
        _exit(EXIT_INTERRUPTED);
    regress_stopped = 1;
}

/* --- all cases --- */

/* The index-th form of an operation's kind, "mhc-micro" of mhc, that either library has. NULL: there are no more. */
static const char *form_of(const struct regress *g, const char *operation, int index) {
    size_t length = strcspn(operation, ".");
    for (int s = 0; s < 2; s++)
        for (int k = 0; k < REGRESS_KINDS && g->what[s].kinds[k][0]; k++) {
            const char *kind = g->what[s].kinds[k];
            bool seen = false;
            for (int other = 0; other < REGRESS_KINDS && s; other++)
                seen |= !strcmp(kind, g->what[0].kinds[other]);
            if (!seen && !strncmp(kind, operation, length) && kind[length] == '-' && !index--)
                return kind;
        }
    return NULL;
}

/* Cases that neither library has leave no row. `*neither` counts them; `*maps` counts those of a map that was not
 * asked for. */
static int run_cases(struct regress *g, const struct suite *s, bool quiet, int64_t *neither, int64_t *maps) {
    int code = EXIT_GOOD;
    const double begin = worker_now();
    int64_t rows = 0;
    for (int64_t k = 0; k < s->count; k++) {
        struct params p = s->cases[k];
        int64_t first = p.type ? p.type : 1, last = p.type ? p.type : REGRESS_TYPES - 1, before = g->report.count;
        for (p.type = first; p.type <= last; p.type++) {
            const char *form = "";
            for (int index = 0; form && code == EXIT_GOOD; form = form_of(g, p.operation, index++))
                code = (g->counters ? regress_counters : regress_judge)(g, &p, form);
        }
        if (code == EXIT_INTERRUPTED) {
            g->report.wanted = s->count;
            g->report.judged = k;
        }
        if (code != EXIT_GOOD)
            return code;
        char state[80];
        const double elapsed = worker_now() - begin;
        snprintf(state, sizeof state, "[%lld/%lld]", (long long)k + 1, (long long)s->count);
        progress_append_rate(state, sizeof state, k + 1, elapsed,
                             elapsed * (double)(s->count - k - 1) / (double)(k + 1));
        ++*(before < g->report.count ? &rows : g->every_map && p.map ? maps : neither);
        for (; !quiet && before < g->report.count; before++)
            fprintf(stderr, "%s  %s  %s\n", state, g->report.row[before].name,
                    mhc_verdict_name[g->report.row[before].verdict]);
    }
    return EXIT_GOOD;
}

/* --- options --- */

static bool is_linked_in(const char *name) {
    return !strcmp(name, "cpu32") || !strcmp(name, "cpu64");
}

static bool is_own(const char *name) {
    return is_linked_in(name) || !strcmp(name, "cpu") || !strcmp(name, "emu") || !strcmp(name, "cuda");
}

/* Finds this build's own libraries, which are linked in or lie beside the program. */
static void resolve(const char *name, char path[REGRESS_PATH]) {
    char self[REGRESS_PATH / 2];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = 0;
    if (is_own(name) && !is_linked_in(name))
        snprintf(path, REGRESS_PATH, "%.*s/libmhc_%.16s.so", (int)(strrchr(self, '/') ? strrchr(self, '/') - self : 0),
                 self, name);
    if (!is_own(name) || is_linked_in(name) ||
        (strcmp(name, "cpu") && access(path, R_OK))) /* a missing file is explained under the name that was given */
        snprintf(path, REGRESS_PATH, "%s", name);
}

/* Opens both libraries, and notes what they are. */
static int open_libraries(struct regress *g) {
    char why[400], *note = g->report.note;
    for (int s = REGRESS_BASE; s <= REGRESS_NEW; s++) {
        struct regress_question q = {.step = REGRESS_LIBRARY, .side = s};
        const char *name = g->given[s] ? g->given[s] : g->what[REGRESS_BASE].name;
        if (!g->given[s] && !is_own(name))
            return cannot("%s calls itself %s: say which library is the new one", g->given[REGRESS_BASE], name);
        resolve(name, g->path[s]);
        if (!regress_ask(g, &q, 60, &g->what[s], why, sizeof why)) {
            bool named = !strncmp(why, "backend ", 8);
            return regress_stopped ? (cannot("interrupted before the first case"), EXIT_INTERRUPTED)
                                   : cannot("%s%s%s", named ? "" : name, named ? "" : ": ", why);
        }
        size_t used = strlen(note);
        snprintf(note + used, sizeof g->report.note - used, "%s: %s, %s\n", s ? "new " : "base", g->what[s].name,
                 g->what[s].build);
    }
    return EXIT_GOOD;
}

/* Where every map is tried, an operation has a further case with a map only if the map changes its arrays or what it
 * makes of them. One that reads res, and no logits, has two: those with res, and the identity. */
static void settle_map(struct params *p) {
    const struct param *map = params_find("map");
    const struct mhc_row *row = mhc_row_find(&mhc_cpu64, p->operation);
    bool logits = false;
    char ignored[8];
    for (const struct mhc_arg *arg = row ? row->args : NULL; arg && arg->name; arg++)
        logits |= strpbrk(arg->extents, "KQE") != NULL;
    if (!params_matters(p, map) || (!logits && params_map(p) != MHC_IDENTITY))
        params_set(p, map, map->standard, ignored, sizeof ignored);
}

/* Keeps the shapes and types of the suite's kernel cases. The libraries are named elsewhere, so cases that differ in
 * the backend alone become one. */
static void keep_kernels(struct suite *s, bool any_map) {
    int64_t kept = 0;
    for (int64_t k = 0; k < s->count; k++) {
        struct params p = s->cases[k];
        bool wanted = p.study == STUDY_KERNELS;
        p.backend = params_keep(params_find("backend")->standard);
        if (any_map)
            settle_map(&p);
        for (int64_t other = 0; other < kept && wanted; other++)
            wanted = memcmp(&s->cases[other], &p, sizeof p) != 0;
        if (wanted)
            s->cases[kept++] = p;
    }
    s->count = kept;
}

/* `argv` holds a suite, options or both. Without a suite neither the study nor every operation need be named. */
static bool read_suite(struct suite *s, int argc, char **argv, bool *any_map) {
    char *standard[] = {DEFAULT_CASES}, *words[MOST_WORDS], why[600];
    const char *file = argc && argv[0][0] != '-' ? argv[0] : NULL;
    *any_map = !file;
    int count = 0, from = file != NULL,
        used = file   ? 0
               : argc ? FIRST_WORDS
                      : (int)(sizeof standard / sizeof *standard);
    for (int k = 0; k < used; k++)
        words[count++] = standard[k];
    for (int k = from; k < argc; k++) {
        if (count == MOST_WORDS)
            return cannot("too many words"), false;
        if (!strcmp(argv[k], "--backend"))
            return cannot("--backend: the libraries are named by --against OLD and NEW"), false;
        *any_map &= strncmp(argv[k], "--map", strlen("--map")) != 0;
        words[count++] = argv[k];
    }
    if (!suite_read(s, file, words, count, why, sizeof why))
        return cannot("%s", why), false;
    keep_kernels(s, *any_map);
    if (s->count)
        return true;
    cannot("%s: no case of --study kernels in it", s->name);
    suite_release(s);
    return false;
}

static bool parse(struct regress *g, int *argc, char **argv) {
    const char *timeout = NULL;
    char *end = NULL;
    g->timeout = 60;
    g->trusting = take_flag(argc, argv, "--trust-tolerance");
    g->counters = take_flag(argc, argv, "--counters");
    if (!gate_options_take(argc, argv, &g->options) || !take_option(argc, argv, "--against", &g->given[REGRESS_BASE]) ||
        !take_option(argc, argv, "--timeout", &timeout) || !take_option(argc, argv, "--reference", &g->reference) ||
        !take_option(argc, argv, "--record", &g->record) || (g->record && !regress_record_begin(g->record)))
        return false;
    if (timeout &&
        ((g->timeout = strtod(timeout, &end)), end == timeout || *end || !(g->timeout > 0 && g->timeout < 1e6)))
        return cannot("--timeout %s: seconds, above 0", timeout), false;
    if (!g->given[REGRESS_BASE] || !*g->given[REGRESS_BASE])
        return cannot("usage: mhcbench %s", usage), false;
    return true;
}

/* Bits of the types in which a side has the case. `why` is of the last type that it lacks. */
static unsigned types_of(struct regress *g, const struct params *p, int side, char *why, size_t why_size) {
    struct regress_question q = {.step = REGRESS_SUPPORT, .side = side, .p = *p};
    struct regress_answer a;
    unsigned types = 0;
    for (q.p.type = 1; q.p.type < REGRESS_TYPES && !regress_stopped; q.p.type++)
        types |= (unsigned)regress_ask(g, &q, g->timeout, &a, why, why_size) << q.p.type;
    return types;
}

/* Writes bits of --type as words: "f32, bf16". */
static void types_text(unsigned types, char text[40]) {
    size_t used = (size_t)snprintf(text, 40, "%s", types ? "" : "none");
    for (int64_t type = 1; type < REGRESS_TYPES; type++) {
        const struct params p = {.type = type};
        if (types >> type & 1)
            used += (size_t)snprintf(text + used, 40 - used, "%s%s", used ? ", " : "", params_word(&p, "type"));
    }
}

/* Says why the table has no rows. */
static void explain_nothing(struct regress *g, const struct suite *s) {
    unsigned types[2] = {0, 0};
    char has[2][40], why[2][400];
    for (int64_t k = 0; k < s->count; k++)
        for (int side = REGRESS_BASE; side <= REGRESS_NEW; side++)
            types[side] |= types_of(g, &s->cases[k], side, why[side], sizeof why[side]);
    types_text(types[REGRESS_BASE], has[REGRESS_BASE]);
    types_text(types[REGRESS_NEW], has[REGRESS_NEW]);
    if (types[REGRESS_BASE] | types[REGRESS_NEW])
        cannot(
            "nothing was compared: neither library has what --type asks for; %s has these operations in %s, %s in %s",
            g->report.base, has[REGRESS_BASE], g->report.now, has[REGRESS_NEW]);
    else
        cannot("nothing was compared: neither library has these operations: %s; the new one: %s", why[REGRESS_BASE],
               why[REGRESS_NEW]);
}

/* The answer to what `regress` was asked, in words. The verdict line above it holds the counts. */
static const char *conclusion(const struct regress *g, int code) {
    static char text[GATE_REASON];
    const struct gate_report *r = &g->report;
    if (code == EXIT_GOOD && g->counters)
        return "The kernels of the new library ask no more of memory than the old one's.";
    if (code == EXIT_GOOD)
        snprintf(text, sizeof text, "The new library is at least as right as the old one%s.",
                 g->options.speed == GATE_SPEED            ? ", and was found slower in none of these cases"
                 : g->options.speed == GATE_SPEED_REPORTED ? "; its speed is reported and not judged"
                                                           : "; its speed was not measured");
    else if (code == EXIT_CHECK_FAILED && r->count && r->row[0].fails)
        snprintf(text, sizeof text, "The new library must not replace the old one: %s is %s.", r->row[0].name,
                 mhc_verdict_name[r->row[0].verdict]);
    else if (code == EXIT_AMBIGUOUS)
        return "Whether the new library may replace the old one is open.";
    else
        return NULL;
    return text;
}

/* Judges all cases, prints the report, returns the exit code. */
static int run(struct regress *g, const struct suite *s, bool quiet) {
    struct gate_files files;
    int code = open_libraries(g);
    if (code != EXIT_GOOD)
        return code;
    const char *const libraries[2] = {g->path[REGRESS_BASE], g->path[REGRESS_NEW]};
    if (!gate_files_open(&files, &g->options, libraries))
        return EXIT_CANNOT;
    struct stat file[2];
    size_t used = strlen(g->report.note);
    if (!strcmp(libraries[0], libraries[1]) || (!stat(libraries[0], &file[0]) && !stat(libraries[1], &file[1]) &&
                                                file[0].st_ino == file[1].st_ino && file[0].st_dev == file[1].st_dev))
        snprintf(g->report.note + used, sizeof g->report.note - used,
                 "both are the same file: whatever changed is not in it\n");
    g->report.base = g->given[REGRESS_BASE];
    g->report.now = g->given[REGRESS_NEW] ? g->given[REGRESS_NEW] : g->path[REGRESS_NEW];
    int64_t neither = 0, maps = 0;
    if (!g->reference && !strcmp(g->what[REGRESS_BASE].name, "cpu"))
        g->reference = g->path[REGRESS_BASE];
    if (g->reference)
        regress_compare_references(g, s);
    code = run_cases(g, s, quiet, &neither, &maps);
    if (code == EXIT_CANNOT)
        return code;
    used = strlen(g->report.note);
    if (neither && g->report.count)
        snprintf(g->report.note + used, sizeof g->report.note - used,
                 "neither library has %lld of the %lld operations and shapes asked for\n", (long long)neither,
                 (long long)(s->count - maps));
    used = strlen(g->report.note);
    if (g->one_sided)
        snprintf(g->report.note + used, sizeof g->report.note - used,
                 "left out: %lld cases of residual maps that one library alone has (--map asks for them)\n",
                 (long long)g->one_sided);
    code = gate_exit(&g->report, g->options.strict);
    gate_sort(&g->report);
    g->report.last = conclusion(g, code);
    if (code == EXIT_CANNOT && !g->report.count)
        explain_nothing(g, s);
    else
        gate_print(&g->report, g->options.strict, stdout);
    const struct regress_found found = {&g->report, g->what[REGRESS_BASE].build, g->what[REGRESS_NEW].build};
    bool kept = !g->record || code == EXIT_CANNOT || code == EXIT_INTERRUPTED || regress_record_add(g->record, &found);
    return gate_files_write(&files, &g->options, &g->report, code) && (kept || code != EXIT_GOOD) ? code : EXIT_CANNOT;
}

static bool is_suite(const char *word) {
    size_t length = strlen(word);
    return length > 6 && !strcmp(word + length - 6, ".suite");
}

int regress_command(int argc, char **argv) {
    struct regress g = {.report = {.gate = "regress"}};
    struct suite suite;
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    bool quiet = take_flag(&argc, argv, "-q");
    quiet = take_flag(&argc, argv, "--quiet") || quiet;
    if (!parse(&g, &argc, argv))
        return EXIT_CANNOT;
    if (argc && argv[0][0] != '-' && !is_suite(argv[0])) {
        g.given[REGRESS_NEW] = *argv++;
        argc--;
    }
    if (!read_suite(&suite, argc, argv, &g.every_map))
        return EXIT_CANNOT;
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    int code = run(&g, &suite, quiet);
    worker_stop(&g.worker);
    gate_release(&g.report);
    suite_release(&suite);
    return code;
}
