#include "suites/case/axis.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/library.h"

enum { MAX_VALUES = 100000 };

static bool add_value(struct axis *axis, const char *text, size_t length, char *why, size_t why_size) {
    if (axis->count == MAX_VALUES)
        return snprintf(why, why_size, "more than 100000 values in one list"), false;
    if ((axis->count & (axis->count - 1)) == 0) {
        char **grown = realloc(axis->values, (size_t)(axis->count ? 2 * axis->count : 1) * sizeof *grown);
        if (!grown)
            return snprintf(why, why_size, "out of memory"), false;
        axis->values = grown;
    }
    axis->values[axis->count] = strndup(text, length);
    return axis->values[axis->count++] ? true : (snprintf(why, why_size, "out of memory"), false);
}

/* low:high:step, low:high:xFACTOR. The upper end is reached within rounding. */
static bool add_range(struct axis *axis, const char *text, size_t length, char *why, size_t why_size) {
    char item[128], number[64], *end;
    snprintf(item, sizeof item, "%.*s", (int)length, text);
    double low = strtod(item, &end), high = 0, step = 0;
    bool factor = false, good = end != item && *end == ':' && length < sizeof item;
    if (good) {
        char *from = end + 1;
        high = strtod(from, &end);
        good = end != from && *end == ':';
    }
    if (good) {
        factor = end[1] == 'x';
        char *from = end + 1 + factor;
        step = strtod(from, &end);
        good = end != from && !*end && isfinite(low) && isfinite(high) && low <= high &&
               (factor ? step > 1 && low > 0 : step > 0);
    }
    if (good && axis->param->type == PARAM_INT)
        good = low == floor(low) && (factor || step == floor(step));
    if (!good) {
        snprintf(why, why_size, "--%s %s: a range is low:high:step or low:high:xFACTOR, rising%s", axis->param->name,
                 item, axis->param->type == PARAM_INT ? ", of whole numbers" : "");
        return false;
    }
    double slack = factor ? 1e-12 * high : 1e-6 * step;
    for (int64_t k = 0;; k++) {
        double value = factor ? low * pow(step, (double)k) : low + (double)k * step;
        if (value > high + slack)
            return true;
        if (axis->param->type == PARAM_INT)
            snprintf(number, sizeof number, "%.0f", value);
        else
            snprintf(number, sizeof number, "%.12g", value);
        if (!add_value(axis, number, strlen(number), why, why_size))
            return false;
    }
}

/* Every operation of the reference whose name matches; without an answer by the reference nothing is timed. What others
 * are measured against, kind `bench`, is timed for itself only where it is named. */
static bool add_operations(struct axis *axis, const char *text, size_t length, char *why, size_t why_size) {
    char pattern[128];
    int64_t before = axis->count;
    snprintf(pattern, sizeof pattern, "%.*s", (int)length, text);
    for (const struct mhc_row *const *row = mhc_cpu64.rows; *row; row++) {
        char name[128];
        bool old = !strncmp(pattern, "identity.", 9) && !strncmp((*row)->name, "mhc.", 4); /* see params_set() */
        snprintf(name, sizeof name, "%s%s", old ? "identity" : "", (*row)->name + (old ? 3 : 0));
        bool matches = (!strcmp(pattern, "all") || !fnmatch(pattern, name, 0)) && strncmp(name, "bench.", 6);
        if ((matches || !strcmp(pattern, name)) && !add_value(axis, name, strlen(name), why, why_size))
            return false;
    }
    if (axis->count == before)
        return snprintf(why, why_size,
                        "--operation %s: no such operation of cpu64, which answers for all (mhcbench list --operations "
                        "shows them)",
                        pattern),
               false;
    return true;
}

bool axis_read(struct axis *axis, const struct param *param, const char *text, char *why, size_t why_size) {
    bool operation = !strcmp(param->name, "operation");
    bool number = param->type == PARAM_INT || param->type == PARAM_REAL;
    *axis = (struct axis){.param = param, .text = text};
    if (!strcmp(param->name, "input")) /* a path may have commas */
        return add_value(axis, text, strlen(text), why, why_size);
    for (const char *at = text; at;) {
        size_t length = strcspn(at, ",");
        if (!length)
            return snprintf(why, why_size, "--%s %s: an empty value", param->name, text), false;
        if (operation                           ? !add_operations(axis, at, length, why, why_size)
            : number && memchr(at, ':', length) ? !add_range(axis, at, length, why, why_size)
                                                : !add_value(axis, at, length, why, why_size))
            return false;
        at = at[length] ? at + length + 1 : NULL;
    }
    return true;
}

bool axis_zip(struct axis *axes, int count, int group, const char *text, char *why, size_t why_size) {
    int64_t size = -1;
    for (const char *at = text; at;) {
        size_t length = strcspn(at, ",");
        int a = 0;
        while (a < count && !(strlen(axes[a].param->name) == length && !strncmp(axes[a].param->name, at, length)))
            a++;
        if (a == count)
            return snprintf(why, why_size, "--zip %s: %.*s is not an option of this line", text, (int)length, at),
                   false;
        if (axes[a].zip)
            return snprintf(why, why_size, "--zip %s: %.*s is zipped already", text, (int)length, at), false;
        if (size >= 0 && axes[a].count != size)
            return snprintf(why, why_size, "--zip %s: the lists differ in length", text), false;
        size = axes[a].count;
        axes[a].zip = group;
        at = at[length] ? at + length + 1 : NULL;
    }
    return true;
}

bool axis_names(const struct axis *axis, const char *operation) {
    size_t length = strlen(operation);
    for (const char *at = axis->text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strcspn(at, ",") == length && !strncmp(at, operation, length))
            return true;
    return false;
}

bool axis_follows(const struct axis *axes, int at) {
    for (int a = 0; a < at; a++)
        if (axes[at].zip && axes[a].zip == axes[at].zip)
            return true;
    return false;
}

double axis_combinations(const struct axis *axes, int count) {
    double product = 1;
    for (int a = 0; a < count; a++)
        product *= axis_follows(axes, a) ? 1 : (double)axes[a].count;
    return product;
}

void axis_release(struct axis *axis) {
    for (int64_t v = 0; v < axis->count; v++)
        free(axis->values[v]);
    free(axis->values);
    *axis = (struct axis){0};
}
