/* The rooms of suites/ in their only permitted order: read from the #include lines of the sources. */
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

static void read_file(const char *path) {
    char line[400], target[64];
    const struct room *own = room_of(path + strlen("suites/"));
    FILE *file = fopen(path, "r");
    cr_assert(file && own, "%s: no room of the order", path);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "#include \"suites/%63[^\"]", target) == 1) {
            const struct room *other = room_of(target);
            cr_expect(other && (other == own || other->order < own->order),
                      "%s includes suites/%s, which lies above it", path, target);
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
