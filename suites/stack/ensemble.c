#include "suites/stack/ensemble.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpu_ref/library.h"
#include "cpu_ref/philox.h"
#include "suites/rows/backend.h"

static void fill_normal(const struct params *p, const char *name, int64_t layer, double std, int64_t count,
                        double *out) {
    uint32_t array = mhc_what(name);
#pragma omp parallel for schedule(static) if (count > 4096)
    for (int64_t k = 0; k < count; k++)
        out[k] = std == 0 ? 0 : std * mhc_normal((uint64_t)p->seed, array, (uint32_t)layer, (uint64_t)k);
}

struct mhc_case ensemble_case(const struct params *p) {
    int64_t heads = p->heads ? p->heads : p->width / p->head_dim > 0 ? p->width / p->head_dim : 1;
    int64_t hidden = p->hidden ? p->hidden : 4 * p->width;
    struct mhc_case c = {.T = p->tokens,
                         .n = p->streams,
                         .C = p->width,
                         .S = p->sequence,
                         .hidden = hidden,
                         .weights = p->width * hidden,
                         .heads = heads,
                         .head_dim = p->head_dim,
                         .vocabulary = p->vocabulary,
                         .t_max = p->t_max,
                         .rms_eps = p->rms_eps,
                         .sinkhorn_eps = p->sinkhorn_eps,
                         .map = params_map(p),
                         .convention = (int32_t)p->convention,
                         .activation = (int32_t)p->activation};
    params_map_constants(p, &c);
    return c;
}

struct program_spec ensemble_stack(const struct params *p, const struct backend *b) {
    static _Thread_local char block[PARAM_TEXT_SIZE], branch[PARAM_TEXT_SIZE];
    snprintf(block, sizeof block, "%s", params_word(p, "block"));
    snprintf(branch, sizeof branch, "%s", params_word(p, "branch"));
    struct program_spec spec = {.backend = b,
                                .c = ensemble_case(p),
                                .connection = block,
                                .branch = branch,
                                .layers = p->depth,
                                .ends = true,
                                .backward = true,
                                .share = true};
    backend_types(b, (int)p->type - 1, &spec.c);
    return spec;
}

/* Where a start puts its logits: `at` for the favoured stream or the diagonal, `off` elsewhere. Those of pre and post
 * with init latent are --pre-post's. */
struct start {
    double pre_at, pre_off, post_at, post_off, res_at, res_off;
    bool stream0; /* the favoured stream is 0, not l mod n */
};

static const struct start starts[] = {
    [INIT_LATENT] = {0, 0, 0, 0, 0, 0, false},           [INIT_MIXED] = {0, 0, 0, 0, 0, 0, false},
    [INIT_NEAR_IDENTITY] = {1, -1, 1, -1, 0, -8, false}, [INIT_GAP] = {8, -8, 0, 0, 0, -160, false},
    [INIT_DIAGONAL] = {1, -1, 1, -1, 2, 0, true},        [INIT_PRE_NORM] = {20, -20, 0, 0, 0, -40, false}};

static const struct start gates[] = {[PRE_POST_LITE] = {1, -1, 1, -1, 0, 0, false},
                                     [PRE_POST_ONE_HOT] = {4, -4, 4, -4, 0, 0, false},
                                     [PRE_POST_EQUAL] = {20, -20, 0, 0, 0, 0, false}};

/* Whether res is drawn itself, around the identity: a scaled skip is HC's map of one stream. */
static bool is_hc(const struct params *p) {
    return connection_is_hc(params_connection(p)) || params_connection(p)->generator == GENERATOR_SKIP;
}

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static void pre_post(const struct params *p, int64_t layer, double *pre, double *post) {
    const struct start *s = p->init == INIT_LATENT ? &gates[p->pre_post] : &starts[p->init];
    int64_t favoured = s->stream0 ? 0 : layer % p->streams;
    for (int64_t i = 0; i < p->streams; i++) {
        double a = i == favoured ? s->pre_at : s->pre_off, b = i == favoured ? s->post_at : s->post_off;
        if (is_hc(p) && p->init == INIT_LATENT) {
            pre[i] = i == favoured;
            post[i] = 1;
        } else {
            pre[i] = is_hc(p) ? sigmoid(a) : a;
            post[i] = is_hc(p) ? 2 * sigmoid(b) : b;
        }
    }
}

/* Paper's Sinkhorn of one matrix, by the oracle. */
static void project(const struct params *p, double *matrix) {
    struct mhc_case c = {.T = 1, .n = p->streams, .t_max = p->t_max};
    struct backend cpu = {.library = &mhc_cpu64};
    double logits[MHC_MAX_STREAMS * MHC_MAX_STREAMS];
    const char *why;
    memcpy(logits, matrix, sizeof(double) * (size_t)(p->streams * p->streams));
    struct array arrays[] = {{"logits", logits}, {"res", matrix}};
    backend_run(&cpu, backend_row(&cpu, "sinkhorn", "forward", &c, &why), &c, arrays, 2, NULL, NULL);
}

/* Of a map whose logits are no matrix. */
static void static_logits(const struct params *p, int64_t layer, double *out) {
    const struct mhc_case c = ensemble_case(p);
    int64_t K = mhc_map_logits(&c);
    double shared[MAP_LOGITS], own[MAP_LOGITS];
    if (p->init != INIT_LATENT && p->init != INIT_MIXED) {
        map_start_f64(&c, (uint64_t)p->seed, layer, out);
        return;
    }
    fill_normal(p, "Z_shared", 0, p->init == INIT_LATENT ? p->s : 0, K, shared);
    fill_normal(p, "Z_layer", layer, p->init == INIT_LATENT ? p->w : 0, K, own);
    for (int64_t k = 0; k < K; k++)
        out[k] = shared[k] + own[k];
}

void ensemble_static(const struct params *p, int64_t layer, double *out) {
    if (connection_has_logits(params_connection(p)) && !connection_has_sinkhorn(params_connection(p))) {
        static_logits(p, layer, out);
        return;
    }
    int64_t n = p->streams;
    const struct start *start = &starts[p->init];
    double shared[MHC_MAX_STREAMS * MHC_MAX_STREAMS], own[MHC_MAX_STREAMS * MHC_MAX_STREAMS];
    if (p->init == INIT_LATENT) {
        fill_normal(p, "Z_shared", 0, p->s, n * n, shared);
        fill_normal(p, "Z_layer", layer, p->w, n * n, own);
        for (int64_t k = 0; k < n * n; k++)
            out[k] = (k % (n + 1) == 0 ? (is_hc(p) ? 1 : p->d) : 0) + shared[k] + own[k];
    } else {
        for (int64_t k = 0; k < n * n; k++)
            out[k] = k % (n + 1) == 0 ? start->res_at : start->res_off;
        if (is_hc(p) && p->init == INIT_DIAGONAL)
            for (int64_t k = 0; k < n * n; k++)
                out[k] = k % (n + 1) == 0;
        else if (is_hc(p))
            project(p, out);
    }
    if (p->convention == MHC_V4 && !is_hc(p)) /* V4's logits are [source][destination] */
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < i; j++) {
                double swap = out[i * n + j];
                out[i * n + j] = out[j * n + i];
                out[j * n + i] = swap;
            }
}

/* Std of the dynamic product before alpha; the field's starts mostly have none. */
static double dynamic_std(const struct params *p) {
    bool none = p->init == INIT_NEAR_IDENTITY || p->init == INIT_GAP || p->init == INIT_PRE_NORM;
    return none || params_connection(p)->generator == GENERATOR_STATIC ||
                   connection_has_one_stream(params_connection(p))
               ? 0
               : p->phi;
}

bool ensemble_dynamic(const struct params *p) {
    return p->alpha * dynamic_std(p) != 0;
}

void ensemble_dynamic_draw(const struct params *p, int64_t layer, int64_t count, double *out) {
    fill_normal(p, "dynamic", layer, dynamic_std(p), count, out);
}

void ensemble_gates(const struct params *p, int64_t layer, int64_t T, double *pre, double *post) {
    const int64_t n = p->streams;
    const bool hc = connection_is_hc(params_connection(p)), one = connection_has_one_stream(params_connection(p));
    const double std = ensemble_dynamic(p) ? dynamic_std(p) : 0;
    const double added = p->convention == MHC_V4 ? p->sinkhorn_eps : 0;
    double fixed_pre[MHC_MAX_STREAMS], fixed_post[MHC_MAX_STREAMS];
    pre_post(p, layer, fixed_pre, fixed_post);
    fill_normal(p, "dynamic_pre", layer, std, T * n, pre);
    fill_normal(p, "dynamic_post", layer, std, T * n, post);
    for (int64_t k = 0; k < T * n; k++) {
        const double a = fixed_pre[k % n] + p->alpha * (hc ? tanh(pre[k]) : pre[k]);
        const double b = fixed_post[k % n] + p->alpha * (hc ? tanh(post[k]) : post[k]);
        pre[k] = one ? 1 : hc ? a : sigmoid(a) + added;
        post[k] = one ? 1 : hc ? b : 2 * sigmoid(b);
    }
}

static void fill_phi(const struct params *p, int64_t layer, int64_t count, double *values) {
    int64_t D = p->streams * p->width;
    if (p->init != INIT_MIXED) {
        fill_normal(p, "phi", layer, dynamic_std(p) / sqrt((double)D), count, values);
        return;
    }
    double limit = p->phi * sqrt(3.0 / (double)D); /* uniform as Xavier's, with the std that --phi asks for */
    for (int64_t k = 0; k < count; k++)
        values[k] =
            limit *
            (2 * mhc_uniform_of_bits(mhc_bits((uint64_t)p->seed, mhc_what("phi"), (uint32_t)layer, (uint64_t)k)) - 1);
}

void ensemble_parameter(const struct params *p, int64_t layer, const char *name, int64_t count, double *values) {
    struct mhc_case c = ensemble_case(p);
    int64_t n = p->streams;
    double pre[MHC_MAX_STREAMS], post[MHC_MAX_STREAMS];
    pre_post(p, layer, pre, post);
    if (!strcmp(name, "phi"))
        fill_phi(p, layer, count, values);
    else if (!strncmp(name, "theta_", 6))
        fill_normal(p, name, layer, dynamic_std(p) / sqrt((double)p->width), count, values);
    else if (!strcmp(name, "alpha"))
        for (int64_t k = 0; k < count; k++)
            values[k] = p->init == INIT_GAP ? 0 : p->alpha;
    else if (!strcmp(name, "b_pre"))
        memcpy(values, pre, (size_t)n * sizeof *values);
    else if (!strcmp(name, "b_post"))
        memcpy(values, post, (size_t)n * sizeof *values);
    else if (!strcmp(name, "b_res") || !strcmp(name, "scale"))
        ensemble_static(p, layer, values);
    else if (!strcmp(name, "b")) {
        memcpy(values, pre, (size_t)n * sizeof *values);
        memcpy(values + n, post, (size_t)n * sizeof *values);
        if (count > 2 * n)
            ensemble_static(p, layer, values + 2 * n);
    } else if (!strcmp(name, "gain"))
        for (int64_t k = 0; k < count; k++)
            values[k] = 1;
    else { /* a weight [in][out]: w_down and w_o lead back to C */
        int64_t fan_in = !strcmp(name, "w_down") ? c.hidden : !strcmp(name, "w_o") ? c.heads * c.head_dim : c.C;
        fill_normal(p, name, layer, p->branch_gain / sqrt((double)fan_in), count, values);
    }
}

int64_t ensemble_readable(int64_t bytes) {
    return bytes / 100 * ENSEMBLE_READ_PERCENT + bytes % 100 * ENSEMBLE_READ_PERCENT / 100;
}

/* T consecutive bytes from a place in the readable part that the seed decides. */
static bool text_tokens(const struct params *p, double *x0, char *why, size_t why_size) {
    struct stat about;
    if (!ensemble_check_input(p, why, why_size) || stat(p->input, &about))
        return false;
    FILE *file = fopen(p->input, "rb");
    unsigned char *bytes = malloc((size_t)p->tokens);
    double *table = malloc(256 * (size_t)p->width * sizeof *table);
    uint64_t places = (uint64_t)(ensemble_readable(about.st_size) - p->tokens) + 1;
    long offset = (long)(mhc_bits((uint64_t)p->seed, mhc_what("offset"), 0, 0) % places);
    bool good = file && bytes && table && !fseek(file, offset, SEEK_SET) &&
                fread(bytes, 1, (size_t)p->tokens, file) == (size_t)p->tokens;
    if (good) {
        fill_normal(p, "embedding", 0, 1, 256 * p->width, table);
        for (int64_t t = 0; t < p->tokens; t++)
            memcpy(x0 + t * p->width, table + bytes[t] * p->width, (size_t)p->width * sizeof *x0);
    } else
        snprintf(why, why_size, "--input %s cannot be read: %s", p->input,
                 file ? "out of memory or too short" : strerror(errno));
    if (file)
        fclose(file);
    free(bytes);
    free(table);
    return good;
}

bool ensemble_check_input(const struct params *p, char *why, size_t why_size) {
    struct stat file;
    if (!p->input[0])
        return true;
    if (stat(p->input, &file) || access(p->input, R_OK))
        return snprintf(why, why_size, "--input %s: %s", p->input, strerror(errno)), false;
    if (!S_ISREG(file.st_mode))
        return snprintf(why, why_size, "--input %s: not a file of bytes", p->input), false;
    int64_t readable = ensemble_readable(file.st_size);
    if (readable < p->tokens)
        return snprintf(why, why_size,
                        "--input %s: has %lld bytes, %lld without the last %d %%, --tokens asks for %lld", p->input,
                        (long long)file.st_size, (long long)readable, 100 - ENSEMBLE_READ_PERCENT,
                        (long long)p->tokens),
               false;
    return true;
}

bool ensemble_tokens(const struct params *p, double *x0, char *why, size_t why_size) {
    if (p->input[0])
        return text_tokens(p, x0, why, why_size);
    fill_normal(p, "tokens", 0, 1, p->tokens * p->width, x0);
    return true;
}

void ensemble_output_gradient(const struct params *p, double *grad_out) {
    fill_normal(p, "grad_out", 0, 1, p->tokens * p->width, grad_out);
}
