#include "suites/command/run_schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "suites/command/origin.h"
#include "suites/study/timed_record.h"
#include "suites/study/trained.h"

static struct record_column columns[PARAMS_MOST + ORIGINS];
static int column_bytes[PARAMS_MOST + ORIGINS];
static struct record_curve curves[MHC_METRICS * MHC_STATISTICS], summaries[2 * MHC_METRICS];
static char curve_names[MHC_METRICS * MHC_STATISTICS][64], summary_names[2 * MHC_METRICS][64],
    summary_texts[2 * MHC_METRICS][160];

static int curve_metric[MHC_METRICS * MHC_STATISTICS], curve_statistic[MHC_METRICS * MHC_STATISTICS], curve_count;

static bool runs_backward(int metric) {
    return mhc_metric_info[metric].direction == MHC_RUNS_BACKWARD;
}

/* The groups of curves that some case of a suite records. */
static unsigned recorded_groups(const struct suite *s) {
    unsigned groups = 0;
    for (int64_t k = 0; k < s->count; k++) {
        bool curves_wanted = params_has(&s->cases[k], STUDY_CURVES) && s->cases[k].record == RECORD_CURVES;
        groups |= curves_wanted ? (unsigned)s->cases[k].measure : 0;
    }
    return groups;
}

/* The datasets of a record, from the tables of parameters and metrics; curves that no case will have are left out. */
static void describe(struct record_schema *schema, unsigned groups) {
    static const char *const units[2] = {"1", "log10(1)"};
    for (int k = 0; k < params_count; k++) {
        const struct param *p = &params_table[k];
        columns[k] = (struct record_column){p->name, p->unit, p->help,
                                            p->type == PARAM_INT    ? RECORD_INT
                                            : p->type == PARAM_REAL ? RECORD_REAL
                                                                    : RECORD_TEXT};
    }
    origin_columns(columns + params_count);
    for (int m = 0; m < MHC_METRICS; m++) {
        const struct mhc_metric_info *info = &mhc_metric_info[m];
        const char *unit = info->scale == MHC_LOG10 ? units[1] : info->unit;
        for (int s = 0; s < MHC_STATISTICS && groups & (unsigned)info->group; s++) {
            int k = curve_count++;
            curve_metric[k] = m;
            curve_statistic[k] = s;
            snprintf(curve_names[k], sizeof curve_names[k], "%s%s", info->name, mhc_statistic_suffix[s]);
            curves[k] = (struct record_curve){curve_names[k], unit, info->long_name};
        }
        for (int s = 0; s < 2; s++) {
            int k = 2 * m + s;
            const char *end = runs_backward(m) ? "first" : "last";
            snprintf(summary_names[k], sizeof summary_names[k], "%s_%s", info->name, s ? end : "max");
            snprintf(summary_texts[k], sizeof summary_texts[k], "%s; %s%s of the token mean", info->long_name,
                     s ? end : "largest over layers", s ? " layer" : "");
            summaries[k] = (struct record_curve){summary_names[k], unit, summary_texts[k]};
        }
    }
    *schema = (struct record_schema) {
        .columns = columns, .column_count = params_count + ORIGINS, .curves = curves, .curve_count = curve_count,
        .summaries = summaries, .summary_count = 2 * MHC_METRICS
    };
}

/* The length of the longest text of each column. */
static void size_texts(struct record_schema *schema, const struct suite *s) {
    char text[PARAM_TEXT_SIZE];
    for (int k = 0; k < params_count; k++) {
        column_bytes[k] = 1;
        for (int64_t i = 0; i < s->count && columns[k].type == RECORD_TEXT; i++) {
            params_text(&s->cases[i], &params_table[k], text, sizeof text);
            const int bytes = (int)strlen(text);
            column_bytes[k] = bytes > column_bytes[k] ? bytes : column_bytes[k];
        }
    }
    origin_bytes(column_bytes + params_count);
    schema->column_bytes = column_bytes;
}

/* Its sizes, and what only the cases of some studies have. */
static void size_up(struct record_schema *schema, const struct suite *s) {
    bool layers = false;
    for (int64_t k = 0; k < s->count; k++) {
        const struct params *p = &s->cases[k];
        if (!params_has(p, STUDY_CURVES))
            continue;
        layers = true;
        schema->layers = p->depth > schema->layers ? p->depth : schema->layers;
        if (p->record == RECORD_CURVES && p->measure & MHC_GROUP_REACH &&
            mhc_depth_rows(p->depth) > schema->mixing_rows)
            schema->mixing_rows = mhc_depth_rows(p->depth);
        schema->streams = p->streams > schema->streams ? p->streams : schema->streams;
    }
    if (!layers)
        schema->summary_count = 0;
    timed_schema(s, schema);
    trained_schema(s, schema);
}

void run_schema(struct record_schema *schema, const struct suite *s) {
    describe(schema, recorded_groups(s));
    size_up(schema, s);
    size_texts(schema, s);
}

bool run_write_case(void *user, const struct params *p, const char *key, const struct study_result *r,
                    bool checkpoint) {
    const struct run_destination *to = user;
    static char texts[PARAMS_MOST][PARAM_TEXT_SIZE];
    union record_value values[PARAMS_MOST + ORIGINS];
    const double *pointers[MHC_METRICS * MHC_STATISTICS];
    double scalars[2 * MHC_METRICS];
    for (int k = 0; k < params_count; k++) {
        const void *field = (const char *)p + params_table[k].offset;
        if (columns[k].type == RECORD_INT)
            values[k].i = *(const int64_t *)field;
        else if (columns[k].type == RECORD_REAL)
            values[k].r = *(const double *)field;
        else {
            params_text(p, &params_table[k], texts[k], sizeof texts[k]);
            values[k].text = texts[k];
        }
    }
    origin_values(p, values + params_count);
    for (int m = 0; m < MHC_METRICS; m++) {
        const double *mean = r->curves.curve[m][MHC_MEAN];
        scalars[2 * m] = mean ? mhc_curve_max(mean, r->L) : NAN;
        scalars[2 * m + 1] = mean ? mean[runs_backward(m) ? 0 : r->L - 1] : NAN;
    }
    for (int k = 0; k < curve_count; k++)
        pointers[k] = p->record == RECORD_CURVES ? r->curves.curve[curve_metric[k]][curve_statistic[k]] : NULL;
    struct record_case one = {.key = key,
                              .status = r->reason[0] ? RECORD_FAILED : RECORD_DONE,
                              .reason = r->reason,
                              .seconds = r->seconds,
                              .layers = r->L,
                              .streams = r->n,
                              .values = values,
                              .curves = pointers,
                              .summaries = scalars,
                              .panels = r->panels,
                              .panel_log10_scale = r->panels ? r->panel_log10_scale : NULL,
                              .qr_spectrum = r->qr_spectrum,
                              .mixing = r->mixing,
                              .mixing_rows = r->mixing ? mhc_depth_rows(r->L) : 0,
                              .mixing_stride = r->mixing ? mhc_depth_stride(r->L) : 0,
                              .training = r->trained && r->trained->is.points ? &r->trained->is : NULL};
    return timed_case(to->schema, r, &one) &&
           (checkpoint ? record_checkpoint(to->record, &one) : record_append_soon(to->record, &one));
}

bool run_commit(void *user) {
    return record_commit(((const struct run_destination *)user)->record);
}
