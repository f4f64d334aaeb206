#include "results/layout.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/text.h"

const char *const record_status_name[3] = {"missing", "done", "failed"};

enum { LINE = 1024, REASON = 256 };
static char error_line[LINE];
static char hdf5_reason[REASON];

const char *record_error(void) {
    return error_line;
}

static void set_error_line(const char *text, const char *separator, const char *reason) {
    snprintf(error_line, LINE, "%s%s%s", text, separator, reason);
    text_clean(error_line);
}

bool record_fail(const char *format, ...) {
    char text[LINE - REASON - 4];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    set_error_line(text, "", "");
    return false;
}

bool record_fail_hdf5(const char *format, ...) {
    char text[LINE - REASON - 4];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    set_error_line(text, ": ", *hdf5_reason ? hdf5_reason : "HDF5 failed");
    return false;
}

/* HDF5 hides errno in the prose of its innermost messages; that is the part a user can act on. */
static herr_t keep_reason(unsigned depth, const H5E_error2_t *error, void *found) {
    const char *description = error->desc ? error->desc : "";
    const char *number = strstr(description, "errno = ");
    int code;
    if (number && sscanf(number, "errno = %d", &code) == 1 && code) {
        snprintf(hdf5_reason, sizeof hdf5_reason, "%s", strerror(code));
        *(bool *)found = true;
    } else if (depth == 0 && !*(bool *)found) {
        snprintf(hdf5_reason, sizeof hdf5_reason, "HDF5: %s", description);
    }
    return 0;
}

static herr_t keep_reasons(hid_t stack, void *unused) {
    (void)unused;
    bool found = false;
    *hdf5_reason = 0;
    return H5Ewalk2(stack, H5E_WALK_UPWARD, keep_reason, &found);
}

void record_quiet_hdf5(void) {
    H5dont_atexit(); /* after a damaged file it complains at exit, and a record that is not finished shall be left alone
                      */
    H5Eset_auto2(H5E_DEFAULT, keep_reasons, NULL);
    H5PLset_loading_state(0);
}

hid_t record_text_type(size_t bytes) {
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, bytes) < 0 || H5Tset_strpad(type, H5T_STR_NULLPAD) < 0 ||
                      H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        H5Tclose(type);
        return -1;
    }
    return type;
}

hid_t record_status_type(hid_t base) {
    hid_t type = H5Tenum_create(base);
    for (int8_t i = 0; type >= 0 && i < 3; i++) {
        if (H5Tenum_insert(type, record_status_name[i], &i) < 0) {
            H5Tclose(type);
            return -1;
        }
    }
    return type;
}

char *record_format(const char *format, ...) {
    char *text;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return length < 0 ? NULL : text;
}
