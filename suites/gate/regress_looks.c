/* Looks at timed calls. */
#include <stdlib.h>
#include <string.h>

#include "suites/gate/regress_looks.h"

enum { LOOK_BYTES = 1 << 20, ENOUGH = 5000 /* with 993 of 1,000 runs they find what is wrong in one of 1,000 calls */ };

static uint64_t draw_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* How many sets of a sample are looked at: a megabyte of them, and of larger sets one every few samples. Both
 * libraries get as many. */
static int64_t looks_at(struct looks *l, int64_t set_bytes) {
    int64_t every = 8 * (set_bytes / LOOK_BYTES) + 1, some = LOOK_BYTES / set_bytes;
    return l->samples++ % every ? 0 : some > 0 ? some : 1;
}

const char *looks_spoil(struct looks *l, const struct bound_row *b, int64_t next, uint64_t *random) {
    int64_t most = l->last_calls < b->sets ? l->last_calls : b->sets, count = looks_at(l, b->set_bytes);
    l->count = count < most ? count : most;
    l->start = next;
    l->first = most > l->count ? (int64_t)(draw_random(random) % (uint64_t)(most - l->count + 1)) : 0;
    l->turn = (int)(draw_random(random) % DRAWS);
    l->calls = 0;
    for (int64_t k = 0; k < l->count; k++)
        if (!backend_write(b->backend, b->slab + (next + l->first + k) % b->sets * b->set_bytes, l->image[l->turn],
                           b->set_bytes))
            return "its arrays cannot be filled";
    return NULL;
}

static bool same_answer(const struct bound_row *b, const char *seen, const char *answer) {
    for (int a = 0; b->row->args[a].name; a++)
        if (b->row->args[a].direction == MHC_OUT &&
            memcmp(seen + b->offset[a], answer + b->offset[a], (size_t)mhc_arg_bytes(&b->c, &b->row->args[a])))
            return false;
    return true;
}

/* Looks at a set that was called once since it was spoilt. */
static const char *look(struct looks *l, const struct bound_row *b, int64_t set) {
    static char *copy;
    static int64_t room;
    const char *seen = b->slab + set * b->set_bytes;
    struct accuracy a;
    if (b->backend->library->memory) {
        if (room < b->set_bytes)
            free(copy), copy = malloc((size_t)(room = b->set_bytes));
        if (!copy || !backend_read(b->backend, copy, seen, b->set_bytes))
            return "an array cannot be copied from the device";
        seen = copy;
    }
    if (l->answer[l->turn] && same_answer(b, seen, l->answer[l->turn]))
        return NULL;
    const char *why = examine_set(l->draw[l->turn], b, set, &a);
    l->vary |= !why && l->answer[l->turn];
    if (!why && !l->answer[l->turn] && (l->answer[l->turn] = malloc((size_t)b->set_bytes)))
        memcpy(l->answer[l->turn], seen, (size_t)b->set_bytes);
    return why;
}

const char *looks_judge(struct looks *l, const struct bound_row *b) {
    const char *why = NULL;
    for (int64_t k = 0; k < l->count && !why; k++)
        if (l->first + k < l->calls) {
            why = look(l, b, (l->start + l->first + k) % b->sets);
            l->looked++;
        }
    l->last_calls = l->calls;
    return why;
}

const char *looks_complete(struct looks *l, struct bound_row *b, double seconds, uint64_t *random) {
    const char *why = NULL;
    const double end = worker_now() + seconds;
    for (int64_t next = 0; l->looked < ENOUGH && worker_now() < end && !why; next = (next + l->calls) % b->sets) {
        why = looks_spoil(l, b, next, random);
        for (int64_t k = 0; k < l->count && !why; k++)
            why = bound_row_finish(b, (l->start + l->first + k) % b->sets);
        l->calls = l->first + l->count;
        why = why ? why : looks_judge(l, b);
    }
    return why;
}

const char *looks_open(struct looks *l, const struct bound_row *b, const struct regress_case *c,
                       const struct regress_case *inputs, const struct save save[DRAWS]) {
    *l = (struct looks){.draw = {&c->e, &c->twin}, .last_calls = 1};
    for (int d = 0; d < DRAWS; d++) {
        const struct examination *e = d ? &inputs->twin : &inputs->e;
        l->image[d] = malloc((size_t)b->set_bytes);
        if (!l->image[d] || !bound_row_image(b, &e->before.made, &save[d], BOUND_ROW_SPOILT, l->image[d]))
            return "out of memory";
    }
    return NULL;
}

void looks_close(struct looks *l) {
    for (int d = 0; d < DRAWS; d++) {
        free(l->image[d]);
        free(l->answer[d]);
    }
}
