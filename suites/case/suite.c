#include "suites/case/suite.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/record.h"
#include "suites/case/axis.h"
#include "suites/case/from.h"
#include "suites/case/presets.h"

enum { MAX_WORDS = 256, MAX_AXES = 64, KEY_SIZE = 2048 };
#define MAX_CASES ((int64_t)2000000)

/* A case that was made. */
struct made {
    int64_t index;
    char key[];
};

struct reader {
    struct suite *suite;
    struct params standard; /* what `set` lines have made of the defaults */
    int64_t room;
    void *made; /* a tsearch tree of struct made */
    int line;
    char *why;
    size_t why_size;
    char place[300]; /* "file:line: " */
};

static bool fail(struct reader *r, const char *what) {
    snprintf(r->why, r->why_size, "%s%s", r->place, what);
    return false;
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const struct made *)a)->key, ((const struct made *)b)->key);
}

/* The case of a key, or the number of cases for a new one, which is remembered. */
static bool remember(struct reader *r, const char *key, int64_t *index) {
    size_t length = strlen(key) + 1;
    struct made *own = malloc(sizeof *own + length), **found = NULL;
    if (own) {
        own->index = r->suite->count;
        memcpy(own->key, key, length);
        found = tsearch(own, &r->made, by_key);
    }
    *index = found ? (*found)->index : -1;
    if (!found || *found != own)
        free(own);
    return found || fail(r, "out of memory");
}

static bool add_case(struct reader *r, const struct params *p, bool patterned) {
    struct suite *s = r->suite;
    char key[KEY_SIZE], why[400];
    int64_t index;
    if (!params_check(p, why, sizeof why))
        return fail(r, why);
    params_key(p, key, sizeof key);
    if (strlen(key) > RECORD_KEY_BYTES)
        return fail(r, "the options of a case are too long for one record");
    if (!remember(r, key, &index))
        return false;
    if (index < s->count) /* a line that names the operation counts, wherever it stands */
        return s->patterned[index] &= patterned, s->repeated++, true;
    if (s->count == MAX_CASES)
        return fail(r, "more than 2000000 cases");
    if (s->count == r->room) {
        int64_t room = r->room ? 2 * r->room : 64;
        struct params *cases = realloc(s->cases, (size_t)room * sizeof *cases);
        int *lines = cases ? realloc(s->lines, (size_t)room * sizeof *lines) : NULL;
        bool *all_patterned = lines ? realloc(s->patterned, (size_t)room) : NULL;
        s->cases = cases ? cases : s->cases;
        s->lines = lines ? lines : s->lines;
        s->patterned = all_patterned ? all_patterned : s->patterned;
        if (!all_patterned)
            return fail(r, "out of memory");
        r->room = room;
    }
    s->cases[s->count] = *p;
    s->patterned[s->count] = patterned;
    s->lines[s->count++] = r->line;
    return true;
}

/* What the block of a case does not use goes back to its default; a line that gave it to this block alone is told. */
static void drop_unused(struct reader *r, struct params *p, const struct axis *axes, int count, bool several_blocks) {
    char why[64], init[64] = "";
    if (connection_has_logits(params_connection(p))) /* it has a Sinkhorn, but d in one start alone */
        snprintf(init, sizeof init, " --init %.40s", params_word(p, "init"));
    for (int k = 0; k < params_count; k++) {
        const struct param *param = &params_table[k];
        if (!(param->role & ROLE_RESETS) || !params_knows(p, param) || params_matters(p, param))
            continue;
        params_set(p, param, param->standard, why, sizeof why);
        for (int a = 0; a < count && !several_blocks; a++)
            if (axes[a].param == param)
                snprintf(r->suite->ignored, sizeof r->suite->ignored,
                         "%s--%s has no effect in --connection %.40s%s and is left out", r->place, param->name,
                         params_word(p, "block"), init);
    }
}

/* The odometer of the axes, whose last wheel turns fastest; zipped wheels turn together with their first. False when
 * every combination has been. */
static bool turn(const struct axis *axes, int count, int64_t *position) {
    for (int wheel = count - 1; wheel >= 0; wheel--) {
        if (axis_follows(axes, wheel))
            continue;
        bool turned = position[wheel] + 1 < axes[wheel].count;
        for (int a = wheel; a < count; a++)
            if (a == wheel || (axes[wheel].zip && axes[a].zip == axes[wheel].zip))
                position[a] = turned ? position[a] + 1 : 0;
        if (turned)
            return true;
    }
    return false;
}

static bool set_all(struct reader *r, struct params *p, const struct axis *axes, int count, const int64_t *position) {
    char why[400];
    for (int a = 0; a < count; a++)
        if (!params_set(p, axes[a].param, axes[a].values[position[a]], why, sizeof why))
            return fail(r, why);
    return true;
}

/* The cases of one combination: several where a file brings seeds. */
static bool add_combination(struct reader *r, const struct axis *axes, int count, const int64_t *position) {
    struct params p = r->standard;
    char why[400];
    const struct param *given[MAX_AXES];
    const struct axis *operations = NULL;
    bool several_blocks = false, streams_given = false;
    for (int a = 0; a < count; a++) {
        given[a] = axes[a].param;
        operations = !strcmp(given[a]->name, "operation") ? &axes[a] : operations;
        bool names_block = !strcmp(given[a]->name, "block") || !strcmp(given[a]->name, "operation");
        several_blocks |= names_block && axes[a].count > 1;
        streams_given |= !strcmp(given[a]->name, "streams");
    }
    if (!set_all(r, &p, axes, count, position))
        return false;
    if (params_one_stream(&p) && (several_blocks || !streams_given))
        p.streams = 1; /* whatever the other blocks of the line have */
    /* What was given stays, even where it is the default. */
    if (presets_apply(&p) && !set_all(r, &p, axes, count, position))
        return false;
    const bool from = p.from[0] && params_knows(&p, params_find("from"));
    const int64_t seeds = from ? from_seeds(&p, given, count) : 1;
    if (from && !from_apply(&p, given, count, why, sizeof why))
        return fail(r, why);
    for (int a = 0; a < count; a++)
        if (!params_knows(&p, given[a])) {
            snprintf(why, sizeof why, "--%s has no meaning in --study %s", given[a]->name, params_word(&p, "study"));
            return fail(r, why);
        }
    drop_unused(r, &p, axes, count, several_blocks);
    for (int64_t seed = 1; seed <= seeds; seed++) {
        p.seed = seeds > 1 ? seed : p.seed;
        if (!add_case(r, &p, operations && !axis_names(operations, p.operation)))
            return false;
    }
    return true;
}

/* Cases of every combination of the axes; or their first values become the defaults of the lines that follow. */
static bool expand(struct reader *r, const struct axis *axes, int count, bool as_default) {
    int64_t position[MAX_AXES] = {0};
    if (axis_combinations(axes, count) > (double)MAX_CASES) {
        char why[400];
        snprintf(why, sizeof why, "%.3g cases on one line, more than %lld", axis_combinations(axes, count),
                 (long long)MAX_CASES);
        return fail(r, why);
    }
    if (as_default)
        return set_all(r, &r->standard, axes, count, position);
    do
        if (!add_combination(r, axes, count, position))
            return false;
    while (turn(axes, count, position));
    return true;
}

/* --weights has long been a word (hold, regenerate); any other value is the file of a model, which is --from. */
static bool names_file(const struct param *weights, const char *value) {
    struct params unused;
    char first[PARAM_TEXT_SIZE], why[400];
    params_defaults(&unused);
    snprintf(first, sizeof first, "%.*s", (int)strcspn(value, ","), value);
    return !params_set(&unused, weights, first, why, sizeof why);
}

/* `own` words are the line's, the others overrides: what is wrong with the latter has no place in a file. */
static bool read_options(struct reader *r, char *const *words, int count, int own, bool as_default) {
    struct axis axes[MAX_AXES] = {{0}};
    int axis_count = 0, zips = 0;
    bool good = true;
    char why[400], first_of_place = r->place[0];
    for (int k = 0; k < count && good; k++) {
        if (k >= own)
            r->place[0] = 0;
        char name[64];
        const char *equal = strchr(words[k], '='), *value = equal ? equal + 1 : k + 1 < count ? words[k + 1] : NULL;
        snprintf(name, sizeof name, "%.*s", equal ? (int)(equal - words[k]) : 63, words[k]);
        bool option = !strncmp(name, "--", 2);
        const struct param *param = option ? params_find(name + 2) : NULL;
        if (param && value && !strcmp(param->name, "weights") && names_file(param, value))
            param = params_find("from");
        if (!param && strcmp(name, "--zip")) {
            snprintf(why, sizeof why,
                     option ? "unknown option %s (mhcbench list --options shows all)" : "%s: not an option", name);
            good = fail(r, why);
        } else if (!value || (!equal && !strncmp(value, "--", 2))) {
            snprintf(why, sizeof why, "%s needs a value", name);
            good = fail(r, why);
        } else if (!param) {
            good = axis_zip(axes, axis_count, ++zips, value, why, sizeof why) || fail(r, why);
        } else {
            int a = 0; /* an option given again, by an override, replaces the first and steps alone */
            while (a < axis_count && axes[a].param != param)
                a++;
            axis_release(&axes[a]);
            axis_count = a == axis_count ? a + 1 : axis_count;
            good = axis_read(&axes[a], param, value, why, sizeof why) || fail(r, why);
            if (good && as_default && axes[a].count != 1)
                good = fail(r, "set takes single values, no lists");
        }
        k += !equal;
    }
    if (good) {
        r->place[0] = first_of_place;
        good = expand(r, axes, axis_count, as_default);
    }
    for (int a = 0; a < axis_count; a++)
        axis_release(&axes[a]);
    return good;
}

static bool read_line(struct reader *r, char *line, char *const *overrides, int override_count) {
    char *words[MAX_WORDS];
    int count = 0;
    line[strcspn(line, "#")] = 0;
    for (char *word = strtok(line, " \t"); word; word = strtok(NULL, " \t")) {
        if (count + override_count >= MAX_WORDS)
            return fail(r, "too many words");
        words[count++] = word;
    }
    if (!count)
        return true;
    bool as_default = !strcmp(words[0], "set");
    int own = count - as_default;
    if (!as_default)
        for (int k = 0; k < override_count; k++)
            words[count++] = overrides[k];
    return read_options(r, words + as_default, count - as_default, own, as_default);
}

/* The next line of a file without its end. false: there is none, or it is not one of a text. */
static bool next_line(struct reader *r, FILE *file, char *line, size_t size, bool *good) {
    size_t length = 0;
    int c = getc(file);
    if (c == EOF)
        return false;
    snprintf(r->place, sizeof r->place, "%.200s:%d: ", r->suite->name, ++r->line);
    for (; c != EOF && c != '\n'; c = getc(file)) {
        if (c == '\r') /* of a file that has been on Windows */
            c = ' ';
        if ((c < ' ' && c != '\t') || c == 127)
            return *good = fail(r, "not a text file");
        if (length + 1 == size)
            return *good = fail(r, "line too long");
        line[length++] = (char)c;
    }
    line[length] = 0;
    return true;
}

static bool read_lines(struct reader *r, FILE *file, char *const *overrides, int override_count) {
    char line[8192];
    bool good = true;
    while (good && next_line(r, file, line, sizeof line, &good))
        good = read_line(r, line, overrides, override_count);
    if (good && ferror(file))
        good = (snprintf(r->why, r->why_size, "%s: %s", r->suite->name, strerror(errno)), false);
    fclose(file);
    r->place[0] = 0;
    if (good && !r->suite->count)
        return snprintf(r->why, r->why_size, "%s: no cases in it", r->suite->name), false;
    return good;
}

static bool write_text(struct suite *s) {
    size_t size = 0;
    FILE *out = open_memstream(&s->text, &size);
    if (!out)
        return false;
    for (int64_t k = 0; k < s->count; k++) {
        char key[KEY_SIZE];
        params_key(&s->cases[k], key, sizeof key);
        fprintf(out, "%s\n", key);
    }
    return fclose(out) == 0;
}

static bool end_reading(struct reader *r, bool good) {
    tdestroy(r->made, free);
    if (good && !write_text(r->suite))
        good = fail(r, "out of memory");
    if (!good)
        suite_release(r->suite);
    return good;
}

bool suite_read(struct suite *s, const char *path, char *const *overrides, int override_count, char *why,
                size_t why_size) {
    struct reader r = {.suite = s, .why = why, .why_size = why_size};
    *s = (struct suite){.name = path ? path : "command line"};
    params_defaults(&r.standard);
    FILE *file = path ? fopen(path, "r") : NULL;
    if (path && !file)
        return snprintf(why, why_size, "%s: %s", path, strerror(errno)), false;
    return end_reading(&r, path ? read_lines(&r, file, overrides, override_count)
                                : read_options(&r, overrides, override_count, 0, false));
}

bool suite_read_text(struct suite *s, const char *text, char *why, size_t why_size) {
    struct reader r = {.suite = s, .why = why, .why_size = why_size};
    *s = (struct suite){.name = "suite"};
    params_defaults(&r.standard);
    FILE *file = text && *text ? fmemopen((void *)text, strlen(text), "r") : NULL;
    if (!file)
        return snprintf(why, why_size, "suite: no text"), false;
    return end_reading(&r, read_lines(&r, file, NULL, 0));
}

bool suite_keep(struct suite *s, const bool *wanted) {
    int64_t kept = 0;
    for (int64_t k = 0; k < s->count; k++)
        if (wanted[k]) {
            s->cases[kept] = s->cases[k];
            s->patterned[kept] = s->patterned[k];
            s->lines[kept++] = s->lines[k];
        }
    s->count = kept;
    free(s->text);
    s->text = NULL;
    return write_text(s);
}

void suite_release(struct suite *s) {
    free(s->cases);
    free(s->lines);
    free(s->patterned);
    free(s->text);
    *s = (struct suite){0};
}
