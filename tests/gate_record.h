/* Records as a run would leave them, made up: two kernels, one whole stack of curves, one map with an
 * overflow. What a test plants is one variation of one of them. */
#ifndef GATE_RECORD_H
#define GATE_RECORD_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/metrics.h"
#include "results/record.h"

enum { GATE_CASES = 4, GATE_CURVES = 16, GATE_LAYERS = 62500 }; /* a million values in the stack */
enum { GATE_POST, GATE_MLP, GATE_STACK, GATE_MAP };
static const char *const gate_key[GATE_CASES] = {
    "--study kernels --operation mhc.post --width 256 --backend cpu32",
    "--study kernels --operation mlp.forward --width 256 --backend cpu32",
    "--study propagate --block mhc --depth 62500",
    "--study maps --block hc --depth 8 --w 9",
};

struct gate_plant {
    int at;               /* the case that differs */
    double error;         /* 0: as it was */
    double share, memory; /* error over tolerance of a variant, and what its bytes are multiplied by; 0: as they were */
    bool no_memory;       /* no column for it in the file */
    double add;           /* to a value of the case's last curve, at its last layer */
    bool last_bit;        /* of that value */
    double value;         /* in its place, where `set` */
    bool set, overflow_gone;
    bool failed, left_out;
    const char *cpu; /* another machine */
};

static inline void gate_append(struct record *r, int at, const struct gate_plant *p) {
    static double curve[GATE_CURVES][GATE_LAYERS];
    const bool here = p->at == at, kernel = at <= GATE_MLP;
    const double *curves[GATE_CURVES] = {NULL}, summary[1] = {kernel ? NAN : 3.25};
    const double grown = here && p->memory != 0 ? p->memory : 1, mlp = at == GATE_MLP ? 1 : NAN;
    const double timing[5] = {0.01, mlp * 1e6 * grown, mlp * 5e6 * grown, mlp * 2e6 * (grown > 1.1 ? 1.1 : grown),
                              mlp * 9e6 * grown * grown};
    double accuracy[3] = {kernel ? here && p->error != 0 ? p->error : 2e-7 : NAN, kernel ? 1e-3 : NAN,
                          mlp * (here && p->share != 0 ? p->share : 0.02)};
    int64_t layers = at == GATE_STACK ? GATE_LAYERS : at == GATE_MAP ? 8 : 0;
    for (int c = 0; c < GATE_CURVES && layers; c++) {
        for (int64_t l = 0; l < layers; l++)
            curve[c][l] = 0.5 + 1e-5 * (double)l + c;
        curves[c] = curve[c];
    }
    double *last = layers ? &curve[GATE_CURVES - 1][layers - 1] : NULL;
    if (at == GATE_MAP && !(here && p->overflow_gone))
        curve[0][7] = INFINITY;
    if (last && here) {
        *last = (p->set ? p->value : *last) + p->add;
        *last = p->last_bit ? nextafter(*last, 100) : *last;
    }
    const union record_value values[2] = {{.text = kernel           ? "kernels"
                                                   : at == GATE_MAP ? "maps"
                                                                    : "propagate"},
                                          {.text = "cpu32"}};
    const struct record_case one = {.key = gate_key[at],
                                    .status = here && p->failed ? RECORD_FAILED : RECORD_DONE,
                                    .reason = here && p->failed ? "mhc.post is wrong" : "",
                                    .layers = layers,
                                    .streams = 0,
                                    .values = values,
                                    .curves = curves,
                                    .summaries = summary,
                                    .timings = timing,
                                    .accuracies = accuracy};
    cr_assert(record_append(r, &one), "%s", record_error());
}

static inline void gate_write(const char *path, const struct gate_plant *p) {
    static const char *const subjects[] = {"copy", "operation", "gemm"};
    static const struct record_column columns[] = {{"study", "", "", RECORD_TEXT}, {"backend", "", "", RECORD_TEXT}};
    static const struct record_curve summaries[] = {{"composite_forward_sum_max", "1", ""}},
                                     timings[] = {{"preempted", "1", ""},
                                                  {"mhc_workspace", "byte", ""},
                                                  {"mhc_bytes", "byte", ""},
                                                  {"memory_peak", "byte", ""},
                                                  {"gemm.forward_footprint", "byte", ""}},
                                     accuracies[] = {{"error", "1", ""},
                                                     {"tolerance", "1", ""},
                                                     {"mhc_error_over_tolerance", "1", ""}};
    struct record_curve curves[GATE_CURVES];
    for (int c = 0; c < GATE_CURVES; c++)
        curves[c] = (struct record_curve){mhc_metric_info[c].name, "1", ""};
    const struct record_fact facts[] = {
        {"revision", path}, {"cpu_model", p->cpu ? p->cpu : "this one"}, {"flags", "-O3"}};
    const struct record_schema schema = {.columns = columns,
                                         .column_count = 2,
                                         .curves = curves,
                                         .curve_count = GATE_CURVES,
                                         .summaries = summaries,
                                         .summary_count = 1,
                                         .layers = GATE_LAYERS,
                                         .cases = GATE_CASES,
                                         .facts = facts,
                                         .fact_count = 3,
                                         .program = "test",
                                         .command = "made up",
                                         .suite = "",
                                         .subjects = subjects,
                                         .subject_count = 3,
                                         .rounds = 1,
                                         .timings = timings,
                                         .timing_count = p->no_memory ? 1 : 5,
                                         .accuracies = accuracies,
                                         .accuracy_count = 3};
    struct record *r = record_create(path, &schema, false, true);
    cr_assert(r, "%s", record_error());
    for (int at = 0; at < GATE_CASES; at++)
        if (!(p->left_out && p->at == at))
            gate_append(r, at, p);
    cr_assert(record_finish(r, true), "%s", record_error());
}

#endif
