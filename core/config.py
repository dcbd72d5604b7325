"""Configuration: frozen dataclasses, presets in assets/presets/*.yaml, strict loading.

A preset names only what differs from the defaults below. An unknown key is an error that names the
nearest known one, so that a spelling mistake never trains the wrong model for ten hours.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from core.assets import asset_path
from core.errors import ConfigError
from core.safe_yaml import MAX_YAML_BYTES, BudgetError, number_in, parse_yaml, read_within

T = TypeVar("T")


def fixed(default: T, *stages: str) -> T:
    """A field that changes the meaning of weights without changing their shapes: weights fit one value of it only.

    It holds for the weights of these `stages`; if none are given, of those whose networks are built from its section.
    Loss weights, training noise levels, sampler steps, tasks and data may change during training; sizes that must not
    are checked by shape.
    """
    return field(default=default, metadata={"fixed": stages})


def fixed_fields(section: type, stage: str, built: bool) -> tuple[str, ...]:
    """Names of a section's fields that are `fixed` for a stage's weights; `built`: its network is built from it."""
    named = ((f.name, f.metadata.get("fixed")) for f in dataclasses.fields(section))
    return tuple(name for name, stages in named if stages is not None and (stage in stages if stages else built))


@dataclass(frozen=True)
class ShapeConfig:
    """Shape autoencoder (paper 3.1.1): a surface becomes a set of M latent vectors that decode to occupancy."""

    points: int = 2048  # surface points the encoder sees (N)
    latents: int = fixed(512)  # size of the set (M); their anchors are the farthest points of the surface
    channels: int = fixed(8)  # channels of one latent (C_s), the explicit anchor included
    width: int = 512  # channels inside the network
    head_dim: int = fixed(64)  # channels of one attention head in the decoder trunk
    layers: int = 24  # self-attention layers of the decoder
    expansion: int = 4  # hidden size of a feed-forward layer over its width
    explicit_anchor: bool = fixed(False)  # the first three channels are the anchor's position; the rest is learned
    neighbours: int = fixed(0)  # nearest anchors that a query attends to, by relative position; 0: all (published)
    encoder_neighbours: int = fixed(0)  # likewise, an anchor to this many nearest surface points
    normals: bool = fixed(False)  # the next three channels are the anchor's outward normal; needs encoder_neighbours
    kl_weight: float = 1e-3  # weight of the KL divergence, mean per element
    near_weight: float = 0.1  # weight of the near-surface queries in the loss


@dataclass(frozen=True)
class MotionConfig:
    """Motion autoencoder (paper 3.1.2): a pair of frames becomes a set of latents that decodes to a flow field."""

    points: int = 2048  # tracked surface points the encoder sees
    latents: int = fixed(512)  # size of the set; the first anchors of the shape's farthest points
    channels: int = fixed(32)  # channels of one latent (C_d), the explicit displacement included
    width: int = 512  # this and the next three as in ShapeConfig
    head_dim: int = fixed(64)
    layers: int = 24
    expansion: int = 4
    explicit_displacement: bool = fixed(False)  # the first three channels are the anchor's displacement
    flow_head: Literal["absolute", "affine"] = fixed("absolute")  # what the decoder predicts, see motion_autoencoder
    neighbours: int = fixed(8)  # neighbours of an anchor's map fit, and of a point's blend (flow_head: affine)
    kl_weight: float = 1e-6  # weight of the KL divergence, mean per element


@dataclass(frozen=True)
class DenoiserConfig:
    """A denoiser of latent sets (paper 3.2); `blocks` of attention and feed-forward with adaptive layer norm."""

    width: int = 512  # channels inside the network
    blocks: int = 12
    head_dim: int = fixed(64)  # channels of one attention head
    expansion: int = 4  # hidden size of a feed-forward layer over its width
    noise_width: int = 256  # sinusoidal embedding of the noise level
    frames_per_token: int = fixed(1)  # consecutive frames folded into one token (motion only); 1 as published
    time_embedding: Literal["none", "sinusoidal"] = fixed("none")  # none: equivariant to frame order, as published
    anchor_embedding: bool = fixed(False)  # each token carries its anchor's position
    shape_condition: Literal["cross", "token"] = fixed("cross")  # attend to shape latents, or add each anchor's own
    geometric_attention: bool = fixed(
        False
    )  # attention is biased by how closely points move together (with warm_start)
    output_directions: bool = fixed(
        False
    )  # the output may scale classical solutions, which are rotation-equivariant (with warm_start)
    # Motion: a borrowed motion is a further guess; needs output_directions. Shape: unseen latents start from a body of
    # the bank that was bent to the scan; needs conditions.observed_anchors and shape.normals.
    borrowed: bool = False


@dataclass(frozen=True)
class PartsConfig:
    """The network that recognises body parts of surface points (core.models.part_descriptor), and headings."""

    width: int = 96  # channels inside the network
    blocks: int = 4  # of self-attention over the points
    head_dim: int = fixed(24)  # channels of one attention head
    channels: int = 32  # of a point's descriptor
    classes: int = 90  # named parts, each on the left, on the right or in the middle (core.bank.parts)


@dataclass(frozen=True)
class ConditionConfig:
    """Conditions of the denoisers besides handles (motion) and points (shape) (paper 3.3)."""

    scan_channels: int = 0  # features of the scan around each anchor's warm start; 0: motion does not see raw scans
    scan_neighbours: int = fixed(6)  # scan points such a feature looks at
    voxels: bool = False  # 32^3 grids through 3D convolutions to 512 tokens
    observed_anchors: bool = fixed(False)  # place the shape's latents on observed points where there are any


@dataclass(frozen=True)
class DiffusionConfig:
    """EDM (Karras et al. 2022): preconditioning, training noise levels and samplers."""

    sigma_data: float = fixed(1.0, "shape-diffusion", "motion-diffusion")  # standard deviation of the whitened latents
    sigma_min: float = 0.002  # smallest noise level of the samplers
    sigma_max: float = 80.0  # largest, also that of examples of pure noise
    rho: float = 7.0  # larger: more of the samplers' steps at small noise levels
    log_sigma_mean: float = -1.2  # training noise levels are log-normal
    log_sigma_std: float = 1.2  # of the same distribution
    posterior_mean_fraction: float = 0.0  # share of examples of pure noise, which teach the posterior mean
    noise: Literal["white", "smooth"] = fixed("white")  # smooth: correlated over neighbouring anchors and frames
    warm_start: bool = fixed(False)  # diffuse the difference from the handles' geometric interpolation
    warm_start_nodes: int = 192  # surface points of its and of registration's graph, the motion's anchors first
    outlier_variance: float = 0.0  # clips of whitened variance v weigh 1 / (1 + v / this) in the loss; 0: all alike
    decoded_weight: float = 0.0  # of the decoded occupancy of the denoised shape, beside the latents' loss (shape only)
    steps_normal: int = 18  # noise levels of the multistep sampler
    steps_best: int = 18  # noise levels of Heun's sampler


@dataclass(frozen=True)
class TaskConfig:
    """Shares of the tasks in motion training: of the handle tasks per clip, of handles and observations per block."""

    full_tracks: float = 1.0  # every handle known in every frame
    keyframes: float = 0.0  # all handles known in two or three common frames
    last_frame: float = 0.0  # handles known in the last frame only
    mixed: float = 0.0  # each handle known in its own random frames, some pinned
    farthest: float = 0.0  # share of the keyed tasks whose first handle is the point that moves farthest
    nothing: float = 0.0  # no handle at all: the unconditional prior
    most_handles: int = 10  # handles of a clip, drawn log-uniformly
    fewest_handles: int = 10
    handles: float = 1.0  # all of the above
    tracked: float = 0.0  # many noisy tracked points, one at each anchor, often of half a body only
    scans: float = 0.0  # points without correspondence: sparse, one-sided or cut
    voxels: float = 0.0  # 32^3 voxel grids
    scan_points: int = 256  # observed points per frame in motion training
    shape_tracked: float = 1.0  # what the shape stage sees of frame 0: sparse points of the whole
    shape_scans: float = 0.0
    shape_voxels: float = 0.0
    shape_points: int = 300  # most observed points in shape training
    fewest_points: int = 300  # and fewest


@dataclass(frozen=True)
class TrainingConfig:
    """One loop for all stages; the shares say how `m2v train all` divides its time."""

    frames: int = 17  # of a clip, frame 0 included
    batch: int = 24  # clips of one process in one accumulation step
    accumulate: int = 1  # batches per optimiser step
    reuse: int = 1  # steps per prepared batch of the denoisers' stages, each with fresh noise
    learning_rate: float = 1e-4
    warmup_steps: int = 200  # in which the learning rate rises; it falls to a tenth over the last third
    weight_decay: float = 0.01  # of AdamW
    gradient_clip: float = 1.0  # largest norm of the gradient
    ema_decay: float = 0.999  # of the averaged weights, which are the ones saved
    occupancy_queries: int = 2048  # points per shape whose occupancy the losses look at
    motion_queries: int = 1024  # tracked points the motion autoencoder's loss looks at
    fresh_only: bool = False  # train only the parts that the weights of --from lack, the rest stays as it is
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where the device supports it natively
    compile: bool = False  # torch.compile: takes minutes at the start, then saves about a seventh of each step
    shares: tuple[float, float, float, float] = (0.15, 0.1, 0.1, 0.65)  # of the time, per stage in order


@dataclass(frozen=True)
class DataConfig:
    """Where training clips come from. The procedural creatures need no file."""

    procedural: float = 1.0  # relative share of procedural clips
    rigs: str = ""  # a folder of rigged GLB files, or a bank prepared from one; empty: none
    rigs_share: float = 1.0  # relative share of rig clips, with `rigs`
    shards: str = ""  # a folder of shards that `m2v prepare` made, or a folder of such folders; empty: none
    shards_share: float = 1.0  # relative share of their clips, with `shards`
    fitted: str = ""  # a folder of scans with fitted bodies (core.experiments.fitted_bodies), for shape-diffusion
    fitted_share: float = 1.0  # relative share of these, with `fitted`
    shards_splits: Literal["own", "train", "test"] = "own"  # train, test: all, to train on one and test on another
    mirror: bool = True  # reflect half of the clips left to right
    bank: str = ""  # motions to borrow from while training: a bank file, or `bundled`; empty: none


@dataclass(frozen=True)
class Config:
    """A whole model with its training. `name` is the preset's name and goes into every checkpoint."""

    name: str = "custom"
    shape: ShapeConfig = field(default_factory=ShapeConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    shape_denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    motion_denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    parts: PartsConfig = field(default_factory=PartsConfig)
    conditions: ConditionConfig = field(default_factory=ConditionConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    tasks: TaskConfig = field(default_factory=TaskConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: DataConfig = field(default_factory=DataConfig)


def preset_names() -> tuple[str, ...]:
    """Names of the presets that ship with the library."""
    return tuple(sorted(path.stem for path in asset_path("presets").glob("*.yaml")))


def load_config(preset_or_path: str, overrides: Sequence[str] = ()) -> Config:
    """Read a preset by name or a YAML file by path, then apply `key.path=value` overrides.

    Raises ConfigError for a missing or damaged file, an unknown key (naming the nearest), or a value of
    the wrong type.
    """
    path = Path(preset_or_path)
    if path.suffix not in (".yaml", ".yml"):
        if preset_or_path not in preset_names():
            raise ConfigError(f"There is no preset {preset_or_path!r}; choose one of {', '.join(preset_names())}.")
        path = asset_path("presets", f"{preset_or_path}.yaml")
    tree = read_yaml(path)
    tree.setdefault("name", path.stem)
    for override in overrides:
        _apply_override(tree, override)
    return config_from_dict(tree, str(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file whose top is a mapping; raises ConfigError otherwise."""
    try:
        tree = parse_yaml(read_within(path, MAX_YAML_BYTES).decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error.__class__.__name__}); check the path.") from error
    except BudgetError as error:
        raise ConfigError(f"{path} {error}; check the path.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" near line {where.line + 1}" if where else ""
        raise ConfigError(f"{path} is not valid YAML{line}; correct it.") from error
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must contain names and values at its top level.")
    return tree


def config_from_dict(tree: Mapping[str, Any], where: str = "configuration") -> Config:
    """Build a Config from plain values (the inverse of `config_to_dict`); raises ConfigError."""
    return _build(Config, tree, where, "")


def config_to_dict(config: Config) -> dict[str, Any]:
    """Plain values, for a checkpoint's header."""
    return dataclasses.asdict(config)


def _apply_override(tree: dict[str, Any], override: str) -> None:
    name, separator, text = override.partition("=")
    if not separator or not name:
        raise ConfigError(f"The override {override!r} is not of the form key.path=value.")
    *parents, leaf = name.split(".")
    node = tree
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise ConfigError(f"The override {override!r} goes through {parent!r}, which is a value.")
    try:
        node[leaf] = parse_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"The value of the override {override!r} is not valid YAML.") from error


def _build(kind: type[T], tree: Any, where: str, prefix: str) -> T:
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{where}: {prefix.rstrip('.') or 'the top level'} must contain names and values.")
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in tree.items():
        if key not in hints:
            raise ConfigError(f"{where}: {unknown_key(f'{prefix}{key}', str(key), hints)}")
        values[key] = _convert(hints[key], value, where, f"{prefix}{key}")
    return kind(**values)


def unknown_key(shown: str, key: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """The sentence about an unknown key, naming the nearest known one."""
    near = difflib.get_close_matches(key, [str(name) for name in known], n=1, cutoff=0.0)
    return f"the key {shown!r} is unknown; did you mean {near[0]!r}?" if near else f"the key {shown!r} is unknown."


def _convert(hint: Any, value: Any, where: str, name: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, where, f"{name}.")
    origin = typing.get_origin(hint)
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise ConfigError(
                f"{where}: {name} is {value!r}; choose one of {', '.join(map(str, typing.get_args(hint)))}."
            )
        return value
    if origin is tuple:
        kinds = typing.get_args(hint)
        if not isinstance(value, (list, tuple)) or len(value) != len(kinds):
            raise ConfigError(f"{where}: {name} must be a list of {len(kinds)} values.")
        return tuple(_convert(kind, item, where, name) for kind, item in zip(kinds, value, strict=True))
    if origin in (types.UnionType, typing.Union):
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float:
        value = number_in(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: {name} must be of type {hint.__name__}, not {value!r}.")
    return value
