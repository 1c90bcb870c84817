"""Item and user towers: numpy forward passes of what training learned."""
