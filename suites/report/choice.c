#include "suites/report/choice.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/case/options.h"
#include "suites/report/groups.h"

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

static bool narrow(struct record_reader *reader, const struct wish *wish, bool *chosen) {
    bool any = false;
    for (int64_t k = 0; k < record_count(reader); k++) {
        struct params p;
        if (!chosen[k])
            continue;
        groups_params(reader, k, &p);
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
