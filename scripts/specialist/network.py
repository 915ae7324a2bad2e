"""A small Llama in PyTorch, tensor for tensor as llama.cpp computes it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Sizes of the network.

    Attributes:
        vocabulary: Number of tokens.
        width: Width of the residual stream.
        layers: Number of blocks.
        heads: Attention heads; each is ``width / heads`` wide.
        hidden: Width of the feed-forward layer.
        rope_base: Base of the rotary embedding's wavelengths.
        epsilon: Added to the mean square in RMSNorm.
    """

    vocabulary: int
    width: int = 128
    layers: int = 4
    heads: int = 4
    hidden: int = 352
    rope_base: float = 10000.0
    epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


def rotation(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary embedding, float32[length, head_width / 2]."""
    steps = torch.arange(0, shape.head_width, 2, dtype=torch.float64) / shape.head_width
    angles = torch.outer(torch.arange(length, dtype=torch.float64), shape.rope_base**-steps)
    return angles.cos().float(), angles.sin().float()


def rotate(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turns neighbouring pairs of the last axis, as llama.cpp does for this architecture.

    Args:
        heads: float32[..., length, head_width].
        cosines: float32[length, head_width / 2].
        sines: float32[length, head_width / 2].
    """
    even, odd = heads[..., 0::2], heads[..., 1::2]
    turned = torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), dim=-1)
    return turned.flatten(-2)


class Block(nn.Module):
    """Attention and a gated feed-forward layer, each behind an RMSNorm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.attn_norm = nn.RMSNorm(shape.width, shape.epsilon)
        self.attn_q = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_k = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_v = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_output = nn.Linear(shape.width, shape.width, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.width, shape.epsilon)
        self.ffn_gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.ffn_down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, stream: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """float32[rows, length, width] to the same."""
        stream = stream + self._attend(self.attn_norm(stream), cosines, sines)
        normed = self.ffn_norm(stream)
        gated = functional.silu(self.ffn_gate(normed)) * self.ffn_up(normed)
        return stream + self.ffn_down(gated)

    def _attend(self, normed: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        rows, length, width = normed.shape

        def by_head(projected: Tensor) -> Tensor:
            return projected.view(rows, length, self.shape.heads, -1).transpose(1, 2)

        mixed = functional.scaled_dot_product_attention(
            rotate(by_head(self.attn_q(normed)), cosines, sines),
            rotate(by_head(self.attn_k(normed)), cosines, sines),
            by_head(self.attn_v(normed)),
            is_causal=True,
        )
        return self.attn_output(mixed.transpose(1, 2).reshape(rows, length, width))


class Network(nn.Module):
    """Token ids to logits; input and output embeddings are the same matrix."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, shape.epsilon)
        for name, weights in self.named_parameters():
            if weights.dim() == 2:
                nn.init.normal_(weights, std=0.02)
            if name.endswith(("attn_output.weight", "ffn_down.weight")):
                nn.init.zeros_(weights)

    def forward(self, tokens: Tensor) -> Tensor:
        """int64[rows, length] to float32[rows, length, vocabulary]."""
        cosines, sines = rotation(self.shape, tokens.shape[1])
        stream = self.token_embd(tokens)
        for block in self.blk:
            stream = block(stream, cosines, sines)
        return functional.linear(self.output_norm(stream), self.token_embd.weight)

    def parameter_count(self) -> int:
        """Number of weights."""
        return sum(weights.numel() for weights in self.parameters())
