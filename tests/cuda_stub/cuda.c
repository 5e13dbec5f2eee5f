/* A stand-in for libcuda.so.1: it keeps "device" memory in ordinary memory and runs the one kernel of gpu-check.py
 * itself, from the parameters as the real driver would read them. What it cannot show is speed, or that a GPU computes.
 *
 *   CUDA_STUB_GPUS    how many GPUs (1)
 *   CUDA_STUB_FREE    free bytes (256 MiB)
 *   CUDA_STUB_FAULT   FUNCTION=CODE: that function returns the CUresult; FUNCTION=crash; FUNCTION=hang
 *   CUDA_STUB_WRONG   sums come out wrong
 *   CUDA_STUB_LOG     a file that gets the name of each function called
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long long address;
enum { OK = 0, INVALID = 1 };
static char context, module, function, events[2];
static int current, made, launches, launched;

static int fault(const char *name) {
    const char *wanted = getenv("CUDA_STUB_FAULT"), *log = getenv("CUDA_STUB_LOG");
    size_t length = strlen(name);
    if (log) {
        FILE *file = fopen(log, "a");
        if (file) { fprintf(file, "%s\n", name); fclose(file); }
    }
    if (!wanted || strncmp(wanted, name, length) || wanted[length] != '=') return OK;
    if (!strcmp(wanted + length + 1, "crash")) abort();
    if (!strcmp(wanted + length + 1, "hang")) for (;;) pause();
    return atoi(wanted + length + 1);
}

static size_t number(const char *name, size_t otherwise) { return getenv(name) ? strtoull(getenv(name), NULL, 0) : otherwise; }

#define BEGIN do { int code = fault(__func__); if (code) return code; } while (0)
#define MUST(what) do { if (!(what)) { fprintf(stderr, "%s: not " #what "\n", __func__); return INVALID; } } while (0)

int cuInit(unsigned flags) { BEGIN; MUST(flags == 0); return OK; }
int cuGetErrorString(int code, const char **words) { *words = code == 218 ? "a PTX JIT compilation failed" : NULL; return OK; }
int cuDeviceGetCount(int *count) { BEGIN; *count = (int)number("CUDA_STUB_GPUS", 1); return OK; }
int cuDeviceGet(int *device, int ordinal) { BEGIN; *device = ordinal + 100; return OK; } /* a handle is not a number */
int cuDeviceGetName(char *name, int size, int device) { BEGIN; MUST(device >= 100); snprintf(name, size, "NVIDIA L4"); return OK; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { BEGIN; MUST(device >= 100); *bytes = 24000000000; return OK; }
int cuDeviceGetAttribute(int *value, int which, int device) { BEGIN; MUST(device >= 100); *value = which == 75 ? 8 : 9; return OK; }
int cuDevicePrimaryCtxRetain(void **out, int device) { BEGIN; MUST(device >= 100); *out = &context; return OK; }
int cuCtxSetCurrent(void *given) { BEGIN; MUST(given == &context); current = 1; return OK; }
int cuModuleLoadData(void **out, const char *text) {
    BEGIN;
    MUST(current && strstr(text, ".target sm_75") && strstr(text, ".visible .entry add("));
    *out = &module;
    return OK;
}
int cuModuleGetFunction(void **out, void *given, const char *name) {
    BEGIN;
    MUST(given == &module && !strcmp(name, "add"));
    *out = &function;
    return OK;
}
int cuMemGetInfo_v2(size_t *free_, size_t *total) { BEGIN; MUST(current); *free_ = number("CUDA_STUB_FREE", 256 << 20); *total = 24000000000; return OK; }
int cuMemAlloc_v2(address *out, size_t bytes) { BEGIN; MUST(current); *out = (address)malloc(bytes); return *out ? OK : 2; }
int cuMemsetD32_v2(address there, unsigned value, size_t count) {
    BEGIN;
    for (size_t i = 0; i < count; i++) ((unsigned *)there)[i] = value;
    return OK;
}
int cuLaunchKernel(void *given, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **params, void **extra) {
    BEGIN;
    MUST(given == &function && gy == 1 && gz == 1 && by == 1 && bz == 1 && shared == 0 && !stream && !extra);
    float *a = (float *)*(address *)params[0], *b = (float *)*(address *)params[1], *c = (float *)*(address *)params[2];
    unsigned quads = *(unsigned *)params[3];
    MUST((size_t)gx * bx >= quads);
    launches++;
    if (launched++) return OK; /* the sums are there already */
    for (size_t i = 0; i < (size_t)quads * 4; i++) c[i] = a[i] + b[i] + (getenv("CUDA_STUB_WRONG") ? 1 : 0);
    return OK;
}
int cuCtxSynchronize(void) { BEGIN; return OK; }
int cuEventCreate(void **out, unsigned flags) { BEGIN; MUST(flags == 0 && made < 2); *out = &events[made++]; return OK; }
int cuEventRecord(void *event, void *stream) { BEGIN; MUST(event && !stream); launches = event == &events[0] ? 0 : launches; return OK; }
int cuEventSynchronize(void *event) { BEGIN; MUST(event == &events[1]); return OK; }
int cuEventElapsedTime(float *milliseconds, void *begin, void *end) {
    BEGIN;
    MUST(begin == &events[0] && end == &events[1] && launches == 20);
    *milliseconds = 10;
    return OK;
}
int cuMemcpyDtoH_v2(void *here, address there, size_t bytes) { BEGIN; memcpy(here, (void *)there, bytes); return OK; }
