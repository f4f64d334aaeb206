/* Texts that anybody may have written: of a file, of its name, of a library. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>

/* Makes of a text, in place, one line that neither steers a terminal nor spoils the file it goes into: every control
 * character, of C0 and of C1, every byte that is no UTF-8 and every character that XML has none of become '?'. Returns
 * it. The reader of the record hands out nothing else; what does not come from there passes here on its way out. */
char *text_clean(char *text);
/* The same, but lines may end. */
char *text_clean_lines(char *text);

/* Bytes of the UTF-8 character that a text begins with; 0: it is none. */
int text_utf8_length(const unsigned char *c);

bool text_ends_with(const char *text, const char *end);

#endif
