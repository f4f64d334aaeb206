/* From the text of a suite to its cases: the parser, and keys that make their case again. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu_ref/library.h"
#include "cpu_ref/philox.h"
#include "suites/case/suite.h"
#include "tests/suite_line.h"

/* The cases of a line as "a b, a b, ..." of two of their options. */
static void expect_cases(const char *text, const char *first, const char *second, const char *want) {
    struct suite s = read_line(text);
    char got[4096] = "", value[PARAM_TEXT_SIZE];
    const char *const names[2] = {first, second};
    for (int64_t k = 0; k < s.count; k++)
        for (int i = 0; i < 2 && names[i]; i++) {
            params_text(&s.cases[k], params_find(names[i]), value, sizeof value);
            size_t used = strlen(got);
            snprintf(got + used, sizeof got - used, "%s%s", !used ? "" : i ? " " : ", ", value);
        }
    cr_expect_str_eq(got, want, "%s:\n  got    %s\n  wanted %s", text, got, want);
    suite_release(&s);
}

Test(parser, lists_and_ranges) {
    expect_cases("--depth 1:4:1", "depth", NULL, "1, 2, 3, 4");
    expect_cases("--depth 8:512:x2", "depth", NULL, "8, 16, 32, 64, 128, 256, 512");
    expect_cases("--depth 8:500:x2", "depth", NULL, "8, 16, 32, 64, 128, 256");
    expect_cases("--depth 1:10:x1.5", "depth", NULL, "1, 2, 3, 5, 8");
    expect_cases("--depth 5:5:1", "depth", NULL, "5");
    expect_cases("--depth 3,1:2:1,7", "depth", NULL, "3, 1, 2, 7");
    expect_cases("--w 0:0.6:0.05", "w", NULL, "0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6");
    expect_cases("--w 0.001:1:x10", "w", NULL, "0.001, 0.01, 0.1, 1");
    expect_cases("--d -4:-1:1", "d", NULL, "-4, -3, -2, -1");
    expect_cases("--d -0.2:0.2:0.1", "d", NULL, "-0.2, -0.1, 0, 0.1, 0.2");
    expect_cases("--d -1,2e3,+5,0x10", "d", NULL, "-1, 2000, 5, 16");
    expect_cases("--depth=2,3", "depth", NULL, "2, 3");
    expect_cases("--study=maps --block hc,mhc", "study", "block", "maps hc, maps mhc");
    expect_cases("--recompute auto,keep,3", "recompute", NULL, "auto, keep, 3");
    expect_cases("--measure gain+logit,mixing+gain", "measure", NULL, "gain+logit, gain+mixing");
    expect_cases("--input a=b,c", "input", NULL, "a=b,c");
    expect_cases("--backend cpu32,./a.so", "backend", NULL, "cpu32, ./a.so");
    expect_cases("--block resnet,hc", "block", "streams", "resnet 1, hc 4");
    expect_cases("--study kernels --operation stack.*,mhc.pre,mhc.p?e", "operation", NULL,
                 "stack.entry, stack.entry_backward, stack.exit, stack.exit_backward, mhc.pre");
    expect_cases("--study kernels --operation mhc.pre,resnet.pre", "operation", "streams", "mhc.pre 4, resnet.pre 1");
    expect_cases("--study kernels --operation resnet.p*e --tokens 1,2", "operation", "tokens",
                 "resnet.pre 1, resnet.pre 2");
}

Test(parser, products_pairs_and_repeats) {
    expect_cases("--depth 1,2 --seed 1:3:1", "depth", "seed", "1 1, 1 2, 1 3, 2 1, 2 2, 2 3");
    expect_cases("--d 0,12 --s 0,6 --zip d,s", "d", "s", "0 0, 12 6");
    expect_cases("--d 0,12 --s 0,6 --seed 1,2 --zip d,s", "d", "seed", "0 1, 0 2, 12 1, 12 2");
    expect_cases("--d 0,12 --seed 1,2 --s 0,6 --zip d,s", "s", "seed", "0 1, 0 2, 6 1, 6 2");
    expect_cases("--d 0,12 --s 0,6 --w 1,2 --alpha 3,4 --zip d,s --zip w,alpha", "s", "alpha", "0 3, 0 4, 6 3, 6 4");
    expect_cases("--d 0,12 --s 0,6 --zip d,s --d 5", "d", "s", "5 0, 5 6"); /* as an override does */
    expect_cases("--depth 2,1 --depth 7,8", "depth", NULL, "7, 8");
    struct suite s = read_line("--depth 2,3,2 --seed 1,1,1");
    cr_expect(s.count == 2 && s.repeated == 7, "%lld cases and %lld repeated, wanted 2 and 7", (long long)s.count,
              (long long)s.repeated);
    suite_release(&s);
}

Test(parser, file_with_set_comments_and_overrides) {
    char path[] = "/tmp/mhcbench-suite-XXXXXX", why[600];
    int file = mkstemp(path);
    const char text[] = "# a comment\n\nset --depth 3 --seed 7\r\n--block hc  --w 0.5 # and another\n"
                        "\tset\t--depth 4\n--block mhc,hc\n--block hc --w 0.5 --depth 3";
    char *overrides[] = {"--study", "maps", "--d=1"};
    struct suite s;
    cr_assert(write(file, text, sizeof text - 1) == sizeof text - 1);
    close(file);
    cr_assert(suite_read(&s, path, overrides, 3, why, sizeof why), "%s", why);
    unlink(path);
    cr_expect_str_eq(s.text,
                     "--study maps --block hc --depth 3 --w 0.5 --seed 7\n" /* HC has no logits for --d */
                     "--study maps --block mhc --depth 4 --d 1 --seed 7\n"
                     "--study maps --block hc --depth 4 --seed 7\n",
                     "got\n%s", s.text);
    cr_expect(s.repeated == 1 && s.lines[0] == 4 && s.lines[1] == 6 && s.lines[2] == 6);
    suite_release(&s);
}

/* The same numbers never stand under two names: HC has no Sinkhorn. */
Test(parser, what_a_block_does_not_use) {
    struct suite s = read_line("--study maps --block hc,mhc --t-max 5,20 --d 1");
    cr_expect_str_eq(s.text,
                     "--study maps --block hc\n"
                     "--study maps --block mhc --t-max 5 --d 1\n"
                     "--study maps --block mhc --d 1\n",
                     "got\n%s", s.text);
    cr_expect(s.repeated == 1 && !s.ignored[0], "%s", s.ignored);
    suite_release(&s);
    s = read_line("--study maps --block hc --t-max 5");
    cr_expect(!strcmp(s.text, "--study maps --block hc\n") &&
                  strstr(s.ignored, "--t-max has no effect in --connection hc"),
              "%s%s", s.text, s.ignored);
    suite_release(&s);
}

static void expect_refused(const char *text, const char *reason) {
    char line[8192], why[600] = "", *words[WORDS];
    struct suite s;
    snprintf(line, sizeof line, "%s", text);
    int count = split(line, words);
    bool good = suite_read(&s, NULL, words, count, why, sizeof why);
    cr_expect(!good, "%s: was accepted", text);
    cr_expect(strstr(why, reason), "%s: said `%s`, wanted `%s`", text, why, reason);
    if (good)
        suite_release(&s);
}

/* `all` is every operation of the reference, but for what others are measured against. */
/* --connection is stored as block; identity HC was operations of its own. */
Test(parser, names_of_old) {
    struct suite s = read_line("--study maps --connection hc,mhc"), old = read_line("--study maps --block hc,mhc");
    cr_expect_str_eq(s.text, old.text);
    suite_release(&s);
    suite_release(&old);
    s = read_line("--study kernels --operation identity.post_pre --map identity");
    cr_expect_str_eq(s.text, "--study kernels --operation mhc.post_pre --map identity\n");
    suite_release(&s);
    s = read_line("--study kernels --operation identity.p*");
    cr_expect(s.count == 4 && strstr(s.text, "--operation mhc.pre --map identity\n"), "%s", s.text);
    suite_release(&s);
}

Test(parser, all_operations) {
    struct suite s = read_line("--study kernels --operation all");
    int64_t want = 0;
    for (const struct mhc_row *const *row = mhc_cpu64.rows; *row; row++)
        if (strncmp((*row)->name, "bench.", 6))
            cr_expect(want < s.count && !strcmp(s.cases[want++].operation, (*row)->name), "%s is missing",
                      (*row)->name);
    cr_expect(s.count == want && want > 30, "%lld operations", (long long)s.count);
    suite_release(&s);
}

Test(parser, refusals) {
    const char *const bad[][2] = {{"--streams 0", "from 1 to 16"},
                                  {"--streams 17", "from 1 to 16"},
                                  {"--t-max 0", "from 1"},
                                  {"--depth 0", "from 1"},
                                  {"--depth 1.5", "whole number"},
                                  {"--depth 99999999999999999999", "whole number"},
                                  {"--depth 0x4", "whole number"},
                                  {"--depth 4x", "whole number"},
                                  {"--d nan", "a number from"},
                                  {"--d inf", "a number from"},
                                  {"--w -1", "a number from"},
                                  {"--d 1e400", "a number from"},
                                  {"--d 1,,2", "an empty value"},
                                  {"--d 1,", "an empty value"},
                                  {"--d=", "an empty value"},
                                  {"--d", "needs a value"},
                                  {"--d --w 1", "needs a value"},
                                  {"--bogus 1", "unknown option --bogus"},
                                  {"d 1", "not an option"},
                                  {"-d 1", "not an option"},
                                  {"--block foo", "one of resnet|hc"},
                                  {"--block MHC", "one of"},
                                  {"--block hc|mhc", "one of"},
                                  {"--measure gain+", "joined by +"},
                                  {"--measure foo", "joined by +"},
                                  {"--d 1:2", "a range is"},
                                  {"--d :2:1", "a range is"},
                                  {"--d -1::1", "a range is"},
                                  {"--d 1:2:", "a range is"},
                                  {"--d 2:1:1", "rising"},
                                  {"--d 1:2:0", "a range is"},
                                  {"--d 1:2:-1", "a range is"},
                                  {"--d 1:2:x1", "a range is"},
                                  {"--d 0:2:x2", "a range is"},
                                  {"--d 1:2:1:1", "a range is"},
                                  {"--d nan:2:1", "a range is"},
                                  {"--d 0:inf:1", "a range is"},
                                  {"--seed 1:2:0.5", "whole numbers"},
                                  {"--seed 0.5:2:1", "whole numbers"},
                                  {"--d 0:1:1e-9", "more than 100000"},
                                  {"--seed 1:100000:1 --depth 1:100:1", "cases on one line"},
                                  {"--d 1,2 --s 1,2,3 --zip d,s", "differ in length"},
                                  {"--d 1,2 --zip d,s", "not an option of this line"},
                                  {"--zip d", "not an option of this line"},
                                  {"--d 1,2 --s 1,2 --w 1,2 --zip d,s --zip s,w", "zipped already"},
                                  {"--input a#b", "no blanks"},
                                  {"--input=--x", "no --"},
                                  {"--backend=", "an empty value"},
                                  {"--input a\x01", "no blanks"},
                                  {"--block resnet --study maps --measure gain", "nothing to measure"},
                                  {"--tokens 5 --sequence 2", "not a multiple"},
                                  {"--recompute 61", "more than --depth"},
                                  {"--recompute 0", "auto or keep"},
                                  {"--study maps --width 8", "no meaning"},
                                  {"--round bf16", "no meaning"}};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        expect_refused(bad[k][0], bad[k][1]);
    char many[4200] = "--d 1:2:0.";
    memset(many + strlen(many), '0', 200);
    strcat(many, "1");
    expect_refused(many, "a range is");
}

/* A value of a parameter drawn over its whole range, as text. */
static void draw_value(const struct param *param, uint32_t number, uint64_t draw, char *text, size_t size) {
    uint64_t bits = mhc_bits(4, number, 0, draw);
    double share = mhc_uniform_of_bits(bits), value = param->least + share * (param->most - param->least);
    int words = 1;
    for (const char *c = param->words; c && *c; c++)
        words += *c == '|';
    if (!strcmp(param->name, "operation")) {
        uint64_t rows = 0;
        while (mhc_cpu64.rows[rows])
            rows++;
        snprintf(text, size, "%s", mhc_cpu64.rows[bits % rows]->name);
    } else if (param->type == PARAM_TEXT)
        snprintf(text, size, "path/%llx=%s.h5", (unsigned long long)bits, strcmp(param->name, "backend") ? "," : "");
    else if (param->type == PARAM_REAL)
        snprintf(text, size, "%.17g", fmax(param->least, bits % 4 ? value : ldexp(value, -(int)(bits % 900))));
    else if (param->type == PARAM_INT && param->words)
        snprintf(text, size, "%s", bits % 3 ? bits % 3 == 1 || words == 1 ? "auto" : "keep" : "1");
    else if (param->type == PARAM_INT)
        snprintf(text, size, "%.0f", fmax(param->least, floor(bits % 2 ? value : exp(share * log(param->most)))));
    else if (param->type == PARAM_FLAGS) {
        struct params p = {0};
        *(int64_t *)((char *)&p + param->offset) = (int64_t)(1 + bits % (((uint64_t)1 << words) - 1));
        params_text(&p, param, text, size);
    } else {
        const char *at = param->words;
        for (uint64_t skip = bits % (uint64_t)words; skip; skip--)
            at = strchr(at, '|') + 1;
        snprintf(text, size, "%.*s", (int)strcspn(at, "|"), at);
    }
}

Test(parser, a_key_makes_its_case_again) {
    int tried = 0;
    for (uint64_t draw = 0; draw < 4500; draw++) {
        struct params p;
        char text[PARAM_TEXT_SIZE], key[2048], why[400];
        params_defaults(&p);
        for (int k = 0; k < params_count; k++) {
            draw_value(&params_table[k], (uint32_t)k, draw, text, sizeof text);
            cr_assert(params_set(&p, &params_table[k], text, why, sizeof why), "%s", why);
        }
        if (params_one_stream(&p))
            p.streams = 1;
        p.from = params_keep(""); /* of a file that there is: test_train_checkpoint.c */
        if (p.study == STUDY_MAPS) {
            p.input = params_keep("");
            p.order = 0;
            p.states = params_keep("static");
        }
        p.sequence = draw % 2 ? 0 : p.tokens;
        struct params standard, want = p;
        params_defaults(&standard);
        for (int k = 0; k < params_count;
             k++) { /* a key leaves out what its study does not have, a suite what the block does not use */
            bool dropped = !strcmp(params_table[k].name, "t-max") || !strcmp(params_table[k].name, "d");
            if (!params_knows(&p, &params_table[k]) || (dropped && !params_matters(&p, &params_table[k])))
                memcpy((char *)&want + params_table[k].offset, (char *)&standard + params_table[k].offset, 8);
        }
        if (!params_check(&p, why, sizeof why))
            continue;
        params_key(&p, key, sizeof key);
        struct suite s = read_line(key);
        cr_assert(s.count == 1, "%lld cases of %s", (long long)s.count, key);
        for (int k = 0; k < params_count; k++) {
            const struct param *param = &params_table[k];
            const void *a = (char *)&want + param->offset, *b = (char *)&s.cases[0] + param->offset;
            cr_assert(!memcmp(a, b, 8), "--%s comes back different from %s", param->name, key);
        }
        suite_release(&s);
        tried++;
    }
    cr_assert(tried > 2000, "only %d keys tried", tried);
}
