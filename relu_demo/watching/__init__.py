"""What goes wrong with writes in place while any code runs: the saver, the writers and the cure of each fault."""
