/* What lines are called: in the legend, in the caption, and among those that were left out. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "suites/report/figure_lines.h"

/* ---- labels ---- */

static const struct params *params_of_line(const struct figure_source *source, const struct line *line) {
    return &source->groups->group[line->groups[0]].p;
}

/* Whether a parameter differs between the lines (of one block, or of all: -1); `all`: those left out among them. */
static bool varies(const struct figure_source *source, const struct lines *lines, bool all, int block,
                   const struct param *param) {
    const struct params *first = NULL;
    for (int k = 0; k < lines->count + (all ? lines->left_out_count : 0); k++) {
        const struct params *p = params_of_line(source, k < lines->count ? &lines->line[k]
                                                                         : &lines->left_out[k - lines->count]);
        if (block >= 0 ? p->block != block
                       : connection_has_one_stream(params_connection(p)) && lines->count > 1 &&
                             !strcmp(param->name, "streams"))
            continue;
        if (first && params_differ(first, p, param))
            return true;
        first = p;
    }
    return false;
}

void label_lines(const struct figure_source *source, struct lines *lines, const struct param *along) {
    for (int k = 0; k < lines->count + lines->left_out_count; k++) {
        bool shown = k < lines->count;
        struct line *line = shown ? &lines->line[k] : &lines->left_out[k - lines->count];
        struct group group = source->groups->group[line->groups[0]];
        struct groups alone = {&group, 1, {0}};
        char text[LINE_LABEL];
        for (int p = 0; p < params_count; p++)
            alone.varies[p] = &params_table[p] != along && strcmp(params_table[p].name, "seed") &&
                              varies(source, lines, !shown, line->block, &params_table[p]);
        groups_label(&alone, 0, text, sizeof text);
        const char *word = params_word(&group.p, "block"), *at = strstr(text, word);
        int before = at > text ? (int)(at - text) - 1 : 0; /* the study, where it differs, goes behind the name */
        snprintf(line->label, sizeof line->label, "%s%s%.*s%s", connections[line->block].label, before ? " " : "",
                 before, text, at ? at + strlen(word) : "");
    }
}

/* ---- what a caption says ---- */

__attribute__((format(printf, 3, 4))) static void append(char *text, size_t size, const char *format, ...) {
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, size - used, format, arguments);
    va_end(arguments);
}

/* Parameters that do not matter to a reader of the figure. */
static bool untold(const struct param *param) {
    return param->role & (ROLE_KEEPS | ROLE_TITLE);
}

static void append_value(char *text, size_t size, const struct params *p, const struct param *param) {
    char value[PARAM_TEXT_SIZE];
    params_text(p, param, value, sizeof value);
    append(text, size, "%s%s=%s", *text ? ", " : "", param->letter ? param->letter : param->name, value);
}

static bool is_standard(const struct params *p, const struct param *param) {
    char value[PARAM_TEXT_SIZE];
    params_text(p, param, value, sizeof value);
    return !strcmp(value, param->standard) && !(param->role & ROLE_CAPTION);
}

/* The lines left out, as far as they fit. */
static void append_left_out(const struct lines *lines, char *text, size_t size) {
    int told = 0;
    for (; told < lines->left_out_count && strlen(text) + strlen(lines->left_out[told].label) + 8 < size; told++)
        append(text, size, "%s%s", told ? ", " : "", lines->left_out[told].label);
    if (told < lines->candidates - lines->count)
        append(text, size, "%s…", told ? ", " : "");
}

/* "HC, mHC at another L or n only". */
static void append_absent(const struct lines *lines, char *text, size_t size) {
    for (int b = 0, told = 0; b < CONNECTIONS; b++)
        if (lines->absent >> b & 1)
            append(text, size, "%s%s", told++ ? ", " : "", connections[b].label);
    append(text, size, " at another L or n only");
}

void describe_left_out(const struct lines *lines, char *text, size_t size) {
    long long missing = (long long)lines->candidates - lines->count;
    text[0] = 0;
    if (missing) {
        append(text, size, "%lld line%s not in it: ", missing, missing > 1 ? "s are" : " is");
        append_left_out(lines, text, size - 80);
    }
    if (lines->absent) {
        append(text, size, "%s", missing ? "; not in it: " : "not in it: ");
        append_absent(lines, text, size);
    }
}

/* The fewest and the most seeds of a point. */
static void seeds_of(const struct figure_source *source, const struct line *line, int64_t *least, int64_t *most) {
    *least = INT64_MAX;
    *most = 0;
    for (int64_t j = 0; j < line->count; j++) {
        int64_t seeds = source->groups->group[line->groups[j]].count;
        *least = seeds < *least ? seeds : *least;
        *most = seeds > *most ? seeds : *most;
    }
}

int64_t lines_most_seeds(const struct figure_source *source, const struct lines *lines) {
    int64_t least, most, found = 0;
    for (int k = 0; k < lines->count; k++) {
        seeds_of(source, &lines->line[k], &least, &most);
        found = most > found ? most : found;
    }
    return found;
}

static void append_seeds(char *text, size_t size, int64_t least, int64_t most) {
    append(text, size, "%lld", (long long)least);
    if (most > least)
        append(text, size, "–%lld", (long long)most);
    append(text, size, " seed%s", most > 1 ? "s" : "");
}

static bool within_glyph(char byte) { /* of UTF-8 */
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* A label with its middle left out where it has more than `most` bytes: what tells paths apart is at their ends. */
static void shortened(const char *label, size_t most, char *text, size_t size) {
    size_t length = strlen(label), head = most / 2, tail = length - (most - most / 2);
    if (length <= most) {
        snprintf(text, size, "%s", label);
        return;
    }
    while (head && within_glyph(label[head]))
        head--;
    while (within_glyph(label[tail]))
        tail++;
    snprintf(text, size, "%.*s…%s", (int)head, label, label + tail);
}

void line_legend(const struct figure_source *source, const struct lines *lines, int k, char *text, size_t size) {
    enum { MOST = 44, FOR_SEEDS = 13 }; /* what half the width of a page holds */
    int64_t own[2], other[2];
    bool differ = false;
    seeds_of(source, &lines->line[k], &own[0], &own[1]);
    for (int j = 0; j < lines->count; j++) {
        seeds_of(source, &lines->line[j], &other[0], &other[1]);
        differ |= other[0] != own[0] || other[1] != own[1];
    }
    shortened(lines->line[k].label, differ ? MOST - FOR_SEEDS : MOST, text, size);
    if (differ) {
        append(text, size, ", ");
        append_seeds(text, size, own[0], own[1]);
    }
}

static bool is_axis(const struct line *line, const struct param *param) {
    return param == line->axes[0] || param == line->axes[1];
}

void describe_lines(const struct figure_source *source, const struct lines *lines, char *text, size_t size) {
    char all[400] = "", own[CONNECTIONS][400] = {""};
    int64_t least = INT64_MAX, most = 0;
    for (int p = 0; p < params_count; p++) {
        const struct param *param = &params_table[p];
        bool shared = !varies(source, lines, false, -1, param), told = false;
        for (int k = 0; k < lines->count; k++)
            shared &= is_axis(&lines->line[k], param) == is_axis(&lines->line[0], param);
        for (int k = 0; k < lines->count; k++) {
            const struct line *line = &lines->line[k];
            const struct params *values = params_of_line(source, line);
            if (untold(param) || is_axis(line, param) || line->rank ||
                (shared && (told || is_standard(values, param))) || !params_matters(values, param) ||
                (!shared && varies(source, lines, false, line->block, param)))
                continue;
            append_value(shared ? all : own[line->block], 400, values, param);
            told = true;
        }
    }
    for (int k = 0; k < lines->count; k++) {
        int64_t own[2];
        seeds_of(source, &lines->line[k], &own[0], &own[1]);
        least = own[0] < least ? own[0] : least;
        most = own[1] > most ? own[1] : most;
    }
    snprintf(text, size, "%s", all);
    for (int b = 0; b < CONNECTIONS; b++)
        if (*own[b])
            append(text, size, "; %s: %s", connections[b].label, own[b]);
    append(text, size, "; ");
    append_seeds(text, size, least, most);
    if (least == 1)
        append(text, size, " (one seed is one draw, not a median)");
    if (lines->candidates > lines->count) {
        char names[120] = "";
        append_left_out(lines, names, sizeof names);
        append(text, size, "; %d of %lld lines shown, not %s", lines->count, (long long)lines->candidates, names);
    }
    if (lines->absent) {
        append(text, size, "; not shown: ");
        append_absent(lines, text, size);
    }
}

void describe_start(const struct figure_source *source, const struct lines *lines, char *text, size_t size) {
    static const struct {
        const char *word, *says;
    } starts[] = {
        {"lite", "each layer reads and writes one stream more than the others, so that streams differ"},
        {"one-hot", "each layer reads and writes hardly more than one stream, so that streams hardly meet"},
        {"equal",
         "every layer reads and writes all streams alike, so that maps whose rows sum to 1 leave streams equal"}};
    const struct param *param = params_find("pre-post");
    const struct params *first = params_of_line(source, &lines->line[0]);
    bool hc = false;
    text[0] = 0;
    for (int k = 0; k < lines->count; k++) {
        if (params_of_line(source, &lines->line[k])->study != STUDY_PROPAGATE)
            return;
        hc |= connection_is_hc(&connections[lines->line[k].block]);
    }
    if (varies(source, lines, false, -1, param) || varies(source, lines, false, -1, params_find("init")) ||
        first->init != INIT_LATENT)
        return;
    for (size_t k = 0; k < sizeof starts / sizeof *starts; k++)
        if (!strcmp(params_word(first, "pre-post"), starts[k].word))
            snprintf(text, size, " Start %s: %s%s.", starts[k].word, starts[k].says,
                     hc ? "; HC's layers read one stream and write all alike at every start" : "");
}
