/* The fixed cases of a row, which come before the random ones. They have every value of the lists at least once, and
 * every pair of n and C mod 8, of n and T, and of C mod 8 and T. Each case also has one of a few kinds of sharp
 * inputs. */
#include "suites/gate/check.h"

#include <string.h>

static const int64_t streams[] = {1, 2, 3, 4, 5, 6, 7, 8, 12, 16};
static const int64_t tokens[] = {1, 21, 96, 112, 127, 2, 257, 5};
/* These replace T = 257, by place of n: one past several tiles, and fewer tokens where a token is more work. */
static const int64_t past_tiles[] = {257, 129, 113, 65, 33, 97, 17, 17, 17, 17};
static const int64_t iterations[] = {1, 3, 20};
static const double epsilon[] = {1e-6, 1e-5, 1e-3};
/* One and two words; odd numbers; one more than vectors of 2, 8, 32 and 256 and than a block; as many as a real text
 * has. */
static const int64_t vocabularies[] = {1, 2, 3, 8, 9, 33, 257, 4099},
                     flats[] = {1, 2, 7, 8, 9, 31, 33, 257, 1025, 8193};
enum { STREAMS = sizeof streams / sizeof *streams, RESIDUES = 8, TOKENS = sizeof tokens / sizeof *tokens };
enum { VOCABULARIES = sizeof vocabularies / sizeof *vocabularies, FLATS = sizeof flats / sizeof *flats };
enum { FEW = 12, MANY_TOKENS = 4096, MOST_WORK = 110000, MANY_WORDS = 50257, MANY_WEIGHTS = 100003 };

static bool has(const struct mhc_row *row, const char *letters) {
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        if (strpbrk(arg->extents, letters))
            return true;
    return false;
}

/* The last case but one is the case of state; the last one has many tokens. */
int64_t cover_count(const struct mhc_row *row) {
    return 2 + (has(row, "V")                               ? VOCABULARIES * RESIDUES
                : has(row, "W")                             ? FLATS * CHECK_STEPS
                : has(row, CHECK_STREAMS) && has(row, "CD") ? STREAMS * RESIDUES
                : has(row, "A")                             ? FEW
                                                            : 2 * FEW);
}

/* Kinds of sharp inputs, which show what mild ones cannot. NEAR_EPSILON makes C long enough for the gradient of x /
 * |x| at a small x. */
enum { MILD, SPREAD, WIDE_SPREAD, NEAR_EPSILON, LARGE_TOKEN, ZERO_TOKEN, TIES, SHARP_KINDS };

static void sharpen(struct trial *t, int64_t kind) {
    t->logit_std = kind == SPREAD ? 10 : kind == WIDE_SPREAD || kind == TIES ? 100 : 1;
    t->ties = kind == TIES;
    t->zero_token = kind == ZERO_TOKEN ? t->c.T / 2 : -1;
    t->large_token = kind == LARGE_TOKEN ? 0 : -1;
    if (kind != NEAR_EPSILON)
        return;
    t->x_scale = 2e-3;
    t->c.C += 16;
}

static int64_t work_of(const struct mhc_case *c) {
    return c->n * c->C * (2 * c->n + c->n * c->n + c->hidden + c->vocabulary / 4 + c->C / 4) +
           c->heads * c->head_dim * (c->C + c->T);
}

bool cover_state(struct trial *t, int attempt) {
    static const int64_t n[] = {4, 1, 4, 1, 4, 1}, C[] = {24, 24, 256, 256, 2560, 2560};
    if (attempt >= (int)(sizeof n / sizeof *n))
        return false;
    sharpen(t, MILD);
    t->c.n = t->c.n > 1 || attempt ? n[attempt] : 1;
    t->c.C = t->c.C > 1 ? C[attempt] : 1;
    /* Long enough for ends of 16 elements, state_same_ends(), in one coefficient per stream too. */
    t->c.T = t->c.S = 17;
    return true;
}

/* The largest divisor of T below T: the longest sequences of which there are several. */
static int64_t sequence_of(int64_t T) {
    for (int64_t by = 2; by < T; by++)
        if (T % by == 0)
            return T / by;
    return T;
}

/* Pairs the vocabulary with T, with C mod 8 and with indices, and the length of flat arrays with every kind of step. */
static void cover_training(struct trial *t, const struct mhc_row *row, int64_t index, bool many) {
    static const double edges[SHARP_KINDS] = {[NEAR_EPSILON] = 88, [LARGE_TOKEN] = 100, [ZERO_TOKEN] = 1e4};
    struct mhc_case *c = &t->c;
    if (has(row, "V")) {
        int64_t word = index % VOCABULARIES, q = index / VOCABULARIES;
        c->vocabulary = vocabularies[many ? 2 : word];
        c->T = many ? MANY_TOKENS + 1 : tokens[q % TOKENS];
        c->C = has(row, "C") ? RESIDUES + (word + q) % RESIDUES : 1;
        c->stream = (word / 2 + q) % 2 ? MHC_BF16 : MHC_F32;
        t->indices = (int32_t)((word / 2 + q) % CHECK_INDICES);
        if (c->T == tokens[TOKENS - 1] && c->vocabulary == vocabularies[VOCABULARIES - 1])
            c->vocabulary = MANY_WORDS;
        if (mhc_arg_find(row, "logits", MHC_IN))
            t->edge = edges[index % SHARP_KINDS];
    }
    if (has(row, "W")) {
        c->weights = many ? MANY_WEIGHTS : flats[index % FLATS];
        t->step = many ? STEP_DRAWN : (int32_t)(index / FLATS % CHECK_STEPS);
    }
}

static bool is_stream(const struct mhc_arg *arg) {
    return arg->direction == MHC_IN && arg->role == MHC_STREAM;
}

/* Whether two inputs of streams have as many elements. */
static bool can_share(const struct mhc_row *row, const struct mhc_case *c) {
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        for (const struct mhc_arg *other = row->args; other < arg; other++)
            if (is_stream(arg) && is_stream(other) && mhc_elements(c, arg) == mhc_elements(c, other))
                return true;
    return false;
}

void cover_case(struct trial *t, const struct mhc_row *row, int64_t index) {
    struct mhc_case *c = &t->c;
    int64_t a = index % STREAMS, q = index / STREAMS, last = cover_count(row) - 1;
    bool many = index == last;
    /* Every n, C mod 8 and T comes in both types. */
    c->stream = (has(row, CHECK_STREAMS) ? q / 2 : index + index / RESIDUES) % 2 ? MHC_BF16 : MHC_F32;
    c->n = has(row, CHECK_STREAMS) ? many ? 2 : streams[a] : 1;
    int64_t residue = has(row, CHECK_STREAMS) ? (q + a) % RESIDUES : index % RESIDUES;
    c->C = !has(row, "CD") ? 1 : c->n > RESIDUES && residue ? residue : residue + RESIDUES * (1 + c->n % 2);
    c->T = many ? MANY_TOKENS + 1 : tokens[(3 * q + 2 * a) % TOKENS];
    c->T = c->T == 257 ? past_tiles[a] : c->T;
    c->hidden = has(row, "HG") ? 8 + index % 17 : 0;
    c->sources = has(row, "R") ? 1 + index % 5 : 0;
    c->t_max = iterations[(index + q) % 3];
    c->convention = (a + 2 * q) % 3 ? MHC_V4 : MHC_PAPER;
    c->activation = index % 2 ? MHC_SWIGLU : MHC_GELU;
    c->rms_eps = epsilon[index % 2];
    c->sinkhorn_eps = epsilon[(index + 2) % 3];
    *t = (struct trial){.c = *c,
                        .seed = t->seed,
                        .logit_std = 1,
                        .x_scale = 1,
                        .grad_scale = 1,
                        .large_token = -1,
                        .zero_token = -1,
                        .steep_b = index % 2,
                        .fixed = true,
                        .mild = many};
    cover_training(t, row, index, many);
    if (has(row, "A")) {
        c->heads = 1 + index % 2;
        c->head_dim = (const int64_t[]){8, 16, 13, 64}[index % 4];
    }
    if (many) {
        c->C = has(row, "CD") ? RESIDUES + 1 : 1;
        c->stream = MHC_F32;
        c->hidden = c->hidden ? FEW : 0;
        c->t_max = 3;
    } else
        while (c->T > 5 && c->T * work_of(c) > (c->T > 17 ? MOST_WORK : 2 * MOST_WORK))
            c->T = c->T > 33 ? 33 : c->T > 17 ? 17 : 5;
    if (has(row, "A")) {
        c->S = many ? 2 * FEW + 1 : c->T;
        c->T = many ? 8 * c->S : index % 3 == 1 ? 2 * c->S : c->S;
    } else if (has(row, "S"))
        c->S = sequence_of(c->T);
    c->coef = c->param = MHC_F32;
    if (!many && index != last - 1)
        sharpen(t, index % SHARP_KINDS);
    t->state = index == last - 1;
    /* At five other n, and at n = 1, where x and y of a post have as many elements. */
    t->shared = !t->state && (index % 16 == 5 || (a == 0 && q % 2)) && can_share(row, c);
    if (t->state) {
        c->n = has(row, CHECK_STREAMS) ? 4 : 1;
        cover_state(t, 0);
    }
}
