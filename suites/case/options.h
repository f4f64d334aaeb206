/* Options of the commands themselves, and what a command says when it ends. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>

enum { EXIT_GOOD = 0, EXIT_CHECK_FAILED = 1, EXIT_CANNOT = 2, EXIT_AMBIGUOUS = 3, EXIT_INTERRUPTED = 130 };

/* Takes `--name value`, `--name=value` or a bare `--name` out of argv, and its words; what is left are positional
 * words and options of cases. false: given without its value (reported). */
bool take_option(int *argc, char **argv, const char *name, const char **value);
bool take_flag(int *argc, char **argv, const char *name);

/* `--help` or `-h` among the words: prints the usage line and what it means; true: there is nothing else to do. */
bool help_asked(int *argc, char **argv, const char *usage, const char *help);

/* Prints "mhcbench: ..." on stderr and returns EXIT_CANNOT. */
int cannot(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Whether anything but `count` positional words is left; reports it. */
bool only_positional(int argc, char **argv, int least, int most, const char *usage);

#endif
