"""PP-OCRv4 text recognition: character error rate on rendered lines of known text.

Model: PyPI rapidocr-onnxruntime 1.4.4 (Apache-2.0); opset 12, weights in Constant nodes, open batch and width, 6,625
CTC classes whose dictionary is in the model's metadata. Data: lines rendered here from a seed in Aileron (CC0), the
font inside Pillow, so the truth is exact: English words, figures and punctuation on uneven, noisy ground. Cleaner than
photographed text; a broken model falls far below all the same.

The limit is an error rate of 1 %. The metric is a share where lower is better, so `max_drop` is 0.01 less the float
model's rate, 0.008.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from .case import Case, Plan, write_arrays
from .sources import model_file

NAME = "pp-ocr-rec"
HEIGHT, WIDTH = 48, 320
LONGEST = 22  # characters that fit without squeezing
PLAN = Plan(
    name=NAME,
    metric="metric.py:cer",
    judge="transcription",
    max_drop=0.008,
    shapes=f"x=1,3,{HEIGHT},{WIDTH}",
    source="PyPI rapidocr-onnxruntime 1.4.4 (Apache-2.0)",
    note="lower is better; rendered lines in one font, 320 pixels wide, padded with zeros on the right",
)
WORDS = [
    "the", "of", "and", "in", "to", "for", "with", "from", "station", "harbour", "Invoice", "Total", "amount",
    "due", "date", "street", "north", "weather", "review", "quality", "signal", "Pump", "valve", "Batch",
    "serial", "number", "warning", "do", "not", "open", "before", "use", "keep", "dry", "store", "below",
    "degrees", "net", "weight", "made", "by", "Platform", "ticket", "return", "single", "Monday", "Tuesday",
    "Friday", "March", "April", "October", "morning", "evening", "please", "hold", "handrail", "exit", "gate",
    "floor", "room", "level", "price", "offer", "fresh", "bread", "coffee", "orange", "juice", "engine", "oil",
    "pressure", "voltage", "current", "frequency", "power", "supply", "input", "output", "ground", "earth",
    "maximum", "minimum", "speed", "limit", "zone", "parking", "permit", "office", "hours", "closed",
]  # fmt: skip


def build(folder: Path) -> Case:
    """120 lines calibrate, 300 others evaluate."""
    if PLAN.is_built(folder):
        return PLAN.at(folder)
    packaged = "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"
    model = model_file("ch_PP-OCRv4_rec_infer.onnx", "rapidocr-onnxruntime==1.4.4", packaged)
    PLAN.start(folder)
    shutil.copyfile(model, folder / "model.onnx")
    # The dictionary has one character a line; the blank of class 0 and the space of the last class are understood.
    (folder / "characters.txt").write_text(read_dictionary(model) + "\n ", encoding="utf-8")
    for name, count, seed in (("calibration", 120, 48), ("evaluation", 300, 49)):
        rng = np.random.default_rng(seed)
        lines = [line(rng) for _ in range(count)]
        write_arrays(
            folder / f"{name}.npz", x=np.stack([pixels for pixels, _ in lines]), labels=np.array([t for _, t in lines])
        )
    return PLAN.finish(folder)


def read_dictionary(model: Path) -> str:
    import onnxruntime as ort

    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return str(session.get_modelmeta().custom_metadata_map["character"])


def phrase(rng: np.random.Generator) -> str:
    """One to four words, some of them figures, prices or dates."""
    parts: list[str] = []
    for _ in range(int(rng.integers(2, 5))):
        kind = rng.random()
        if kind < 0.7:
            parts.append(str(rng.choice(WORDS)))
        elif kind < 0.8:
            parts.append(str(rng.integers(10, 100_000)))
        elif kind < 0.9:
            parts.append(f"{rng.uniform(1, 500):.2f}")
        else:
            parts.append(f"{rng.integers(1, 29):02d}/{rng.integers(1, 13):02d}/20{rng.integers(10, 30)}")
    while len(" ".join(parts)) > LONGEST:
        parts.pop()
    return " ".join(parts)


def line(rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """One line as `(3, 48, 320)` float32 in [-1, 1], BGR, and its text."""
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    text = phrase(rng)
    font = ImageFont.load_default(int(rng.integers(24, 34)))
    wide = int(font.getlength(text)) + int(rng.integers(12, 30))
    ground, ink = rng.integers(170, 256, 3), rng.integers(0, 90, 3)
    if rng.random() < 0.3:
        ground, ink = ink, ground
    image = Image.new("RGB", (wide, HEIGHT), tuple(int(v) for v in ground))
    where = (int(rng.integers(4, 10)), int(rng.integers(4, 9)))
    ImageDraw.Draw(image).text(where, text, fill=tuple(int(v) for v in ink), font=font)
    image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 0.8))))
    if wide > WIDTH:
        image = image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    shade = np.linspace(rng.uniform(-25, 25), rng.uniform(-25, 25), image.width)[None, :, None]
    noisy = (
        np.asarray(image, np.float64)[:, :, ::-1] + shade + rng.normal(0, rng.uniform(0, 10), (HEIGHT, image.width, 3))
    )
    padded = np.zeros((3, HEIGHT, WIDTH), np.float32)
    padded[:, :, : image.width] = np.clip(noisy, 0, 255).transpose(2, 0, 1) / 127.5 - 1
    return padded, text
