#include "suites/commands.h"

int plot_command(int argc, char **argv) {
    (void)argc, (void)argv;
    return cannot("plot: being written");
}
