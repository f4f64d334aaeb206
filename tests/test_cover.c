/* The fixed cases of `check`: every value of their lists, and pairs of them. */
#include <criterion/criterion.h>

#include "cpu_ref/library.h"
#include "suites/gate/check.h"

enum { MOST = 200 };

static struct trial list[MOST];
static int count;

static void draw(const char *name) {
    const struct mhc_row *row = mhc_row_find(&mhc_cpu64, name);
    cr_assert(row && cover_count(row) <= MOST);
    count = (int)cover_count(row);
    for (int k = 0; k < count; k++) {
        list[k] = (struct trial){.seed = 1};
        cover_case(&list[k], row, k);
    }
}

typedef int64_t property(const struct trial *);
static int64_t streams(const struct trial *t) {
    return t->c.n;
}
static int64_t residue(const struct trial *t) {
    return t->c.C % 8;
}
static int64_t type(const struct trial *t) {
    return t->c.stream;
}
static int64_t words(const struct trial *t) {
    return t->c.vocabulary;
}
static int64_t tokens(const struct trial *t) {
    return t->c.T;
}
static int64_t indices(const struct trial *t) {
    return t->indices;
}
static int64_t weights(const struct trial *t) {
    return t->c.weights;
}
static int64_t step(const struct trial *t) {
    return t->step;
}
static int64_t edge(const struct trial *t) {
    return (int64_t)t->edge;
}

/* How many pairs of the two lists no case has. */
static int lacking(property *one, const int64_t *ones, size_t one_count, property *other, const int64_t *others,
                   size_t other_count) {
    int lacks = 0;
    for (size_t a = 0; a < one_count; a++)
        for (size_t b = 0; b < other_count; b++) {
            bool has = false;
            for (int k = 0; k < count; k++)
                has |= one(&list[k]) == ones[a] && other(&list[k]) == others[b];
            lacks += !has;
        }
    return lacks;
}
#define LIST(...) (const int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)
#define RESIDUES LIST(0, 1, 2, 3, 4, 5, 6, 7)
#define TYPES LIST(MHC_F32, MHC_BF16)
#define ALL(one, ones, other, others) cr_expect_eq(lacking(one, ones, other, others), 0, #one " with " #other)

Test(cover, streams_and_widths) {
    draw("mhc.post");
    ALL(streams, LIST(1, 2, 3, 4, 5, 6, 7, 8, 12, 16), residue, RESIDUES);
    ALL(type, TYPES, residue, RESIDUES);
    ALL(type, TYPES, streams, LIST(1, 2, 3, 4, 5, 6, 7, 8, 12, 16));
    ALL(type, TYPES, tokens, LIST(1, 2, 5, 21, 96, 112, 127));
    ALL(tokens, LIST(17), type, TYPES);
    ALL(tokens, LIST(257), streams, LIST(1));
    ALL(tokens, LIST(129), streams, LIST(2));
    ALL(tokens, LIST(17), streams, LIST(7, 8, 12));
}

Test(cover, training) {
    draw("embedding.backward");
    ALL(words, LIST(1, 2, 3, 8, 9, 33, 257, 4099), type, TYPES);
    ALL(words, LIST(1, 2, 3, 8, 9, 33, 257), residue, RESIDUES);
    ALL(words, LIST(1, 2, 3, 8, 9, 33, 257), indices, LIST(0, 1, 2, 3));
    ALL(words, LIST(50257), tokens, LIST(5));
    draw("cross-entropy.forward");
    ALL(edge, LIST(0, 88, 100, 10000), type, TYPES);
    ALL(words, LIST(1, 2, 3, 8, 9, 33, 257), edge, LIST(0, 88, 100, 10000));
    draw("adamw.update_rounded");
    ALL(step, LIST(0, 1, 2, 3, 4, 5, 6, 7), weights, LIST(1, 2, 7, 8, 9, 31, 33, 257, 1025, 8193));
    ALL(type, TYPES, weights, LIST(1, 2, 7, 8, 9, 31, 33, 257, 1025, 8193));
}
