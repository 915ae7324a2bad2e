"""Trains the catalogue specialist from scratch. Run it through ``scripts/train_specialist``.

Needs PyTorch 2.13 (on the CPU), tokenizers and numpy, for training only: at run time the model is
a GGUF file like any other. The corpus is generated while training, from a fixed seed; the
vocabulary is learned from a sample of it.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from pathlib import Path

import corpus
import torch
from evaluate import accuracy
from network import Network, Shape
from torch import Tensor
from torch.nn import functional
from vocabulary import Vocabulary

VOCABULARY_SIZE = 768
TOKENIZER_DOCUMENTS = 20_000
ROW_TOKENS = 256
LONG_ROW_TOKENS = 1024
BATCH_TOKENS = 4096
SPLIT_DOCUMENTS = 0.15
SPLIT_TOKENS = 0.1
# Copying is learned first: it takes many examples, and later it must be kept up only.
EARLY_REPEATS = 0.4
LATE_REPEATS = 0.12
EARLY = 0.2
WARM_UP_STEPS = 40
COOL_DOWN = 0.5
LONG_ROWS = 0.08


def main() -> None:
    """Trains and saves the vocabulary and the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of what is trained")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.006, help="highest learning rate")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    rng = random.Random(arguments.seed)
    arguments.output.mkdir(parents=True, exist_ok=True)

    vocabulary = Vocabulary.train(corpus.sample_of_texts(rng, TOKENIZER_DOCUMENTS), VOCABULARY_SIZE)
    vocabulary.save(arguments.output / "vocabulary.json")
    network = Network(Shape(vocabulary=len(vocabulary)))
    print(f"{network.parameter_count():,} parameters, {len(vocabulary)} tokens", flush=True)
    training = Training(network, vocabulary, rng, arguments.steps, arguments.rate)
    training.run(arguments.output / "weights.pt")


class Training:
    """One run: the optimisers, the stream of batches and the reports.

    Args:
        network: Changed in place.
        vocabulary: Encodes the documents.
        rng: Draws the documents.
        steps: Batches in all.
        rate: Highest learning rate.
    """

    def __init__(
        self, network: Network, vocabulary: Vocabulary, rng: random.Random, steps: int, rate: float
    ) -> None:
        self._network = network
        self._vocabulary = vocabulary
        self._rng = rng
        self._steps = steps
        matrices = [w for n, w in network.named_parameters() if w.dim() == 2 and "blk" in n]
        others = [w for n, w in network.named_parameters() if w.dim() != 2 or "blk" not in n]
        self._optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                matrices, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw", ns_steps=5
            ),
            torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        self._schedules = [
            torch.optim.lr_scheduler.LambdaLR(optimiser, self._share_of_rate)
            for optimiser in self._optimisers
        ]

    def run(self, weights: Path) -> None:
        """Trains to the end; saves the weights now and then, and at the end."""
        started = time.perf_counter()
        running = 0.0
        for step in range(1, self._steps + 1):
            loss = self._step(self._rows(step))
            running = loss if step == 1 else 0.97 * running + 0.03 * loss
            if step % 25 == 0:
                seconds = time.perf_counter() - started
                print(
                    f"step {step}/{self._steps}  loss {running:.3f}  {seconds:.0f} s  "
                    f"{seconds / step * (self._steps - step):.0f} s left",
                    flush=True,
                )
            if step % 200 == 0 or step == self._steps:
                torch.save(self._network.state_dict(), weights)
                sample = 1 if step == self._steps else 6
                right, asked = accuracy(self._network, self._vocabulary, every=sample)
                print(f"held-out phrasings: {right} of {asked} right", flush=True)

    def _step(self, rows: Tensor) -> float:
        logits = self._network(rows[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        for optimiser, schedule in zip(self._optimisers, self._schedules, strict=True):
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            schedule.step()
        return loss.item()

    def _rows(self, step: int) -> Tensor:
        """The next batch, int64[rows, length + 1]; the last steps have few long rows."""
        done = step / self._steps
        length = LONG_ROW_TOKENS if done > 1 - LONG_ROWS else ROW_TOKENS
        repeats = EARLY_REPEATS if done < EARLY else LATE_REPEATS
        rows = [self._row(length + 1, repeats) for _ in range(BATCH_TOKENS // length)]
        return torch.tensor(rows)

    def _row(self, length: int, repeats: float) -> list[int]:
        """Whole documents one behind the other, the last one cut."""
        ids: list[int] = []
        for document in self._documents(repeats):
            ids += document
            if len(ids) >= length:
                break
        return ids[:length]

    def _documents(self, repeats: float) -> Iterator[list[int]]:
        while True:
            ids = self._vocabulary.encode(corpus.document(self._rng, repeats))
            if self._rng.random() < SPLIT_DOCUMENTS:
                ids = self._vocabulary.split_some(ids, self._rng, SPLIT_TOKENS)
            yield ids

    def _share_of_rate(self, step: int) -> float:
        left = (self._steps - step) / self._steps
        return min(1.0, (step + 1) / WARM_UP_STEPS, left / COOL_DOWN)


if __name__ == "__main__":
    main()
