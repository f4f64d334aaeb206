/* A small language model over bytes around a stack: embedding, blocks of attention and MLP, head, mean cross entropy.
 * What its parameters are before the first update.
 *
 * Every number is a function of (seed, name, layer, element), see cpu_ref/philox.h: all connections of one seed start
 * from the same weights. Weights have std g / sqrt(fan-in), the embedding 1, positions 0.5, the head 0.5 / sqrt(C);
 * gains are 1. Starts of the connection, at stream l mod n of layer l, elsewhere, and the logits of res:
 *
 *     HC and static HC   pre 1, 0; post 1; res I
 *     lite               pre and post 1, -1; res 8 I          (mHC-lite's)
 *     one-hot            pre 4, -4; post 0; res 8 I
 *     zero               pre, post and res 0; phi of std 0.02 (Megatron's)
 *     pre-norm           pre 20, -20; post 0; res 40 I        a pre-norm residual
 *
 * A map whose logits are no matrix starts where its publication does, and with `zero` at 0. alpha is that of the case;
 * theta is 0, and so is phi where nothing else is said. */
#ifndef MODEL_H
#define MODEL_H

#include "suites/case/params.h"
#include "suites/stack/program.h"

enum { MODEL_VOCABULARY = 256 };

/* Tokens of a sequence. */
int64_t model_sequence(const struct params *);

/* The model of a case on a backend for so many tokens, a multiple of the sequence. */
struct program_spec model_spec(const struct params *, const struct backend *, int64_t tokens);

/* The start of a parameter: program_give of the owner of a model. */
void model_parameter(const struct params *, const struct program_array *, double *values);

#endif
