#include "kernels/host/fibre.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define FIBRE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBRE_ASAN 1
#endif
#endif
#ifdef FIBRE_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef EXECUTOR_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#ifdef __x86_64__
#define FIBRE_ASSEMBLY 1
#endif

enum { STACK_BYTES = 256 * 1024 };

struct fibre {
    unsigned char *stack;
#ifdef FIBRE_ASSEMBLY
    void *stack_pointer;
#else
    ucontext_t context;
#endif
    void (*body)(void *);
    void *argument;
    void *fake_stack, *tsan;
};

static thread_local struct fibre *running;
static thread_local struct fibre scheduler; /* the thread's own stack */

#ifdef FIBRE_ASAN
static thread_local const void *scheduler_stack;
static thread_local size_t scheduler_bytes;
#endif

struct fibre *fibre_create(void) {
    struct fibre *f = (struct fibre *)calloc(1, sizeof *f);
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!f || stack == MAP_FAILED) {
        free(f);
        return NULL;
    }
    f->stack = (unsigned char *)stack;
    /* A thread that runs off its stack must not run into another's. */
    mprotect(stack, 4096, PROT_NONE);
#ifdef EXECUTOR_TSAN
    f->tsan = __tsan_create_fiber(0);
#endif
    return f;
}

void fibre_destroy(struct fibre *f) {
#ifdef EXECUTOR_TSAN
    __tsan_destroy_fiber(f->tsan);
#endif
    munmap(f->stack, STACK_BYTES);
    free(f);
}

const void *fibre_stack(const struct fibre *f, size_t *bytes) {
    *bytes = STACK_BYTES;
    return f->stack;
}

#ifdef FIBRE_ASSEMBLY
/* Saves what a function must preserve, swaps stacks, restores, returns there. */
extern "C" void fibre_swap(void **save, void *go);
__asm__(".text\n"
        ".type fibre_swap, @function\n"
        "fibre_swap:\n"
        "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n    popq %rbp\n"
        "    ret\n"
        ".size fibre_swap, .-fibre_swap\n");
#endif

static void swap(struct fibre *from, struct fibre *to) {
#ifdef FIBRE_ASAN
    bool home = to == &scheduler;
    __sanitizer_start_switch_fiber(&from->fake_stack, home ? scheduler_stack : to->stack,
                                   home ? scheduler_bytes : (size_t)STACK_BYTES);
#endif
#ifdef EXECUTOR_TSAN
    __tsan_switch_to_fiber(to->tsan, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef FIBRE_ASSEMBLY
    fibre_swap(&from->stack_pointer, to->stack_pointer);
#else
    swapcontext(&from->context, &to->context);
#endif
#ifdef FIBRE_ASAN
    __sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
}

void fibre_yield(void) {
    struct fibre *self = running;
    running = NULL;
    swap(self, &scheduler);
}

/* The first thing on a fibre's stack. It never returns: the fibre waits to be started again. */
static void enter(void) {
#ifdef FIBRE_ASAN
    __sanitizer_finish_switch_fiber(NULL, &scheduler_stack, &scheduler_bytes);
#endif
    for (;;) {
        running->body(running->argument);
        fibre_yield();
    }
}

static void prepare(struct fibre *f) {
#ifdef FIBRE_ASSEMBLY
    /* As if enter() had been called: the stack is 8 off a multiple of 16 at its first instruction. */
    void **top = (void **)(f->stack + STACK_BYTES) - 2;
    top[0] = (void *)enter;
    f->stack_pointer = top - 6;
#else
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&f->context, enter, 0);
#endif
}

void fibre_resume(struct fibre *f) {
#ifdef EXECUTOR_TSAN
    if (!scheduler.tsan)
        scheduler.tsan = __tsan_get_current_fiber();
#endif
    running = f;
    swap(&scheduler, f);
}

void fibre_start(struct fibre *f, void (*body)(void *), void *argument) {
    bool fresh = !f->body;
    f->body = body;
    f->argument = argument;
    if (fresh)
        prepare(f);
    fibre_resume(f);
}
