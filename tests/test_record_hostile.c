/* The HDF5 record: no file can hurt the reader, and every refusal says in one line what is wrong with what. */
#include "tests/record_expect.h"

#include <hdf5.h>
#include <sys/resource.h>
#include <sys/wait.h>

TestSuite(record_hostile, .init = enter, .fini = leave, .timeout = 1800);

#ifdef __SANITIZE_ADDRESS__
/* What HDF5 does inside itself with a damaged file is not held against the reader, as without the sanitizer. */
__attribute__((visibility("default"))) const char *__asan_default_suppressions(void);
const char *__asan_default_suppressions(void) {
    return "interceptor_via_lib:libhdf5\n";
}
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}
#endif

/* Opens the file, reads everything a reader can ask for and exports it. */
static void read_everything(const char *path) {
    struct record_reader *r = record_open(path);
    if (!r)
        return;
    double *panel = malloc(sizeof(double) * PANEL * RECORD_MAX_STREAMS * RECORD_MAX_STREAMS), scale[PANEL];
    for (int64_t i = 0; i < record_count(r); i++) {
        record_panels(r, i, record_panel_streams(r, i), panel, scale);
        const int64_t *layers = record_ints(r, "layers"), n = record_spectrum_streams(r, i);
        double *spectrum = malloc(sizeof(double) * (size_t)((layers ? layers[i] : 0) * n + 1));
        record_spectrum(r, i, n, spectrum);
        free(spectrum);
        const int64_t rows = record_mixing_rows(r, i);
        double *mixing = malloc(sizeof(double) * (size_t)(rows * rows + 1));
        int64_t stride;
        record_mixing(r, i, rows, mixing, &stride);
        free(mixing);
    }
    free(panel);
    static const char *const what[] = {"cases", "curves", "samples"};
    for (int k = 0; k < 3; k++) {
        record_export_csv(r, what[k], "/dev/null");
        record_export_json(r, what[k], "/dev/null");
    }
    record_close(r);
}

/* Reads in a process of its own. What that process dies of is reported, unless it died inside HDF5: a signal raised
 * there is the business of the worker that reads files for the program. */
static void survive(const char *path, const char *how, int *inside_hdf5) {
    const pid_t child = fork();
    if (child == 0) {
#ifndef __SANITIZE_ADDRESS__ /* which reserves more for itself */
        const struct rlimit memory = {(rlim_t)4 << 30, (rlim_t)4 << 30};
        setrlimit(RLIMIT_DATA, &memory);
#endif
        alarm(20);
        read_everything(path);
        _exit(*record_error() || !strchr(record_error(), '\n') ? 0 : 3);
    }
    int status;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "%s: signal %d\n", how, WTERMSIG(status));
        ++*inside_hdf5;
    } else {
        cr_expect(WEXITSTATUS(status) == 0, "%s: exit %d", how, WEXITSTATUS(status));
    }
}

Test(record_hostile, fuzz) {
    enum { CUTS = 200, FLIPS = 500 };
    write_file("a.h5", 0, 9, 7, "suite");
    size_t size;
    char *bytes = slurp("a.h5", &size), how[100];
    int inside_hdf5 = 0;
    for (int i = 0; i < CUTS; i++) {
        const size_t length = size * (size_t)i / CUTS;
        snprintf(how, sizeof how, "cut to %zu of %zu bytes", length, size);
        spit("f.h5", bytes, length);
        survive("f.h5", how, &inside_hdf5);
    }
    uint64_t state = 42; /* MMIX's generator, so that every run tries the same files */
    for (int i = 0; i < FLIPS; i++) {
        char *copy = malloc(size);
        memcpy(copy, bytes, size);
        for (int k = 0; k < 1 + i % 8; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            size_t at = (size_t)(state >> 16) % size;
            if (i % 2) /* most of the file is chunks; half of the trials aim at what is not zero */
                for (size_t step = 0; step < size && !copy[at]; step++)
                    at = (at + 1) % size;
            copy[at] = (char)(state >> 8);
        }
        snprintf(how, sizeof how, "flip %d", i);
        spit("f.h5", copy, size);
        survive("f.h5", how, &inside_hdf5);
        free(copy);
    }
    free(bytes);
    cr_expect(inside_hdf5 <= FLIPS / 50, "%d of %d damaged files ended the reader by a signal", inside_hdf5,
              FLIPS + CUTS);
}

/* The good file a.h5, of nine cases, and a copy of it that is open for tampering. */
static hid_t tamper(void) {
    static char *bytes;
    static size_t size;
    if (!bytes) {
        write_file("a.h5", 0, 9, 7, "suite");
        bytes = slurp("a.h5", &size);
    }
    spit("h.h5", bytes, size);
    return H5Fopen("h.h5", H5F_ACC_RDWR, H5P_DEFAULT);
}

static void replace_dataset(hid_t file, const char *path, hid_t type, int rank, const hsize_t *extent,
                            const hsize_t *chunk, hid_t creation) {
    hid_t properties = creation >= 0 ? creation : H5Pcreate(H5P_DATASET_CREATE),
          space = H5Screate_simple(rank, extent, NULL);
    if (chunk)
        H5Pset_chunk(properties, rank, chunk);
    H5Ldelete(file, path, H5P_DEFAULT);
    hid_t dataset = H5Dcreate2(file, path, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    cr_assert(dataset >= 0, "%s", path);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(properties);
}

static void set_text(hid_t file, const char *name, const char *value) {
    H5Adelete(file, name);
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, strlen(value));
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    cr_assert(attribute >= 0 && H5Awrite(attribute, type, value) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static void expect_opened(void) {
    struct record_reader *r = record_open("h.h5");
    cr_expect(r, "%s", record_error());
    record_close(r);
}

static void expect_refused(const char *want) {
    struct record_reader *r = record_open("h.h5");
    cr_expect(!r, "`%s` was not refused", want);
    if (!r)
        expect_error(want);
    record_close(r);
}

Test(record_hostile, no_record) {
    unlink("h.h5");
    expect_refused("h.h5: No such file or directory");
    spit("h.h5", "plain text", 10);
    expect_refused("h.h5: no HDF5 file");
    cr_expect(!record_open("."));
    expect_error(".: no regular file");
    write_file("a.h5", 0, 9, 7, "suite");
    size_t size;
    char *bytes = slurp("a.h5", &size);
    spit("h.h5", bytes, size / 2);
    free(bytes);
    expect_refused("h.h5: truncated or damaged");
}

static void expect_schema_refused(const char *schema, const char *want) {
    hid_t file = tamper();
    set_text(file, "schema", schema);
    H5Fclose(file);
    expect_refused(want);
}

static void expect_needed(const char *path, const char *want) {
    hid_t file = tamper();
    cr_assert(H5Ldelete(file, path, H5P_DEFAULT) >= 0);
    H5Fclose(file);
    expect_refused(want);
}

Test(record_hostile, versions_and_what_is_absent) {
    expect_schema_refused("mhcbench/2.0", "h.h5: schema mhcbench/2.0: this program reads mhcbench/1.x");
    expect_schema_refused("nonsense\n\033[2J", "h.h5: schema nonsense??[2J: this program");
    hid_t file = tamper();
    H5Adelete(file, "schema");
    H5Fclose(file);
    expect_refused("h.h5: no record of mhcbench");
    file = tamper();
    H5Adelete(file, "status");
    H5Fclose(file);
    expect_refused("h.h5: no attribute status");
    expect_needed("cases", "h.h5: cases: absent");
    expect_needed("cases/layers", "h.h5: cases/layers: absent");
    expect_needed("timing/subject", "h.h5: timing/subject: absent");
}

/* Another dataset in the place of a good one; `want` NULL: it is as good. `creation` may be -1. */
static void expect_replaced(const char *path, hid_t type, int rank, const hsize_t *extent, const hsize_t *chunk,
                            hid_t creation, const char *want) {
    hid_t file = tamper();
    replace_dataset(file, path, type, rank, extent, chunk, creation);
    H5Fclose(file);
    if (want)
        expect_refused(want);
    else
        expect_opened();
}

/* Text of any length. */
static hid_t variable_text(void) {
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    return type;
}

Test(record_hostile, types_and_extents) {
    const hid_t real = H5T_IEEE_F64LE, integer = H5T_STD_I64LE, text = variable_text();
    const hsize_t nine = 9, three = 3, huge = (hsize_t)1 << 40, square[] = {9, 9}, wide[] = {9, 3},
                  vast[] = {9, (hsize_t)1 << 33}, broad[] = {9, 60000}, narrow[] = {9, 1, 5};
    const hsize_t one[] = {1, 1}, big[] = {1, 60000}, most[] = {1 << 28};
    expect_replaced("cases/key", integer, 1, &nine, NULL, -1, "h.h5: cases/key: wrong type");
    expect_replaced("cases/key", text, 1, &nine, NULL, -1, "h.h5: cases/key: wrong type");
    expect_replaced("cases/status", H5T_STD_I8LE, 1, &nine, NULL, -1, "h.h5: cases/status: wrong type");
    expect_replaced("cases/seconds", real, 2, square, NULL, -1, "h.h5: cases/seconds: wrong number of dimensions");
    expect_replaced("cases/gain", real, 1, &three, NULL, -1, "h.h5: cases/gain: fewer rows than cases");
    expect_replaced("summary/peak", real, 1, &huge, &three, -1, NULL); /* rows beyond the cases are never read */
    expect_replaced("curves/rare", real, 2, wide, NULL, -1, "h.h5: curves/rare: 3 layers wide, case 0 has 7");
    expect_replaced("curves/rare", real, 2, vast, one, -1, "h.h5: curves/rare: impossible extent");
    expect_replaced("cases/width", integer, 1, &huge, most, -1, "h.h5: cases/width: chunks too large");
    expect_replaced("curves/rare", real, 2, broad, big, -1, NULL);
    expect_replaced("panels/composite", real, 2, wide, NULL, -1, "h.h5: panels/composite: wrong number of dimensions");
    expect_replaced("timing/seconds", real, 3, narrow, NULL, -1,
                    "h.h5: timing/seconds: the extents do not fit together");
    expect_replaced("timing/batch", real, 2, wide, NULL, -1, "h.h5: timing/batch: wrong type");
    H5Tclose(text);
}

Test(record_hostile, data_elsewhere) {
    const hsize_t nine = 9, three = 3;
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(creation, "/etc/passwd", 0, 72);
    expect_replaced("cases/gain", H5T_IEEE_F64LE, 1, &nine, NULL, creation, "h.h5: cases/gain: data in another file");
    creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_filter(creation, 32001, H5Z_FLAG_OPTIONAL, 0, NULL);
    expect_replaced("cases/gain", H5T_IEEE_F64LE, 1, &nine, &three, creation,
                    "h.h5: cases/gain: a filter other than deflate");
    hid_t file = tamper();
    H5Ldelete(file, "cases/seconds", H5P_DEFAULT);
    H5Lcreate_external("a.h5", "/cases/seconds", file, "cases/seconds", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    expect_refused("h.h5: cases/seconds: a link, not a dataset");
    file = tamper();
    H5Ldelete(file, "curves", H5P_DEFAULT);
    H5Lcreate_soft("/curves", file, "curves", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    expect_refused("h.h5: curves: a link, not a group");
}

/* What a later minor version may add is ignored: groups, cycles of them, datasets of other ranks and types, links. */
Test(record_hostile, later_versions_and_archived_copies) {
    const hsize_t nine = 9, square[] = {9, 9};
    const hid_t text = variable_text();
    hid_t file = tamper();
    set_text(file, "schema", "mhcbench/1.7");
    H5Fclose(file);
    check_file("h.h5", 0, 9, 7);
    file = tamper();
    H5Lcreate_hard(file, "/", file, "cases/cycle", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "/cases", file, "curves/cycle", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("a.h5", "/", file, "summary/elsewhere", H5P_DEFAULT, H5P_DEFAULT);
    replace_dataset(file, "cases/extra", H5T_IEEE_F64LE, 2, square, NULL, -1);
    replace_dataset(file, "curves/extra", text, 2, square, NULL, -1);
    replace_dataset(file, "extra", H5T_STD_REF_OBJ, 1, &nine, NULL, -1);
    H5Fclose(file);
    H5Tclose(text);
    check_file("h.h5", 0, 9, 7);
    if (!system("command -v h5repack >/dev/null")) { /* an archived copy is a record like any other */
        cr_expect(!system("h5repack -f SHUF -f GZIP=4 a.h5 packed.h5"));
        check_file("packed.h5", 0, 9, 7);
    }
}

static void write_counts(const char *path, const int64_t counts[9]) {
    hid_t file = tamper(), dataset = H5Dopen2(file, path, H5P_DEFAULT);
    cr_assert(H5Dwrite(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, counts) >= 0);
    H5Dclose(dataset);
    H5Fclose(file);
}

/* Numbers of streams, rounds and layers that no dataset has room for. */
Test(record_hostile, wrong_counts) {
    const int64_t counts[9] = {-1, 99, 3, 3, 3, 3, 3, 3, 3}, layers[9] = {7, 6, 5, INT64_MAX, 6, 5, 7, 6, 5};
    int inside_hdf5 = 0;
    write_counts("panels/streams", counts);
    survive("h.h5", "wrong streams", &inside_hdf5);
    write_counts("timing/rounds", counts); /* of 5 */
    survive("h.h5", "wrong rounds", &inside_hdf5);
    write_counts("cases/layers", layers);
    expect_refused("h.h5: cases/layers: case 3 has 9223372036854775807 layers");
    cr_expect(inside_hdf5 == 0);
}

/* Where two records are read in turns, the one that is read at the moment is named. */
Test(record_hostile, tells_which_file_is_read) {
    char reading[64] = "";
    write_file("a.h5", 0, 3, 7, "suite");
    write_file("b.h5", 3, 3, 7, "suite");
    record_tell_reading(reading, sizeof reading);
    struct record_reader *a = record_open("a.h5"), *b = record_open("b.h5");
    cr_assert(a && b && !strcmp(reading, "b.h5"), "%s", reading);
    cr_expect(record_texts(a, "input") && !strcmp(reading, "a.h5"), "%s", reading);
    cr_expect(record_curve_of(b, "zeta", 0) && !strcmp(reading, "b.h5"), "%s", reading);
    record_close(a);
    record_close(b);
    record_tell_reading(NULL, 0);
}
