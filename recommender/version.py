"""The version of the package; a module of its own, so that inner modules need not import the package itself."""

__version__ = "0.2.0"
