#include "suites/gate/compare.h"

#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/text.h"
#include "suites/case/choice.h"
#include "suites/case/options.h"
#include "suites/gate/gate.h"

enum { WORDS = 8192 };

static const char usage[] = "compare BASE.h5 NEW.h5 [case options] [--case GLOB] [--common] [--tolerance X] [--strict] "
                            "[--allow-cross-machine] [--published] [--json FILE] [--junit FILE]";
static const char help[] =
    "Compares two records, as a gate. Cases meet by their key. The backend of the key does not count if each file "
    "has one backend and one of the two is a path, as in records of two builds of a library. Values come first: "
    "errors against cpu64, the places of NaN and Inf, gains as log10 within 0.01; then memory, which may grow by 1 "
    "%. Times of two runs are not compared, because they differ by what else the machine did; `regress` times two "
    "libraries in one process. Values of float64 from one machine, with the same compiler and flags, are counted if "
    "they differ by more than 1e-9 of themselves, and wrong beyond --tolerance.\n\n"
    "A record of --backend model:GPU stands beside a measured one, or beside another model: the table shows the "
    "times side by side, says which is which, and judges nothing.\n\n"
    "Trained stacks are compared value by value, as narrowly, if build, threads, type of CPU and BLAS core are "
    "equal. Elsewhere a last bit grows while they train. Then one row per setting compares statements over the seeds "
    "that both files have: losses within three standard errors of their difference, the median of the largest gain "
    "(log10) inside the other file's range, and a forward gain of 1 if the rows of the maps sum to 1. A line above "
    "the table says which was done.\n\n"
    "  case options           select cases, as in `run`: --connection mhc, --t-max 20,100 ...\n"
    "  --case GLOB            only cases whose key matches\n"
    "  --common               only cases that both files have\n"
    "  --tolerance X          share of such a float64 value that counts as wrong; default: 1e-6. Other values "
    "may differ by 0.023\n"
    "  --allow-cross-machine  gate memory also if machine, toolkit or flags differ\n"
    "  --published            end with one sentence: does this machine reproduce the published result, BASE.h5? yes "
    "if nothing fails and nothing is AMBIGUOUS\n"
    "  --strict               exit 3 if something stays AMBIGUOUS, or failed in both files\n"
    "  --json FILE            write the table as JSON\n"
    "  --junit FILE           write the verdicts as JUnit XML\n\n"
    "Exit: 0 no regression, 1 MISSING or INVALID (wrong, less accurate, or in need of more memory), 2 they cannot be "
    "compared, 3 see --strict.\n";

/* --- comparable at all --- */

/* Facts on which the memory of a case does not depend. It may depend on any other fact, also on those of later
 * versions. */
static bool is_incidental(const char *fact) {
    static const char *const names[] = {
        "version", "revision", "kernel", "libc", "jobs", "memory", "load_average", "hdf5", "openblas_core_choice"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (!strcmp(names[k], fact))
            return true;
    return false;
}

/* A part of a device's description that holds for a moment only: its clock, its heat, a warning. */
static bool is_of_the_moment(const char *part, size_t length) {
    char text[160];
    snprintf(text, sizeof text, "%.*s", (int)length, part);
    return !strncmp(text, "clock ", 6) || !strncmp(text, "! ", 2) || strstr(text, "degrees");
}

/* "NAME: what it says of itself": without the name of the file's only backend. */
static const char *said_by(const char *device, const char *backend) {
    size_t length = strlen(backend);
    return length && !strncmp(device, backend, length) && !strncmp(device + length, ": ", 2) ? device + length + 2
                                                                                             : device;
}

/* Whether two descriptions are equal but for such parts. "; " separates parts. */
static bool same_device(const char *a, const char *b) {
    const char *at[2] = {a, b};
    for (;;) {
        size_t length[2];
        for (int k = 0; k < 2; k++)
            for (;; at[k] += length[k] + 2) {
                const char *end = strstr(at[k], "; ");
                length[k] = end ? (size_t)(end - at[k]) : strlen(at[k]);
                if (!is_of_the_moment(at[k], length[k]))
                    break;
                if (!end) {
                    at[k] += length[k];
                    length[k] = 0;
                    break;
                }
            }
        if (length[0] != length[1] || memcmp(at[0], at[1], length[0]))
            return false;
        if (!at[0][length[0]] && !at[1][length[1]])
            return true;
        for (int k = 0; k < 2; k++)
            at[k] += length[k] + (at[k][length[k]] ? 2 : 0);
    }
}

/* Writes the facts in which the files differ into the note. The first of them is the reason why memory is not gated. */
static void find_differences(struct compare *c) {
    char *note = c->report.note;
    size_t size = sizeof c->report.note;
    for (int f = 0; f < 2; f++)
        for (int k = 0; k < record_fact_count(c->file[f]); k++) {
            const char *name, *value, *other;
            if (!record_fact(c->file[f], k, &name, &value) || is_incidental(name))
                continue;
            other = record_fact_called(c->file[!f], name);
            if ((f && other) || (other && (!strcmp(value, other) ||
                                           (!strcmp(name, "device") && same_device(said_by(value, c->backend[f]),
                                                                                   said_by(other, c->backend[!f]))))))
                continue; /* each difference is told once */
            const char *base = f ? "none" : value, *now = f ? value : other ? other : "none";
            size_t used = strlen(note);
            snprintf(note + used, size - used, "%.40s: %.160s, was %.160s\n", name, now, base);
            if (!c->ungated[0])
                snprintf(c->ungated, sizeof c->ungated, "another %.40s", name);
        }
    for (char *text = note; *text; text++)
        if (((unsigned char)*text < ' ' && *text != '\n') || *text == 127)
            *text = '?';
}

/* --- one case --- */

/* Writes the command that runs the case again and compares it, whatever characters its key holds. */
static void command_of(const struct compare *c, const char *key, char *text, size_t size) {
    char word[WORDS], program[WORDS], rest[WORDS];
    gate_quote(program_invocation_name, program, sizeof program);
    size_t used = (size_t)snprintf(text, size, "%s run", program);
    snprintf(rest, sizeof rest, "%s", key);
    for (char *at = NULL, *next = strtok_r(rest, " ", &at); next && used < size; next = strtok_r(NULL, " ", &at)) {
        gate_quote(next, word, sizeof word);
        used += (size_t)snprintf(text + used, size - used, " %s", word);
    }
    gate_quote(c->path[COMPARE_BASE], word, sizeof word);
    if (used < size)
        snprintf(text + used, size - used, " --out again.h5 --overwrite && %s compare %s again.h5 --common", program,
                 word);
}

static bool is_done(struct record_reader *file, int64_t index) {
    return !strcmp(record_texts(file, "status")[index], "done");
}

static const char *reason_of(struct record_reader *file, int64_t index) {
    const char *const *reasons = record_texts(file, "reason");
    return reasons ? reasons[index] : "";
}

/* Judges which file has the case, and where it failed; compare_case() does the rest. */
static void judge(struct compare *c, const int64_t index[2], struct gate_row *r) {
    bool has[2], done[2];
    for (int f = 0; f < 2; f++) {
        has[f] = index[f] >= 0;
        done[f] = has[f] && is_done(c->file[f], index[f]);
    }
    r->alone = !(has[0] && has[1]);
    if (!has[COMPARE_NEW]) {
        r->verdict = MHC_MISSING;
        r->fails = true;
        gate_say(r, "it is in the base alone");
    } else if (!done[COMPARE_NEW]) {
        r->verdict = MHC_INVALID;
        r->fails = done[COMPARE_BASE] || !has[COMPARE_BASE];
        r->open = r->alone = !r->fails;
        gate_say(r, "%s: %s", r->fails ? "failed" : "failed in both files",
                 reason_of(c->file[COMPARE_NEW], index[COMPARE_NEW]));
    } else if (!done[COMPARE_BASE]) {
        r->verdict = MHC_NEW;
        r->alone = true;
        gate_say(r, has[COMPARE_BASE] ? "it failed in the base: %s" : "it is not in the base%s",
                 has[COMPARE_BASE] ? reason_of(c->file[COMPARE_BASE], index[COMPARE_BASE]) : "");
    } else
        compare_case(c, index, r);
}

struct gate_row *compare_row(struct compare *c, const char *name, const char *key) {
    static char command[3 * WORDS];
    command_of(c, key, command, sizeof command);
    struct gate_row *r = gate_add(&c->report, name, command);
    if (!r)
        cannot("out of memory");
    return r;
}

static bool add(struct compare *c, int64_t base, int64_t now) {
    const int64_t index[2] = {base, now};
    int f = now >= 0 ? COMPARE_NEW : COMPARE_BASE; /* the file whose backend is to run the case again */
    if (compare_trained_leaves(c, index))
        return compare_trained_take(c, index);
    struct gate_row *r = compare_row(c, c->keys[f].text[index[f]], record_texts(c->file[f], "key")[index[f]]);
    if (!r)
        return false;
    judge(c, index, r);
    return !(c->no_memory || text_ends_with(record_error(), "out of memory")) || (cannot("out of memory"), false);
}

bool compare_wanted(const char *glob, const char *key) {
    return !glob || !strcmp(glob, key) || !fnmatch(glob, key, 0);
}

/* Judges every case of either file, in the order of the base. false: reported. */
static bool judge_all(struct compare *c, const char *glob, bool common) {
    int64_t both = 0;
    for (int f = 0; f < 2; f++) {
        const char *const *texts = record_texts(c->file[f], "key");
        for (int64_t k = 0; k < c->keys[f].count; k++) {
            int64_t other = compare_partner(&c->keys[!f], &c->keys[f], k);
            if (!compare_wanted(glob, texts[k]) || (f && other >= 0) || (common && other < 0))
                continue;
            both += other >= 0;
            if (!add(c, f ? -1 : k, f ? k : other))
                return false;
        }
    }
    if (both && !compare_trained_judge(c))
        return false;
    return both || (cannot(glob ? "no case that both %s and %s have matches --case" : "no case of %s is in %s",
                           c->path[0], c->path[1]),
                    false);
}

static bool read_tolerance(const char *text, double *tolerance) {
    char *end = NULL;
    *tolerance = text ? strtod(text, &end) : COMPARE_TOLERANCE;
    return !text || (end != text && !*end && *tolerance >= 0 && *tolerance < 1) ||
           (cannot("--tolerance %s: a share, from 0 to 1", text), false);
}

/* Says whether everything that was compared agrees. Nothing that is open agrees. */
static const char *sentence(const struct gate_report *g, int code) {
    int64_t open = 0;
    for (int64_t k = 0; k < g->count; k++)
        open += g->row[k].open;
    return code == EXIT_GOOD && !open ? "your machine reproduces the published result: yes"
                                      : "your machine reproduces the published result: no";
}

/* Leaves out of a file the cases that the case options do not name. The options stay for the other file. */
static bool select_cases(struct compare *c, int f, int argc, char **argv) {
    char **words = malloc(((size_t)argc + 1) * sizeof *words);
    if (!words)
        return cannot("out of memory"), false;
    memcpy(words, argv, (size_t)argc * sizeof *words);
    const bool good = choice_select(c->file[f], c->path[f], &argc, words);
    free(words);
    return good;
}

static int compare_files(struct compare *c, int argc, char **argv, const char *glob, bool common, bool cross,
                         bool published) {
    struct gate_files files;
    for (int f = 0; f < 2; f++) {
        c->file[f] = record_open(c->path[f]);
        if (!c->file[f])
            return cannot("%s", record_error());
        if (!select_cases(c, f, argc, argv))
            return EXIT_CANNOT;
        if (!record_texts(c->file[f], "status") || !record_ints(c->file[f], "layers"))
            return cannot("%s: no column `status` or `layers`", c->path[f]);
        size_t used = strlen(c->report.note);
        if (!record_complete(c->file[f]))
            snprintf(c->report.note + used, sizeof c->report.note - used,
                     "%s is not complete: interrupted or still running\n", f ? "new" : "base");
    }
    if (!compare_keys_read(c))
        return EXIT_CANNOT;
    if (c->model)
        return compare_models(c, glob);
    find_differences(c);
    c->same_machine = !c->ungated[0];
    compare_trained_decide(c);
    if (cross)
        c->ungated[0] = 0;
    if (!gate_files_open(&files, &c->options, c->path) || !judge_all(c, glob, common))
        return EXIT_CANNOT;
    gate_shorten(&c->report);
    int code = gate_exit(&c->report, c->options.strict);
    gate_sort(&c->report);
    c->report.last = published ? sentence(&c->report, code) : NULL;
    gate_print(&c->report, c->options.strict, stdout);
    return gate_files_write(&files, &c->options, &c->report, code) ? code : EXIT_CANNOT;
}

int compare_command(int argc, char **argv) {
    struct compare c = {.report = {.gate = "compare", .small_share = COMPARE_NOTED}};
    const char *glob = NULL, *tolerance = NULL;
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    bool cross = take_flag(&argc, argv, "--allow-cross-machine"), common = take_flag(&argc, argv, "--common");
    bool published = take_flag(&argc, argv, "--published");
    if (!gate_options_take(&argc, argv, &c.options) || !take_option(&argc, argv, "--case", &glob) ||
        !take_option(&argc, argv, "--tolerance", &tolerance) || !read_tolerance(tolerance, &c.tolerance))
        return EXIT_CANNOT;
    if (!choice_files(argc, argv, c.path, 2, usage))
        return EXIT_CANNOT;
    if (c.options.speed_word || c.options.threshold_word)
        return cannot("compare does not judge speed, because times of two runs say too little: use `mhcbench regress`");
    c.report.base = c.path[COMPARE_BASE];
    c.report.now = c.path[COMPARE_NEW];
    int code = compare_files(&c, argc, argv, glob, common, cross, published);
    gate_release(&c.report);
    compare_trained_release(&c.trained);
    for (int f = 0; f < 2; f++) {
        compare_keys_release(&c.keys[f]);
        if (c.file[f])
            record_close(c.file[f]);
    }
    return code;
}
