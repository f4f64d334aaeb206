/* What ptxas makes of the kernels is what kernels/sass.txt says. The test needs nvcc. */
#include "tests/command.h"

TestSuite(sass, .init = enter, .fini = leave, .timeout = 600);

Test(sass, is_that_of_the_table) {
    find_build();
    int code = sh("PATH=$PATH:/usr/local/cuda/bin sh $R/tests/tools/sass_table.sh $B $R/kernels/sass.txt");
    if (code == 77)
        cr_skip("%s", out);
    cr_expect(code == 0, "exit %d; `make sass-table` says what to do\n%.8000s%s", code, out, err);
}

/* An instruction as cuobjdump prints it; `control`: stall count, scoreboard set, scoreboards waited for. */
static size_t put(char *text, size_t used, int address, const char *instruction, int stall, int sets, int waits) {
    unsigned long long control = (unsigned long long)(stall | sets << 5 | 7 << 8 | waits << 11) << 41;
    return used + (size_t)sprintf(text + used, "        /*%04x*/   %s ;   /* 0x%016llx */\n      /* 0x%016llx */\n",
                                  address, instruction, 0x1ULL, control);
}

/* A loop of 16 instructions, one of them a local load, and 11 moves; a load of 16 bytes is waited for. */
static void write_listing(const char *path, int moves) {
    static char text[1 << 14];
    size_t used = (size_t)sprintf(text, " Function f:\n  REG:20 STACK:8 SHARED:0\n\t\tFunction : f\n");
    int at = 0;
    used = put(text, used, at, "MOV R1, R2", 2, 7, 0);
    used = put(text, used, at += 16, "@P0 LDG.E.128 R4, [R2.64]", 1, 0, 0);
    used = put(text, used, at += 16, "LDL R3, [R1]", 1, 1, 0);
    used = put(text, used, at += 16, "STG.E.64 [R2.64], R4", 5, 7, 1);
    for (int k = 0; k < moves; k++)
        used = put(text, used, at += 16, "IMAD.MOV.U32 R5, RZ, RZ, R6", 2, 7, 0);
    used = put(text, used, at += 16, "MEMBAR.ALL.GPU", 1, 7, 0);
    used = put(text, used, at += 16, "@P1 BRA 0x10", 5, 7, 0);
    used = put(text, used, at += 16, "EXIT", 5, 7, 0);
    write_text(path, text);
}

Test(sass, figures_of_a_listing_and_what_moved) {
    find_build();
    write_listing("one", 11);
    GOOD("$B/sass_table <one >one.txt && grep -v '^#' one.txt");
    /* 18 instructions, 12 of them moves; a turn waits 300 cycles for the load, then 5 + 22 + 1 + 5 */
    cr_expect_str_eq(out, "20 8 18 667 1 1 1 1 0 1 0 0 0 1 0 1 333 333 f\n");
    write_listing("two", 12);
    GOOD("$B/sass_table <two >two.txt");
    int code = sh("$B/sass_table two.txt one.txt");
    cr_expect(code == 1 && strstr(out, "f: instructions 18 -> 19\n") &&
                  strstr(out, "f: cycles of a turn of the longest loop 333 -> 335\n"),
              "exit %d\n%s%s", code, out, err);
    GOOD("$B/sass_table one.txt one.txt");
    cr_expect(sh("echo nothing | $B/sass_table") == 2, "%s", out);
}
