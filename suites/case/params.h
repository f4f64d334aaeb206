/* The parameters of a case, in one table: it drives the options, suite lines, help, `list`, the case key and the
 * columns of the record. */
#ifndef PARAMS_H
#define PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "suites/case/connections.h"

enum study_id {
#define STUDY(ID, name, traits, help) STUDY_##ID,
#include "suites/case/studies.def"
#undef STUDY
    STUDIES
};
/* What studies have in common, and with it the parameters that several of them know. */
enum study_trait {
    STUDY_CURVES = 1 << 16,   /* computes curves over layers */
    STUDY_ENSEMBLE = 1 << 17, /* takes its connections from the ensemble */
    STUDY_RUNS = 1 << 18,     /* runs operations of a backend */
    STUDY_STACK = 1 << 19,    /* with a branch F */
    STUDY_TIMES = 1 << 20,    /* times something */
    STUDY_ANY = 1 << 21       /* every study has it */
};
extern const unsigned study_traits[STUDIES]; /* and bit `1 << study`, its own */

enum branch { BRANCH_LINEAR, BRANCH_MLP, BRANCH_ATTENTION };
enum init { INIT_LATENT, INIT_MIXED, INIT_NEAR_IDENTITY, INIT_GAP, INIT_DIAGONAL, INIT_PRE_NORM };
enum pre_post { PRE_POST_LITE, PRE_POST_ONE_HOT, PRE_POST_EQUAL };
enum rounding { ROUND_NONE, ROUND_BF16, ROUND_FP16 };
enum cache { CACHE_COLD, CACHE_HOT };
enum record_what { RECORD_CURVES, RECORD_SUMMARY };
enum { RECOMPUTE_AUTO = -1, RECOMPUTE_KEEP = 0 };
enum schedule { SCHEDULE_PAPER, SCHEDULE_CONSTANT };
enum train_start { START_LITE, START_ONE_HOT, START_ZERO, START_PRE_NORM };
enum { EVERY_AUTO = -1 };
enum { PARAM_TEXT_SIZE = 200 };

/* Fields are int64_t (integers and words), double or text, as the table says. Equal texts are one pointer, made by
 * params_keep(): cases can be copied and compared as bytes, and a sweep of 100,000 points keeps each text once. */
struct params {
    int64_t study, block; /* block: place of the connection in connections[] */
    const char *operation;
    int64_t map; /* of an operation, its place in maps.def */
    int64_t depth, streams, width, tokens, sequence, t_max, convention;
    double rms_eps, sinkhorn_eps;
    int64_t map_order;
    double beta;
    int64_t init;
    double d, s, w, alpha, phi;
    int64_t pre_post;
    int64_t rounding, branch, activation, hidden, heads, head_dim, vocabulary;
    double branch_gain;
    const char *input, *from;
    int64_t order; /* enum maps_order */
    const char *states;
    int64_t gradient, recompute, weights, measure, record;
    const char *backend;
    int64_t type, cache, rounds;
    double budget;
    int64_t timed; /* a bit for each of connections[] */
    int64_t preset, kind, attention, optimizer, graphs, overlap;
    int64_t steps, batch;
    double learning_rate;
    int64_t warm_up, schedule;
    double decay, clip, epsilon, connection_factor, connection_decay;
    int64_t start, every;
    int64_t seed;
};

enum param_type { PARAM_INT, PARAM_REAL, PARAM_WORD, PARAM_FLAGS, PARAM_TEXT };

/* Where the ensemble gives a parameter something to do. */
enum param_use {
    USED,           /* by every case of its studies */
    USED_STREAMS,   /* where there are several streams: not in a resnet */
    USED_MAPS,      /* where maps are drawn: hc, mhc */
    USED_LATENT,    /* there, with init latent */
    USED_PROJECTED, /* where they are projected: mhc */
    USED_LOGITS,    /* there, with init latent */
    USED_GATES,     /* where pre and post have logits, with init latent: generator mhc */
    USED_MAP,       /* where the arrays of an operation depend on the residual map */
    USED_ORDER,     /* by go-mHC's map */
    USED_BETA,      /* by C-mHC's map */
    USED_VOCABULARY /* where they depend on the vocabulary */
};
/* What else the program does with a parameter. */
enum param_role {
    ROLE_TITLE = 1,    /* legends and titles have a place for it */
    ROLE_WORD = 2,     /* its value says what it is, without its name */
    ROLE_KEEPS = 4,    /* says what is computed and kept, which does not change what a number is */
    ROLE_SHAPE = 8,    /* of a model: --preset sets it */
    ROLE_HEADS = 16,   /* heads of tables give it at its default too */
    ROLE_CAPTION = 32, /* captions do */
    ROLE_QUIET = 64,   /* labels leave it out where it does not matter */
    ROLE_RESETS = 128, /* goes back to its default there */
    ROLE_MODEL = 256,  /* of a trained model: --from sets it */
    ROLE_MODELS = 512, /* --from sets it where it is not given */
    ROLE_DRAWN = 1024  /* of what is not trained: not with --from */
};

enum { PARAM_BYTES = sizeof(int64_t) };
struct param {
    const char *name, *unit, *standard; /* standard: the default, as text */
    enum param_type type;
    size_t offset;      /* of its PARAM_BYTES in struct params; equal bytes are equal texts */
    double least, most; /* numbers */
    const char
        *words;  /* WORD: "a|b|c" for 0, 1, 2; INT: names of special values, "auto=-1|keep=0"; FLAGS: "a|b" for 1, 2 */
    unsigned of; /* it belongs to studies with one of these traits */
    const char *help;
    const char *letter; /* what papers call it; NULL: its name */
    enum param_use matters;
    unsigned role; /* of enum param_role */
};

extern const struct param params_table[];
extern const int params_count;
enum { PARAMS_MOST = 96 }; /* room for one of each */

/* By its name, or by the one that --connection has in records and keys: block. */
const struct param *params_find(const char *name);
/* What its option is called. */
const char *params_option(const struct param *);
/* ", auto or keep": the names of special values of a whole number, with what stands between two of them. */
void params_special(const struct param *, const char *between, char *text, size_t size);
void params_defaults(struct params *);

/* The text that stands for all texts of these characters, until the process ends. */
const char *params_keep(const char *text);

/* Sets one parameter from text. false: one line in `why`, with what is accepted. */
bool params_set(struct params *, const struct param *, const char *text, char *why, size_t why_size);

/* A value as text that params_set() reads back to the same bits. */
void params_text(const struct params *, const struct param *, char *text, size_t size);

/* The line that makes this case again: the study and every parameter of it that is not the default. */
void params_key(const struct params *, char *key, size_t size);

/* What a single parameter cannot know: combinations. false: one line in `why`. */
bool params_check(const struct params *, char *why, size_t why_size);

static inline const struct connection *params_connection(const struct params *p) {
    return &connections[p->block];
}
/* The streams that maps are made under, of weights: none, drawn ones, those of a file. */
enum states { STATES_STATIC, STATES_RANDOM, STATES_FILE };
enum states params_states(const struct params *);
/* Whether the maps of a case are those of a file, and not made here. */
static inline bool params_has_maps(const struct params *p) {
    return p->study == STUDY_MAPS && p->from[0] && p->order;
}
/* Whether the connection of a case, or what its operation belongs to, has one stream. */
bool params_one_stream(const struct params *);
/* The residual map of a case: of its connection, or that of --map. */
int32_t params_map(const struct params *);
/* What maps have for constants, map_order and map_constant of a case. */
void params_map_constants(const struct params *, struct mhc_case *);

/* How the name of a backend begins that is a model of a GPU and computes nothing; rows/gpu_model.h. */
#define BACKEND_MODEL "model:"
static inline bool params_is_model(const struct params *p) {
    return !strncmp(p->backend, BACKEND_MODEL, strlen(BACKEND_MODEL));
}

static inline bool params_has(const struct params *p, enum study_trait trait) {
    return study_traits[p->study] & trait;
}
/* The same of a study by its name; false where there is no such study. */
bool params_study_has(const char *study, enum study_trait);
/* Whether a study has a parameter. */
static inline bool params_knows(const struct params *p, const struct param *param) {
    return study_traits[p->study] & param->of;
}

/* Whether a parameter changes anything in a case of this study, block and init. Only mHC has logits and a Sinkhorn:
 * the starts of HC that are projected are so after one iteration. */
bool params_matters(const struct params *, const struct param *);

/* A word of a parameter's value, e.g. "mhc". */
const char *params_word(const struct params *, const char *name);

#endif
