/* `mhcbench export` and `mhcbench merge`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "results/record.h"
#include "suites/case/choice.h"
#include "suites/case/options.h"
#include "suites/command/commands.h"
#include "suites/command/run_share.h"
#include "suites/study/shares.h"
#include "suites/worker/progress.h"

int export_command(int argc, char **argv) {
    static const char usage[] =
        "export FILE.h5 [case options] [--what cases|curves|samples] [--format csv|json] [--out FILE]";
    static const char help[] =
        "Writes a record as text. In CSV the lines that start with # say where it comes from.\n\n"
        "  case options  select cases, as in `run`: --connection mhc, --t-max 20,100 ...\n"
        "  --what WORD   cases (default): one row per case, with options, status, summaries and times; curves: one "
        "row per case and layer, gains as log10; samples: one row per timed sample\n"
        "  --format F    csv (default) or json\n"
        "  --out FILE    the file to write; default: standard output\n";
    const char *what = "cases", *format = "csv", *out = "-", *file = NULL;
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    if (!take_option(&argc, argv, "--what", &what) || !take_option(&argc, argv, "--format", &format) ||
        !take_option(&argc, argv, "--out", &out))
        return EXIT_CANNOT;
    if (!choice_files(argc, argv, &file, 1, usage))
        return EXIT_CANNOT;
    if (strcmp(what, "cases") && strcmp(what, "curves") && strcmp(what, "samples"))
        return cannot("--what %s: cases, curves or samples", what);
    if (strcmp(format, "csv") && strcmp(format, "json"))
        return cannot("--format %s: csv or json", format);
    struct stat from, to;
    if (!stat(file, &from) && !stat(out, &to) && from.st_dev == to.st_dev && from.st_ino == to.st_ino)
        return cannot("--out %s: is the file to be read", out);
    struct record_reader *reader = record_open(file);
    if (reader && !choice_select(reader, file, &argc, argv)) {
        record_close(reader);
        return EXIT_CANNOT;
    }
    bool good = reader &&
                (strcmp(format, "csv") ? record_export_json(reader, what, out) : record_export_csv(reader, what, out));
    record_close(reader);
    return good ? EXIT_GOOD : cannot("%s", record_error());
}

/* N of the fact "0/4; 3/4", which parts have that were joined before; 0: there are several N, or none. */
static int64_t shards_in(const char *fact) {
    long long first = 0, of = 0;
    for (const char *at = *fact ? fact : NULL; at; at = strchr(at, ' '), at += at != NULL) {
        if (sscanf(at, "%*d/%lld", &of) != 1 || of < 2 || of > SHARES_MOST || (first && of != first))
            return 0;
        first = of;
    }
    return first;
}

/* N of the shards that made the parts; 0: they differ in N, or one part is no shard. */
static int64_t shards_of(char **paths, int count) {
    int64_t shards = 0;
    for (int k = 0; k < count; k++) {
        struct record_reader *part = record_open(paths[k]);
        const int64_t here = part ? shards_in(share_fact(part)) : 0;
        record_close(part);
        if (!here || (shards && here != shards))
            return 0;
        shards = here;
    }
    return shards;
}

/* "shard 1/3, part of shard 2/3", as far as it fits; "": they cannot be told. */
static void name_shards(const char *out, const struct record_gaps *gaps, int64_t shards, char *text, size_t size) {
    struct record_reader *merged = shards ? record_open(out) : NULL;
    struct suite suite = {0};
    int32_t *of = calloc((size_t)gaps->lines + 1, sizeof *of);
    int64_t *missing = calloc((size_t)shards + 1, sizeof *missing), *all = calloc((size_t)shards + 1, sizeof *all);
    char why[300];
    size_t used = 0;
    text[0] = 0;
    const bool known = merged && of && missing && all &&
                       suite_read_text(&suite, record_attribute(merged, "suite"), why, sizeof why) &&
                       suite.count == gaps->lines && shares_cut(&suite, shards, of, NULL);
    for (int64_t k = 0; known && k < suite.count; k++) {
        all[of[k]]++;
        missing[of[k]] += gaps->is_missing[k];
    }
    for (int64_t s = 0; known && s < shards && used < size; s++)
        if (missing[s])
            used += (size_t)snprintf(text + used, size - used, "%s%sshard %lld/%lld", used ? ", " : "",
                                     missing[s] < all[s] ? "part of " : "", (long long)s, (long long)shards);
    free(all);
    free(missing);
    free(of);
    suite_release(&suite);
    record_close(merged);
}

static void tell_part(int64_t done, int64_t total, const char *part) {
    static struct progress progress;
    progress_tell(&progress, done, total, part);
}

int merge_command(int argc, char **argv) {
    static const char usage[] = "merge OUT.h5 PART.h5... [--overwrite]";
    static const char help[] =
        "Joins the files that --shard I/N made of one suite, or what is left of interrupted runs, into a new file. "
        "If cases of the suite are in no part, OUT.h5 is still written and marked not complete, the missing shards "
        "are named, and the exit code is 1. A case that several parts have must have the same values in all of "
        "them.\n\n"
        "  --overwrite  replace OUT.h5 if it exists\n\n"
        "Exit: 0 every case is there, 1 cases are missing, 2 the parts cannot be joined.\n";
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    bool overwrite = take_flag(&argc, argv, "--overwrite");
    if (!only_positional(argc, argv, 2, 1 << 20, usage))
        return EXIT_CANNOT;
    struct record_gaps gaps = {0};
    char which[400] = "";
    if (!record_merge(argv[0], (const char *const *)argv + 1, argc - 1, overwrite, &gaps, tell_part))
        return cannot("%s", record_error());
    if (gaps.missing) {
        name_shards(argv[0], &gaps, shards_of(argv + 1, argc - 1), which, sizeof which);
        fprintf(stderr,
                "mhcbench: %s is incomplete: %lld of the %lld cases of its suite are in no part%s%s; the first: %s\n",
                argv[0], (long long)gaps.missing, (long long)gaps.lines, *which ? ": " : "", which, gaps.first);
    }
    if (gaps.repeated)
        fprintf(stderr,
                "mhcbench: note: %lld cases are in more than one part; those that are done have the same values\n",
                (long long)gaps.repeated);
    free(gaps.is_missing);
    return gaps.missing ? EXIT_CHECK_FAILED : EXIT_GOOD;
}
