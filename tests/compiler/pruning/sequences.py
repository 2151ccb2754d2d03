"""Small transformers and recurrent nets, as users write them; they join the other nets by being imported."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .nets import NETS, block, net, seeded


class SelfAttention(nn.Module):
    """Separate projections, sizes in attributes, as BERT's are written."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_attention_heads = heads
        self.attention_head_size = width // heads
        self.all_head_size = width
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.num_attention_heads, self.attention_head_size).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        weights = (query @ key.transpose(2, 3) / self.attention_head_size**0.5).softmax(-1)
        mixed = (weights @ value).transpose(1, 2).contiguous()
        return mixed.view(*x.shape[:-1], self.all_head_size)


class BertLayer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = SelfAttention(width, heads)
        self.project, self.norm1 = nn.Linear(width, width), nn.LayerNorm(width)
        self.up, self.down, self.norm2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.project(self.attention(x)))
        y: Tensor = self.norm2(x + self.down(functional.gelu(self.up(x))))
        return y


class Bert(nn.Module):
    """Token ids -> a class: embeddings and the stream between layers are one width."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(50, 16), nn.Embedding(12, 16)
        self.norm = nn.LayerNorm(16)
        self.layers = nn.ModuleList(BertLayer(16, 4) for _ in range(2))
        self.classify = nn.Linear(16, 3)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.norm(self.words(ids) + self.places(torch.arange(ids.shape[1], device=ids.device)))
        for layer in self.layers:
            x = layer(x)
        y: Tensor = self.classify(x[:, 0])
        return y


NETS["Bert"] = lambda: (seeded(Bert), (torch.arange(16).reshape(2, 8),))


class FusedAttention(nn.Module):
    """One projection for all three, as vision transformers are written."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = heads, width // heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        y: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return y


class Windowed(nn.Module):
    """Attention with a learnt scale and a table of biases for each head, as window transformers have."""

    def __init__(self, width: int, heads: int, tokens: int) -> None:
        super().__init__()
        self.heads, self.inner = heads, width
        self.q, self.kv = nn.Linear(width, width, bias=False), nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.rand(heads, 1, 1) + 0.5)
        self.table = nn.Parameter(torch.randn(2 * tokens - 1, heads))
        places = torch.arange(tokens)
        self.register_buffer("index", places[:, None] - places[None] + tokens - 1)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, _ = x.shape
        key, value = self.kv(x).chunk(2, -1)
        query, key, value = (
            part.reshape(n, tokens, self.heads, -1).transpose(1, 2) for part in (self.q(x), key, value)
        )
        bias = self.table[self.get_buffer("index").flatten()].view(tokens, tokens, -1).permute(2, 0, 1)
        weights = (functional.normalize(query, dim=-1) @ functional.normalize(key, dim=-1).transpose(2, 3)) * self.scale
        mixed = (weights + bias).softmax(-1) @ value
        y: Tensor = self.proj(mixed.transpose(1, 2).reshape(n, tokens, self.inner))
        return y


@net((2, 6, 12))
class WindowTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(12), Windowed(12, 3, 6)
        self.up, self.down, self.head = nn.Linear(12, 20), nn.Linear(20, 12), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm(x))
        y: Tensor = self.head((x + self.down(functional.gelu(self.up(self.norm(x))))).mean(1))
        return y


class VitBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), FusedAttention(width, 4)
        self.norm2, self.scale = nn.LayerNorm(width), nn.Parameter(torch.full((width,), 0.5))
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        y: Tensor = x + self.scale * self.mlp(self.norm2(x))
        return y


@net((2, 3, 16, 16))
class VisionTransformer(nn.Module):
    """Patches, a class token and places as bare parameters, two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16) * 0.1)
        self.places = nn.Parameter(torch.randn(1, 17, 16) * 0.1)
        self.blocks = nn.Sequential(VitBlock(16), VitBlock(16))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        y: Tensor = self.head(self.norm(self.blocks(x))[:, 0])
        return y


@net((2, 6, 16))
class TorchEncoder(nn.Module):
    """torch's own encoder layers: their attention stays whole, their perceptrons do not."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.encoder(x).mean(1))
        return y


@net((2, 1, 16, 24))
class Recurrent(nn.Module):
    """Convolutions in front of an LSTM and a GRU, as recognisers of speech and text have."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = block(1, 8, 2), block(8, 6, 2)
        self.lstm = nn.LSTM(24, 10, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(20, 8, batch_first=True)
        self.up, self.out = nn.Linear(8, 14), nn.Linear(14, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.a(x)).flatten(1, 2).transpose(1, 2)
        x, _ = self.lstm(x)
        x, _ = self.gru(x)
        y: Tensor = self.out(torch.relu(self.up(x)))
        return y
