/* What `plot` and `report` draw with: a folder that is theirs alone, and gnuplot. */
#ifndef DRAWING_H
#define DRAWING_H

#include <stdbool.h>
#include <stddef.h>

/* Makes a folder that no other user can write to, below TMPDIR or /tmp, and gives its absolute path. false: see
 * errno. */
bool drawing_folder(char *path, size_t size);
/* Reads a pipe to its end and keeps the last line, because that is where a program names its error. */
void drawing_last_line(int pipe, char *text, size_t size);
/* Has SCRIPTS/FIGURE.gp draw the data of a folder; `out` is a file, or "-". false: reported. */
bool drawing_by_gnuplot(const char *scripts, const char *data, const char *figure, const char *format, const char *out);
/* Whether a file ends as its format does. gnuplot does not notice a full disk. */
bool drawing_is_whole(const char *path, const char *format);

#endif
