#include "suites/case/choice.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/case/options.h"

enum { MOST_VALUES = 64 };

/* One option and what its value may be. */
struct wish {
    const struct param *param;
    struct params value[MOST_VALUES]; /* each with this one parameter set */
    int count;
};

static bool read_wish(struct wish *wish, const char *text) {
    char why[400], words[1024], *rest = NULL;
    wish->count = 0;
    if (strlen(text) >= sizeof words)
        return cannot("--%s: too many values", wish->param->name), false;
    strcpy(words, text);
    for (char *word = strtok_r(words, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        if (wish->count == MOST_VALUES)
            return cannot("--%s: more than %d values", wish->param->name, MOST_VALUES), false;
        params_defaults(&wish->value[wish->count]);
        if (!params_set(&wish->value[wish->count++], wish->param, word, why, sizeof why))
            return cannot("%s%s", why, strchr(word, ':') ? "; here values are listed, a range is not known" : ""),
                   false;
    }
    return wish->count || (cannot("--%s: an empty value", wish->param->name), false);
}

static bool fulfils(const struct params *p, const struct wish *wish) {
    char own[PARAM_TEXT_SIZE], wanted[PARAM_TEXT_SIZE];
    if (!params_knows(p, wish->param))
        return false;
    params_text(p, wish->param, own, sizeof own);
    for (int v = 0; v < wish->count; v++) {
        params_text(&wish->value[v], wish->param, wanted, sizeof wanted);
        if (wish->param->type == PARAM_TEXT ? !fnmatch(wanted, own, 0) : !strcmp(wanted, own))
            return true;
    }
    return false;
}

void choice_param(struct record_reader *reader, int64_t index, const struct param *param, struct params *p) {
    void *field = (char *)p + param->offset;
    char why[8];
    if (param->type == PARAM_INT) {
        const int64_t *values = record_ints(reader, param->name);
        if (values)
            *(int64_t *)field = values[index];
    } else if (param->type == PARAM_REAL) {
        const double *values = record_reals(reader, param->name);
        if (values)
            *(double *)field = values[index];
    } else {
        const char *const *values = record_texts(reader, param->name);
        if (values)
            params_set(p, param, values[index], why, sizeof why);
    }
}

static bool narrow(struct record_reader *reader, const struct wish *wish, bool *chosen) {
    bool any = false;
    for (int64_t k = 0; k < record_count(reader); k++) {
        struct params p;
        if (!chosen[k])
            continue;
        params_defaults(&p);
        choice_param(reader, k, params_find("study"), &p);
        choice_param(reader, k, wish->param, &p);
        chosen[k] = fulfils(&p, wish);
        any |= chosen[k];
    }
    return any;
}

bool choice_take(struct record_reader *reader, const char *path, int *argc, char **argv, bool **chosen) {
    struct wish *wish = malloc(sizeof *wish);
    bool good = wish && (*chosen = malloc((size_t)record_count(reader) + 1));
    if (!good)
        cannot("out of memory");
    for (int64_t k = 0; good && k < record_count(reader); k++)
        (*chosen)[k] = true;
    for (int k = 0; good && k < params_count; k++) {
        char name[40];
        const char *value = NULL;
        wish->param = &params_table[k];
        snprintf(name, sizeof name, "--%s", params_table[k].name);
        good = take_option(argc, argv, name, &value);
        if (good && !value && strcmp(params_option(&params_table[k]), params_table[k].name)) {
            snprintf(name, sizeof name, "--%s", params_option(&params_table[k]));
            good = take_option(argc, argv, name, &value);
        }
        if (good && value)
            good = read_wish(wish, value) &&
                   (narrow(reader, wish, *chosen) ||
                    (cannot("%s: no case of it has %s %s, and what else is asked for", path, name, value), false));
    }
    free(wish);
    return good;
}

bool choice_select(struct record_reader *reader, const char *path, int *argc, char **argv) {
    bool *chosen = NULL;
    const int given = *argc;
    const bool good = choice_take(reader, path, argc, argv, &chosen) &&
                      (*argc == given || record_select(reader, chosen) || (cannot("%s", record_error()), false));
    free(chosen);
    return good;
}

/* How many words the option of a case takes that begins with this one; 0: it is none. */
static int words_of_option(const char *word) {
    char name[40];
    const size_t length = strcspn(word, "=");
    if (strncmp(word, "--", 2) || length - 2 >= sizeof name)
        return 0;
    snprintf(name, sizeof name, "%.*s", (int)length - 2, word + 2);
    return params_find(name) ? word[length] ? 1 : 2 : 0;
}

bool choice_files(int argc, char **argv, const char **file, int count, const char *usage) {
    int found = 0;
    for (int k = 0; k < argc; k++) {
        const int words = argv[k][0] == '-' && argv[k][1] ? words_of_option(argv[k]) : 0;
        if (words)
            k += words - 1;
        else if (argv[k][0] == '-' && argv[k][1])
            return cannot("unknown option %s; usage: mhcbench %s", argv[k], usage), false;
        else if (found++ < count)
            file[found - 1] = argv[k];
    }
    return found == count || (cannot("usage: mhcbench %s", usage), false);
}
