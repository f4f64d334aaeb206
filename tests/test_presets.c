/* The shapes of presets, against the paper's counts of parameters. */
#include <criterion/criterion.h>
#include <math.h>

#include "suites/case/presets.h"
#include "suites/stack/ensemble.h"

/* The paper's own counts: active parameters of 3B, 9B and 27B are layers times what is active in one, and the head. */
Test(presets, have_the_papers_parameters) {
    const double active[PRESETS] = {[PRESET_3B] = 612e6,
                                    [PRESET_9B] = 1.66e9,
                                    [PRESET_27B] = 4.14e9,
                                    [PRESET_V4_FLASH] = 13e9,
                                    [PRESET_V4_PRO] = 49e9};
    const int64_t width[PRESETS] = {0, 1280, 1920, 2560, 4096, 7168};
    for (int preset = PRESET_3B; preset < PRESETS; preset++)
        for (int kind = PRESET_DENSE; kind <= PRESET_ACTIVE; kind++) {
            struct params p;
            params_defaults(&p);
            p.study = STUDY_OVERHEAD;
            p.preset = preset;
            p.kind = kind;
            p.tokens = 8192;
            presets_apply(&p);
            struct mhc_case c = ensemble_case(&p);
            double block = 4.0 * (double)(c.C * c.heads * c.head_dim) + 3.0 * (double)(c.C * c.hidden);
            double want = kind == PRESET_DENSE ? 12.0 * (double)(c.C * c.C) : presets_active((enum preset)preset);
            double model = (double)presets_layers((enum preset)preset) * presets_active((enum preset)preset) +
                           presets_head((enum preset)preset);
            cr_expect(c.C == width[preset] && c.S == 4096 && c.T == 8192 && c.n == 4 && c.hidden % 64 == 0);
            cr_expect(fabs(block / want - 1) < 0.01, "preset %d kind %d: %g parameters, wanted %g", preset, kind, block,
                      want);
            cr_expect(fabs(model / active[preset] - 1) < 0.01, "preset %d: %g active, the paper has %g", preset, model,
                      active[preset]);
            p.tokens = 100; /* no sequence of 4096 in it; what was given stays */
            p.sequence = 0;
            p.hidden = 64;
            presets_apply(&p);
            cr_expect(p.sequence == 0 && p.hidden == 64);
        }
}
