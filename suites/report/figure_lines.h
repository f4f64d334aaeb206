/* The lines of a figure: groups of a record, chosen so that a plot stays legible. */
#ifndef FIGURE_LINES_H
#define FIGURE_LINES_H

#include "suites/report/figure.h"

enum { MOST_LINES = 20, MOST_LEFT_OUT = 24, LINE_LABEL = 200 };

/* The groups of a line, ordered by the parameter it runs along; against layer: one group. */
struct line {
    int64_t *groups, count;
    int block, rank; /* rank: 0 for the first line of a block, 1 for its second... */
    char label[LINE_LABEL];
    const struct param *axes[2]; /* what a figure of the line has axes for, either may be NULL */
};

struct lines {
    struct line line[MOST_LINES];
    struct line left_out[MOST_LEFT_OUT]; /* the first of those that there was no room for */
    int count, left_out_count;
    int64_t candidates; /* lines that could have been shown */
    unsigned absent; /* connections, a bit each, that have what is shown, but not at the depth and n that are shown */
};

/* A parameter of a group as a number; NaN for texts. */
double parameter_value(const struct params *, const struct param *);

bool params_differ(const struct params *, const struct params *, const struct param *);

/* Whether two groups differ in nothing but the parameters a and b (either may be NULL). */
bool same_but(const struct params *, const struct params *, const struct param *a, const struct param *b);

/* How near a group is to the paper's stack (L = 60, n = 4, t_max = 20, exact coefficients), and where it trained, to
 * the setting of the options' defaults: decides what is shown when
 * not all can be. Parameters a and b (either may be NULL) do not count. */
int64_t likeness(const struct params *, const struct param *a, const struct param *b);

/* Whether half of the group's seeds had a NaN or Inf in their streams: what their summaries then lack is overflow. */
bool group_broken(const struct figure_source *, const struct group *);

/* Groups that have `curve` recorded (NULL: all), of one depth and one n (a connection of one stream has its own), at
 * most `most` of a block, or as many as the source asks for: the nearest to the paper's stack, from the first to the
 * last of them in even steps. */
void lines_by_layer(const struct figure_source *, const char *curve, unsigned connections, int most, struct lines *);

/* Groups that have `summary` recorded and differ in `along` alone make a line, if they are two or more. With
 * `beside`, all lines are like the best one but for that parameter, if it varies there. At most `most` of a block,
 * chosen as above. */
void lines_along(const struct figure_source *, const struct param *along, const struct param *beside,
                 const char *summary, unsigned connections, int most, struct lines *);
void lines_release(struct lines *);

/* The seeds of the point that has most of them. */
int64_t lines_most_seeds(const struct figure_source *, const struct lines *);

/* The largest n of a line. */
int64_t lines_streams(const struct figure_source *, const struct lines *);

/* Whether all lines are as deep as the paper's stack and, where they have more than one, have as many streams. */
bool lines_like_paper(const struct figure_source *, const struct lines *);

/* Gives every line its label: "mHC s=6", what differs between the lines of a block, behind its name as papers write
 * it; `along` (may be NULL), what they run along, is not in it. */
void label_lines(const struct figure_source *, struct lines *, const struct param *along);

/* What the lines share and is not the default, but for their axes, e.g. "L=60, n=4, d=12;
 * HC: w=0.35; 16 seeds; 4 of 5 lines shown, not mHC w=3". */
void describe_lines(const struct figure_source *, const struct lines *, char *text, size_t size);

/* How the streams of propagated stacks start, " Start lite: ...", where all lines have the same; else empty. */
void describe_start(const struct figure_source *, const struct lines *, char *text, size_t size);

/* "HC w=0.35", with ", 8 seeds" behind it where not all lines have as many; the middle of a long label is left out. */
void line_legend(const struct figure_source *, const struct lines *, int k, char *text, size_t size);

/* "2 lines are not in it: mHC w=3, mHC w=4", all of them; empty where none was left out. */
void describe_left_out(const struct lines *, char *text, size_t size);

#endif
