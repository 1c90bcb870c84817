"""The commands, a module for each kind; they import the other rooms lazily, inside, so that `--help` is quick."""
