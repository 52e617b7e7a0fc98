"""What moves and what stays: frozen towers and blocks, adapters, fresh towers, learning rates by depth."""

from pathlib import Path
from typing import Any

import pytest
import torch
from made_batches import made_batch, tiny_clip
from tiny_runs import MODEL, WORDS, run, tiny

from tripletclip.errors import UserError
from tripletclip.models import Clip, image_features, load_clip, new_clip, text_features
from tripletclip.training.optim import make_optimizer, set_learning_rate
from tripletclip.training.settings import Tune
from tripletclip.training.step import Learner, train_step
from tripletclip.training.tune import add_adapters, draw_anew, freeze, places, rates, without_adapters

TEXT_PARTS = ("transformer.", "token_embedding", "positional_embedding", "ln_final", "text_projection")


def two_blocks() -> Clip:
    clip = new_clip(MODEL.__class__(**(vars(MODEL) | {"vision_layers": 2, "text_layers": 2})), WORDS, 0)
    clip.model.train()
    return clip


def moved(clip: Clip, tune: Tune) -> set[str]:
    """Names of the parameters that a step changes."""
    before = {name: weight.detach().clone() for name, weight in clip.model.named_parameters()}
    freeze(clip.model, tune)
    train_step(Learner.alone(tiny(Path("data"), Path("out"), tune=tune, learning_rate=0.1), clip), made_batch(4))
    return {name for name, weight in clip.model.named_parameters() if not torch.equal(weight, before[name])}


def test_a_frozen_tower_does_not_move_and_the_other_does() -> None:
    for tune, still in ((Tune(freeze_image="all"), ("visual.",)), (Tune(freeze_text="all"), TEXT_PARTS)):
        found = moved(tiny_clip(), tune)
        everything = {name for name, weight in tiny_clip().model.named_parameters() if weight.requires_grad}
        # Biases of keys have no gradient in softmax attention but for rounding; everything else that may move does.
        assert everything - found <= {name for name in everything if name.startswith(still) or "in_proj_bias" in name}
        assert not any(name.startswith(still) for name in found) and "logit_scale" in found


def test_the_first_blocks_stay_with_what_lies_before_them() -> None:
    found = moved(two_blocks(), Tune(freeze_image=1, freeze_text=2))
    assert not any(name.startswith(("visual.conv1", "visual.transformer.resblocks.0.")) for name in found)
    assert "visual.transformer.resblocks.1.mlp.c_fc.weight" in found and "visual.proj" in found
    assert {name for name in found if name.startswith(TEXT_PARTS)} == {
        *("ln_final.weight", "ln_final.bias", "text_projection")
    }


def test_places_by_hand() -> None:
    found = places(two_blocks().model)
    assert found["logit_scale"].tower is None
    expected: dict[str, tuple[str, int]] = {
        "visual.class_embedding": ("image", 0),
        "visual.conv1.weight": ("image", 0),
        "visual.transformer.resblocks.0.ln_1.weight": ("image", 1),
        "visual.transformer.resblocks.1.attn.in_proj_weight": ("image", 2),
        "visual.ln_post.bias": ("image", 3),
        "visual.proj": ("image", 3),
        "token_embedding.weight": ("text", 0),
        "positional_embedding": ("text", 0),
        "transformer.resblocks.1.mlp.c_proj.bias": ("text", 2),
        "ln_final.weight": ("text", 3),
        "text_projection": ("text", 3),
    }
    for name, (tower, depth) in expected.items():
        assert (found[name].tower, found[name].depth, found[name].depths) == (tower, depth, 3), name


def test_learning_rates_fall_towards_the_input() -> None:
    """With a factor of 1/2 and two blocks: head 1, blocks 1/2 and 1/4, stem 1/8; the scale has the whole rate."""
    model = two_blocks().model
    factor = rates(model, 0.5)
    assert factor["visual.proj"] == factor["logit_scale"] == 1.0
    assert factor["transformer.resblocks.1.ln_1.weight"] == 0.5
    assert factor["visual.transformer.resblocks.0.ln_1.weight"] == 0.25 and factor["token_embedding.weight"] == 0.125
    optimizer = make_optimizer(model, tiny(Path("data"), Path("out"), tune=Tune(layer_decay=0.5)))
    set_learning_rate(optimizer, 0.8)
    names = {id(weight): name for name, weight in model.named_parameters()}
    found = {names[id(w)]: group["lr"] for group in optimizer.param_groups for w in group["params"]}
    assert found == {name: pytest.approx(0.8 * rate) for name, rate in factor.items()}


def test_the_papers_decay_reaches_everything() -> None:
    settings = tiny(Path("data"), Path("out"), weight_decay=0.3, tune=Tune(decay_everything=True))
    assert {group["weight_decay"] for group in make_optimizer(tiny_clip().model, settings).param_groups} == {0.3}


# ---- adapters ------------------------------------------------------------------------------------------------------


def features(clip: Clip) -> tuple[torch.Tensor, torch.Tensor]:
    clip.model.eval()
    batch = made_batch(4)
    with torch.no_grad():
        found = image_features(clip.model, clip.pixels(batch.image, "cpu")), text_features(clip.model, batch.text, 5)
    clip.model.train()
    return found


@pytest.mark.parametrize(("image", "text"), [(2, 0), (0, 3), (1, 2)])
def test_adapters_start_as_nothing_move_alone_and_merge(image: int, text: int) -> None:
    pytest.importorskip("peft")
    clip, before = two_blocks(), features(two_blocks())
    tune = Tune(lora_image=image, lora_text=text)
    tuner = add_adapters(clip, tune, seed=1)
    torch.testing.assert_close(features(clip), before, rtol=0, atol=0)
    trained = {name for name, weight in clip.model.named_parameters() if weight.requires_grad}
    assert all("lora_" in name for name in trained if name.startswith("visual.")) == bool(image)
    assert all("lora_" in name for name in trained if name.startswith(TEXT_PARTS)) == bool(text)
    assert any("lora_" in name for name in trained if name.startswith("visual.")) == bool(image)
    assert any("lora_" in name for name in trained if name.startswith("transformer.")) == bool(text)
    ranks = {len(w) for name, w in clip.model.named_parameters() if "lora_A" in name}
    assert ranks == {rank for rank in (image, text) if rank} and "logit_scale" in trained
    learner = Learner.alone(tiny(Path("data"), Path("out"), tune=tune, learning_rate=0.05), clip)
    for step in range(3):
        train_step(learner, made_batch(4, seed=step))
    after = features(clip)
    assert all((one - two).abs().max() > 1e-3 for one, two in zip(before, after, strict=True))
    plain = without_adapters(clip, tuner)
    assert plain.model.state_dict().keys() == two_blocks().model.state_dict().keys()
    torch.testing.assert_close(features(plain), after, rtol=0, atol=1e-5)
    torch.testing.assert_close(features(clip), after, rtol=0, atol=0)  # merging took a copy


def test_a_run_with_adapters_saves_an_ordinary_model_and_goes_on_bit_for_bit(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    config = tiny(data, tmp_path / "whole", tune=Tune(lora_image=2, lora_text=2))
    whole = run(config)
    names = load_clip(whole).model.state_dict().keys()
    assert names == new_clip(MODEL, WORDS, 0).model.state_dict().keys()

    class Stop(Exception):
        pass

    def stop_at_5(report: Any) -> None:
        if report.step == 5:
            raise Stop

    cut = tiny(data, tmp_path / "cut", tune=Tune(lora_image=2, lora_text=2))
    with pytest.raises(Stop):
        run(cut, watch=stop_at_5)
    run(cut, resume=True)
    for one, two in zip(load_clip(whole).model.parameters(), load_clip(cut.out).model.parameters(), strict=True):
        assert torch.equal(one, two)


# ---- fresh towers and bad settings ---------------------------------------------------------------------------------


def test_one_tower_is_drawn_anew_and_the_other_stays() -> None:
    clip, before = two_blocks(), two_blocks().model.state_dict()
    draw_anew(clip, Tune(fresh_text=True), seed=9)
    for name, weight in clip.model.named_parameters():
        changed = not torch.equal(weight, before[name])
        # Norms and the biases of attention begin at constants; the others are drawn.
        could = name.startswith(TEXT_PARTS) and "ln_" not in name and not name.endswith(("proj_bias", "out_proj.bias"))
        assert changed == could, name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"freeze_image": -1}, "freeze_image is -1; give a number of blocks, or all"),
        ({"lora_text": -2}, "lora_text is -2; give a rank"),
        ({"lora_text": 2, "freeze_text": 1}, "lora_text and freeze_text exclude each other"),
        ({"layer_decay": 0.0}, "layer_decay is 0.0; give a factor above 0"),
        ({"lora_alpha": 0}, "lora_alpha is 0; give a positive number"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Tune(**settings).check()


def test_more_blocks_than_there_are() -> None:
    with pytest.raises(UserError, match="freeze_text is 2, and that tower has 1 blocks; give fewer, or all"):
        freeze(tiny_clip().model, Tune(freeze_text=2))
