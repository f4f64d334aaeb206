#include "suites/case/sites.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/operation.h"
#include "results/layout.h"

enum part { FN, BASE, SCALE, SCALE_PRE, SCALE_POST, SCALE_RES, PARTS };

/* A tensor belongs to a site where its name has `.layers.N.` (or blk.N, blocks.N, h.N) and ends so. */
static const struct naming {
    const char *name;
    bool v4;
    int branch;  /* -1: the name says it */
    size_t stem; /* characters of an ending that the tensors of a site share */
    struct ending {
        const char *text;
        enum part part;
    } ending[5];
} namings[] = {
    {"DeepSeek-V4", true, 0, 7, {{"hc_attn_fn", FN}, {"hc_attn_base", BASE}, {"hc_attn_scale", SCALE}}},
    {"DeepSeek-V4", true, 1, 6, {{"hc_ffn_fn", FN}, {"hc_ffn_base", BASE}, {"hc_ffn_scale", SCALE}}},
    {"Hugging Face", true, 0, 7, {{"attn_hc.fn", FN}, {"attn_hc.base", BASE}, {"attn_hc.scale", SCALE}}},
    {"Hugging Face", true, 1, 6, {{"ffn_hc.fn", FN}, {"ffn_hc.base", BASE}, {"ffn_hc.scale", SCALE}}},
    {"Megatron",
     false,
     -1,
     0,
     {{"mapping_proj.weight", FN},
      {"mapping_proj.bias", BASE},
      {"alpha_pre", SCALE_PRE},
      {"alpha_post", SCALE_POST},
      {"alpha_res", SCALE_RES}}},
};
enum { NAMINGS = sizeof namings / sizeof *namings };
static const char looked_for[] = "layers.N.hc_attn_base (DeepSeek-V4), layers.N.attn_hc.base (Hugging Face) or "
                                 "layers.N.*.mapping_proj.bias (Megatron)";

/* What a name says. */
struct meaning {
    const struct naming *naming;
    enum part part;
    int64_t layer;
    int branch;
    size_t stem; /* characters of the name that its site shares */
};

static bool ends_with(const char *text, const char *end, size_t *stem) {
    const size_t length = strlen(text), own = strlen(end);
    *stem = length >= own ? length - own : 0;
    return length >= own && !strcmp(text + *stem, end);
}

/* The number behind the last "layers." or the like; -1: there is none. */
static int64_t layer_of(const char *name) {
    static const char *const words[] = {"layers.", "blk.", "blocks.", "h."};
    int64_t layer = -1;
    for (size_t k = 0; k < sizeof words / sizeof *words && layer < 0; k++)
        for (const char *at = name; (at = strstr(at, words[k])); at++)
            if ((at == name || at[-1] == '.') && isdigit((unsigned char)at[strlen(words[k])]))
                layer = strtol(at + strlen(words[k]), NULL, 10);
    return layer;
}

/* Whether a name ends so, perhaps with a ".weight" behind it, as GGUF and some ports have it. */
static bool has_ending(const char *name, const char *end, size_t *stem) {
    static const char behind[] = ".weight";
    size_t length;
    if (ends_with(name, end, stem))
        return true;
    if (!ends_with(name, behind, &length) || length < strlen(end))
        return false;
    *stem = length - strlen(end);
    return !strncmp(name + *stem, end, strlen(end));
}

/* false: it is of no site of the stack; a draft model (mtp) has sites of its own. */
static bool understand(const char *name, struct meaning *m) {
    for (int k = 0; k < NAMINGS; k++)
        for (int e = 0; e < 5 && namings[k].ending[e].text; e++) {
            if (!has_ending(name, namings[k].ending[e].text, &m->stem))
                continue;
            const bool mlp = strstr(name, "mlp") || strstr(name, "ffn");
            m->naming = &namings[k];
            m->part = namings[k].ending[e].part;
            m->layer = layer_of(name);
            m->branch = namings[k].branch < 0 ? mlp : namings[k].branch;
            m->stem += namings[k].stem;
            return m->layer >= 0 && !strstr(name, "mtp.");
        }
    return false;
}

static bool is_wanted(const char *name) {
    struct meaning m;
    return understand(name, &m);
}

/* ---- from tensors to sites ---- */

static struct site *site_of(struct sites *s, const struct tensor *t, const struct meaning *m) {
    for (int64_t k = s->count; k-- > 0;)
        if (strlen(s->site[k].name) == m->stem && !strncmp(s->site[k].name, t->name, m->stem))
            return &s->site[k];
    struct site *grown = realloc(s->site, (size_t)(s->count + 1) * sizeof *grown);
    char *name = grown ? strndup(t->name, m->stem) : NULL;
    s->site = grown ? grown : s->site;
    if (!name)
        return record_fail("out of memory"), NULL;
    s->site[s->count] = (struct site){.name = name, .layer = m->layer, .branch = m->branch};
    return &s->site[s->count++];
}

static bool give(struct sites *s, const struct tensor *t, const struct meaning *m) {
    struct site *site = site_of(s, t, m);
    if (!site)
        return false;
    if (s->naming && strcmp(s->naming, m->naming->name))
        return record_fail("%s: names of %s, and others of %s", t->name, m->naming->name, s->naming);
    if (!tensor_is_real(t))
        return record_fail("%s: its type is %s: F32, BF16 and F16 can be read", t->name, t->type);
    s->naming = m->naming->name;
    s->v4 = m->naming->v4;
    if (m->part == FN)
        site->fn = t;
    else if (m->part == BASE)
        site->base = t;
    else {
        site->scale[m->part == SCALE ? 0 : m->part - SCALE_PRE] = t;
        site->scales = m->part == SCALE ? 1 : 3;
    }
    return true;
}

static int by_depth(const void *a, const void *b) {
    const struct site *x = a, *y = b;
    if (x->layer != y->layer)
        return (x->layer > y->layer) - (x->layer < y->layer);
    return x->branch != y->branch ? x->branch - y->branch : strcmp(x->name, y->name);
}

static bool has_scale(const struct site *site) {
    for (int k = 0; k < site->scales; k++)
        if (!site->scale[k] || site->scale[k]->elements != (site->scales == 1 ? 3 : 1))
            return false;
    return site->scales > 0;
}

/* n from the length 2n + n^2 of base, C from the width of fn. */
static bool measure(struct site *site) {
    char text[TENSOR_TEXT];
    if (!site->base)
        return record_fail("site %s has no base: its maps cannot be made", site->name);
    const int64_t columns = site->base->elements;
    for (int64_t n = 1; n <= MHC_MAX_STREAMS; n++)
        site->n = n * n + 2 * n == columns ? n : site->n;
    if (!site->n)
        return record_fail("%s: %s is no base of 2n + n^2 elements, n up to %d", site->base->name,
                           tensor_text(site->base, text), MHC_MAX_STREAMS);
    if (site->scales && !has_scale(site))
        return record_fail("site %s: its scale does not have three elements", site->name);
    if (!site->fn)
        return true;
    if (site->fn->rank != 2 || site->fn->extent[0] != columns || site->fn->extent[1] % site->n || !site->fn->elements)
        return record_fail("%s: %s is no fn of %lld rows for %lld streams", site->fn->name, tensor_text(site->fn, text),
                           (long long)columns, (long long)site->n);
    site->C = site->fn->extent[1] / site->n;
    return true;
}

static bool compare_shapes(struct sites *s) {
    s->dynamic = true;
    for (int64_t k = 0; k < s->count; k++) {
        const struct site *first = &s->site[0], *site = &s->site[k];
        if (site->n != first->n)
            return record_fail("site %s has %lld streams and site %s has %lld: they cannot be composed", first->name,
                               (long long)first->n, site->name, (long long)site->n);
        if (k && site[-1].layer == site->layer && site[-1].branch == site->branch)
            return record_fail("sites %s and %s have one place in the stack", site[-1].name, site->name);
        s->dynamic &= site->fn && site->scales && site->C == first->C;
    }
    return true;
}

static bool build(struct sites *s, const char *path) {
    struct meaning m;
    for (int64_t k = 0; k < s->file->count; k++)
        if (understand(s->file->tensor[k].name, &m) && !give(s, &s->file->tensor[k], &m))
            return false;
    if (!s->count)
        return record_fail("%s: no connection among %lld tensors; looked for %s", path,
                           (long long)(s->file->count + s->file->unread), looked_for);
    qsort(s->site, (size_t)s->count, sizeof *s->site, by_depth);
    for (int64_t k = 0; k < s->count; k++)
        if (!measure(&s->site[k]))
            return false;
    return compare_shapes(s);
}

struct sites *sites_open(const char *path) {
    struct sites *s = calloc(1, sizeof *s);
    if (!s)
        return record_fail("out of memory"), NULL;
    s->file = safetensors_open(path, is_wanted);
    if (s->file && build(s, path))
        return s;
    sites_close(s);
    return NULL;
}

void sites_close(struct sites *s) {
    for (int64_t k = 0; s && k < s->count; k++)
        free(s->site[k].name);
    if (s) {
        safetensors_close(s->file);
        free(s->site);
    }
    free(s);
}

/* ---- in words ---- */

static bool is_connection(const char *name) {
    return strstr(name, "hc_") || strstr(name, "_hc") || strstr(name, "mapping_proj");
}

void sites_describe(const struct sites *s, FILE *out) {
    char text[TENSOR_TEXT];
    struct meaning m;
    int64_t ignored = 0;
    fprintf(out, "# %lld sites, names of %s; convention %s unless --convention says otherwise\n", (long long)s->count,
            s->naming, s->v4 ? "v4" : "paper");
    for (int64_t k = 0; k < s->count; k++) {
        const struct site *site = &s->site[k];
        fprintf(out, "# %s: n %lld", site->name, (long long)site->n);
        if (site->fn)
            fprintf(out, ", C %lld, fn %s", (long long)site->C, tensor_text(site->fn, text));
        fprintf(out, ", base %s", tensor_text(site->base, text));
        for (int a = 0; a < site->scales; a++)
            fprintf(out, "%s%s", a ? ", " : ", scale ", tensor_text(site->scale[a], text));
        fputc('\n', out);
    }
    for (int64_t k = 0; k < s->file->count; k++) {
        const struct tensor *t = &s->file->tensor[k];
        if (understand(t->name, &m))
            continue;
        ignored++;
        if (is_connection(t->name))
            fprintf(out, "# ignored: %s %s: of no layer (a head and a draft model have no place in the stack)\n",
                    t->name, tensor_text(t, text));
    }
    fprintf(out, "# ignored: %lld other tensors, and %lld in shards that were not opened\n", (long long)ignored,
            (long long)s->file->unread);
}
