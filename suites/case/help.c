/* The help of a command, laid out for a terminal of 100 columns. The texts in the commands are written as paragraphs
 * and entries, so that a change of words moves no line end. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "suites/case/help.h"

enum { COLUMNS = 100, USAGE_INDENT = 8 };

struct layout {
    int column; /* where the next word goes */
    int indent; /* where a line begins that continues this one */
};

static void put_word(struct layout *l, const char *word, size_t length) {
    bool first = l->column < l->indent || !l->column;
    if (!first && l->column + 1 + (int)length > COLUMNS) {
        printf("\n");
        l->column = 0;
        first = true;
    }
    if (first)
        l->column += printf("%*s", l->indent - l->column, "");
    else
        l->column += printf(" ");
    l->column += printf("%.*s", (int)length, word);
}

static void put_words(struct layout *l, const char *text, size_t length) {
    for (const char *end = text + length; text < end;) {
        size_t gap = strspn(text, " "), word;
        text += gap;
        for (word = 0; text + word < end && text[word] != ' ';)
            word++;
        if (word)
            put_word(l, text, word);
        text += word;
    }
}

void help_fill(int column, int indent, const char *text) {
    struct layout l = {column, indent};
    put_words(&l, text, strlen(text));
    printf("\n");
}

/* "run [FILE.suite] [--out FILE.h5]": an option and its value stay together. */
static void put_usage(const char *usage) {
    struct layout l = {printf("usage: mhcbench"), USAGE_INDENT};
    while (*usage) {
        size_t length = 0;
        for (int depth = 0; usage[length] && (depth || usage[length] != ' '); length++)
            depth += (usage[length] == '[') - (usage[length] == ']');
        put_word(&l, usage, length);
        usage += length;
        usage += strspn(usage, " ");
    }
    printf("\n");
}

/* Where the meaning of "  --option VALUE  meaning" begins; 0: the line has none. */
static int meaning_at(const char *line, size_t length) {
    size_t begin = strspn(line, " ");
    for (size_t k = begin; k + 2 < length; k++)
        if (line[k] == ' ' && line[k + 1] == ' ')
            return (int)(k + strspn(line + k, " "));
    return 0;
}

void help_print(const char *usage, const char *help) {
    put_usage(usage);
    printf("\n");
    struct layout l = {0, 0};
    for (const char *line = help; *line;) {
        size_t length = strcspn(line, "\n"), begin = strspn(line, " ");
        bool paragraph = l.column && !begin && !l.indent, more = l.column && begin > 2 && l.indent > 2;
        if (length && (paragraph || more))
            put_words(&l, line, length);
        else {
            int at = meaning_at(line, length);
            if (l.column)
                printf("\n");
            if (!length)
                printf("\n");
            l = (struct layout){printf("%.*s", at ? at - 1 : 0, line), at ? at : (int)begin};
            put_words(&l, line + at, length - (size_t)at);
        }
        line += length + (line[length] == '\n');
    }
    if (l.column)
        printf("\n");
}
