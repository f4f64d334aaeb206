/* Joining shards. */
#include "results/merge_rows.h"
#include "results/writer.h"

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

/* Is the value one of those that stand there, with "; " between them? */
static bool is_among(const char *all, const char *value) {
    const size_t length = strlen(value);
    const char *at = length ? strstr(all, value) : NULL;
    for (; at; at = strstr(at + 1, value))
        if ((at == all || (at >= all + 2 && !strncmp(at - 2, "; ", 2))) &&
            (!at[length] || !strncmp(at + length, "; ", 2)))
            return true;
    return !length;
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
static void borrow_bytes(struct borrowed *b, struct record_reader *r) {
    const int key = record_text_bytes(r, -1);
    b->schema.key_bytes = key > b->schema.key_bytes ? key : b->schema.key_bytes;
    for (int i = 0; i < b->schema.column_count; i++) {
        const int bytes = record_text_bytes(r, i), most = bytes > 1 ? bytes : 1;
        b->column_bytes[i] = most > b->column_bytes[i] ? most : b->column_bytes[i];
    }
}

static bool borrow_facts(struct borrowed *b, struct record_reader *r) {
    const int facts = b->schema.fact_count = record_fact_count(r);
    b->schema.facts = b->facts = calloc((size_t)facts + 1, sizeof *b->facts);
    b->joined = calloc((size_t)facts + 1, sizeof *b->joined);
    bool good = b->facts && b->joined ? true : record_fail("out of memory");
    for (int i = 0; good && i < facts; i++) {
        good = record_fact(r, i, &b->facts[i].name, &b->facts[i].value);
        if (good && !(b->facts[i].value = b->joined[i] = strdup(b->facts[i].value)))
            good = record_fail("out of memory");
    }
    return good;
}

/* Values of facts that no earlier part has. */
static bool join_facts(struct borrowed *b, struct record_reader *r) {
    for (int i = 0; i < b->schema.fact_count; i++) {
        const char *value = record_fact_called(r, b->facts[i].name);
        if (!value || is_among(b->joined[i], value))
            continue;
        char *longer = *b->joined[i] ? record_format("%s; %s", b->joined[i], value) : strdup(value);
        if (!longer)
            return record_fail("out of memory");
        free(b->joined[i]);
        b->facts[i].value = b->joined[i] = longer;
    }
    return true;
}

bool borrow_schema(struct borrowed *b, struct record_reader *r) {
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
        .cases = record_count(r),
    };
    for (int list = 0; list < RECORD_LISTS; list++)
        if (!borrow_list(b, r, (enum record_list)list))
            return false;
    b->schema.column_bytes = b->column_bytes = calloc((size_t)b->schema.column_count + 1, sizeof *b->column_bytes);
    if (!b->column_bytes)
        return record_fail("out of memory");
    borrow_bytes(b, r);
    return borrow_facts(b, r);
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

/* Bytes of numbers and texts that are gathered: cases of shards alternate, so a part fills blocks of rows in pieces. */
enum { GATHERED = 32 << 20 };

/* The part is opened for these rows alone: what was read of it would stay until it is closed. */
static bool copy_rows(struct record *merged, const struct merge_row *row, int64_t count, struct merge_parts *parts) {
    const char *path = parts->path[row->part];
    struct record_reader *part = merge_part_is_same(parts, row->part) ? record_open(path) : NULL;
    bool *wanted = part ? calloc((size_t)record_count(part) + 1, sizeof *wanted) : NULL;
    bool good = wanted || (part && record_fail("out of memory"));
    for (int64_t k = 0; good && k < count; k++)
        if ((good = merge_row_is_in(&row[k], part, path)))
            wanted[row[k].row] = true;
    good = good && record_copy_cases(merged, part, wanted, path);
    free(wanted);
    record_close(part);
    return good;
}

/* Row after row of the merged record, as many at a time as are gathered. */
static bool copy_parts(struct record *merged, const struct merge_rows *rows, struct merge_parts *parts,
                       tell_merge *tell) {
    const int count = parts->count;
    const int64_t step = writer_gather(merged, GATHERED), steps = (rows->cases + step - 1) / step;
    bool good = true;
    for (int64_t at = 0; good && at < steps; at++) {
        for (int k = 0; good && k < count; k++) {
            const struct merge_row *row;
            const int64_t some = merge_rows_of(rows, k, at * step, (at + 1) * step, &row);
            if (some == 0)
                continue;
            if (tell)
                tell(count + (at * count + k) / steps, 2 * (int64_t)count, parts->path[k]);
            good = copy_rows(merged, row, some, parts);
        }
        good = good && record_commit(merged);
    }
    return good;
}

/* What the merged record is to have, of one part after the other. */
static bool look_at(struct merge_parts *parts, struct borrowed *b, struct merge_rows *rows, tell_merge *tell) {
    bool good = true;
    for (int k = 0; good && k < parts->count; k++) {
        if (tell)
            tell(k, 2 * (int64_t)parts->count, parts->path[k]);
        struct record_reader *r = merge_part(parts, k);
        good = r && (k > 0 || borrow_schema(b, r)) && record_agrees(r, &b->schema, parts->path[k]) &&
               join_facts(b, r) && merge_rows_add(rows, r, k);
        if (good)
            borrow_bytes(b, r);
    }
    return good && merge_rows_find(rows, parts, b->schema.suite);
}

static bool merge_them(const char *out, struct merge_parts *parts, bool overwrite, struct record_gaps *gaps,
                       tell_merge *tell) {
    struct borrowed b = {0};
    struct merge_rows rows = {0};
    bool good = look_at(parts, &b, &rows, tell), done = true;
    for (int64_t k = 0; good && k < rows.count; k++)
        done = done && (!rows.row[k].taken || rows.row[k].done || rows.row[k].complete);
    b.schema.cases = rows.cases;
    b.schema.keys = rows.keys;
    merge_parts_close(parts, 1); /* the schema lives in the first */
    struct record *merged = good ? record_create(out, &b.schema, false, overwrite) : NULL;
    good = merged && copy_parts(merged, &rows, parts, tell) && find_gaps(merged, b.schema.suite, gaps);
    gaps->repeated = rows.repeated;
    if (merged && !good)
        record_discard(merged);
    else if (merged)
        good = record_finish_as(
            merged, (gaps->lines ? done && !gaps->missing : parts->complete) ? RECORD_COMPLETE : RECORD_INTERRUPTED,
            true);
    merge_rows_free(&rows);
    borrowed_free(&b);
    return good;
}

bool record_merge(const char *out, const char *const *paths, int count, bool overwrite, struct record_gaps *gaps,
                  tell_merge *tell) {
    struct record_gaps found = {0};
    struct merge_parts parts = {.path = paths, .count = count, .complete = true};
    if (!check_parts(out, paths, count))
        return false;
    const bool good = merge_parts_allocate(&parts) && merge_them(out, &parts, overwrite, &found, tell);
    merge_parts_close(&parts, 0);
    if (good && gaps)
        *gaps = found;
    else
        free(found.is_missing);
    return good;
}
