/* `mhcbench vectors`: draws inputs, has cpu64 answer, and writes both in the format that `verify` reads. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build_info.h"
#include "results/checkpoint_file.h"
#include "results/record.h"
#include "suites/case/options.h"
#include "suites/case/suite.h"
#include "suites/stack/ensemble.h"
#include "suites/verify/vector_attributes.h"
#include "suites/verify/vector_draw.h"
#include "suites/verify/verify.h"

static const char usage[] =
    "vectors [case options] [--logits LIST] [--hard] [--rtol R] [--atol A] --out FILE.h5 [--overwrite]";
static const char help[] =
    "Draws inputs of operations, computes with cpu64 what they should give, and writes both with tolerances into a "
    "vector file. An implementation in any language can be held to that file, and `mhcbench verify` reads it. "
    "results/VECTORS.md has the format, suites/README.md a pytest file. A case holds an operation forward and "
    "backward: --operation mhc.pre and mhc.backward are one case, mhc.\n\n"
    "  case options   those of study kernels that shape a case, as lists: --operation (default mhc.*), --tokens, "
    "--width, --streams, --t-max, --convention, --rms-eps, --sinkhorn-eps, --sequence, --hidden, --heads, "
    "--head-dim, --activation, --seed\n"
    "  --logits LIST  standard deviations of the logits of res; default: 1\n"
    "  --hard         a fixed list of small shapes that exposes common mistakes: large logits, t_max 3, two "
    "different epsilons, tokens that are 0 or as small as the epsilon, token counts that are no multiple of a tile, "
    "ties at the maximum\n"
    "  --rtol R       tolerance as a share of the largest element; default: 1e-9, for float64\n"
    "  --atol A       absolute tolerance; default: 1e-11\n"
    "  --out FILE.h5  the file to write\n"
    "  --overwrite    replace FILE.h5 if it exists\n";

enum { MOST_LOGITS = 64, MOST_VECTORS = 4096 };

struct vectors_options {
    const char *out, *rtol_text, *atol_text, *logits_text;
    double rtol, atol, logits[MOST_LOGITS];
    int spreads;
    bool hard, overwrite;
};

/* ---- the list ---- */

/* Cases of --hard, each for mhc and sinkhorn. The epsilons differ, so that one in the place of the other shows. */
static const struct {
    int64_t n, C, T, t_max;
    int32_t convention;
    double rms_eps, sinkhorn_eps, logits;
} hard[] = {
    {4, 33, 7, 3, MHC_PAPER, 1e-5, 1e-3, 3},  {4, 33, 7, 3, MHC_V4, 1e-5, 1e-3, 3},
    {4, 33, 7, 3, MHC_PAPER, 1e-5, 1e-3, 30}, {4, 33, 7, 3, MHC_V4, 1e-5, 1e-3, 30},
    {4, 64, 65, 20, MHC_V4, 1e-6, 1e-3, 3},   {3, 5, 17, 3, MHC_V4, 1e-2, 1e-3, 3},
    {2, 8, 1, 3, MHC_V4, 1e-6, 1e-3, 0.1},    {8, 7, 5, 20, MHC_PAPER, 1e-6, 1e-3, 3},
};

struct list {
    const struct vectors_options *o;
    struct wanted {
        struct vector_case v;
        struct vector_inputs inputs;
        char name[160];
        size_t length; /* of the name without what tells twins apart */
    } * item;
    int64_t count, room;
};

/* Adds a case unless it is there under any name. */
static bool add(struct list *l, const char *op, const struct mhc_case *c, const struct vector_inputs *inputs) {
    struct wanted new = {.v = {.op = vector_op_find(op), .c = *c, .rtol = l->o->rtol, .atol = l->o->atol},
                         .inputs = *inputs};
    vector_attributes_name(&new.v, new.name, sizeof new.name);
    size_t used = strlen(new.name);
    if (vector_op_requires(new.v.op, "convention"))
        used += (size_t)snprintf(new.name + used, sizeof new.name - used, "_logits%g", inputs->logits);
    snprintf(new.name + used, sizeof new.name - used, "%s_seed%llu", inputs->hard ? "_hard" : "",
             (unsigned long long)inputs->seed);
    new.length = strlen(new.name);
    int twins = 0;
    for (int64_t k = 0; k < l->count; k++) {
        const struct wanted *other = &l->item[k];
        if (other->length != new.length || strncmp(other->name, new.name, new.length))
            continue;
        if (other->v.c.rms_eps == c->rms_eps && other->v.c.sinkhorn_eps == c->sinkhorn_eps)
            return true;
        twins++; /* the two differ in an epsilon, which names do not say */
    }
    if (twins)
        snprintf(new.name + new.length, sizeof new.name - new.length, "_%d", twins);
    if (l->count == MOST_VECTORS)
        return cannot("more than %d cases in a file", MOST_VECTORS), false;
    if (l->count == l->room) {
        l->room = l->room ? 2 * l->room : 32;
        struct wanted *grown = realloc(l->item, (size_t)l->room * sizeof *grown);
        if (!grown)
            return cannot("out of memory"), false;
        l->item = grown;
    }
    l->item[l->count++] = new;
    return true;
}

/* Adds a case of a suite once per spread of logits. */
static bool add_case(struct list *l, const struct params *p, bool patterned) {
    char op[32];
    snprintf(op, sizeof op, "%.*s", (int)strcspn(p->operation, "."), p->operation);
    const struct vector_op *found = vector_op_find(op);
    if ((!found || !found->operations[0]) && patterned)
        return true;
    if (!found || !found->operations[0])
        return cannot("no vectors of %s: sinkhorn, mhc, hc, linear, mlp and attention have them", p->operation), false;
    struct mhc_case c = ensemble_case(p);
    c.S = c.S ? c.S : c.T;
    if (strcmp(op, "mhc"))
        c.map = MHC_SINKHORN;
    else if (mhc_map_logits(&c) < 0)
        return cannot("--map %s, --streams %lld: %s", params_word(p, "map"), (long long)p->streams, mhc_map_needs(&c)),
               false;
    for (int k = 0; k < l->o->spreads; k++)
        if (!add(l, op, &c, &(struct vector_inputs){(uint64_t)p->seed, l->o->logits[k], false}))
            return false;
    return true;
}

/* Options that do not shape a case. */
static bool has_idle(const struct params *p) {
    static const char *const idle[] = {"backend", "type", "cache", "rounds", "budget", "vocabulary"};
    char text[PARAM_TEXT_SIZE];
    for (size_t k = 0; k < sizeof idle / sizeof *idle; k++) {
        const struct param *param = params_find(idle[k]);
        params_text(p, param, text, sizeof text);
        if (strcmp(text, param->standard))
            return cannot("--%s has no meaning for vectors", idle[k]), true;
    }
    return false;
}

static bool list_suite(struct list *l, int argc, char **argv) {
    char *words[256] = {"--study", "kernels", "--operation", "mhc.*"};
    struct suite suite;
    char why[600];
    bool given = false;
    for (int k = 0; k < argc; k++)
        given |= !strncmp(argv[k], "--operation", 11);
    int count = given ? 2 : 4;
    if (argc > 250)
        return cannot("too many words"), false;
    memcpy(words + count, argv, (size_t)argc * sizeof *argv);
    if (!suite_read(&suite, NULL, words, count + argc, why, sizeof why))
        return cannot("%s", why), false;
    bool good = true;
    for (int64_t k = 0; k < suite.count && good; k++)
        good = !has_idle(&suite.cases[k]) && add_case(l, &suite.cases[k], suite.patterned[k]);
    suite_release(&suite);
    return good && (l->count || (cannot("no operation in it that vectors can have"), false));
}

static bool list_hard(struct list *l, int argc, char **argv) {
    const char *seed = "1";
    char *end;
    if (!take_option(&argc, argv, "--seed", &seed) || !only_positional(argc, argv, 0, 0, usage))
        return false;
    const unsigned long long number = strtoull(seed, &end, 10);
    if (end == seed || *end)
        return cannot("--seed %s: a whole number", seed), false;
    for (size_t k = 0; k < sizeof hard / sizeof *hard; k++) {
        const struct mhc_case c = {.n = hard[k].n,
                                   .C = hard[k].C,
                                   .T = hard[k].T,
                                   .t_max = hard[k].t_max,
                                   .convention = hard[k].convention,
                                   .rms_eps = hard[k].rms_eps,
                                   .sinkhorn_eps = hard[k].sinkhorn_eps,
                                   .map = MHC_SINKHORN};
        const struct vector_inputs inputs = {number, hard[k].logits, true};
        if (!add(l, "mhc", &c, &inputs) || !add(l, "sinkhorn", &c, &inputs))
            return false;
    }
    return true;
}

/* ---- the file ---- */

static bool write_array(hid_t folder, const struct vector_case *v, const struct vector_array *a) {
    hsize_t extent[8];
    const int rank = (int)strlen(a->extents);
    for (int k = 0; k < rank; k++)
        extent[k] = (hsize_t)vector_extent(v, a->extents[k]);
    hid_t space = H5Screate_simple(rank, extent, NULL), properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(properties, false);
    hid_t data = H5Dcreate2(folder, a->name, H5T_IEEE_F64LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    const bool good = data >= 0 && H5Dwrite(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, a->values) >= 0;
    if (data >= 0)
        H5Dclose(data);
    H5Pclose(properties);
    H5Sclose(space);
    return good;
}

static bool write_case(hid_t cases, const struct wanted *w) {
    const struct vector_case *v = &w->v;
    hid_t group = H5Gcreate2(cases, w->name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0)
        return false;
    bool good = vector_attributes_write(group, v, "mhcbench " PROVENANCE_VERSION " (" PROVENANCE_REVISION "), cpu64");
    for (int side = 0; side < 2; side++) {
        hid_t folder = H5Gcreate2(group, side ? "out" : "in", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        for (int k = 0; k < (side ? v->outs : v->ins) && good; k++)
            good = write_array(folder, v, side ? &v->out[k] : &v->in[k]);
        H5Gclose(folder);
    }
    H5Gclose(group);
    return good;
}

/* Draws, computes and writes one case after the other. */
static bool write_one(hid_t cases, struct wanted *w) {
    const char *why = vector_case_allocate(&w->v) ? NULL : "out of memory";
    if (!why) {
        vector_draw(&w->v, &w->inputs);
        why = vector_answer(&w->v);
    }
    if (why)
        cannot("%s: %s", w->name, why);
    else if (!write_case(cases, w))
        why = (cannot("%s cannot be laid out", w->name), "");
    vector_case_release(&w->v);
    return !why;
}

static bool fill(hid_t file, const void *what) {
    const struct list *l = what;
    const int64_t version = 1;
    hid_t space = H5Screate(H5S_SCALAR), text = H5Tcopy(H5T_C_S1);
    H5Tset_size(text, strlen("mhcbench-vectors"));
    hid_t format = H5Acreate2(file, "format", text, space, H5P_DEFAULT, H5P_DEFAULT);
    hid_t number = H5Acreate2(file, "version", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    hid_t cases = H5Gcreate2(file, "cases", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    bool good = H5Awrite(format, text, "mhcbench-vectors") >= 0 && H5Awrite(number, H5T_NATIVE_INT64, &version) >= 0;
    for (int64_t k = 0; k < l->count && good; k++)
        good = write_one(cases, &l->item[k]);
    H5Gclose(cases);
    H5Aclose(number);
    H5Aclose(format);
    H5Tclose(text);
    H5Sclose(space);
    return good;
}

/* ---- the command ---- */

static bool read_tolerance(const char *name, const char *text, double standard, double *value) {
    char *end = NULL;
    *value = text ? strtod(text, &end) : standard;
    return !text || (end != text && !*end && *value >= 0 && isfinite(*value)) ||
           (cannot("%s %s: a number from 0", name, text), false);
}

static bool read_logits(struct vectors_options *o) {
    const char *at = o->logits_text ? o->logits_text : "1";
    for (char *end; o->spreads < MOST_LOGITS; at = end + 1) {
        const double value = strtod(at, &end);
        if (end == at || !(value >= 0 && value <= 1e6) || (*end && *end != ','))
            break;
        o->logits[o->spreads++] = value;
        if (!*end)
            return true;
    }
    return cannot("--logits %s: up to %d numbers from 0 to 1e6, joined by commas", o->logits_text, MOST_LOGITS), false;
}

static bool read_options(struct vectors_options *o, int *argc, char **argv) {
    o->hard = take_flag(argc, argv, "--hard");
    o->overwrite = take_flag(argc, argv, "--overwrite");
    if (!take_option(argc, argv, "--out", &o->out) || !take_option(argc, argv, "--rtol", &o->rtol_text) ||
        !take_option(argc, argv, "--atol", &o->atol_text) || !take_option(argc, argv, "--logits", &o->logits_text) ||
        !read_tolerance("--rtol", o->rtol_text, 1e-9, &o->rtol) ||
        !read_tolerance("--atol", o->atol_text, 1e-11, &o->atol) || !read_logits(o))
        return false;
    if (!o->out || !*o->out)
        return cannot("--out FILE.h5 is missing; usage: mhcbench %s", usage), false;
    if (o->hard && o->logits_text)
        return cannot("--hard has its own --logits"), false;
    if (!o->overwrite && !access(o->out, F_OK))
        return cannot("%s exists; --overwrite replaces it", o->out), false;
    return true;
}

int vectors_command(int argc, char **argv) {
    struct vectors_options o = {.hard = false};
    struct list list = {.o = &o};
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    if (!read_options(&o, &argc, argv))
        return EXIT_CANNOT;
    int code = EXIT_CANNOT;
    if ((o.hard ? list_hard : list_suite)(&list, argc, argv)) {
        if (checkpoint_file_make(o.out, fill, &list))
            code = (printf("%lld cases in %s\n", (long long)list.count, o.out), EXIT_GOOD);
        else if (record_error()[0])
            cannot("%s", record_error());
    }
    free(list.item);
    return code;
}
