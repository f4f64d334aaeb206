#include "suites/report/table2.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cpu_ref/library.h"
#include "suites/report/groups.h"
#include "suites/report/shows.h"

enum { ARROWS = 7 };
static const char *const arrow_name[ARROWS] = {
    "micro.residual_merge", "micro.coefficients_hc", "micro.coefficients_mhc",
    "micro.apply_pre",      "micro.apply_post",      "micro.apply_res",
    "micro.merge"};

bool table2_paper(const char *name, int64_t streams, int64_t width, double *read, double *write) {
    const double n = (double)streams, C = (double)width;
    const struct {
        double read, write;
    } formula[ARROWS] = {{2 * C, C},     {n * C, n * n + 2 * n}, {n * C, n * n + 2 * n}, {n * C + n, C},
                         {C + n, n * C}, {n * C + n * n, n * C}, {2 * n * C, n * C}};
    for (int a = 0; a < ARROWS; a++)
        if (!strcmp(arrow_name[a], name)) {
            *read = formula[a].read;
            *write = formula[a].write;
            return true;
        }
    return false;
}

void table2_declared(const struct mhc_row *row, const struct mhc_case *c, double *read, double *write) {
    *read = *write = 0;
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        if (arg->role != MHC_PARAM)
            *(arg->direction == MHC_IN ? read : write) += (double)mhc_elements(c, arg) / (double)c->T;
}

/* --- the table --- */

static bool is_arrow(struct record_reader *r, int64_t index, struct params *p) {
    double read, write;
    groups_params(r, index, p);
    return p->study == STUDY_KERNELS && !strcmp(record_texts(r, "status")[index], "done") &&
           timing(r, "median", index) > 0 && table2_paper(p->operation, p->streams, p->width, &read, &write);
}

/* Cases that one table may hold. */
static bool alike(const struct params *a, const struct params *b) {
    bool resnet = !strcmp(a->operation, arrow_name[0]) ||
                  !strcmp(b->operation, arrow_name[0]); /* whose n does not matter */
    return a->tokens == b->tokens && a->width == b->width && (resnet || a->streams == b->streams) &&
           a->type == b->type && a->cache == b->cache && !strcmp(a->backend, b->backend);
}

/* The first case of the largest shape; -1: none. */
static int64_t largest(struct record_reader *r, struct params *best) {
    int64_t found = -1;
    for (int64_t i = 0; i < record_count(r); i++) {
        struct params p;
        if (is_arrow(r, i, &p) && strcmp(p.operation, arrow_name[0]) &&
            (found < 0 || p.tokens * p.width * p.streams > best->tokens * best->width * best->streams)) {
            *best = p;
            found = i;
        }
    }
    return found;
}

static void add_arrow(struct record_reader *r, int64_t index, const struct params *shape, struct tables *t) {
    struct params p;
    double read, write, paper_read, paper_write;
    groups_params(r, index, &p);
    const struct mhc_case c = {.T = p.tokens, .n = shape->streams, .C = p.width};
    const struct mhc_row *row = mhc_row_find(&mhc_cpu64, p.operation);
    if (!row)
        return;
    table2_declared(row, &c, &read, &write);
    table2_paper(p.operation, c.n, c.C, &paper_read, &paper_write);
    double copy = timing(r, "bandwidth", index) / timing(r, "copy_share", index), T = (double)c.T;
    double bytes = timing(r, "bytes", index) / T, moved = timing(r, "median", index) * copy / T;
    table_row(t, in_words(p.operation), in_reals(read), in_reals(write), in_reals(paper_read), in_reals(paper_write),
              in_reals(bytes), in_reals(moved), in_reals(moved / bytes));
}

void show_table2(struct record_reader *r, struct tables *t) {
    static const struct column columns[] = {
        {"operation", "arrow", .width = -24},
        {"read", "read", .width = 8, .format = "%.0f"},
        {"write", "write", .width = 8, .format = "%.0f"},
        {"paper_read", "paper's", .width = 9, .format = "%.0f"},
        {"paper_write", "paper's", .width = 8, .format = "%.0f"},
        {"bytes", "bytes", .width = 12, .format = "%.0f"},
        {"measured_bytes", "measured", .width = 11, .format = "%.0f"},
        {"ratio", "ratio", .width = 6, .format = "%.2f"},
    };
    struct params shape = {0}, p;
    char title[320];
    if (!record_subject_count(r) || largest(r, &shape) < 0)
        return;
    snprintf(title, sizeof title, "--tokens %lld --width %lld --streams %lld --backend %s", (long long)shape.tokens,
             (long long)shape.width, (long long)shape.streams, shape.backend);
    tables_say(
        t,
        "\nTable 2 of the paper: elements per token that an unfused connection reads and writes, without parameters. "
        "First what our operations declare, then the paper's formulas. bytes: per token, by the declared model. "
        "measured: what a copy of the same rounds would have moved in the time; -: there was no copy.\n%s\n\n",
        title);
    table_begin(t, title, columns);
    for (int a = 0; a < ARROWS; a++)
        for (int64_t i = 0; i < record_count(r); i++)
            if (is_arrow(r, i, &p) && alike(&p, &shape) && !strcmp(p.operation, arrow_name[a])) {
                add_arrow(r, i, &shape, t);
                break;
            }
    table_end(t);
}
