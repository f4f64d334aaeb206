#include "suites/report/overhead_lines.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/paper.h"

/* A library of one's own is on the CPU unless it has a device. */
static bool on_cpu(struct record_reader *r, const struct params *p) {
    char text[80];
    return strcmp(p->backend, "cuda") && !groups_device(r, p->backend, text, sizeof text);
}

/* A case that was timed; false: it was not. */
static bool read_line(struct record_reader *r, int64_t index, struct overhead_line *line) {
    bool unfinished = record_unfinished(r, index);
    if ((strcmp(record_texts(r, "status")[index], "done") && !unfinished) ||
        strcmp(record_texts(r, "study")[index], "overhead") || !record_rounds(r, index))
        return false;
    *line = (struct overhead_line){.index = index, .note = record_texts(r, "reason")[index], .unfinished = unfinished};
    groups_params(r, index, &line->p);
    line->model = params_is_model(&line->p);
    line->cpu = !line->model && on_cpu(r, &line->p);
    return true;
}

struct overhead_line *overhead_lines(struct record_reader *r, int64_t *count) {
    struct overhead_line *lines = record_subject_called(r, step_name(STEP_RESIDUAL)) >= 0
                                      ? malloc((size_t)(record_count(r) + 1) * sizeof *lines)
                                      : NULL;
    *count = 0;
    for (int64_t index = 0; lines && index < record_count(r); index++)
        *count += read_line(r, index, &lines[*count]);
    return lines;
}

double overhead_of_paper(const struct overhead_line *line, int v) {
    return !line->cpu && (v == STEP_MHC || v == STEP_MHC_LAYERS) ? PAPER_OVERHEAD : NAN;
}

struct value overhead_cell(struct record_reader *r, const struct overhead_line *line, int v, char text[64]) {
    double x = overhead_variant_value(r, line->index, v, OVERHEAD_RATIO),
           low = overhead_variant_value(r, line->index, v, OVERHEAD_LOW),
           high = overhead_variant_value(r, line->index, v, OVERHEAD_HIGH);
    if (isnan(x) || v == STEP_RESIDUAL)
        return in_reals(NAN);
    if (line->model)
        return snprintf(text, 64, "%.1f %% MODEL", 100 * x), in_interval(text, x, NAN, NAN);
    if (isnan(low))
        return in_interval("-", x, low, high);
    snprintf(text, 64, "%.1f %% [%.1f, %.1f]", 100 * x, 100 * low, 100 * high);
    return in_interval(text, x, low, high);
}

/* Whether a part of F that takes a twentieth of the step is slow, which makes every overhead look small. */
static bool slow_branch(struct record_reader *r, const struct overhead_line *line, const struct record_timing *t) {
    struct attainable a = overhead_attainable(r, t, line->index);
    double step = overhead_variant_value(r, line->index, STEP_RESIDUAL, OVERHEAD_MEDIAN);
    bool slow = false;
    for (int part = 0; part < STEP_SHARED_PARTS; part++) {
        int subject = overhead_subject(STEP_RESIDUAL, (enum step_part)part);
        slow |= overhead_value(r, overhead_of_part(subject, OVERHEAD_PART_SHARE), line->index) >= 0.05 &&
                overhead_part_rate(r, line->index, subject, step, a) < OVERHEAD_SLOW;
    }
    return slow;
}

const char *overhead_flags(struct record_reader *r, const struct overhead_line *line, int v,
                           char flags[OVERHEAD_FLAGS]) {
    struct record_timing t;
    char own[SAMPLE_FLAGS];
    double x = overhead_variant_value(r, line->index, v, OVERHEAD_RATIO),
           half = (overhead_variant_value(r, line->index, v, OVERHEAD_HIGH) -
                   overhead_variant_value(r, line->index, v, OVERHEAD_LOW)) /
                  2 / (1 + x);
    if (isnan(x) || !record_timing(r, line->index, &t))
        return "";
    overhead_sample_flags(&t, record_subject_called(r, step_name(v)), own);
    if (line->model)
        return snprintf(flags, OVERHEAD_FLAGS, "%s", own), flags;
    bool capped = v != STEP_RESIDUAL && strcmp(t.stop, "precise") && !(half <= 0.01);
    snprintf(flags, OVERHEAD_FLAGS, "%s%s%s%s%s", own, strstr(line->note, OVERHEAD_NOT_COLD) ? "w" : "",
             capped ? "c" : "", v == STEP_RESIDUAL && slow_branch(r, line, &t) ? "s" : "", line->unfinished ? "u" : "");
    return flags;
}

void overhead_flags_legend(const char *which, struct tables *t) {
    char text[1000] = "", slow[200], often[80];
    const struct {
        const char *is, *more;
    } flag[] = {
        {"p preempted", ""},
        {"t throttled", ""},
        {"g gaps between launches count", ": the device ran ahead of them"},
        {"w not cold", ": the whole step fits into the cache"},
        {"c a cap came first", ", before this ratio was known to 1 %"},
        {"s a slow part of F", slow},
        {"u account not done", ", which touches no overhead"},
    };
    snprintf(slow, sizeof slow,
             ": it takes 5 %% of the step or more and reaches less than %.0f %% of a copy or GEMM, which makes every "
             "overhead look smaller",
             100 * OVERHEAD_SLOW);
    snprintf(often, sizeof often, "; MODEL computed. p, t, g: in more than %d %% of the row's samples.",
             FLAGGED_PERCENT);
    for (size_t k = 0; k < sizeof flag / sizeof *flag; k++)
        if (!which || strchr(which, flag[k].is[0])) {
            size_t used = strlen(text);
            snprintf(text + used, sizeof text - used, "%s%s%s", used ? "; " : "", flag[k].is,
                     which ? "" : flag[k].more);
        }
    tables_say(t, "flags: %s%s\n", text, which ? "." : often);
}

/* What a note says of a variant: "<variant>: why; <variant>: why". */
bool overhead_reason(const char *note, const char *variant, char *why, size_t size) {
    for (const char *at = note; at; at = strstr(at, "; ") ? strstr(at, "; ") + 2 : NULL)
        if (!strncmp(at, variant, strlen(variant)) && at[strlen(variant)] == ':') {
            at += strlen(variant) + 2;
            snprintf(why, size, "%.*s", strstr(at, "; ") ? (int)(strstr(at, "; ") - at) : (int)strlen(at), at);
            return true;
        }
    return false;
}

bool overhead_missing(struct record_reader *r, const struct overhead_line *line, int v, char why[200]) {
    return isnan(overhead_variant_value(r, line->index, v, OVERHEAD_RATIO)) &&
           overhead_reason(line->note, step_name(v), strcpy(why, "- ") + 2, 200 - 2);
}
