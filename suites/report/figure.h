/* What the figures are drawn from. Each figure is a row here, which writes tidy CSV files and a file of settings
 * <name>.gp (line labels, caption), and a script plots/<name>.gp, which knows how it looks. */
#ifndef FIGURE_H
#define FIGURE_H

#include "suites/report/groups.h"

struct figure_source {
    struct record_reader *reader;
    const struct groups *groups;
    const bool *chosen;     /* [cases]: which the user asked for */
    int lines;              /* lines of a block in one figure; 0: as many as the figure thinks legible */
    int columns;            /* of a page that a figure is as wide as: 1 (8.5 cm), 2 (17 cm); 0: as its panels need */
    bool no_caption;        /* nothing below the panels; the settings keep the text */
    const char *folder;     /* exists; CSV files and settings are written there */
    const char *provenance; /* one line for the caption: program, revision, machine, file */
};

/* SKIPPED: the record has not what the figure shows; FAILED: a file could not be written. Both leave one line in `why`;
 * WRITTEN does where the figure leaves something out. */
enum figure_outcome { FIGURE_WRITTEN, FIGURE_SKIPPED, FIGURE_FAILED };

struct figure {
    const char *name, *help;
    enum figure_outcome (*write)(const struct figure_source *, const struct figure *, char *why, size_t why_size);
};

enum figure_outcome figure_composite_maps(const struct figure_source *, const struct figure *, char *why,
                                          size_t why_size);
enum figure_outcome figure_composite_spectrum(const struct figure_source *, const struct figure *, char *why,
                                              size_t why_size);
enum figure_outcome figure_mixing(const struct figure_source *, const struct figure *, char *why, size_t why_size);
enum figure_outcome figure_costs(const struct figure_source *, const struct figure *, char *why, size_t why_size);
enum figure_outcome figure_phase(const struct figure_source *, const struct figure *, char *why, size_t why_size);
enum figure_outcome figure_roofline(const struct figure_source *, const struct figure *, char *why, size_t why_size);
enum figure_outcome figure_bandwidth(const struct figure_source *, const struct figure *, char *why, size_t why_size);
enum figure_outcome figure_recompute(const struct figure_source *, const struct figure *, char *why, size_t why_size);
enum figure_outcome figure_overhead(const struct figure_source *, const struct figure *, char *why, size_t why_size);
enum figure_outcome figure_overhead_step(const struct figure_source *, const struct figure *, char *why,
                                         size_t why_size);
enum figure_outcome figure_overhead_sweep(const struct figure_source *, const struct figure *, char *why,
                                          size_t why_size);
enum figure_outcome figure_training_gain(const struct figure_source *, const struct figure *, char *why,
                                         size_t why_size);
enum figure_outcome figure_training_loss(const struct figure_source *, const struct figure *, char *why,
                                         size_t why_size);
enum figure_outcome figure_training_layers(const struct figure_source *, const struct figure *, char *why,
                                           size_t why_size);
enum figure_outcome figure_training_sweep(const struct figure_source *, const struct figure *, char *why,
                                          size_t why_size);
enum figure_outcome figure_training_quarters(const struct figure_source *, const struct figure *, char *why,
                                             size_t why_size);

#endif
