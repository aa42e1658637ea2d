"""One module for each kind of file: `read(file)` returns its parts."""
