#include "suites/verify/vector_attributes.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "results/attribute.h"

/* The largest size of a vector, so that a product of two fits 64 bits. Whether all of it fits in memory is decided once
 * all shapes are known. */
#define LARGEST_SIZE ((int64_t)1 << 24)

#define CONNECTION \
    { "pre", "post", "post_backward_y", "backward" }
#define BRANCH \
    { "forward", "backward" }
static const struct vector_op ops[] = {
    {"sinkhorn", {"n", "T", "t_max", "convention"}, BRANCH},
    {"mhc", {"n", "C", "T", "t_max", "convention"}, CONNECTION},
    {"hc", {"n", "C", "T"}, CONNECTION},
    {"linear", {"C", "T"}, BRANCH},
    {"mlp", {"C", "T", "hidden", "activation"}, BRANCH},
    {"attention", {"C", "T", "S", "heads", "head_dim"}, BRANCH},
    {"stack.resnet", {"L", "n", "C", "T"}, {NULL}},
    {"stack.hc", {"L", "n", "C", "T"}, {NULL}},
    {"stack.mhc", {"L", "n", "C", "T", "t_max", "convention"}, {NULL}},
    {"gain", {"L", "n", "T"}, {NULL}},
};

static const struct {
    const char *name;
    size_t offset;
    int64_t largest;
} integers[] = {
    {"T", offsetof(struct vector_case, c.T), LARGEST_SIZE},
    {"n", offsetof(struct vector_case, c.n), MHC_MAX_STREAMS},
    {"C", offsetof(struct vector_case, c.C), LARGEST_SIZE},
    {"S", offsetof(struct vector_case, c.S), LARGEST_SIZE},
    {"L", offsetof(struct vector_case, L), LARGEST_SIZE},
    {"t_max", offsetof(struct vector_case, c.t_max), LARGEST_SIZE},
    {"hidden", offsetof(struct vector_case, c.hidden), LARGEST_SIZE},
    {"heads", offsetof(struct vector_case, c.heads), LARGEST_SIZE},
    {"head_dim", offsetof(struct vector_case, c.head_dim), LARGEST_SIZE},
};

static const struct {
    const char *name;
    size_t offset;
    bool required;
} reals[] = {
    {"rtol", offsetof(struct vector_case, rtol), true},
    {"atol", offsetof(struct vector_case, atol), true},
    {"rms_eps", offsetof(struct vector_case, c.rms_eps), false},
    {"sinkhorn_eps", offsetof(struct vector_case, c.sinkhorn_eps), false},
};

static const struct {
    const char *name;
    size_t offset;
    const char *value[2]; /* in the order of the enum */
} choices[] = {
    {"convention", offsetof(struct vector_case, c.convention), {"paper", "v4"}},
    {"activation", offsetof(struct vector_case, c.activation), {"gelu", "swiglu"}},
};

/* Names of the residual maps, by their number. */
static const char *const maps[MHC_MAPS] = {
#define MAP(id, name) [id] = #name,
#include "cpu_ref/maps/maps.def"
#undef MAP
};

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

bool refuse(struct text why, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why.at, why.size, format, arguments);
    va_end(arguments);
    return false;
}

static bool read_number(hid_t attribute, H5T_class_t wanted, hid_t memory, void *value) {
    hid_t type = H5Aget_type(attribute);
    H5T_class_t class = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
    bool good = (class == wanted || (wanted == H5T_FLOAT && class == H5T_INTEGER)) &&
                H5Aread(attribute, memory, value) >= 0;
    if (type >= 0)
        H5Tclose(type);
    return good;
}

enum found vector_attribute(hid_t object, const char *name, H5T_class_t class, void *value, size_t size) {
    if (H5Aexists(object, name) <= 0)
        return ABSENT;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0)
        return UNREADABLE;
    hid_t space = H5Aget_space(attribute);
    bool good = space >= 0 && H5Sget_simple_extent_npoints(space) == 1;
    if (good && class == H5T_STRING)
        good = attribute_text(attribute, value, size);
    else if (good)
        good = read_number(attribute, class, class == H5T_INTEGER ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE, value);
    if (space >= 0)
        H5Sclose(space);
    H5Aclose(attribute);
    return good ? READ : UNREADABLE;
}

bool vector_op_requires(const struct vector_op *op, const char *name) {
    for (int k = 0; k < COUNT(op->attributes) && op->attributes[k]; k++)
        if (!strcmp(op->attributes[k], name))
            return true;
    return false;
}

const struct vector_op *vector_op_find(const char *name) {
    for (int k = 0; k < COUNT(ops); k++)
        if (!strcmp(ops[k].name, name))
            return &ops[k];
    return NULL;
}

static bool read_op(hid_t group, struct vector_case *v, struct text why) {
    char op[32] = "", name[64];
    if (vector_attribute(group, "op", H5T_STRING, op, sizeof op) != READ)
        return refuse(why, "attribute `op` is missing or not a string");
    bool stack = !strcmp(op, "stack");
    if (stack && vector_attribute(group, "block", H5T_STRING, v->block, sizeof v->block) != READ)
        return refuse(why, "attribute `block` is missing or not a string");
    snprintf(name, sizeof name, "%s%s%s", op, stack ? "." : "", v->block);
    v->op = vector_op_find(name);
    if (!v->op)
        return stack ? refuse(why, "block `%s` is not one of resnet, hc, mhc", v->block)
                     : refuse(why, "op `%s` is not one of sinkhorn, mhc, hc, linear, mlp, attention, stack, gain", op);
    return true;
}

static bool read_sizes(hid_t group, struct vector_case *v, struct text why) {
    for (int k = 0; k < COUNT(integers); k++) {
        const char *name = integers[k].name;
        int64_t *value = (int64_t *)((char *)v + integers[k].offset);
        enum found found = vector_attribute(group, name, H5T_INTEGER, value, sizeof *value);
        if (found == ABSENT ? vector_op_requires(v->op, name) : found == UNREADABLE)
            return refuse(why, "attribute `%s` is missing or not one integer", name);
        if (found == READ && (*value < 1 || *value > integers[k].largest))
            return refuse(why, "attribute `%s` is %lld, not in 1..%lld", name, (long long)*value,
                          (long long)integers[k].largest);
    }
    if (vector_op_requires(v->op, "S") && v->c.T % v->c.S)
        return refuse(why, "T = %lld is not a multiple of S = %lld", (long long)v->c.T, (long long)v->c.S);
    if (!strcmp(v->block, "resnet") && v->c.n != 1)
        return refuse(why, "a resnet stack has one stream, not n = %lld", (long long)v->c.n);
    return true;
}

static bool read_reals(hid_t group, struct vector_case *v, struct text why) {
    for (int k = 0; k < COUNT(reals); k++) {
        double *value = (double *)((char *)v + reals[k].offset);
        enum found found = vector_attribute(group, reals[k].name, H5T_FLOAT, value, sizeof *value);
        if (found == ABSENT ? reals[k].required : found == UNREADABLE)
            return refuse(why, "attribute `%s` is missing or not one number", reals[k].name);
        if (!(*value >= 0) || isinf(*value))
            return refuse(why, "attribute `%s` is %g, not a finite number from 0", reals[k].name, *value);
    }
    return true;
}

static bool read_choices(hid_t group, struct vector_case *v, struct text why) {
    for (int k = 0; k < COUNT(choices); k++) {
        char text[32] = "";
        int32_t *value = (int32_t *)((char *)v + choices[k].offset);
        enum found found = vector_attribute(group, choices[k].name, H5T_STRING, text, sizeof text);
        if (found == ABSENT && !vector_op_requires(v->op, choices[k].name))
            continue;
        for (*value = 0; *value < 2 && strcmp(text, choices[k].value[*value]);)
            ++*value;
        if (found != READ || *value == 2)
            return refuse(why, "attribute `%s` is not one of %s, %s", choices[k].name, choices[k].value[0],
                          choices[k].value[1]);
    }
    return true;
}

/* The residual map of op mhc, an optional attribute, and the constant of that map. */
static bool read_map(hid_t group, struct vector_case *v, struct text why) {
    char text[32] = "";
    int64_t order = 0;
    enum found found = vector_attribute(group, "map", H5T_STRING, text, sizeof text);
    v->c.map = MHC_SINKHORN;
    if (found == ABSENT || strcmp(v->op->name, "mhc"))
        return true;
    while (v->c.map < MHC_MAPS && strcmp(text, maps[v->c.map]))
        v->c.map++;
    if (found != READ || v->c.map == MHC_MAPS)
        return refuse(why, "attribute `map` is not the name of a residual map");
    if (v->c.map == MHC_ORTHOSTOCHASTIC &&
        vector_attribute(group, "map_order", H5T_INTEGER, &order, sizeof order) != READ)
        return refuse(why, "attribute `map_order` is missing or not one integer");
    if (v->c.map == MHC_CIRCULANT &&
        vector_attribute(group, "map_constant", H5T_FLOAT, &v->c.map_constant, sizeof v->c.map_constant) != READ)
        return refuse(why, "attribute `map_constant` is missing or not one number");
    v->c.map_order = order == 1 || order == 2 ? (int32_t)order : 0;
    return mhc_map_logits(&v->c) >= 0 || refuse(why, "n = %lld: %s", (long long)v->c.n, mhc_map_needs(&v->c));
}

bool vector_attributes(hid_t group, struct vector_case *v, struct text why) {
    return read_op(group, v, why) && read_sizes(group, v, why) && read_reals(group, v, why) &&
           read_choices(group, v, why) && read_map(group, v, why);
}

/* ---- writing ---- */

static bool write_attribute(hid_t group, const char *name, hid_t type, const void *value) {
    hid_t space = H5Screate(H5S_SCALAR), attribute = H5Acreate2(group, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    const bool good = attribute >= 0 && H5Awrite(attribute, type, value) >= 0;
    if (attribute >= 0)
        H5Aclose(attribute);
    H5Sclose(space);
    return good;
}

static bool write_text(hid_t group, const char *name, const char *text) {
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    const bool good = write_attribute(group, name, type, &text);
    H5Tclose(type);
    return good;
}

/* Sinkhorn is the default and is not written, so that files without other maps stay as they were. */
static bool write_map(hid_t group, const struct mhc_case *c) {
    const int64_t order = c->map_order;
    return c->map == MHC_SINKHORN ||
           (write_text(group, "map", maps[c->map]) &&
            (c->map != MHC_ORTHOSTOCHASTIC || write_attribute(group, "map_order", H5T_NATIVE_INT64, &order)) &&
            (c->map != MHC_CIRCULANT || write_attribute(group, "map_constant", H5T_NATIVE_DOUBLE, &c->map_constant)));
}

bool vector_attributes_write(hid_t group, const struct vector_case *v, const char *source) {
    bool good = write_text(group, "op", v->op->name) && write_text(group, "source", source) && write_map(group, &v->c);
    for (int k = 0; k < COUNT(integers); k++)
        if (vector_op_requires(v->op, integers[k].name))
            good &= write_attribute(group, integers[k].name, H5T_NATIVE_INT64, (const char *)v + integers[k].offset);
    for (int k = 0; k < COUNT(reals); k++)
        good &= write_attribute(group, reals[k].name, H5T_NATIVE_DOUBLE, (const char *)v + reals[k].offset);
    for (int k = 0; k < COUNT(choices); k++)
        if (vector_op_requires(v->op, choices[k].name))
            good &= write_text(group, choices[k].name,
                               choices[k].value[*(const int32_t *)((const char *)v + choices[k].offset)]);
    return good;
}

void vector_attributes_name(const struct vector_case *v, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "%s", v->op->name);
    for (int a = 0; a < COUNT(v->op->attributes) && v->op->attributes[a] && used < size; a++) {
        const char *name = v->op->attributes[a];
        for (int k = 0; k < COUNT(integers); k++)
            if (!strcmp(integers[k].name, name))
                used += (size_t)snprintf(text + used, size - used, "_%s%lld", name,
                                         (long long)*(const int64_t *)((const char *)v + integers[k].offset));
        for (int k = 0; k < COUNT(choices); k++)
            if (!strcmp(choices[k].name, name))
                used += (size_t)snprintf(text + used, size - used, "_%s",
                                         choices[k].value[*(const int32_t *)((const char *)v + choices[k].offset)]);
    }
    if (v->c.map != MHC_SINKHORN && used < size)
        used += (size_t)snprintf(text + used, size - used, "_%s", maps[v->c.map]);
    if (v->c.map == MHC_ORTHOSTOCHASTIC && used < size)
        snprintf(text + used, size - used, "%d", v->c.map_order);
    if (v->c.map == MHC_CIRCULANT && used < size)
        snprintf(text + used, size - used, "%g", v->c.map_constant);
}
