"""What a forward pass costs: derived by hand for ViT-B/32, refused where nobody counted."""

import open_clip
import pytest

from tripletclip.errors import UserError
from tripletclip.models import flops_known, forward_flops


def test_flops_of_vit_b_32() -> None:
    """49 patches of 32 px and a class token through 12 layers of width 768; 77 tokens through 12 of width 512.

    Image: 2·49·3·32²·768 + 12·(24·50·768² + 4·50²·768) = 8.817e9. Text: 12·(24·77·512² + 4·77²·512) = 5.959e9.
    """
    image, text = forward_flops(open_clip.get_model_config("ViT-B-32"), 77)
    assert image == 2 * 49 * 3 * 32**2 * 768 + 12 * (24 * 50 * 768**2 + 4 * 50**2 * 768)
    assert text == 12 * (24 * 77 * 512**2 + 4 * 77**2 * 512)


@pytest.mark.parametrize("name", ["RN50", "ViT-B-16-SigLIP", "roberta-ViT-B-32"])
def test_flops_of_other_towers_are_not_guessed(name: str) -> None:
    cfg = open_clip.get_model_config(name)
    assert not flops_known(cfg) and flops_known(open_clip.get_model_config("ViT-L-14"))
    with pytest.raises(UserError, match=r"the FLOPs of this model are not known: its (image|text) tower"):
        forward_flops(cfg, 77)


def test_an_mlp_of_another_width_counts() -> None:
    cfg = open_clip.get_model_config("ViT-H-14")
    wider = cfg | {"vision_cfg": cfg["vision_cfg"] | {"mlp_ratio": 5.0}}
    layers, width, tokens = cfg["vision_cfg"]["layers"], cfg["vision_cfg"]["width"], (224 // 14) ** 2 + 1
    more = forward_flops(wider, 77)[0] - forward_flops(cfg, 77)[0]
    assert more == pytest.approx(layers * 4 * tokens * width**2)
