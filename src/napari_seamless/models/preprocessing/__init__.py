"""What is done to pixels before a network, and to its output after it: modules, traced like any other layer."""
