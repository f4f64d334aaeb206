/* `mhcbench plot`: writes the data of each figure and has gnuplot draw it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suites/commands.h"
#include "suites/figures.h"

enum { PATH_SIZE = 4096, MOST_FORMATS = 4, NO_GNUPLOT = 127 };
static const char usage[] = "plot FILE.h5 [--out DIR] [--figure NAME] [--format svg,png|svg|png|pdf|dumb]";

struct plot {
    const char *file, *only;
    char scripts[PATH_SIZE], out[PATH_SIZE], data[PATH_SIZE + 8];
    const char *format[MOST_FORMATS];
    int formats;
};

/* ---- where things are ---- */

/* The scripts lie beside the folder of the program (build/mhcbench and plots/), or where the command is given. */
static bool find_scripts(struct plot *plot) {
    char program[PATH_SIZE];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 32);
    char *slash = length > 0 ? memrchr(program, '/', (size_t)length) : NULL;
    if (slash) {
        strcpy(slash, "/../plots/house.gp");
        if (!access(program, R_OK)) {
            *strrchr(program, '/') = 0;
            return realpath(program, plot->scripts) != NULL;
        }
    }
    return !access("plots/house.gp", R_OK) && realpath("plots", plot->scripts) != NULL;
}

/* Makes the folder and those above it. gnuplot is given the absolute path, in which no leading | or < can mean a pipe.
 */
static bool make_folders(struct plot *plot, const char *out) {
    char path[PATH_SIZE];
    if (out)
        snprintf(path, sizeof path - 16, "%s", out);
    else {
        const char *slash = strrchr(plot->file, '/');
        snprintf(path, sizeof path - 16, "%.*sfigures", slash ? (int)(slash + 1 - plot->file) : 0, plot->file);
    }
    for (char *at = path + 1; *path && *at; at++)
        if (*at == '/') {
            *at = 0;
            mkdir(path, 0777);
            *at = '/';
        }
    if ((mkdir(path, 0777) && errno != EEXIST) || !realpath(path, plot->out))
        return cannot("%s: %s", path, strerror(errno)), false;
    snprintf(plot->data, sizeof plot->data, "%s/data", plot->out);
    if ((mkdir(plot->data, 0777) && errno != EEXIST) || access(plot->data, W_OK | X_OK) ||
        access(plot->out, W_OK | X_OK))
        return cannot("%s: cannot write there: %s", path, strerror(errno)), false;
    return true;
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

/* The last line of what gnuplot said is the one that names the error. */
static void last_line(int pipe, char *text, size_t size) {
    char all[4096];
    size_t used = 0;
    ssize_t got;
    while ((got = read(pipe, all + used, sizeof all - 1 - used)) > 0) {
        used += (size_t)got;
        if (used == sizeof all - 1)
            used = 0;
    }
    while (used && (all[used - 1] == '\n' || all[used - 1] == ' '))
        used--;
    all[used] = 0;
    const char *start = strrchr(all, '\n');
    snprintf(text, size, "%.*s", (int)size - 1, start ? start + 1 : all);
}

static void become_gnuplot(const struct plot *plot, const char *figure, const char *format, const char *out,
                           int errors) {
    char script[PATH_SIZE + 64], width[16];
    struct winsize window = {0};
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
    snprintf(script, sizeof script, "%s/%s.gp", plot->scripts, figure);
    snprintf(width, sizeof width, "%d", window.ws_col >= 60 ? window.ws_col - 1 : 100);
    dup2(errors, STDERR_FILENO);
    setenv("LC_ALL", "C.UTF-8", 1);
    execlp("gnuplot", "gnuplot", "-d", "-c", script, plot->data, format, out, width, (char *)NULL);
    _exit(NO_GNUPLOT);
}

/* gnuplot does not notice a full disk: a whole file ends as its format does. */
static bool is_whole(const char *path, const char *format) {
    const char *end = !strcmp(format, "svg") ? "</svg>" : !strcmp(format, "png") ? "IEND" : "%%EOF";
    char tail[17] = "";
    FILE *file = fopen(path, "rb");
    size_t got = 0;
    if (file && !fseek(file, -16, SEEK_END))
        got = fread(tail, 1, 16, file);
    if (file)
        fclose(file);
    return got && memmem(tail, got, end, strlen(end));
}

static bool draw(const struct plot *plot, const char *figure, const char *format) {
    char out[PATH_SIZE + 64], said[300] = "";
    bool dumb = !strcmp(format, "dumb");
    int pipe[2], status = 0;
    snprintf(out, sizeof out, "%s/%s.%s", plot->out, figure, format);
    fflush(NULL);
    if (pipe2(pipe, O_CLOEXEC))
        return cannot("%s", strerror(errno)), false;
    pid_t child = fork();
    if (child == 0)
        become_gnuplot(plot, figure, format, dumb ? "-" : out, pipe[1]);
    close(pipe[1]);
    if (child > 0)
        last_line(pipe[0], said, sizeof said);
    close(pipe[0]);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return cannot("gnuplot: %s", strerror(errno)), false;
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_GNUPLOT)
        return cannot("gnuplot is not there: install gnuplot-nox"), false;
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return cannot("gnuplot %s: %s", figure, said), false;
    return dumb || is_whole(out, format) || (cannot("%s: could not be written whole", out), false);
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

static int draw_all(const struct plot *plot, const struct figure_source *source) {
    char why[PATH_SIZE + 400];
    int drawn = 0;
    for (int k = 0; k < figures_count; k++) {
        if (plot->only && strcmp(plot->only, figures[k].name))
            continue;
        switch (figures[k].write(source, &figures[k], why, sizeof why)) {
        case FIGURE_FAILED:
            return cannot("%s", why);
        case FIGURE_SKIPPED:
            if (plot->only)
                return cannot("%s: no figure %s: %s", plot->file, figures[k].name, why);
            printf("no %s: %s\n", figures[k].name, why);
            break;
        case FIGURE_WRITTEN:
            if (!draw_formats(plot, figures[k].name))
                return EXIT_CANNOT;
            drawn++;
        }
    }
    return drawn ? EXIT_GOOD : cannot("%s: nothing in it that a figure shows", plot->file);
}

/* "mhcbench 0.1.0, revision, machine, file". */
static void provenance_line(struct record_reader *reader, const char *path, char *text, size_t size) {
    const char *version = "?", *revision = "?", *machine = "?", *name, *value, *slash = strrchr(path, '/');
    for (int k = 0; k < record_fact_count(reader); k++)
        if (record_fact(reader, k, &name, &value)) {
            version = strcmp(name, "version") ? version : value;
            revision = strcmp(name, "revision") ? revision : value;
            machine = strcmp(name, "cpu_model") ? machine : value;
        }
    snprintf(text, size, "mhcbench %s (%s), %s, %s%s", version, revision, machine, slash ? slash + 1 : path,
             record_complete(reader) ? "" : " (NOT COMPLETE)");
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
}

static int plot_record(struct plot *plot, const char *out) {
    struct groups groups;
    char why[300], provenance[1000];
    struct record_reader *reader = record_open(plot->file);
    if (!reader)
        return cannot("%s", record_error());
    int code = EXIT_CANNOT;
    if (!groups_read(reader, &groups, why, sizeof why)) {
        record_close(reader);
        return cannot("%s: %s", plot->file, why);
    }
    provenance_line(reader, plot->file, provenance, sizeof provenance);
    struct figure_source source = {reader, &groups, plot->data, provenance};
    if (make_folders(plot, out))
        code = draw_all(plot, &source);
    groups_release(&groups);
    record_close(reader);
    return code;
}

int plot_command(int argc, char **argv) {
    struct plot plot = {0};
    const char *out = NULL, *formats = "svg,png";
    char list[64];
    if (!take_option(&argc, argv, "--out", &out) || !take_option(&argc, argv, "--figure", &plot.only) ||
        !take_option(&argc, argv, "--format", &formats) || !only_positional(argc, argv, 1, 1, usage))
        return EXIT_CANNOT;
    plot.file = argv[0];
    snprintf(list, sizeof list, "%s", formats);
    if (!read_formats(&plot, list))
        return EXIT_CANNOT;
    bool known = !plot.only;
    for (int k = 0; k < figures_count; k++)
        known |= plot.only && !strcmp(plot.only, figures[k].name);
    if (!known) {
        char names[200] = "";
        for (int k = 0; k < figures_count; k++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", k ? ", " : "", figures[k].name);
        return cannot("--figure %s: one of %s", plot.only, names);
    }
    if (!find_scripts(&plot))
        return cannot("the folder plots/ is neither beside the program's folder nor here");
    return plot_record(&plot, out);
}
