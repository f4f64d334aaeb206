/* The table that `regress` and `compare` print, row by row. */
#ifndef REGRESS_COMMAND_H
#define REGRESS_COMMAND_H

#include "tests/command.h"

#define CC "cc -O1 -shared -fPIC -I$R "

/* The line of the last table that has a text in it, from its verdict on. */
static inline const char *row_of(const char *text) {
    static char line[4096];
    for (const char *at = out; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
        if (strstr(line, text) && line[0] >= 'A' && line[0] <= 'Z')
            return line;
    }
    line[0] = 0;
    return line;
}

static inline void expect_row(const char *what, const char *text, const char *verdict, const char *why) {
    const char *row = row_of(text);
    cr_expect(!strncmp(row, verdict, strlen(verdict)) && strstr(row, why), "%s: wanted %s `%s`, got\n%s\n%s%s", what,
              verdict, why, row, out, err);
}

#endif
