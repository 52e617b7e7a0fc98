"""Hard negatives for anyone's pairs: captions, images, and the engine that runs the stages."""
