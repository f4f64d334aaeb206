/* Parameters as text and back, and what they mean together. */
#include "suites/case/params.h"

#include <errno.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/metrics.h"
#include "cpu_ref/library.h"

/* Records, keys and old suites call the connection `block`. */
static const char stored[] = "block", option[] = "connection";

const char *params_option(const struct param *param) {
    return strcmp(param->name, stored) ? param->name : option;
}

const struct param *params_find(const char *name) {
    name = strcmp(name, option) ? name : stored;
    for (int k = 0; k < params_count; k++)
        if (!strcmp(params_table[k].name, name))
            return &params_table[k];
    return NULL;
}

/* Position of a word in "a|b|c", -1 if absent. `length` bytes of `text` count. */
static int word_index(const char *words, const char *text, size_t length) {
    for (int index = 0; words; index++) {
        const char *bar = strchr(words, '|');
        size_t size = bar ? (size_t)(bar - words) : strlen(words);
        if (size == length && !strncmp(words, text, length))
            return index;
        words = bar ? bar + 1 : NULL;
    }
    return -1;
}

/* Appends to `used` bytes of a text as much as fits. printf() would do, but libquadmath, which BLAS brings along, makes
 * it slow. */
static void append(char *text, size_t size, size_t *used, const char *more, size_t length) {
    const size_t fits = length < size - *used ? length : size - *used - 1;
    memcpy(text + *used, more, fits);
    text[ *used += fits] = 0;
}

/* The word at an index into `text`. */
static void word_at(const char *words, int64_t index, char *text, size_t size) {
    for (; index > 0 && words; index--)
        words = strchr(words, '|') ? strchr(words, '|') + 1 : NULL;
    append(text, size, &(size_t){0}, words ? words : "", words ? strcspn(words, "|") : 0);
}

/* "auto=-1|keep=0": the value of a name, or the name of a value. */
static bool special_value(const char *words, const char *text, int64_t *value) {
    size_t length = strlen(text);
    for (; words; words = strchr(words, '|') ? strchr(words, '|') + 1 : NULL)
        if (!strncmp(words, text, length) && words[length] == '=') {
            *value = strtoll(words + length + 1, NULL, 10);
            return true;
        }
    return false;
}

static bool special_name(const char *words, int64_t value, char *text, size_t size) {
    for (; words; words = strchr(words, '|') ? strchr(words, '|') + 1 : NULL)
        if (strtoll(strchr(words, '=') + 1, NULL, 10) == value)
            return snprintf(text, size, "%.*s", (int)strcspn(words, "="), words), true;
    return false;
}

void params_special(const struct param *param, const char *between, char *text, size_t size) {
    size_t used = 0;
    text[0] = 0;
    for (const char *word = param->words; word && used < size; word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL)
        used += (size_t)snprintf(text + used, size - used, "%s%.*s", used ? between : ", ", (int)strcspn(word, "="),
                                 word);
}

bool params_study_has(const char *study, enum study_trait trait) {
    int id = word_index(params_find("study")->words, study, strlen(study));
    return id >= 0 && study_traits[id] & trait;
}

static bool set_number(struct params *p, const struct param *param, const char *text, char *why, size_t why_size) {
    char *end;
    errno = 0;
    if (param->type == PARAM_INT) {
        int64_t value = 0;
        if (!special_value(param->words, text, &value)) {
            value = strtoll(text, &end, 10);
            double real = (double)value;
            char names[64];
            params_special(param, " or ", names, sizeof names);
            if (end == text || *end || errno || !(real >= (param->words ? 1 : param->least) && real <= param->most))
                return snprintf(why, why_size, "--%s %s: a whole number from %.0f to %.0f%s", param->name, text,
                                param->words ? 1 : param->least, param->most, names),
                       false;
        }
        *(int64_t *)((char *)p + param->offset) = value;
        return true;
    }
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= param->least && value <= param->most))
        return snprintf(why, why_size, "--%s %s: a number from %g to %g", param->name, text, param->least, param->most),
               false;
    *(double *)((char *)p + param->offset) = value;
    return true;
}

static int64_t all_flags(const char *words) {
    int64_t flags = 1;
    for (const char *c = words; *c; c++)
        flags = *c == '|' ? 2 * flags + 1 : flags;
    return flags;
}

static bool set_flags(struct params *p, const struct param *param, const char *text, char *why, size_t why_size) {
    int64_t flags = strcmp(text, "all") ? 0 : all_flags(param->words);
    for (const char *at = flags ? NULL : text; at; at = strchr(at, '+') ? strchr(at, '+') + 1 : NULL) {
        int index = word_index(param->words, at, strcspn(at, "+"));
        if (index < 0)
            return snprintf(why, why_size, "--%s %s: one or more of %s, joined by +, or all", param->name, text,
                            param->words),
                   false;
        flags |= (int64_t)1 << index;
    }
    *(int64_t *)((char *)p + param->offset) = flags;
    return true;
}

static int by_text(const void *a, const void *b) {
    return strcmp(a, b);
}

const char *params_keep(const char *text) {
    static void *texts; /* a tree */
    const char *const *found = NULL;
#pragma omp critical(params_keep)
    {
        found = tfind(text, &texts, by_text);
        char *copy = found ? NULL : strdup(text);
        if (copy)
            found = tsearch(copy, &texts, by_text);
    }
    if (!found) { /* a case without its texts would be another one */
        fprintf(stderr, "mhcbench: out of memory\n");
        exit(2);
    }
    return *found;
}

/* A text must survive a suite line, where blanks part words, quotes mean nothing and -- starts an option. */
static bool set_text(struct params *p, const struct param *param, const char *text, char *why, size_t why_size) {
    bool good = strlen(text) < PARAM_TEXT_SIZE && !strpbrk(text, " \"'#") && strncmp(text, "--", 2) &&
                (*text || !*param->standard);
    for (const char *c = text; *c; c++)
        good = good && (unsigned char)*c >= ' ' && *c != 127;
    if (!good)
        return snprintf(why, why_size, "--%s: 1 to %d characters, no blanks, quotes or #, no -- in front", param->name,
                        PARAM_TEXT_SIZE - 1),
               false;
    *(const char **)((char *)p + param->offset) = params_keep(text);
    return true;
}

static const int32_t map_ids[] = {
#define MAP(id, name) id,
#include "cpu_ref/maps/maps.def"
#undef MAP
};

int32_t params_map(const struct params *p) {
    return p->study == STUDY_KERNELS ? map_ids[p->map] : params_connection(p)->map;
}

void params_map_constants(const struct params *p, struct mhc_case *c) {
    c->map_order = (int32_t)p->map_order;
    c->map_constant = p->beta < 2.0 * (double)p->depth ? p->beta / (2.0 * (double)p->depth) : 1;
}

/* Records and suites of old have identity HC as operations of its own, identity.pre; they are mhc.pre with
 * another map. */
static bool set_old_operation(struct params *p, const char *text, char *why, size_t why_size) {
    char name[PARAM_TEXT_SIZE];
    snprintf(name, sizeof name, "mhc.%.100s", text + strlen("identity."));
    return params_set(p, params_find("operation"), name, why, why_size) &&
           params_set(p, params_find("map"), "identity", why, why_size);
}

bool params_set(struct params *p, const struct param *param, const char *text, char *why, size_t why_size) {
    switch (param->type) {
    case PARAM_INT:
    case PARAM_REAL: return set_number(p, param, text, why, why_size);
    case PARAM_FLAGS: return set_flags(p, param, text, why, why_size);
    case PARAM_WORD: {
        int index = word_index(param->words, text, strlen(text));
        if (index < 0)
            return snprintf(why, why_size, "--%s %s: one of %s", params_option(param), text, param->words), false;
        *(int64_t *)((char *)p + param->offset) = index;
        return true;
    }
    case PARAM_TEXT:
        if (param->offset == offsetof(struct params, operation) && !strncmp(text, "identity.", strlen("identity.")))
            return set_old_operation(p, text, why, why_size);
        return set_text(p, param, text, why, why_size);
    }
    return false;
}

void params_defaults(struct params *p) {
    char why[400];
    memset(p, 0, sizeof *p);
    for (int k = 0; k < params_count; k++)
        params_set(p, &params_table[k], params_table[k].standard, why, sizeof why);
}

void params_text(const struct params *p, const struct param *param, char *text, size_t size) {
    const void *field = (const char *)p + param->offset;
    bool whole = param->type == PARAM_INT || param->type == PARAM_WORD || param->type == PARAM_FLAGS;
    int64_t integer = whole ? *(const int64_t *)field : 0;
    text[0] = 0;
    switch (param->type) {
    case PARAM_INT:
        if (!special_name(param->words, integer, text, size))
            snprintf(text, size, "%lld", (long long)integer);
        break;
    case PARAM_REAL: /* as short as it can be and still the same number */
        for (int digits = 6; digits <= 17; digits++) {
            snprintf(text, size, "%.*g", digits, *(const double *)field);
            if (strtod(text, NULL) == *(const double *)field)
                break;
        }
        break;
    case PARAM_WORD: word_at(param->words, integer, text, size); break;
    case PARAM_FLAGS:
        for (int bit = 0; bit < 63; bit++)
            if (integer >> bit & 1) {
                char word[32];
                word_at(param->words, bit, word, sizeof word);
                size_t used = strlen(text);
                snprintf(text + used, size - used, "%s%s", used ? "+" : "", word);
            }
        break;
    case PARAM_TEXT: snprintf(text, size, "%s", *(const char *const *)field);
    }
}

static bool knows(const struct params *p, const char *name) {
    return params_knows(p, params_find(name));
}

_Static_assert(sizeof(double) == PARAM_BYTES && sizeof(char *) == PARAM_BYTES, "all types of a parameter");

/* A suite asks for keys by the ten thousand: texts are made only of what differs from the defaults. */
void params_key(const struct params *p, char *key, size_t size) {
    static _Thread_local struct params standard;
    static _Thread_local bool known;
    if (!known)
        params_defaults(&standard);
    known = true;
    const bool preset = knows(p, "preset") && p->preset;
    size_t used = 0;
    key[0] = 0;
    for (int k = 0; k < params_count; k++) {
        char text[PARAM_TEXT_SIZE];
        const struct param *param = &params_table[k];
        const bool same = !memcmp((const char *)p + param->offset, (char *)&standard + param->offset, PARAM_BYTES);
        /* What a preset sets says nothing by its default. The study and the block or the operation always, so that a
         * key can be read without the defaults at hand. */
        const bool open = preset && param->role & ROLE_SHAPE;
        if ((k > 2 && !open && same) || !params_knows(p, param))
            continue;
        params_text(p, param, text, sizeof text);
        const char *const parts[] = {used ? " --" : "--", param->name, " ", text};
        for (int part = 0; part < 4; part++)
            append(key, size, &used, parts[part], strlen(parts[part]));
    }
}

const char *params_word(const struct params *p, const char *name) {
    static _Thread_local char text[PARAM_TEXT_SIZE];
    params_text(p, params_find(name), text, sizeof text);
    return text;
}

/* Whether the extents of an operation have one of these letters. */
static bool has_letter(const char *operation, const char *letters) {
    const struct mhc_row *row = mhc_row_find(&mhc_cpu64, operation);
    for (const struct mhc_arg *arg = row ? row->args : NULL; arg && arg->name; arg++)
        if (strpbrk(arg->extents, letters))
            return true;
    return false;
}

/* Whether a case has the map; a step of study overhead has every one. */
static bool has_map(const struct params *p, int32_t map) {
    if (p->study == STUDY_KERNELS)
        return has_letter(p->operation, "KQEN") && params_map(p) == map;
    return !params_has(p, STUDY_ENSEMBLE) || (connection_has_logits(params_connection(p)) && params_map(p) == map);
}

bool params_matters(const struct params *p, const struct param *param) {
    const struct connection *connection = params_connection(p);
    if (!params_knows(p, param) || (p->from[0] && param->role & ROLE_DRAWN))
        return false;
    if (params_has_maps(p) && param->matters == USED_PROJECTED)
        return false;
    if (param->matters == USED_MAP)
        return has_letter(p->operation, "KQEN") && strncmp(p->operation, "hc", 2);
    if (param->matters == USED_ORDER || param->matters == USED_BETA)
        return has_map(p, param->matters == USED_ORDER ? MHC_ORTHOSTOCHASTIC : MHC_CIRCULANT);
    if (param->matters == USED_VOCABULARY)
        return has_letter(p->operation, "V");
    if (!params_has(p, STUDY_ENSEMBLE))
        return true;
    switch (param->matters) {
    case USED_STREAMS: return !connection_has_one_stream(connection);
    case USED_MAPS: return connection_mixes(connection);
    case USED_LATENT: return connection_mixes(connection) && p->init == INIT_LATENT;
    case USED_PROJECTED: return connection_has_sinkhorn(connection);
    case USED_GATES: return connection->generator == GENERATOR_MHC && p->init == INIT_LATENT;
    case USED_LOGITS: return connection_has_sinkhorn(connection) && p->init == INIT_LATENT;
    default: return true;
    }
}

enum states params_states(const struct params *p) {
    return !strcmp(p->states, "static") ? STATES_STATIC : !strcmp(p->states, "random") ? STATES_RANDOM : STATES_FILE;
}

bool params_one_stream(const struct params *p) {
    return p->study == STUDY_KERNELS ? connection_operation_has_one_stream(p->operation)
                                     : params_has(p, STUDY_ENSEMBLE) && connection_has_one_stream(params_connection(p));
}

bool params_check(const struct params *p, char *why, size_t why_size) {
    if (params_has(p, STUDY_RUNS) && !params_has(p, STUDY_TIMES) && params_is_model(p))
        return snprintf(why, why_size,
                        "--study %s needs a backend that computes: a model of a GPU has times alone, for studies "
                        "kernels, recompute and overhead",
                        params_word(p, "study")),
               false;
    if (p->study != STUDY_KERNELS && params_one_stream(p) && p->streams != 1)
        return snprintf(why, why_size, "--connection %s needs --streams 1", params_connection(p)->name), false;
    if (p->study == STUDY_MAPS && !connection_mixes(params_connection(p)) &&
        (params_has_maps(p) || !(p->measure & MHC_GROUP_REACH)))
        return snprintf(why, why_size,
                        "--study maps has nothing to measure in --connection %s but drawn reach: its map is the "
                        "identity",
                        params_word(p, "block")),
               false;
    if (p->study == STUDY_MAPS && p->order && !p->from[0])
        return snprintf(why, why_size, "--order is of the maps of a file: needs --from"), false;
    if (p->study == STUDY_MAPS && params_states(p) != STATES_STATIC && !p->from[0])
        return snprintf(why, why_size, "--states is of the weights of a model: needs --from"), false;
    if (p->study == STUDY_MAPS && p->input[0] && !p->from[0])
        return snprintf(why, why_size, "--study maps has tokens of --input with --from alone"), false;
    if (p->study == STUDY_KERNELS && params_one_stream(p) && p->streams != 1)
        return snprintf(why, why_size, "--operation %.40s needs --streams 1", p->operation), false;
    if (p->study == STUDY_KERNELS && !p->operation[0])
        return snprintf(why, why_size, "--study kernels needs --operation: names, patterns like mhc.*, or all"), false;
    if (params_has(p, STUDY_RUNS) && p->sequence && p->tokens % p->sequence)
        return snprintf(why, why_size, "--tokens %lld is not a multiple of --sequence %lld", (long long)p->tokens,
                        (long long)p->sequence),
               false;
    if (knows(p, "kind") && p->kind && !p->preset)
        return snprintf(why, why_size, "--kind %s is of a model: needs --preset", params_word(p, "kind")), false;
    if (p->study != STUDY_KERNELS && connection_has_logits(params_connection(p))) {
        struct mhc_case c = {.n = p->streams, .map = params_map(p)};
        params_map_constants(p, &c);
        if (mhc_map_logits(&c) < 0)
            return snprintf(why, why_size, "--connection %s does not exist for --streams %lld: %s",
                            params_connection(p)->name, (long long)p->streams, mhc_map_needs(&c)),
                   false;
        if (p->rounding != ROUND_NONE && !connection_has_sinkhorn(params_connection(p)))
            return snprintf(why, why_size, "--round rounds Sinkhorn's arithmetic: not that of --connection %s",
                            params_connection(p)->name),
                   false;
    }
    if (p->rounding != ROUND_NONE && p->convention != 0)
        return snprintf(why, why_size, "--round rounds the paper's arithmetic only: not with --convention v4"), false;
    if (knows(p, "recompute") && p->recompute > p->depth)
        return snprintf(why, why_size, "--recompute %lld is more than --depth %lld", (long long)p->recompute,
                        (long long)p->depth),
               false;
    return true;
}
