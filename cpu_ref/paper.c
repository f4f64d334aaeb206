/* The equations themselves; paper.h says what they are. */
#include "cpu_ref/paper.h"

#include <math.h>

static double root_mean_square(int64_t count, const double x[count], double eps) {
    double square = 0;
    for (int64_t k = 0; k < count; k++)
        square += x[k] * x[k];
    return sqrt(square / (double)count + eps);
}

static double dot(int64_t count, const double a[count], const double b[count]) {
    double sum = 0;
    for (int64_t k = 0; k < count; k++)
        sum += a[k] * b[k];
    return sum;
}

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

/* --- a layer --- */

void paper_eq1_residual(int64_t C, const double x[C], paper_branch *F, const void *weights, double y[C],
                        double x_next[C]) {
    F(C, x, weights, y);
    for (int64_t c = 0; c < C; c++)
        x_next[c] = x[c] + y[c];
}

void paper_eq3_pre(int64_t n, int64_t C, const double x[n][C], const double pre[n], double u[C]) {
    for (int64_t c = 0; c < C; c++) {
        u[c] = 0;
        for (int64_t i = 0; i < n; i++)
            u[c] += pre[i] * x[i][c];
    }
}

void paper_eq3_post_res(int64_t n, int64_t C, const double x[n][C], const double y[C], const double post[n],
                        const double res[n][n], double x_next[n][C]) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < C; c++) {
            x_next[i][c] = post[i] * y[c];
            for (int64_t j = 0; j < n; j++)
                x_next[i][c] += res[i][j] * x[j][c];
        }
}

void paper_eq3_layer(int64_t n, int64_t C, const double x[n][C], const double pre[n], const double post[n],
                     const double res[n][n], paper_branch *F, const void *weights, double u[C], double y[C],
                     double x_next[n][C]) {
    paper_eq3_pre(n, C, x, pre, u);
    F(C, u, weights, y);
    paper_eq3_post_res(n, C, x, y, post, res, x_next);
}

void paper_eq4_composite(int64_t n, int64_t L, const double H[L][n][n], double product[n][n]) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            product[i][j] = H[0][i][j];
    for (int64_t l = 1; l < L; l++)
        for (int64_t j = 0; j < n; j++) {
            double column[n];
            for (int64_t i = 0; i < n; i++)
                column[i] = product[i][j];
            for (int64_t i = 0; i < n; i++)
                product[i][j] = dot(n, H[l][i], column);
        }
}

/* --- coefficients of HC --- */

void paper_eq5_hc(int64_t n, int64_t C, const double x[n][C], double eps, const double theta_pre[C],
                  const double theta_post[C], const double theta_res[n][C], double alpha_pre, double alpha_post,
                  double alpha_res, const double b_pre[n], const double b_post[n], const double b_res[n][n],
                  double pre[n], double post[n], double res[n][n]) {
    for (int64_t j = 0; j < n; j++) {
        double r = root_mean_square(C, x[j], eps), normalised[C];
        for (int64_t c = 0; c < C; c++)
            normalised[c] = x[j][c] / r;
        pre[j] = alpha_pre * tanh(dot(C, theta_pre, normalised)) + b_pre[j];
        post[j] = alpha_post * tanh(dot(C, theta_post, normalised)) + b_post[j];
        for (int64_t i = 0; i < n; i++)
            res[i][j] = alpha_res * tanh(dot(C, theta_res[i], normalised)) + b_res[i][j];
    }
}

/* --- coefficients of mHC --- */

void paper_eq7_logits(int64_t n, int64_t C, const double x[n * C], double eps, const double phi_pre[n * C][n],
                      const double phi_post[n * C][n], const double phi_res[n * C][n * n], double alpha_pre,
                      double alpha_post, double alpha_res, const double b_pre[n], const double b_post[n],
                      const double b_res[n][n], double logits_pre[n], double logits_post[n], double logits_res[n][n]) {
    double r = root_mean_square(n * C, x, eps), normalised[n * C];
    for (int64_t k = 0; k < n * C; k++)
        normalised[k] = x[k] / r;
    for (int64_t i = 0; i < n; i++) {
        double pre = 0, post = 0;
        for (int64_t k = 0; k < n * C; k++) {
            pre += normalised[k] * phi_pre[k][i];
            post += normalised[k] * phi_post[k][i];
        }
        logits_pre[i] = alpha_pre * pre + b_pre[i];
        logits_post[i] = alpha_post * post + b_post[i];
        for (int64_t j = 0; j < n; j++) {
            double res = 0;
            for (int64_t k = 0; k < n * C; k++)
                res += normalised[k] * phi_res[k][i * n + j];
            logits_res[i][j] = alpha_res * res + b_res[i][j];
        }
    }
}

void paper_eq8_mhc(int64_t n, int64_t t_max, const double logits_pre[n], const double logits_post[n],
                   const double logits_res[n][n], double pre[n], double post[n], double res[n][n]) {
    for (int64_t i = 0; i < n; i++) {
        pre[i] = sigmoid(logits_pre[i]);
        post[i] = 2 * sigmoid(logits_post[i]);
    }
    paper_eq9_sinkhorn(n, t_max, logits_res, res);
}

static void divide_columns(int64_t n, double M[n][n]) {
    for (int64_t j = 0; j < n; j++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += M[i][j];
        for (int64_t i = 0; i < n; i++)
            M[i][j] /= sum;
    }
}

static void divide_rows(int64_t n, double M[n][n]) {
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t j = 0; j < n; j++)
            sum += M[i][j];
        for (int64_t j = 0; j < n; j++)
            M[i][j] /= sum;
    }
}

void paper_eq9_sinkhorn(int64_t n, int64_t t_max, const double logits[n][n], double res[n][n]) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            res[i][j] = exp(logits[i][j]);
    for (int64_t t = 0; t < t_max; t++) {
        divide_columns(n, res);
        divide_rows(n, res);
    }
}

/* --- the same logits in the order of the kernels --- */

void paper_eq14_product(int64_t n, int64_t C, const double x[n * C], const double phi[n * C][n * n + 2 * n],
                        double product[n * n + 2 * n]) {
    for (int64_t m = 0; m < n * n + 2 * n; m++) {
        product[m] = 0;
        for (int64_t k = 0; k < n * C; k++)
            product[m] += x[k] * phi[k][m];
    }
}

double paper_eq15_norm(int64_t n, int64_t C, const double x[n * C], double eps) {
    return root_mean_square(n * C, x, eps);
}

void paper_eq16_logits(int64_t n, const double product[n * n + 2 * n], double r, double alpha_pre, double alpha_post,
                       double alpha_res, const double b[n * n + 2 * n], double logits[n * n + 2 * n]) {
    for (int64_t m = 0; m < n * n + 2 * n; m++) {
        double alpha = m < n ? alpha_pre : m < 2 * n ? alpha_post : alpha_res;
        logits[m] = alpha * product[m] / r + b[m];
    }
}

/* --- section 3.1: Amax gain magnitude --- */

void paper_amax_forward(int64_t n, const double H[n][n], double *sum, double *abs) {
    *sum = *abs = 0;
    for (int64_t i = 0; i < n; i++) {
        double row_sum = 0, row_abs = 0;
        for (int64_t j = 0; j < n; j++) {
            row_sum += H[i][j];
            row_abs += fabs(H[i][j]);
        }
        *sum = fmax(*sum, fabs(row_sum));
        *abs = fmax(*abs, row_abs);
    }
}

void paper_amax_backward(int64_t n, const double H[n][n], double *sum, double *abs) {
    *sum = *abs = 0;
    for (int64_t j = 0; j < n; j++) {
        double column_sum = 0, column_abs = 0;
        for (int64_t i = 0; i < n; i++) {
            column_sum += H[i][j];
            column_abs += fabs(H[i][j]);
        }
        *sum = fmax(*sum, fabs(column_sum));
        *abs = fmax(*abs, column_abs);
    }
}

/* --- section 4.3.2: recomputing --- */

double paper_eq20_elements(int64_t n, int64_t C, int64_t L, int64_t L_r) {
    int64_t kept = (L + L_r - 1) / L_r;
    return (double)(n * C) * (double)kept + (double)((n + 2) * C) * (double)L_r;
}

double paper_eq20_optimum(int64_t n, int64_t L) {
    return sqrt((double)(n * L) / (double)(n + 2));
}
