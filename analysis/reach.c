/* The depth mixing matrix M: how much of branch i's output is in the input of branch l.
 *
 * M[l][i] = pre_l . H_(l-1)...H_(i+1) . post_i, and pre_l . H_(l-1)...H_0 . 1 of the embedding. The scores carry the
 * contents of the streams, W [n][l + 1], through the layers: W <- H W, append the column post; row l is pre . W. The
 * matrix goes source by source, because means over tokens then need no room of their own per thread. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/maps.h"

#define FAR 0x1p100 /* numbers within [1 / FAR, FAR] are multiplied as they are */

/* Copies numbers, divided by the power of two that is returned where their largest is far from 1. */
static int64_t take(const double *from, int64_t count, double *to) {
    double largest = 0;
    for (int64_t k = 0; k < count; k++)
        largest = fmax(largest, fabs(from[k]));
    const bool near = (largest <= FAR && largest >= 1 / FAR) || largest == 0 || !isfinite(largest);
    const int exponent = near ? 0 : ilogb(largest);
    for (int64_t k = 0; k < count; k++)
        to[k] = near ? from[k] : ldexp(from[k], -exponent);
    return exponent;
}

/* What reads behind layer l, from 0: branch l + 1, or the exit. */
static int64_t take_reader(const struct mhc_depth *d, int64_t l, int64_t t, double *pre) {
    if (l + 1 < d->L)
        return take(d->pre + ((l + 1) * d->T + t) * d->n, d->n, pre);
    for (int64_t i = 0; i < d->n; i++)
        pre[i] = 1 / (double)d->n;
    return 0;
}

/* ---- scores ---- */

enum { FORWARD_MAX, FORWARD_MEAN, BACKWARD, SOURCES, EMBEDDING, NEWEST, RANK, SCORES };
static const enum mhc_metric metrics[SCORES] = {MHC_reach_forward_max, MHC_reach_forward_mean, MHC_reach_backward,
                                                MHC_reach_sources,     MHC_reach_embedding,    MHC_reach_newest,
                                                MHC_reach_rank};
enum { SCALED = SOURCES }; /* the first have an exponent */

/* The streams of one token. Source k is the embedding (0) or branch k - 1; its column of w is to be multiplied with
 * 2^exponent[k]. */
struct contents {
    int64_t n, room, sources;
    bool scaled; /* some exponent is not 0 */
    double *memory, *w, *next, *row, *top, *packed, *scratch;
    int64_t *exponent;
    struct scaled *heard; /* sum over rows */
};

struct reach {
    const struct mhc_depth *d;
    double *score[SCORES];     /* [L][T] */
    int64_t *exponent[SCALED]; /* [L][T] */
    bool rank;
};

static bool open_contents(struct contents *c, const struct mhc_depth *d) {
    *c = (struct contents){.n = d->n, .room = d->L + 1};
    const int64_t matrix = c->n * c->room;
    c->memory = maps_allocate(4 * matrix + 2 * c->room, sizeof *c->memory);
    c->exponent = maps_allocate(c->room, sizeof *c->exponent);
    c->heard = maps_allocate(c->room, sizeof *c->heard);
    if (!c->memory || !c->exponent || !c->heard)
        return false;
    c->w = c->memory;
    c->next = c->w + matrix;
    c->packed = c->next + matrix;
    c->scratch = c->packed + matrix;
    c->row = c->scratch + matrix;
    c->top = c->row + c->room;
    return true;
}

static void close_contents(struct contents *c) {
    free(c->memory);
    free(c->exponent);
    free(c->heard);
}

static void append(struct contents *c, const double *column) {
    double own[MHC_MAX_STREAMS];
    const int64_t k = c->sources++, exponent = take(column, c->n, own);
    for (int64_t i = 0; i < c->n; i++)
        c->w[i * c->room + k] = own[i];
    c->exponent[k] = exponent;
    c->scaled |= exponent != 0;
    c->heard[k] = (struct scaled){0, exponent};
}

/* Brings columns back that have gone far from 1. */
static void rescale(struct contents *c) {
    for (int64_t k = 0; k < c->sources; k++) {
        const double top = c->top[k];
        if (top == 0 || !isfinite(top) || (top <= FAR && top >= 1 / FAR))
            continue;
        const int shift = ilogb(top);
        for (int64_t i = 0; i < c->n; i++)
            c->w[i * c->room + k] = ldexp(c->w[i * c->room + k], -shift);
        c->exponent[k] += shift;
        c->scaled = true;
    }
}

/* W <- H W */
static void carry(struct contents *c, const double *res) {
    double map[MAP_SIZE];
    const int64_t n = c->n, sources = c->sources, exponent = take(res, n * n, map);
    memset(c->top, 0, (size_t)sources * sizeof *c->top);
    for (int64_t i = 0; i < n; i++) {
        double *to = c->next + i * c->room;
        memset(to, 0, (size_t)sources * sizeof *to);
        for (int64_t j = 0; j < n; j++) {
            const double *from = c->w + j * c->room, factor = map[i * n + j];
#pragma omp simd
            for (int64_t k = 0; k < sources; k++)
                to[k] += factor * from[k];
        }
#pragma omp simd
        for (int64_t k = 0; k < sources; k++)
            c->top[k] = fabs(to[k]) > c->top[k] ? fabs(to[k]) : c->top[k];
    }
    double *swap = c->w;
    c->w = c->next;
    c->next = swap;
    for (int64_t k = 0; exponent && k < sources; k++)
        c->exponent[k] += exponent;
    c->scaled |= exponent != 0;
    rescale(c);
}

/* |pre . W| into row, to be multiplied with 2^(what is returned). */
static int64_t read_row(struct contents *c, const double *pre, int64_t pre_exponent) {
    double *row = c->row;
    memset(row, 0, (size_t)c->sources * sizeof *row);
    for (int64_t i = 0; i < c->n; i++) {
        const double *from = c->w + i * c->room;
#pragma omp simd
        for (int64_t k = 0; k < c->sources; k++)
            row[k] += pre[i] * from[k];
    }
    for (int64_t k = 0; k < c->sources; k++) {
        row[k] = fabs(row[k]);
        c->heard[k] = scaled_add(c->heard[k], (struct scaled){row[k], c->exponent[k] + pre_exponent});
    }
    if (!c->scaled)
        return pre_exponent;
    int64_t most = INT64_MIN;
    for (int64_t k = 0; k < c->sources; k++)
        if (row[k] != 0 && c->exponent[k] > most)
            most = c->exponent[k];
    for (int64_t k = 0; k < c->sources; k++) {
        const int64_t shift = row[k] != 0 ? c->exponent[k] - most : 0;
        row[k] = ldexp(row[k], shift < -3000 ? -3000 : (int)shift);
    }
    return most == INT64_MIN ? 0 : most + pre_exponent;
}

/* Effective rank of W, [n][sources]: the largest column decides the scale. */
static double rank_of(struct contents *c) {
    const int64_t sources = c->sources;
    int64_t most = INT64_MIN;
    for (int64_t k = 0; k < sources; k++)
        if (c->exponent[k] > most)
            most = c->exponent[k];
    for (int64_t i = 0; i < c->n; i++) {
        double *to = c->packed + i * sources;
        memcpy(to, c->w + i * c->room, (size_t)sources * sizeof *to);
        for (int64_t k = 0; c->scaled && k < sources; k++) {
            const int64_t shift = c->exponent[k] - most;
            to[k] = ldexp(to[k], shift < -3000 ? -3000 : (int)shift);
        }
    }
    return streams_rank(c->packed, c->n, sources, c->scratch);
}

static void score_row(const struct reach *r, struct contents *c, int64_t l, int64_t t) {
    double pre[MHC_MAX_STREAMS], sum = 0, most = 0, entropy = 0;
    const int64_t exponent = read_row(c, pre, take_reader(r->d, l, t, pre)), at = l * r->d->T + t;
    for (int64_t k = 0; k < c->sources; k++) {
        sum += c->row[k];
        most = c->row[k] > most ? c->row[k] : most;
    }
    if (isnan(sum))
        most = NAN;
    for (int64_t k = 0; k < c->sources; k++) {
        const double share = c->row[k] / sum;
        entropy -= share > 0 || isnan(share) ? share * log(share) : 0;
    }
    r->score[FORWARD_MAX][at] = most;
    r->score[FORWARD_MEAN][at] = sum / (double)c->sources;
    r->exponent[FORWARD_MAX][at] = r->exponent[FORWARD_MEAN][at] = exponent;
    r->score[SOURCES][at] = sum == 0 ? 0 : exp(entropy);
    r->score[EMBEDDING][at] = sum == 0 ? 0 : c->row[0] / sum;
    r->score[NEWEST][at] = sum == 0 ? 0 : c->row[c->sources - 1] / sum;
    r->score[RANK][at] = r->rank ? rank_of(c) : 0;
}

static void score_token(const struct reach *r, struct contents *c, int64_t t) {
    const struct mhc_depth *d = r->d;
    double ones[MHC_MAX_STREAMS];
    for (int64_t i = 0; i < d->n; i++)
        ones[i] = 1;
    c->sources = 0;
    c->scaled = false;
    append(c, ones);
    for (int64_t l = 0; l < d->L; l++) {
        carry(c, d->res + (l * d->T + t) * d->n * d->n);
        append(c, d->post + (l * d->T + t) * d->n);
        score_row(r, c, l, t);
    }
    for (int64_t l = 0; l < d->L; l++) {
        r->score[BACKWARD][l * d->T + t] = c->heard[l + 1].value / (double)(d->L - l);
        r->exponent[BACKWARD][l * d->T + t] = c->heard[l + 1].exponent;
    }
}

static int score_tokens(const struct reach *r) {
    int failed = 0;
#pragma omp parallel if (r->d->T * r->d->L > 256)
    {
        struct contents c;
        const bool good = open_contents(&c, r->d);
        if (!good) {
#pragma omp atomic write
            failed = -1;
        }
#pragma omp for schedule(static)
        for (int64_t t = 0; t < r->d->T; t++)
            if (good)
                score_token(r, &c, t);
        close_contents(&c);
    }
    return failed;
}

int mhc_measure_reach(const struct mhc_depth *d, struct mhc_curves *curves) {
    const int64_t count = d->L * d->T;
    struct reach r = {.d = d};
    for (int s = 0; s < MHC_STATISTICS; s++)
        r.rank |= curves->curve[MHC_reach_rank][s] != NULL;
    double *scores = maps_allocate(SCORES * count, sizeof *scores);
    int64_t *exponents = maps_allocate(SCALED * count, sizeof *exponents);
    for (int s = 0; scores && exponents && s < SCORES; s++) {
        r.score[s] = scores + s * count;
        if (s < SCALED)
            r.exponent[s] = exponents + s * count;
    }
    int failed = scores && exponents ? score_tokens(&r) : -1;
    for (int s = 0; s < SCORES && !failed; s++)
        for (int64_t l = 0; l < d->L && !failed; l++)
            failed = mhc_summarise(curves, metrics[s], l, r.score[s] + l * d->T,
                                   s < SCALED ? r.exponent[s] + l * d->T : NULL, d->T);
    free(scores);
    free(exponents);
    return failed;
}

/* ---- the matrix itself ---- */

int64_t mhc_depth_stride(int64_t L) {
    return (L + MHC_DEPTH_MOST) / MHC_DEPTH_MOST;
}

int64_t mhc_depth_rows(int64_t L) {
    const int64_t stride = mhc_depth_stride(L);
    return (L + stride) / stride;
}

/* Adds the entries of a token's column of M, of one source, to the sums of the rows that are kept. */
static void add_column(const struct mhc_depth *d, int64_t source, int64_t t, struct scaled *sum) {
    const int64_t n = d->n, stride = mhc_depth_stride(d->L), rows = mhc_depth_rows(d->L);
    double w[MHC_MAX_STREAMS], next[MHC_MAX_STREAMS], map[MAP_SIZE], pre[MHC_MAX_STREAMS];
    for (int64_t i = 0; i < n; i++)
        w[i] = source < 0 ? 1 : d->post[(source * d->T + t) * n + i];
    int64_t exponent = take(w, n, w);
    for (int64_t l = source + 1; l <= d->L; l++) { /* w is what the streams hold of it in front of layer l */
        if ((d->L - l) % stride == 0) {
            const int64_t of_pre = take_reader(d, l - 1, t, pre);
            double entry = 0;
            for (int64_t i = 0; i < n; i++)
                entry += pre[i] * w[i];
            struct scaled *to = &sum[rows - 1 - (d->L - l) / stride];
            *to = scaled_add(*to, (struct scaled){fabs(entry), exponent + of_pre});
        }
        if (l == d->L)
            return;
        exponent += take(d->res + (l * d->T + t) * n * n, n * n, map);
        for (int64_t i = 0; i < n; i++) {
            next[i] = 0;
            for (int64_t j = 0; j < n; j++)
                next[i] += map[i * n + j] * w[j];
        }
        exponent += take(next, n, w);
    }
}

void mhc_depth_matrix(const struct mhc_depth *d, double *out) {
    const int64_t rows = mhc_depth_rows(d->L), stride = mhc_depth_stride(d->L);
#pragma omp parallel for schedule(dynamic)
    for (int64_t k = 0; k < rows; k++) {
        const int64_t source = k * stride - 1;
        struct scaled sum[MHC_DEPTH_MOST] = {{0, 0}};
        for (int64_t t = 0; t < d->T; t++)
            add_column(d, source, t, sum);
        for (int64_t q = 0; q < rows; q++) {
            const bool there = d->L - (rows - 1 - q) * stride > source;
            sum[q].value /= (double)d->T;
            out[q * rows + k] = there ? scaled_log10(sum[q]) : NAN;
        }
    }
}
