/* Backend model:GPU: its bytes are those that the emulator counts; every table, figure, headline and record of it says
 * MODEL; `compare` judges nothing by it. */
#include "tests/command.h"

#include "suites/case/suite.h"
#include "suites/rows/gpu_model.h"
#include "suites/stack/ensemble.h"

#include "cpu_ref/library.h"

TestSuite(gpu_model, .init = enter, .fini = leave, .timeout = 1800);

/* ---- against the counts ---- */

/* Bytes of the parameters, their gradients and what else does not grow with the tokens. */
static double fixed_bytes(const struct mhc_row *row, const struct mhc_case *c) {
    double bytes = 0;
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        bytes += arg->role == MHC_PARAM ? (double)mhc_arg_bytes(c, arg) : 0;
    return bytes;
}

/* Coefficients of the connection, which kernels of several steps hand on. */
static double token_bytes(const struct mhc_case *c) {
    return (double)(c->T * mhc_type_bytes(c->coef) * (2 * c->n + c->n * c->n));
}

/* A line of counts.txt: "mhc.pre#2 --width 256 ..."; `first`: not the second form of its name. */
static const struct mhc_row *row_of(const char *line, struct mhc_case *c, bool *first) {
    char text[300], name[80], why[300];
    struct suite s;
    sscanf(line, "%79[^ #]", name);
    snprintf(text, sizeof text, "--study kernels --operation %s %s\n", strstr(name, "-micro.") ? "mhc.pre" : name,
             strchr(line, ' '));
    write_text("line.suite", text);
    *first = !strchr(line, '#');
    cr_assert(suite_read(&s, "line.suite", NULL, 0, why, sizeof why), "%s", why);
    *c = ensemble_case(&s.cases[0]);
    c->stream = s.cases[0].type == 3 ? MHC_BF16 : MHC_F32;
    c->coef = c->param = MHC_F32;
    suite_release(&s);
    /* the contract of the rows of single arrows is that of the fused ones */
    char *micro = strstr(name, "-micro.");
    if (micro)
        memmove(micro, micro + 6, strlen(micro + 6) + 1);
    return mhc_row_find(&mhc_cpu64, name);
}

Test(gpu_model, moves_what_is_counted) {
    char line[300] = "", path[PATH_MAX + 40];
    int compared = 0;
    snprintf(path, sizeof path, "%s/kernels/counts.txt", root);
    FILE *file = fopen(path, "r");
    cr_assert(file);
    for (char next[300]; fgets(next, sizeof next, file); strcpy(line, next)) {
        double contract, touched, moved;
        struct mhc_case c;
        bool first;
        struct gpu gpu = {.bandwidth = 1, .tensor_flops = 1, .plain_flops = 1};
        if (sscanf(next, "  bytes %lf %lf %lf", &contract, &touched, &moved) != 3 || !strstr(line, "hc") ||
            !strstr(line, "--type bf16"))
            continue;
        const struct mhc_row *row = row_of(line, &c, &first);
        cr_assert(row, "%s", line);
        struct mhc_row own = *row;
        char name[80];
        sscanf(line, "%79[^ #]", name);
        own.name = name;
        gpu.clusters = first;
        struct gpu_cost cost;
        cr_assert(gpu_model_cost(&gpu, &own, &c, &cost), "%s", line);
        double slack = 12 * fixed_bytes(row, &c) + 12 * token_bytes(&c);
        cr_expect(cost.bytes <= 1.001 * moved && moved - cost.bytes <= slack,
                  "%s: the model moves %.0f bytes, counted are %.0f, parameters and coefficients allow %.0f", line,
                  cost.bytes, moved, slack);
        compared++;
    }
    fclose(file);
    cr_expect(compared > 30, "%d rows", compared);
}

/* An operation's time is what the formula says. */
Test(gpu_model, time_is_bytes_or_flops) {
    const struct gpu *h200 = gpu_models;
    const struct mhc_case c = {.T = 4096,
                               .n = 4,
                               .C = 2560,
                               .hidden = 2560,
                               .t_max = 20,
                               .stream = MHC_BF16,
                               .coef = MHC_F32,
                               .param = MHC_F32};
    struct gpu_cost cost;
    cr_assert(gpu_model_cost(h200, mhc_row_find(&mhc_cpu64, "mhc.post"), &c, &cost));
    double wide = 2.0 * 4096 * 2560, bytes = 9 * wide + 4096 * 4 * (4 + 16.0);
    cr_expect(fabs(cost.seconds - (0.9e-6 + bytes / (4.8e12 * 0.84))) < 1e-12, "%g", cost.seconds);
    cr_assert(gpu_model_cost(h200, mhc_row_find(&mhc_cpu64, "gemm.forward"), &c, &cost));
    cr_expect(fabs(cost.seconds - (0.9e-6 + 2.0 * 4096 * 2560 * 2560 / (989e12 * 0.70))) < 1e-12, "%g", cost.seconds);
}

/* ---- what is made of it ---- */

/* Lines of `out` that begin with a word, and how many of them lack MODEL. */
static int rows_without(const char *word, int *rows) {
    int without = 0;
    *rows = 0;
    for (const char *at = out; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
        if (!strncmp(at, word, strlen(word))) {
            char line[400];
            snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
            ++*rows;
            without += !strstr(line, "MODEL");
        }
    return without;
}

#define STEP                                                                                                  \
    "--study overhead --backend model:h200 --type bf16 --tokens 4096 --width 2560 --heads 20 --head-dim 128 " \
    "--hidden 6912 --depth 4 --graphs on"

Test(gpu_model, overhead_says_so_everywhere) {
    int rows;
    GOOD("$M run " STEP " --out o.h5 -q && $M show o.h5");
    cr_expect(!rows_without("mhc-", &rows) && rows == 2, "%d rows\n%s", rows, out);
    cr_expect(!rows_without("mhc ", &rows) && rows == 1, "%d rows\n%s", rows, out);
    cr_expect(!rows_without("residual", &rows) && rows == 1, "%s", out);
    cr_expect(strstr(out, "MODEL: these times are computed"), "%s", out);
    GOOD("$M show o.h5 --account");
    cr_expect(!rows_without("  mhc", &rows) && rows > 10, "%d\n%s", rows, out);
    GOOD("$M show o.h5 --headline");
    cr_expect(strstr(out, "\nMODEL: by bytes") && strstr(out, "would cost") && strstr(out, "Nothing was run") &&
                  strstr(out, "one pass"),
              "%s", out);
    cr_expect(strstr(out, "One GPU, no pipeline"), "%s", out);
    cr_expect(strstr(out, ", in bf16."), "%s", out);
    GOOD("$M export o.h5");
    cr_expect(strstr(out, "MODEL: its times are computed"), "%.3000s", out);
    GOOD("$M plot o.h5 --out . --format svg --figure overhead && cat data/overhead.gp overhead.svg");
    cr_expect(strstr(out, "MODEL = 1") && strstr(out, ">MODEL<") && strstr(out, "nothing was run or"), "%.3000s", out);
    GOOD("$M report o.h5 --out o.html && grep -c MODEL o.html");
    GOOD("$M show o.h5 --format csv | grep '^mhc,' | grep MODEL");
}

Test(gpu_model, kernels_and_recompute_say_so) {
    int rows;
    GOOD("$M run --study kernels --backend model:a100 --type bf16 --tokens 4096 --width 2560 --operation "
         "mhc.pre,mhc.post,gemm.forward --out k.h5 -q && $M show k.h5");
    cr_expect(!rows_without("mhc.pre  ", &rows) && rows == 1, "%s", out);
    cr_expect(!strstr(out, " err/tol "), "a model has no error:\n%s", out);
    GOOD("$M show k.h5 --headline");
    cr_expect(strstr(out, "MODEL of a100"), "%s", out);
    GOOD("$M run --study recompute --backend model:4090 --type bf16 --tokens 64 --width 64 --depth 4 "
         "--recompute keep,1,2,4 --out r.h5 -q && $M show r.h5");
    cr_expect(!rows_without("     1", &rows) && rows == 1, "%s", out);
    GOOD("$M show r.h5 --headline");
    cr_expect(strstr(out, "by MODEL"), "%s", out);
}

/* A GPU without clusters takes two passes, and has no form across layers. */
Test(gpu_model, falls_back_where_there_are_no_clusters) {
    GOOD("$M run --study overhead --backend model:a100 --type bf16 --tokens 64 --width 64 --heads 1 --head-dim 64 "
         "--hidden 64 --depth 2 --out a.h5 -q && $M show a.h5 --headline");
    cr_expect(strstr(out, "two passes over x") && strstr(out, "mhc-layers   - mhc.post_pre: the backend has no such"),
              "%s", out);
}

/* In float32 so does a GPU that has them: its headline names the kernels whose time it counts, and the type. */
Test(gpu_model, falls_back_in_float32) {
    GOOD("$M run --study overhead --backend model:h200 --tokens 64 --width 64 --heads 1 --head-dim 64 --hidden 64 "
         "--depth 2 --out f.h5 -q && $M show f.h5 --headline");
    cr_expect(strstr(out, ", two passes over x.") && !strstr(out, "one pass."), "%s", out);
    cr_expect(strstr(out, "in float32.") && strstr(out, "training in bf16 on a"), "%s", out);
    GOOD("$M show f.h5 --account");
    cr_expect(strstr(out, "mhc: two passes over x") && !strstr(out, "mhc: one pass"), "%s", out);
}

Test(gpu_model, stands_beside_a_measured_record) {
#define SMALL "--study overhead --type bf16 --tokens 4 --width 16 --heads 1 --head-dim 16 --hidden 16 --depth 2 "
    GOOD("$M run " SMALL "--backend model:h200 --out a.h5 -q && $M run " SMALL
         "--backend emu --rounds 6 --budget 5 --out b.h5 -q && $M compare a.h5 b.h5");
    cr_expect(strstr(out, "MODEL of h200, base") && strstr(out, "measured on emu, new") &&
                  strstr(out, "\nmhc overhead") && strstr(out, "["),
              "%s", out);
    GOOD("$M compare b.h5 a.h5");
    cr_expect(strstr(out, "measured on emu, base") && strstr(out, "MODEL of h200, new"), "%s", out);
}

/* The error against others' figures is printed, whatever it is. */
Test(gpu_model, says_its_error) {
    GOOD("$M doctor --backend model:h200");
    cr_expect(strstr(out, "Error against published figures") && strstr(out, "mhc_bench") && strstr(out, "Megatron") &&
                  strstr(out, "FlagGems") && strstr(out, "data sheet"),
              "%s", out);
    printf("%s", strstr(out, "Error against"));
}

Test(gpu_model, is_refused_where_numbers_are_asked_for) {
    expect_refusal("$M check model:h200", "computes no numbers");
    expect_refusal("$M verify $R/tests/vectors/public.h5 --backend model:h200", "computes no numbers");
    expect_refusal("$M run --study propagate --backend model:h200 --out p.h5", "needs a backend that computes");
    expect_refusal("$M doctor --backend model:h300", "models are of h200, h100, a100, b200, 4090");
    expect_refusal("$M run " STEP " --overlap on --out p.h5", "one queue only");
}
