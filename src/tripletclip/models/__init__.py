"""Everything that is open_clip-shaped: build, encode, save and load a model with its tokenizer.

A model is open_clip's own class. A saved folder is an open_clip ``local-dir``: any program that knows open_clip loads
it with ``open_clip.create_model_and_transforms("local-dir:FOLDER")``.
"""

from tripletclip.models.build import ModelConfig, build, build_model, fresh_clip, new_clip, open_clip_config, with_bias
from tripletclip.models.clip import Clip, image_features, text_features
from tripletclip.models.flops import flops_known, forward_flops
from tripletclip.models.folder import CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE, save_clip, weights_hash
from tripletclip.models.identity import model_digest
from tripletclip.models.named import load_clip
from tripletclip.models.tokenizers import Tokenizer, WordTokenizer

__all__ = [
    "CONFIG_FILE",
    "TOKENIZER_FILE",
    "WEIGHTS_FILE",
    "Clip",
    "ModelConfig",
    "Tokenizer",
    "WordTokenizer",
    "build",
    "build_model",
    "flops_known",
    "forward_flops",
    "fresh_clip",
    "image_features",
    "load_clip",
    "model_digest",
    "new_clip",
    "open_clip_config",
    "save_clip",
    "text_features",
    "weights_hash",
    "with_bias",
]
