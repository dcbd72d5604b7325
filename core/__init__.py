import os

# Threads that wait for each other must sleep: on a shared machine two that spin take four times as long as one. The
# threading library reads this when torch loads it, so it has to be said before.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KMP_BLOCKTIME", "0")  # the same of Intel's and LLVM's, which torch has on macOS and Windows
# What Apple's GPUs cannot do is done by the CPU; torch reads this when it is loaded too.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
