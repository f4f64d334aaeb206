/* What ptxas made of every kernel, without a GPU: reads `cuobjdump -res-usage` and then `cuobjdump -sass` of a library
 * from its input and prints one line per kernel; `sass_table NOW TABLE` holds a table to another one, names every
 * figure that moved, and exits 1 if one did.
 *
 * A turn's cycles are a lower bound for a warp that is alone: instructions issue in order, each after the stall count
 * of the one before it and when the scoreboards that it waits for are clear; loads take what `latency` says. Detours
 * that end in a CALL are left out, other branches fall through. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_KERNELS = 2000, MOST_CODE = 65536, NAME = 400, STEP = 16, BOARDS = 6 };

/* X(id, what) */
#define FIGURES(X)                                                  \
    X(registers, "registers")                                       \
    X(stack, "bytes of stack")                                      \
    X(instructions, "instructions")                                 \
    X(moves, "moves, in thousandths of the instructions")           \
    X(local, "local loads and stores, spills among them")           \
    X(loop_local, "local loads and stores inside loops")            \
    X(inner_local, "local loads and stores inside innermost loops") \
    X(loop_fences, "MEMBAR inside loops")                           \
    X(loop_calls, "calls inside loops")                             \
    X(wide_loads, "global loads of 16 bytes")                       \
    X(middle_loads, "global loads of 8 bytes")                      \
    X(narrow_loads, "global loads of 4 bytes and less")             \
    X(wide_stores, "global stores of 16 bytes")                     \
    X(middle_stores, "global stores of 8 bytes")                    \
    X(narrow_stores, "global stores of 4 bytes and less")           \
    X(loops, "loops")                                               \
    X(longest, "cycles of a turn of the longest loop")              \
    X(inner, "cycles of a turn of the longest innermost loop")
enum figure {
#define ID(id, what) id,
    FIGURES(ID)
#undef ID
        FIGURE_COUNT
};
static const char *const figure_what[FIGURE_COUNT] = {
#define WHAT(id, what) what,
    FIGURES(WHAT)
#undef WHAT
};

struct kernel {
    char name[NAME];
    long figure[FIGURE_COUNT];
    bool met;
};
static struct kernel found[MOST_KERNELS], table[MOST_KERNELS];
static int found_count, table_count;

static struct kernel *kernel_of(struct kernel *all, int *count, const char *name) {
    for (int k = 0; k < *count; k++)
        if (!strcmp(all[k].name, name))
            return &all[k];
    if (*count == MOST_KERNELS)
        exit((fprintf(stderr, "more than %d kernels\n", (int)MOST_KERNELS), 2));
    snprintf(all[*count].name, NAME, "%s", name);
    return &all[(*count)++];
}

/* --- the code of a kernel --- */

struct instruction {
    char text[120];
    int stall, writes, reads; /* cycles to the next; scoreboards that it sets, 7: none */
    unsigned waits;           /* one bit per scoreboard */
    bool loop, innermost;
};
static struct instruction code[MOST_CODE]; /* by address / STEP */
static int length;

static const struct {
    const char *name;
    int cycles;
} latency[] = {{"LDS", 30}, {"LDL", 33}, {"MUFU", 22}, {"SHFL", 24}, {"LDG", 300}, {"LDC", 30},
               {"S2R", 25}, {"F2I", 20}, {"I2F", 20},  {"F2F", 24},  {"FCHK", 16}};

/* The instruction without its predicate. */
static const char *operation(const struct instruction *i) {
    const char *text = i->text;
    if (*text == '@')
        text += strcspn(text, " ") + 1;
    return text;
}
static bool is(const struct instruction *i, const char *name) {
    size_t size = strlen(name);
    const char *text = operation(i);
    return !strncmp(text, name, size) && (!text[size] || text[size] == '.' || text[size] == ' ');
}
static int cycles_of(const struct instruction *i) {
    for (size_t k = 0; k < sizeof latency / sizeof *latency; k++)
        if (is(i, latency[k].name))
            return latency[k].cycles;
    return 20;
}
/* Where a branch goes, by place in the code; -1: it is none. */
static int target(const struct instruction *i) {
    const char *at = is(i, "BRA") ? strstr(i->text, "0x") : NULL;
    return at ? (int)(strtol(at, NULL, 16) / STEP) : -1;
}

/* Whether the way from a branch to where it goes is a detour for exceptions. */
static bool is_detour(int branch, int to, int last) {
    bool call = false;
    for (int k = branch + 1; k < to && to <= last; k++)
        call |= is(&code[k], "CALL");
    return call && code[branch].text[0] == '@';
}

static long turn(int first, int last) {
    long now = 0, clear[BOARDS] = {0};
    for (int k = first, skip = 0; k <= last; k++) {
        const struct instruction *i = &code[k];
        if (k < skip)
            continue;
        if (target(i) > k && is_detour(k, target(i), last))
            skip = target(i);
        for (int b = 0; b < BOARDS; b++)
            if (i->waits >> b & 1 && clear[b] > now)
                now = clear[b];
        if (i->writes < BOARDS && clear[i->writes] < now + cycles_of(i))
            clear[i->writes] = now + cycles_of(i);
        if (i->reads < BOARDS && clear[i->reads] < now + 14)
            clear[i->reads] = now + 14;
        now += i->stall;
    }
    return now;
}

/* Loops of more than ten instructions; what lies in any. */
static void find_loops(struct kernel *to) {
    for (int k = 0; k < length; k++) {
        int first = target(&code[k]);
        if (first < 0 || first >= k)
            continue;
        bool innermost = true;
        for (int j = first; j <= k; j++) {
            code[j].loop = true;
            int inside = target(&code[j]);
            innermost &= j == k || inside < first || inside >= j - 10;
        }
        for (int j = first; j <= k && innermost; j++)
            code[j].innermost = true;
        if (first >= k - 10)
            continue;
        long cycles = turn(first, k);
        to->figure[loops]++;
        if (cycles > to->figure[longest])
            to->figure[longest] = cycles;
        if (innermost && cycles > to->figure[inner])
            to->figure[inner] = cycles;
    }
}

static void count_width(const struct instruction *i, long *wide, long *middle, long *narrow) {
    const char *text = operation(i), *end = text + strcspn(text, " ");
    const char *has128 = strstr(text, ".128"), *has64 = strstr(text, ".64");
    ++*(has128 && has128 < end ? wide : has64 && has64 < end ? middle : narrow);
}

static void close_kernel(struct kernel *to) {
    long all = 0, moved = 0;
    if (!to)
        return;
    find_loops(to);
    for (int k = 0; k < length; k++) {
        const struct instruction *i = &code[k];
        if (is(i, "NOP"))
            continue;
        all++;
        moved += is(i, "MOV") || !strncmp(operation(i), "IMAD.MOV", 8);
        bool stays = is(i, "LDL") || is(i, "STL");
        to->figure[local] += stays;
        to->figure[loop_local] += stays && i->loop;
        to->figure[inner_local] += stays && i->innermost;
        to->figure[loop_fences] += is(i, "MEMBAR") && i->loop;
        to->figure[loop_calls] += is(i, "CALL") && i->loop;
        if (is(i, "LDG"))
            count_width(i, &to->figure[wide_loads], &to->figure[middle_loads], &to->figure[narrow_loads]);
        if (is(i, "STG"))
            count_width(i, &to->figure[wide_stores], &to->figure[middle_stores], &to->figure[narrow_stores]);
    }
    to->figure[instructions] = all;
    to->figure[moves] = all ? (1000 * moved + all / 2) / all : 0;
}

/* A line with an instruction, or the second half of its bits, which has the control word. */
static void read_code(const char *line) {
    unsigned address;
    char text[120];
    unsigned long long bits;
    static bool waiting;
    if (sscanf(line, " /*%x*/ %119[^;]", &address, text) == 2 && address / STEP < MOST_CODE) {
        length = (int)(address / STEP) + 1;
        code[length - 1] = (struct instruction){0};
        snprintf(code[length - 1].text, sizeof text, "%s", text);
        waiting = true;
    } else if (waiting && sscanf(line, " /* %llx */", &bits) == 1) {
        struct instruction *i = &code[length - 1];
        unsigned control = (unsigned)(bits >> 41 & 0x1fffff);
        i->stall = control & 15 ? (int)(control & 15) : 1;
        i->writes = (int)(control >> 5 & 7), i->reads = (int)(control >> 8 & 7);
        i->waits = control >> 11 & 63;
        waiting = false;
    }
}

static void read_input(void) {
    static char line[1 << 16];
    char name[NAME];
    struct kernel *current = NULL, *used = NULL;
    while (fgets(line, sizeof line, stdin)) {
        long count, bytes;
        if (sscanf(line, "%*[ \t]Function : %399s", name) == 1) {
            close_kernel(current);
            current = kernel_of(found, &found_count, name);
            length = 0;
        } else if (sscanf(line, " Function %399[^:]:", name) == 1) {
            used = kernel_of(found, &found_count, name);
        } else if (used && sscanf(line, " REG:%ld STACK:%ld", &count, &bytes) == 2) {
            used->figure[registers] = count, used->figure[stack] = bytes;
        } else if (current) {
            read_code(line);
        }
    }
    close_kernel(current);
}

/* --- the table --- */

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct kernel *)a)->name, ((const struct kernel *)b)->name);
}

static void print(void) {
    printf("# What ptxas made of every kernel, by `make sass-table`; kernels/NOTES.md says more. A line's figures:\n");
    for (int k = 0; k < FIGURE_COUNT; k++)
        printf("#   %s\n", figure_what[k]);
    for (int k = 0; k < found_count; k++) {
        for (int f = 0; f < FIGURE_COUNT; f++)
            printf("%ld ", found[k].figure[f]);
        printf("%s\n", found[k].name);
    }
}

static bool read_table(const char *path, struct kernel *all, int *kernels) {
    char line[2 * NAME], *at;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        struct kernel k = {0};
        at = line;
        if (*line == '#')
            continue;
        for (int f = 0; f < FIGURE_COUNT; f++)
            k.figure[f] = strtol(at, &at, 10);
        at[strcspn(at, "\n")] = 0;
        memcpy(kernel_of(all, kernels, at + 1)->figure, k.figure, sizeof k.figure);
    }
    if (!file)
        return perror(path), false;
    return fclose(file), true;
}

static int compare(void) {
    int moved = 0;
    for (int k = 0; k < found_count; k++) {
        int known = table_count;
        struct kernel *was = kernel_of(table, &table_count, found[k].name);
        was->met = true;
        if (table_count > known) {
            printf("%s: not in the table\n", was->name);
            moved++;
            continue;
        }
        for (int f = 0; f < FIGURE_COUNT; f++)
            if (was->figure[f] != found[k].figure[f]) {
                printf("%s: %s %ld -> %ld\n", was->name, figure_what[f], was->figure[f], found[k].figure[f]);
                moved++;
            }
    }
    for (int k = 0; k < table_count; k++)
        if (!table[k].met) {
            printf("%s: gone\n", table[k].name);
            moved++;
        }
    return moved;
}

int main(int argc, char **argv) {
    if (argc == 3)
        return !read_table(argv[1], found, &found_count) || !read_table(argv[2], table, &table_count) ? 2
                                                                                                      : compare() > 0;
    read_input();
    if (!found_count)
        return fprintf(stderr, "sass_table: no kernel in its input\n"), 2;
    qsort(found, (size_t)found_count, sizeof *found, by_name);
    print();
    return 0;
}
