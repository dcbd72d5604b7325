import os

# Waiting threads must sleep: on a shared machine two spinning threads take four times as long as one. OpenMP reads this
# when torch loads it, so it is set before.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KMP_BLOCKTIME", "0")  # the same for Intel's and LLVM's OpenMP, on macOS and Windows
# Operations missing on Apple's GPUs run on the CPU; also read when torch is loaded.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
