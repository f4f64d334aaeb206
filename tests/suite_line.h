/* Cases of one line of options, for tests. */
#ifndef SUITE_LINE_H
#define SUITE_LINE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "suites/case/suite.h"

enum { WORDS = 128 };

/* The words of a line, parted by blanks. */
static inline int split(char *line, char **words) {
    int count = 0;
    for (char *word = strtok(line, " "); word && count < WORDS; word = strtok(NULL, " "))
        words[count++] = word;
    return count;
}

/* Cases of one line of options; fails the test where it cannot be read. */
static inline struct suite read_line(const char *text) {
    char line[4096], why[600] = "", *words[WORDS];
    struct suite s;
    snprintf(line, sizeof line, "%s", text);
    int count = split(line, words);
    cr_assert(suite_read(&s, NULL, words, count, why, sizeof why), "%s: %s", text, why);
    return s;
}

#endif
