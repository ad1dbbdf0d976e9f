"""What tests share: the command and its output, pseudo-terminals, networks, colours."""
