/* x_next = res.x + post^T.y and its relatives: streaming over channels with the n x n coefficients of the token at
 * hand. */
#include "cpu_ref/connection.h"

/* out_i = sum_j M(i,j) a_j + v_i b, channel by channel. M is [n][n], read transposed on request; NULL: the identity.
 * b may be NULL. */
SPECIALISED void mix_channels(const int n, int64_t C, int64_t from, int64_t to, const real *a, const real *M,
                              bool transpose, const real *b, const real *v, real *out) {
    for (int64_t c = from; c < to; c++) {
        real sum[MHC_MAX_STREAMS];
        for (int i = 0; i < n; i++) {
            sum[i] = v[i] * b[c];
            if (!M)
                sum[i] += a[i * C + c];
            else
                for (int j = 0; j < n; j++)
                    sum[i] += M[transpose ? j * n + i : i * n + j] * a[j * C + c];
        }
        for (int i = 0; i < n; i++)
            out[i * C + c] = sum[i];
    }
}

/* The same in vectors, the tail by channels. */
SPECIALISED void mix(const int n, int64_t C, const real *a, const real *M, bool transpose, const real *b, const real *v,
                     real *out) {
    int64_t c = 0;
    for (; c + LANES <= C; c += LANES) {
        vec row[MHC_MAX_STREAMS], last = vec_load(b + c);
        for (int j = 0; j < n; j++)
            row[j] = vec_load(a + j * C + c);
        for (int i = 0; i < n; i++) {
            vec sum = v[i] * last;
            if (!M)
                sum += row[i];
            else
                for (int j = 0; j < n; j++)
                    sum += M[transpose ? j * n + i : i * n + j] * row[j];
            vec_store(out + i * C + c, sum);
        }
    }
    mix_channels(n, C, c, C, a, M, transpose, b, v, out);
}

void NAME(aggregate)(int64_t n, int64_t C, const real *x, const real *pre, real *u) {
    int64_t c = 0;
    for (; c + LANES <= C; c += LANES) {
        vec sum = pre[0] * vec_load(x + c);
        for (int64_t i = 1; i < n; i++)
            sum += pre[i] * vec_load(x + i * C + c);
        vec_store(u + c, sum);
    }
    for (; c < C; c++) {
        real sum = pre[0] * x[c];
        for (int64_t i = 1; i < n; i++)
            sum += pre[i] * x[i * C + c];
        u[c] = sum;
    }
}

void NAME(combine)(int64_t n, int64_t C, const real *x, const real *y, const real *post, const real *res,
                   real *x_next) {
#define CALL(n) mix((int)(n), C, x, res, false, y, post, x_next)
    FOR_STREAMS(n, CALL)
#undef CALL
}

void stream_gradient(int64_t n, int64_t C, const real *g, const real *du, const real *pre, const real *res, real *dx){
#define CALL(n) mix((int)(n), C, g, res, true, du, pre, dx)
    FOR_STREAMS(n, CALL)
#undef CALL
}

/* out_ij = <a_i, b_j>, a [n][C], b [n][C]: a row of sums at a time, which fits the registers for n <= 8. */
SPECIALISED void products(const int n, int64_t C, const real *a, const real *b, real *out) {
    for (int i = 0; i < n; i++) {
        vec sum[MHC_MAX_STREAMS];
        for (int j = 0; j < n; j++)
            sum[j] = (vec){0};
        int64_t c = 0;
        for (; c + LANES <= C; c += LANES) {
            vec left = vec_load(a + i * C + c);
            for (int j = 0; j < n; j++)
                sum[j] += left * vec_load(b + j * C + c);
        }
        for (int j = 0; j < n; j++) {
            real total = vec_sum(sum[j]);
            for (int64_t tail = c; tail < C; tail++)
                total += a[i * C + tail] * b[j * C + tail];
            out[i * n + j] = total;
        }
    }
}

void coefficient_gradients(int64_t n, int64_t C, const real *x, const real *y, const real *g, const real *du,
                           real *dpre, real *dpost, real *dres) {
    for (int64_t i = 0; i < n; i++) {
        dpre[i] = NAME(dot)(x + i * C, du, C);
        dpost[i] = NAME(dot)(y, g + i * C, C);
    }
    if (!dres)
        return;
#define CALL(n) products((int)(n), C, g, x, dres)
    FOR_STREAMS(n, CALL)
#undef CALL
}

void post_tokens(const struct mhc_case *c, const real *x, const real *y, const real *post, const real *res,
                 real *x_next) {
    int64_t n = c->n, C = c->C;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++)
        NAME(combine)(n, C, x + t * n * C, y + t * C, post + t * n, res ? res + t * n * n : NULL, x_next + t * n * C);
}

void NAME(weigh_streams)(const struct mhc_case *c, const real *x, const real *weight, real *sum) {
    int64_t n = c->n, C = c->C;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++)
        NAME(aggregate)(n, C, x + t * n * C, weight + t * n, sum + t * C);
}
