"""What a run delivers for an app: models of both runtimes, labels, preprocessing, sample images, code to load them."""

from edgeprune.bundle.write import bundle_of, write_bundle

__all__ = ["bundle_of", "write_bundle"]
