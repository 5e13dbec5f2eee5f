"""Tries the GPUs of a project's container: `rigstack gpu check` sends this text to the Python there.

It imports the standard library only. Every GPU runs a kernel through the driver itself, which any project has; where
they are installed, nvcc, torch, jax and cupy run too. Each in a process of its own, so that a crash is one line of the
answer. It prints one JSON object as its last line.
"""

import ctypes
import errno
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONTROL = "/dev/nvidiactl"
WARM = 0.5  # seconds until an idle GPU and its memory run at full speed
BATCHES, LAUNCHES = 5, 20  # the best batch counts, as in STREAM
MOST, LEAST = 256 << 20, 32 << 20  # bytes of an array: three of them are to be well above any L2 cache

# c = a + b, four floats a thread. The driver compiles it for the GPU at hand; one before Turing needs an older target.
PTX = """
.version 6.3
.target %s
.address_size 64
.visible .entry add(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 quads)
{
    .reg .pred %%past;
    .reg .u32 %%block, %%size, %%lane, %%quad, %%end;
    .reg .u64 %%a, %%b, %%c, %%offset;
    .reg .f32 %%x<4>, %%y<4>;
    mov.u32 %%block, %%ctaid.x;
    mov.u32 %%size, %%ntid.x;
    mov.u32 %%lane, %%tid.x;
    mad.lo.u32 %%quad, %%block, %%size, %%lane;
    ld.param.u32 %%end, [quads];
    setp.ge.u32 %%past, %%quad, %%end;
    @%%past bra done;
    ld.param.u64 %%a, [a];
    ld.param.u64 %%b, [b];
    ld.param.u64 %%c, [c];
    cvta.to.global.u64 %%a, %%a;
    cvta.to.global.u64 %%b, %%b;
    cvta.to.global.u64 %%c, %%c;
    mul.wide.u32 %%offset, %%quad, 16;
    add.u64 %%a, %%a, %%offset;
    add.u64 %%b, %%b, %%offset;
    add.u64 %%c, %%c, %%offset;
    ld.global.v4.f32 {%%x0, %%x1, %%x2, %%x3}, [%%a];
    ld.global.v4.f32 {%%y0, %%y1, %%y2, %%y3}, [%%b];
    add.f32 %%x0, %%x0, %%y0;
    add.f32 %%x1, %%x1, %%y1;
    add.f32 %%x2, %%x2, %%y2;
    add.f32 %%x3, %%x3, %%y3;
    st.global.v4.f32 [%%c], {%%x0, %%x1, %%x2, %%x3};
done:
    ret;
}
"""

# A program of the CUDA runtime, as people build them.
SOURCE = r"""
#include <cstdio>
#include <cuda_runtime.h>
#define CHECK(call) do { cudaError_t e = (call); if (e != cudaSuccess) { \
    fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(e)); return 1; } } while (0)
__global__ void add(float *sum, float x, float y) { sum[threadIdx.x] = x + y; }
int main() {
    float *sum, last;
    CHECK(cudaMalloc(&sum, 32 * sizeof(float)));
    add<<<1, 32>>>(sum, 1.5f, 2.25f);
    CHECK(cudaGetLastError());
    CHECK(cudaMemcpy(&last, sum + 31, sizeof last, cudaMemcpyDeviceToHost));
    if (last != 3.75f) { fprintf(stderr, "1.5 + 2.25 came out as %f\n", last); return 1; }
    puts("{}");
    return 0;
}
"""

# Each is told the type and prints {"version", "gpus", "tflops"}: a square product of matrices, 2 n^3 operations. Random
# numbers, since a GPU that multiplies zeros draws less power and runs faster.
FRAMEWORKS = {
    "torch": """
import json, sys, time, torch
if not torch.cuda.is_available():
    raise SystemExit(f"sees no GPU; it is made for CUDA {torch.version.cuda or 'none'}")
n = 8192 if torch.cuda.mem_get_info()[0] > 4e9 else 2048
a, b = (torch.randn(n, n, device="cuda", dtype=getattr(torch, sys.argv[1])) for _ in range(2))
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    a @ b
    torch.cuda.synchronize()
begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
begin.record()
for _ in range(20):
    a @ b
end.record()
end.synchronize()
seconds = begin.elapsed_time(end) / 1000 / 20
gpus = torch.cuda.device_count()
print(json.dumps({"version": torch.__version__, "gpus": gpus, "tflops": 2 * n**3 / seconds / 1e12}))
""",
    "jax": """
import json, os, sys, time
os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # or it takes three quarters of the memory, of others too
import jax, jax.numpy as jnp
if jax.default_backend() != "gpu":
    raise SystemExit(f"sees no GPU; it runs on the {jax.default_backend()}")
n = 8192
a = jax.random.normal(jax.random.key(0), (n, n), dtype=jnp.dtype(sys.argv[1]))
multiply = jax.jit(lambda x: x @ x)
multiply(a).block_until_ready()
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    multiply(a).block_until_ready()
begin = time.perf_counter()
for _ in range(20):
    result = multiply(a)
result.block_until_ready()
seconds = (time.perf_counter() - begin) / 20
print(json.dumps({"version": jax.__version__, "gpus": jax.device_count(), "tflops": 2 * n**3 / seconds / 1e12}))
""",
    "cupy": """
import json, sys, time, cupy
n = 8192 if cupy.cuda.Device().mem_info[0] > 4e9 else 2048
a = cupy.random.standard_normal((n, n), dtype=cupy.float32).astype(cupy.float16)
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    a @ a
    cupy.cuda.Device().synchronize()
begin, end = cupy.cuda.Event(), cupy.cuda.Event()
begin.record()
for _ in range(20):
    a @ a
end.record()
end.synchronize()
seconds = cupy.cuda.get_elapsed_time(begin, end) / 1000 / 20
gpus = cupy.cuda.runtime.getDeviceCount()
print(json.dumps({"version": cupy.__version__, "gpus": gpus, "tflops": 2 * n**3 / seconds / 1e12, "dtype": "float16"}))
""",
}


class Failed(Exception):
    """What went wrong, in words."""


def driver():
    """The driver's own library, started; raises Failed."""
    try:
        os.close(os.open(CONTROL, os.O_RDWR))
    except OSError as refused:
        if refused.errno == errno.EPERM:  # as images/base/lib/health-gpu; anything else is for the driver to tell
            raise Failed(f"lost its GPUs: {CONTROL} may not be opened any more") from None
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise Failed("no NVIDIA driver in the container: libcuda.so.1 is not there") from None
    code = cuda.cuInit(0)
    if code:
        words = {100: "no GPU in the container", 803: "the driver's library and the kernel's module differ: reboot"}
        raise Failed(words.get(code, f"the driver does not start (cuInit: {code})"))
    return cuda


def call(cuda, name, *args):
    """One call of the driver API; raises Failed with its own words."""
    code = getattr(cuda, name)(*args)
    if code:
        words = ctypes.c_char_p()
        cuda.cuGetErrorString(code, ctypes.byref(words))
        raise Failed(f"{name}: {(words.value or b'error %d' % code).decode(errors='replace')}")


def devices():
    """Name, memory in bytes and compute capability of each GPU that the driver shows; raises Failed for none."""
    cuda = driver()
    count = ctypes.c_int()
    call(cuda, "cuDeviceGetCount", ctypes.byref(count))
    found = []
    for number in range(count.value):
        device = ctypes.c_int()
        name, memory = ctypes.create_string_buffer(96), ctypes.c_size_t()
        call(cuda, "cuDeviceGet", ctypes.byref(device), number)
        call(cuda, "cuDeviceGetName", name, 96, device)
        call(cuda, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
        parts = []
        for attribute in (75, 76):  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
            part = ctypes.c_int()
            call(cuda, "cuDeviceGetAttribute", ctypes.byref(part), attribute, device)
            parts.append(str(part.value))
        entry = {"name": name.value.decode(errors="replace"), "memory": memory.value, "capability": ".".join(parts)}
        found.append(entry)
    if not found:
        raise Failed("no GPU in the container")
    return {"devices": found}


def kernel(number, capability):
    """Runs the kernel on one GPU: {"bandwidth"} in GB/s, read and written; raises Failed, also for a wrong sum."""
    cuda = driver()
    device, context, module, function = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    call(cuda, "cuDeviceGet", ctypes.byref(device), number)
    call(cuda, "cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    call(cuda, "cuCtxSetCurrent", context)
    target = "sm_75" if tuple(map(int, capability.split("."))) >= (7, 5) else "sm_50"
    call(cuda, "cuModuleLoadData", ctypes.byref(module), (PTX % target).encode())
    call(cuda, "cuModuleGetFunction", ctypes.byref(function), module, b"add")
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    call(cuda, "cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    size = MOST
    while size > LEAST and 3 * size > free.value // 2:
        size //= 2
    if 3 * size > free.value:
        raise Failed(f"only {free.value >> 20} MiB of its memory are free: too little to measure")
    arrays = [ctypes.c_uint64() for _ in range(3)]
    for array in arrays:
        call(cuda, "cuMemAlloc_v2", ctypes.byref(array), ctypes.c_size_t(size))
    for place, value in enumerate((1.5, 2.25, 0.0)):
        (bits,) = struct.unpack("<I", struct.pack("<f", value))
        call(cuda, "cuMemsetD32_v2", arrays[place], ctypes.c_uint(bits), ctypes.c_size_t(size // 4))
    quads = ctypes.c_uint(size // 16)
    values = [*arrays, quads]
    params = (ctypes.c_void_p * 4)(*(ctypes.cast(ctypes.byref(value), ctypes.c_void_p) for value in values))

    def launch():
        for _ in range(LAUNCHES):
            call(cuda, "cuLaunchKernel", function, size // 16 // 256, 1, 1, 256, 1, 1, 0, None, params, None)

    until = time.monotonic() + WARM
    while time.monotonic() < until:
        launch()
        call(cuda, "cuCtxSynchronize")
    begin, end, took = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_float()
    call(cuda, "cuEventCreate", ctypes.byref(begin), 0)
    call(cuda, "cuEventCreate", ctypes.byref(end), 0)
    best = 0.0
    for _ in range(BATCHES):
        call(cuda, "cuEventRecord", begin, None)
        launch()
        call(cuda, "cuEventRecord", end, None)
        call(cuda, "cuEventSynchronize", end)
        call(cuda, "cuEventElapsedTime", ctypes.byref(took), begin, end)  # milliseconds
        best = max(best, 3.0 * size * LAUNCHES / (took.value / 1e3) / 1e9)
    check_sums(cuda, arrays[2], size)
    return {"bandwidth": best}


def check_sums(cuda, array, size):
    """Raises Failed when a sum is wrong, looking at 64 places all over the array."""
    here = ctypes.create_string_buffer(4096)
    wanted = struct.pack("<f", 3.75) * (len(here) // 4)
    for place in range(64):
        there = ctypes.c_uint64(array.value + place * ((size - len(here)) // 63 // 16 * 16))
        call(cuda, "cuMemcpyDtoH_v2", here, there, ctypes.c_size_t(len(here)))
        if here.raw != wanted:
            raise Failed(f"1.5 + 2.25 came out as {struct.unpack('<f', here.raw[:4])[0]}")


def apart(name, work, *args, timeout=120):
    """What work(*args) returns, done in a process of its own, or {"state", "words"} of its failure."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        signal.alarm(timeout)
        try:
            answered = {"name": name, "state": "ok", "words": "", **work(*args)}
        except Failed as failed:
            answered = {"name": name, "state": "failed", "words": str(failed)}
        except Exception as failed:  # a driver without one of these functions
            answered = {"name": name, "state": "failed", "words": f"{type(failed).__name__}: {failed}"}
        os.write(writer, json.dumps(answered).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if said:
        return json.loads(said)
    ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    words = f"did not end within {timeout} s" if ended == signal.SIGALRM else f"crashed (wait status {status})"
    return {"name": name, "state": "failed", "words": words}


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


def compiler(capability):
    """Builds a program with the container's nvcc for this very GPU, and runs it."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        return {"name": "nvcc", "state": "absent", "words": "no CUDA compiler in this project"}
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "check.cu", str(Path(folder) / "check")
        source.write_text(SOURCE)
        arch = f"sm_{capability.replace('.', '')}"
        made = subprocess.run([nvcc, f"-arch={arch}", "-o", program, str(source)], capture_output=True, text=True)
        if made.returncode:
            words = (made.stderr or made.stdout).strip().splitlines() or ["it says nothing"]
            return {"name": "nvcc", "state": "failed", "words": f"cannot compile: {words[-1]}"}
        found = answer("nvcc", [program])
        return {**found, "words": found["words"] or f"what it compiles for {arch} runs"}


def installed(name):
    """Whether this Python has the package, without importing it here."""
    from importlib.util import find_spec

    return find_spec(name) is not None


def main():
    told = apart("devices", devices)
    if told["state"] != "ok":
        print(json.dumps({"gpu": False, "why": told["words"], "devices": [], "checks": []}))
        return
    found = told["devices"]
    checks = [{**apart("driver", kernel, n, one["capability"]), "gpu": n} for n, one in enumerate(found)]
    capability = found[0]["capability"]
    checks.append(compiler(capability))
    # Cards before Ampere have no bfloat16: frameworks emulate it, slowly.
    dtype = "bfloat16" if int(capability.split(".")[0]) >= 8 else "float16"
    for name, program in FRAMEWORKS.items():
        if installed(name):
            checks.append({"dtype": dtype, **answer(name, [sys.executable, "-c", program, dtype, str(WARM)])})
    print(json.dumps({"gpu": True, "why": "", "devices": found, "checks": checks}))


main()
