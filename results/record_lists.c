/* What of a record the file names itself: text attributes, and the columns, curves and scalars of its groups. */
#include "results/reader.h"

#include <stdlib.h>
#include <string.h>

#include "results/text.h"

struct names {
    char **item;
    int count;
    bool too_many, no_memory;
};

static bool add_name(struct names *names, const char *name) {
    names->too_many = names->count == RECORD_MOST_ITEMS;
    if (names->too_many)
        return false;
    if (!names->item)
        names->item = malloc(RECORD_MOST_ITEMS * sizeof *names->item);
    names->no_memory = !names->item || !(names->item[names->count] = strdup(name));
    names->count += !names->no_memory;
    return !names->no_memory;
}

static herr_t add_link(hid_t group, const char *name, const H5L_info_t *info, void *names) {
    (void)group, (void)info;
    return add_name(names, name) ? 0 : -1;
}

static herr_t add_attribute(hid_t object, const char *name, const H5A_info_t *info, void *names) {
    (void)object, (void)info;
    return add_name(names, name) ? 0 : -1;
}

static void free_names(struct names *names) {
    for (int i = 0; i < names->count; i++)
        free(names->item[i]);
    free(names->item);
    *names = (struct names){0};
}

/* Names of links or attributes in the order they were created in, or, where a tool dropped that order, alphabetically.
 */
static bool list_names(const struct record_reader *r, hid_t object, const char *what, bool attributes,
                       struct names *names) {
    for (int pass = 0; pass < 2; pass++) {
        const H5_index_t index = pass ? H5_INDEX_NAME : H5_INDEX_CRT_ORDER;
        free_names(names);
        const herr_t status = attributes ? H5Aiterate2(object, index, H5_ITER_INC, NULL, add_attribute, names)
                                         : H5Literate(object, index, H5_ITER_INC, NULL, add_link, names);
        if (status >= 0)
            return true;
        if (names->no_memory) { /* the other order would be another answer */
            free_names(names);
            return record_fail("%s: out of memory", r->path);
        }
    }
    free_names(names);
    return record_fail("%s: %s: damaged, or more than %d items", r->path, what, RECORD_MOST_ITEMS);
}

bool reader_facts(struct record_reader *r, hid_t object, const char *what, struct fact **facts, int *count) {
    struct names names = {0};
    if (!list_names(r, object, what, true, &names))
        return false;
    *facts = calloc((size_t)names.count + 1, sizeof **facts);
    for (int i = 0; *facts && i < names.count; i++) {
        char *value = read_text_attribute(object, names.item[i], r->file_bytes);
        if (!value)
            continue;
        if (!r->raw) { /* a suite has lines */
            text_clean(names.item[i]);
            (object == r->file && !strcmp(names.item[i], "suite") ? text_clean_lines : text_clean)(value);
        }
        (*facts)[(*count)++] = (struct fact){names.item[i], value};
        names.item[i] = NULL;
    }
    free_names(&names);
    return *facts || record_fail("%s: out of memory", r->path);
}

bool reader_list(struct record_reader *r, enum record_list which) {
    const enum layout_group g = list_info[which].group;
    struct series_list *list = &r->list[which];
    struct names names = {0};
    if (r->group[g] < 0)
        return true;
    if (!list_names(r, r->group[g], group_info[g].name, false, &names))
        return false;
    list->item = calloc((size_t)names.count + 1, sizeof *list->item);
    bool good = list->item || record_fail("%s: out of memory", r->path);
    for (int i = 0; good && i < names.count; i++) {
        hsize_t extent[4];
        struct series *s = &list->item[list->count];
        if (group_reserves(g, names.item[i]))
            continue;
        const enum verdict verdict = series_open(r, r->group[g], group_info[g].name, names.item[i],
                                                 list_info[which].axis == AXIS_NONE ? 1 : 2, r->rows, extent, s);
        good = verdict != VERDICT_BAD;
        if (verdict != VERDICT_GOOD)
            continue;
        if (s->is_status || (which != RECORD_LIST_COLUMNS && s->type != RECORD_REAL))
            series_close(s);
        else
            list->count++;
    }
    free_names(&names);
    return good;
}

static void free_list(struct series_list *list) {
    for (int i = 0; i < list->count; i++)
        series_close(&list->item[i]);
    free(list->item);
}

static void free_facts(struct fact *facts, int count) {
    for (int i = 0; i < count; i++) {
        free(facts[i].name);
        free(facts[i].value);
    }
    free(facts);
}

void reader_free_lists(struct record_reader *r) {
    for (int list = 0; list < RECORD_LISTS; list++)
        free_list(&r->list[list]);
    free_facts(r->attribute, r->attribute_count);
    free_facts(r->fact, r->fact_count);
}
