#include "suites/study/shares.h"

#include <stdlib.h>

#include "suites/study/jobs.h"

int64_t shares_cost(const struct params *p) {
    const double most = 1e15, microseconds = 1e6 * jobs_seconds(p, JOBS_RATE);
    return microseconds > 1 ? (int64_t)(microseconds < most ? microseconds : most) : 1;
}

struct item {
    int64_t cost, number;
};

static int longest_first(const void *a, const void *b) {
    const struct item *one = a, *other = b;
    const int later = (one->cost < other->cost) - (one->cost > other->cost);
    return later ? later : (one->number > other->number) - (one->number < other->number);
}

/* Has share a less than share b? */
static bool before(const struct item *a, const struct item *b) {
    return a->cost < b->cost || (a->cost == b->cost && a->number < b->number);
}

/* The first of a heap has got more: it sinks to its place. */
static void sink(struct item *heap, int64_t count) {
    for (int64_t at = 0;;) {
        int64_t child = 2 * at + 1;
        if (child + 1 < count && before(&heap[child + 1], &heap[child]))
            child++;
        if (child >= count || !before(&heap[child], &heap[at]))
            return;
        const struct item other = heap[child];
        heap[child] = heap[at];
        heap[at] = other;
        at = child;
    }
}

int64_t *shares_costs(const struct suite *s) {
    int64_t *cost = malloc(((size_t)s->count + 1) * sizeof *cost);
    for (int64_t k = 0; cost && k < s->count; k++)
        cost[k] = k && jobs_alike(&s->cases[k - 1], &s->cases[k]) ? cost[k - 1] : shares_cost(&s->cases[k]);
    return cost;
}

bool shares_cut_costs(const int64_t *cost, int64_t count, int64_t shares, int32_t *of, int64_t *load) {
    struct item *items = malloc(((size_t)count + 1) * sizeof *items);
    struct item *heap = malloc((size_t)shares * sizeof *heap);
    const bool good = items && heap;
    for (int64_t k = 0; good && k < count; k++)
        items[k] = (struct item){cost[k], k};
    for (int64_t k = 0; good && k < shares; k++)
        heap[k] = (struct item){0, k};
    if (good)
        qsort(items, (size_t)count, sizeof *items, longest_first);
    for (int64_t k = 0; good && k < count; k++) {
        of[items[k].number] = (int32_t)heap[0].number;
        heap[0].cost += items[k].cost;
        sink(heap, shares);
    }
    for (int64_t k = 0; good && load && k < shares; k++)
        load[heap[k].number] = heap[k].cost;
    free(items);
    free(heap);
    return good;
}

bool shares_cut(const struct suite *s, int64_t shares, int32_t *of, int64_t *load) {
    int64_t *cost = shares_costs(s);
    const bool good = cost && shares_cut_costs(cost, s->count, shares, of, load);
    free(cost);
    return good;
}
