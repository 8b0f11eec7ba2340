"""The dock that runs a network on an image."""
