"""MiniLM-L6: a six-layer BERT encoder with mean pooling, as sentence embedder. Loadable by path: it imports no sibling.

Written from Devlin et al. 2018 and the layout of the published weights (all-MiniLM-L6-v2, Apache-2.0); attribute names
are those of its state dict.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

WIDTH, HEADS, LAYERS, INNER, VOCABULARY, POSITIONS, EPSILON = 384, 12, 6, 1536, 30522, 512, 1e-12


class Embeddings(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(VOCABULARY, WIDTH)
        self.position_embeddings = nn.Embedding(POSITIONS, WIDTH)
        self.token_type_embeddings = nn.Embedding(2, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, EPSILON)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(ids.shape[1], device=ids.device)
        summed = self.word_embeddings(ids) + self.position_embeddings(positions) + self.token_type_embeddings.weight[0]
        normed: torch.Tensor = self.LayerNorm(summed)
        return normed


class Residual(nn.Module):
    """A projection back to the model's width, added to what entered the block, then normalised."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, EPSILON)

    def forward(self, hidden: torch.Tensor, entered: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self.LayerNorm(self.dense(hidden) + entered)
        return normed


class Layer(nn.Module):
    """Self-attention and a two-layer perceptron, each with its residual."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.head_size = HEADS, WIDTH // HEADS
        projections = nn.ModuleDict({name: nn.Linear(WIDTH, WIDTH) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"self": projections, "output": Residual(WIDTH)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, INNER)})
        self.output = Residual(INNER)

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        batch, tokens, _ = x.shape
        project: nn.Module = self.attention["self"]
        query, key, value = (
            layer(x).reshape(batch, tokens, self.heads, self.head_size).transpose(1, 2) for layer in project.children()
        )
        weights = (query @ key.transpose(2, 3) / self.head_size**0.5 + bias).softmax(-1)  # (B, heads, T, T)
        mixed = (weights @ value).transpose(1, 2).reshape(batch, tokens, self.heads * self.head_size)
        x = self.attention["output"](mixed, x)
        hidden: torch.Tensor = self.output(functional.gelu(self.intermediate["dense"](x)), x)
        return hidden


class MiniLM(nn.Module):
    """Token ids and mask `(B, T)` int64 -> unit sentence embeddings `(B, 384)`."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer() for _ in range(LAYERS))})

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        mask = attention_mask.to(torch.float32)
        # The most negative float hides padding, as in the library these weights were trained with.
        bias = (1 - mask)[:, None, None, :] * torch.finfo(torch.float32).min
        x = self.embeddings(input_ids)
        for layer in self.encoder["layer"].children():
            x = layer(x, bias)
        pooled = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1e-9)
        return functional.normalize(pooled, dim=1)


def trained() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The net with the weights beside this file, in eval mode, and example inputs."""
    net = MiniLM()
    net.load_state_dict(torch.load(Path(__file__).with_name("weights.pt"), weights_only=True))
    tokens = torch.ones(2, 32, dtype=torch.int64)
    return net.eval(), (tokens, tokens.clone())
