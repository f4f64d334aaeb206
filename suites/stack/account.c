/* What a program says of itself. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/stack/program.h"

const char *const step_part_name[STEP_PARTS] = {"gemm.forward",
                                                "gemm.backward_input",
                                                "gemm.backward_weight",
                                                "attention-core.forward",
                                                "attention-core.backward",
                                                "activation.forward",
                                                "activation.backward",
                                                "optimizer",
                                                "norm.forward",
                                                "norm.backward",
                                                "pre",
                                                "post",
                                                "post_backward_y",
                                                "backward",
                                                "optimizer"};

static double sum_of(const struct program *p, enum step_part part, double (*of)(const struct program_call *)) {
    double sum = 0;
    for (int64_t k = 0; k < p->calls; k++)
        sum += p->call[k].row && (part == STEP_ALL || p->call[k].part == part) ? of(&p->call[k]) : 0;
    return sum;
}
static double bytes_of(const struct program_call *call) {
    return call->row->traffic(&call->c);
}
static double flops_of(const struct program_call *call) {
    return call->row->flops(&call->c);
}
static double one(const struct program_call *call) {
    return call->row != NULL;
}

double program_bytes(const struct program *p, enum step_part part) {
    return sum_of(p, part, bytes_of);
}

double program_flops(const struct program *p, enum step_part part) {
    return sum_of(p, part, flops_of);
}

int64_t program_calls(const struct program *p, enum step_part part) {
    return (int64_t)sum_of(p, part, one);
}

double program_footprint(const struct program *p, enum step_part part) {
    bool *touched = calloc((size_t)p->arrays.count + 1, 1);
    double bytes = touched ? 0 : NAN;
    for (int64_t k = 0; k < p->calls && touched; k++) {
        const struct program_call *call = &p->call[k];
        for (int a = 0; call->part == part && a < MHC_MAX_ARGS && call->argument[a] >= 0; a++)
            touched[call->argument[a]] = true;
        if (call->part == part && call->save >= 0)
            touched[call->save] = true;
    }
    for (int64_t k = 0; k < p->arrays.count && touched; k++)
        bytes += touched[k] ? (double)p->arrays.array[k].bytes : 0;
    free(touched);
    return bytes;
}

bool program_reads_save(const struct program_call *call) {
    return !strncmp(strchr(call->row->name, '.'), ".backward", 9);
}

static double bytes_where(const struct program *p, bool kept) {
    double bytes = 0;
    for (int64_t k = 0; k < p->arrays.count; k++) {
        const struct program_array *a = &p->arrays.array[k];
        bytes += !a->held && !a->parameter && a->kept == kept ? (double)a->bytes : 0;
    }
    return bytes;
}

double program_activation_bytes(const struct program *p) {
    return bytes_where(p, true);
}

double program_workspace_bytes(const struct program *p) {
    return bytes_where(p, false);
}
