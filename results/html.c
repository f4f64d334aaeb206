#include "results/html.h"

#include "results/text.h"

void html_text(FILE *out, const char *text) {
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        const int length = text_utf8_length(c);
        if (length == 0 || (*c < ' ' && *c != '\n' && *c != '\t') || *c == 127)
            fputs("&#xfffd;", out);
        else if (*c == '&' || *c == '<' || *c == '>' || *c == '"' || *c == '\'')
            fprintf(out, "&#%d;", *c);
        else
            fwrite(c, 1, (size_t)length, out);
        c += length ? length : 1;
    }
}
