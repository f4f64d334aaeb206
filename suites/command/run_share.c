#include "suites/command/run_share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/case/options.h"
#include "suites/study/shares.h"

bool share_read(struct share *s, const char *option) {
    long long index = 0, count = 1;
    char rest;
    *s = (struct share){.count = 1, .launch = {.size = 1, .local_size = 1}};
    const bool stated = option && sscanf(option, "auto/%lld%c", &count, &rest) == 1 && count > 0;
    if (!option || (stated && count <= SHARES_MOST)) {
        if (!launch_read(&s->launch, stated ? count : 0))
            return false;
        index = s->launch.rank;
        count = s->launch.size;
        s->own_name = count > 1;
    } else if (strcmp(option, "none") && (sscanf(option, "%lld/%lld%c", &index, &count, &rest) != 2 || index < 0 ||
                                          index >= count || count > SHARES_MOST)) {
        return cannot("--shard %s: I/N with 0 <= I < N, auto/N, or none; N at most %d", option, SHARES_MOST), false;
    }
    if (count > SHARES_MOST)
        return cannot("%s: %lld processes; at most %d", s->launch.by, count, SHARES_MOST), false;
    s->index = index;
    s->count = count;
    if (count > 1)
        snprintf(s->text, sizeof s->text, "%lld/%lld", index, count);
    return true;
}

bool share_cut(struct share *s, const struct suite *suite) {
    int32_t *of = malloc(((size_t)suite->count + 1) * sizeof *of);
    int64_t *load = malloc((size_t)s->count * sizeof *load);
    double sum = 0;
    s->has = malloc((size_t)suite->count + 1);
    const bool good = of && load && s->has && shares_cut(suite, s->count, of, load);
    for (int64_t k = 0; good && k < suite->count; k++)
        s->cases += s->has[k] = of[k] == s->index;
    for (int64_t k = 0; good && k < s->count; k++)
        sum += (double)load[k];
    s->part = good && sum > 0 ? (double)load[s->index] / sum : 0;
    free(of);
    free(load);
    return good || (cannot("out of memory"), false);
}

void share_release(struct share *s) {
    free(s->has);
    s->has = NULL;
}

void share_path(const struct share *s, bool given, char *path, size_t size) {
    char last[24], end[64];
    const size_t length = strlen(path);
    const bool known = length > 3 && !strcmp(path + length - 3, ".h5");
    const size_t stem = known ? length - 3 : length;
    if (s->count == 1 || (given && !s->own_name))
        return;
    const int digits = snprintf(last, sizeof last, "%lld", (long long)s->count - 1);
    snprintf(end, sizeof end, ".%0*lld-of-%lld%s", digits, (long long)s->index, (long long)s->count,
             known ? ".h5" : "");
    snprintf(path + stem, size - stem, "%s", end);
}

void share_tell(const struct share *s, const struct suite *suite, const char *path) {
    if (s->count == 1)
        return;
    fprintf(stderr, "mhcbench: shard %s%s%s: %lld of %lld cases, %.3g %% of the estimated time, into %s\n", s->text,
            *s->launch.by ? " by " : "", s->launch.by, (long long)s->cases, (long long)suite->count, 100 * s->part,
            path);
}

const char *share_fact(struct record_reader *r) {
    const char *share = record_fact_called(r, SHARE_FACT);
    return share ? share : "";
}

bool share_agrees(const struct share *s, struct record_reader *earlier, char *why, size_t why_size) {
    const char *was = share_fact(earlier);
    if (!strcmp(was, s->text))
        return true;
    snprintf(why, why_size, "is of %s%.40s, this run is of %s%s", *was ? "shard " : "the whole suite", was,
             *s->text ? "shard " : "the whole suite", s->text);
    return false;
}
