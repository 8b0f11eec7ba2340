"""Training from files: folders of images and masks, and a TOML file that names them, become a model with a card."""
