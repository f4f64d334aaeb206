/* Small models that keep checkpoints, for tests that run the program. */
#ifndef CHECKPOINT_EXAMPLE_H
#define CHECKPOINT_EXAMPLE_H

#include <glob.h>

#include "tests/command.h"
#include "tests/train_example.h"

#include "results/checkpoint.h"

#define SMALL                                                                                                          \
    "--study train --depth 4 --width 8 --sequence 6 --tokens 12 --heads 2 --head-dim 4 --hidden 10 --activation gelu " \
    "--batch 2 --warm-up 2 --alpha 0.1 --input text"

static inline void enter_with_text(int64_t size) {
    make_text(size);
    enter_with_plots();
    GOOD("mv %s text", path);
}

/* The checkpoint, or the maps, of a connection at seed 1. */
static inline const char *file_of(const char *folder, const char *connection) {
    static char name[160];
    char pattern[80];
    glob_t files;
    snprintf(pattern, sizeof pattern, "%s/%s-1-*.h5", folder, connection);
    cr_assert(!glob(pattern, 0, NULL, &files) && files.gl_pathc == 1, "%s", pattern);
    snprintf(name, sizeof name, "%s", files.gl_pathv[0]);
    globfree(&files);
    return name;
}

#endif
