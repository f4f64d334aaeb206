/* The deep stack, written once over the rows of any backend:
 *
 *   x_1 = n copies of x0;   x_(l+1) = res_l.x_l + post_l^T.F_l(pre_l.x_l), l = 1..L;   out = sum of the streams of x_(L+1)
 *
 * and its gradient. Memory: `recompute` = 0 keeps what every layer's backward needs; L_r >= 1 keeps x_l once every L_r layers and
 * y_l of every layer, and computes the rest again, a block of L_r layers at a time (mHC section 4.3.2, Table 3). Both give
 * the same bits. Layers are numbered from 0 here. */
#ifndef STACK_H
#define STACK_H

#include "suites/rows/backend.h"

/* What a stack asks and tells its owner. Arrays are float64 on the host; pointers are valid during the call. */
struct stack_owner {
    void *user;
    /* Fill the values of one parameter of a layer; asked again for every use unless the stack holds them. */
    void (*parameter)(void *user, int64_t layer, const char *name, int64_t count, double *values);
    /* One parameter's gradient, `name` without "grad_"; layers come from the last to the first. NULL: not wanted. */
    void (*gradient)(void *user, int64_t layer, const char *name, int64_t count, const double *values);
    /* A layer of the forward pass is done: x = its input [T][n][C], res [T][n][n] (NULL where the block has none), both in the
     * backend's memory; parameters and work are those of the layer, for a row of one's own. NULL: not wanted. */
    void (*forward)(void *user, int64_t layer, const void *x, const void *res, const struct array *parameters,
                    int count);
    /* grad_x [T][n][C] of the input of a layer, in the backend's memory. NULL: not wanted. */
    void (*backward)(void *user, int64_t layer, const void *grad_x);
};

struct stack_spec {
    const struct backend *backend;
    struct mhc_case c;          /* types filled by backend_types() */
    const char *block, *branch; /* kinds of rows: "mhc", "linear" */
    int64_t L;
    int64_t recompute; /* 0 or L_r */
    bool hold;         /* parameters of all layers stay in memory */
    bool gradients;    /* backward will be called */
    struct stack_owner owner;
};

struct stack;

/* The paper's rule L_r = sqrt(nL / (n + 2)), rounded, at least 1. */
int64_t stack_recompute_rule(int64_t L, int64_t n);

/* Bytes a stack allocates in the backend; -1 and the reason when an operation is missing. Doubles: huge requests must not wrap. */
double stack_bytes(const struct stack_spec *, char *why, size_t why_size);

struct stack *stack_create(const struct stack_spec *, char *why, size_t why_size);
void stack_release(struct stack *);

/* x0, out [T][C] on the host, out may be NULL. Returns NULL or why it failed. */
const char *stack_forward(struct stack *, const double *x0, double *out);
/* After stack_forward. grad_out, grad_x0 [T][C]; grad_x0 may be NULL. */
const char *stack_backward(struct stack *, const double *grad_out, double *grad_x0);

#endif
