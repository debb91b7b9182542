"""Training of the networks: losses, augmentation, the loop. Host only; this module loads no torch."""
