/* A stand-in for nvidia-smi that asks the stand-in for NVML what the real one asks for its table, and no more:
 * what is measured against it is measured against a lower bound of the real one. */
#include <stdio.h>

typedef unsigned int u32;
typedef unsigned long long u64;
typedef struct { u64 total, free, used; } memory;
typedef struct { u32 gpu, memory; } utilization;
typedef struct { u32 pid; u64 memory; u32 gpu_instance, compute_instance; } process;

int nvmlInitWithFlags(u32);
int nvmlShutdown(void);
int nvmlSystemGetDriverVersion(char *, u32);
int nvmlDeviceGetCount_v2(u32 *);
int nvmlDeviceGetHandleByIndex_v2(u32, void **);
int nvmlDeviceGetName(void *, char *, u32);
int nvmlDeviceGetMemoryInfo(void *, memory *);
int nvmlDeviceGetUtilizationRates(void *, utilization *);
int nvmlDeviceGetTemperature(void *, u32, u32 *);
int nvmlDeviceGetPowerUsage(void *, u32 *);
int nvmlDeviceGetEnforcedPowerLimit(void *, u32 *);
int nvmlDeviceGetComputeRunningProcesses_v3(void *, u32 *, process *);

int main(void) {
    char driver[80] = "", name[96];
    u32 count = 0;
    if (nvmlInitWithFlags(0)) return 9;
    nvmlSystemGetDriverVersion(driver, sizeof driver);
    nvmlDeviceGetCount_v2(&count);
    printf("driver %s\n", driver);
    for (u32 index = 0; index < count; index++) {
        void *gpu;
        memory bytes = {0, 0, 0};
        utilization load = {0, 0};
        u32 celsius = 0, power = 0, limit = 0, found = 64;
        process processes[64];
        if (nvmlDeviceGetHandleByIndex_v2(index, &gpu)) continue;
        nvmlDeviceGetName(gpu, name, sizeof name);
        nvmlDeviceGetMemoryInfo(gpu, &bytes);
        nvmlDeviceGetUtilizationRates(gpu, &load);
        nvmlDeviceGetTemperature(gpu, 0, &celsius);
        nvmlDeviceGetPowerUsage(gpu, &power);
        nvmlDeviceGetEnforcedPowerLimit(gpu, &limit);
        printf("%u %s %uC %uW/%uW %lluMiB/%lluMiB %u%%\n", index, name, celsius, power / 1000, limit / 1000,
               bytes.used >> 20, bytes.total >> 20, load.gpu);
        if (nvmlDeviceGetComputeRunningProcesses_v3(gpu, &found, processes) == 0)
            for (u32 one = 0; one < found; one++) printf("  %u %lluMiB\n", processes[one].pid, processes[one].memory >> 20);
    }
    return nvmlShutdown();
}
