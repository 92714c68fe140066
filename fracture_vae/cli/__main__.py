"""``python -m fracture_vae.cli`` is ``fracture-vae``."""

from fracture_vae.cli import main

if __name__ == "__main__":
    main()
