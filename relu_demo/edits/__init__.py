"""A cure as data: which piece of source is replaced in which file, shown as a patch and tried from memory."""
