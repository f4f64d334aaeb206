/* What study `train` says of the parameters it has at a point, on held-out tokens. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/study/train.h"

/* ---- a point ---- */

const char *train_look(void *user, const struct program *program, const struct program_call *call) {
    struct train *t = user;
    return probe_measure(&t->probe, program, call);
}

static double mean_of(const double *values, int64_t count) {
    double sum = 0;
    for (int64_t k = 0; k < count; k++)
        sum += values[k];
    return sum / (double)count;
}

static void keep_curves(const struct mhc_curves *curves, int64_t L,
                        double *(*at)(const struct trained_result *, int64_t, int), const struct trained_result *out,
                        int64_t place) {
    for (int m = 0; m < MHC_METRICS; m++)
        if (curves->curve[m][MHC_MEAN])
            memcpy(at(out, place, m), curves->curve[m][MHC_MEAN], (size_t)L * sizeof(double));
}

/* alpha of the residual map, which stands last; identity HC's is that of post. */
static const char *measure_alpha(struct train *t, double *mean, double *most) {
    const struct program_memory *m = &t->memory;
    int64_t count = 0;
    double sum = 0;
    for (int64_t k = 0; k < m->held.count; k++) {
        const struct program_array *a = &m->held.array[k];
        if (a->group != GROUP_CONNECTION || strcmp(a->argument, "alpha"))
            continue;
        if (!backend_download(t->backend, m->host, program_memory_parameter(m, k), a->count, a->type))
            return "a parameter cannot be copied from the device";
        double alpha = fabs(m->host[a->count - 1]);
        sum += alpha;
        *most = count ? fmax(*most, alpha) : alpha;
        count++;
    }
    *mean = count ? sum / (double)count : NAN;
    return NULL;
}

/* product = map product; *log2: of a factor that the product is to be multiplied with. */
static void multiply(int64_t n, const double *map, double *product, double *log2_scale) {
    double next[MHC_MAX_STREAMS * MHC_MAX_STREAMS], largest = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < n; k++)
                sum += map[i * n + k] * product[k * n + j];
            next[i * n + j] = sum;
            largest = fmax(largest, fabs(sum));
        }
    int exponent = 0;
    if (largest > 0 && isfinite(largest))
        frexp(largest, &exponent);
    for (int64_t k = 0; k < n * n; k++)
        product[k] = ldexp(next[k], -exponent);
    *log2_scale += exponent;
}

/* What the sums of one token's H_L...H_1 say. */
static void measure_sums(int64_t n, const double *product, double *smallest_column, double *row_spread) {
    double mean = 0, square = 0;
    *smallest_column = INFINITY;
    for (int64_t i = 0; i < n; i++) {
        double row = 0, column = 0;
        for (int64_t j = 0; j < n; j++) {
            row += product[i * n + j];
            column += product[j * n + i];
        }
        *smallest_column = fmin(*smallest_column, column);
        mean += fabs(row) / (double)n;
        square += row * row / (double)n;
    }
    *row_spread = sqrt(fmax(0, square - mean * mean)) / mean;
}

static void measure_composites(const struct train *t, double *smallest_column, double *row_spread, double *diagonal) {
    const struct params *p = t->p;
    int64_t n = p->streams, L = p->depth, T = p->tokens, cells = n * n;
    const double *res = t->probe.res;
    *smallest_column = *row_spread = *diagonal = 0;
    for (int64_t token = 0; token < T; token++) {
        double product[MHC_MAX_STREAMS * MHC_MAX_STREAMS], scale = 0, column, spread;
        for (int64_t k = 0; k < cells; k++)
            product[k] = k % (n + 1) == 0;
        for (int64_t l = 0; l < L; l++) {
            const double *map = res + (l * T + token) * cells;
            multiply(n, map, product, &scale);
            for (int64_t i = 0; i < n; i++)
                *diagonal += map[i * (n + 1)] / (double)(n * L * T);
        }
        measure_sums(n, product, &column, &spread);
        *smallest_column += column * exp2(scale) / (double)T;
        *row_spread += spread / (double)T;
    }
}

static const char *measure_maps(struct train *t, int64_t point) {
    struct record_training *is = &t->out->is;
    struct study_result *r = t->result;
    if (!t->probe.res)
        return NULL;
    free(r->panels); /* of the point before */
    free(r->qr_spectrum);
    free(r->mixing);
    r->panels = r->qr_spectrum = r->mixing = NULL;
    measure_composites(t, &is->smallest_column_sum[point], &is->row_sum_spread[point], &is->mean_diagonal[point]);
    const struct mhc_depth depth = probe_depth(&t->probe);
    return study_measure_maps(t->p, &depth, r) ? NULL : "out of memory";
}

/* What the steps since the last point were. */
static void close_stretch(struct train *t, int64_t point) {
    struct record_training *is = &t->out->is;
    if (t->summed > 0) {
        is->loss[point] = t->loss_sum / (double)t->summed;
        is->gradient_norm[point] = t->norm_sum / (double)t->summed;
        is->gradient_norm_max[point] = t->norm_most;
        is->rate[point] = train_rate(t->p, t->step - 1);
    }
    t->loss_sum = t->norm_sum = t->norm_most = 0;
    t->summed = 0;
}

const char *train_measure(struct train *t, double *held_out) {
    struct record_training *is = &t->out->is;
    const struct mhc_curves *curves = &t->result->curves;
    int64_t point = is->points;
    double ignored;
    const char *why = train_run_held_out(t, JUDGE, NULL, held_out);
    if (why || !isfinite(*held_out))
        return why;
    why = train_run_held_out(t, LOOK, train_look, &ignored);
    why = why ? why : measure_maps(t, point);
    why = why ? why : measure_alpha(t, &is->alpha[point], &is->alpha_max[point]);
    if (why)
        return why;
    is->step[point] = t->step - 1;
    is->held_out_loss[point] = *held_out;
    if (curves->curve[MHC_logit_range][MHC_MEAN])
        is->logit_range[point] = mean_of(curves->curve[MHC_logit_range][MHC_MEAN], t->p->depth);
    keep_curves(curves, t->p->depth, trained_curve, t->out, point);
    close_stretch(t, point);
    is->points++;
    return NULL;
}

/* ---- the end ---- */

/* The maps of the tokens that the curves are of. */
static const char *take_maps(void *user, const struct program *program, const struct program_call *call) {
    struct train *t = user;
    int64_t count = t->p->tokens * t->p->streams * t->p->streams;
    if (call->part != STEP_PRE || !t->probe.res)
        return NULL;
    return backend_download(t->backend, t->probe.res + call->layer * count, program_argument(program, call, "res"),
                            count, call->c.coef)
               ? NULL
               : "res cannot be copied from the device";
}

static const char *measure_t_max(struct train *t) {
    const struct params *p = t->p;
    struct mhc_curves curves = {0};
    const char *why = NULL;
    if (!mhc_curves_allocate(&curves, p->depth, (unsigned)p->measure & PROBE_OF_MAPS & ~MHC_GROUP_REACH, false))
        why = "out of memory";
    for (int k = 0; k < RECORD_PROJECTIONS && !why; k++) {
        why = train_run_held_out(t, PROJECTED + k, take_maps, &t->out->is.t_max_held_out_loss[k]);
        if (!why && t->probe.res && mhc_measure_maps(t->probe.res, p->depth, p->tokens, p->streams, &curves))
            why = "out of memory";
        t->out->is.t_max[k] = train_t_max[k];
        keep_curves(&curves, p->depth, trained_projected_curve, t->out, k);
    }
    mhc_curves_release(&curves);
    return why;
}

/* A branch whose last weight is 0 gives 0. */
static const char *switch_off(struct train *t, int64_t from, int64_t to) {
    const struct program_memory *m = &t->memory;
    for (int64_t k = 0; k < m->held.count; k++) {
        const struct program_array *a = &m->held.array[k];
        if (a->layer < from || a->layer >= to || (strcmp(a->argument, "w_o") && strcmp(a->argument, "w_down")))
            continue;
        memset(m->host, 0, (size_t)a->bytes);
        if (!backend_write(t->backend, program_memory_parameter(m, k), m->host, a->bytes))
            return "a parameter cannot be copied to the device";
    }
    return NULL;
}

static const char *measure_quarters(struct train *t) {
    const struct program_memory *m = &t->memory;
    int64_t bytes = m->flat.first[PARAMETER_GROUPS], L = t->p->depth;
    char *parameters = program_memory_flat(m, FLAT_PARAMETER), *kept = malloc((size_t)bytes);
    const char *why = kept ? NULL : "out of memory";
    if (kept && !backend_read(t->backend, kept, parameters, bytes))
        why = "the parameters cannot be copied from the device";
    for (int q = 0; q < 4 && !why; q++) {
        why = switch_off(t, q * L / 4, (q + 1) * L / 4);
        why = why ? why : train_run_held_out(t, JUDGE, NULL, &t->out->is.held_out_loss_without_quarter[q]);
        if (!why && !backend_write(t->backend, parameters, kept, bytes))
            why = "the parameters cannot be copied to the device";
    }
    free(kept);
    return why;
}

const char *train_measure_end(struct train *t) {
    const char *why = t->program[PROJECTED].calls ? measure_t_max(t) : NULL;
    return why ? why : measure_quarters(t);
}
