/* Study maps on the weights of a model: files with the names, shapes and types of public models, and hostile ones. */
#include "tests/command.h"
#include "tests/safetensors_example.h"

#include <hdf5.h>
#include <math.h>
#include <sys/stat.h>

#include "analysis/analysis.h"
#include "cpu_ref/library.h"
#include "cpu_ref/philox.h"
#include "results/record.h"

TestSuite(weights, .timeout = 1800);

enum { N = 4, C = 10, K = N * (N + 2), LAYERS = 3, SITES = 2 * LAYERS, T = 5, CELLS = N * N };

/* ---- a model ---- */

static double fn[SITES][K * N * C], base[SITES][K], scale[SITES][3];

static void make_model(void) {
    for (int s = 0; s < SITES; s++) {
        for (int k = 0; k < K * N * C; k++)
            fn[s][k] = mhc_normal(1, 1, (uint32_t)s, (uint64_t)k) / sqrt(N * C);
        for (int k = 0; k < K; k++)
            base[s][k] = 2 * mhc_normal(1, 2, (uint32_t)s, (uint64_t)k);
        for (int k = 0; k < 3; k++)
            scale[s][k] = 0.5 + 0.25 * k;
    }
}

static const int64_t of_fn[] = {K, N *C}, of_base[] = {K}, of_scale[] = {3}, of_one[] = {1}, of_head[] = {N, N *C};

enum style { DEEPSEEK, HUGGING_FACE, MEGATRON };

static void add_site(struct file *f, enum style style, int s, const char *type) {
    static const char *const stems[][2] = {
        [DEEPSEEK] = {"layers.%d.hc_attn_", "layers.%d.hc_ffn_"},
        [HUGGING_FACE] = {"model.layers.%d.attn_hc.", "model.layers.%d.ffn_hc."},
        [MEGATRON] = {"decoder.layers.%d.self_attention_hyper_connection.", "decoder.layers.%d.mlp_hyper_connection."}};
    char stem[100], name[160];
    snprintf(stem, sizeof stem, stems[style][s % 2], s / 2);
    snprintf(name, sizeof name, "%s%s", stem, style == MEGATRON ? "mapping_proj.weight" : "fn");
    add(f, name, type, 2, of_fn, fn[s]);
    snprintf(name, sizeof name, "%s%s", stem, style == MEGATRON ? "mapping_proj.bias" : "base");
    add(f, name, type, 1, of_base, base[s]);
    for (int k = 0; k < (style == MEGATRON ? 3 : 1); k++) {
        static const char *const alphas[] = {"alpha_pre", "alpha_post", "alpha_res"};
        snprintf(name, sizeof name, "%s%s", stem, style == MEGATRON ? alphas[k] : "scale");
        add(f, name, type, 1, style == MEGATRON ? of_one : of_scale, scale[s] + k);
    }
}

/* Sites in another order than that of the stack, as an index of JSON may have them. */
static void write_model(const char *path, enum style style, const char *type) {
    static double zeros[N * N * C];
    struct file *f = begin();
    add(f, "embed.weight", "BF16", 2, of_head, zeros);
    for (int s = SITES; s-- > 0;)
        add_site(f, style, s, type);
    add(f, style == HUGGING_FACE ? "model.hc_head.hc_fn" : "hc_head_fn", "F32", 2, of_head, zeros);
    add(f, "mtp.0.hc_attn_base", "F32", 1, of_base, base[0]);
    finish(f, path);
}

/* ---- what it should be ---- */

/* res of all sites [SITES][tokens][N][N] under x (NULL: none), by the oracle. */
static double *expected(const char *type, int32_t convention, int64_t tokens, const double *x, int64_t t_max) {
    double *res = calloc((size_t)(SITES * tokens * CELLS), sizeof *res);
    for (int s = 0; s < SITES; s++) {
        double *logits = calloc((size_t)(tokens * CELLS), sizeof *logits);
        for (int64_t t = 0; t < tokens; t++) {
            const double *own = x ? x + (s * tokens + t) * N * C : NULL;
            double square = 1e-20;
            for (int d = 0; own && d < N * C; d++)
                square += own[d] * own[d] / (N * C);
            for (int k = 0; k < CELLS; k++) {
                double product = 0;
                for (int d = 0; own && d < N * C; d++)
                    product += own[d] * stored(fn[s][(2 * N + k) * N * C + d], type);
                logits[t * CELLS + k] = (own ? stored(scale[s][2], type) * product / sqrt(square) : 0) +
                                        stored(base[s][2 * N + k], type);
            }
        }
        const struct mhc_case c = {.T = tokens, .n = N, .t_max = t_max, .convention = convention, .sinkhorn_eps = 1e-6};
        struct mhc_case typed = c;
        typed.stream = typed.coef = typed.param = MHC_F64;
        void *arguments[] = {logits, res + s * tokens * CELLS};
        const struct mhc_row *row = mhc_row_find(&mhc_cpu64, "sinkhorn.forward");
        cr_assert(!row->run(NULL, NULL, &typed, arguments, NULL, NULL));
        free(logits);
    }
    return res;
}

static void expect_gains(const char *record, int64_t index, const double *res, int64_t tokens) {
    static const enum mhc_metric metrics[] = {MHC_composite_backward_sum, MHC_composite_forward_abs,
                                              MHC_single_backward_sum, MHC_single_lambda2};
    struct mhc_curves want = {0};
    cr_assert(mhc_curves_allocate(&want, SITES, MHC_GROUP_GAIN | MHC_GROUP_MIXING, true) &&
              !mhc_measure_maps(res, SITES, tokens, N, &want));
    struct record_reader *r = record_open(record);
    cr_assert(r && record_count(r) > index, "%s", record_error());
    for (size_t m = 0; m < sizeof metrics / sizeof *metrics; m++) {
        const double *got = record_curve_of(r, mhc_metric_info[metrics[m]].name, index);
        for (int l = 0; l < SITES; l++)
            cr_expect(got && fabs(got[l] - want.curve[metrics[m]][MHC_MEAN][l]) < 1e-9,
                      "%s: %s of site %d: %g, want %g", record, mhc_metric_info[metrics[m]].name, l, got ? got[l] : NAN,
                      want.curve[metrics[m]][MHC_MEAN][l]);
    }
    record_close(r);
    mhc_curves_release(&want);
}

Test(weights, names_and_types_of_public_models) {
    static const char *const types[] = {"F32", "BF16", "F16"};
    make_model();
    enter();
    for (int style = DEEPSEEK; style <= MEGATRON; style++)
        for (int k = 0; k < 3; k++) {
            const int32_t convention = style == MEGATRON ? MHC_PAPER : MHC_V4;
            write_model("m.safetensors", (enum style)style, types[k]);
            GOOD("$M run --study maps --weights m.safetensors --t-max 3,20 --out m.h5 --overwrite -q");
            for (int t = 0; t < 2; t++) {
                double *res = expected(types[k], convention, 1, NULL, t ? 20 : 3);
                expect_gains("m.h5", t, res, 1);
                free(res);
            }
        }
    GOOD("$M run --study maps --weights m.safetensors --convention v4 --out v.h5 -q && $M show v.h5 && $M plot "
         "v.h5 --out f");
    double *res = expected("F16", MHC_V4, 1, NULL, 20);
    expect_gains("v.h5", 0, res, 1);
    free(res);
    leave();
}

Test(weights, maps_under_streams) {
    double *x = malloc(sizeof(double) * SITES * T * N * C);
    const hsize_t extent[] = {SITES, T, N, C};
    make_model();
    enter();
    write_model("m.safetensors", HUGGING_FACE, "F32");
    for (int k = 0; k < SITES * T * N * C; k++)
        x[k] = (float)(3 * mhc_normal(5, 1, 0, (uint64_t)k));
    hid_t file = H5Fcreate("x.h5", H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), space = H5Screate_simple(4, extent, NULL);
    hid_t data = H5Dcreate2(file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    cr_assert(H5Dwrite(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) >= 0);
    H5Dclose(data);
    H5Sclose(space);
    H5Fclose(file);
    GOOD("$M run --study maps --weights m.safetensors --states x.h5 --maps kept --out x.rec -q");
    double *res = expected("F32", MHC_V4, T, x, 20);
    expect_gains("x.rec", 0, res, T);
    GOOD("$M run --study maps --from $(ls kept/*.h5) --out kept.rec -q"); /* with pre and post */
    expect_gains("kept.rec", 0, res, T);
    GOOD("$M run --study maps --weights m.safetensors --states random --tokens 8 --seed 1,2 --out r.rec -q && "
         "$M show r.rec && $M run $($M run --study maps --weights m.safetensors --states random --tokens 8 --dry-run | "
         "grep -v '^#') --out again.rec -q");
    expect_refusal("$M run --study maps --weights m.safetensors --states m.safetensors --out b.rec", "--states: ");
    expect_refusal("$M run --study maps --weights m.safetensors --states x.h5 --tokens 3 --out b.rec", "--tokens 3");
    expect_refusal("$M run --study maps --weights m.safetensors --tokens 3 --out b.rec", "--tokens 3");
    expect_refusal("$M run --study maps --states random --out b.rec", "needs --from");
    free(res);
    free(x);
    leave();
}

/* ---- an index and its shards ---- */

static void write_shards(void) {
    static double zeros[N * N * C];
    FILE *index = fopen("m/model.safetensors.index.json", "w");
    fputs("{\"metadata\":{},\"weight_map\":{\"head.weight\":\"model-00009-of-00009.safetensors\"", index);
    for (int l = 0; l < LAYERS; l++) {
        char path[80], other[40];
        struct file *f = begin();
        snprintf(other, sizeof other, "layers.%d.other", l);
        snprintf(path, sizeof path, "m/model-%05d-of-00009.safetensors", l + 2);
        add_site(f, DEEPSEEK, 2 * l, "F32");
        add_site(f, DEEPSEEK, 2 * l + 1, "F32");
        add(f, other, "F32", 2, of_head, zeros);
        finish(f, path);
        fprintf(index, ",\"%s\":\"%s\"", other, path + 2);
        for (int b = 0; b < 6; b++)
            fprintf(index, ",\"layers.%d.hc_%s_%s\":\"%s\"", l, b % 2 ? "ffn" : "attn",
                    b / 2 == 0   ? "fn"
                    : b / 2 == 1 ? "base"
                                 : "scale",
                    path + 2);
    }
    fputs("}}", index);
    fclose(index);
}

Test(weights, an_index_reads_the_shards_that_it_needs) {
    make_model();
    enter();
    mkdir("m", 0777);
    write_shards();
    double *res = expected("F32", MHC_V4, 1, NULL, 20);
    GOOD("$M run --study maps --weights m --out a.h5 -q && "
         "$M run --study maps --from m/model.safetensors.index.json --out b.h5 -q");
    expect_gains("a.h5", 0, res, 1);
    expect_gains("b.h5", 0, res, 1);
    GOOD("$M run --study maps --weights m --dry-run");
    cr_expect(strstr(out, "# 6 sites, names of DeepSeek-V4") && strstr(out, "--convention v4") &&
                  strstr(out, "# layers.2.hc_ffn: n 4, C 10, fn F32 [24][40], base F32 [24], scale F32 [3]") &&
                  strstr(out, "# ignored: 3 other tensors, and 1 in shards that were not opened"),
              "%s", out);
    GOOD("mv m/model-00003-of-00009.safetensors kept");
    expect_refusal("$M run --study maps --weights m --out c.h5",
                   "1 of 3 shards that hold what is needed are missing: model-00003-of-00009.safetensors");
    GOOD("rm m/*.json"); /* without the index: every file of the folder */
    GOOD("$M run --study maps --weights m --dry-run");
    cr_expect(strstr(out, "# 4 sites"), "%s", out);
    free(res);
    leave();
}

Test(weights, what_was_ignored_is_said) {
    make_model();
    enter();
    write_model("m.safetensors", HUGGING_FACE, "BF16");
    GOOD("$M run --study maps --weights m.safetensors --dry-run");
    cr_expect(strstr(out, "# ignored: model.hc_head.hc_fn F32 [4][40]") && strstr(out, "ignored: mtp.0.hc_attn_base") &&
                  strstr(out, "# ignored: 3 other tensors, and 0 in shards") && strstr(out, "fn BF16 [24][40]"),
              "%s", out);
    leave();
}

/* ---- bad input ---- */

static void write_header(const char *path, uint64_t length, const char *header, size_t data) {
    FILE *file = fopen(path, "wb");
    for (int k = 0; k < 8; k++)
        fputc((int)(length >> 8 * k & 255), file);
    fputs(header, file);
    for (size_t k = 0; k < data; k++)
        fputc(0, file);
    fclose(file);
}

#define BASE(OFFSETS) "{\"dtype\":\"F32\",\"shape\":[24],\"data_offsets\":[" OFFSETS "]}"
#define NAME "\"layers.0.hc_attn_base\":"

Test(weights, hostile_headers_get_one_line) {
    static const struct {
        const char *header, *says;
    } bad[] = {
        {"{" NAME BASE("0,96") "," NAME BASE("96,192") "}", "duplicate object key"},
        {"{" NAME BASE("0,96") ",\"layers.0.hc_ffn_base\":" BASE("92,188") "}", "overlap"},
        {"{" NAME BASE("0,192") "}", "do not fit its shape"},
        {"{" NAME BASE("960000,960096") "}", "outside the file"},
        {"{" NAME BASE("-96,0") "}", "outside the file"},
        {"{" NAME BASE("96,0") "}", "outside the file"},
        {"{" NAME BASE("0,99999999999999999999") "}", "too big integer"},
        {"{" NAME BASE("0") "}", "no two whole numbers"},
        {"{" NAME BASE("0,1.5") "}", "no two whole numbers"},
        {"{" NAME "{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,96]}}",
         "no list of sizes"},
        {"{" NAME "{\"dtype\":\"F32\",\"shape\":[-24],\"data_offsets\":[0,96]}}", "no list of sizes"},
        {"{" NAME "{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,24],\"data_offsets\":[0,96]}}", "no list of sizes"},
        {"{" NAME "{\"dtype\":7,\"shape\":[24],\"data_offsets\":[0,96]}}", "its dtype"},
        {"{" NAME "7}", "its dtype"},
        {"{" NAME "{\"dtype\":\"F8_E4M3\",\"shape\":[24],\"data_offsets\":[0,24]}}", "its type is F8_E4M3"},
        {"{" NAME "{\"dtype\":\"F32\",\"shape\":[23],\"data_offsets\":[0,92]}}", "no base of 2n + n^2"},
        {"[1,2,3]", "no safetensors"},
        {"{\"a\":", "unexpected token near end of file"},
        {"{}", "no connection among 0 tensors; looked for layers.N.hc_attn_base"},
        {"{\"embed\":" BASE("0,96") "}", "no connection among 1 tensors"},
    };
    char nested[4096];
    enter();
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        const bool object = bad[k].header[0] == '{';
        write_header("bad.safetensors", object ? strlen(bad[k].header) : UINT64_MAX, bad[k].header, 300);
        expect_refusal("$M run --study maps --weights bad.safetensors --out b.h5", bad[k].says);
    }
    memset(nested, '[', sizeof nested - 1);
    nested[sizeof nested - 1] = 0;
    write_header("bad.safetensors", strlen(nested), nested, 0);
    expect_refusal("$M run --study maps --weights bad.safetensors --out b.h5", "bad.safetensors: ");
    write_header("bad.safetensors", (uint64_t)1 << 62, "{}", 0);
    expect_refusal("$M run --study maps --weights bad.safetensors --out b.h5",
                   "its header would have 4611686018427387904");
    write_text("bad.safetensors", "abc");
    expect_refusal("$M run --study maps --weights bad.safetensors --out b.h5", "too short");
    GOOD("mkdir empty");
    expect_refusal("$M run --study maps --weights empty --out b.h5", "no *.safetensors and no *.index.json in it");
    write_text("empty/a.index.json", "{\"weight_map\":{" NAME "\"../bad.safetensors\"}}");
    expect_refusal("$M run --study maps --weights empty --out b.h5", "is no file name");
    write_text("empty/a.index.json", "{\"weight_map\":{\"embed\":\"a.safetensors\"}}");
    expect_refusal("$M run --study maps --weights empty --out b.h5", "no connection among 1 tensors");
    expect_refusal("$M run --study maps --weights nowhere --out b.h5", "nowhere: No such file");
    leave();
}

Test(weights, models_that_cannot_be_composed) {
    static const int64_t base2[] = {8}, fn2[] = {8, 20}, wrong[] = {K, 41};
    make_model();
    enter();
    struct file *f = begin();
    add_site(f, DEEPSEEK, 0, "F32");
    add(f, "layers.0.hc_ffn_base", "F32", 1, base2, base[1]);
    finish(f, "m.safetensors");
    expect_refusal("$M run --study maps --weights m.safetensors --out b.h5",
                   "site layers.0.hc_attn has 4 streams and site layers.0.hc_ffn has 2");
    f = begin();
    add(f, "layers.0.hc_attn_fn", "F32", 2, fn2, fn[0]);
    finish(f, "m.safetensors");
    expect_refusal("$M run --study maps --weights m.safetensors --out b.h5", "site layers.0.hc_attn has no base");
    f = begin();
    add(f, "layers.0.hc_attn_fn", "F32", 2, wrong, fn[0]);
    add(f, "layers.0.hc_attn_base", "F32", 1, of_base, base[0]);
    finish(f, "m.safetensors");
    expect_refusal("$M run --study maps --weights m.safetensors --out b.h5", "is no fn of 24 rows for 4 streams");
    f = begin(); /* the static part alone, as few bytes as can be fetched */
    add(f, "layers.0.hc_attn_base", "F32", 1, of_base, base[0]);
    add(f, "layers.0.hc_ffn_base", "F32", 1, of_base, base[1]);
    finish(f, "m.safetensors");
    GOOD("$M run --study maps --weights m.safetensors --out s.h5 -q");
    expect_refusal("$M run --study maps --weights m.safetensors --states random --out b.h5", "not all sites");
    write_model("m.safetensors", DEEPSEEK, "F32");
    expect_refusal("$M run --study maps --weights m.safetensors --connection kromhc --out b.h5", "are those of mhc");
    expect_refusal("$M run --study propagate --from m.safetensors --out b.h5", "has weights");
    expect_refusal("$M run --study propagate --weights m.safetensors --out b.h5", "has weights");
    expect_refusal("$M run --study maps --weights m.safetensors --depth 5 --out b.h5", "--depth 5");
    expect_refusal("$M run --study maps --weights m.safetensors --order source-destination --out b.h5",
                   "--order is of");
    GOOD("$M run --study propagate --depth 2 --weights hold,regenerate --dry-run");
    leave();
}

/* Bytes of header and length changed here and there, and files cut off: one of the exit codes, and one line. */
Test(weights, damaged_files_are_refused_or_read) {
    static char whole[1 << 20];
    make_model();
    enter();
    write_model("m.safetensors", DEEPSEEK, "F16");
    FILE *file = fopen("m.safetensors", "rb");
    const size_t size = fread(whole, 1, sizeof whole, file);
    fclose(file);
    size_t header = 8;
    for (int k = 0; k < 3; k++)
        header += (size_t)(unsigned char)whole[k] << 8 * k;
    for (uint64_t k = 0; k < 120; k++) {
        char *bad = malloc(size);
        memcpy(bad, whole, size);
        for (uint64_t flip = 0; flip <= k % 4; flip++) {
            const uint64_t bits = mhc_bits(7, (uint32_t)k, 0, flip);
            bad[(k < 16 ? bits % 8 : 8 + (bits >> 8) % (header - 8))] = (char)(bits >> 40);
        }
        write_all("bad.safetensors", bad, k % 5 ? size : (size_t)(mhc_bits(8, 1, 0, k) % size));
        free(bad);
        const int code = sh("$M run --study maps --weights bad.safetensors --states random --tokens 2 --out b.h5 "
                            "--overwrite -q");
        const char *end = strchr(err, '\n');
        cr_expect(code == 0 || (code == 2 && end && !end[1]), "damage %llu: exit %d\n%s", (unsigned long long)k, code,
                  err);
    }
    leave();
}
