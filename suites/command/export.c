/* `mhcbench export` and `mhcbench merge`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "results/record.h"
#include "suites/case/options.h"
#include "suites/command/commands.h"
#include "suites/case/choice.h"

int export_command(int argc, char **argv) {
    static const char usage[] =
        "export FILE.h5 [case options] [--what cases|curves|samples] [--format csv|json] [--out FILE]";
    static const char help[] = "Writes a record as text; lines that start with # in CSV say where it comes from.\n\n"
                               "  --connection mhc, --t-max 20,100, ...\n"
                               "                  only cases that have this option of a case, as in `plot`\n"
                               "  --what cases    one row per case: options, status, summaries, times (default)\n"
                               "  --what curves   one row per case and layer; gains are log10\n"
                               "  --what samples  one row per timed sample\n"
                               "  --format        csv (default) or json\n"
                               "  --out FILE      default: standard output\n";
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
    if (reader && (!choice_select(reader, file, &argc, argv))) {
        record_close(reader);
        return EXIT_CANNOT;
    }
    bool good = reader &&
                (strcmp(format, "csv") ? record_export_json(reader, what, out) : record_export_csv(reader, what, out));
    record_close(reader);
    return good ? EXIT_GOOD : cannot("%s", record_error());
}

/* N of the --shard I/N that made the parts; 0: they differ in it, or were made without. */
static long shards_of(char **paths, int count) {
    long shards = 0, index, of;
    for (int k = 0; k < count; k++) {
        struct record_reader *part = record_open(paths[k]);
        const char *command = part ? record_attribute(part, "command") : NULL,
                   *at = command ? strstr(command, "--shard") : NULL;
        bool known = at && sscanf(at, "--shard%*1[ =]%ld/%ld", &index, &of) == 2 && of > 1 && (!k || of == shards);
        shards = known ? of : 0;
        record_close(part);
        if (!known)
            break;
    }
    return shards;
}

/* "shard 1/3, part of shard 2/3", as far as it fits. */
static void name_shards(const struct record_gaps *gaps, long shards, char *text, size_t size) {
    size_t used = 0;
    text[0] = 0;
    for (long s = 0; s < shards && used < size; s++) {
        int64_t missing = 0, all = 0;
        for (int64_t k = s; k < gaps->lines; k += shards, all++)
            missing += gaps->is_missing[k];
        if (missing)
            used += (size_t)snprintf(text + used, size - used, "%s%sshard %ld/%ld", used ? ", " : "",
                                     missing < all ? "part of " : "", s, shards);
    }
}

int merge_command(int argc, char **argv) {
    static const char usage[] = "merge OUT.h5 PART.h5... [--overwrite]";
    static const char help[] =
        "Joins the files that --shard I/N made of one suite, or what is left of interrupted runs of it, into a new "
        "file. When cases of\n"
        "the suite are in no part, OUT.h5 is written all the same and marked not complete, the missing shards are "
        "named, and the exit\n"
        "code is 1.\n\n"
        "  --overwrite  replace OUT.h5 where there is one\n";
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    bool overwrite = take_flag(&argc, argv, "--overwrite");
    if (!only_positional(argc, argv, 2, 1 << 20, usage))
        return EXIT_CANNOT;
    struct record_gaps gaps = {0};
    char which[400] = "";
    if (!record_merge(argv[0], (const char *const *)argv + 1, argc - 1, overwrite, &gaps))
        return cannot("%s", record_error());
    if (gaps.missing) {
        name_shards(&gaps, shards_of(argv + 1, argc - 1), which, sizeof which);
        fprintf(stderr,
                "mhcbench: %s is incomplete: %lld of the %lld cases of its suite are in no part%s%s; the first: %s\n",
                argv[0], (long long)gaps.missing, (long long)gaps.lines, *which ? ": " : "", which, gaps.first);
    }
    free(gaps.is_missing);
    return gaps.missing ? EXIT_CHECK_FAILED : EXIT_GOOD;
}
