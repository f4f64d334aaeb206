/* The parent never opens the vector file or a backend. A worker lists the cases, then runs one per request. So a
 * damaged file or a crashing kernel costs one line, not the program. */
#include "suites/verify/verify.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/text.h"
#include "suites/case/options.h"
#include "suites/worker/progress.h"

struct options {
    const char *path, *backend, *glob;
    int type; /* enum mhc_type, or -1: every one that the backend has */
    bool trusting;
    double timeout;
};

struct tally {
    int64_t verdict[VERDICTS];
    int64_t asked, met; /* of the backend, not of the analysis: lines, and those of them that passed */
    int64_t bounded;    /* lines for which file or row allow more than counts; the most of them, and its case */
    double most;
    char most_of[200];
};

enum { TYPES = 3, LISTING_SECONDS = 10 };
static const char *const type_names[TYPES] = {"f64", "f32", "bf16"};

/* --- the worker's side --- */

/* A backend stays open from case to case: starting a device takes longer than a case. */
static bool use_backend(const char *name, struct backend **backend, char *why, size_t why_size) {
    static struct backend open;
    static char open_name[4096];
    *backend = &open;
    if (open.library && !strcmp(open_name, name))
        return true;
    if (open.library)
        backend_close(&open);
    snprintf(open_name, sizeof open_name, "%s", name);
    if (backend_open(&open, name, why, why_size))
        return true;
    open.library = NULL;
    return false;
}

/* Types that a row of the backend takes, a bit each, at a shape that suits the alignment of every kernel. */
static uint32_t types_of(const struct backend *b) {
    uint32_t types = 0;
    const char *why;
    for (int32_t type = 0; type < TYPES; type++) {
        struct mhc_case c = {.T = 32, .n = 4, .C = 64, .S = 16, .hidden = 64, .heads = 2, .head_dim = 32, .t_max = 20};
        backend_types(b, type, &c);
        for (const struct mhc_row *const *row = b->library->rows; *row; row++)
            types |= (uint32_t)(*row)->supports(&c, &why) << type;
    }
    return types;
}

/* Reply: "" or the reason; then, for the case "", the backend's types and the names; for another, its lines. */
void verify_answer(struct message *request, struct message *reply) {
    struct vector_case v;
    struct backend *backend;
    char why[200] = "";
    const char *path = message_take_text(request), *name = message_take_text(request);
    const char *backend_name = message_take_text(request);
    int32_t type = -1;
    bool trusting = false;
    message_take(request, &type, sizeof type);
    message_take(request, &trusting, sizeof trusting);
    bool good = use_backend(backend_name, &backend, why, sizeof why);
    struct vectors *file = good ? vectors_open(path, !name[0], why, sizeof why) : NULL;
    if (!file) {
        char line[4400];
        snprintf(line, sizeof line, "%s%s%s", good ? path : "", good ? ": " : "", why);
        message_put_text(reply, line);
        return;
    }
    message_put_text(reply, "");
    if (!name[0]) {
        int64_t count = vectors_count(file);
        uint32_t types = types_of(backend);
        message_put(reply, &types, sizeof types);
        message_put(reply, &count, sizeof count);
        for (int64_t k = 0; k < count; k++)
            message_put_text(reply, vectors_name(file, k));
    } else {
        struct verify_line lines[VERIFY_LINES] = {{.verdict = VERIFY_BAD}};
        int64_t count = 1;
        if (vectors_read(file, name, &v, lines[0].text, sizeof lines[0].text)) {
            count = verify_case(backend, type, trusting, &v, lines);
            vector_case_release(&v);
        }
        message_put(reply, &count, sizeof count);
        message_put(reply, lines, (size_t)count * sizeof *lines);
    }
    vectors_close(file);
}

/* --- the parent's side --- */

static bool ask(struct worker *worker, const struct options *o, const char *name, int32_t type, struct message *reply,
                char *why, size_t why_size) {
    struct message request = {0};
    message_put_text(&request, "verify");
    message_put_text(&request, o->path);
    message_put_text(&request, name);
    message_put_text(&request, o->backend);
    message_put(&request, &type, sizeof type);
    message_put(&request, &o->trusting, sizeof o->trusting);
    /* A list of names takes milliseconds; a damaged index may have no end. */
    const double seconds = name[0] ? o->timeout : LISTING_SECONDS;
    bool good = worker_call(worker, &request, reply, seconds, why, why_size);
    message_clear(&request);
    return good;
}

/* Names come from a file of unknown origin: none of their bytes may steer a terminal. */
static const char *printable(const char *text, char *buffer, size_t size) {
    snprintf(buffer, size, "%s", text);
    return text_clean(buffer);
}

static void print_line(const char *name, int width, int type, const struct verify_line *line) {
    static const char *const words[] = {"pass", "FAIL", "skip", "BAD"};
    char clean_name[256], clean_dataset[64];
    printable(name, clean_name, sizeof clean_name);
    printable(line->dataset[0] ? line->dataset : "-", clean_dataset, sizeof clean_dataset);
    printf("%-*s  %-4s  %-24s  %-4s  ", width, clean_name, line->analysis || type < 0 ? "-" : type_names[type],
           clean_dataset, words[line->verdict]);
    if (line->element[0])
        printf("%9.2e  %9.2e  %s", line->error, line->tolerance, line->element);
    else
        printf("%9s  %9s  -", "-", "-");
    if (line->verdict != VERIFY_PASS)
        printf("  %s", line->text);
    if (line->verdict == VERIFY_FAIL && line->asked > 0)
        printf("; %.3g of its scale were allowed, more than the contract allows", line->asked);
    printf("\n");
}

static void count(struct tally *tally, const char *name, const struct verify_line *line) {
    tally->verdict[line->verdict]++;
    tally->asked += !line->analysis;
    tally->met += !line->analysis && line->verdict == VERIFY_PASS;
    tally->bounded += line->asked > 0;
    if (line->asked > tally->most) {
        tally->most = line->asked;
        printable(name, tally->most_of, sizeof tally->most_of);
    }
}

/* Prints and counts the lines of a case at a type. false: interrupted. `*analysis`: all of them are of the analysis,
 * and the same for every type. */
static bool verify_one(struct worker *worker, const struct options *o, const char *name, int type, int width,
                       struct tally *tally, bool *analysis) {
    struct message reply = {0};
    struct verify_line line = {.verdict = VERIFY_FAIL};
    char clean[256];
    int64_t lines = 0;
    bool answered = ask(worker, o, name, type, &reply, line.text, sizeof line.text);
    if (!answered && !strcmp(line.text, "interrupted"))
        return false;
    const char *why = answered ? message_take_text(&reply) : "";
    if (answered && !why[0])
        message_take(&reply, &lines, sizeof lines);
    else if (answered)
        snprintf(line.text, sizeof line.text, "%s", why);
    bool fresh = false;
    *analysis = true;
    for (int64_t k = 0; k < (lines ? lines : 1); k++) {
        if (lines)
            message_take(&reply, &line, sizeof line);
        count(tally, name, &line);
        *analysis &= line.analysis || line.verdict == VERIFY_BAD;
        fresh |= line.verdict == VERIFY_FAIL && !line.element[0];
        print_line(name, width, type, &line);
        if (line.verdict == VERIFY_BAD)
            cannot("%s: case %s: %s", o->path, printable(name, clean, sizeof clean), line.text);
    }
    fflush(stdout);
    message_clear(&reply);
    if (fresh)
        worker_stop(worker); /* a device that failed once may fail everything after it */
    return true;
}

static int verdict_of(const struct options *o, const struct tally *tally) {
    const int64_t *n = tally->verdict;
    if (tally->bounded)
        printf(
            "warn: %lld lines allow more than the contract, %s %.3g of its scale: judged by the contract's tolerance\n",
            (long long)tally->bounded, tally->most_of, tally->most);
    printf("%lld passed, %lld failed, %lld skipped\n", (long long)n[VERIFY_PASS],
           (long long)(n[VERIFY_FAIL] + n[VERIFY_BAD]), (long long)n[VERIFY_SKIP]);
    if (n[VERIFY_BAD])
        return EXIT_CANNOT;
    if (n[VERIFY_FAIL])
        return EXIT_CHECK_FAILED;
    if (tally->asked && !tally->met && n[VERIFY_PASS])
        return cannot("nothing of backend %s was checked: what passed is the analysis of gains", o->backend);
    return n[VERIFY_PASS] ? EXIT_GOOD : cannot("nothing was checked");
}

static int verify_all(struct worker *worker, const struct options *o, struct message *names) {
    struct tally tally = {0};
    struct progress progress = {0};
    int64_t count = 0, chosen = 0, begun = 0;
    uint32_t types = 0;
    int width = 4;
    message_take(names, &types, sizeof types);
    message_take(names, &count, sizeof count);
    types = o->type >= 0 ? 1u << o->type : types;
    size_t first = names->at;
    for (int64_t k = 0; k < count; k++) {
        const char *name = message_take_text(names);
        int length = (int)strnlen(name, 60);
        if (!fnmatch(o->glob, name, 0)) {
            width = length > width ? length : width;
            chosen++;
        }
    }
    if (!chosen)
        return cannot("%s: no case matches %s", o->path, o->glob);
    printf("%-*s  %-4s  %-24s  %-4s  %9s  %9s  %s\n", width, "case", "type", "dataset", "", "error", "tolerance",
           "element");
    names->at = first;
    for (int64_t k = 0; k < count; k++) {
        const char *name = message_take_text(names);
        bool analysis = fnmatch(o->glob, name, 0) != 0;
        if (!analysis)
            progress_tell(&progress, begun++, chosen, name);
        for (int type = types ? 0 : -1; type < TYPES && !analysis; type++)
            if ((type < 0 || types >> type & 1) && !verify_one(worker, o, name, type, width, &tally, &analysis))
                return EXIT_INTERRUPTED;
    }
    return verdict_of(o, &tally);
}

static const char usage[] =
    "verify FILE.h5 [--backend B] [--case GLOB] [--type f64|f32|bf16] [--trust-tolerance] [--timeout SECONDS]";
static const char help[] =
    "Checks the operations of a backend against the vectors of FILE.h5. It prints one line per case, type and "
    "dataset: the worst element, its error and the tolerance.\n\n"
    "  --backend B        cpu64 (default), cpu32, cuda, emu, or the path of a library\n"
    "  --case GLOB        only cases whose name matches\n"
    "  --type TYPE        element type of the streams: f64, f32 or bf16; default: every one that the backend has. "
    "bf16 rounds the inputs and compares with cpu64 on the rounded inputs\n"
    "  --trust-tolerance  accept the tolerance of the file and of the backend's rows, also if it is wider than the "
    "contract's\n"
    "  --timeout SECONDS  end a case that takes longer, as failed; default: 600; 0: no limit\n\n"
    "Exit: 0 something was checked and nothing failed, 1 something failed, 2 the file is no vector file, data is "
    "missing or misshapen, or nothing of the backend was checked.\n";

static bool parse(int argc, char **argv, struct options *o) {
    const char *type = NULL, *timeout = NULL;
    o->trusting = take_flag(&argc, argv, "--trust-tolerance");
    if (!take_option(&argc, argv, "--backend", &o->backend) || !take_option(&argc, argv, "--case", &o->glob) ||
        !take_option(&argc, argv, "--type", &type) || !take_option(&argc, argv, "--timeout", &timeout) ||
        !only_positional(argc, argv, 1, 1, usage))
        return false;
    o->path = argv[0];
    if (type)
        for (o->type = 0; o->type < TYPES && strcmp(type, type_names[o->type]);)
            o->type++;
    if (o->type == TYPES)
        return cannot("--type %s: not one of f64, f32, bf16", type), false;
    if (timeout) {
        char *end;
        o->timeout = strtod(timeout, &end);
        if (end == timeout || *end || !(o->timeout >= 0) || isinf(o->timeout))
            return cannot("--timeout %s: not a number of seconds from 0", timeout), false;
    }
    return true;
}

int verify_command(int argc, char **argv) {
    struct options o = {.backend = "cpu64", .glob = "*", .type = -1, .timeout = 600};
    struct worker worker = {0};
    struct message names = {0};
    char why[256] = "";
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    if (!parse(argc, argv, &o))
        return EXIT_CANNOT;
    if (!ask(&worker, &o, "", -1, &names, why, sizeof why))
        return !strcmp(why, "interrupted") ? EXIT_INTERRUPTED : cannot("%s: %s", o.path, why);
    const char *refused = message_take_text(&names);
    int code = refused[0] ? cannot("%s", refused) : verify_all(&worker, &o, &names);
    message_clear(&names);
    worker_stop(&worker);
    return code;
}
