#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "results/text.h"
#include "suites/case/help.h"
#include "suites/case/options.h"

/* One line whatever it quotes: a file's name or bytes may hold a line end or move a terminal's cursor. */
int cannot(const char *format, ...) {
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fprintf(stderr, "mhcbench: %s\n", text_clean(line));
    return EXIT_CANNOT;
}

static void drop(int *argc, char **argv, int at, int count) {
    memmove(argv + at, argv + at + count, (size_t)(*argc - at - count) * sizeof *argv);
    *argc -= count;
}

bool take_flag(int *argc, char **argv, const char *name) {
    bool found = false;
    for (int k = 0; k < *argc;)
        if (!strcmp(argv[k], name)) {
            drop(argc, argv, k, 1);
            found = true;
        } else
            k++;
    return found;
}

bool help_asked(int *argc, char **argv, const char *usage, const char *help) {
    bool asked = take_flag(argc, argv, "--help");
    asked = take_flag(argc, argv, "-h") || asked;
    if (asked)
        help_print(usage, help);
    return asked;
}

bool take_option(int *argc, char **argv, const char *name, const char **value) {
    size_t length = strlen(name);
    bool found = false;
    for (int k = 0; k < *argc;) {
        const bool joined = !strncmp(argv[k], name, length) && argv[k][length] == '=';
        if (!joined && strcmp(argv[k], name)) {
            k++;
            continue;
        }
        if (found)
            return cannot("%s is given twice", name), false;
        if (!joined && k + 1 >= *argc)
            return cannot("%s needs a value", name), false;
        *value = joined ? argv[k] + length + 1 : argv[k + 1];
        drop(argc, argv, k, joined ? 1 : 2);
        found = true;
    }
    return true;
}

bool only_positional(int argc, char **argv, int least, int most, const char *usage) {
    for (int k = 0; k < argc; k++)
        if (argv[k][0] == '-' && argv[k][1])
            return cannot("unknown option %s; usage: mhcbench %s", argv[k], usage), false;
    if (argc < least || argc > most)
        return cannot("usage: mhcbench %s", usage), false;
    return true;
}
