#include "suites/timing/samples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool samples_open(struct samples *s, int subjects, int64_t room) {
    size_t count = (size_t)(subjects * room);
    *s = (struct samples){.room = room,
                          .seconds = malloc(count * sizeof *s->seconds + 1),
                          .clock = malloc(count * sizeof *s->clock + 1),
                          .order = calloc(count + 1, 1),
                          .flags = calloc(count + 1, 1)};
    if (!s->seconds || !s->clock || !s->order || !s->flags)
        return false;
    for (size_t k = 0; k < count; k++)
        s->seconds[k] = s->clock[k] = NAN;
    return true;
}

void samples_release(struct samples *s) {
    free(s->seconds);
    free(s->clock);
    free(s->order);
    free(s->flags);
    *s = (struct samples){0};
}

void samples_keep(struct samples *s, int subject, const struct timing *t, int from) {
    int64_t to = subject * s->room, at = from * t->room;
    memcpy(s->seconds + to, t->seconds + at, (size_t)t->rounds * sizeof *s->seconds);
    memcpy(s->clock + to, t->clock + at, (size_t)t->rounds * sizeof *s->clock);
    memcpy(s->order + to, t->order + at, (size_t)t->rounds);
    memcpy(s->flags + to, t->flags + at, (size_t)t->rounds);
    s->rounds = t->rounds > s->rounds ? t->rounds : s->rounds;
}

void samples_close_ranks(struct samples *s, int subjects) {
    for (int64_t k = 0; k < subjects && s->rounds; k++) {
        int64_t to = k * s->rounds, from = k * s->room;
        memmove(s->seconds + to, s->seconds + from, (size_t)s->rounds * sizeof *s->seconds);
        memmove(s->clock + to, s->clock + from, (size_t)s->rounds * sizeof *s->clock);
        memmove(s->order + to, s->order + from, (size_t)s->rounds);
        memmove(s->flags + to, s->flags + from, (size_t)s->rounds);
    }
    s->room = s->rounds;
}

void samples_put(struct message *m, const struct samples *s, int subjects) {
    size_t rounds = (size_t)s->rounds;
    message_put(m, &s->rounds, sizeof s->rounds);
    for (int k = 0; k < subjects; k++)
        message_put(m, s->seconds + k * s->room, rounds * sizeof *s->seconds);
    for (int k = 0; k < subjects; k++)
        message_put(m, s->clock + k * s->room, rounds * sizeof *s->clock);
    for (int k = 0; k < subjects; k++)
        message_put(m, s->order + k * s->room, rounds);
    for (int k = 0; k < subjects; k++)
        message_put(m, s->flags + k * s->room, rounds);
}

bool samples_take(struct message *m, struct samples *s, int subjects) {
    int64_t rounds = 0;
    message_take(m, &rounds, sizeof rounds);
    bool good = samples_open(s, subjects, rounds);
    size_t count = (size_t)(subjects * rounds);
    if (good) {
        s->rounds = rounds;
        message_take(m, s->seconds, count * sizeof *s->seconds);
        message_take(m, s->clock, count * sizeof *s->clock);
        message_take(m, s->order, count);
        message_take(m, s->flags, count);
    }
    return good;
}

struct mhc_pairs samples_pairs(const struct samples *s, int subject, int baseline, int64_t rounds) {
    int64_t a = subject * s->room, b = baseline * s->room;
    return (struct mhc_pairs){s->seconds + a, s->seconds + b, s->order + a, s->order + b, rounds};
}
