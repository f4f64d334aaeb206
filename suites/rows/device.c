#include "suites/rows/device.h"

#include <stdio.h>
#include <string.h>

#include "suites/rows/backend.h"

bool device_describe(const char *backend, char text[DEVICE_TEXT]) {
    struct backend b;
    text[0] = 0;
    if (!backend_open_timed(&b, backend, text, DEVICE_TEXT))
        return false;
    if (b.library->probe && b.library->probe->describe(b.context, text, DEVICE_TEXT))
        snprintf(text, DEVICE_TEXT, "the device does not say what it is");
    if (!b.library->probe && b.library->memory) /* else it works on the host */
        snprintf(text, DEVICE_TEXT, "a device that does not say what it is");
    backend_close(&b);
    return true;
}

void device_answer(struct message *request, struct message *reply) {
    char text[DEVICE_TEXT];
    if (!device_describe(message_take_text(request), text))
        text[0] = 0; /* the cases themselves say why */
    message_put_text(reply, text);
}

static bool named_before(const struct suite *s, int64_t index) {
    for (int64_t k = 0; k < index; k++)
        if (!strcmp(s->cases[k].backend, s->cases[index].backend))
            return true;
    return false;
}

void device_facts(const struct suite *s, struct worker *w, char text[DEVICE_TEXT]) {
    text[0] = 0;
    for (int64_t k = 0; k < s->count; k++) {
        struct message request = {0}, reply = {0};
        char why[256];
        if (!params_has(&s->cases[k], STUDY_RUNS) || named_before(s, k))
            continue;
        message_put_text(&request, "device");
        message_put_text(&request, s->cases[k].backend);
        if (worker_call(w, &request, &reply, 60, why, sizeof why)) {
            const char *said = message_take_text(&reply);
            size_t used = strlen(text);
            if (*said)
                snprintf(text + used, DEVICE_TEXT - used, "%s%s: %s", used ? " | " : "", s->cases[k].backend, said);
        }
        message_clear(&request);
        message_clear(&reply);
    }
}

bool device_warning(const char *text, int index, char *part, size_t size) {
    const char *at = strstr(text, "; ! ");
    for (; at && index > 0; index--)
        at = strstr(at + 1, "; ! ");
    if (at)
        snprintf(part, size, "%.*s", (int)strcspn(at + 4, ";|"), at + 4);
    return at != NULL;
}
