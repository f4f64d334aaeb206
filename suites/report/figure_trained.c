#include "suites/report/figure_trained.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool figure_of_trained(const struct figure_source *all, struct figure_source *trained, struct groups *groups, char *why,
                       size_t why_size) {
    *trained = *all;
    trained->groups = groups;
    if (!trained_groups(all->reader, all->groups, groups))
        return snprintf(why, why_size, "out of memory"), false;
    if (!groups->count) {
        free(groups->group);
        return snprintf(why, why_size, "no case of it trained (--study train)"), false;
    }
    return true;
}

static bool is_unbounded(const struct connection *c) {
    return c->negative;
}

static bool is_bounded(const struct connection *c) {
    return c->generator != GENERATOR_NONE && !c->negative;
}

unsigned figure_unbounded(void) {
    return connections_where(is_unbounded);
}

unsigned figure_bounded(void) {
    return connections_where(is_bounded);
}

void put_range(FILE *file, struct range r) {
    put_number(file, r.least);
    put_number(file, r.median);
    put_number(file, r.most);
}

void describe_ended(const struct figure_source *source, const struct lines *lines, char *text, size_t size) {
    long long runs = 0, ended = 0;
    for (int k = 0; k < lines->count; k++)
        for (int64_t j = 0; j < lines->line[k].count; j++) {
            const struct group *group = &source->groups->group[lines->line[k].groups[j]];
            for (int64_t i = 0; i < group->count; i++) {
                struct record_training is;
                runs++;
                ended += record_training(source->reader, group->cases[i], &is) && is.diverged > 0;
            }
        }
    text[0] = 0;
    if (ended)
        snprintf(
            text, size,
            " The loss of %lld of %lld runs became NaN or Inf; such a run ends there, and then counts as the largest.",
            ended, runs);
}

void put_places(FILE *file, const struct lines *lines, const int *panel, const int *slot) {
    if (!file)
        return;
    fprintf(file, "array PANEL[LINES]\narray SLOT[LINES]\n");
    for (int k = 0; k < lines->count; k++)
        fprintf(file, "PANEL[%d] = %d; SLOT[%d] = %d\n", k + 1, panel[k], k + 1, slot[k]);
}
