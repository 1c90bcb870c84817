"""Learns weights from a shop's products and events, and publishes bundles."""

import os

# Threads that spin while they wait take the other processes' cores: five times slower on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
