/* Joining shards. */
#include "results/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void borrowed_free(struct borrowed *b) {
    for (int i = 0; b->joined && i < b->schema.fact_count; i++)
        free(b->joined[i]);
    free(b->joined);
    free(b->facts);
    for (int list = 0; list < RECORD_LISTS; list++)
        free(b->items[list]);
    free(b->subjects);
    free(b->metrics);
    free(b->column_bytes);
}

/* Distinct values of one fact in all parts, joined. */
static char *join_fact(struct record_reader *const *parts, int count, const char *wanted) {
    char *all = strdup("");
    for (int k = 0; all && k < count; k++) {
        const char *value = NULL;
        for (int i = 0; i < record_fact_count(parts[k]) && !value; i++) {
            const char *name, *candidate;
            if (record_fact(parts[k], i, &name, &candidate) && !strcmp(name, wanted))
                value = candidate;
        }
        bool known = !value;
        for (int j = 0; j < k && !known; j++)
            for (int i = 0; i < record_fact_count(parts[j]) && !known; i++) {
                const char *name, *earlier;
                known = record_fact(parts[j], i, &name, &earlier) && !strcmp(name, wanted) && !strcmp(earlier, value);
            }
        if (known)
            continue;
        char *longer = *all ? record_format("%s; %s", all, value) : strdup(value);
        free(all);
        all = longer;
    }
    return all;
}

static bool borrow_list(struct borrowed *b, struct record_reader *r, enum record_list list) {
    const struct list_info *info = &list_info[list];
    const bool columns = list == RECORD_LIST_COLUMNS;
    const int count = record_list_count(r, list);
    void *items = b->items[list] = calloc((size_t)count + 1, sizeof(struct record_column));
    *(const void **)((char *)&b->schema + info->items) = items;
    *(int *)((char *)&b->schema + info->count) = count;
    bool good = items || record_fail("out of memory");
    for (int i = 0; good && i < count; i++)
        good = columns ? record_column(r, i, (struct record_column *)items + i)
                       : record_list_curve(r, list, i, (struct record_curve *)items + i);
    return good;
}

/* Room for the longest text that any part has room for. */
static bool borrow_bytes(struct borrowed *b, struct record_reader *const *parts, int count) {
    b->schema.column_bytes = b->column_bytes = calloc((size_t)b->schema.column_count + 1, sizeof *b->column_bytes);
    if (!b->column_bytes)
        return record_fail("out of memory");
    for (int k = 0; k < count; k++) {
        const int key = record_text_bytes(parts[k], -1);
        b->schema.key_bytes = key > b->schema.key_bytes ? key : b->schema.key_bytes;
        for (int i = 0; i < b->schema.column_count; i++) {
            const int bytes = record_text_bytes(parts[k], i);
            b->column_bytes[i] = bytes > b->column_bytes[i] ? bytes : b->column_bytes[i];
        }
    }
    for (int i = 0; i < b->schema.column_count; i++)
        b->column_bytes[i] = b->column_bytes[i] ? b->column_bytes[i] : 1;
    return true;
}

static bool borrow_facts(struct borrowed *b, struct record_reader *const *parts, int count) {
    const int facts = b->schema.fact_count = record_fact_count(parts[0]);
    b->schema.facts = b->facts = calloc((size_t)facts + 1, sizeof *b->facts);
    b->joined = calloc((size_t)facts + 1, sizeof *b->joined);
    bool good = b->facts && b->joined ? true : record_fail("out of memory");
    for (int i = 0; good && i < facts; i++) {
        good = record_fact(parts[0], i, &b->facts[i].name, &b->facts[i].value);
        if (good && !(b->facts[i].value = b->joined[i] = join_fact(parts, count, b->facts[i].name)))
            good = record_fail("out of memory");
    }
    return good;
}

bool borrow_schema(struct borrowed *b, struct record_reader *const *parts, int count) {
    struct record_reader *r = parts[0];
    const int subjects = record_subject_count(r), metrics = record_metric_count(r);
    b->subjects = calloc((size_t)subjects + 1, sizeof *b->subjects);
    b->metrics = calloc((size_t)metrics + 1, sizeof *b->metrics);
    if (!b->subjects || !b->metrics)
        return record_fail("out of memory");
    for (int i = 0; i < metrics; i++)
        b->metrics[i] = record_metric(r, i);
    for (int i = 0; i < subjects; i++)
        b->subjects[i] = record_subject(r, i);
    b->schema = (struct record_schema){
        .layers = record_max_layers(r),
        .streams = record_max_streams(r),
        .program = record_attribute(r, "program"),
        .command = record_attribute(r, "command"),
        .suite = record_attribute(r, "suite"),
        .subjects = b->subjects,
        .subject_count = subjects,
        .rounds = record_max_rounds(r),
        .points = record_max_points(r),
        .metrics = b->metrics,
        .metric_count = metrics,
    };
    for (int k = 0; k < count; k++)
        b->schema.cases += record_count(parts[k]);
    for (int list = 0; list < RECORD_LISTS; list++)
        if (!borrow_list(b, r, (enum record_list)list))
            return false;
    return borrow_bytes(b, parts, count) && borrow_facts(b, parts, count);
}

/* OUT.part will be replaced; a shard of that name would be lost with it. */
static bool check_parts(const char *out, const char *const *paths, int count) {
    struct stat target, part;
    char *target_path = record_format("%s" RECORD_SUFFIX, out);
    const bool there = target_path && !stat(target_path, &target);
    free(target_path);
    for (int i = 0; there && i < count; i++)
        if (!stat(paths[i], &part) && part.st_dev == target.st_dev && part.st_ino == target.st_ino)
            return record_fail("%s: would be overwritten while it is read; give the result another name", paths[i]);
    return count > 0 || record_fail("nothing to merge");
}

/* The suite text has one line per case, which is its key; another text has no gaps. */
static bool find_gaps(const struct record *merged, const char *suite, struct record_gaps *gaps) {
    char *copy = strdup(suite ? suite : ""), *rest = NULL;
    gaps->is_missing = copy ? calloc(strlen(copy) + 1, sizeof(bool)) : NULL;
    const bool good = gaps->is_missing != NULL;
    for (char *line = good ? strtok_r(copy, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "--", 2))
            continue;
        const bool missing = !record_has(merged, line);
        if (missing && !gaps->missing++)
            snprintf(gaps->first, sizeof gaps->first, "%s", line);
        gaps->is_missing[gaps->lines++] = missing;
    }
    free(copy);
    return good || record_fail("out of memory");
}

static bool merge_open(const char *out, const char *const *paths, struct record_reader *const *parts, int count,
                       bool overwrite, struct record_gaps *gaps) {
    struct borrowed b = {0};
    bool good = borrow_schema(&b, parts, count), complete = true;
    for (int i = 0; good && i < count; i++) {
        complete = complete && record_complete(parts[i]);
        good = record_agrees(parts[i], &b.schema, paths[i]);
    }
    struct record *merged = good ? record_create(out, &b.schema, false, overwrite) : NULL;
    for (int i = 0; merged && good && i < count; i++)
        good = record_copy_cases(merged, parts[i], true, paths[i]);
    good = good && merged && find_gaps(merged, b.schema.suite, gaps);
    if (merged && !good)
        record_discard(merged);
    else if (merged)
        good = record_finish_as(merged, complete && !gaps->missing ? RECORD_COMPLETE : RECORD_INTERRUPTED, true);
    borrowed_free(&b);
    return good && merged;
}

bool record_merge(const char *out, const char *const *paths, int count, bool overwrite, struct record_gaps *gaps) {
    struct record_gaps found = {0};
    if (!check_parts(out, paths, count))
        return false;
    struct record_reader **parts = calloc((unsigned)count, sizeof *parts);
    bool good = parts || record_fail("out of memory");
    for (int i = 0; good && i < count; i++)
        good = (parts[i] = record_open(paths[i])) != NULL;
    good = good && merge_open(out, paths, parts, count, overwrite, &found);
    for (int i = 0; parts && i < count; i++)
        record_close(parts[i]);
    free(parts);
    if (good && gaps)
        *gaps = found;
    else
        free(found.is_missing);
    return good;
}
