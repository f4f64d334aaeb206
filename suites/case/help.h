/* How a command says what it takes. */
#ifndef HELP_H
#define HELP_H

/* Prints `usage: mhcbench USAGE`, an empty line and `help` at 100 columns. In `help` an empty line ends a paragraph. A
 * line with two spaces in front is an entry, `  --option VALUE  meaning`; a long name may have its meaning on the next
 * line, behind as many spaces as it shall stand behind. */
void help_print(const char *usage, const char *help);

/* Prints the words of `text`, one space between two, and ends the line. `column` columns of the first line are printed
 * already: the text begins at `indent`, or one space behind what is longer. Further lines begin at `indent`. */
void help_fill(int column, int indent, const char *text);

#endif
