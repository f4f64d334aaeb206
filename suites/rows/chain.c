#include "suites/rows/chain.h"

#include <stdio.h>

#include "cpu_ref/library.h"

const char *row_operation(const struct mhc_row *row) {
    const char *dot = strrchr(row->name, '.');
    return dot ? dot + 1 : "";
}

const struct mhc_row *reference_row(const char *kind, const char *operation) {
    char name[128];
    snprintf(name, sizeof name, "%.*s.%s", (int)strcspn(kind, "."), kind, operation);
    return mhc_row_find(&mhc_cpu64, name);
}

static bool same_argument(const struct mhc_arg *a, const struct mhc_arg *b) {
    return b->name && !strcmp(a->name, b->name) && !strcmp(a->extents, b->extents) && a->role == b->role &&
           a->direction == b->direction;
}

const char *rows_differ(const struct mhc_row *a, const struct mhc_row *b) {
    int k = 0;
    while (a->args[k].name && same_argument(&a->args[k], &b->args[k]))
        k++;
    return a->args[k].name ? a->args[k].name : b->args[k].name;
}

bool row_reads_save(const struct mhc_row *row) {
    return !strcmp(row_operation(row), "backward") || !strcmp(row_operation(row), "backward_y");
}

/* Whether a row may keep something for the backward of its kind. The library decides whether it does. */
static bool may_save(const struct mhc_row *row) {
    return row->save_bytes || !strcmp(row_operation(row), "pre") || !strcmp(row_operation(row), "forward");
}

/* Whether a row writes what one of those behind it reads. */
static bool feeds(const struct mhc_row *row, const struct mhc_row *const *behind, int count) {
    for (const struct mhc_arg *out = row->args; out->name; out++)
        for (int k = 0; k < count && out->direction == MHC_OUT; k++)
            if (mhc_arg_find(behind[k], out->name, MHC_IN))
                return true;
    return false;
}

int chain_of(const struct mhc_row *row, bool inputs, const struct mhc_row *chain[CHAIN_ROWS]) {
    size_t kind = strcspn(row->name, ".") + 1;
    const struct mhc_row *const *at = mhc_cpu64.rows;
    bool saved = !row_reads_save(row);
    int count = 1;
    while (*at != row)
        at++;
    chain[CHAIN_ROWS - 1] = row;
    while (at-- > mhc_cpu64.rows && count < CHAIN_ROWS) {
        bool keeps = !saved && may_save(*at), of_kind = !strncmp((*at)->name, row->name, kind);
        if (!of_kind || !(keeps || (inputs && feeds(*at, chain + CHAIN_ROWS - count, count))))
            continue;
        saved |= may_save(*at);
        chain[CHAIN_ROWS - ++count] = *at;
    }
    memmove(chain, chain + CHAIN_ROWS - count, (size_t)count * sizeof *chain);
    return count;
}

const struct mhc_row *chain_row(const struct backend *b, const char *form, const struct mhc_row *reference,
                                const struct mhc_case *c, const char **why) {
    char kind[64];
    const struct mhc_row *row = form ? backend_row(b, form, row_operation(reference), c, why) : NULL;
    snprintf(kind, sizeof kind, "%.*s", (int)strcspn(reference->name, "."), reference->name);
    return row ? row : backend_row(b, kind, row_operation(reference), c, why);
}

static const struct crossing crossings[] = {
    {"post_pre", "x_next", "pre", "x", "", "", "", ""},
    {"backward_y", "grad_x", "post_backward_y", "grad_x_next", "post", "post_below", "grad_y", "grad_y_below"}};

const struct crossing *crossing_of(const struct mhc_row *row) {
    for (size_t k = 0; k < sizeof crossings / sizeof *crossings; k++)
        if (!strcmp(crossings[k].operation, row_operation(row)))
            return &crossings[k];
    return NULL;
}
