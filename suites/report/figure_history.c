/* Speed over commits, from what runs of `regress --record` left.
 *
 * A run says how long a case takes with NEW, as a share of BASE. Where an earlier run on the same type of CPU had that
 * BASE, as its NEW or as its BASE, the shares are multiplied: so commits may be compared with their parents or all with
 * one release. Where none had it, a new piece begins at 1. */
#include "suites/report/figure_history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/analysis.h"
#include "suites/report/figure_data.h"

enum { SHOWN = 6, LABEL = 96 };

/* A case after an entry: its time as a share of that with the first base of its piece; NaN: it was not timed. */
struct point {
    double base, level, low, high;
    int64_t piece; /* the entry that began it */
};

/* `line`: what is known of the case before entry e. */
static struct point point_after(const struct history *h, const struct point *line, int64_t e, int64_t row) {
    struct point p = {1, NAN, NAN, NAN, e};
    for (int64_t b = e - 1; b >= 0 && p.piece == e; b--) {
        const bool from_new = !strcmp(h->revision[b], h->base[e]), from_base = !strcmp(h->base[b], h->base[e]);
        if (!(line[b].level > 0) || strcmp(h->machine[b], h->machine[e]) || !(from_new || from_base))
            continue;
        p.base = from_new ? line[b].level : line[b].base;
        p.piece = line[b].piece;
    }
    p.level = p.base * h->ratio[row];
    p.low = p.base * h->low[row];
    p.high = p.base * h->high[row];
    return p;
}

/* [cases][entries] in new memory; NULL: out of memory. */
static struct point *follow(const struct history *h) {
    struct point *all = malloc((size_t)(h->cases * h->entries + 1) * sizeof *all);
    int64_t *row = malloc((size_t)(h->cases * h->entries + 1) * sizeof *row);
    if (!all || !row) {
        free(all);
        free(row);
        return NULL;
    }
    for (int64_t k = 0; k < h->cases * h->entries; k++)
        row[k] = -1;
    for (int64_t k = 0; k < h->rows; k++)
        row[h->of[k] * h->entries + h->entry[k]] = k;
    for (int64_t k = 0; k < h->cases * h->entries; k++) {
        const int64_t e = k % h->entries;
        all[k] = row[k] < 0 ? (struct point){1, NAN, NAN, NAN, e} : point_after(h, all + (k - e), e, row[k]);
    }
    free(row);
    return all;
}

/* ---- which cases have a line ---- */

struct ranked {
    int64_t of;
    double change; /* largest |log| of a level; below 0: it was never timed */
};

static int by_change(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    return x->change != y->change ? (x->change < y->change) - (x->change > y->change)
                                  : (x->of > y->of) - (x->of < y->of);
}

/* Those that changed most come first. Returns how many were timed at all; -1: out of memory. */
static int64_t rank(const struct history *h, const struct point *all, struct ranked **ranked) {
    int64_t timed = 0;
    *ranked = malloc((size_t)(h->cases + 1) * sizeof **ranked);
    for (int64_t k = 0; *ranked && k < h->cases; k++) {
        (*ranked)[k] = (struct ranked){k, -1};
        for (int64_t e = 0; e < h->entries; e++)
            if (all[k * h->entries + e].level > 0)
                (*ranked)[k].change = fmax((*ranked)[k].change, fabs(log(all[k * h->entries + e].level)));
        timed += (*ranked)[k].change >= 0;
    }
    if (!*ranked)
        return -1;
    qsort(*ranked, (size_t)h->cases, sizeof **ranked, by_change);
    return timed;
}

/* ---- files ---- */

/* Line 0 has the geometric mean of all cases, and where eight of ten lie. It begins anew where all do. */
static bool put_all(FILE *file, const struct history *h, const struct point *all) {
    double *level = malloc((size_t)(h->cases + 1) * sizeof *level);
    for (int64_t e = 0; level && file && e < h->entries; e++) {
        int64_t count = 0, piece = e;
        double sum = 0;
        for (int64_t k = 0; k < h->cases; k++) {
            const struct point *p = &all[k * h->entries + e];
            if (!(p->level > 0))
                continue;
            level[count++] = p->level;
            sum += log(p->level);
            piece = p->piece < piece ? p->piece : piece;
        }
        if (!count)
            continue;
        if (piece == e)
            fprintf(file, "0,%lld,%lld,1,1,1,0,\"\",\"\"\n", (long long)e, (long long)e);
        fprintf(file, "0,%lld,%lld", (long long)piece, (long long)e + 1);
        put_number(file, exp(sum / (double)count));
        put_number(file, mhc_quantile(level, count, 0.1));
        put_number(file, mhc_quantile(level, count, 0.9));
        fputs(",0", file);
        put_field(file, h->revision[e]);
        put_field(file, "");
        putc('\n', file);
    }
    free(level);
    return level != NULL;
}

static bool is_found(const struct history *h, int64_t e, int64_t of) {
    char list[200], *rest = NULL;
    snprintf(list, sizeof list, "%s", h->verdicts);
    for (int64_t k = 0; k < h->rows; k++) {
        if (h->entry[k] != e || h->of[k] != of)
            continue;
        const char *word = strtok_r(list, ",", &rest);
        for (int v = 0; v < h->verdict[k] && word; v++)
            word = strtok_r(NULL, ",", &rest);
        return word && (!strcmp(word, "FASTER") || !strcmp(word, "SLOWER"));
    }
    return false;
}

static void put_line(FILE *file, const struct history *h, const struct point *line, int number, int64_t of) {
    for (int64_t e = 0; file && e < h->entries; e++) {
        const struct point *p = &line[e];
        if (!(p->level > 0))
            continue;
        if (p->piece == e) { /* it begins at its base */
            fprintf(file, "%d,%lld,%lld,1,,,0", number, (long long)e, (long long)e);
            put_field(file, h->base[e]);
            put_field(file, h->name[of]);
            putc('\n', file);
        }
        fprintf(file, "%d,%lld,%lld", number, (long long)p->piece, (long long)e + 1);
        put_number(file, p->level);
        put_number(file, p->low);
        put_number(file, p->high);
        fprintf(file, ",%d", is_found(h, e, of));
        put_field(file, h->revision[e]);
        put_field(file, h->name[of]);
        putc('\n', file);
    }
}

/* "2a1f00d+": seven digits, and whether the tree had changes that were not committed. */
static void short_revision(const char *revision, char text[16]) {
    snprintf(text, 16, "%.7s%s", revision, strstr(revision, "dirty") ? "+" : "");
}

/* A tick for each entry, of many for some of them. */
static void put_ticks(FILE *file, const struct history *h) {
    const int64_t step = (h->entries + 23) / 24;
    char text[16];
    fprintf(file, "ENTRIES = %lld\nXTICS = \"", (long long)h->entries);
    for (int64_t e = 0; e <= h->entries; e += step) {
        short_revision(e ? h->revision[e - 1] : h->base[0], text);
        for (char *c = text; *c; c++) /* gnuplot executes the text */
            *c = strchr("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+.", *c) ? *c : '?';
        fprintf(file, "%s'%s' %lld", e ? ", " : "", text, (long long)e);
    }
    fputs("\"\n", file);
}

static bool put_settings(const struct history *h, const struct figure_source *source, const struct ranked *ranked,
                         int lines, int64_t timed, char *why, size_t why_size) {
    char text[900], label[LABEL + 4];
    FILE *file = settings_open(source, FIGURE_HISTORY);
    if (file) {
        put_ticks(file, h);
        fprintf(file, "LINES = %d\narray LABEL[LINES]\n", lines);
        for (int k = 0; k < lines; k++) {
            const char *name = h->name[ranked[k].of];
            snprintf(label, sizeof label, "%.*s%s", LABEL, name, strlen(name) > LABEL ? "…" : "");
            fprintf(file, "LABEL[%d] = ", k + 1);
            put_string(file, label);
            putc('\n', file);
        }
    }
    snprintf(
        text, sizeof text,
        "Time of operations over commits, as a share of that with the first base, from %lld runs of regress. A point "
        "is the level of its base times the ratio that one run found; whiskers: its 99 %% interval; filled: a "
        "difference that was found twice. Thick: geometric mean of %lld cases; band: from their 10th to their 90th "
        "percentile. Lines: the cases that changed most. A base that no earlier run on this type of CPU had begins "
        "anew at 1.",
        (long long)h->entries, (long long)timed);
    put_caption(file, source, true, text);
    return data_close(file, source, FIGURE_HISTORY, why, why_size);
}

enum figure_outcome figure_history(const struct history *h, const struct figure_source *source, char *why,
                                   size_t size) {
    struct point *all = follow(h);
    struct ranked *ranked = NULL;
    const int64_t timed = all ? rank(h, all, &ranked) : -1;
    enum figure_outcome outcome = FIGURE_FAILED;
    if (timed < 0)
        snprintf(why, size, "out of memory");
    else if (!timed) {
        snprintf(why, size, "no run in it timed a case");
        outcome = FIGURE_SKIPPED;
    } else {
        const int lines = timed < SHOWN ? (int)timed : SHOWN;
        FILE *file = data_open(source, FIGURE_HISTORY, "line,piece,at,level,low,high,found,revision,case");
        bool good = put_all(file, h, all);
        for (int k = 0; k < lines; k++)
            put_line(file, h, all + ranked[k].of * h->entries, k + 1, ranked[k].of);
        good &= data_close(file, source, FIGURE_HISTORY, why, size);
        if (good && put_settings(h, source, ranked, lines, timed, why, size))
            outcome = FIGURE_WRITTEN;
    }
    free(ranked);
    free(all);
    return outcome;
}
