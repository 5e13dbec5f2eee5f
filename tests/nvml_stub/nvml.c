/* A stand-in for libnvidia-ml.so.1 that serves the real nvidia-ml-py without a GPU.
 *
 * What it answers stands in the file named by $NVML_STUB, one key = value a line:
 *   driver, cuda (13000), count
 *   N.KEY for GPU N, N:M.KEY for its MIG instance M; KEYs: see the functions.
 *   error.FUNCTION = CODE for every handle, N.error.FUNCTION = CODE for one: the function returns that nvmlReturn_t.
 * A value that is not there is NVML_ERROR_NOT_SUPPORTED (3). Every function appends its name to $NVML_STUB_LOG.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long u64;
typedef unsigned int u32;
typedef struct { u64 total, free, used; } memory_v1;
typedef struct { u32 version; u64 total, reserved, free, used; } memory_v2;
typedef struct { u32 gpu, memory; } utilization;
typedef struct { u32 version; int sensor, temperature; } temperature_v1;
typedef struct { u32 pid; u64 memory; u32 gpu_instance, compute_instance; } process;
typedef struct { char legacy[16]; u32 domain, bus, device, id, subsystem; char bus_id[32]; } pci;

enum { OK = 0, INVALID = 2, UNSUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_DRIVER = 9, VERSION = 25 };

/* Handles: GPU N is N+1, its instance M is (N+1)*256 + M+1. */
static void name_of(void *handle, char *out) {
    size_t number = (size_t)handle;
    if (number >= 256) sprintf(out, "%zu:%zu", number / 256 - 1, number % 256 - 1);
    else sprintf(out, "%zu", number - 1);
}

static int find(const char *key, char *out, size_t size) {
    FILE *file = fopen(getenv("NVML_STUB") ? getenv("NVML_STUB") : "", "r");
    char line[4096];
    int found = 0;
    if (!file) return 0;
    while (fgets(line, sizeof line, file)) {
        char *equals = strchr(line, '=');
        if (!equals) continue;
        char *end = equals;
        while (end > line && end[-1] == ' ') end--;
        *end = 0;
        if (strcmp(line, key)) continue;
        char *value = equals + 1;
        while (*value == ' ') value++;
        value[strcspn(value, "\n")] = 0;
        snprintf(out, size, "%s", value);
        found = 1;
    }
    fclose(file);
    return found;
}

static int about(void *handle, const char *key, char *out, size_t size) {
    char name[32], full[160];
    name_of(handle, name);
    snprintf(full, sizeof full, "%s.%s", name, key);
    return find(full, out, size);
}

static int number(void *handle, const char *key, u64 *out) {
    char text[64];
    if (!about(handle, key, text, sizeof text)) return UNSUPPORTED;
    *out = strtoull(text, NULL, 0);
    return OK;
}

static int fault(void *handle, const char *function) {
    char key[160], text[32];
    const char *log = getenv("NVML_STUB_LOG");
    if (log) {
        FILE *file = fopen(log, "a");
        if (file) { fprintf(file, "%s\n", function); fclose(file); }
    }
    snprintf(key, sizeof key, "error.%s", function);
    if (handle && about(handle, key, text, sizeof text)) return atoi(text);
    return find(key, text, sizeof text) ? atoi(text) : OK;
}

#define BEGIN(handle) do { int code = fault(handle, __func__); if (code) return code; } while (0)

int nvmlInitWithFlags(u32 flags) { (void)flags; BEGIN(NULL); char text[8]; return find("driver", text, sizeof text) ? OK : NO_DRIVER; }
int nvmlShutdown(void) { BEGIN(NULL); return OK; }
const char *nvmlErrorString(int code) {
    switch (code) {
        case 4: return "Insufficient Permissions";
        case 9: return "Driver Not Loaded";
        case 10: return "Timeout";
        case 15: return "GPU is lost";
        case 18: return "Driver/library version mismatch";
        default: return "Unknown Error";
    }
}
int nvmlSystemGetDriverVersion(char *out, u32 size) { BEGIN(NULL); return find("driver", out, size) ? OK : UNSUPPORTED; }
int nvmlSystemGetCudaDriverVersion_v2(int *out) {
    char text[32];
    BEGIN(NULL);
    if (!find("cuda", text, sizeof text)) return UNSUPPORTED;
    *out = atoi(text);
    return OK;
}
int nvmlDeviceGetCount_v2(u32 *out) {
    char text[32];
    BEGIN(NULL);
    *out = find("count", text, sizeof text) ? (u32)atoi(text) : 0;
    return OK;
}
int nvmlDeviceGetHandleByIndex_v2(u32 index, void **out) {
    *out = (void *)(size_t)(index + 1);
    BEGIN(*out);
    return OK;
}
int nvmlDeviceGetName(void *handle, char *out, u32 size) { BEGIN(handle); return about(handle, "name", out, size) ? OK : UNSUPPORTED; }
int nvmlDeviceGetUUID(void *handle, char *out, u32 size) { BEGIN(handle); return about(handle, "uuid", out, size) ? OK : UNSUPPORTED; }
int nvmlDeviceGetPciInfo_v3(void *handle, pci *out) {
    BEGIN(handle);
    memset(out, 0, sizeof *out);
    return about(handle, "bus", out->bus_id, sizeof out->bus_id) ? OK : UNSUPPORTED;
}
int nvmlDeviceGetMemoryInfo(void *handle, memory_v1 *out) {
    BEGIN(handle);
    if (number(handle, "total", &out->total) || number(handle, "used", &out->used)) return UNSUPPORTED;
    out->free = out->total - out->used;
    return OK;
}
int nvmlDeviceGetMemoryInfo_v2(void *handle, memory_v2 *out) {
    BEGIN(handle);
    if (number(handle, "total", &out->total) || number(handle, "used", &out->used)) return UNSUPPORTED;
    out->reserved = 0;
    out->free = out->total - out->used;
    return OK;
}
int nvmlDeviceGetUtilizationRates(void *handle, utilization *out) {
    u64 value;
    BEGIN(handle);
    if (number(handle, "load", &value)) return UNSUPPORTED;
    out->gpu = (u32)value;
    out->memory = 0;
    return OK;
}
int nvmlDeviceGetTemperature(void *handle, u32 sensor, u32 *out) {
    u64 value;
    (void)sensor;
    BEGIN(handle);
    if (number(handle, "temperature", &value)) return UNSUPPORTED;
    *out = (u32)value;
    return OK;
}
int nvmlDeviceGetTemperatureV(void *handle, temperature_v1 *out) {
    u64 value;
    BEGIN(handle);
    if (out->version != (sizeof *out | 1 << 24)) return VERSION;
    if (number(handle, "temperature", &value)) return UNSUPPORTED;
    out->temperature = (int)value;
    return OK;
}
int nvmlDeviceGetPowerUsage(void *handle, u32 *out) {
    u64 value;
    BEGIN(handle);
    if (number(handle, "power", &value)) return UNSUPPORTED;
    *out = (u32)value;
    return OK;
}
int nvmlDeviceGetEnforcedPowerLimit(void *handle, u32 *out) {
    u64 value;
    BEGIN(handle);
    if (number(handle, "power_limit", &value)) return UNSUPPORTED;
    *out = (u32)value;
    return OK;
}
int nvmlDeviceGetTotalEccErrors(void *handle, u32 type, u32 counter, u64 *out) {
    (void)type;
    (void)counter;
    BEGIN(handle);
    return number(handle, "ecc", out);
}
int nvmlDeviceGetRemappedRows(void *handle, u32 *correctable, u32 *wrong, u32 *pending, u32 *failed) {
    u64 waiting = 0, failure = 0;
    BEGIN(handle);
    number(handle, "rows_failed", &failure);
    if (number(handle, "rows_pending", &waiting)) return UNSUPPORTED;
    *correctable = *wrong = 0;
    *pending = (u32)waiting;
    *failed = (u32)failure;
    return OK;
}
int nvmlDeviceGetCurrentClocksEventReasons(void *handle, u64 *out) { BEGIN(handle); return number(handle, "slowdown", out); }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *handle, u64 *out) { BEGIN(handle); return number(handle, "slowdown", out); }

/* N.compute = PID:BYTES PID:BYTES ... */
static int processes(void *handle, const char *key, u32 *count, process *out) {
    char text[4096];
    u32 found = 0;
    if (!about(handle, key, text, sizeof text)) { *count = 0; return OK; }
    for (char *save = NULL, *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        char *colon = strchr(word, ':');
        if (out && found < *count) {
            out[found].pid = (u32)strtoul(word, NULL, 10);
            out[found].memory = colon ? strtoull(colon + 1, NULL, 0) : ~0ULL;
            out[found].gpu_instance = out[found].compute_instance = ~0u;
        }
        found++;
    }
    int small = found > (out ? *count : 0);
    *count = found;
    return small ? TOO_SMALL : OK;
}
int nvmlDeviceGetComputeRunningProcesses_v2(void *h, u32 *count, process *out) { BEGIN(h); return processes(h, "compute", count, out); }
int nvmlDeviceGetComputeRunningProcesses_v3(void *h, u32 *count, process *out) { BEGIN(h); return processes(h, "compute", count, out); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *h, u32 *count, process *out) { BEGIN(h); return processes(h, "graphics", count, out); }

/* N.mig = number of instances (0: MIG is on and there are none). */
int nvmlDeviceGetMigMode(void *handle, u32 *current, u32 *pending) {
    u64 value;
    BEGIN(handle);
    if (number(handle, "mig", &value)) return UNSUPPORTED;
    *current = *pending = 1;
    return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(void *handle, u32 *out) { BEGIN(handle); *out = 7; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, u32 index, void **out) {
    u64 value;
    BEGIN(handle);
    if (number(handle, "mig", &value) || index >= value) return NOT_FOUND;
    *out = (void *)((size_t)handle * 256 + index + 1);
    return OK;
}

/* N.near.M = nvmlGpuTopologyLevel_t. */
int nvmlDeviceGetTopologyCommonAncestor(void *one, void *other, u32 *out) {
    char key[64];
    u64 value;
    BEGIN(one);
    snprintf(key, sizeof key, "near.%zu", (size_t)other - 1);
    if (number(one, key, &value)) return UNSUPPORTED;
    *out = (u32)value;
    return OK;
}
/* N.link.L = the PCI address at its far end. */
int nvmlDeviceGetNvLinkState(void *handle, u32 link, u32 *out) {
    char key[32], text[64];
    BEGIN(handle);
    snprintf(key, sizeof key, "link.%u", link);
    if (!about(handle, key, text, sizeof text)) return INVALID;
    *out = 1;
    return OK;
}
int nvmlDeviceGetNvLinkRemotePciInfo_v2(void *handle, u32 link, pci *out) {
    char key[32];
    BEGIN(handle);
    memset(out, 0, sizeof *out);
    snprintf(key, sizeof key, "link.%u", link);
    return about(handle, key, out->bus_id, sizeof out->bus_id) ? OK : UNSUPPORTED;
}

/* What JupyterLab's dashboard asks besides: a GPU without NVLink. PCIe throughput is in KB/s. */
int nvmlDeviceGetNvLinkVersion(void *handle, u32 link, u32 *out) { (void)link; (void)out; BEGIN(handle); return UNSUPPORTED; }
int nvmlDeviceGetMaxPcieLinkGeneration(void *handle, u32 *out) { BEGIN(handle); *out = 4; return OK; }
int nvmlDeviceGetMaxPcieLinkWidth(void *handle, u32 *out) { BEGIN(handle); *out = 16; return OK; }
int nvmlDeviceGetPcieThroughput(void *handle, u32 counter, u32 *out) { BEGIN(handle); *out = 1000000 << counter; return OK; }
