/* Which case of one record matches which of the other: by key. If each file was made with one backend, and one of
 * these is a path or a model of a GPU, the backend does not count. */
#include <stdlib.h>
#include <string.h>

#include "suites/case/options.h"
#include "suites/case/params.h"
#include "suites/gate/compare.h"

static const char option[] = " --backend ";

/* The backend in a key, "" for the default; its length in `length`. */
static const char *backend_in(const char *key, size_t *length) {
    const char *at = strstr(key, option);
    at = at ? at + strlen(option) : "";
    *length = strcspn(at, " ");
    return at;
}

/* The backend that all cases of a file share; cases of maps have none. false: there are several, or none. */
static bool only_backend(struct record_reader *file, char backend[COMPARE_BACKEND]) {
    const char *const *texts = record_texts(file, "key"), *const *study = record_texts(file, "study");
    bool found = false;
    for (int64_t k = 0; k < record_count(file); k++) {
        size_t length;
        const char *own = backend_in(texts[k], &length);
        if (study && !params_study_has(study[k], STUDY_RUNS))
            continue;
        if (length >= COMPARE_BACKEND || (found && (strlen(backend) != length || strncmp(backend, own, length))))
            return false;
        snprintf(backend, COMPARE_BACKEND, "%.*s", (int)length, own);
        found = true;
    }
    return found;
}

void compare_take_out(char *key, const char *name) {
    char *at = key ? strstr(key, name) : NULL;
    if (!at)
        return;
    const char *rest = at + strlen(name) + strcspn(at + strlen(name), " ");
    memmove(at, rest, strlen(rest) + 1);
}

/* Copies a key without what does not count: the backend where each file has its own, and what says how much of the
 * numbers is kept, because they are the same numbers. Beside a model, what says how long was measured does not count
 * either. NULL: out of memory. */
static char *plain(const char *key, bool whole, bool model) {
    static const char *const kept[] = {" --record ", " --measure "}, *const timed[] = {" --rounds ", " --budget ",
                                                                                       " --seed "};
    char *text = strdup(key);
    if (!whole)
        compare_take_out(text, option);
    for (size_t k = 0; k < sizeof kept / sizeof *kept; k++)
        compare_take_out(text, kept[k]);
    for (size_t k = 0; model && k < sizeof timed / sizeof *timed; k++)
        compare_take_out(text, timed[k]);
    return text;
}

static int by_text(const void *a, const void *b) {
    const struct compare_key *one = a, *other = b;
    const int order = strcmp(one->text, other->text);
    return order ? order : (one->index > other->index) - (one->index < other->index);
}

static bool read_keys(struct record_reader *file, bool whole, bool model, struct compare_keys *keys) {
    const char *const *texts = record_texts(file, "key");
    int64_t count = record_count(file);
    keys->whole = texts;
    keys->text = calloc((size_t)count + 1, sizeof *keys->text);
    keys->sorted = malloc((size_t)(count + 1) * sizeof *keys->sorted);
    for (; keys->text && keys->sorted && keys->count < count; keys->count++) {
        char *text = plain(texts[keys->count], whole, model);
        if (!text)
            return false;
        keys->text[keys->count] = text;
        keys->sorted[keys->count] = (struct compare_key){text, keys->count};
    }
    if (!keys->text || !keys->sorted)
        return false;
    qsort(keys->sorted, (size_t)count, sizeof *keys->sorted, by_text);
    return true;
}

bool compare_keys_read(struct compare *c) {
    const char *standard = params_find("backend")->standard;
    char backend[2][COMPARE_BACKEND] = {"", ""};
    for (int f = 0; f < 2; f++)
        if (!record_texts(c->file[f], "key"))
            return cannot("%s: no column `key`", c->path[f]), false;
    bool one = only_backend(c->file[COMPARE_BASE], backend[COMPARE_BASE]) &&
               only_backend(c->file[COMPARE_NEW], backend[COMPARE_NEW]);
    bool path = strchr(backend[COMPARE_BASE], '/') ||
                strchr(backend[COMPARE_NEW], '/'); /* cuda is not a later build of cpu32 */
    bool model = !strncmp(backend[COMPARE_BASE], BACKEND_MODEL, strlen(BACKEND_MODEL)) ||
                 !strncmp(backend[COMPARE_NEW], BACKEND_MODEL, strlen(BACKEND_MODEL));
    bool differ = one && (path || model) && strcmp(backend[COMPARE_BASE], backend[COMPARE_NEW]);
    c->model = differ && model;
    for (int f = 0; f < 2; f++) {
        if (differ)
            memcpy(c->backend[f], backend[f], COMPARE_BACKEND);
        if (!read_keys(c->file[f], !differ, c->model, &c->keys[f]))
            return cannot("out of memory"), false;
    }
    size_t used = strlen(c->report.note);
    if (differ)
        snprintf(c->report.note + used, sizeof c->report.note - used,
                 "backend: %s, was %s; cases meet that differ in nothing else\n",
                 *backend[COMPARE_NEW] ? backend[COMPARE_NEW] : standard,
                 *backend[COMPARE_BASE] ? backend[COMPARE_BASE] : standard);
    return true;
}

/* The first of the sorted keys that is not less than this text. */
static int64_t first_of(const struct compare_keys *keys, const char *text) {
    int64_t low = 0, high = keys->count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (strcmp(keys->sorted[middle].text, text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The case with this whole key among those that share its text; -1: none. */
static int64_t whole_in(const struct compare_keys *keys, const char *text, const char *whole) {
    for (int64_t k = first_of(keys, text); k < keys->count && !strcmp(keys->sorted[k].text, text); k++)
        if (!strcmp(keys->whole[keys->sorted[k].index], whole))
            return keys->sorted[k].index;
    return -1;
}

int64_t compare_partner(const struct compare_keys *other, const struct compare_keys *own, int64_t index) {
    const char *text = own->text[index];
    const int64_t same = whole_in(other, text, own->whole[index]);
    if (same >= 0)
        return same;
    for (int64_t k = first_of(other, text); k < other->count && !strcmp(other->sorted[k].text, text); k++)
        if (whole_in(own, text, other->whole[other->sorted[k].index]) < 0)
            return other->sorted[k].index;
    return -1;
}

void compare_keys_release(struct compare_keys *keys) {
    for (int64_t k = 0; k < keys->count; k++)
        free(keys->text[k]);
    free(keys->text);
    free(keys->sorted);
    *keys = (struct compare_keys){0};
}
