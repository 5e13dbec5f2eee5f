"""Tries the GPUs of a project's container: `rigstack gpu check` sends this text to the Python there.

It imports the standard library only, runs whatever of nvcc, torch, jax and cupy is installed, each in a process of its
own so that a crash is one line of the answer, and prints one JSON object as its last line.
"""

import ctypes
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

KERNEL = r"""
#include <cstdio>
#include <cuda_runtime.h>
#define CHECK(call) do { cudaError_t e = (call); if (e != cudaSuccess) { \
    fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(e)); return 1; } } while (0)
__global__ void add(const float *a, const float *b, float *c, size_t n) {
    size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (i < n) c[i] = a[i] + b[i];
}
__global__ void fill(float *a, float value, size_t n) {
    size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (i < n) a[i] = value;
}
int main() {
    size_t free, total, n = 64 << 20;
    CHECK(cudaMemGetInfo(&free, &total));
    while (3 * n * sizeof(float) > free / 2) n /= 2;
    float *a, *b, *c, last;
    CHECK(cudaMalloc(&a, n * sizeof(float)));
    CHECK(cudaMalloc(&b, n * sizeof(float)));
    CHECK(cudaMalloc(&c, n * sizeof(float)));
    unsigned blocks = (n + 255) / 256;
    fill<<<blocks, 256>>>(a, 1.5f, n);
    fill<<<blocks, 256>>>(b, 2.25f, n);
    add<<<blocks, 256>>>(a, b, c, n);
    CHECK(cudaDeviceSynchronize());
    CHECK(cudaMemcpy(&last, c + n - 1, sizeof last, cudaMemcpyDeviceToHost));
    if (last != 3.75f) { fprintf(stderr, "1.5 + 2.25 came out as %f\n", last); return 1; }
    cudaEvent_t begin, end;
    CHECK(cudaEventCreate(&begin));
    CHECK(cudaEventCreate(&end));
    CHECK(cudaEventRecord(begin));
    for (int i = 0; i < 20; i++) add<<<blocks, 256>>>(a, b, c, n);
    CHECK(cudaEventRecord(end));
    CHECK(cudaEventSynchronize(end));
    float ms;
    CHECK(cudaEventElapsedTime(&ms, begin, end));
    printf("{\"bandwidth\": %.1f}\n", 20.0 * 3 * n * sizeof(float) / ms / 1e6);
    return 0;
}
"""

# Each prints {"version", "tflops", "dtype"}: a square product of matrices, 2 n^3 operations.
FRAMEWORKS = {
    "torch": """
import json, torch
if not torch.cuda.is_available():
    raise SystemExit(f"sees no GPU; it is made for CUDA {torch.version.cuda or 'none'}")
n = 8192 if torch.cuda.mem_get_info()[0] > 4e9 else 2048
dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
a, b = (torch.randn(n, n, device="cuda", dtype=dtype) for _ in range(2))
for _ in range(3):
    a @ b
begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
begin.record()
for _ in range(20):
    a @ b
end.record()
torch.cuda.synchronize()
seconds = begin.elapsed_time(end) / 1000 / 20
dtype = str(dtype).removeprefix("torch.")
print(json.dumps({"version": torch.__version__, "tflops": 2 * n**3 / seconds / 1e12, "dtype": dtype}))
""",
    "jax": """
import json, time, jax, jax.numpy as jnp
if jax.default_backend() != "gpu":
    raise SystemExit(f"sees no GPU; it runs on the {jax.default_backend()}")
n = 8192
a = jax.random.normal(jax.random.key(0), (n, n), dtype=jnp.bfloat16)
multiply = jax.jit(lambda x: x @ x)
multiply(a).block_until_ready()
begin = time.perf_counter()
for _ in range(20):
    result = multiply(a)
result.block_until_ready()
seconds = (time.perf_counter() - begin) / 20
print(json.dumps({"version": jax.__version__, "tflops": 2 * n**3 / seconds / 1e12, "dtype": "bfloat16"}))
""",
    "cupy": """
import json, cupy
n = 8192 if cupy.cuda.Device().mem_info[0] > 4e9 else 2048
a = cupy.random.rand(n, n, dtype=cupy.float32).astype(cupy.float16)
for _ in range(3):
    a @ a
begin, end = cupy.cuda.Event(), cupy.cuda.Event()
begin.record()
for _ in range(20):
    a @ a
end.record()
end.synchronize()
seconds = cupy.cuda.get_elapsed_time(begin, end) / 1000 / 20
print(json.dumps({"version": cupy.__version__, "tflops": 2 * n**3 / seconds / 1e12, "dtype": "float16"}))
""",
}


def devices():
    """What the driver's own library sees, or the words why it sees nothing."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver in the container: libcuda.so.1 is not there"
    code = cuda.cuInit(0)
    if code:
        words = {100: "no GPU in the container", 803: "the driver's library and the kernel's module differ: reboot"}
        return words.get(code, f"the driver does not start (cuInit: {code})")
    count = ctypes.c_int()
    cuda.cuDeviceGetCount(ctypes.byref(count))
    found = []
    for number in range(count.value):
        name, memory = ctypes.create_string_buffer(96), ctypes.c_size_t()
        cuda.cuDeviceGetName(name, 96, number)
        cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), number)
        parts = []
        for attribute in (75, 76):  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
            part = ctypes.c_int()
            cuda.cuDeviceGetAttribute(ctypes.byref(part), attribute, number)
            parts.append(str(part.value))
        entry = {"name": name.value.decode(errors="replace"), "memory": memory.value, "capability": ".".join(parts)}
        found.append(entry)
    return found or "no GPU in the container"


def answer(name, argv, timeout=300):
    """Runs a program whose last line is JSON; what it says, or {"state", "words"} of its failure."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return {"name": name, "state": "failed", "words": f"did not end within {timeout} s"}
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"ended with status {done.returncode}"]
        return {"name": name, "state": "failed", "words": lines[-1]}
    return {"name": name, "state": "ok", "words": "", **json.loads(done.stdout.strip().splitlines()[-1])}


def kernel(capability):
    """Compiles a kernel with the container's nvcc for this very GPU, and runs it."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        return {"name": "nvcc", "state": "absent", "words": "no CUDA compiler in this project"}
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "check.cu", str(Path(folder) / "check")
        source.write_text(KERNEL)
        arch = f"-arch=sm_{capability.replace('.', '')}"
        made = subprocess.run([nvcc, arch, "-o", program, str(source)], capture_output=True, text=True)
        if made.returncode:
            words = (made.stderr or made.stdout).strip().splitlines() or ["it says nothing"]
            return {"name": "nvcc", "state": "failed", "words": f"cannot compile: {words[-1]}"}
        return answer("nvcc", [program])


def installed(name):
    """Whether this Python has the package, without importing it here."""
    from importlib.util import find_spec

    return find_spec(name) is not None


def main():
    found = devices()
    if isinstance(found, str):
        print(json.dumps({"gpu": False, "why": found, "devices": [], "checks": []}))
        return
    checks = [kernel(found[0]["capability"])]
    for name, program in FRAMEWORKS.items():
        if installed(name):
            checks.append(answer(name, [sys.executable, "-c", program]))
    print(json.dumps({"gpu": True, "why": "", "devices": found, "checks": checks}))


main()
