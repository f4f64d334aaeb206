/* `mhcbench show`: gains over seeds beside the paper's numbers, then what the streams did. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/record.h"
#include "suites/commands.h"
#include "suites/groups.h"

static const char usage[] = "show FILE.h5 [--all]";
enum { MOST_ROWS = 40, LABEL_SIZE = 200 };

/* "1.62 [1.31, 2.04]"; gains of any size stay within the column. */
static void print_spread(struct spread s, bool single) {
    char text[64] = "-";
    if (isfinite(s.median) && (single || !isfinite(s.q10)))
        snprintf(text, sizeof text, "%.3g", s.median);
    else if (isfinite(s.median))
        snprintf(text, sizeof text, "%.3g [%.3g, %.3g]", s.median, s.q10, s.q90);
    else if (isinf(s.median))
        snprintf(text, sizeof text, "overflow");
    printf("  %26s", text);
}

/* What the paper reports for this map, if the shapes are its own (27B: L = 60, n = 4, t_max = 20). */
static const char *paper(const struct params *p) {
    bool shapes = p->depth == 60 && p->streams == 4;
    if (shapes && (p->block == BLOCK_HC || p->block == BLOCK_HC_STATIC))
        return "HC about 3000";
    if (shapes && p->block == BLOCK_MHC && p->t_max == 20 && p->rounding == ROUND_NONE)
        return "mHC about 1.6";
    return "";
}

static bool any_recorded(struct record_reader *reader, const struct groups *g, const char *summary) {
    for (int64_t k = 0; k < g->count; k++)
        if (!isnan(groups_summary(reader, &g->group[k], summary).median))
            return true;
    return false;
}

struct section {
    const char *title;
    const char *summary[4], *head[4];
};

static const struct section sections[] = {
    {"Composite gain: the largest value over layers of the token mean; median [q10, q90] over seeds.\n"
     "sum = max |sum| of rows (forward) or columns (backward), the paper's words; abs = max sum of |entries|, the induced norm.",
     {"composite_forward_sum_max", "composite_forward_abs_max", "composite_backward_sum_max", "composite_backward_abs_max"},
     {"forward, sum", "forward, abs", "backward, sum", "backward, abs"}},
    {"Composite of all layers, H_L...H_1: singular values, and what is left of the differences between streams.",
     {"composite_spectral_norm_last", "composite_smallest_singular_last", "composite_lambda2_last", "composite_dobrushin_last"},
     {"spectral norm", "smallest singular value", "|lambda_2|", "Dobrushin coefficient"}},
    {"Streams: RMS of x_l and of the gradient with respect to x_l (largest over layers), and the last layer's streams.",
     {"x_rms_max", "grad_x_rms_max", "stream_similarity_last", "effective_rank_last"},
     {"x_l, RMS", "gradient, RMS", "stream similarity", "effective rank"}},
};

static void print_section(struct record_reader *reader, const struct groups *g, const struct section *s, int64_t rows, int width,
                          bool gains) {
    bool present = false;
    for (int c = 0; c < 4; c++)
        present |= any_recorded(reader, g, s->summary[c]);
    if (!present)
        return;
    printf("\n%s\n\n%-*s  %5s", s->title, width, "", "seeds");
    for (int c = 0; c < 4; c++)
        printf("  %26s", s->head[c]);
    printf("%s\n", gains ? "  paper" : "");
    for (int64_t k = 0; k < rows; k++) {
        char label[LABEL_SIZE];
        groups_label(g, k, label, sizeof label);
        printf("%-*s  %5lld", width, label, (long long)g->group[k].count);
        for (int c = 0; c < 4; c++)
            print_spread(groups_summary(reader, &g->group[k], s->summary[c]), g->group[k].count == 1);
        printf("%s%s\n", gains && *paper(&g->group[k].p) ? "  " : "", gains ? paper(&g->group[k].p) : "");
    }
}

static void print_head(struct record_reader *reader, const struct groups *g, const char *path) {
    const char *const *status = record_texts(reader, "status"), *const *reason = record_texts(reader, "reason");
    const char *const *keys = record_texts(reader, "key");
    const double *seconds = record_reals(reader, "seconds");
    const char *name, *value, *command = record_attribute(reader, "command");
    double total = 0;
    int64_t failed = 0;
    for (int64_t k = 0; k < record_count(reader); k++) {
        total += seconds ? seconds[k] : 0;
        failed += !strcmp(status[k], "failed");
    }
    printf("%s: %lld cases, %lld failed, %.1f s of computing%s\n", path, (long long)record_count(reader), (long long)failed,
           total, record_complete(reader) ? "" : "; NOT COMPLETE (interrupted or still running)");
    printf("made by: %s\n", command ? command : "?");
    for (int k = 0; k < record_fact_count(reader); k++)
        if (record_fact(reader, k, &name, &value) && (!strcmp(name, "revision") || !strcmp(name, "cpu_model")))
            printf("%s: %s\n", name, value);
    printf("the same in all:");
    for (int k = 0; k < params_count && g->count; k++) {
        char text[PARAM_TEXT_SIZE];
        params_text(&g->group[0].p, &params_table[k], text, sizeof text);
        if (!g->varies[k] && strcmp(params_table[k].name, "seed") && (params_table[k].studies >> g->group[0].p.study & 1) &&
            strcmp(text, params_table[k].standard))
            printf(" --%s %s", params_table[k].name, text);
    }
    printf("\n");
    for (int64_t k = 0, shown = 0; k < record_count(reader) && shown < 5; k++)
        if (!strcmp(status[k], "failed") && ++shown)
            printf("failed: %s: %s\n", keys[k], reason ? reason[k] : "");
}

int show_command(int argc, char **argv) {
    struct groups g;
    char why[300], label[LABEL_SIZE];
    bool all = take_flag(&argc, argv, "--all");
    if (!only_positional(argc, argv, 1, 1, usage))
        return EXIT_CANNOT;
    struct record_reader *reader = record_open(argv[0]);
    if (!reader)
        return cannot("%s", record_error());
    if (!groups_read(reader, &g, why, sizeof why)) {
        record_close(reader);
        return cannot("%s: %s", argv[0], why);
    }
    int64_t rows = all || g.count < MOST_ROWS ? g.count : MOST_ROWS;
    int width = 4;
    for (int64_t k = 0; k < rows; k++) {
        groups_label(&g, k, label, sizeof label);
        width = (int)strlen(label) > width ? (int)strlen(label) : width;
    }
    print_head(reader, &g, argv[0]);
    for (size_t s = 0; s < sizeof sections / sizeof *sections; s++)
        print_section(reader, &g, &sections[s], rows, width, s == 0);
    if (rows < g.count)
        printf("\n%lld more rows: --all shows them, `mhcbench export` gives every number\n", (long long)(g.count - rows));
    printf("\nThe paper's numbers are of a trained 27B model; ours are of untrained ensembles calibrated to stand beside them.\n");
    groups_release(&g);
    record_close(reader);
    return EXIT_GOOD;
}
