/* C in tiles of ROWS rows and PARTS vectors of columns, whose sums stay in the registers: for each k, an element of
 * each row of op(A) times the vectors of a row of op(B). So op(B) has to lie in rows of whole vectors. Where it does
 * not, it is copied into panels as wide as a tile, one behind the other. How op(A) lies is all the same. */
#define VEC_WIDE
#include "cpu_ref/gemm_small.h"
#include "cpu_ref/vecmath.h"

enum { ROWS = 6, PARTS = 2, MOST_B = 1 << 15, MOST_PRODUCTS = 1 << 21, THIN = 32 };
#define WIDE (PARTS * LANES)
_Static_assert(PARTS *VEC_BYTES / sizeof(real) <= THIN, "or the panels of a thin B would not fit");

struct operands {
    int64_t n, k;
    real alpha, beta;
    const real *a; /* of op(A): from a row to the next, from a column to the next */
    int64_t row, column;
    const real *b;
    int64_t ldb, across; /* from a row to the next; to the next tile, for each column of this one */
    real *c;
    int64_t ldc;
};

/* Columns of the panels for n columns. */
static int64_t whole(int64_t n) {
    return (n + WIDE - 1) / WIDE * WIDE;
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
    const real *a = o->a + i * o->row, *b = o->b + j * o->across;
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

/* A square of LANES rows becomes its transpose: each pass shuffles both halves of the rows into one another. */
static void transpose(vec *rows) {
    vec_int low, high;
    for (int64_t w = 0; w < LANES; w++) {
        low[w] = (real_int)(w / 2 + w % 2 * LANES);
        high[w] = low[w] + (real_int)(LANES / 2);
    }
    for (int64_t pass = 1; pass < LANES; pass *= 2) {
        vec next[LANES];
        for (int64_t w = 0; w < LANES / 2; w++) {
            next[2 * w] = __builtin_shuffle(rows[w], rows[w + LANES / 2], low);
            next[2 * w + 1] = __builtin_shuffle(rows[w], rows[w + LANES / 2], high);
        }
        memcpy(rows, next, sizeof next);
    }
}

/* op(B) [k][n] in panels [k][WIDE], 0 behind column n. */
static void copy_b(int64_t n, int64_t k, const real *b, int64_t ldb, bool transposed, real *copy) {
    for (int64_t j = 0; j < n; j += LANES) {
        real *to = copy + j / WIDE * WIDE * k + j % WIDE;
        for (int64_t s = 0; !transposed && s < k; s++)
            vec_store(to + s * WIDE, vec_load_part(b + s * ldb + j, n - j));
        for (int64_t s = 0; transposed && s < k; s += LANES) {
            vec rows[LANES] = {0};
            for (int64_t w = 0; w < LANES && j + w < n; w++)
                rows[w] = vec_load_part(b + (j + w) * ldb + s, k - s);
            transpose(rows);
            for (int64_t w = 0; w < LANES && s + w < k; w++)
                vec_store(to + (s + w) * WIDE, rows[w]);
        }
    }
}

SPECIALISED void all_columns(const int rows, const struct operands *o, int64_t i) {
    int64_t j = 0;
    for (; j + LANES < o->n; j += PARTS * LANES)
        tile(rows, PARTS, o, i, j, o->n - j - LANES < LANES ? o->n - j - LANES : LANES);
    if (j < o->n)
        tile(rows, 1, o, i, j, o->n - j);
}

void gemm_small(enum transpose ta, enum transpose tb, int64_t m, int64_t n, int64_t k, real alpha, const real *a,
                int64_t lda, const real *b, int64_t ldb, real beta, real *c, int64_t ldc) {
    struct operands o = {n, k, alpha, beta, a, ta ? 1 : lda, ta ? lda : 1, b, ldb, 1, c, ldc};
    real copy[MOST_B];
    if (tb || n % LANES) {
        copy_b(n, k, b, ldb, tb, copy);
        o.b = copy, o.ldb = WIDE, o.across = k;
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

bool gemm_is_thin(int64_t n) {
    return n <= THIN;
}

void gemm_thin(enum transpose ta, enum transpose tb, int64_t m, int64_t n, int64_t k, real alpha, const real *a,
               int64_t lda, const real *b, int64_t ldb, real beta, real *c, int64_t ldc) {
    /* Long pieces, because memory is quick in runs of a page. Of a transposed A each row of a piece is a run. */
    const int64_t depth = ta ? 2 * THIN : MOST_B / THIN;
    for (int64_t s = 0; s < k; s += depth)
        gemm_small(ta, tb, m, n, s + depth < k ? depth : k - s, alpha, a + s * (ta ? lda : 1), lda,
                   b + s * (tb ? 1 : ldb), ldb, s ? 1 : beta, c, ldc);
}
