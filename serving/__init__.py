"""The HTTP service over published bundles; it never trains, and needs torch for text and image queries alone."""

import os

# One thread per request, since there is a worker per core: more threads would spin while they wait.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
