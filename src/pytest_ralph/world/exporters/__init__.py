"""How metrics of one library are read: one module each, used only if the program has loaded the library."""
