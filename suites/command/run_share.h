/* The part of a suite that a run computes: --shard, or what a launcher says. */
#ifndef RUN_SHARE_H
#define RUN_SHARE_H

#include "results/record.h"
#include "suites/case/suite.h"
#include "suites/command/launch.h"

struct share {
    int64_t index, count; /* count 1: every case */
    char text[48];        /* "3/10"; "": every case */
    bool own_name;        /* the launcher decides, so that each process needs a file name of its own */
    struct launch launch;
    bool *has;     /* [cases of the suite] */
    int64_t cases; /* of it */
    double part;   /* of the suite's estimated time */
};

/* From the value of --shard: I/N, auto/N, none, or NULL: a launcher's environment, if there is one. false: reported. */
bool share_read(struct share *, const char *option);
/* Fills in which cases are in the share. false: reported. */
bool share_cut(struct share *, const struct suite *);
void share_release(struct share *);
/* NAME.h5 becomes NAME.3-of-10.h5 where `out` was not given or processes of a launcher share it. */
void share_path(const struct share *, bool given, char *path, size_t size);
/* One line: which share was taken, and by which word. */
void share_tell(const struct share *, const struct suite *, const char *path);

/* The fact of a record that says its share. */
#define SHARE_FACT "shard"
/* Whether an earlier record is of the same share; false: one line in `why`. */
bool share_agrees(const struct share *, struct record_reader *earlier, char *why, size_t why_size);
/* The fact of a record; "" where it has none. */
const char *share_fact(struct record_reader *);

#endif
