#include "suites/command/run_dry.h"

#include <stdio.h>
#include <string.h>

#include "results/record.h"
#include "results/safetensors.h"
#include "suites/case/options.h"
#include "suites/case/sites.h"

enum { KEY_SIZE = 2048 };

static void print_cases(const struct suite *s, const bool *wanted) {
    for (int64_t k = 0; k < s->count; k++) {
        char key[KEY_SIZE];
        if (!wanted[k])
            continue;
        params_key(&s->cases[k], key, sizeof key);
        puts(key);
    }
}

/* What was found in files of weights and what was left out, once for each file. */
static int print_sites(const struct suite *s) {
    const char *last = "";
    for (int64_t k = 0; k < s->count; k++) {
        const struct params *p = &s->cases[k];
        if (p->study != STUDY_MAPS || !p->from[0] || !strcmp(last, p->from) || params_has_maps(p) ||
            !safetensors_is(p->from))
            continue;
        last = p->from;
        struct sites *sites = sites_open(p->from);
        if (!sites)
            return cannot("%s", record_error());
        sites_describe(sites, stdout);
        sites_close(sites);
    }
    return EXIT_GOOD;
}

int run_dry(const struct suite *s, const bool *wanted) {
    print_cases(s, wanted);
    return print_sites(s);
}
