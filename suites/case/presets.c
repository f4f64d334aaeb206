#include "suites/case/presets.h"

#include <string.h>

enum { VOCABULARY = 129280, HEAD_DIM = 128, SEQUENCE = 4096, MULTIPLE = 64 };

/* mHC appendix, Table 5; DeepSeek-V4's report. */
static const struct model {
    int64_t width, layers, heads;
    int64_t experts, expert_hidden, router; /* active ones, routed and shared; experts to choose from */
    int64_t kv_rank, rope;                  /* of MLA */
    double active;                          /* where the parts are not published: of the whole model */
} models[PRESETS] = {
    [PRESET_3B] = {1280, 12, 16, 8, 896, 64, 512, 64, 0},   [PRESET_9B] = {1920, 18, 24, 8, 1280, 64, 512, 64, 0},
    [PRESET_27B] = {2560, 30, 32, 8, 1536, 72, 512, 64, 0}, [PRESET_V4_FLASH] = {4096, 43, 32, 0, 0, 0, 0, 0, 13e9},
    [PRESET_V4_PRO] = {7168, 61, 56, 0, 0, 0, 0, 0, 49e9},
};

double presets_head(enum preset preset) {
    return (double)VOCABULARY * (double)models[preset].width;
}

int64_t presets_layers(enum preset preset) {
    return models[preset].layers;
}

double presets_active(enum preset preset) {
    const struct model *m = &models[preset];
    if (m->active > 0)
        return (m->active - presets_head(preset)) / (double)m->layers;
    int64_t C = m->width, A = m->heads * HEAD_DIM;
    int64_t query = C * (A + m->heads * m->rope), compressed = C * (m->kv_rank + m->rope),
            expanded = m->kv_rank * 2 * A, out = A * C;
    return (double)(query + compressed + expanded + out + 3 * m->experts * C * m->expert_hidden + C * m->router);
}

static int64_t to_multiple(double x) {
    return (int64_t)(x / MULTIPLE + 0.5) * MULTIPLE;
}

/* Sets a field that has its default. */
static void offer(struct params *p, const struct params *standard, const char *name, int64_t value) {
    size_t at = params_find(name)->offset;
    int64_t *field = (int64_t *)((char *)p + at);
    if (*field == *(const int64_t *)((const char *)standard + at))
        *field = value;
}

bool presets_apply(struct params *p) {
    struct params standard;
    const struct model *m = &models[p->preset];
    if (!params_knows(p, params_find("preset")) || p->preset == PRESET_NONE)
        return false;
    params_defaults(&standard);
    bool dense = p->kind == PRESET_DENSE;
    double C = (double)m->width, heads = dense ? C / HEAD_DIM : (double)m->heads, attention = 4 * C * heads * HEAD_DIM;
    offer(p, &standard, "width", m->width);
    offer(p, &standard, "heads", (int64_t)heads);
    offer(p, &standard, "head-dim", HEAD_DIM);
    offer(p, &standard, "hidden",
          to_multiple(dense ? 8 * C / 3 : (presets_active((enum preset)p->preset) - attention) / (3 * C)));
    if (p->tokens % SEQUENCE == 0)
        offer(p, &standard, "sequence", SEQUENCE);
    return true;
}
