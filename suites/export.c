/* `mhcbench export` and `mhcbench merge`. */
#include <string.h>
#include <sys/stat.h>

#include "results/record.h"
#include "suites/commands.h"

int export_command(int argc, char **argv) {
    static const char usage[] = "export FILE.h5 [--what cases|curves|samples] [--format csv|json] [--out FILE]";
    const char *what = "cases", *format = "csv", *out = "-";
    if (!take_option(&argc, argv, "--what", &what) || !take_option(&argc, argv, "--format", &format) ||
        !take_option(&argc, argv, "--out", &out) || !only_positional(argc, argv, 1, 1, usage))
        return EXIT_CANNOT;
    if (strcmp(what, "cases") && strcmp(what, "curves") && strcmp(what, "samples"))
        return cannot("--what %s: cases, curves or samples", what);
    if (strcmp(format, "csv") && strcmp(format, "json"))
        return cannot("--format %s: csv or json", format);
    struct stat from, to;
    if (!stat(argv[0], &from) && !stat(out, &to) && from.st_dev == to.st_dev && from.st_ino == to.st_ino)
        return cannot("--out %s: is the file to be read", out);
    struct record_reader *reader = record_open(argv[0]);
    bool good = reader && (strcmp(format, "csv") ? record_export_json(reader, what, out) : record_export_csv(reader, what, out));
    record_close(reader);
    return good ? EXIT_GOOD : cannot("%s", record_error());
}

int merge_command(int argc, char **argv) {
    bool overwrite = take_flag(&argc, argv, "--overwrite");
    if (!only_positional(argc, argv, 2, 1 << 20, "merge OUT.h5 PART.h5... [--overwrite]"))
        return EXIT_CANNOT;
    if (!record_merge(argv[0], (const char *const *)argv + 1, argc - 1, overwrite))
        return cannot("%s", record_error());
    return EXIT_GOOD;
}
