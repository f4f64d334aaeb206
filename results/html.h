/* Text of anybody's in a page of HTML. */
#ifndef HTML_H
#define HTML_H

#include <stdio.h>

/* Escapes what HTML reads as markup; a control character, and a byte that is no UTF-8, become U+FFFD. */
void html_text(FILE *, const char *text);

#endif
