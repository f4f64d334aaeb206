/* The rooms of suites/ in their only permitted order, and no circle of files: read from the #include lines of the
 * sources. */
#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

/* A file may include its own room and every room of a smaller number. */
static const struct room {
    const char *name;
    int order;
} rooms[] = {{"case", 0},  {"worker", 0}, {"rows", 1}, {"stack", 2},  {"timing", 2},
             {"study", 3}, {"verify", 4}, {"gate", 4}, {"report", 4}, {"command", 5}};

static const struct room *room_of(const char *path) {
    for (size_t k = 0; k < sizeof rooms / sizeof *rooms; k++)
        if (!strncmp(path, rooms[k].name, strlen(rooms[k].name)) && path[strlen(rooms[k].name)] == '/')
            return &rooms[k];
    return NULL;
}

/* A module is a .c and its .h: "rows/backend". */
enum { MODULES = 200, NAME = 64 };
static char module[MODULES][NAME];
static bool includes[MODULES][MODULES];
static int modules;

static int module_of(const char *path) {
    char name[NAME];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(path, "."), path);
    for (int k = 0; k < modules; k++)
        if (!strcmp(module[k], name))
            return k;
    cr_assert_lt(modules, MODULES);
    strcpy(module[modules], name);
    return modules++;
}

static void read_file(const char *path) {
    char line[400], target[NAME];
    const struct room *own = room_of(path + strlen("suites/"));
    FILE *file = fopen(path, "r");
    cr_assert(file && own, "%s: no room of the order", path);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "#include \"suites/%63[^\"]", target) == 1) {
            const struct room *other = room_of(target);
            cr_expect(other && (other == own || other->order < own->order),
                      "%s includes suites/%s, which lies above it", path, target);
            int from = module_of(path + strlen("suites/")), to = module_of(target);
            includes[from][to] |= from != to;
        }
    fclose(file);
}

static void read_sources(void) {
    glob_t files;
    cr_assert(!glob("suites/*/*.[ch]", 0, NULL, &files));
    cr_assert_gt(files.gl_pathc, 50);
    for (size_t k = 0; k < files.gl_pathc; k++)
        read_file(files.gl_pathv[k]);
    globfree(&files);
}

Test(rooms, a_file_includes_its_own_room_and_those_below) {
    read_sources();
}

/* Modules that include only what is out of the game leave it; what stays is a circle or leans on one. */
Test(rooms, no_circle_of_files) {
    bool out[MODULES] = {0};
    read_sources();
    for (bool moved = true; moved;) {
        moved = false;
        for (int k = 0; k < modules; k++) {
            bool leaf = !out[k];
            for (int other = 0; other < modules; other++)
                leaf &= !includes[k][other] || out[other];
            moved |= leaf;
            out[k] |= leaf;
        }
    }
    for (int k = 0; k < modules; k++)
        for (int other = 0; other < modules && !out[k]; other++)
            cr_expect(!includes[k][other] || out[other], "%s -> %s lies on a circle, or leads to one", module[k],
                      module[other]);
}
