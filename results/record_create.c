/* Starting and resuming a record. The new file is laid out beside PATH.part and renamed to it once it is whole, so that
 * a PATH.part can always be read; an earlier one is copied, not continued in place, because the free space of a file
 * whose writer was killed is not to be trusted. */
#include "results/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NEW_SUFFIX ".new"

static bool check_name(const char *what, const char *name, bool reserved) {
    return (name && *name && strlen(name) <= RECORD_MAX_NAME && !strchr(name, '/') && strcmp(name, ".") && !reserved) ||
           record_fail("schema: %s %s: not a usable name", what, name ? name : "(null)");
}

static bool check_list(const struct record_schema *s, enum record_list list) {
    for (int i = 0; i < schema_count(s, list); i++) {
        const char *name = schema_item(s, list, i).name;
        if (!check_name(list_info[list].what, name, name && group_reserves(list_info[list].group, name)))
            return false;
    }
    return true;
}

static bool check_schema(const struct record_schema *s) {
    if (s->layers < 0 || s->layers > RECORD_MAX_LAYERS)
        return record_fail("schema: %lld layers: 0 to %d are possible", (long long)s->layers, RECORD_MAX_LAYERS);
    if (s->streams < 0 || s->streams > RECORD_MAX_STREAMS)
        return record_fail("schema: %lld streams: 0 to %d are possible", (long long)s->streams, RECORD_MAX_STREAMS);
    if (s->subject_count < 0 || s->subject_count > RECORD_MAX_SUBJECTS ||
        (s->subject_count > 0 && (s->rounds < 1 || s->rounds > RECORD_MAX_ROUNDS)))
        return record_fail("schema: %d subjects of %lld rounds: at most %d of 1 to %d are possible", s->subject_count,
                           (long long)s->rounds, RECORD_MAX_SUBJECTS, RECORD_MAX_ROUNDS);
    if (s->points < 0 || s->points > RECORD_MAX_POINTS ||
        (s->points > 0 && (s->metric_count < 1 || s->metric_count > RECORD_MAX_METRICS || s->layers < 1)))
        return record_fail("schema: %lld points of training with %d curves: at most %d of 1 to %d are possible",
                           (long long)s->points, s->metric_count, RECORD_MAX_POINTS, RECORD_MAX_METRICS);
    if (s->timing_count > 0 && s->subject_count == 0)
        return record_fail("schema: timings without subjects");
    if (s->cases < 0)
        return record_fail("schema: %lld cases", (long long)s->cases);
    if (s->curve_count > 0 && s->layers == 0)
        return record_fail("schema: curves without layers");
    for (int i = 0; i < s->fact_count; i++)
        if (!s->facts[i].name || !*s->facts[i].name || !s->facts[i].value)
            return record_fail("schema: fact %d has no name or no value", i);
    for (int list = 0; list < RECORD_LISTS; list++)
        if (!check_list(s, (enum record_list)list))
            return false;
    for (int i = 0; i < s->subject_count; i++)
        if (!check_name("subject", s->subjects[i], false))
            return false;
    for (int i = 0; i < s->metric_count; i++)
        if (!check_name("metric", s->metrics[i], false))
            return false;
    return true;
}

/* Is there such a file, and may it be replaced? */
static bool check_target(const char *path, bool replace, const char *remedy, bool *there) {
    struct stat status;
    *there = !stat(path, &status);
    if (!*there)
        return errno == ENOENT || record_fail("%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return record_fail("%s: is there and is no regular file", path);
    return replace || record_fail("%s: %s", path, remedy);
}

/* HDF5 locks what it writes; two writers would destroy each other's file. */
static bool check_unlocked(const char *path) {
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return record_fail("%s: %s", path, strerror(errno));
    const bool locked = flock(descriptor, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    close(descriptor);
    return !locked || record_fail("%s: another process is writing it", path);
}

static bool set_provenance(const struct record *r, const struct record_schema *s) {
    char created[32], uuid[37];
    unsigned char b[16];
    const time_t now = time(NULL);
    struct tm utc;
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    if (getrandom(b, sizeof b, 0) != sizeof b)
        return record_fail("%s: no random numbers for run_uuid", r->path);
    b[6] = (b[6] & 0x0f) | 0x40; /* RFC 4122: version 4, variant 1 */
    b[8] = (b[8] & 0x3f) | 0x80;
    char *out = uuid;
    for (int i = 0; i < 16; i++)
        out += sprintf(out, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", b[i]);
    const char *const attribute[][2] = {
        {"schema", RECORD_SCHEMA}, {"created_utc", created}, {"run_uuid", uuid},
        {"program", s->program},   {"command", s->command},  {"suite", s->suite},
    };
    for (size_t i = 0; i < sizeof attribute / sizeof *attribute; i++)
        if (!writer_create_attribute(r->file, attribute[i][0], attribute[i][1] ? attribute[i][1] : "", 1))
            return false;
    return writer_create_attribute(r->file, "status", RECORD_RUNNING, RECORD_STATUS_BYTES);
}

static bool create_file(struct record *r, const char *name) {
    /* Tried by hand first: the operating system says why not better than HDF5 does. */
    const int descriptor = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor < 0)
        return record_fail("cannot write %s: %s", name, strerror(errno));
    close(descriptor);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_fapl_sec2(access);
    H5Pset_file_locking(access, true, true); /* but go on where the file system has no locks */
    H5Pset_alignment(access, WRITER_NODE_BYTES, WRITER_PAGE);
    H5Pset_istore_k(creation, WRITER_NODE_CHUNKS / 2);
    /* Tracking attributes lets them exceed 64 KiB, as the text of a suite may. */
    H5Pset_attr_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    r->file = H5Fcreate(name, H5F_ACC_TRUNC, creation, access);
    int *handle = NULL;
    const bool good = r->file >= 0 && H5Fget_vfd_handle(r->file, H5P_DEFAULT, (void **)&handle) >= 0;
    if (good) {
        r->descriptor = *handle;
        fcntl(r->descriptor, F_SETFD, FD_CLOEXEC); /* a worker must not keep the lock of a killed parent */
    } else {
        record_fail_hdf5("cannot write %s", name);
    }
    H5Pclose(creation);
    H5Pclose(access);
    return good;
}

static struct record *allocate(const char *path, const struct record_schema *s) {
    struct record *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->file = r->descriptor = -1;
    for (int kind = 0; kind < KINDS; kind++)
        r->type_in_file[kind] = r->type[kind] = -1;
    r->cases = s->cases;
    for (int axis = 0; axis < AXES; axis++)
        r->length[axis] = schema_length(s, (enum layout_axis)axis);
    r->dataset_count = GROUPS + DATASETS;
    for (int list = 0; list < RECORD_LISTS; list++)
        r->dataset_count += r->list_count[list] = schema_count(s, (enum record_list)list);
    r->path = strdup(path);
    r->part = record_format("%s" RECORD_SUFFIX, path);
    r->column_name = calloc((size_t)s->column_count + 1, sizeof *r->column_name);
    r->computed = malloc((size_t)s->curve_count + 1);
    r->dataset = malloc((size_t)r->dataset_count * sizeof *r->dataset);
    bool good = r->path && r->part && r->column_name && r->computed && r->dataset;
    for (int64_t i = 0; good && s->keys && i < s->cases; i++)
        good = writer_expect(r, s->keys[i]) != NULL;
    for (int i = 0; good && i < s->column_count; i++)
        good = (r->column_name[i] = strdup(s->columns[i].name));
    if (!good) {
        writer_free(r);
        return NULL;
    }
    for (int i = 0; i < r->dataset_count; i++)
        r->dataset[i].id = -1;
    r->number = r->dataset;
    r->fixed = r->number + GROUPS;
    for (int list = 0; list < RECORD_LISTS; list++)
        r->list[list] = list ? r->list[list - 1] + r->list_count[list - 1] : r->fixed + DATASETS;
    return r;
}

/* Lays the file out under a name of its own, with the cases of `earlier` (NULL: none), and puts it in place of
 * PATH.part. */
static struct record *start(const char *path, const struct record_schema *s, struct record_reader *earlier) {
    struct record *r = allocate(path, s);
    char *name = r ? record_format("%s" NEW_SUFFIX, r->part) : NULL;
    if (!name) {
        record_fail("out of memory");
        writer_free(r);
        return NULL;
    }
    bool good = create_file(r, name);
    if (good) {
        good = set_provenance(r, s) && writer_create_layout(r, s) && writer_prepare(r) &&
               (!earlier || record_copy_cases(r, earlier, false, r->part));
        if (good && H5Fflush(r->file, H5F_SCOPE_GLOBAL) < 0)
            good = record_fail_hdf5("cannot write %s", name);
        if (good && rename(name, r->part))
            good = record_fail("cannot rename %s to %s: %s", name, r->part, strerror(errno));
        if (!good)
            unlink(name);
    }
    free(name);
    if (!good) {
        writer_close(r);
        writer_free(r);
        return NULL;
    }
    return r;
}

struct record *record_create(const char *path, const struct record_schema *schema, bool resume, bool overwrite) {
    record_quiet_hdf5();
    char *part = record_format("%s" RECORD_SUFFIX, path);
    bool there = false;
    bool good = part || record_fail("out of memory");
    good = good && check_schema(schema) &&
           check_target(path, overwrite, "exists already; --overwrite replaces it", &there) &&
           check_target(part, overwrite || resume,
                        "was left by an unfinished run; --resume goes on, --overwrite starts again", &there) &&
           (!there || check_unlocked(part));
    struct record_reader *earlier = NULL;
    if (good && there && resume) {
        earlier = record_open(part);
        good = earlier && record_agrees(earlier, schema, part);
    }
    struct record *r = good ? start(path, schema, earlier) : NULL;
    record_close(earlier);
    free(part);
    return r;
}
