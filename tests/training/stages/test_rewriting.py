"""Stage 2's rewriting: clips made by one network are never reused for another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from harmovid_training.clips.index import Index, make_clip, read_index
from harmovid_training.clips.read import Source, read_frames, save_role
from harmovid_training.models.checkpoint import Card, save_checkpoint
from harmovid_training.models.conditioning import DEFLICKER
from harmovid_training.models.space import ACESCCT, SRGB
from harmovid_training.stages import stage2
from harmovid_training.stages.config import CONFIGS
from harmovid_training.stages.run import source_of
from training.inference.tiny import tiny_codec, tiny_model

CONFIG = replace(CONFIGS["paper-deflicker"], size="tiny-5b", frames=9, height=16, width=16)
COUNT = 9


@pytest.fixture
def index(tmp_path) -> Index:
    """Return an index of one clip with stage 1's roles and one whose mask is lost, and the VAE beside it."""
    rng = np.random.default_rng(0)
    sources = {}
    for role in ("real", "background", "synthetic", "mask"):
        frames = rng.uniform(0.1, 1, (COUNT, 16, 16, 1 if role == "mask" else 3)).astype(np.float32)
        sources[role] = Source(save_role(tmp_path / role, lambda frames=frames: frames), matte=role == "mask")
    good = make_clip("good", sources)
    lost = replace(good, id="lost", sources={**sources, "mask": Source(tmp_path / "nowhere", matte=True)})
    tiny_codec().vae.save_pretrained(tmp_path / "weights" / "vae")
    return Index((good, lost), tmp_path)


def test_another_networks_clips_are_not_reused(index, tmp_path, capsys):
    """The same network rewrites nothing twice; another one, or other steps, write to another folder; a clip that cannot
    be read is left out with its reason."""
    places = []
    for space, steps in ((ACESCCT, 2), (ACESCCT, 2), (ACESCCT, 1), (SRGB, 2)):
        model = tiny_model("tiny-5b", DEFLICKER)
        model.space = space
        save_checkpoint(tmp_path / "net", model, Card({}))
        stage2.rewrite(index, tmp_path / "net", str(tmp_path / "weights"), tmp_path / "out", CONFIG, steps)
        clips = read_index(tmp_path / "out" / "clips.jsonl").clips
        assert [clip.id for clip in clips] == ["good"]
        source = clips[0].sources["steady"]
        places.append((source.path.parent, (Path(source.path) / "00000.exr").stat().st_mtime_ns))
        assert read_frames(source, 0, COUNT).shape == (COUNT, 16, 16, 3)
    assert places[0] == places[1]
    assert len({place for place, _ in places}) == 3
    assert "lost was left out" in capsys.readouterr().err


def test_a_checkpoint_brings_its_own_vae(tmp_path):
    """Without `--weights` a checkpoint's base and kind are taken, not the configuration's: the VAEs of 2B and 5B have
    latents of different scale."""
    save_checkpoint(tmp_path, tiny_model("tiny-wan", DEFLICKER), Card({}, base_source="some/wan"))
    assert source_of(CONFIG, "", tmp_path) == ("some/wan", "wan")
    assert source_of(CONFIG, "given", tmp_path) == ("given", "wan")
    assert source_of(CONFIGS["paper-deflicker"], "") == ("THUDM/CogVideoX-5b", "cogvideox")


def test_a_students_configuration_rewrites_in_one_step():
    """A one-step network takes one step whatever is asked; the many-step one as many as are asked."""
    model = tiny_model("tiny-5b", DEFLICKER)
    student = stage2.rewriting(model, replace(CONFIG, objective="latent"), 8)
    assert (student.sampler, student.steps) == ("one-step", 1)
    assert stage2.rewriting(model, CONFIG, 8).steps == 8
