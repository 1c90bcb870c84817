"""Opens what was published and answers HTTP; never trains, never imports torch for a by-id question."""

import os

# One thread for a request, since there is a worker for each core: more would wait for each other, spinning.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
