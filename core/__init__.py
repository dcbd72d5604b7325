import os

# Threads that wait for each other must sleep: on a shared machine two that spin take four times as long as one. The
# threading library reads this when torch loads it, so it has to be said before.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
