#include "suites/gate/gate_report.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "suites/case/options.h"

/* --- rows --- */

/* Names and reasons may come from a stranger's file: no character of them may control a terminal. */
static void make_printable(char *text) {
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
}

struct gate_row *gate_add(struct gate_report *g, const char *name, const char *command) {
    if (g->count == g->room) {
        int64_t room = g->room ? 2 * g->room : 64;
        struct gate_row *grown = realloc(g->row, (size_t)room * sizeof *grown);
        if (!grown)
            return NULL;
        g->row = grown;
        g->room = room;
    }
    struct gate_row *r = &g->row[g->count];
    *r = (struct gate_row){.name = strdup(name),
                           .command = strdup(command),
                           .base_error = NAN,
                           .now_error = NAN,
                           .tolerance = NAN,
                           .change = {NAN, NAN, NAN},
                           .copies = NAN};
    if (!r->name || !r->command) {
        free(r->name);
        free(r->command);
        return NULL;
    }
    make_printable(r->name);
    make_printable(r->command);
    g->count++;
    return r;
}

void gate_say(struct gate_row *r, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->reason, sizeof r->reason, format, arguments);
    va_end(arguments);
    make_printable(r->reason);
}

void gate_release(struct gate_report *g) {
    for (int64_t k = 0; k < g->count; k++) {
        free(g->row[k].name);
        free(g->row[k].command);
        free(g->row[k].label);
    }
    free(g->row);
    g->row = NULL;
    g->count = g->room = 0;
}

/* The length of "--option value" at the start of a text; 0: there is none. */
static size_t pair_at(const char *text) {
    size_t option = strcspn(text, " ");
    return strncmp(text, "--", 2) || !text[option] ? 0 : option + 1 + strcspn(text + option + 1, " ");
}

static bool has_pair(const char *name, const char *pair, size_t length) {
    for (size_t own; (own = pair_at(name)) > 0; name += own + (name[own] == ' '))
        if (own == length && !strncmp(name, pair, length))
            return true;
    return false;
}

static bool all_have(const struct gate_report *g, const char *pair, size_t length) {
    for (int64_t k = 0; k < g->count; k++)
        if (!has_pair(g->row[k].name, pair, length))
            return false;
    return true;
}

static void append_pair(char *text, size_t size, const char *pair, size_t length) {
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%.*s", used ? " " : "", (int)length, pair);
}

void gate_shorten(struct gate_report *g) {
    char common[2048] = "", own[2048];
    size_t length, used = strlen(g->note);
    if (g->count < 2)
        return;
    for (const char *at = g->row[0].name; (length = pair_at(at)) > 0; at += length + (at[length] == ' '))
        if (all_have(g, at, length))
            append_pair(common, sizeof common, at, length);
    if (*common)
        snprintf(g->note + used, sizeof g->note - used, "in every case: %s\n", common);
    for (int64_t k = 0; k < g->count && *common; k++) {
        own[0] = 0;
        for (const char *at = g->row[k].name; (length = pair_at(at)) > 0; at += length + (at[length] == ' '))
            if (!has_pair(common, at, length))
                append_pair(own, sizeof own, at, length);
        g->row[k].label = *own ? strdup(own) : NULL;
    }
}

static const char *label_of(const struct gate_row *r) {
    return r->label ? r->label : r->name;
}

static double size_of(const struct gate_row *r) {
    return isfinite(r->change.median) && r->change.median > 0 ? fabs(log(r->change.median)) : 0;
}

static int by_gravity(const void *left, const void *right) {
    const struct gate_row *a = left, *b = right;
    if (a->fails != b->fails)
        return a->fails ? -1 : 1;
    if (a->open != b->open)
        return a->open ? -1 : 1;
    if (a->verdict != b->verdict)
        return a->verdict > b->verdict ? -1 : 1;
    double size = a->verdict == MHC_SAME ? 0 : size_of(b) - size_of(a);
    return size != 0 ? (size > 0) - (size < 0) : (a->place > b->place) - (a->place < b->place);
}

void gate_sort(struct gate_report *g) {
    for (int64_t k = 0; k < g->count; k++)
        g->row[k].place = k;
    if (g->count)
        qsort(g->row, (size_t)g->count, sizeof *g->row, by_gravity);
}

/* --- the table --- */

static bool any_time(const struct gate_report *g) {
    bool any = false;
    for (int64_t k = 0; k < g->count; k++)
        any |= isfinite(g->row[k].change.median);
    return any;
}

/* One table for text and JSON. In text a row's name is what tells it from the others, and columns of time are left
 * out where no time is known. */
void gate_table(const struct gate_report *g, struct tables *t) {
    struct column columns[] = {
        {"verdict", "verdict", .width = -9},
        {"fails", .width = 0},
        {"open", .width = 0},
        {"time", "time", .width = 7, .format = "%.3f", COLUMN_INTERVAL},
        {NULL, "99 % interval", .width = -16},
        {"base_in_copies", .width = 0},
        {"base_error", "base err", .width = 8, .format = "%.1e"},
        {"new_error", "new err", .width = 8, .format = "%.1e"},
        {"tolerance", "tol", .width = 7, .format = "%.0e"},
        {"bits", "bits", .width = -4},
        {NULL, "case", .width = -4},
        {"case", .width = 0},
        {"why", "why", .width = -1},
        {"command", "command", .below = true},
    };
    if (!any_time(g))
        columns[3].head = columns[4].head = NULL;
    table_begin(t, NULL, columns);
    for (int64_t k = 0; k < g->count; k++) {
        const struct gate_row *r = &g->row[k];
        const struct mhc_interval change = isfinite(r->change.median) ? r->change
                                                                      : (struct mhc_interval){NAN, NAN, NAN};
        char interval[64] = "-";
        if (isfinite(change.median))
            snprintf(interval, sizeof interval, "[%.3f, %.3f]", change.low, change.high);
        struct value command = in_words(r->command);
        command.hidden = r->verdict == MHC_SAME && !r->fails && !r->open;
        table_row(t, in_words(mhc_verdict_name[r->verdict]), in_truth(r->fails), in_truth(r->open),
                  in_interval(NULL, change.median, change.low, change.high), in_words(interval), in_reals(r->copies),
                  in_reals(r->base_error), in_reals(r->now_error), in_reals(r->tolerance),
                  r->bits[0] ? in_words(r->bits) : in_reals(NAN), in_words(label_of(r)), in_words(r->name),
                  in_words(r->reason), command);
    }
    table_end(t);
}

const char *gate_interruption(const struct gate_report *g) {
    static char text[120];
    snprintf(text, sizeof text, "%lld of %lld operations and shapes were judged, nothing is known of the others",
             (long long)g->judged, (long long)g->wanted);
    return text;
}

static void print_verdict(const struct gate_report *g, bool strict, FILE *out) {
    int64_t verdicts[MHC_VERDICTS] = {0}, fails = g->first_fails, open = 0;
    for (int64_t k = 0; k < g->count; k++) {
        verdicts[g->row[k].verdict]++;
        fails += g->row[k].fails;
        open += g->row[k].open;
    }
    fprintf(out, "\n%lld cases%s", (long long)g->count, g->count ? ":" : "");
    for (int v = MHC_VERDICTS - 1; v >= 0; v--)
        if (verdicts[v])
            fprintf(out, " %lld %s", (long long)verdicts[v], mhc_verdict_name[v]);
    switch (gate_exit(g, strict)) {
    case EXIT_GOOD:
        fprintf(out, open ? "; no regression found, %lld not settled" : "; no regression", (long long)open);
        break;
    case EXIT_CHECK_FAILED: fprintf(out, "; REGRESSION in %lld", (long long)fails); break;
    case EXIT_INTERRUPTED:
        if (fails)
            fprintf(out, "; REGRESSION in %lld", (long long)fails);
        fprintf(out, "; interrupted: %s", gate_interruption(g));
        break;
    case EXIT_AMBIGUOUS:
        fprintf(out, strict ? "; something is not settled, and --strict asks that nothing be"
                            : "; a library failed while it was timed, nothing is known of its speed");
        break;
    default: fprintf(out, "; nothing was compared");
    }
    if (g->small)
        fprintf(out, "; %lld values differ by more than %g", (long long)g->small, g->small_share);
    fputs("\n", out);
    if (g->last)
        fprintf(out, "%s\n", g->last);
}

/* Says what the columns mean that hold something. */
static void print_legend(const struct gate_report *g, bool timed, FILE *out) {
    bool errors = false, bits = false, vary = false, forms = false;
    for (int64_t k = 0; k < g->count; k++) {
        const struct gate_row *r = &g->row[k];
        errors |= !isnan(r->base_error) || !isnan(r->now_error);
        bits |= r->bits[0] != 0;
        vary |= !strcmp(r->bits, "vary");
        forms |= strstr(r->name, GATE_FORM) != NULL;
    }
    if (timed)
        fprintf(out, "time: of new, as a share of base's\n");
    if (errors)
        fprintf(
            out,
            "base err, new err: largest error against cpu64, as a share of the array's largest element; tol: what is "
            "allowed\n");
    if (bits)
        fprintf(out, "bits: values of new that are not base's to the last bit, at the shapes of that row%s\n",
                vary ? "; vary: new differs from run to run" : "");
    if (forms)
        fprintf(out,
                "mhc.X%smhc-micro: operation X by the library's rows of kind mhc-micro, against the same reference\n",
                GATE_FORM);
}

void gate_print(const struct gate_report *g, bool strict, FILE *out) {
    if (g->first[0])
        fprintf(out, "%s\n", g->first);
    fprintf(out, "%s: base %s, new %s\n%s", g->gate, g->base, g->now, g->note);
    print_legend(g, any_time(g), out);
    fputs("\n", out);
    gate_table(g, &(struct tables){.out = out});
    print_verdict(g, strict, out);
}

int gate_exit(const struct gate_report *g, bool strict) {
    bool open = false, compared = false, crashed = false;
    if (g->wanted)
        return EXIT_INTERRUPTED;
    if (g->first_fails)
        return EXIT_CHECK_FAILED;
    for (int64_t k = 0; k < g->count; k++) {
        if (g->row[k].fails)
            return EXIT_CHECK_FAILED;
        open |= g->row[k].open;
        crashed |= g->row[k].crashed;
        compared |= !g->row[k].alone;
    }
    return !compared ? EXIT_CANNOT : crashed || (open && strict) ? EXIT_AMBIGUOUS : EXIT_GOOD;
}

/* --- options --- */

bool gate_options_take(int *argc, char **argv, struct gate_options *o) {
    static const char *const words[] = {"gate", "report", "none"};
    *o = (struct gate_options){.strict = take_flag(argc, argv, "--strict")};
    if (!take_option(argc, argv, "--json", &o->json) || !take_option(argc, argv, "--junit", &o->junit) ||
        !take_option(argc, argv, "--speed", &o->speed_word) ||
        !take_option(argc, argv, "--threshold", &o->threshold_word))
        return false;
    int word = 0;
    while (o->speed_word && word < 3 && strcmp(words[word], o->speed_word))
        word++;
    if (word == 3)
        return cannot("--speed %s: one of gate, report, none", o->speed_word), false;
    o->speed = (enum gate_speed)word;
    char *end = NULL;
    if (o->threshold_word && ((o->threshold = strtod(o->threshold_word, &end) / 100),
                              end == o->threshold_word || *end || !(o->threshold >= 0.001 && o->threshold <= 10)))
        return cannot("--threshold %s: percent, from 0.1 to 1000", o->threshold_word), false;
    return true;
}

void gate_options_text(const struct gate_options *o, char *text, size_t size) {
    snprintf(text, size, "%s%s%s%s", o->speed_word ? " --speed " : "", o->speed_word ? o->speed_word : "",
             o->threshold_word ? " --threshold " : "", o->threshold_word ? o->threshold_word : "");
}

void gate_quote(const char *word, char *text, size_t size) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
    if (*word && !word[strspn(word, plain)]) {
        snprintf(text, size, "%s", word);
        return;
    }
    size_t used = 0;
    if (size > 8)
        text[used++] = '\'';
    for (; *word && used + 6 < size; word++)
        used += (size_t)snprintf(text + used, size - used, *word == '\'' ? "'\\''" : "%c", *word);
    snprintf(text + used, size - used, "'");
}
