#include "suites/worker/worker.h"
#include "suites/worker/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void message_put(struct message *m, const void *bytes, size_t size) {
    unsigned char *grown = m->bad ? NULL : realloc(m->data, m->size + size + 1);
    if (!grown) {
        m->bad = true;
        return;
    }
    m->data = grown;
    if (size)
        memcpy(m->data + m->size, bytes, size);
    m->size += size;
}

void message_put_text(struct message *m, const char *text) {
    message_put(m, text, strlen(text) + 1);
}

void message_take(struct message *m, void *bytes, size_t size) {
    if (m->bad || size > m->size - m->at) {
        m->bad = true;
        memset(bytes, 0, size);
        return;
    }
    memcpy(bytes, m->data + m->at, size);
    m->at += size;
}

const char *message_take_text(struct message *m) {
    const char *text = (const char *)m->data + m->at;
    size_t length = m->bad || !m->data ? 0 : strnlen(text, m->size - m->at);
    if (m->bad || !m->data || length == m->size - m->at) {
        m->bad = true;
        return "";
    }
    m->at += length + 1;
    return text;
}

void message_clear(struct message *m) {
    free(m->data);
    *m = (struct message){0};
}

double worker_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Milliseconds until a deadline, -1 for none, 0 when it has passed. */
static int left(double deadline) {
    if (deadline == 0)
        return -1;
    double seconds = deadline - worker_now();
    return seconds <= 0 ? 0 : seconds > 1e6 ? 1000000000 : (int)(seconds * 1e3) + 1;
}

enum outcome { DONE, ENDED, LATE, INTERRUPTED };

/* Moves `size` bytes in one direction, all or nothing. */
static enum outcome transfer(int file, bool write_it, void *bytes, size_t size, double deadline) {
    for (size_t done = 0; done < size;) {
        struct pollfd p = {.fd = file, .events = write_it ? POLLOUT : POLLIN};
        int ready = poll(&p, 1, left(deadline));
        if (ready < 0 && errno == EINTR)
            return INTERRUPTED;
        if (ready == 0)
            return LATE;
        char *at = (char *)bytes + done;
        ssize_t some = write_it ? write(file, at, size - done) : read(file, at, size - done);
        if (some <= 0) {
            if (some < 0 && (errno == EINTR || errno == EAGAIN))
                continue;
            return ENDED;
        }
        done += (size_t)some;
    }
    return DONE;
}

/* Of the worker: what it reads from, writes to and shares. */
enum { IN = 3, OUT = 4, NOTE = 5 };

/* The note lies in the first page of its file, the ruling in the second. */
static void *map_page(int file, int which) {
    long page = sysconf(_SC_PAGESIZE);
    void *mapped = mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE, MAP_SHARED, file, which * page);
    return mapped == MAP_FAILED ? NULL : mapped;
}

const char *worker_program(void) {
    static char path[PATH_MAX];
    const ssize_t length = path[0] ? 0 : readlink("/proc/self/exe", path, sizeof path - 1);
    if (length > 0)
        path[length] = 0;
    if (!path[0] && !realpath((const char *)getauxval(AT_EXECFN), path))
        snprintf(path, sizeof path, "mhcbench");
    return path;
}

/* What a worker that could not begin leaves in its note, and its exit status. */
enum { NOT_BEGUN = 127 };
static void leave_reason(struct worker *w, const char *what) {
    snprintf(w->note, WORKER_NOTE, "%.20s: %.40s", what, strerror(errno));
    _exit(NOT_BEGUN);
}

/* A new note for a new worker; its file is the worker's to inherit. */
static int open_note(struct worker *w) {
    int file = memfd_create("note", MFD_CLOEXEC);
    long page = sysconf(_SC_PAGESIZE);
    if (w->note)
        munmap(w->note, (size_t)page);
    if (w->ruling)
        munmap(w->ruling, (size_t)page);
    bool good = file >= 0 && !ftruncate(file, 2 * page);
    w->note = good ? map_page(file, 0) : NULL;
    w->ruling = good ? map_page(file, 1) : NULL;
    return file;
}

/* Threads that wait by spinning starve each other on a machine with other work; a user's own choice stands. Where every
 * worker has one thread, these must not all be bound to the same place. */
static void set_threads(bool single) {
    setenv("OMP_WAIT_POLICY", "passive", 0);
    if (!single)
        return;
    setenv("OMP_NUM_THREADS", "1", 1);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    setenv("OMP_PROC_BIND", "false", 1);
    unsetenv("GOMP_CPU_AFFINITY");
}

static bool start(struct worker *w, char *why, size_t why_size) {
    int down[2], up[2], shared = open_note(w);
    if (!w->note)
        return snprintf(why, why_size, "no memory to share with a worker: %s", strerror(errno)), close(shared), false;
    /* Another worker must not inherit these ends, or this one would not see that its input has ended. */
    if (pipe2(down, O_CLOEXEC))
        return snprintf(why, why_size, "no pipe to a worker: %s", strerror(errno)), close(shared), false;
    if (pipe2(up, O_CLOEXEC))
        return snprintf(why, why_size, "no pipe to a worker: %s", strerror(errno)), close(shared), close(down[0]),
               close(down[1]), false;
    pid_t parent = getpid();
    w->pid = fork();
    if (w->pid == 0) {
        /* A group of its own: Ctrl-C reaches the parent, which decides. It dies with its parent. */
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(2);
        /* Out of the way first: with 0-2 closed, they may sit on 3 to 5 themselves. */
        int in = fcntl(down[0], F_DUPFD, NOTE + 1), out = fcntl(up[1], F_DUPFD, NOTE + 1);
        int note = fcntl(shared, F_DUPFD, NOTE + 1);
        if (in < 0 || out < 0 || note < 0 || dup2(in, IN) < 0 || dup2(out, OUT) < 0 || dup2(note, NOTE) < 0)
            leave_reason(w, "descriptors");
        dup2(STDERR_FILENO, STDOUT_FILENO); /* what a library prints must not stand in a report */
        close_from(NOTE + 1);
        set_threads(w->single);
        execl("/proc/self/exe", "mhcbench", "--worker", (char *)NULL);
        execl(worker_program(), "mhcbench", "--worker", (char *)NULL);
        leave_reason(w, "it cannot run");
    }
    close(down[0]);
    close(up[1]);
    close(shared);
    w->to = down[1];
    w->from = up[0];
    if (w->pid > 0)
        return true;
    w->pid = 0;
    close(w->to);
    close(w->from);
    return snprintf(why, why_size, "no worker: %s", strerror(errno)), false;
}

/* Ends the worker and says how it ended. */
static void finish(struct worker *w, enum outcome outcome, char *why, size_t why_size) {
    int status = 0;
    close(w->to);
    close(w->from);
    if (outcome != ENDED)
        kill(w->pid, SIGKILL);
    while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
        ;
    w->pid = 0;
    if (outcome == LATE)
        snprintf(why, why_size, "time limit of %.4g s", w->seconds);
    else if (outcome == INTERRUPTED)
        snprintf(why, why_size, "interrupted");
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        snprintf(why, why_size, "the worker was killed (out of memory?)");
    else if (WIFSIGNALED(status))
        snprintf(why, why_size, "the worker crashed: %s", strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == NOT_BEGUN && w->note && *(char *)w->note)
        snprintf(why, why_size, "the program cannot run itself as a worker (%.*s)", WORKER_NOTE - 1, (char *)w->note);
    else
        snprintf(why, why_size, "the worker ended with status %d%s", WEXITSTATUS(status),
                 WEXITSTATUS(status) ? " (too little memory, or too few files or threads?)" : "");
}

void worker_stop(struct worker *w) {
    char ignored[128];
    if (w->pid)
        finish(w, DONE, ignored, sizeof ignored);
}

/* A message from the worker: kind and size, then its bytes. */
enum kind { FINAL, PARTIAL };
struct head {
    uint64_t kind, size;
};

static bool send(const struct message *m, enum kind kind) {
    struct head head = {kind, m->size};
    return !m->bad && transfer(OUT, true, &head, sizeof head, 0) == DONE &&
           transfer(OUT, true, m->data, m->size, 0) == DONE;
}

static enum outcome receive(int file, struct message *m, bool *partial, double deadline) {
    struct head head;
    enum outcome outcome = transfer(file, false, &head, sizeof head, deadline);
    if (outcome != DONE)
        return outcome;
    *partial = head.kind == PARTIAL;
    m->data = head.size < (uint64_t)1 << 40 ? malloc(head.size + 1) : NULL;
    m->size = head.size;
    return m->data ? transfer(file, false, m->data, m->size, deadline) : ENDED;
}

int worker_left(const struct worker *w) {
    return left(w->deadline);
}

bool worker_send(struct worker *w, const struct message *request, double seconds, char *why, size_t why_size) {
    uint64_t size = request->size;
    if (!w->pid && !start(w, why, why_size))
        return false;
    signal(SIGPIPE, SIG_IGN);
    w->seconds = seconds;
    w->deadline = seconds > 0 ? worker_now() + seconds : 0;
    enum outcome outcome = transfer(w->to, true, &size, sizeof size, w->deadline);
    if (outcome == DONE)
        outcome = transfer(w->to, true, request->data, request->size, w->deadline);
    if (outcome != DONE)
        finish(w, outcome, why, why_size);
    return outcome == DONE;
}

enum worker_outcome worker_receive(struct worker *w, struct message *reply, char *why, size_t why_size) {
    bool partial = false;
    *reply = (struct message){0};
    enum outcome outcome = receive(w->from, reply, &partial, w->deadline);
    if (outcome == DONE)
        return partial ? WORKER_PARTIAL : WORKER_FINAL;
    message_clear(reply);
    finish(w, outcome, why, why_size);
    return WORKER_GONE;
}

bool worker_call(struct worker *w, const struct message *request, struct message *reply, double seconds, char *why,
                 size_t why_size) {
    enum worker_outcome outcome = WORKER_PARTIAL;
    *reply = (struct message){0};
    if (!worker_send(w, request, seconds, why, why_size))
        return false;
    while (outcome == WORKER_PARTIAL) {
        message_clear(reply);
        outcome = worker_receive(w, reply, why, why_size);
    }
    return outcome == WORKER_FINAL;
}

void *worker_note(void) {
    static unsigned char own[WORKER_NOTE + WORKER_STAGE]; /* where there is nothing to share */
    static void *note;
    note = note ? note : map_page(NOTE, 0);
    return note ? note : own;
}

void *worker_ruling(void) {
    void *ruling = map_page(NOTE, 1);
    worker_note();
    close(NOTE); /* a library has no way to the ruling */
    return ruling;
}

static bool answering;

void worker_stage(const struct worker *w, char text[WORKER_STAGE]) {
    text[0] = 0;
    if (w->note)
        memcpy(text, (const char *)w->note + WORKER_NOTE, WORKER_STAGE);
    text[WORKER_STAGE - 1] = 0;
}

void worker_at(const char *stage, int64_t done, int64_t of) {
    char text[WORKER_STAGE] = "";
    if (!answering)
        return;
    if (of)
        snprintf(text, sizeof text, "%.24s %lld of %lld", stage, (long long)done, (long long)of);
    else
        snprintf(text, sizeof text, done ? "%.24s %lld" : "%.24s", stage, (long long)done);
    memcpy((char *)worker_note() + WORKER_NOTE, text, sizeof text);
}

void worker_send_partial(const struct message *m) {
    if (answering && !send(m, PARTIAL))
        _exit(2); /* half a message may be in the pipe */
}

int worker_main(const struct worker_handler *handlers) {
    uint64_t size;
    while (transfer(IN, false, &size, sizeof size, 0) == DONE) {
        struct message request = {.data = malloc(size + 1), .size = size}, reply = {0};
        if (!request.data || transfer(IN, false, request.data, size, 0) != DONE)
            return 2;
        const char *name = message_take_text(&request);
        const struct worker_handler *h = handlers;
        while (h->name && strcmp(h->name, name))
            h++;
        if (!h->name)
            return 2;
        answering = true;
        worker_at("", 0, 0);
        h->answer(&request, &reply);
        answering = false;
        if (!send(&reply, FINAL))
            return 2;
        message_clear(&request);
        message_clear(&reply);
    }
    return 0;
}
