/* The singular spectrum of composites against layer. */
#include <math.h>
#include <stdlib.h>

#include "suites/report/figure_data.h"

enum { TEXT_SIZE = 1600 };

/* log10 of the singular values of a group's cases, [cases][L][n]; NaN where none were recorded. NULL: out of memory. */
static double *read_spectra(const struct figure_source *source, const struct group *group) {
    const int64_t L = group->p.depth, n = group->p.streams;
    double *spectra = malloc((size_t)(group->count * L * n) * sizeof *spectra);
    for (int64_t k = 0; spectra && k < group->count; k++) {
        double *own = spectra + k * L * n;
        if (!record_spectrum(source->reader, group->cases[k], n, own))
            for (int64_t e = 0; e < L * n; e++)
                own[e] = NAN;
    }
    return spectra;
}

/* One row per layer of each singular value, the largest first. */
static bool put_line(FILE *file, const struct figure_source *source, int index, const struct line *line,
                     bool *overflow) {
    const struct group *group = &source->groups->group[line->groups[0]];
    const int64_t L = group->p.depth, n = group->p.streams;
    double *spectra = read_spectra(source, group), *some = malloc((size_t)group->count * sizeof *some);
    for (int64_t e = 0; spectra && some && e < n * L; e++) {
        const int64_t value = e / L, layer = e % L;
        for (int64_t k = 0; k < group->count; k++)
            some[k] = spectra[(k * L + layer) * n + value];
        const struct spread s = groups_spread(some, group->count);
        fprintf(file, "%d", index + 1);
        put_field(file, line->label);
        fprintf(file, ",%s,%lld,%lld", params_word(&group->p, "block"), (long long)value + 1, (long long)layer + 1);
        *overflow |= put_spread(file, s, isnan(s.median));
        putc('\n', file);
    }
    const bool good = spectra && some;
    free(some);
    free(spectra);
    return good;
}

static bool write_spectra(const struct figure_source *source, const char *name, const struct lines *lines,
                          bool *overflow, char *why, size_t size) {
    bool good = true;
    FILE *file = data_open(source, name,
                           "line,label,block,value,layer,log10_q10,log10_median,log10_q90,log10_overflow");
    for (int k = 0; file && good && k < lines->count; k++)
        good = put_line(file, source, k, &lines->line[k], overflow);
    bool closed = data_close(file, source, name, why, size);
    if (!good)
        snprintf(why, size, "out of memory");
    return closed && good;
}

static bool write_settings(const struct figure_source *source, const char *name, const struct lines *lines,
                           bool overflow, char *why, size_t size) {
    char text[TEXT_SIZE], shared[TEXT_SIZE / 2];
    const struct params *last = &source->groups->group[lines->line[lines->count - 1].groups[0]].p;
    const bool both = connection_is_hc(&connections[lines->line[0].block]) &&
                      !connection_is_hc(&connections[last->block]);
    describe_lines(source, lines, shared, sizeof shared);
    snprintf(
        text, sizeof text,
        "Singular values of the composite maps of layers 1 to l, from the largest to the smallest, estimated by "
        "accumulated QR: log10, averaged over tokens, median over seeds, and band from 10 %% to 90 %% of the seeds.%s "
        "%s.",
        overflow ? " Triangles at the top: overflow." : "", shared);
    FILE *file = settings_open(source, name);
    put_lines(file, source, lines);
    put_caption(file, source, both, text);
    if (file)
        fprintf(file, "LAYERS = %lld\nSTREAMS = %lld\n", (long long)last->depth,
                (long long)lines_streams(source, lines));
    return data_close(file, source, name, why, size);
}

enum figure_outcome figure_composite_spectrum(const struct figure_source *source, const struct figure *figure,
                                              char *why, size_t why_size) {
    static const char curve[] = "composite_spectral_norm"; /* recorded beside the spectrum */
    struct lines lines;
    bool overflow = false;
    lines_by_layer(source, curve, connections_where(connection_mixes), 1, &lines);
    if (!lines.count)
        return snprintf(why, why_size, "no case of it has its singular values recorded"), FIGURE_SKIPPED;
    bool good = write_spectra(source, figure->name, &lines, &overflow, why, why_size) &&
                write_settings(source, figure->name, &lines, overflow, why, why_size);
    if (good)
        describe_left_out(&lines, why, why_size);
    lines_release(&lines);
    return good ? FIGURE_WRITTEN : FIGURE_FAILED;
}
