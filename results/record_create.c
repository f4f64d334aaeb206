/* Starting and resuming a record. The new file is laid out beside PATH.part and takes that name once it is whole, so
 * that a PATH.part can always be read; an earlier one is copied, not continued in place, because the free space of a
 * file whose writer was killed is not to be trusted. Who made it is not known, so a child reads it first. */
#include "results/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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
    if (s->mixing_rows < 0 || s->mixing_rows > RECORD_MAX_MIXING)
        return record_fail("schema: %lld rows of mixing: 0 to %d are possible", (long long)s->mixing_rows,
                           RECORD_MAX_MIXING);
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
    if (s->key_bytes < 0 || s->key_bytes > RECORD_KEY_BYTES)
        return record_fail("schema: keys of %d bytes: 1 to %d are possible", s->key_bytes, RECORD_KEY_BYTES);
    for (int i = 0; s->column_bytes && i < s->column_count; i++)
        if (s->column_bytes[i] < 1 || s->column_bytes[i] > RECORD_TEXT_BYTES)
            return record_fail("schema: %s: texts of %d bytes: 1 to %d are possible", s->columns[i].name,
                               s->column_bytes[i], RECORD_TEXT_BYTES);
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

/* Is there such a file, and may it be replaced? A link is replaced, not followed; what runs leave is none. */
static bool check_target(const char *path, const struct place *place, bool replace, bool link_too, const char *remedy) {
    if (place->there && !S_ISREG(place->mode) && !(link_too && S_ISLNK(place->mode)))
        return record_fail("%s: is there and is no regular file", path);
    return !place->there || replace || record_fail("%s: %s", path, remedy);
}

static bool make_identity(const struct record *r, char created[32], char uuid[37]) {
    unsigned char b[16];
    const time_t now = time(NULL);
    struct tm utc;
    if (!gmtime_r(&now, &utc) || !strftime(created, 32, "%Y-%m-%dT%H:%M:%SZ", &utc))
        snprintf(created, 32, "unknown"); /* a clock that is off by more years than fit */
    if (getrandom(b, sizeof b, 0) != sizeof b)
        return record_fail("%s: no random numbers for run_uuid", r->path);
    b[6] = (b[6] & 0x0f) | 0x40; /* RFC 4122: version 4, variant 1 */
    b[8] = (b[8] & 0x3f) | 0x80;
    char *out = uuid;
    for (int i = 0; i < 16; i++)
        out += sprintf(out, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", b[i]);
    return true;
}

static bool set_provenance(const struct record *r, const struct record_schema *s, struct record_reader *of,
                           const char *status) {
    char created[32], uuid[37];
    if (!of && !make_identity(r, created, uuid))
        return false;
    const char *const attribute[][2] = {
        {"schema", RECORD_SCHEMA},
        {"created_utc", of ? record_attribute(of, "created_utc") : created},
        {"run_uuid", of ? record_attribute(of, "run_uuid") : uuid},
        {"program", s->program},
        {"command", s->command},
        {"suite", s->suite},
    };
    for (size_t i = 0; i < sizeof attribute / sizeof *attribute; i++)
        if (!writer_create_attribute(r->file, attribute[i][0], attribute[i][1] ? attribute[i][1] : "", 1))
            return false;
    return writer_create_attribute(r->file, "status", status, RECORD_STATUS_BYTES);
}

bool writer_lay_out(struct record *r, const struct record_schema *s, struct record_reader *of, const char *status) {
    return set_provenance(r, s, of, status) && writer_create_layout(r, s);
}

/* HDF5 leaves an empty file where its own lock fails. */
static void fail_create(const struct record *r, const char *name) {
    const int refused = place_hdf5_refused(name);
    if (refused)
        record_fail("cannot write %s: HDF5_USE_FILE_LOCKING=%s, and HDF5 gets no lock here (%s); FALSE or BEST_EFFORT "
                    "goes on without",
                    r->part, getenv("HDF5_USE_FILE_LOCKING"), strerror(refused));
    else
        record_fail_hdf5("cannot write %s", r->part);
    unlink(name);
}

bool writer_create_file(struct record *r, const char *name) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_fapl_sec2(access);
    H5Pset_file_locking(access, false, true); /* HDF5 would fail where the file system has none */
    if (!r->sealed)
        H5Pset_alignment(access, WRITER_NODE_BYTES, WRITER_PAGE);
    H5Pset_istore_k(creation, r->sealed ? WRITER_SEALED_CHUNKS / 2 : WRITER_NODE_CHUNKS / 2);
    /* Tracking attributes lets them exceed 64 KiB, as the text of a suite may. */
    H5Pset_attr_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    r->file = H5Fcreate(name, H5F_ACC_EXCL, creation, access); /* which follows no link */
    int *handle = NULL;
    const bool good = r->file >= 0 && H5Fget_vfd_handle(r->file, H5P_DEFAULT, (void **)&handle) >= 0;
    if (good) {
        r->descriptor = *handle;
        fcntl(r->descriptor, F_SETFD, FD_CLOEXEC); /* a worker must not keep the lock of a killed parent */
        r->lock = place_lock(r->descriptor, &r->no_lock);
    } else {
        fail_create(r, name);
    }
    H5Pclose(creation);
    H5Pclose(access);
    if (good && r->no_lock && r->no_lock != EWOULDBLOCK && !place_has_no_locks(r->no_lock)) {
        unlink(name);
        return record_fail("cannot lock %s: %s; HDF5_USE_FILE_LOCKING=FALSE goes on without locks", r->part,
                           strerror(r->no_lock));
    }
    return good && place_opened(r->descriptor, r->part, &r->own);
}

/* The longest key of the schema, at most what is possible; a longer one is refused when it comes. */
static int bytes_of_keys(const struct record_schema *s) {
    size_t longest = 1;
    if (s->key_bytes || !s->keys)
        return s->key_bytes ? s->key_bytes : RECORD_KEY_BYTES;
    for (int64_t i = 0; i < s->cases; i++)
        longest = strlen(s->keys[i]) > longest ? strlen(s->keys[i]) : longest;
    return longest < RECORD_KEY_BYTES ? (int)longest : RECORD_KEY_BYTES;
}

int writer_text_bytes(const struct record *r, enum layout_kind kind, int column) {
    return kind == KIND_KEY      ? r->key_bytes
           : kind == KIND_REASON ? RECORD_REASON_BYTES
           : column >= 0         ? r->column_bytes[column]
                                 : RECORD_TEXT_BYTES;
}

/* Texts of an earlier record need their room too. */
static void make_room(struct record *r, struct record_reader *earlier) {
    const int key = record_text_bytes(earlier, -1);
    r->key_bytes = key > r->key_bytes ? key : r->key_bytes;
    for (int i = 0; i < r->list_count[RECORD_LIST_COLUMNS]; i++) {
        const int bytes = record_text_bytes(earlier, i);
        r->column_bytes[i] = bytes > r->column_bytes[i] ? bytes : r->column_bytes[i];
    }
}

const char *record_unlocked(const struct record *r) {
    return r->no_lock == EWOULDBLOCK ? "new files are refused a lock" : r->no_lock ? strerror(r->no_lock) : "";
}

struct record *writer_allocate(const char *path, const struct record_schema *s) {
    struct record *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->file = r->descriptor = r->lock = -1;
    r->end = -1;
    for (int kind = 0; kind < KINDS; kind++)
        r->type_in_file[kind] = r->type[kind] = -1;
    r->cases = s->cases;
    r->blocks = 1;
    for (int axis = 0; axis < AXES; axis++)
        r->length[axis] = schema_length(s, (enum layout_axis)axis);
    r->dataset_count = GROUPS + DATASETS;
    for (int list = 0; list < RECORD_LISTS; list++)
        r->dataset_count += r->list_count[list] = schema_count(s, (enum record_list)list);
    r->path = strdup(path);
    r->part = record_format("%s" RECORD_SUFFIX, path);
    r->column_name = calloc((size_t)s->column_count + 1, sizeof *r->column_name);
    r->column_bytes = calloc((size_t)s->column_count + 1, sizeof *r->column_bytes);
    r->key_bytes = bytes_of_keys(s);
    r->computed = malloc((size_t)s->curve_count + 1);
    r->dataset = calloc((size_t)r->dataset_count, sizeof *r->dataset);
    bool good = r->path && r->part && r->column_name && r->column_bytes && r->computed && r->dataset;
    for (int64_t i = 0; good && s->keys && i < s->cases; i++)
        good = writer_expect(r, s->keys[i]) != NULL;
    for (int i = 0; good && i < s->column_count; i++) {
        good = (r->column_name[i] = strdup(s->columns[i].name));
        r->column_bytes[i] = s->column_bytes ? s->column_bytes[i] : RECORD_TEXT_BYTES;
    }
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

/* What a run is begun from. */
struct start {
    const char *path, *part;
    const struct record_schema *schema;
    const char *earlier; /* the record whose finished cases it keeps; NULL: none */
    struct place target, left;
};

/* Has the earlier record what it takes to go on with it? */
static bool check_earlier(const struct start *s, struct record_reader *earlier) {
    char why[600];
    const char *const *status = record_texts(earlier, "status");
    bool undone = !record_complete(earlier) || s->earlier == s->part;
    for (int64_t k = 0; status && !undone && k < record_count(earlier); k++)
        undone = !strcmp(status[k], "failed");
    if (!status)
        return false;
    if (!record_agrees(earlier, s->schema, s->earlier))
        return false;
    if (!undone)
        return record_fail("%s: " RECORD_NOTHING_LEFT "; --overwrite replaces it", s->earlier);
    return (!s->schema->agrees || s->schema->agrees(s->schema->user, earlier, why, sizeof why) ||
            record_fail("%s: %s", s->earlier, why));
}

/* Lays the file out under a name of its own, in new memory, with the cases of the earlier one. */
static struct record *lay_out(const struct start *s, char **name) {
    struct record_reader *earlier = s->earlier ? record_open_raw(s->earlier) : NULL;
    bool good = !s->earlier || (earlier && check_earlier(s, earlier));
    struct record *r = good ? writer_allocate(s->path, s->schema) : NULL;
    if (good && !r)
        record_fail("out of memory");
    if (r && earlier)
        make_room(r, earlier);
    *name = r ? place_beside(r->part) : NULL;
    good = *name && writer_create_file(r, *name);
    if (good && !(writer_lay_out(r, s->schema, NULL, RECORD_RUNNING) && writer_prepare(r) &&
                  (!earlier || record_copy_cases(r, earlier, NULL, s->earlier)) && writer_commit(r))) {
        good = false;
        unlink(*name);
    }
    record_close(earlier);
    if (good)
        return r;
    if (r)
        writer_close(r);
    writer_free(r);
    free(*name);
    *name = NULL;
    return NULL;
}

/* The same in a child, which leaves nothing but its error line: a file may crash the library that reads it. */
static void rehearse_in_child(const struct start *s, int out) {
    char *name;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    struct record *r = lay_out(s, &name);
    if (r)
        unlink(name);
    else
        (void)!write(out, record_error(), strlen(record_error()));
    _exit(r ? 0 : 1);
}

static bool rehearse(const struct start *s) {
    char line[1024];
    size_t used = 0;
    ssize_t got = 0;
    int pipe[2], status = 0;
    if (pipe2(pipe, O_CLOEXEC))
        return record_fail("%s: %s", s->earlier, strerror(errno));
    const pid_t child = fork();
    if (child == 0)
        rehearse_in_child(s, pipe[1]);
    close(pipe[1]);
    while (child > 0 && used < sizeof line - 1 &&
           ((got = read(pipe[0], line + used, sizeof line - 1 - used)) > 0 || (got < 0 && errno == EINTR)))
        used += got > 0 ? (size_t)got : 0;
    close(pipe[0]);
    line[used] = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0)
        return record_fail("%s: no process to read it in: %s", s->earlier, strerror(errno));
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return record_fail("%s: the process that reads it was killed (out of memory?)", s->earlier);
    if (WIFSIGNALED(status))
        return record_fail("%s: reading it crashed (%s); it is not a file this program wrote", s->earlier,
                           strsignal(WTERMSIG(status)));
    return WEXITSTATUS(status) == 0 || record_fail("%s", line);
}

/* Is PATH what it was? Another process may have ended between the first look at it and the moment that PATH.part was
 * free for this one; at the end this one would find its place taken. */
static bool still_there(const struct start *s) {
    struct place now;
    return place_look(s->path, &now) &&
           ((now.there ? s->target.there && place_is(s->path, &s->target) : !s->target.there) ||
            record_fail("%s: another process has made or removed it meanwhile", s->path));
}

static struct record *begin(struct start *s) {
    char *name = NULL;
    struct record *r = !s->earlier || rehearse(s) ? lay_out(s, &name) : NULL;
    if (r && !(place_take(name, r->part, &s->left) && still_there(s))) {
        place_remove(name, &r->own);
        place_remove(r->part, &r->own);
        writer_close(r);
        writer_free(r);
        r = NULL;
    }
    if (r)
        r->target = s->target;
    free(name);
    return r;
}

struct record *record_create(const char *path, const struct record_schema *schema, bool resume, bool overwrite) {
    record_quiet_hdf5();
    char *part = record_format("%s" RECORD_SUFFIX, path);
    struct start s = {.path = path, .part = part, .schema = schema};
    const bool good = (part || record_fail("out of memory")) && check_schema(schema) && place_look(path, &s.target) &&
                      place_look(part, &s.left) &&
                      check_target(path, &s.target, overwrite || resume, true,
                                   "exists already; --overwrite replaces it") &&
                      check_target(part, &s.left, overwrite || resume, false,
                                   "was left by an unfinished run; --resume goes on, --overwrite starts again") &&
                      (!s.left.there || !place_locked(part) || record_fail("%s: another process is writing it", part));
    if (resume)
        s.earlier = s.left.there ? part : s.target.there ? path : NULL;
    if (good)
        place_clean(path);
    struct record *r = good ? begin(&s) : NULL;
    free(part);
    return r;
}
