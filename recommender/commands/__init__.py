"""The commands, a module for each kind; they import training and serving inside, so that `--help` is quick."""
