/* `mhcbench plot`: writes the data of each figure and has gnuplot draw it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "build_info.h"
#include "results/history.h"
#include "results/text.h"
#include "suites/case/choice.h"
#include "suites/case/options.h"
#include "suites/command/commands.h"
#include "suites/command/drawing.h"
#include "suites/report/figure_history.h"
#include "suites/report/figures.h"
#include "suites/worker/progress.h"
#include "suites/worker/worker.h"

enum { PATH_SIZE = 4096, MOST_FORMATS = 4 };
static const char usage[] =
    "plot FILE.h5 [--figure LIST] [case options] [--lines N] [--columns 1|2] [--caption full|none] "
    "[--format svg,png|svg|png|pdf|dumb] [--out DIR]";
static const char help[] =
    "Draws every figure that the record has the cases for, with its data as CSV beside it.\n\n"
    "  --figure LIST   draw these alone: names joined by commas\n"
    "  case options    select cases, as in `run`: --connection mhc, --t-max 20,100, --operation 'mhc.*' ... They "
    "also choose the lines if there is no room for all, and the shape of roofline and bandwidth: --tokens 512 "
    "--width 256\n"
    "  --lines N       at most N lines per connection in a figure, 1 to 4; default: as many as stay legible. The "
    "program names those that it leaves out\n"
    "  --columns N     1: as wide as one column of a page, 8.5 cm, with panels below one another; 2: 17 cm, with "
    "panels side by side; default: the width that the panels need. Letters have 7 pt at either width\n"
    "  --caption WORD  full (default), or none for a paper that sets its own; the text is in data/NAME.gp\n"
    "  --format LIST   of svg, png, pdf, and dumb for the terminal; default: svg,png\n"
    "  --out DIR       the folder; default: figures, beside the record\n\n"
    "Figures:\n";

struct plot {
    const char *file, *only; /* only: names of figures between commas; NULL: all */
    int lines, columns;
    bool no_caption;
    char scripts[PATH_SIZE], out[PATH_SIZE];   /* out: where the figures go in the end */
    char work[PATH_SIZE], data[PATH_SIZE + 8]; /* where they are made */
    int figures_at, data_at;
    const char *format[MOST_FORMATS];
    int formats;
};

/* ---- where things are ---- */

/* Only scripts of the user or of root are executed, in a folder that no other user can write to. */
static bool is_trusted(const char *folder) {
    struct stat status;
    return !stat(folder, &status) && (status.st_uid == geteuid() || status.st_uid == 0) &&
           !(status.st_mode & (S_IWGRP | S_IWOTH));
}

/* The scripts lie beside the folder of the program (build/mhcbench and plots/), or where the command is given. */
static bool find_scripts(struct plot *plot) {
    char program[PATH_SIZE];
    snprintf(program, sizeof program - 32, "%s", worker_program());
    char *slash = strrchr(program, '/');
    if (slash) {
        strcpy(slash, "/../plots/house.gp");
        if (!access(program, R_OK)) {
            *strrchr(program, '/') = 0;
            return realpath(program, plot->scripts) != NULL;
        }
    }
    return !access("plots/house.gp", R_OK) && is_trusted("plots") && is_trusted(".") &&
           realpath("plots", plot->scripts) != NULL;
}

/* Makes the folder and those above it. */
static void make_folder(char *path) {
    for (char *at = path + 1; *path && *at; at++)
        if (*at == '/') {
            *at = 0;
            mkdir(path, 0777);
            *at = '/';
        }
    mkdir(path, 0777);
}

/* Opens the folder of the figures and its data/, so that the files go there even if the names change meanwhile. Only
 * --out comes from the user: other names are known to all, and another user may have put links there. */
static bool open_folders(struct plot *plot, const char *out) {
    char path[PATH_SIZE];
    if (out)
        snprintf(path, sizeof path - 16, "%s", out);
    else {
        const char *slash = strrchr(plot->file, '/');
        snprintf(path, sizeof path - 16, "%.*sfigures", slash ? (int)(slash + 1 - plot->file) : 0, plot->file);
    }
    make_folder(path);
    plot->figures_at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (out ? 0 : O_NOFOLLOW));
    if (plot->figures_at < 0 || !realpath(path, plot->out))
        return cannot("%s: %s", path, strerror(errno)), false;
    if (mkdirat(plot->figures_at, "data", 0777) && errno != EEXIST)
        return cannot("%s: cannot write there: %s", path, strerror(errno)), false;
    plot->data_at = openat(plot->figures_at, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (plot->data_at < 0)
        return cannot("%s/data: %s", path, strerror(errno)), false;
    if (faccessat(plot->data_at, ".", W_OK | X_OK, 0) || faccessat(plot->figures_at, ".", W_OK | X_OK, 0))
        return cannot("%s: cannot write there: %s", path, strerror(errno)), false;
    return true;
}

/* gnuplot executes what stands in settings, so its folder is private. It is given the absolute path, in which no
 * leading | or < can mean a pipe. */
static bool open_private(struct plot *plot) {
    if (!drawing_folder(plot->work, sizeof plot->work))
        return cannot("no private folder: %s", strerror(errno)), false;
    snprintf(plot->data, sizeof plot->data, "%s/data", plot->work);
    return !mkdir(plot->data, 0700) || (cannot("%s: %s", plot->data, strerror(errno)), false);
}

static bool copy_bytes(int from, int to) {
    char some[65536];
    ssize_t got;
    while ((got = read(from, some, sizeof some)) > 0)
        for (ssize_t done = 0, put; done < got; done += put)
            if ((put = write(to, some + done, (size_t)(got - done))) < 0)
                return false;
    return got == 0;
}

/* Moves a finished file to its name in a folder: what had the name, a link say, is replaced and not followed. */
static bool move(const char *from, int folder, const char *name) {
    char own[NAME_MAX + 1];
    const int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int out = -1;
    for (int k = 0; in >= 0 && out < 0 && k < 100; k++) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(own, sizeof own, ".%.100s.%d-%ld", name, (int)getpid(), now.tv_nsec);
        out = openat(folder, own, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (out < 0 && errno != EEXIST)
            break;
    }
    bool good = out >= 0 && copy_bytes(in, out);
    good = (out < 0 || !close(out)) && good && !renameat(folder, own, folder, name);
    const int error = errno;
    if (!good && out >= 0)
        unlinkat(folder, own, 0);
    if (in >= 0)
        close(in);
    errno = error;
    return good;
}

/* Moves every file of the private data/ to its place, or removes it. */
static bool empty_data(const struct plot *plot, bool keep) {
    DIR *data = opendir(plot->data);
    bool good = true;
    for (struct dirent *entry; data && (entry = readdir(data));) {
        char path[2 * PATH_SIZE];
        snprintf(path, sizeof path, "%s/%s", plot->data, entry->d_name);
        if (entry->d_name[0] == '.')
            continue;
        if (keep && good && !move(path, plot->data_at, entry->d_name))
            good = (cannot("%s/data/%s: cannot be written: %s", plot->out, entry->d_name, strerror(errno)), false);
        unlink(path);
    }
    if (data)
        closedir(data);
    return good;
}

static void close_private(const struct plot *plot) {
    empty_data(plot, false);
    rmdir(plot->data);
    rmdir(plot->work);
}

static bool read_formats(struct plot *plot, char *list) {
    static const char *const known[] = {"svg", "png", "pdf", "dumb"};
    char *rest = NULL;
    for (char *word = strtok_r(list, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        const char *format = NULL;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            if (!strcmp(word, known[k]))
                format = known[k];
        for (int k = 0; format && k < plot->formats; k++)
            if (plot->format[k] == format)
                return cannot("--format: %s is there twice", word), false;
        if (!format)
            return cannot("--format %s: svg, png, pdf, dumb, or some of them joined by commas", word), false;
        plot->format[plot->formats++] = format;
    }
    return plot->formats || (cannot("--format: svg, png, pdf or dumb"), false);
}

/* ---- gnuplot ---- */

static bool draw(const struct plot *plot, const char *figure, const char *format) {
    char out[PATH_SIZE + 64];
    const bool dumb = !strcmp(format, "dumb");
    snprintf(out, sizeof out, "%s/%s.%s", plot->work, figure, format);
    if (!drawing_by_gnuplot(plot->scripts, plot->data, figure, format, dumb ? "-" : out))
        return false;
    if (dumb)
        return true;
    char name[80];
    snprintf(name, sizeof name, "%s.%s", figure, format);
    bool whole = drawing_is_whole(out, format);
    if (!whole)
        cannot("%s/%s: could not be written whole", plot->out, name);
    else if (!(whole = move(out, plot->figures_at, name)))
        cannot("%s/%s: cannot be written: %s", plot->out, name, strerror(errno));
    unlink(out);
    return whole;
}

/* ---- the command ---- */

static bool draw_formats(const struct plot *plot, const char *figure) {
    for (int k = 0; k < plot->formats; k++) {
        if (!draw(plot, figure, plot->format[k]))
            return false;
        if (strcmp(plot->format[k], "dumb"))
            printf("%s/%s.%s\n", plot->out, figure, plot->format[k]);
    }
    return true;
}

static bool in_list(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; at; at = strchr(at, ','), at += at != NULL)
        if (!strncmp(at, name, length) && (!at[length] || at[length] == ','))
            return true;
    return false;
}

/* Whether every name between the commas of --figure is a figure's. */
static bool figures_known(const char *list) {
    char names[800] = "";
    for (int k = 0; k < figures_count; k++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", k ? "," : "", figures[k].name);
    for (const char *at = list; at; at = strchr(at, ','), at += at != NULL) {
        char word[64];
        snprintf(word, sizeof word, "%.*s", (int)strcspn(at, ","), at);
        if (!in_list(names, word))
            return cannot("--figure %s: some of %s", word, names), false;
    }
    return true;
}

static int draw_all(const struct plot *plot, const struct figure_source *source) {
    char why[PATH_SIZE + 400], skipped[600] = "";
    struct progress progress = {0};
    int drawn = 0, code = EXIT_GOOD;
    for (int k = 0; k < figures_count; k++) {
        progress_tell(&progress, k, figures_count, figures[k].name);
        if (plot->only && !in_list(plot->only, figures[k].name))
            continue;
        why[0] = 0;
        switch (figures[k].write(source, &figures[k], why, sizeof why)) {
        case FIGURE_FAILED: return cannot("%s", why);
        case FIGURE_SKIPPED:
            if (plot->only) /* the others of the list are drawn */
                code = cannot("%s: no figure %s: %s", plot->file, figures[k].name, why);
            else
                snprintf(skipped + strlen(skipped), sizeof skipped - strlen(skipped), "%s%s", *skipped ? ", " : "",
                         figures[k].name);
            break;
        case FIGURE_WRITTEN:
            if (!draw_formats(plot, figures[k].name))
                return EXIT_CANNOT;
            fflush(stdout);
            if (why[0]) /* to stderr: standard output lists the files */
                fprintf(stderr, "mhcbench: note: %s: %s (plot --help says how to choose)\n", figures[k].name, why);
            drawn++;
        }
    }
    if (drawn && *skipped)
        fprintf(stderr, "not in it: %s (--figure NAME says why)\n", skipped);
    return drawn || code != EXIT_GOOD ? code : cannot("%s: nothing in it that a figure shows", plot->file);
}

/* "mhcbench 0.2.0, revision, machine, file". */
static void provenance_line(struct record_reader *reader, const char *path, char *text, size_t size) {
    static const char *const names[3] = {"version", "revision", "cpu_model"};
    const char *fact[3], *slash = strrchr(path, '/');
    for (int k = 0; k < 3; k++) {
        fact[k] = record_fact_called(reader, names[k]);
        fact[k] = fact[k] ? fact[k] : "?";
    }
    snprintf(text, size, "mhcbench %s (%s), %s, %s%s", fact[0], fact[1], fact[2], slash ? slash + 1 : path,
             record_complete(reader) ? "" : " (NOT COMPLETE)");
    text_clean(text);
}

/* Case options are still in argv: they choose among the cases of the record. */
static int plot_record(struct plot *plot, const char *out, int argc, char **argv) {
    struct groups groups = {0};
    char why[300], provenance[1000];
    bool *chosen = NULL;
    int code = EXIT_CANNOT;
    struct record_reader *reader = record_open(plot->file);
    if (!reader)
        return cannot("%s", record_error());
    if (!groups_read(reader, &groups, why, sizeof why))
        cannot("%s: %s", plot->file, why);
    else if (choice_take(reader, plot->file, &argc, argv, &chosen) && only_positional(argc, argv, 1, 1, usage)) {
        groups_keep(&groups, chosen);
        provenance_line(reader, plot->file, provenance, sizeof provenance);
        struct figure_source source = {.reader = reader,
                                       .groups = &groups,
                                       .chosen = chosen,
                                       .lines = plot->lines,
                                       .columns = plot->columns,
                                       .no_caption = plot->no_caption,
                                       .folder = plot->data,
                                       .provenance = provenance};
        if (open_folders(plot, out) && open_private(plot)) {
            code = draw_all(plot, &source);
            if (!empty_data(plot, code == EXIT_GOOD))
                code = EXIT_CANNOT;
            close_private(plot);
        }
    }
    free(chosen);
    groups_release(&groups);
    record_close(reader);
    return code;
}

/* A file that `regress --record` made has one figure. */
static int plot_history(struct plot *plot, const char *out, int argc, char **argv) {
    char why[PATH_SIZE + 400] = "", provenance[PATH_SIZE + 80];
    const char *slash = strrchr(plot->file, '/');
    int code = EXIT_CANNOT;
    if (!only_positional(argc, argv, 1, 1, usage))
        return code;
    if (plot->only && strcmp(plot->only, FIGURE_HISTORY))
        return cannot("%s: a history of regress has the figure " FIGURE_HISTORY " alone", plot->file);
    struct history *h = history_read(plot->file);
    if (!h)
        return cannot("%s", record_error());
    snprintf(provenance, sizeof provenance, "mhcbench %s, %s, %s", PROVENANCE_VERSION,
             h->entries ? h->machine[h->entries - 1] : "", slash ? slash + 1 : plot->file);
    text_clean(provenance);
    const struct figure_source source = {.folder = plot->data, .provenance = provenance};
    if (open_folders(plot, out) && open_private(plot)) {
        const enum figure_outcome outcome = figure_history(h, &source, why, sizeof why);
        if (outcome != FIGURE_WRITTEN)
            cannot("%s: %s", plot->file, why);
        else if (draw_formats(plot, FIGURE_HISTORY))
            code = EXIT_GOOD;
        if (!empty_data(plot, code == EXIT_GOOD))
            code = EXIT_CANNOT;
        close_private(plot);
    }
    history_release(h);
    return code;
}

static int print_help(void) {
    for (int k = 0; k < figures_count; k++)
        printf("  %-18s %s\n", figures[k].name, figures[k].help);
    printf("  %-18s %s\n", FIGURE_HISTORY, "of a file of `regress --record`: time of operations over commits");
    return EXIT_GOOD;
}

int plot_command(int argc, char **argv) {
    struct plot plot = {0};
    const char *out = NULL, *formats = "svg,png", *lines = NULL, *columns = NULL, *caption = "full";
    char list[64], rest;
    if (help_asked(&argc, argv, usage, help))
        return print_help();
    if (!take_option(&argc, argv, "--out", &out) || !take_option(&argc, argv, "--figure", &plot.only) ||
        !take_option(&argc, argv, "--format", &formats) || !take_option(&argc, argv, "--lines", &lines) ||
        !take_option(&argc, argv, "--columns", &columns) || !take_option(&argc, argv, "--caption", &caption))
        return EXIT_CANNOT;
    if (!choice_files(argc, argv, &plot.file, 1, usage))
        return EXIT_CANNOT;
    if (lines && (sscanf(lines, "%d%c", &plot.lines, &rest) != 1 || plot.lines < 1 || plot.lines > 4))
        return cannot("--lines %s: a whole number from 1 to 4", lines);
    if (columns && (sscanf(columns, "%d%c", &plot.columns, &rest) != 1 || plot.columns < 1 || plot.columns > 2))
        return cannot("--columns %s: 1 or 2", columns);
    plot.no_caption = !strcmp(caption, "none");
    if (!plot.no_caption && strcmp(caption, "full"))
        return cannot("--caption %s: full or none", caption);
    snprintf(list, sizeof list, "%s", formats);
    if (!read_formats(&plot, list))
        return EXIT_CANNOT;
    const bool history = history_is(plot.file);
    if (plot.only && !history && !figures_known(plot.only))
        return EXIT_CANNOT;
    if (!find_scripts(&plot))
        return cannot("the folder plots/ is neither beside the program's folder nor here");
    return history ? plot_history(&plot, out, argc, argv) : plot_record(&plot, out, argc, argv);
}
