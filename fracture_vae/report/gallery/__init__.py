"""The gallery: all runs of a group on one page that needs neither a network nor a server."""

from fracture_vae.report.gallery.page import PAGE, Gallery, write_gallery

__all__ = ["PAGE", "Gallery", "write_gallery"]
