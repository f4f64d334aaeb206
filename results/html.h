/* Foreign text in a page of HTML or a file of XML. */
#ifndef HTML_H
#define HTML_H

#include <stdio.h>

/* Escapes what would be read as markup. A control character and a byte that is no UTF-8 become U+FFFD. */
void html_text(FILE *, const char *text);

#endif
