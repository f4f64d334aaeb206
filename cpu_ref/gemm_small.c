/* C in tiles of ROWS rows and two vectors of columns, whose sums stay in the registers: for each k, an element of each
 * row of op(A) times two vectors of a row of op(B). So op(B) has to lie in rows of whole vectors, and is copied where
 * it does not; how op(A) lies is all the same. */
#define VEC_WIDE
#include "cpu_ref/gemm_small.h"
#include "cpu_ref/vecmath.h"

enum { ROWS = 6, PARTS = 2, MOST_B = 1 << 15, MOST_PRODUCTS = 1 << 21 };

struct operands {
    int64_t n, k;
    real alpha, beta;
    const real *a; /* of op(A): from a row to the next, from a column to the next */
    int64_t row, column;
    const real *b;
    int64_t ldb;
    real *c;
    int64_t ldc;
};

static int64_t whole(int64_t n) {
    return (n + LANES - 1) / LANES * LANES;
}

bool gemm_is_small(int64_t m, int64_t n, int64_t k) {
    return whole(n) * k <= MOST_B && m * n * k <= MOST_PRODUCTS;
}

/* Rows from i on, `parts` vectors from column j on; of the last vector the first `left` columns. */
SPECIALISED void tile(const int rows, const int parts, const struct operands *o, int64_t i, int64_t j, int64_t left) {
    vec sum[ROWS][PARTS];
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < parts; x++)
            sum[y][x] = (vec){0};
    const real *a = o->a + i * o->row, *b = o->b + j;
    for (int64_t s = 0; s < o->k; s++, a += o->column, b += o->ldb)
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < parts; x++)
                sum[y][x] += a[y * o->row] * vec_load(b + x * LANES);
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < parts; x++) {
            real *c = o->c + (i + y) * o->ldc + j + x * LANES;
            int64_t here = x == parts - 1 ? left : LANES;
            vec value = o->alpha * sum[y][x];
            vec_store_part(c, o->beta == 0 ? value : value + o->beta * vec_load_part(c, here), here);
        }
}

/* op(B) in rows of whole vectors, 0 behind column n; from a column to the next of op(B) it is `next` elements of b. */
static void copy_b(const struct operands *o, const real *b, int64_t ldb, bool transposed, real *copy) {
    int64_t next = transposed ? ldb : 1, down = transposed ? 1 : ldb;
    for (int64_t s = 0; s < o->k; s++)
        for (int64_t j = 0; j < o->n; j += LANES) {
            const real *from = b + s * down + j * next;
            vec v = {0};
            if (j + LANES <= o->n)
                for (int64_t w = 0; w < LANES; w++)
                    v[w] = from[w * next];
            else
                for (int64_t w = 0; w < o->n - j; w++)
                    v[w] = from[w * next];
            vec_store(copy + s * whole(o->n) + j, v);
        }
}

SPECIALISED void all_columns(const int rows, const struct operands *o, int64_t i) {
    int64_t j = 0;
    for (; j + PARTS * LANES <= o->n; j += PARTS * LANES)
        tile(rows, PARTS, o, i, j, LANES);
    for (; j < o->n; j += LANES)
        tile(rows, 1, o, i, j, o->n - j);
}

void gemm_small(enum transpose ta, enum transpose tb, int64_t m, int64_t n, int64_t k, real alpha, const real *a,
                int64_t lda, const real *b, int64_t ldb, real beta, real *c, int64_t ldc) {
    struct operands o = {n, k, alpha, beta, a, ta ? 1 : lda, ta ? lda : 1, b, ldb, c, ldc};
    real copy[MOST_B];
    if (tb || n % LANES) {
        copy_b(&o, b, ldb, tb, copy);
        o.b = copy, o.ldb = whole(n);
    }
    /* Tiles of nearly the same height: one of two rows would wait for its sums. */
    for (int64_t i = 0, tiles = (m + ROWS - 1) / ROWS, rows; tiles > 0; i += rows, tiles--)
        switch (rows = (m - i + tiles - 1) / tiles) {
        case 1: all_columns(1, &o, i); break;
        case 2: all_columns(2, &o, i); break;
        case 3: all_columns(3, &o, i); break;
        case 4: all_columns(4, &o, i); break;
        case 5: all_columns(5, &o, i); break;
        default: all_columns(ROWS, &o, i); break;
        }
}
