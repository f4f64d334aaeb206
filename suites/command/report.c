/* `mhcbench report`: a record as one page without scripts, which loads nothing from outside. Figures are those of
 * `plot`, tables those of `show`. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "build_info.h"
#include "results/html.h"
#include "suites/case/options.h"
#include "suites/command/commands.h"
#include "suites/command/drawing.h"
#include "suites/command/show.h"
#include "suites/report/figures.h"

enum { PATH_SIZE = 4096, MOST_COMMANDS = 200 };

static const char usage[] = "report FILE.h5 --out FILE.html [--overwrite] [--all]";
static const char help[] =
    "Writes a record as one page of HTML: its figures as SVG, its tables, where its numbers come from, and the "
    "commands that reproduce them. The page has no script and loads nothing: attach it to a pull request or to a "
    "paper's supplement.\n\n"
    "  --out FILE.html  the page to write\n"
    "  --overwrite      replace FILE.html if it exists\n"
    "  --all            every row of tables that have more than 24\n";

static const char style[] =
    "body{font:15px/1.45 sans-serif;max-width:75em;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "pre{white-space:pre-wrap;font:13px/1.4 monospace;color:#444}table{border-collapse:collapse;margin:.5em 0 "
    "1.5em;font-size:13px}"
    "th,td{padding:.2em .7em;text-align:right;border-bottom:1px solid "
    "#ddd;vertical-align:top}th{border-bottom:2px solid #888}"
    ".l{text-align:left}figure{margin:1em 0}figcaption{color:#444}svg{max-width:100%;height:auto}code{font:13px "
    "monospace}"
    ".wide{overflow-x:auto}";

/* ---- figures ---- */

/* Draws the figures into a folder, in a process of its own whose output is kept. false: `why` is its last line. */
static bool draw_figures(const char *file, const char *folder, char *why, size_t why_size) {
    int ends[2], status = 0;
    if (pipe2(ends, O_CLOEXEC))
        return snprintf(why, why_size, "%s", strerror(errno)), false;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        char *argv[] = {(char *)file, "--format", "svg", "--out", (char *)folder, NULL};
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        _exit(plot_command(5, argv));
    }
    close(ends[1]);
    if (child > 0)
        drawing_last_line(ends[0], why, why_size);
    close(ends[0]);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return snprintf(why, why_size, "%s", strerror(errno)), false;
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_GOOD;
}

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t room = 0;
    const ssize_t length = file ? getdelim(&text, &room, EOF, file) : -1;
    if (file)
        fclose(file);
    if (length < 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* The drawing alone, from <svg on. Names within it get the number of the figure, because figures of one page must not
 * share names. */
static void put_svg(FILE *out, const char *text, int number) {
    static const char *const before[] = {" id='", " id=\"", "url(#", "xlink:href='#", "xlink:href=\"#"};
    const char *at = strstr(text, "<svg");
    while (at && *at) {
        size_t length = 0;
        for (size_t k = 0; k < sizeof before / sizeof *before && !length; k++)
            if (!strncmp(at, before[k], strlen(before[k])))
                length = strlen(before[k]);
        fwrite(at, 1, length ? length : 1, out);
        if (length)
            fprintf(out, "f%d-", number);
        at += length ? length : 1;
    }
}

static void add_figures(FILE *out, const char *folder) {
    for (int k = 0; k < figures_count; k++) {
        char path[PATH_SIZE + 64];
        snprintf(path, sizeof path, "%s/%s.svg", folder, figures[k].name);
        char *svg = read_file(path);
        if (!svg)
            continue;
        fprintf(out, "<figure id=\"%s\">\n", figures[k].name);
        put_svg(out, svg, k);
        fprintf(out, "\n<figcaption><b>%s</b>: ", figures[k].name);
        html_text(out, figures[k].help);
        fputs("</figcaption>\n</figure>\n", out);
        free(svg);
    }
}

static void empty_folder(const char *path) {
    char inner[2 * PATH_SIZE];
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (entry->d_type == DT_DIR)
            empty_folder(inner);
        else
            unlink(inner);
    }
    if (folder)
        closedir(folder);
    rmdir(path);
}

static void put_figures(FILE *out, const char *file) {
    char folder[PATH_SIZE], why[1000] = "no folder for them";
    fputs("<h2>Figures</h2>\n", out);
    const bool there = drawing_folder(folder, sizeof folder);
    if (there && draw_figures(file, folder, why, sizeof why))
        add_figures(out, folder);
    else {
        fputs("<p>None: ", out);
        html_text(out, why);
        fputs("</p>\n", out);
    }
    if (there)
        empty_folder(folder);
}

/* ---- the rest ---- */

static void put_provenance(FILE *out, struct record_reader *reader) {
    const char *name, *value;
    fputs("<h2>Where the numbers come from</h2>\n<table>\n", out);
    for (int k = 0; k < record_fact_count(reader); k++)
        if (record_fact(reader, k, &name, &value)) {
            fputs("<tr><td class=\"l\">", out);
            html_text(out, name);
            fputs("</td><td class=\"l\">", out);
            html_text(out, value);
            fputs("</td></tr>\n", out);
        }
    fputs("</table>\n", out);
}

static void put_commands(FILE *out, struct record_reader *reader) {
    const char *const *keys = record_texts(reader, "key"), *command = record_attribute(reader, "command");
    const int64_t count = record_count(reader);
    fputs("<h2>Commands</h2>\n<p>The run: <code>", out);
    html_text(out, command ? command : "unknown");
    fputs("</code></p>\n<details><summary>One case each</summary>\n<pre>", out);
    for (int64_t k = 0; keys && k < count && k < MOST_COMMANDS; k++) {
        fputs("mhcbench run ", out);
        html_text(out, keys[k]);
        fputc('\n', out);
    }
    if (count > MOST_COMMANDS)
        fprintf(out, "... %lld more: the record has them\n", (long long)(count - MOST_COMMANDS));
    fputs("</pre></details>\n", out);
}

static bool put_page(FILE *out, struct record_reader *reader, const struct groups *g, const char *file, bool all) {
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
    struct tables t = {.out = out, .format = TABLE_HTML};
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
          "'unsafe-inline'\">\n<title>",
          out);
    html_text(out, name);
    fprintf(out, "</title>\n<style>%s</style></head>\n<body>\n<h1>", style);
    html_text(out, name);
    fputs("</h1>\n<div class=\"wide\">\n<h2>Tables</h2>\n", out);
    show_write(reader, g, name, all ? SHOW_ALL : 0, &t);
    const bool good = tables_end(&t);
    fputs("</div>\n", out);
    put_figures(out, file);
    put_commands(out, reader);
    put_provenance(out, reader);
    fputs("<p>Made by mhcbench " PROVENANCE_VERSION ".</p>\n</body>\n</html>\n", out);
    return good;
}

/* Writes a file of another name first, so that a page is whole or absent. */
static int write_page(struct record_reader *reader, const struct groups *g, const char *file, const char *path,
                      bool all) {
    char part[PATH_SIZE];
    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
        return cannot("%s: the name is too long", path);
    FILE *out = fopen(part, "w");
    if (!out)
        return cannot("%s: %s", part, strerror(errno));
    const bool whole = put_page(out, reader, g, file, all);
    const bool written = !ferror(out) & !fclose(out);
    if (whole && written && !rename(part, path))
        return printf("%s\n", path), EXIT_GOOD;
    unlink(part);
    return whole ? cannot("%s: cannot be written: %s", path, strerror(errno)) : cannot("out of memory");
}

int report_command(int argc, char **argv) {
    const char *path = NULL;
    struct groups groups;
    char why[300];
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    const bool overwrite = take_flag(&argc, argv, "--overwrite"), all = take_flag(&argc, argv, "--all");
    if (!take_option(&argc, argv, "--out", &path) || !only_positional(argc, argv, 1, 1, usage))
        return EXIT_CANNOT;
    if (!path || !*path)
        return cannot("--out FILE.html is missing; usage: mhcbench %s", usage);
    if (!overwrite && !access(path, F_OK))
        return cannot("%s exists; --overwrite replaces it", path);
    struct record_reader *reader = record_open(argv[0]);
    if (!reader)
        return cannot("%s", record_error());
    int code = EXIT_CANNOT;
    if (!groups_read(reader, &groups, why, sizeof why))
        cannot("%s: %s", argv[0], why);
    else {
        code = write_page(reader, &groups, argv[0], path, all);
        groups_release(&groups);
    }
    record_close(reader);
    return code;
}
