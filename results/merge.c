/* Joining shards. */
#include "results/merge_rows.h"
#include "results/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

/* Distinct values of one fact in all parts, joined; NULL: out of memory. */
static char *join_fact(struct record_reader *const *parts, int count, const char *wanted) {
    const char **seen = malloc((size_t)count * sizeof *seen);
    char *all = seen ? strdup("") : NULL;
    for (int k = 0, known = 0; all && k < count; k++) {
        const char *value = record_fact_called(parts[k], wanted);
        int j = 0;
        while (value && j < known && strcmp(seen[j], value))
            j++;
        if (!value || j < known)
            continue;
        seen[known++] = value;
        char *longer = *all ? record_format("%s; %s", all, value) : strdup(value);
        free(all);
        all = longer;
    }
    free(seen);
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
        .mixing_rows = record_max_mixing_rows(r),
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

typedef void tell_merge(int64_t done, int64_t total, const char *part);

/* Bytes of numbers and texts that are gathered. Cases of shards alternate, so a part fills a block of rows in pieces. */
enum { GATHERED = 32 << 20 };

/* The part is opened for these rows alone: what was read of it would stay until it is closed. */
static bool copy_rows(struct record *merged, const struct merge_row *row, int64_t count, const char *path) {
    struct record_reader *part = record_open(path);
    const char *const *key = part ? record_texts(part, "key") : NULL;
    bool *wanted = key ? calloc((size_t)record_count(part) + 1, sizeof *wanted) : NULL;
    bool good = wanted || (key && record_fail("out of memory"));
    for (int64_t k = 0; good && k < count; k++) {
        good = (row[k].row < record_count(part) && !strcmp(key[row[k].row], row[k].key)) ||
               record_fail("%s: has changed while it was read", path);
        if (good)
            wanted[row[k].row] = true;
    }
    good = good && record_copy_cases(merged, part, wanted, path);
    free(wanted);
    record_close(part);
    return good;
}

/* Row after row of the merged record, as many at a time as are gathered. */
static bool copy_parts(struct record *merged, const struct merge_rows *rows, const char *const *paths, int count,
                       tell_merge *tell) {
    const int64_t step = writer_gather(merged, GATHERED), steps = (rows->cases + step - 1) / step;
    bool good = true;
    for (int64_t at = 0; good && at < steps; at++) {
        for (int k = 0; good && k < count; k++) {
            const struct merge_row *row;
            const int64_t some = merge_rows_of(rows, k, at * step, (at + 1) * step, &row);
            if (tell)
                tell(count + (at * count + k) / steps, 2 * (int64_t)count, paths[k]);
            good = some == 0 || copy_rows(merged, row, some, paths[k]);
        }
        good = good && record_commit(merged);
    }
    return good;
}

static bool merge_open(const char *out, const char *const *paths, struct record_reader **parts, int count,
                       bool overwrite, struct record_gaps *gaps, tell_merge *tell) {
    struct borrowed b = {0};
    struct merge_rows rows = {0};
    bool good = borrow_schema(&b, parts, count), done = true, ended = true;
    for (int i = 0; good && i < count; i++) {
        good = record_agrees(parts[i], &b.schema, paths[i]);
        ended = ended && record_complete(parts[i]);
    }
    good = good && merge_rows_find(&rows, parts, paths, count, b.schema.suite);
    for (int64_t k = 0; good && k < rows.count; k++)
        done = done && (!rows.row[k].taken || rows.row[k].done || record_complete(parts[rows.row[k].part]));
    b.schema.cases = rows.cases;
    b.schema.keys = rows.keys;
    for (int k = 1; k < count; k++) /* the schema lives in the first */
        record_close(parts[k]), parts[k] = NULL;
    struct record *merged = good ? record_create(out, &b.schema, false, overwrite) : NULL;
    good = merged && copy_parts(merged, &rows, paths, count, tell) && find_gaps(merged, b.schema.suite, gaps);
    gaps->repeated = rows.repeated;
    if (merged && !good)
        record_discard(merged);
    else if (merged)
        good = record_finish_as(
            merged, (gaps->lines ? done && !gaps->missing : ended) ? RECORD_COMPLETE : RECORD_INTERRUPTED, true);
    merge_rows_free(&rows);
    borrowed_free(&b);
    return good;
}

/* Every part is an open file. */
static void allow_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

bool record_merge(const char *out, const char *const *paths, int count, bool overwrite, struct record_gaps *gaps,
                  tell_merge *tell) {
    struct record_gaps found = {0};
    if (!check_parts(out, paths, count))
        return false;
    allow_files();
    struct record_reader **parts = calloc((unsigned)count, sizeof *parts);
    bool good = parts || record_fail("out of memory");
    for (int i = 0; good && i < count; i++) {
        if (tell)
            tell(i, 2 * (int64_t)count, paths[i]);
        good = (parts[i] = record_open(paths[i])) != NULL;
    }
    good = good && merge_open(out, paths, parts, count, overwrite, &found, tell);
    for (int i = 0; parts && i < count; i++)
        record_close(parts[i]);
    free(parts);
    if (good && gaps)
        *gaps = found;
    else
        free(found.is_missing);
    return good;
}
