#include "results/text.h"

#include <string.h>

int text_utf8_length(const unsigned char *c) {
    const int length = c[0] < 0x80 ? 1 : c[0] < 0xC2 ? 0 : c[0] < 0xE0 ? 2 : c[0] < 0xF0 ? 3 : c[0] < 0xF5 ? 4 : 0;
    for (int i = 1; i < length; i++)
        if ((c[i] & 0xC0) != 0x80)
            return 0;
    if ((c[0] == 0xE0 && c[1] < 0xA0) || (c[0] == 0xED && c[1] > 0x9F) || (c[0] == 0xF0 && c[1] < 0x90) ||
        (c[0] == 0xF4 && c[1] > 0x8F))
        return 0;
    return length;
}

/* U+0000 to U+001F, U+007F to U+009F; U+FFFE and U+FFFF. */
static bool is_banned(const unsigned char *c, int length) {
    return length == 0 || c[0] < ' ' || c[0] == 127 || (length == 2 && c[0] == 0xC2 && c[1] < 0xA0) ||
           (length == 3 && c[0] == 0xEF && c[1] == 0xBF && c[2] > 0xBD);
}

static char *clean(char *text, bool lines) {
    unsigned char *to = (unsigned char *)text;
    for (const unsigned char *c = to; *c;) {
        const int length = text_utf8_length(c);
        if (is_banned(c, length) && !(lines && *c == '\n'))
            *to++ = '?';
        else {
            memmove(to, c, (size_t)length);
            to += length;
        }
        c += length ? length : 1;
    }
    *to = 0;
    return text;
}

char *text_clean(char *text) {
    return clean(text, false);
}

char *text_clean_lines(char *text) {
    return clean(text, true);
}

bool text_ends_with(const char *text, const char *end) {
    const size_t length = strlen(text), own = strlen(end);
    return length >= own && !strcmp(text + length - own, end);
}
