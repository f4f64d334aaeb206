/* `mhcbench plot` in a folder of its own, and what can be said of its files without looking at pictures. */
#ifndef PLOT_COMMAND_H
#define PLOT_COMMAND_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/mhcbench-plot-XXXXXX";
static char said[1 << 16]; /* standard output and error of the last command */

static inline const char *program(void) {
    static char path[4096];
    const char *name = getenv("MHCBENCH");
    cr_assert(realpath(name ? name : "build/mhcbench", path), "no program %s: set MHCBENCH",
              name ? name : "build/mhcbench");
    return path;
}

/* Runs a shell command in which @ is the program and % the folder; returns its exit code. */
static inline int run(const char *text) {
    char command[8192] = "";
    for (size_t used = 0; *text; text++, used = strlen(command))
        snprintf(command + used, sizeof command - used,
                 *text == '@'   ? "%s"
                 : *text == '%' ? "%s"
                                : "%.1s",
                 *text == '@'   ? program()
                 : *text == '%' ? folder
                                : text);
    snprintf(command + strlen(command), sizeof command - strlen(command), " 2>&1");
    FILE *pipe = popen(command, "r");
    cr_assert(pipe);
    said[fread(said, 1, sizeof said - 1, pipe)] = 0;
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline void good(const char *command) {
    int code = run(command);
    cr_assert(code == 0, "%s: exit %d, said: %s", command, code, said);
}

/* Exit 2 and one line that has `word` in it. */
static inline void refused(const char *command, const char *word) {
    int code = run(command);
    const char *end = strchr(said, '\n');
    cr_expect(code == 2, "%s: exit %d, want 2; said: %s", command, code, said);
    cr_expect(end && !end[1] && strstr(said, word), "%s: want one line with \"%s\", got: %s", command, word, said);
}

static char *contents(const char *name, size_t *size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    cr_assert(file, "%s is not there", path);
    char *text = malloc(1 << 24);
    *size = fread(text, 1, (1 << 24) - 1, file);
    text[*size] = 0;
    fclose(file);
    return text;
}

static inline void holds(const char *name, const char *word, bool wanted) {
    size_t size;
    char *text = contents(name, &size);
    cr_expect((strstr(text, word) != NULL) == wanted, "%s: \"%s\" is %s", name, word, wanted ? "missing" : "there");
    free(text);
}

static inline void start(void) {
    cr_assert(mkdtemp(folder));
}

static inline void finish(void) {
    run("rm -rf %");
}

/* The caption of a figure, its rows joined by blanks, has these words. */
static inline void caption_says(const char *settings, const char *words, bool wanted) {
    size_t size;
    char *text = contents(settings, &size), caption[4000] = "", *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *end = strrchr(line, '\''), *start = strchr(line, '\'');
        if (strncmp(line, "CAPTION_", 8) || !start || end == start)
            continue;
        *end = 0;
        snprintf(caption + strlen(caption), sizeof caption - strlen(caption), "%s%s", *caption ? " " : "", start + 1);
    }
    cr_expect((strstr(caption, words) != NULL) == wanted, "%s: \"%s\" is %s: %s", settings, words,
              wanted ? "missing" : "there", caption);
    free(text);
}

/* Every figure of `out` that is named is there as SVG and PNG, whole. */
static inline void figures_whole(const char *out, const char *const *names) {
    for (; *names; names++) {
        char path[4096];
        size_t size;
        snprintf(path, sizeof path, "%s/%s.svg", out, *names);
        char *svg = contents(path, &size);
        cr_expect(!strncmp(svg, "<?xml", 5) && strstr(svg, "</svg>") && strstr(svg, "<path"), "%s: not a whole SVG",
                  path);
        cr_expect(!strstr(svg, "nan") && !strstr(svg, "inf,"), "%s: a coordinate is not finite", path);
        cr_expect(!strstr(svg, "MODEL"), "%s: says MODEL of what was computed or measured here", path);
        free(svg);
        snprintf(path, sizeof path, "%s/%s.png", out, *names);
        char *png = contents(path, &size);
        cr_expect(size > 1000 && !memcmp(png, "\x89PNG\r\n\x1a\n", 8) && memmem(png + size - 12, 12, "IEND", 4),
                  "%s: not a whole PNG, %zu bytes", path, size);
        free(png);
    }
}

/* Every CSV of a figures folder: provenance, a header, rows of as many fields, none of them nan or inf. */
static inline void data_is_tidy(const char *out) {
    char path[4096], name[4400];
    snprintf(path, sizeof path, "%s/%s/data", folder, out);
    DIR *dir = opendir(path);
    cr_assert(dir, "%s", path);
    int files = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!strstr(entry->d_name, ".csv"))
            continue;
        size_t size;
        snprintf(name, sizeof name, "%s/data/%s", out, entry->d_name);
        char *text = contents(name, &size), *rest = NULL;
        int row = 0, columns = 0;
        for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), row++) {
            int fields = 1;
            bool quoted = false;
            for (char *at = line; *at; at++) {
                quoted ^= *at == '"';
                fields += *at == ',' && !quoted;
            }
            columns = row == 1 ? fields : columns;
            cr_expect(row ? *line != '#' : !strncmp(line, "# mhcbench ", 11), "%s:%d: %s", name, row + 1, line);
            cr_expect(row < 1 || fields == columns, "%s:%d: %d fields, want %d", name, row + 1, fields, columns);
            for (char *at = line; row > 1 && (at = strchr(at, ',')); at++)
                cr_expect(strncasecmp(at, ",nan", 4) && strncasecmp(at, ",inf", 4) && strncasecmp(at, ",-inf", 5) &&
                              strncasecmp(at, ",-nan", 5),
                          "%s:%d: %s", name, row + 1, line);
        }
        cr_expect(row >= 2, "%s: %d lines", name, row);
        free(text);
        files++;
    }
    closedir(dir);
    cr_expect(files > 0, "%s: no data", path);
}

#endif
