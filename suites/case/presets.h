/* Shapes of published models for study `overhead`.
 *
 * kind dense: a plain transformer block of that width: heads of 128 that fill C, SwiGLU with hidden 8/3 C to a multiple
 * of 64, so about 12 C^2 parameters. kind active: a block whose GEMMs have as many parameters as are active in a layer
 * of the model: its heads, and as `hidden` what its feed-forward part, its router and its compressed attention (MLA)
 * have beyond four plain projections, spread over a SwiGLU. Where a model's report gives totals only (V4), a layer has
 * (active - head) / layers. */
#ifndef PRESETS_H
#define PRESETS_H

#include "suites/case/params.h"

enum preset { PRESET_NONE, PRESET_3B, PRESET_9B, PRESET_27B, PRESET_V4_FLASH, PRESET_V4_PRO, PRESETS };
enum preset_kind { PRESET_DENSE, PRESET_ACTIVE };

/* Gives every shape that still has its default the preset's value: a preset is a set of other defaults. false: there is
 * none. */
bool presets_apply(struct params *);

/* Parameters that are active in one of the model's layers, those of the output head, and layers. */
double presets_active(enum preset);
double presets_head(enum preset);
int64_t presets_layers(enum preset);

#endif
