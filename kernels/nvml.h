/* What the driver's management library says of the device, where it can be opened; the program neither needs nor
 * links it. */
#ifndef KERNELS_NVML_H
#define KERNELS_NVML_H

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* Reasons for a low clock that are not those of an idle device: power cap, slow-down by hardware, heat, power brake. */
#define NVML_SLOWED (0x4ull | 0x8ull | 0x20ull | 0x40ull | 0x80ull)

struct nvml_utilization {
    unsigned gpu, memory; /* percent of the last moments */
};

static void nvml_append(char *text, size_t size, const char *format, unsigned long long value) {
    size_t used = strlen(text);
    snprintf(text + used, size - used, format, value);
}

/* Functions return 0 when they could. A library without one of them leaves its part out. */
static void nvml_ask(void *library, void *device, char *text, size_t size) {
    int (*version)(char *, unsigned) = (int (*)(char *, unsigned))dlsym(library, "nvmlSystemGetDriverVersion");
    int (*limit)(void *, unsigned *) = (int (*)(void *, unsigned *))dlsym(library, "nvmlDeviceGetEnforcedPowerLimit");
    int (*heat)(void *, int, unsigned *) = (int (*)(void *, int, unsigned *))dlsym(library, "nvmlDeviceGetTemperature");
    int (*load)(void *, struct nvml_utilization *) = (int (*)(void *, struct nvml_utilization *))dlsym(
        library, "nvmlDeviceGetUtilizationRates");
    int (*reasons)(void *, unsigned long long *) = (int (*)(void *, unsigned long long *))dlsym(
        library, "nvmlDeviceGetCurrentClocksEventReasons");
    if (!reasons) /* its name before 2023 */
        reasons = (int (*)(void *, unsigned long long *))dlsym(library, "nvmlDeviceGetCurrentClocksThrottleReasons");
    struct nvml_utilization busy = {0, 0};
    unsigned long long why = 0;
    unsigned value = 0;
    char driver[80] = "";
    if (version && !version(driver, sizeof driver)) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "; driver %s", driver);
    }
    if (limit && !limit(device, &value))
        nvml_append(text, size, "; power limit %llu W", (value + 500) / 1000);
    if (heat && !heat(device, 0, &value))
        nvml_append(text, size, "; %llu degrees C", value);
    if (load && !load(device, &busy) && busy.gpu >= 10)
        nvml_append(text, size, "; ! it was busy %llu %% of the last moments", busy.gpu);
    if (reasons && !reasons(device, &why) && (why & NVML_SLOWED))
        nvml_append(text, size, "; ! it is throttled (reasons 0x%llx)", why & NVML_SLOWED);
}

/* Appends "; driver 1.2; power limit 700 W; ..." of the device at a PCI address; nothing where the library is not
 * there. */
static void nvml_describe(const char *bus, char *text, size_t size) {
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL), *device = NULL;
    if (!library)
        return;
    int (*start)(void) = (int (*)(void))dlsym(library, "nvmlInit_v2");
    int (*stop)(void) = (int (*)(void))dlsym(library, "nvmlShutdown");
    int (*find)(const char *, void **) = (int (*)(const char *, void **))dlsym(library,
                                                                               "nvmlDeviceGetHandleByPciBusId_v2");
    if (start && stop && find && !start()) {
        if (!find(bus, &device))
            nvml_ask(library, device, text, size);
        stop();
    }
    dlclose(library);
}

#endif
