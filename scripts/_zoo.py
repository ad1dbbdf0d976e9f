"""The packages of published networks that check_zoo.py takes networks from.

    for name in ZOOS["timm"]().names():
        model = ZOOS["timm"]().build(name)

A package gives one network for each of its architectures, a small one. Weights are random. A network that cannot be
built without more than is here raises whatever its package raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Zoo:
    """A package of networks.

    `names` gives one network for each architecture, `build` makes one of any name, and `shapes` gives the shapes of
    the input to try, in order. A shape of two numbers is that of indices (int64, below 50), any other that of an image.
    """

    names: Callable[[], Sequence[str]]
    build: Callable[[str], Any]
    shapes: Callable[[str], Sequence[Shape]]


IMAGES = tuple((2, 3, side, side) for side in (32, 64, 96, 128, 224, 256))


# torchvision and timm: of each family the one whose name says that it is the smallest.

_SIZES = [
    *("test", "atto", "femto", "pico", "nano", "tiny", "t", "xxs", "xx_small", "xs", "x_small", "small", "mini"),
    *("s", "m", "base", "b"),
]


def _size(name: str) -> tuple[int, list[int], int, str]:
    """A key that sorts the names of a family by what they say of the size."""
    rank = next((i for i, word in enumerate(_SIZES) if re.search(f"_{word}(?![a-z])", f"_{name}")), len(_SIZES))
    return rank, [int(number) for number in re.findall(r"\d+", name)], len(name), name


def _smallest(families: dict[str, list[str]]) -> list[str]:
    return [min(names, key=_size) for names in families.values() if names]


def _torchvision() -> Zoo:
    models = import_module("torchvision.models")
    families: dict[str, list[str]] = {}
    for name in models.list_models():
        # Detectors take a list of images, and optical flow takes two.
        if not re.search("rcnn|retinanet|ssd|fcos|raft|quantized", name):
            families.setdefault(models.get_model_builder(name).__module__, []).append(name)

    def build(name: str) -> Any:
        try:
            return models.get_model(name, weights=None, weights_backbone=None)
        except (TypeError, ValueError):
            return models.get_model(name, weights=None)

    videos = ((2, 3, 8, 32, 32), (1, 3, 16, 64, 64))
    return Zoo(lambda: _smallest(families), build, lambda name: IMAGES + videos)


def _timm() -> Zoo:
    timm = import_module("timm")

    def names() -> list[str]:
        return _smallest({module: timm.list_models(module=module) for module in timm.list_modules()})

    return Zoo(names, lambda name: timm.create_model(name, pretrained=False), lambda name: IMAGES)


# transformers: each type of model from a configuration of this size, as far as its configuration has such entries.

_SMALL: dict[str, int] = {
    **dict.fromkeys(("hidden_size", "d_model", "embedding_size", "n_embd", "dim"), 32),
    **dict.fromkeys(("intermediate_size", "encoder_ffn_dim", "decoder_ffn_dim", "d_ff", "hidden_dim"), 36),
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 99,
    "image_size": 32,
    "patch_size": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_MOST_WEIGHTS = 30_000_000


def _transformers() -> Zoo:
    transformers = import_module("transformers")
    types = import_module("transformers.models.auto.configuration_auto").CONFIG_MAPPING_NAMES
    import torch

    transformers.logging.set_verbosity_error()

    def build(name: str) -> Any:
        plain = transformers.AutoConfig.for_model(name)
        small = {key: value for key, value in _SMALL.items() if hasattr(plain, key)}
        config = transformers.AutoConfig.for_model(name, **small)
        with torch.device("meta"):
            weights = sum(p.numel() for p in transformers.AutoModel.from_config(config).parameters())
        if weights > _MOST_WEIGHTS:
            raise ValueError(f"{name} has {weights:,} weights; a smaller configuration is needed")
        return transformers.AutoModel.from_config(config)

    # timm_wrapper and its like take a network of another package, and look for it on the network.
    names = [name for name in types if "timm" not in name]
    return Zoo(lambda: names, build, lambda name: ((2, 9), *IMAGES))


# MONAI: the arguments of each network, and the shape of its input.

_PLANE, _SPACE = (2, 1, 32, 32), (1, 1, 32, 32, 32)
_UNET = {"channels": (4, 8, 16), "strides": (2, 2)}
_ENCODER = {"channels": (4, 8), "strides": (2, 2)}
_VIT = {"in_channels": 1, "img_size": 32, "spatial_dims": 2, "hidden_size": 24, "mlp_dim": 36, "num_heads": 4}
_IN_OUT = {"in_channels": 1, "out_channels": 2}
_DYN = {"kernel_size": (3, 3, 3), "strides": (1, 2, 2), "upsample_kernel_size": (2, 2), "filters": (4, 8, 16)}
_MONAI: dict[str, tuple[dict[str, Any], Shape]] = {
    "AHNet": ({"spatial_dims": 2, "out_channels": 2, "upsample_mode": "bilinear"}, (2, 1, 128, 128)),
    "AttentionUnet": ({"spatial_dims": 2, **_IN_OUT, **_UNET}, _PLANE),
    "AutoEncoder": ({"spatial_dims": 2, **_IN_OUT, **_ENCODER}, _PLANE),
    "AutoencoderKL": (
        {"spatial_dims": 2, **_IN_OUT, "channels": (4, 8), "num_res_blocks": (1, 1), "norm_num_groups": 4}
        | {"attention_levels": (False, True), "latent_channels": 2},
        _PLANE,
    ),
    "BasicUNet": ({"spatial_dims": 2, **_IN_OUT, "features": (4, 4, 8, 8, 16, 4)}, _PLANE),
    "BasicUNetPlusPlus": ({"spatial_dims": 2, **_IN_OUT, "features": (4, 4, 8, 8, 16, 4)}, _PLANE),
    "Classifier": ({"in_shape": (1, 32, 32), "classes": 2, **_ENCODER}, _PLANE),
    "Critic": ({"in_shape": (1, 32, 32), **_ENCODER}, _PLANE),
    "DenseNet": ({"spatial_dims": 2, **_IN_OUT, "init_features": 8, "growth_rate": 4, "block_config": (2, 2)}, _PLANE),
    "Discriminator": ({"in_shape": (1, 32, 32), **_ENCODER}, _PLANE),
    "DynUNet": ({"spatial_dims": 2, **_IN_OUT, **_DYN, "res_block": True}, _PLANE),
    "EfficientNetBN": (
        {"model_name": "efficientnet-b0", "pretrained": False, "in_channels": 1, "num_classes": 2},
        _PLANE,
    ),
    "FlexibleUNet": ({"in_channels": 3, "out_channels": 2, "backbone": "efficientnet-b0"}, (2, 3, 64, 64)),
    "FullyConnectedNet": ({"in_channels": 16, "out_channels": 2, "hidden_channels": (8, 8)}, (4, 1, 16)),
    "GlobalNet": (
        {"image_size": (16, 16, 16), "spatial_dims": 3, "in_channels": 1, "num_channel_initial": 2, "depth": 2},
        (1, 1, 16, 16, 16),
    ),
    "HighResNet": ({"spatial_dims": 2, **_IN_OUT}, _PLANE),
    "LocalNet": (
        {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "num_channel_initial": 4, "extract_levels": (0, 1, 2)},
        _PLANE,
    ),
    "MedNeXt": ({"spatial_dims": 2, **_IN_OUT, "init_filters": 4}, _PLANE),
    "PatchDiscriminator": ({"spatial_dims": 2, "channels": 4, **_IN_OUT}, _PLANE),
    "Quicknat": ({"num_classes": 2, "num_channels": 1, "num_filters": 4}, _PLANE),
    "RegUNet": ({"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "num_channel_initial": 4, "depth": 2}, _PLANE),
    "Regressor": ({"in_shape": (1, 32, 32), "out_shape": (2,), **_ENCODER}, _PLANE),
    "ResNet": (
        {"block": "basic", "layers": (1, 1, 1, 1), "block_inplanes": (4, 8, 16, 32), "spatial_dims": 2}
        | {"n_input_channels": 1, "num_classes": 2},
        _PLANE,
    ),
    "SEResNet50": ({"spatial_dims": 2, "in_channels": 3, "num_classes": 2}, (2, 3, 64, 64)),
    "SegResNet": ({"spatial_dims": 2, **_IN_OUT, "init_filters": 8}, _PLANE),
    "SegResNetDS": ({"spatial_dims": 2, **_IN_OUT, "init_filters": 8}, _PLANE),
    "SegResNetVAE": ({"spatial_dims": 2, **_IN_OUT, "init_filters": 8, "input_image_size": (32, 32)}, _PLANE),
    "SwinUNETR": ({**_IN_OUT, "feature_size": 12, "spatial_dims": 2}, (1, 1, 64, 64)),
    "UNETR": ({**_VIT, "out_channels": 2, "feature_size": 4}, _PLANE),
    "UNet": ({"spatial_dims": 3, **_IN_OUT, **_UNET, "num_res_units": 2}, (1, 1, 16, 16, 16)),
    "VNet": ({"spatial_dims": 3, **_IN_OUT}, _SPACE),
    "VQVAE": (
        {"spatial_dims": 2, **_IN_OUT, "channels": (4, 8), "num_res_layers": 1, "num_res_channels": (4, 8)}
        | {"num_embeddings": 8, "embedding_dim": 4, "downsample_parameters": ((2, 4, 1, 1),) * 2}
        | {"upsample_parameters": ((2, 4, 1, 1, 0),) * 2},
        _PLANE,
    ),
    "VarAutoEncoder": (
        {"spatial_dims": 2, "in_shape": (1, 32, 32), "out_channels": 1, "latent_size": 4, **_ENCODER},
        _PLANE,
    ),
    "ViT": ({**_VIT, "patch_size": 8, "num_layers": 2}, _PLANE),
    "ViTAutoEnc": ({**_VIT, "patch_size": 4, "num_layers": 2}, _PLANE),
}


def _monai() -> Zoo:
    nets = import_module("monai.networks.nets")
    return Zoo(
        lambda: list(_MONAI),
        lambda name: getattr(nets, name)(**_MONAI[name][0]),
        lambda name: (_MONAI[name][1],),
    )


ZOOS: dict[str, Callable[[], Zoo]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "transformers": _transformers,
    "monai": _monai,
}
"""The packages by name; each is imported where its networks are asked for."""


def chosen(given: str) -> Iterator[str]:
    """Yield the whole name, `package/network`, of each network that `package` or `package/network` means."""
    package, _, name = given.partition("/")
    for each in [name] if name else ZOOS[package]().names():
        yield f"{package}/{each}"
