/* The connections of a model in the weights of safetensors files: what belongs to which site. Names are those of
 * DeepSeek-V4, of its ports on Hugging Face and of Megatron; see sites.c. */
#ifndef SITES_H
#define SITES_H

#include <stdio.h>

#include "results/safetensors.h"

enum { SITE_SCALES = 3 };

/* One site: fn [2n + n^2][nC] (phi transposed), base [2n + n^2], scale [3] or three of one element. */
struct site {
    char *name; /* its tensors' names begin so */
    int64_t layer;
    int branch; /* 0 attention, 1 what follows it */
    int64_t n, C;
    const struct tensor *fn, *base, *scale[SITE_SCALES]; /* fn and scale NULL: the file has the static part alone */
    int scales;                                          /* tensors that hold the scale: 1 or 3 */
};

struct sites {
    struct safetensors *file;
    struct site *site; /* in the order of the forward pass */
    int64_t count;
    const char *naming; /* "DeepSeek-V4" */
    bool v4;            /* its arithmetic */
    bool dynamic;       /* every site has fn and scale, of one width C */
};

/* NULL: one line in record_error(). */
struct sites *sites_open(const char *path);
void sites_close(struct sites *);
/* What was found and what was left out, in lines that begin with '#'. */
void sites_describe(const struct sites *, FILE *);

#endif
