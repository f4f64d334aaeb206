/* Some cases of an open record. What had been read of all of them is read again for those. */
#include <stdlib.h>
#include <string.h>

#include "results/reader.h"

int64_t record_number(const struct record_reader *r, int64_t index) {
    return r->number ? r->number[index] : index;
}

/* The rows and numbers of the chosen, and what is known of every case since the file was opened. */
static void keep(struct record_reader *r, const bool *chosen, int64_t *row, int64_t *number) {
    int64_t kept = 0;
    const char **const text = r->fixed[OWN_STATUS].texts;
    int64_t *const status = r->fixed[OWN_STATUS].values, *const layers = r->fixed[OWN_LAYERS].values;
    for (int64_t i = 0; i < r->count; i++) {
        if (!chosen[i])
            continue;
        row[kept] = reader_row(r, i);
        number[kept] = record_number(r, i);
        status[kept] = status[i];
        if (text)
            text[kept] = text[i];
        layers[kept] = layers[i];
        if (r->computed)
            memmove(r->computed + kept * r->flags, r->computed + i * r->flags, (size_t)r->flags);
        kept++;
    }
    r->count = kept;
}

bool record_select(struct record_reader *r, const bool *chosen) {
    int64_t *row = malloc(((size_t)r->count + 1) * sizeof *row), *number = malloc(((size_t)r->count + 1) * sizeof *row);
    if (!row || !number) {
        free(row);
        free(number);
        return record_fail("%s: out of memory", r->path);
    }
    keep(r, chosen, row, number);
    free(r->row);
    free(r->number);
    r->row = row;
    r->number = number;
    for (int i = 0; i < DATASETS; i++)
        if (i != OWN_STATUS && i != OWN_LAYERS)
            series_forget(&r->fixed[i]);
    for (int list = 0; list < RECORD_LISTS; list++)
        for (int i = 0; i < r->list[list].count; i++)
            series_forget(&r->list[list].item[i]);
    return true;
}
