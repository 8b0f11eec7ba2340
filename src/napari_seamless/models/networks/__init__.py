"""The bundled architectures, and what is built of them."""
