#include "suites/rows/operations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/rows/backend.h"

enum { MOST_NAMED = 8 };

/* " mhc.pre mhc.post ": the operations that a backend has; "": it cannot be opened. */
void operations_answer(struct message *request, struct message *reply) {
    const struct backend *b;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (out && !backend_use(message_take_text(request), &b)) {
        putc(' ', out);
        for (const struct mhc_row *const *row = b->library->rows; *row; row++)
            fprintf(out, "%s ", (*row)->name);
    }
    if (out)
        fclose(out);
    message_put_text(reply, text ? text : "");
    free(text);
}

/* Asks a worker for them. "" also if the worker ended over the question. The caller frees the text; NULL: out of
 * memory. */
static char *ask(struct worker *w, const char *backend) {
    struct message request = {0}, reply = {0};
    char why[256];
    message_put_text(&request, "operations");
    message_put_text(&request, backend);
    char *text = strdup(worker_call(w, &request, &reply, 60, why, sizeof why) ? message_take_text(&reply) : "");
    message_clear(&request);
    message_clear(&reply);
    return text;
}

static bool is_among(const char *name, const char *names) {
    size_t length = strlen(name);
    for (const char *at = strstr(names, name); at; at = strstr(at + 1, name))
        if (at > names && at[-1] == ' ' && at[length] == ' ')
            return true;
    return false;
}

/* Names the operations left out of one backend: "left out, NAME lacks them: a b and 3 more". */
static void name_them(const char *backend, const char *lacked, int count, char *note, size_t size) {
    size_t used = strlen(note);
    int length = 0, named = 0;
    for (; named < count && named < MOST_NAMED; named++)
        length += 1 + (int)strcspn(lacked + length + 1, " ");
    if (used + 1 < size)
        used += (size_t)snprintf(note + used, size - used, "%sleft out, %.150s lacks them:%.*s", used ? "; " : "",
                                 backend, length, lacked);
    if (named < count && used < size)
        snprintf(note + used, size - used, " and %d more", count - named);
}

/* Settles the cases of one backend, from the `first` on. */
static void narrow(const struct suite *s, int64_t first, const char *has, bool *wanted, bool *seen, char *note,
                   size_t size) {
    char lacked[4096] = " ";
    int count = 0;
    for (int64_t k = first; k < s->count; k++) {
        const struct params *p = &s->cases[k];
        if (seen[k] || strcmp(p->backend, s->cases[first].backend))
            continue;
        seen[k] = true;
        wanted[k] = !s->patterned[k] || !*has || is_among(p->operation, has);
        if (wanted[k] || is_among(p->operation, lacked))
            continue;
        size_t used = strlen(lacked);
        snprintf(lacked + used, sizeof lacked - used, "%s ", p->operation);
        count++;
    }
    if (count)
        name_them(s->cases[first].backend, lacked, count, note, size);
}

bool operations_narrow(struct suite *s, struct worker *w, char *note, size_t note_size) {
    bool *wanted = malloc((size_t)s->count + 1), *seen = calloc((size_t)s->count + 1, 1), good = wanted && seen,
         any = false, all = true;
    note[0] = 0;
    for (int64_t k = 0; k < s->count && good; k++) {
        if (s->patterned[k] && !seen[k]) {
            char *has = ask(w, s->cases[k].backend);
            good = has != NULL;
            if (good)
                narrow(s, k, has, wanted, seen, note, note_size);
            free(has);
        }
        wanted[k] = seen[k] ? wanted[k] : true;
        any |= wanted[k];
        all &= wanted[k];
    }
    good = good && (all || suite_keep(s, wanted));
    if (!good)
        snprintf(note, note_size, "out of memory");
    free(wanted);
    free(seen);
    return good && any;
}
