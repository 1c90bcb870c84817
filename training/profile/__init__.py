"""The profile tower: users' attributes and the context of a request."""
