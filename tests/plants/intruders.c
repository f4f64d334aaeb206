/* Libraries that reach into the process that runs them: into its answers, its functions, and later rows. */
#define _GNU_SOURCE 1 /* dl_iterate_phdr() */
#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "suites/gate/check.h"
#include "suites/gate/regress.h"
#include "suites/worker/descriptors.h"
#include "tests/plants/plant.h"

void plant_rows(struct mhc_row *rows, int *count) {
    (void)rows, (void)count;
}

#define WRONG 1.01

static void spoil(const struct call *call, void *out, int64_t count) {
    for (int64_t k = 0; k < count; k++)
        plant_put(call, out, k, WRONG * plant_get(call, out, k));
}

/* --- whatever in memory is the answer in float64 becomes as wrong as what this library makes --- */

enum { KNOWN = 4, MOST_BYTES = 1 << 27 };

static bool is_answer(const double *at, const double known[KNOWN]) {
    bool same = true;
    for (int k = 0; k < KNOWN && same; k++)
        same = fabs(at[k] - known[k]) <= 1e-5 * fabs(known[k]) && at[k] != 0;
    return same;
}

static void change_answers(const double known[KNOWN], int64_t count) {
    unsigned long from, to;
    char line[300], mode[8];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) == 3 && !strncmp(mode, "rw", 2) && to - from < MOST_BYTES &&
            !strstr(line, ".so") && !strstr(line, "stack") && !strstr(line, "/dev"))
            for (double *at = (double *)from; at + count <= (double *)to; at++)
                if (is_answer(at, known)) {
                    for (int64_t k = 0; k < count; k++)
                        at[k] *= WRONG;
                    at += count - 1;
                }
    if (maps)
        fclose(maps);
}

static int changes_answers(const struct call *call) {
    int64_t count;
    void *out = plant_array(call, "x_next", &count);
    double known[KNOWN];
    int failed = plant_inner(call);
    if (count < KNOWN)
        return failed;
    for (int k = 0; k < KNOWN; k++)
        known[k] = plant_get(call, out, k);
    change_answers(known, count);
    spoil(call, out, count);
    return failed;
}

/* --- a function of the process becomes this library's --- */

static void wrong_gemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda,
                       const double *b, int ldb, double beta, double *c, int ldc) {
    static void (*right)(int, int, int, int, int, int, double, const double *, int, const double *, int, double,
                         double *, int);
    if (!right)
        *(void **)&right = dlsym(RTLD_DEFAULT, "cblas_dgemm");
    right(order, ta, tb, m, n, k, WRONG * alpha, a, lda, b, ldb, beta, c, ldc);
}

/* The places through which one file of the process calls it. */
static void replace(const struct dl_phdr_info *object, const ElfW(Rela) * rela, size_t bytes, const ElfW(Sym) * symbols,
                    const char *strings) {
    __typeof__(&wrong_gemm) const wrong = wrong_gemm;
    long page = sysconf(_SC_PAGESIZE);
    for (size_t k = 0; k < bytes / sizeof *rela; k++) {
        const char *name = strings + symbols[ELF64_R_SYM(rela[k].r_info)].st_name;
        char *place = (char *)object->dlpi_addr + rela[k].r_offset;
        if (strcmp(name, "cblas_dgemm"))
            continue;
        mprotect((void *)((unsigned long)place / (unsigned long)page * (unsigned long)page), (size_t)page,
                 PROT_READ | PROT_WRITE);
        memcpy(place, &wrong, sizeof wrong);
    }
}

static int replace_in(struct dl_phdr_info *object, size_t size, void *user) {
    const ElfW(Rela) *slots = NULL, *others = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *strings = NULL;
    size_t slot_bytes = 0, other_bytes = 0;
    (void)size, (void)user;
    for (int k = 0; k < object->dlpi_phnum; k++) {
        if (object->dlpi_phdr[k].p_type != PT_DYNAMIC)
            continue;
        for (const ElfW(Dyn) *d = (const void *)(object->dlpi_addr + object->dlpi_phdr[k].p_vaddr); d->d_tag; d++) {
            const void *at = (const void *)d->d_un.d_ptr;
            slots = d->d_tag == DT_JMPREL ? at : slots;
            others = d->d_tag == DT_RELA ? at : others;
            symbols = d->d_tag == DT_SYMTAB ? at : symbols;
            strings = d->d_tag == DT_STRTAB ? at : strings;
            slot_bytes = d->d_tag == DT_PLTRELSZ ? d->d_un.d_val : slot_bytes;
            other_bytes = d->d_tag == DT_RELASZ ? d->d_un.d_val : other_bytes;
        }
    }
    if (!object->dlpi_name || strstr(object->dlpi_name, "vdso") || !symbols || !strings)
        return 0;
    if (slots)
        replace(object, slots, slot_bytes, symbols, strings);
    if (others)
        replace(object, others, other_bytes, symbols, strings);
    return 0;
}

static int replaces_a_function(const struct call *call) {
    static bool done;
    int64_t count;
    void *out = plant_array(call, "y", &count);
    if (!done)
        dl_iterate_phdr(replace_in, NULL);
    done = true;
    int failed = plant_inner(call);
    if (call->c->stream != MHC_F64) /* else by the function */
        spoil(call, out, count);
    return failed;
}

/* --- a row that is right, after which another one is wrong --- */

static int leaves_a_mark(const struct call *call) {
    static bool marked;
    int64_t count;
    int failed = plant_inner(call);
    marked |= plant_on(call, "hc.pre");
    if (marked && plant_on(call, "mhc.post")) {
        void *out = plant_array(call, "x_next", &count);
        spoil(call, out, count);
    }
    return failed;
}

/* --- what the process keeps for its parent --- */

/* The memory that `check` shares with it; NULL: this is not `check`. */
static struct checker *shared_memory(void) {
    unsigned long from, found = 0;
    char line[300], mode[8];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && !found && fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%*x %7s", &from, mode) == 2 && !strcmp(mode, "rw-s") && strstr(line, "/dev/zero"))
            found = from;
    if (maps)
        fclose(maps);
    return (struct checker *)found;
}

static int wrong(const struct call *call) {
    int64_t count;
    void *out = plant_array(call, "x_next", &count);
    int failed = plant_inner(call);
    spoil(call, out, count);
    return failed;
}

/* Runs as the library is closed, after everything that is wrong was found. */
__attribute__((destructor)) static void clear_counts(void) {
    struct checker *k = plant_is("clears_the_counts") ? shared_memory() : NULL;
    if (k)
        k->failed = 0;
}

static int ends_the_check(const struct call *call) {
    struct checker *k = shared_memory();
    if (!k)
        return wrong(call);
    k->cases = 84, k->checks = 700;
    k->rows = k->next = 0;
    k->closed = true;
    _exit(0);
}

/* Takes the place of a worker of `regress` at its pipe: it reads the requests, and its answers praise the library. */
static int answers_for_the_worker(const struct call *call) {
    static char request[1 << 16];
    struct {
        uint64_t kind, size;
    } head = {0};
    char reply[1 + sizeof(struct regress_answer)] = "";
    struct regress_answer praise = {.opened = true,
                                    .supported = true,
                                    .accuracy = {1e-9, 1e-3},
                                    .change = {1, 0.99, 1.01},
                                    .together = {1, 0.99, 1.01},
                                    .copies = NAN,
                                    .rounds = 1000,
                                    .wrong = -1};
    uint64_t size;
    if (shared_memory())
        return wrong(call);
    memcpy(reply + 1, &praise, sizeof praise);
    head.size = sizeof reply;
    do {
        if (write(4, &head, sizeof head) < 0 || write(4, reply, sizeof reply) < 0)
            break;
    } while (read(3, &size, sizeof size) == sizeof size && size < sizeof request &&
             read(3, request, size) == (ssize_t)size);
    _exit(0);
}

static int closes_files(const struct call *call) {
    close_from(3);
    return wrong(call);
}

/* Hangs, and ignores the alarm with which the process would end itself. */
_Noreturn static void hangs(void) {
    signal(SIGALRM, SIG_IGN);
    for (;;)
        pause();
}

int plant_call(struct call *call) {
    bool is_post = plant_on(call, "mhc.post");
    if (plant_is("clears_the_counts") && is_post)
        return wrong(call);
    if (plant_is("ends_the_check") && is_post)
        return ends_the_check(call);
    if (plant_is("answers_for_the_worker") && is_post)
        return answers_for_the_worker(call);
    if (plant_is("closes_files") && is_post)
        return closes_files(call);
    if (plant_is("ignores_the_clock") && is_post)
        hangs();
    if (plant_is("changes_answers") && plant_on(call, "mhc.post"))
        return changes_answers(call);
    if (plant_is("replaces_a_function") && plant_on(call, "linear.forward"))
        return replaces_a_function(call);
    if (plant_is("leaves_a_mark"))
        return leaves_a_mark(call);
    return plant_inner(call);
}
