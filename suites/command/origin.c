#include "suites/command/origin.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "build_info.h"
#include "suites/case/options.h"
#include "results/digest.h"
#include "suites/command/provenance.h"
#include "suites/rows/backend.h"

enum { REVISION, BUILD, CPU, THREADS, LIBRARY, INPUT, FROM };
static const struct {
    struct record_column column;
    const char *what; /* in a message */
} origins[ORIGINS] = {
    [REVISION] = {{"origin_revision", "", "revision of the program that ran the case", RECORD_TEXT}, "revision"},
    [BUILD] = {{"origin_build", "", "compiler and flags of that program", RECORD_TEXT}, "compiler or flags"},
    [CPU] = {{"origin_cpu", "", "model of the CPU", RECORD_TEXT}, "model of CPU"},
    [THREADS] = {{"origin_threads", "1", "threads of OpenMP in its worker", RECORD_INT}, "number of threads"},
    [LIBRARY] = {{"origin_library", "", "SHA-256 of the library behind the backend", RECORD_TEXT}, "library"},
    [INPUT] = {{"origin_input", "", "SHA-256 of the file behind --input", RECORD_TEXT}, "input"},
    [FROM] = {{"origin_from", "", "SHA-256 of the file behind --from", RECORD_TEXT}, "file behind --from"},
};

void origin_columns(struct record_column columns[ORIGINS]) {
    for (int k = 0; k < ORIGINS; k++)
        columns[k] = origins[k].column;
}

/* Compiler and flags, as far as a column holds them. */
static const char *build_of(void) {
    static char build[RECORD_TEXT_BYTES + 1];
    snprintf(build, sizeof build, "%s; %s", PROVENANCE_COMPILER, PROVENANCE_FLAGS);
    return build;
}

static const char *cpu_of(void) {
    static char cpu[RECORD_TEXT_BYTES + 1];
    snprintf(cpu, sizeof cpu, "%s", provenance_fact("cpu_model"));
    return cpu;
}

static int at_least_one(size_t bytes) {
    return bytes ? (int)bytes : 1;
}

void origin_bytes(int bytes[ORIGINS]) {
    for (int k = 0; k < ORIGINS; k++)
        bytes[k] = DIGEST_SIZE - 1;
    bytes[REVISION] = at_least_one(strlen(PROVENANCE_REVISION));
    bytes[BUILD] = at_least_one(strlen(build_of()));
    bytes[CPU] = at_least_one(strlen(cpu_of()));
}

/* The digest of a file, taken again when it is another file. One of each kind is remembered. */
struct remembered {
    char path[4096], digest[DIGEST_SIZE];
    struct timespec changed;
    ino_t inode;
};
static const char *digest_of(const char *path, struct remembered *r) {
    struct stat status;
    if (stat(path, &status) || strlen(path) >= sizeof r->path)
        return "";
    if (strcmp(path, r->path) || r->inode != status.st_ino || r->changed.tv_sec != status.st_mtim.tv_sec ||
        r->changed.tv_nsec != status.st_mtim.tv_nsec) {
        digest_file(path, r->digest);
        strcpy(r->path, path);
        r->inode = status.st_ino;
        r->changed = status.st_mtim;
    }
    return r->digest;
}

void origin_values(const struct params *p, union record_value values[ORIGINS]) {
    static struct remembered library, input, from;
    char path[4096];
    long threads = 0;
    sscanf(provenance_fact("omp_threads"), "%ld", &threads);
    values[REVISION].text = PROVENANCE_REVISION;
    values[BUILD].text = build_of();
    values[CPU].text = cpu_of();
    values[THREADS].i = threads;
    values[LIBRARY].text = params_has(p, STUDY_RUNS) && backend_path(p->backend, path, sizeof path)
                               ? digest_of(path, &library)
                               : "";
    values[INPUT].text = p->input[0] ? digest_of(p->input, &input) : "";
    values[FROM].text = p->from[0] ? digest_of(p->from, &from) : "";
}

/* The parameters of a row that say which files are behind it. */
static void read_params(struct record_reader *r, int64_t row, struct params *p) {
    static const char *const names[] = {"study", "backend", "input", "from", "order"};
    char unused[8];
    params_defaults(p);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const char *const *texts = record_texts(r, names[k]);
        if (texts)
            params_set(p, params_find(names[k]), texts[row], unused, sizeof unused);
    }
}

static bool row_agrees(struct record_reader *r, int64_t row, char *why, size_t why_size) {
    union record_value now[ORIGINS];
    struct params p;
    char was[RECORD_TEXT_BYTES + 1], is[RECORD_TEXT_BYTES + 1];
    read_params(r, row, &p);
    origin_values(&p, now);
    for (int k = 0; k < ORIGINS; k++) {
        const char *name = origins[k].column.name;
        const char *const *texts = k == THREADS ? NULL : record_texts(r, name);
        const int64_t *numbers = k == THREADS ? record_ints(r, name) : NULL;
        if (!texts && !numbers)
            return snprintf(why, why_size, "does not say of its cases the %s; --resume=anyway goes on",
                            origins[k].what),
                   false;
        if (numbers) {
            snprintf(was, sizeof was, "%lld", (long long)numbers[row]);
            snprintf(is, sizeof is, "%lld", (long long)now[k].i);
        } else {
            snprintf(was, sizeof was, "%s", texts[row]);
            snprintf(is, sizeof is, "%s", now[k].text);
        }
        if (strcmp(was, is))
            return snprintf(why, why_size,
                            "has cases of another %s: %.200s, here it is %.200s; %s--resume=anyway goes on",
                            origins[k].what, *was ? was : "unknown", *is ? is : "unknown",
                            k == THREADS ? "--jobs decides it, " : ""),
                   false;
    }
    return true;
}

bool origin_agrees(void *unused, struct record_reader *earlier, char *why, size_t why_size) {
    (void)unused;
    const char *const *status = record_texts(earlier, "status");
    for (int64_t row = 0; status && row < record_count(earlier); row++)
        if (!strcmp(status[row], "done") && !row_agrees(earlier, row, why, why_size))
            return false;
    return true;
}

struct resume origin_take_resume(int *argc, char **argv) {
    struct resume r = {.anyway = take_flag(argc, argv, "--resume=anyway")};
    r.wanted = take_flag(argc, argv, "--resume") || r.anyway;
    return r;
}
