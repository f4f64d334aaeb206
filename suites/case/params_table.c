/* What parameters there are: the one table, and the words that other tables give it. */
#include "suites/case/params.h"

#define MAPS (1u << STUDY_MAPS)
#define PROPAGATE (1u << STUDY_PROPAGATE)
#define KERNELS (1u << STUDY_KERNELS)
#define RECOMPUTE (1u << STUDY_RECOMPUTE)
#define OVERHEAD (1u << STUDY_OVERHEAD)
#define TRAIN (1u << STUDY_TRAIN)
#define UNTRAINED (MAPS | PROPAGATE | RECOMPUTE) /* what draws its connections, and leaves them so */
#define AT(field) offsetof(struct params, field)

const unsigned study_traits[STUDIES] = {
#define STUDY(ID, name, traits, help) [STUDY_##ID] = 1u << STUDY_##ID | STUDY_ANY | (traits),
#include "suites/case/studies.def"
#undef STUDY
};

/* "maps|propagate|..." and "maps: ...; propagate: ...", behind a separator. */
static const char study_words[] =
#define STUDY(ID, name, traits, help) "|" #name
#include "suites/case/studies.def"
#undef STUDY
    ;
static const char study_help[] =
#define STUDY(ID, name, traits, help) "; " #name ": " help
#include "suites/case/studies.def"
#undef STUDY
    ;

/* "|resnet|hc|..." and "|sinkhorn|identity|...". */
static const char connection_words[] =
#define CONNECTION(id, ...) "|" #id
#include "suites/case/connections.def"
#undef CONNECTION
    ;
static const char map_words[] =
#define MAP(id, name) "|" #name
#include "cpu_ref/maps/maps.def"
#undef MAP
    ;
const struct param params_table[] = {
    {"study", "", "propagate", PARAM_WORD, AT(study), 0, 0, study_words + 1, STUDY_ANY, .help = study_help + 2,
     .role = ROLE_TITLE | ROLE_WORD | ROLE_HEADS},
    {"block", "", "mhc", PARAM_WORD, AT(block), 0, 0, connection_words + 1, STUDY_ENSEMBLE,
     .help = "the residual connection; --block is its old name, which records and keys keep",
     .role = ROLE_MODEL | ROLE_TITLE | ROLE_WORD},
    {"operation", "", "", PARAM_TEXT, AT(operation), 0, 0, NULL, KERNELS,
     .help = "what is timed: names (mhcbench list --operations), patterns like mhc.*, or all"},
    {"map", "", "sinkhorn", PARAM_WORD, AT(map), 0, 0, map_words + 1, KERNELS,
     .help = "residual map of the operations mhc.*, mhc-micro.* and map.*", .matters = USED_MAP},
    {"depth", "1", "60", PARAM_INT, AT(depth), 1, 65536, NULL, STUDY_ENSEMBLE | OVERHEAD,
     .help = "L, layers; a transformer block has two", .letter = "L", .role = ROLE_MODEL | ROLE_HEADS | ROLE_CAPTION},
    {"streams", "1", "4", PARAM_INT, AT(streams), 1, 16, NULL, STUDY_ANY, .help = "n; resnet and skip have 1",
     .letter = "n", .matters = USED_STREAMS, .role = ROLE_MODEL | ROLE_CAPTION},
    {"width", "1", "64", PARAM_INT, AT(width), 1, 1 << 20, NULL, STUDY_RUNS, .help = "C, channels of one stream",
     .letter = "C", .role = ROLE_MODEL | ROLE_SHAPE},
    {"tokens", "1", "64", PARAM_INT, AT(tokens), 1, 1e9, NULL, STUDY_ANY,
     .help = "T; in maps, draws of the dynamic part; in train, held-out tokens of the curves", .letter = "T"},
    {"sequence", "1", "0", PARAM_INT, AT(sequence), 0, 1e9, NULL, STUDY_RUNS,
     .help = "S, tokens of a sequence; 0: one sequence of T", .role = ROLE_MODEL | ROLE_SHAPE},
    {"t-max", "1", "20", PARAM_INT, AT(t_max), 1, 1e6, NULL, STUDY_ANY, .help = "Sinkhorn iterations, of mHC",
     .letter = "t_max", .matters = USED_PROJECTED,
     .role = ROLE_MODELS | ROLE_HEADS | ROLE_CAPTION | ROLE_QUIET | ROLE_RESETS},
    {"convention", "", "paper", PARAM_WORD, AT(convention), 0, 0, "paper|v4", STUDY_ANY,
     .help = "paper: mHC Eq. 7-9; v4: DeepSeek-V4's arithmetic", .matters = USED_PROJECTED, .role = ROLE_MODEL},
    {"rms-eps", "1", "1e-20", PARAM_REAL, AT(rms_eps), 0, 1, NULL, STUDY_RUNS | MAPS,
     .help = "added to every mean square", .role = ROLE_MODEL},
    {"sinkhorn-eps", "1", "1e-06", PARAM_REAL, AT(sinkhorn_eps), 0, 1, NULL, STUDY_ANY,
     .help = "of convention v4; paper has none", .matters = USED_PROJECTED, .role = ROLE_MODEL},
    {"map-order", "1", "2", PARAM_INT, AT(map_order), 1, 2, NULL, STUDY_ANY,
     .help = "s of go-mHC: its orthogonal matrix has s n rows", .matters = USED_ORDER, .role = ROLE_MODEL},
    {"beta", "1", "4", PARAM_REAL, AT(beta), 1e-6, 1e6, NULL, STUDY_ANY,
     .help = "of C-mHC, which mixes a share of beta / (2 L), at most 1; study kernels takes 60 for L",
     .matters = USED_BETA, .role = ROLE_MODEL},
    {"init", "", "latent", PARAM_WORD, AT(init), 0, 0, "latent|mixed|near-identity|gap|diagonal|pre-norm", UNTRAINED,
     .help = "ensemble of the static part; latent is spanned by d, s and w, the others are starts found in the field",
     .matters = USED_MAPS, .role = ROLE_DRAWN | ROLE_WORD},
    {"d", "1", "0", PARAM_REAL, AT(d), -1e6, 1e6, NULL, UNTRAINED,
     .help = "latent, mHC: logits = d I + s Z_shared + w Z_layer", .matters = USED_LOGITS,
     .role = ROLE_DRAWN | ROLE_QUIET | ROLE_RESETS},
    {"s", "1", "0", PARAM_REAL, AT(s), 0, 1e6, NULL, UNTRAINED,
     .help = "latent: weight of the draw that all layers share", .matters = USED_LATENT,
     .role = ROLE_DRAWN | ROLE_QUIET},
    {"w", "1", "1", PARAM_REAL, AT(w), 0, 1e6, NULL, UNTRAINED,
     .help = "latent: weight of each layer's own draw; HC maps = I + s Z_shared + w Z_layer", .matters = USED_LATENT,
     .role = ROLE_DRAWN | ROLE_QUIET},
    {"alpha", "1", "0.01", PARAM_REAL, AT(alpha), 0, 1e6, NULL, STUDY_ENSEMBLE,
     .help = "scale of the dynamic part; in train, where it starts", .role = ROLE_DRAWN},
    {"phi", "1", "1", PARAM_REAL, AT(phi), 0, 1e6, NULL, UNTRAINED,
     .help = "std of the dynamic product before alpha: of x.phi/r, or theta.x/r in HC", .role = ROLE_DRAWN},
    {"pre-post", "", "lite", PARAM_WORD, AT(pre_post), 0, 0, "lite|one-hot|equal", UNTRAINED,
     .help =
         "latent: logits of pre and post, for stream l mod n and for the others: 1 and -1, so that streams differ "
         "(lite); 4 and -4, so that they hardly meet (one-hot); pre 20 and -20, all post 0, so that streams stay equal "
         "whatever the maps (equal)",
     .matters = USED_GATES, .role = ROLE_DRAWN | ROLE_QUIET},
    {"round", "", "none", PARAM_WORD, AT(rounding), 0, 0, "none|bf16|fp16", MAPS,
     .help = "round coefficients to this format after every operation", .role = ROLE_DRAWN},
    {"branch", "", "linear", PARAM_WORD, AT(branch), 0, 0, "linear|mlp|attention", PROPAGATE | RECOMPUTE,
     .help = "F; in train, attention and mlp by turns", .role = ROLE_DRAWN},
    {"activation", "", "swiglu", PARAM_WORD, AT(activation), 0, 0, "gelu|swiglu", STUDY_RUNS, .help = "of branch mlp",
     .role = ROLE_MODEL},
    {"hidden", "1", "0", PARAM_INT, AT(hidden), 0, 1 << 20, NULL, STUDY_RUNS, .help = "of branch mlp; 0: 4 C",
     .role = ROLE_MODEL | ROLE_SHAPE},
    {"heads", "1", "0", PARAM_INT, AT(heads), 0, 1 << 12, NULL, STUDY_RUNS,
     .help = "of branch attention; 0: C / head_dim, at least 1", .role = ROLE_MODEL | ROLE_SHAPE},
    {"head-dim", "1", "64", PARAM_INT, AT(head_dim), 1, 1 << 12, NULL, STUDY_RUNS, .help = "of branch attention",
     .role = ROLE_MODEL | ROLE_SHAPE},
    {"vocabulary", "1", "256", PARAM_INT, AT(vocabulary), 1, 1 << 20, NULL, KERNELS,
     .help = "V, of the operations embedding.*, head.* and cross-entropy.*", .letter = "V", .matters = USED_VOCABULARY},
    {"branch-gain", "1", "1", PARAM_REAL, AT(branch_gain), 0, 1e6, NULL, STUDY_STACK,
     .help = "g: branch weights have std g / sqrt(fan_in)", .role = ROLE_DRAWN},
    {"input", "", "", PARAM_TEXT, AT(input), 0, 0, NULL, MAPS | PROPAGATE | TRAIN,
     .help =
         "file whose bytes are the tokens, a path from the current folder; the last 5 % are held out; empty: gaussian "
         "tokens, of which train can learn nothing",
     .role = ROLE_MODELS},
    {"from", "", "", PARAM_TEXT, AT(from), 0, 0, NULL, MAPS | PROPAGATE,
     .help =
         "checkpoint of study train (run --checkpoints): its model is the ensemble, on --tokens held-out tokens of the "
         "text that it was trained on, with the gradient of their loss; connection, shape and seed come from the file, "
         "--input and --t-max too where they are not given; in study maps also an HDF5 file with residual maps `res` "
         "[L][T][n][n] or [seed][L][T][n][n], or the weights of a model: a safetensors file, an index with shards, or "
         "their folder; --weights PATH is the same"},
    {"order", "", "auto", PARAM_WORD, AT(order), 0, 0, "auto|destination-source|source-destination", MAPS,
     .help = "which stream comes first in the maps of a --from file; auto: what its attribute `order` says, else "
             "destination-source"},
    {"states", "", "static", PARAM_TEXT, AT(states), 0, 0, NULL, MAPS,
     .help = "of weights, the streams that the maps are made under; static: none, one map per site; random: --tokens "
             "tokens of normal numbers; else an HDF5 file with x [L][T][n][C]"},
    {"gradient", "", "random", PARAM_WORD, AT(gradient), 0, 0, "none|random", PROPAGATE,
     .help = "output gradient; none: forward only"},
    {"recompute", "1", "auto", PARAM_INT, AT(recompute), -1, 65536, "auto=-1|keep=0", PROPAGATE | RECOMPUTE | OVERHEAD,
     .help =
         "keep x every so many layers and compute the rest again; auto: keep all that fits, else (in study recompute "
         "always) sqrt(n L / (n + 2))",
     .role = ROLE_DRAWN | ROLE_KEEPS},
    {"weights", "", "hold", PARAM_WORD, AT(weights), 0, 0, "hold|regenerate", PROPAGATE,
     .help = "keep the weights of all layers, or draw them at every use", .role = ROLE_DRAWN | ROLE_KEEPS},
    {"measure", "", "gain+spectrum+mixing+stream+logit+gradient+reach", PARAM_FLAGS, AT(measure), 0, 0,
     "gain|spectrum|mixing|stream|logit|gradient|reach", STUDY_CURVES, .help = "groups of curves, joined by +",
     .role = ROLE_KEEPS},
    {"record", "", "curves", PARAM_WORD, AT(record), 0, 0, "curves|summary", STUDY_CURVES,
     .help = "curves with quantiles over tokens, or the largest token mean of each alone", .role = ROLE_KEEPS},
    {"backend", "", "cpu64", PARAM_TEXT, AT(backend), 0, 0, NULL, STUDY_RUNS,
     .help = "cpu64, cpu32, cuda, emu, or the path of a library; for times alone model:h200, h100, a100, b200 or 4090, "
             "computed by data sheet and marked MODEL"},
    {"type", "", "widest", PARAM_WORD, AT(type), 0, 0, "widest|f64|f32|bf16", STUDY_RUNS,
     .help = "element type of the streams"},
    {"cache", "", "cold", PARAM_WORD, AT(cache), 0, 0, "cold|hot", KERNELS,
     .help = "cold: calls rotate over more arrays than the last-level cache holds; hot: always the same arrays"},
    {"rounds", "1", "300", PARAM_INT, AT(rounds), 1, 10000, NULL, STUDY_TIMES, .help = "most samples of a case"},
    {"budget", "s", "1", PARAM_REAL, AT(budget), 0.001, 3600, NULL, STUDY_TIMES,
     .help = "most time in the rounds of a case; set-up, check and warm-up come on top and are most of a small case"},
    {"timed", "", "hc+mhc+identity", PARAM_FLAGS, AT(timed), 0, 0, connection_words + 1, OVERHEAD,
     .help =
         "connections whose step is timed beside the residual's, joined by +, or all; each costs time of the budget, "
         "and the rounds get fewer"},
    {"preset", "", "none", PARAM_WORD, AT(preset), 0, 0, "none|3b|9b|27b|v4-flash|v4-pro", OVERHEAD,
     .help =
         "shapes of a model, where they are not given: width, heads, head-dim, hidden; sequence 4096 where the tokens "
         "allow"},
    {"kind", "", "dense", PARAM_WORD, AT(kind), 0, 0, "dense|active", OVERHEAD,
     .help =
         "of a preset: a dense block of that width (12 C^2 parameters), or as many parameters as a layer of the model "
         "has active"},
    {"attention", "", "off", PARAM_WORD, AT(attention), 0, 0, "off|on", OVERHEAD,
     .help = "F with the core of attention; off: its GEMMs and elementwise work alone"},
    {"optimizer", "", "none", PARAM_WORD, AT(optimizer), 0, 0, "none|adamw", OVERHEAD,
     .help = "adamw: the step ends with an update of every parameter, its master and both moments in the type of "
             "parameters, one launch per array"},
    {"graphs", "", "off", PARAM_WORD, AT(graphs), 0, 0, "off|on", OVERHEAD, .help = "launch a step as one graph"},
    {"overlap", "", "off", PARAM_WORD, AT(overlap), 0, 0, "off|on", OVERHEAD,
     .help =
         "two micro-batches of T tokens, the connections of one on a queue of high priority beside the GEMMs of the "
         "other"},
    {"steps", "1", "300", PARAM_INT, AT(steps), 0, 1e6, NULL, TRAIN, .help = "updates of the parameters",
     .role = ROLE_CAPTION},
    {"batch", "1", "4", PARAM_INT, AT(batch), 1, 1 << 20, NULL, TRAIN, .help = "sequences of S tokens per step"},
    {"learning-rate", "1", "0.005", PARAM_REAL, AT(learning_rate), 0, 1e300, NULL, TRAIN,
     .help = "of AdamW with betas 0.9 and 0.95, where the schedule is at its top", .role = ROLE_CAPTION},
    {"warm-up", "1", "40", PARAM_INT, AT(warm_up), 0, 1e6, NULL, TRAIN,
     .help = "steps in which the rate rises from 0, linearly"},
    {"schedule", "", "paper", PARAM_WORD, AT(schedule), 0, 0, "paper|constant", TRAIN,
     .help = "of the rate behind the warm-up; paper: times 0.316 from 80 % of the steps on, times 0.1 from 90 % on"},
    {"decay", "1", "0.1", PARAM_REAL, AT(decay), 0, 1e6, NULL, TRAIN,
     .help = "weight decay of the weights of products; embedding, positions and gains have none"},
    {"clip", "1", "1", PARAM_REAL, AT(clip), 0, 1e300, NULL, TRAIN,
     .help = "largest norm of the whole gradient that an update sees; 0: any"},
    {"epsilon", "1", "1e-20", PARAM_REAL, AT(epsilon), 1e-30, 1, NULL, TRAIN, .help = "of AdamW"},
    {"connection-factor", "1", "1", PARAM_REAL, AT(connection_factor), 0, 1e6, NULL, TRAIN,
     .help = "the rate of the connection's parameters is so many times the others'"},
    {"connection-decay", "1", "0.1", PARAM_REAL, AT(connection_decay), 0, 1e6, NULL, TRAIN,
     .help = "weight decay of the connection's parameters"},
    {"start", "", "lite", PARAM_WORD, AT(start), 0, 0, "lite|one-hot|zero|pre-norm", TRAIN,
     .help =
         "where mHC's connection starts, all but zero near the identity: pre and post 1 for stream l mod n and -1 "
         "elsewhere (lite); pre 4 and -4, post 0 (one-hot); all 0 with phi of std 0.02 (zero); pre 20 and -20, post 0, "
         "a static pre-norm residual (pre-norm)"},
    {"every", "1", "auto", PARAM_INT, AT(every), -1, 1e6, "auto=-1", TRAIN,
     .help = "steps between measurements; auto: 0, 5, 10, 20, 30, 40, 60, 80, then every 20", .role = ROLE_KEEPS},
    {"seed", "", "1", PARAM_INT, AT(seed), 0, 9007199254740992.0, NULL, STUDY_ANY, .help = "of every random number",
     .role = ROLE_MODEL | ROLE_KEEPS},
};
const int params_count = sizeof params_table / sizeof *params_table;
_Static_assert(sizeof params_table / sizeof *params_table <= PARAMS_MOST, "room for one of each");
