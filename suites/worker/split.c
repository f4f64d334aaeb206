#include "suites/worker/split.h"
#include "suites/worker/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IN = 3, OUT = 4, FIRST_FREE = 16, LOOK = 100 /* ms between looks at the child */ };

static int to = -1, from = -1; /* of the child */

struct head {
    uint64_t waits, size;
};

static bool move(int file, bool write_it, void *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        char *at = (char *)bytes + done;
        ssize_t some = write_it ? write(file, at, size - done) : read(file, at, size - done);
        if (some == 0 || (some < 0 && errno != EINTR))
            return false;
        done += some > 0 ? (size_t)some : 0;
    }
    return true;
}

static bool receive(int file, struct head *head, struct message *m) {
    *m = (struct message){0};
    if (!move(file, false, head, sizeof *head) || head->size > (uint64_t)1 << 40)
        return false;
    m->data = malloc(head->size + 1);
    m->size = head->size;
    return m->data && move(file, false, m->data, m->size);
}

static bool send(int file, bool waits, const struct message *m) {
    struct head head = {waits, m->size};
    return !m->bad && move(file, true, &head, sizeof head) && move(file, true, m->data, m->size);
}

/* Ends as the child ended, for the parent that waits for this process. */
static void end_as(int status) {
    const struct rlimit none = {0};
    if (WIFSIGNALED(status)) {
        setrlimit(RLIMIT_CORE, &none);
        signal(WTERMSIG(status), SIG_DFL);
        kill(getpid(), WTERMSIG(status));
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 2);
}

/* Returns when a request is at hand. Ends the process when the child has ended, even if another process still holds
 * the child's side of the pipe. */
static void wait_for_request(pid_t child) {
    struct pollfd p = {.fd = IN, .events = POLLIN};
    int status = 0;
    while (poll(&p, 1, LOOK) <= 0)
        if (waitpid(child, &status, WNOHANG) == child)
            end_as(status);
}

static void serve(pid_t child, split_answer *answer) {
    struct message request, reply;
    struct head head;
    int status = 0;
    for (;;) {
        wait_for_request(child);
        if (!receive(IN, &head, &request))
            break;
        reply = (struct message){0};
        answer(&request, head.waits ? &reply : NULL);
        if (head.waits && !send(OUT, false, &reply))
            break;
        message_clear(&request);
        message_clear(&reply);
    }
    close(OUT);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    end_as(status);
}

/* Nothing of the program but its memory, and where errors are said. */
static void keep_only(int in, int out) {
    int a = fcntl(in, F_DUPFD, FIRST_FREE), b = fcntl(out, F_DUPFD, FIRST_FREE);
    if (a < 0 || b < 0 || dup2(a, IN) < 0 || dup2(b, OUT) < 0)
        _exit(2);
    close_from(OUT + 1);
    signal(SIGPIPE, SIG_IGN);
}

bool split(split_answer *answer, void *hidden, size_t hidden_size) {
    int asked[2], answered[2];
    if (pipe2(asked, O_CLOEXEC))
        return false;
    if (pipe2(answered, O_CLOEXEC))
        return close(asked[0]), close(asked[1]), false;
    pid_t self = getpid(), child = fork();
    if (child > 0) {
        close(asked[1]);
        close(answered[0]);
        keep_only(asked[0], answered[1]);
        serve(child, answer);
    }
    close(asked[0]);
    close(answered[1]);
    if (child < 0)
        return close(asked[1]), close(answered[0]), false;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != self)
        _exit(2);
    to = asked[1], from = answered[0];
    if (hidden)
        munmap(hidden, hidden_size);
    return true;
}

bool split_is(void) {
    return to >= 0;
}

bool split_ask(const struct message *request, struct message *reply) {
    struct head head;
    return send(to, reply != NULL, request) && (!reply || receive(from, &head, reply));
}
