"""Objects as the connected parts of a class, found piece by piece and joined across borders."""
