/* The report as JSON and as JUnit XML. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "build_info.h"
#include "results/html.h"
#include "results/text.h"
#include "suites/case/options.h"
#include "suites/gate/gate_report.h"

static bool open_one(const char *path, FILE **file, const char *const input[2]) {
    struct stat there, in;
    *file = NULL;
    for (int k = 0; k < 2 && path && !stat(path, &there); k++)
        if (!stat(input[k], &in) && there.st_dev == in.st_dev && there.st_ino == in.st_ino)
            return cannot("%s is an input here and must not be overwritten", path), false;
    if (path && !(*file = fopen(path, "w")))
        return cannot("cannot write %s: %s", path, strerror(errno)), false;
    return true;
}

bool gate_files_open(struct gate_files *f, const struct gate_options *o, const char *const input[2]) {
    return open_one(o->json, &f->json, input) && open_one(o->junit, &f->junit, input);
}

static void put_xml(FILE *out, const char *text) {
    char *clean = strdup(text);
    if (clean)
        html_text(out, text_clean(clean));
    free(clean);
}

static void put_text(FILE *out, const char *name, const char *text) {
    fprintf(out, "\"%s\": ", name);
    table_json_text(out, text);
    fputs(", ", out);
}

static void write_json(FILE *out, const struct gate_report *g, int code) {
    int64_t verdicts[MHC_VERDICTS] = {0};
    fputs("{", out);
    put_text(out, "program", "mhcbench " PROVENANCE_VERSION);
    put_text(out, "gate", g->gate);
    put_text(out, "base", g->base);
    put_text(out, "new", g->now);
    put_text(out, "reference", g->first);
    put_text(out, "note", g->note);
    for (int64_t k = 0; k < g->count; k++)
        verdicts[g->row[k].verdict]++;
    if (g->wanted)
        put_text(out, "interrupted", gate_interruption(g));
    if (g->small_share > 0)
        fprintf(out, "\"small_differences\": %lld, \"small_share\": %g, ", (long long)g->small, g->small_share);
    if (g->last)
        put_text(out, "last", g->last);
    fprintf(out, "\"exit\": %d, \"cases\": %lld, \"verdicts\": {", code, (long long)g->count);
    for (int v = 0; v < MHC_VERDICTS; v++)
        fprintf(out, "%s\"%s\": %lld", v ? ", " : "", mhc_verdict_name[v], (long long)verdicts[v]);
    fputs("},\n\"rows\": ", out);
    gate_table(g, &(struct tables){.out = out, .format = TABLE_JSON});
    fputs("}\n", out);
}

/* A row that fails the gate is a failure. A row that is open counts as skipped, so that CI shows it. */
static void write_junit(FILE *out, const struct gate_report *g) {
    int64_t fails = g->first_fails, open = 0;
    for (int64_t k = 0; k < g->count; k++) {
        fails += g->row[k].fails;
        open += !g->row[k].fails && g->row[k].open;
    }
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"mhcbench %s\" tests=\"%lld\" "
            "failures=\"%lld\" errors=\"%d\" skipped=\"%lld\">\n",
            g->gate, (long long)g->count + (g->wanted > 0) + g->first_fails, (long long)fails, g->wanted > 0,
            (long long)open);
    if (g->wanted)
        fprintf(out, "<testcase classname=\"mhcbench.%s\" name=\"interrupted\"><error message=\"%s\"/></testcase>\n",
                g->gate, gate_interruption(g));
    if (g->first_fails) {
        fprintf(out, "<testcase classname=\"mhcbench.%s\" name=\"reference\"><failure message=\"", g->gate);
        put_xml(out, g->first);
        fputs("\"/></testcase>\n", out);
    }
    for (int64_t k = 0; k < g->count; k++) {
        const struct gate_row *r = &g->row[k];
        fprintf(out, "<testcase classname=\"mhcbench.%s\" name=\"", g->gate);
        put_xml(out, r->name);
        fputs("\">", out);
        const char *element = r->fails ? "failure" : r->open ? "skipped" : "system-out";
        fprintf(out, "<%s%s", element, strcmp(element, "system-out") ? " message=\"" : ">");
        fprintf(out, "%s: ", mhc_verdict_name[r->verdict]);
        put_xml(out, r->reason);
        if (strcmp(element, "system-out"))
            fputs("\">", out);
        else
            fputs("\n", out);
        if (r->verdict != MHC_SAME)
            put_xml(out, r->command);
        fprintf(out, "</%s></testcase>\n", element);
    }
    fputs("</testsuite>\n</testsuites>\n", out);
}

static bool close_one(FILE *file, const char *path) {
    bool good = !ferror(file);
    if (fclose(file) || !good)
        return cannot("cannot write %s", path), false;
    return true;
}

bool gate_files_write(struct gate_files *f, const struct gate_options *o, const struct gate_report *g, int code) {
    bool good = true;
    if (f->json) {
        write_json(f->json, g, code);
        good = close_one(f->json, o->json);
    }
    if (f->junit) {
        write_junit(f->junit, g);
        good &= close_one(f->junit, o->junit);
    }
    return good;
}
