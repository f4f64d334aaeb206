/* The paper, equation by equation: mHC, arXiv 2512.24880. Start reading here.
 *
 * One function per equation, for one token, in double, with plain loops. It is written to be compared with the paper by
 * eye, not to be fast. tests/test_paper.c holds the tuned operations of this room to it. Change it only when the paper
 * changes.
 *
 *   n, C            streams, and the width of one stream
 *   x [n][C]        the streams of one token
 *   F               the branch: attention or MLP, with its own norm
 *   pre, post [n]   the paper's H_pre and H_post
 *   res [n][n]      the paper's H_res: a row is a destination stream, a column is a source stream
 *
 * The paper leaves three things open. Here they are:
 *   - The eps of a root mean square is an argument. Eq. 15 has none; Table 5 gives 1e-20 for the whole model.
 *   - mat() in Eq. 7 is row-major.
 *   - Eq. 9 takes no maximum off the logits, and neither does this file: a logit above 709 overflows.
 * The paper prints no formula of the backward pass. The test differentiates these functions numerically instead. */
#ifndef PAPER_H
#define PAPER_H

#include <stdint.h>

/* F: y = F(u, weights), u and y [C]. */
typedef void paper_branch(int64_t C, const double u[C], const void *weights, double y[C]);

/* --- a layer --- */

/* Eq. 1, the residual connection: y = F(x), x_next = x + y; all [C]. */
void paper_eq1_residual(int64_t C, const double x[C], paper_branch *F, const void *weights, double y[C],
                        double x_next[C]);

/* Eq. 3: x_next = res x + post^T F(pre x); x, x_next [n][C]. It also returns u = pre x and y = F(u). The pre map acts
 * on x itself, not on the normalised x of Eq. 5 and 7. */
void paper_eq3_layer(int64_t n, int64_t C, const double x[n][C], const double pre[n], const double post[n],
                     const double res[n][n], paper_branch *F, const void *weights, double u[C], double y[C],
                     double x_next[n][C]);

/* The two halves of Eq. 3, which section 4.3.1 calls F_pre and F_post,res: u = pre x; x_next = res x + post^T y. */
void paper_eq3_pre(int64_t n, int64_t C, const double x[n][C], const double pre[n], double u[C]);
void paper_eq3_post_res(int64_t n, int64_t C, const double x[n][C], const double y[C], const double post[n],
                        const double res[n][n], double x_next[n][C]);

/* The product in Eq. 4, H_L ... H_2 H_1: later layers stand on the left. H [L][n][n], first layer first; L >= 1. */
void paper_eq4_composite(int64_t n, int64_t L, const double H[L][n][n], double product[n][n]);

/* --- coefficients of HC --- */

/* Eq. 5, with x~ = RMSNorm(x), each stream by itself:
 *   pre_i = alpha_pre tanh(theta_pre x~_i) + b_pre_i     post_i likewise
 *   res_ij = alpha_res tanh(theta_res_i x~_j) + b_res_ij  (column j depends on its source stream alone)
 * theta_pre, theta_post [C]; theta_res [n][C]; b_pre, b_post [n]; b_res [n][n]. */
void paper_eq5_hc(int64_t n, int64_t C, const double x[n][C], double eps, const double theta_pre[C],
                  const double theta_post[C], const double theta_res[n][C], double alpha_pre, double alpha_post,
                  double alpha_res, const double b_pre[n], const double b_post[n], const double b_res[n][n],
                  double pre[n], double post[n], double res[n][n]);

/* --- coefficients of mHC --- */

/* Eq. 7, the logits, with x' = RMSNorm(vec(x)), all nC values together; no tanh:
 *   logits_pre = alpha_pre x' phi_pre + b_pre               logits_post likewise
 *   logits_res = alpha_res mat(x' phi_res) + b_res
 * phi_pre, phi_post [nC][n]; phi_res [nC][n^2]; x is vec(x) [nC], one stream after the other. */
void paper_eq7_logits(int64_t n, int64_t C, const double x[n * C], double eps, const double phi_pre[n * C][n],
                      const double phi_post[n * C][n], const double phi_res[n * C][n * n], double alpha_pre,
                      double alpha_post, double alpha_res, const double b_pre[n], const double b_post[n],
                      const double b_res[n][n], double logits_pre[n], double logits_post[n], double logits_res[n][n]);

/* Eq. 8: pre = sigmoid, post = 2 sigmoid, res = Sinkhorn of the logits. Eq. 17 to 19 say the same of the kernels. */
void paper_eq8_mhc(int64_t n, int64_t t_max, const double logits_pre[n], const double logits_post[n],
                   const double logits_res[n][n], double pre[n], double post[n], double res[n][n]);

/* Eq. 9: M = exp(logits), then t_max times M = T_r(T_c(M)). T_c divides every column by its sum, T_r every row;
 * rows come last. */
void paper_eq9_sinkhorn(int64_t n, int64_t t_max, const double logits[n][n], double res[n][n]);

/* --- the same logits in the order of the kernels --- */

/* Eq. 14: product = vec(x) phi; x is not normalised. phi [nC][n^2 + 2n] (Eq. 10) holds phi_pre, phi_post and phi_res
 * side by side. */
void paper_eq14_product(int64_t n, int64_t C, const double x[n * C], const double phi[n * C][n * n + 2 * n],
                        double product[n * n + 2 * n]);

/* Eq. 15: r = |vec(x)| / sqrt(nC), with eps under the root. */
double paper_eq15_norm(int64_t n, int64_t C, const double x[n * C], double eps);

/* Eq. 16: logits = alpha product / r + b, each part with its own alpha; b (Eq. 13) and logits [n^2 + 2n] in the order
 * of phi. */
void paper_eq16_logits(int64_t n, const double product[n * n + 2 * n], double r, double alpha_pre, double alpha_post,
                       double alpha_res, const double b[n * n + 2 * n], double logits[n * n + 2 * n]);

/* --- section 3.1: Amax gain magnitude --- */

/* Gains of a map or a composite H: forward of its rows, backward of its columns. The paper's words allow two readings:
 * *sum is the largest |sum of a row|, *abs is the largest sum of |entries| of a row, an induced norm. */
void paper_amax_forward(int64_t n, const double H[n][n], double *sum, double *abs);
void paper_amax_backward(int64_t n, const double H[n][n], double *sum, double *abs);

/* --- section 4.3.2: recomputing --- */

/* Eq. 20, what it minimises: the elements that one token holds when x is kept once every L_r of L layers,
 * nC ceil(L / L_r) + (n + 2) C L_r. */
double paper_eq20_elements(int64_t n, int64_t C, int64_t L, int64_t L_r);

/* Eq. 20, its approximate solution, a real number: sqrt(n L / (n + 2)). */
double paper_eq20_optimum(int64_t n, int64_t L);

#endif
