"""Region programs on a device."""
