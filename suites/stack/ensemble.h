/* What the random arrays of a case are: the ensemble of untrained parameters, the tokens, the gradient at the output.
 * Every number is a function of (seed, name of the array, layer, element), see cpu_ref/philox.h, so HC and mHC of one
 * seed share the draws Z_shared and Z_layer, and any array can be made again at any time.
 *
 * Static part of the residual maps of layer l, init `latent`, in [destination][source]:
 *     mHC: logits = d I + s Z_shared + w Z_l        HC: map = I + s Z_shared + w Z_l
 * with pre = e_(l mod n) and post = 1 (HC Eq. 14; as logits +-20 and 0). The other starts are given as mHC logits, as
 * found in public code; HC then has the maps that mHC has there:
 *     mixed          pre 0, post 0, res 0; phi uniform (Megatron; its Xavier scale is --phi 1.41 where nC is large)
 *     near-identity  pre, post +1 at stream l mod n, -1 elsewhere; res 0 on the diagonal, -8 off it; phi 0 (mHC-lite)
 *     gap            pre +-8 at stream l mod n, post 0; res 0 / -160; static: alpha 0 (nanoGPT port with temperature
 *     0.05) diagonal       pre, post +1 at stream 0, -1 elsewhere; res 2 I (HC: the map I)
 *     pre-norm       pre +-20 at stream l mod n, post 0, res 0 / -40; phi 0: a pre-norm residual
 * Maps whose logits are no matrix have logits s Z_shared + w Z_l in `latent`, 0 in `mixed`, else what the map's
 * publication starts at. */
#ifndef ENSEMBLE_H
#define ENSEMBLE_H

#include "cpu_ref/operation.h"
#include "suites/case/params.h"
#include "suites/stack/program.h"

/* Shapes and constants of a case; types are left 0. */
struct mhc_case ensemble_case(const struct params *);

/* The whole stack of a case on a backend, from x0 to out and back, all kept and all parameters held. */
struct program_spec ensemble_stack(const struct params *, const struct backend *);

/* Values of one parameter of a layer by the name its row gives it. */
void ensemble_parameter(const struct params *, int64_t layer, const char *name, int64_t count, double *values);

enum { MAP_LOGITS = 512 }; /* of a token, at most */

/* Static part of a layer's residual map: logits [K], of Sinkhorn in the layout of the convention, or the map itself
 * (HC), [n][n]. */
void ensemble_static(const struct params *, int64_t layer, double *out);

/* Whether a dynamic part exists, so that tokens differ. */
bool ensemble_dynamic(const struct params *);

/* pre and post of a layer, [T][n], as the maps study takes them: static part and, of generators that have one, alpha
 * times the dynamic one. Of ResNet and a scaled skip they are 1. */
void ensemble_gates(const struct params *, int64_t layer, int64_t T, double *pre, double *post);

/* What the maps study takes for x.phi / r: N(0, 1), [T][K] of a layer. */
void ensemble_dynamic_draw(const struct params *, int64_t layer, int64_t count, double *out);

/* The first bytes of an --input of `bytes` bytes: all that a study may read. The rest, the last 5 %, is held out: a
 * study that trains on such a file judges by it. */
enum { ENSEMBLE_READ_PERCENT = 95 };
int64_t ensemble_readable(int64_t bytes);

/* x0 [T][C]: gaussian, or T consecutive bytes of the readable part of a file, from a place that the seed decides,
 * through a seeded embedding table [256][C]. false: the file cannot serve, one line in `why`. */
bool ensemble_tokens(const struct params *, double *x0, char *why, size_t why_size);
/* Whether the file of --input can serve, without reading it: what a run asks before its first case. */
bool ensemble_check_input(const struct params *, char *why, size_t why_size);
void ensemble_output_gradient(const struct params *, double *grad_out);

#endif
