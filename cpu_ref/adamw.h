/* AdamW (arXiv 1711.05101) with the gradient's norm clipped, what both forms of `adamw` share.
 *
 *   g         = min(1, clip / norm) grad                                 clip 0: grad
 *   momentum' = b1 momentum + (1 - b1) g
 *   rms'      = sqrt(b2 rms^2 + (1 - b2) g^2)
 *   master'   = master - rate ((momentum' / (1 - b1^step)) / (rms' / sqrt(1 - b2^step) + epsilon) + decay master)
 *
 * `norm` is that of the whole gradient of a model. One that is NaN or infinite makes every output NaN, with and without
 * a clip: such a step has no gradient. Included by CPU and GPU rows. */
#ifndef ADAMW_H
#define ADAMW_H

#include <math.h>

#ifdef __CUDACC__
#define ADAMW_DEVICE __device__
#else
#define ADAMW_DEVICE
#endif

/* The places in `hyper`. The step counts from 1. */
enum { ADAMW_RATE, ADAMW_BETA1, ADAMW_BETA2, ADAMW_EPSILON, ADAMW_DECAY, ADAMW_CLIP, ADAMW_STEP, ADAMW_HYPERS };

/* Everything that is the same for every element of a step:
 *   master' = master - rate momentum' / (root rms' + epsilon) - shrink master */
struct adamw_factors {
    double clip, beta1, beta2, rate, root, epsilon, shrink;
};

static inline ADAMW_DEVICE struct adamw_factors adamw_factors_of(double norm, const double *hyper) {
    struct adamw_factors f;
    double clip = hyper[ADAMW_CLIP];
    f.clip = !isfinite(norm) ? NAN : clip > 0 && norm > clip ? clip / norm : 1;
    f.beta1 = hyper[ADAMW_BETA1];
    f.beta2 = hyper[ADAMW_BETA2];
    f.rate = hyper[ADAMW_RATE] / (1 - pow(f.beta1, hyper[ADAMW_STEP]));
    f.root = 1 / sqrt(1 - pow(f.beta2, hyper[ADAMW_STEP]));
    f.epsilon = hyper[ADAMW_EPSILON];
    f.shrink = hyper[ADAMW_RATE] * hyper[ADAMW_DECAY];
    return f;
}

#endif
