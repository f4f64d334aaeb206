/* The parent never opens the vector file or a backend: a worker lists the cases, then runs them one request at a time, so a damaged
 * file or a crashing kernel is one line. */
#include "suites/verify.h"

#include <ctype.h>
#include <fnmatch.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const char *path, *backend, *glob;
    int type; /* enum mhc_type, or -1 */
    double timeout;
};

struct tally {
    int64_t verdict[VERDICTS];
};

static const char *const type_names[] = {"f64", "f32", "bf16"};

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

/* Reply: "" or the reason; then, for the case "", the names; for another, its lines. */
void verify_answer(struct message *request, struct message *reply) {
    struct vector_case v;
    struct backend *backend;
    char why[200] = "";
    const char *path = message_take_text(request), *name = message_take_text(request);
    const char *backend_name = message_take_text(request);
    int32_t type = -1;
    message_take(request, &type, sizeof type);
    bool good = use_backend(backend_name, &backend, why, sizeof why);
    struct vectors *file = good ? vectors_open(path, why, sizeof why) : NULL;
    if (!file) {
        char line[4400];
        snprintf(line, sizeof line, "%s%s%s", good ? path : "", good ? ": " : "", why);
        message_put_text(reply, line);
        return;
    }
    message_put_text(reply, "");
    if (!name[0]) {
        int64_t count = vectors_count(file);
        message_put(reply, &count, sizeof count);
        for (int64_t k = 0; k < count; k++)
            message_put_text(reply, vectors_name(file, k));
    } else {
        struct verify_line lines[VERIFY_LINES] = {{.verdict = VERIFY_BAD}};
        int64_t count = 1;
        if (vectors_read(file, name, &v, lines[0].text, sizeof lines[0].text)) {
            count = verify_case(backend, type, &v, lines);
            vector_case_release(&v);
        }
        message_put(reply, &count, sizeof count);
        message_put(reply, lines, (size_t)count * sizeof *lines);
    }
    vectors_close(file);
}

/* --- the parent's side --- */

static bool ask(struct worker *worker, const struct options *o, const char *name, struct message *reply, char *why,
                size_t why_size) {
    struct message request = {0};
    int32_t type = o->type;
    message_put_text(&request, "verify");
    message_put_text(&request, o->path);
    message_put_text(&request, name);
    message_put_text(&request, o->backend);
    message_put(&request, &type, sizeof type);
    bool good = worker_call(worker, &request, reply, o->timeout, why, why_size);
    message_clear(&request);
    return good;
}

/* Names come from a file that anybody may have written: nothing of them may steer a terminal. */
static const char *printable(const char *text, char *buffer, size_t size) {
    size_t k = 0;
    for (; text[k] && k + 1 < size; k++)
        buffer[k] = iscntrl((unsigned char)text[k]) ? '?' : text[k];
    buffer[k] = 0;
    return buffer;
}

static void print_line(const char *name, int width, const struct verify_line *line) {
    static const char *const words[] = {"pass", "FAIL", "skip", "BAD"};
    char clean_name[256], clean_dataset[64];
    printable(name, clean_name, sizeof clean_name);
    printable(line->dataset[0] ? line->dataset : "-", clean_dataset, sizeof clean_dataset);
    if (line->element[0])
        printf("%-*s  %-24s  %-4s  %9.2e  %9.2e  %s", width, clean_name, clean_dataset, words[line->verdict], line->error,
               line->tolerance, line->element);
    else
        printf("%-*s  %-24s  %-4s  %9s  %9s  -", width, clean_name, clean_dataset, words[line->verdict], "-", "-");
    if (line->verdict != VERIFY_PASS)
        printf("  %s", line->text);
    printf("\n");
}

/* One case: its lines, counted. false: interrupted. */
static bool verify_one(struct worker *worker, const struct options *o, const char *name, int width, struct tally *tally) {
    struct message reply = {0};
    struct verify_line line = {.verdict = VERIFY_FAIL};
    char clean[256];
    int64_t count = 0;
    bool answered = ask(worker, o, name, &reply, line.text, sizeof line.text);
    if (!answered && !strcmp(line.text, "interrupted"))
        return false;
    const char *why = answered ? message_take_text(&reply) : "";
    if (answered && !why[0])
        message_take(&reply, &count, sizeof count);
    else if (answered)
        snprintf(line.text, sizeof line.text, "%s", why);
    bool fresh = false;
    for (int64_t k = 0; k < (count ? count : 1); k++) {
        if (count)
            message_take(&reply, &line, sizeof line);
        tally->verdict[line.verdict]++;
        fresh |= line.verdict == VERIFY_FAIL && !line.element[0];
        print_line(name, width, &line);
        if (line.verdict == VERIFY_BAD)
            fprintf(stderr, "mhcbench: %s: case %s: %s\n", o->path, printable(name, clean, sizeof clean), line.text);
    }
    fflush(stdout);
    message_clear(&reply);
    if (fresh)
        worker_stop(worker); /* a device that failed once may fail everything after it */
    return true;
}

static int verdict_of(const struct tally *tally) {
    const int64_t *n = tally->verdict;
    printf("%lld passed, %lld failed, %lld skipped\n", (long long)n[VERIFY_PASS],
           (long long)(n[VERIFY_FAIL] + n[VERIFY_BAD]), (long long)n[VERIFY_SKIP]);
    if (n[VERIFY_BAD])
        return 2;
    if (n[VERIFY_FAIL])
        return 1;
    if (n[VERIFY_PASS])
        return 0;
    fprintf(stderr, "mhcbench: nothing was checked\n");
    return 2;
}

static int verify_all(struct worker *worker, const struct options *o, struct message *names) {
    struct tally tally = {0};
    int64_t count = 0, chosen = 0;
    int width = 4;
    message_take(names, &count, sizeof count);
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
        return fprintf(stderr, "mhcbench: %s: no case matches %s\n", o->path, o->glob), 2;
    printf("%-*s  %-24s  %-4s  %9s  %9s  %s\n", width, "case", "dataset", "", "error", "tolerance", "element");
    names->at = first;
    for (int64_t k = 0; k < count; k++) {
        const char *name = message_take_text(names);
        if (!fnmatch(o->glob, name, 0) && !verify_one(worker, o, name, width, &tally))
            return fprintf(stderr, "mhcbench: interrupted\n"), 130;
    }
    return verdict_of(&tally);
}

static const char usage[] =
    "usage: mhcbench verify FILE.h5 [--backend B] [--case GLOB] [--type f64|f32|bf16] [--timeout SECONDS]\n"
    "\n"
    "Checks the operations of a backend against the vector file FILE.h5, one line a case and dataset: the worst element,\n"
    "its error and the tolerance.\n"
    "\n"
    "  --backend B        cpu64 (default), cpu32, cuda, emu, or the path of a library\n"
    "  --case GLOB        only cases whose name matches\n"
    "  --type TYPE        element type of the streams; default: the widest the backend has. bf16 rounds the inputs and\n"
    "                     compares with cpu64 on the rounded inputs\n"
    "  --timeout SECONDS  a case that takes longer has failed (default 600, 0: no limit)\n"
    "\n"
    "Exit: 0 something was checked and nothing failed, 1 something failed, 2 the file is not a vector file, data is missing or\n"
    "misshapen, or nothing was checked.\n";

/* -1: go on; otherwise the exit code. */
static int parse(int argc, char **argv, struct options *o) {
    static const struct option table[] = {{"backend", required_argument, NULL, 'b'},
                                          {"case", required_argument, NULL, 'c'},
                                          {"type", required_argument, NULL, 't'},
                                          {"timeout", required_argument, NULL, 's'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    char *end;
    int option;
    opterr = 0;
    optind = 0;
    while ((option = getopt_long(argc, argv, ":h", table, NULL)) != -1)
        switch (option) {
        case 'b': o->backend = optarg; break;
        case 'c': o->glob = optarg; break;
        case 't':
            for (o->type = 0; o->type < 3 && strcmp(optarg, type_names[o->type]);)
                o->type++;
            if (o->type == 3)
                return fprintf(stderr, "mhcbench: --type %s: not one of f64, f32, bf16\n", optarg), 2;
            break;
        case 's':
            o->timeout = strtod(optarg, &end);
            if (end == optarg || *end || !(o->timeout >= 0) || isinf(o->timeout))
                return fprintf(stderr, "mhcbench: --timeout %s: not a number of seconds from 0\n", optarg), 2;
            break;
        case 'h': return fputs(usage, stdout), 0;
        case ':': return fprintf(stderr, "mhcbench: %s needs a value; see mhcbench verify --help\n", argv[optind - 1]), 2;
        default:
            return fprintf(stderr, "mhcbench: unknown option %s; see mhcbench verify --help\n", argv[optind - 1]), 2;
        }
    if (argc - optind != 1)
        return fprintf(stderr, "mhcbench: verify takes one vector file; see mhcbench verify --help\n"), 2;
    o->path = argv[optind];
    return -1;
}

int verify_command(int argc, char **argv) {
    struct options o = {.backend = "cpu64", .glob = "*", .type = -1, .timeout = 600};
    struct worker worker = {0};
    struct message names = {0};
    char why[256] = "";
    int code = parse(argc, argv, &o);
    if (code >= 0)
        return code;
    if (!ask(&worker, &o, "", &names, why, sizeof why)) {
        bool interrupted = !strcmp(why, "interrupted");
        fprintf(stderr, "mhcbench: %s%s%s\n", interrupted ? "" : o.path, interrupted ? "" : ": ", why);
        return interrupted ? 130 : 2;
    }
    const char *refused = message_take_text(&names);
    if (refused[0]) {
        fprintf(stderr, "mhcbench: %s\n", refused);
        code = 2;
    } else
        code = verify_all(&worker, &o, &names);
    message_clear(&names);
    worker_stop(&worker);
    return code;
}
