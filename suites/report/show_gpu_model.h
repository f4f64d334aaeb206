/* What a model of a GPU is made of, and how far it is from figures that others have published. */
#ifndef SHOW_GPU_MODEL_H
#define SHOW_GPU_MODEL_H

#include "results/table.h"

/* Prints, for the GPU of a backend ("model:h200"), its data sheet, the shares that the model takes as reached and the
 * gap between kernels; then the model beside every published figure, of any GPU. false: there is no such model, one
 * line in `why`. */
bool show_gpu_model(const char *backend, struct tables *, char *why, size_t why_size);

#endif
