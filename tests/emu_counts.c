/* The table of kernels/counts.txt: `emu_counts LIBRARY SUITE` prints it, `emu_counts LIBRARY SUITE TABLE` holds a
 * committed one to what the library counts now: exit 1 and a line for each figure that moved. Exit 1 too where the
 * contract of a row is not what its kernels touch. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/case/suite.h"
#include "suites/gate/counted.h"

enum { FIGURES = 4 + MHC_COUNT_KINDS, MOST_LINES = 4000, KEY = 320 };

/* A line of the table: what it is about, and its figures. */
struct line {
    char key[KEY];
    int64_t figure[FIGURES];
    int figures; /* 3: of a row, FIGURES: of a kernel */
    bool met;
};
struct lines {
    struct line *line;
    int count;
};

static const char *const row_figure[] = {"bytes of the contract", "bytes of arguments touched", "bytes moved"};
static const char *const kernel_figure[] = {"launches", "blocks", "threads of a block", "blocks of a cluster"};

static struct line *add(struct lines *all, const char *key) {
    if (all->count == MOST_LINES) {
        fprintf(stderr, "more than %d lines\n", (int)MOST_LINES);
        exit(2);
    }
    struct line *line = &all->line[all->count++];
    *line = (struct line){0};
    snprintf(line->key, sizeof line->key, "%s", key);
    return line;
}

/* --- counting --- */

static void add_counted(struct lines *all, const char *words, const struct counted *c) {
    char key[KEY];
    snprintf(key, sizeof key, "%s %s", c->row, words);
    struct line *row = add(all, key);
    row->figures = 3;
    row->figure[0] = llround(c->contract), row->figure[1] = c->touched, row->figure[2] = c->moved;
    for (int k = 0; k < c->kernels; k++) {
        const struct mhc_counted_kernel *kernel = &c->kernel[k];
        snprintf(key, sizeof key, "%s %s: %s", c->row, words, kernel->name);
        struct line *line = add(all, key);
        line->figures = FIGURES;
        line->figure[0] = kernel->launches, line->figure[1] = kernel->blocks;
        line->figure[2] = kernel->threads, line->figure[3] = kernel->cluster;
        memcpy(line->figure + 4, kernel->count, sizeof kernel->count);
    }
}

/* The options of a case without its study and its operation. */
static const char *words_of(const struct params *p) {
    static char key[2048];
    params_key(p, key, sizeof key);
    const char *words = strstr(key, "--operation ");
    if (!words)
        return key;
    words += strlen("--operation ");
    return words + strcspn(words, " ") + 1;
}

/* Kinds of the library that are forms of the operation's: "mhc-micro" of mhc.pre. */
static bool is_form(const struct mhc_row *row, const char *operation, char form[64]) {
    size_t kind = strcspn(operation, "."), own = strcspn(row->name, ".");
    snprintf(form, 64, "%.*s", (int)own, row->name);
    return own > kind && !strncmp(row->name, operation, kind) && row->name[kind] == '-' &&
           !strcmp(row->name + own, operation + kind);
}

static int count_case(struct lines *all, const struct backend *b, const struct params *p) {
    const char *why = NULL;
    int found = 0;
    bool none = false;
    struct counted c;
    for (int which = 0; !none && !(why = counted_run(b, p, "", which, &c, &none)); which++, found++)
        add_counted(all, words_of(p), &c);
    for (const struct mhc_row *const *row = b->library->rows; *row && (none || !why); row++) {
        char form[64];
        if (is_form(*row, p->operation, form) && !(why = counted_run(b, p, form, 0, &c, &none)))
            add_counted(all, words_of(p), &c), found++;
    }
    if (found && (none || !why))
        return 0;
    fprintf(stderr, "%s %s: %s\n", p->operation, words_of(p), why);
    return 2;
}

/* --- the table --- */

static const char heading[] =
    "# What the kernels ask of memory and of each other, counted by `make emu-counts`; see kernels/NOTES.md.\n"
    "# A row: bytes of its contract, bytes of its arguments that its kernels touch, bytes they move at least.\n"
    "# A kernel of it: launches, blocks, threads of a block, blocks of a cluster |\n"
    "#   DRAM at least: sectors read, written | global: sectors loaded, least, stored, least |\n"
    "#   shared: wavefronts loaded, least, stored, least | remote accesses, barriers, arrivals, warp operations, mma\n";

static void print(const struct lines *all, const char *compiler) {
    printf("%s# %s\n", heading, compiler);
    for (int k = 0; k < all->count; k++) {
        const struct line *line = &all->line[k];
        const int64_t *f = line->figure;
        if (line->figures == 3) {
            printf("\n%s\n  bytes %lld %lld %lld\n", line->key, (long long)f[0], (long long)f[1], (long long)f[2]);
            continue;
        }
        printf("  %s\n    ", strstr(line->key, ": ") + 2);
        for (int j = 0; j < FIGURES; j++)
            printf("%s%lld", j == 0 ? "" : j == 4 || j == 6 || j == 10 || j == 14 ? " | " : " ", (long long)f[j]);
        printf("\n");
    }
}

static void read_numbers(struct line *line, char *text) {
    for (char *word = strtok(text, " |\n"); word && line->figures < FIGURES; word = strtok(NULL, " |\n"))
        line->figure[line->figures++] = atoll(word);
}

/* A table as it was printed; `compiler` is its last comment. */
static bool read_table(const char *path, struct lines *all, char compiler[KEY]) {
    char text[KEY], row[KEY] = "", key[2 * KEY];
    FILE *file = fopen(path, "r");
    while (file && fgets(text, sizeof text, file)) {
        text[strcspn(text, "\n")] = 0;
        if (text[0] == '#')
            snprintf(compiler, KEY, "%s", text + 2);
        else if (!strncmp(text, "  bytes ", 8))
            read_numbers(add(all, row), text + 8);
        else if (!strncmp(text, "    ", 4) && all->count)
            read_numbers(&all->line[all->count - 1], text + 4);
        else if (!strncmp(text, "  ", 2)) {
            snprintf(key, sizeof key, "%s: %s", row, text + 2);
            add(all, key);
        } else if (text[0])
            snprintf(row, sizeof row, "%s", text);
    }
    if (!file)
        return perror(path), false;
    fclose(file);
    return true;
}

static const char *figure_name(const struct line *line, int k) {
    return line->figures == 3 ? row_figure[k] : k < 4 ? kernel_figure[k] : counted_what[k - 4];
}

/* Lines of one key come in the same order in both. */
static struct line *meet(struct lines *all, const char *key) {
    for (int k = 0; k < all->count; k++)
        if (!all->line[k].met && !strcmp(all->line[k].key, key))
            return &all->line[k];
    return NULL;
}

/* What another compiler makes of the same kernel does not count: bytes and DRAM do. */
static bool counts(const struct line *line, int k, bool same_compiler) {
    return same_compiler || line->figures == 3 || k < 4 || k == 4 + MHC_COUNT_dram_read ||
           k == 4 + MHC_COUNT_dram_written;
}

static int compare(struct lines *table, const struct lines *now, bool same_compiler) {
    int moved = 0;
    for (int k = 0; k < now->count; k++) {
        const struct line *line = &now->line[k];
        struct line *was = meet(table, line->key);
        if (!was) {
            printf("%s: not in the table\n", line->key);
            moved++;
            continue;
        }
        was->met = true;
        for (int j = 0; j < line->figures; j++)
            if (was->figure[j] != line->figure[j] && counts(line, j, same_compiler)) {
                printf("%s: %s %lld -> %lld", line->key, figure_name(line, j), (long long)was->figure[j],
                       (long long)line->figure[j]);
                if (was->figure[j])
                    printf(" (%+.1f %%)", 100 * ((double)line->figure[j] / (double)was->figure[j] - 1));
                printf("\n");
                moved++;
            }
    }
    for (int k = 0; k < table->count; k++)
        if (!table->line[k].met) {
            printf("%s: gone\n", table->line[k].key);
            moved++;
        }
    return moved;
}

/* --- traffic models --- */

/* The contract counts every argument once: no less than the bytes of them that kernels touch, no more than they move.
 * A row need not read all of an argument: backward has what it needs of b's pre and post in `save`. */
static int hold_traffic(const struct lines *all, FILE *out) {
    int wrong = 0;
    for (int k = 0; k < all->count; k++) {
        const struct line *row = &all->line[k];
        int64_t contract = row->figure[0], touched = row->figure[1], moved = row->figure[2];
        bool good = touched <= contract && contract - touched <= contract / 100 && contract <= moved;
        if (row->figures != 3 || good)
            continue;
        fprintf(out, "%s: the contract says %lld bytes, kernels touch %lld of its arguments and move %lld\n", row->key,
                (long long)contract, (long long)touched, (long long)moved);
        wrong++;
    }
    return wrong;
}

int main(int argc, char **argv) {
    struct lines now = {calloc(MOST_LINES, sizeof(struct line)), 0},
                 table = {calloc(MOST_LINES, sizeof(struct line)), 0};
    struct backend b;
    struct suite s;
    char why[600], compiler[KEY] = "";
    const char *reason = NULL;
    if (argc < 3 || !now.line || !table.line)
        return fprintf(stderr, "usage: emu_counts LIBRARY SUITE [TABLE]\n"), 2;
    if (!suite_read(&s, argv[2], NULL, 0, why, sizeof why) || !backend_open(&b, argv[1], why, sizeof why))
        return fprintf(stderr, "%s\n", why), 2;
    const struct mhc_counters *counters = counted_counters(&b, &reason);
    if (!counters)
        return fprintf(stderr, "%s: %s\n", argv[1], reason), 2;
    int code = 0;
    for (int64_t k = 0; k < s.count && !code; k++)
        code = count_case(&now, &b, &s.cases[k]);
    if (!code && argc > 3)
        code = read_table(argv[3], &table, compiler) ? compare(&table, &now, !strcmp(compiler, counters->compiler)) > 0
                                                     : 2;
    else if (!code)
        print(&now, counters->compiler);
    if (code < 2 && hold_traffic(&now, argc > 3 ? stdout : stderr))
        code = 1;
    suite_release(&s);
    backend_close(&b);
    free(now.line);
    free(table.line);
    return code;
}
