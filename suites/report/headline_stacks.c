/* Headlines of the studies that follow a signal through layers: one sentence per connection. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/headline.h"
#include "suites/report/over_seeds.h"
#include "suites/report/shows.h"
#include "suites/report/trained_seeds.h"

enum { LABEL = 200, NUMBER = 32 };

/* The largest composite gain of a group, forward or backward, whichever has the larger median. */
struct gain {
    struct over_seeds seeds;
    bool forward;
};

static struct gain gain_of(struct record_reader *r, const struct group *group) {
    struct over_seeds forward = over_seeds_of(r, group, "composite_forward_sum_max"),
                      backward = over_seeds_of(r, group, "composite_backward_sum_max");
    bool larger = forward.measured && (!backward.measured || forward.median >= backward.median);
    return (struct gain){larger ? forward : backward, larger};
}

static void say_one(struct record_reader *r, const struct group *group, const char *name, struct tables *t) {
    char text[OVER_SEEDS_TEXT], seeds[60] = "";
    struct gain gain = gain_of(r, group);
    if (!gain.seeds.measured)
        return;
    struct value v = in_range(gain.seeds, text);
    if (group->count > 1)
        snprintf(seeds, sizeof seeds, ", median of %lld seeds [least, most]", (long long)group->count);
    tables_say(t, "%s: the %s Amax gain over %lld layers reaches %s%s.\n", name,
               gain.forward ? "signal's" : "gradient's", (long long)group->p.depth, v.text ? v.text : "-", seeds);
}

/* What tells a group from the others of its connection: "t-max=100". */
static void label_of(const struct groups *own, const struct group *group, char label[LABEL]) {
    char text[LABEL];
    bool varies[PARAMS_MOST];
    groups_variation(own, 0, own->count, varies);
    groups_label_within(own, varies, group - own->group, text, sizeof text);
    const char *behind = strchr(text, ' '); /* the connection's name */
    snprintf(label, LABEL, "%s", behind ? behind + 1 : "");
}

static void say_several(struct record_reader *r, const struct groups *own, const char *name, struct tables *t) {
    char number[2][NUMBER], label[2][LABEL];
    const struct group *end[2] = {own->group, own->group}; /* the smallest and the largest gain */
    for (int64_t k = 1; k < own->count; k++) {
        double median = gain_of(r, &own->group[k]).seeds.median;
        end[0] = median < gain_of(r, end[0]).seeds.median ? &own->group[k] : end[0];
        end[1] = median > gain_of(r, end[1]).seeds.median ? &own->group[k] : end[1];
    }
    for (int k = 0; k < 2; k++) {
        struct over_seeds seeds = gain_of(r, end[k]).seeds;
        over_seeds_number(seeds.median, seeds.logarithmic, number[k], NUMBER);
        label_of(own, end[k], label[k]);
    }
    if (!strcmp(number[0], number[1]))
        tables_say(t, "%s: the Amax gain is %s in all %lld settings.\n", name, number[0], (long long)own->count);
    else
        tables_say(t, "%s: the Amax gain goes from %s (%s) to %s (%s); %lld settings.\n", name, number[0], label[0],
                   number[1], label[1], (long long)own->count);
}

/* One sentence about all groups of a study that have a connection; the residual's gain is 1. */
static void say_connection(struct record_reader *r, const struct groups *g, int64_t study,
                           const struct connection *connection, struct tables *t) {
    struct groups own = {.group = malloc((size_t)(g->count + 1) * sizeof *own.group)};
    for (int64_t k = 0; own.group && k < g->count; k++)
        if (g->group[k].p.study == study && params_connection(&g->group[k].p) == connection &&
            gain_of(r, &g->group[k]).seeds.measured)
            own.group[own.count++] = g->group[k];
    if (own.count == 1)
        say_one(r, own.group, connection->label, t);
    else if (own.count > 1)
        say_several(r, &own, connection->label, t);
    free(own.group);
}

/* `spaced`: behind a blank line. */
static bool say_study(struct record_reader *r, int64_t study, const char *question, bool spaced, struct tables *t) {
    struct groups g;
    char why[200];
    bool any = false;
    if (!groups_read(r, &g, why, sizeof why))
        return false;
    for (int64_t k = 0; k < g.count; k++)
        any |= g.group[k].p.study == study;
    if (any)
        tables_say(t, "%s%s\n", spaced ? "\n" : "", question);
    for (int c = 0; c < (int)CONNECTIONS && any; c++)
        if (connections[c].generator != GENERATOR_NONE)
            say_connection(r, &g, study, &connections[c], t);
    groups_release(&g);
    return any;
}

/* Leaves out what the table of gains says already. */
bool show_maps_headline(struct record_reader *r, struct tables *t, unsigned gains) {
    return !(gains & HEADLINE_RANDOM) && say_study(r, STUDY_MAPS, "How much do the maps alone amplify?", true, t);
}

bool show_propagate_headline(struct record_reader *r, struct tables *t, unsigned gains) {
    return say_study(r, STUDY_PROPAGATE, "How much do the maps of a running stack amplify?", !gains, t);
}

bool show_train_headline(struct record_reader *r, struct tables *t, unsigned gains) {
    bool any = gains & HEADLINE_TRAINED || say_study(r, STUDY_TRAIN, "How much do trained stacks amplify?", !gains, t);
    if (any)
        show_train_losses(r, t);
    return any;
}
