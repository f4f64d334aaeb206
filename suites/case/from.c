#include "suites/case/from.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool from_read_key(struct params *p, const char *key, char *why, size_t why_size) {
    char *words = strdup(key), *rest = words;
    bool good = words != NULL;
    params_defaults(p);
    for (const char *name; good && (name = strtok_r(rest, " ", &rest));) {
        const struct param *param = strncmp(name, "--", 2) ? NULL : params_find(name + 2);
        const char *value = strtok_r(NULL, " ", &rest);
        if (!param || !value)
            good = (snprintf(why, why_size, "%.60s is no option of a case with its value", name), false);
        else
            good = params_set(p, param, value, why, why_size);
    }
    free(words);
    return good;
}
