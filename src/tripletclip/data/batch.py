"""What the loader gives: pixels as bytes, tokens cut to the longest text.

Legend: B rows of a batch on this rank, K negative captions of a row, H = W image size, L tokens of the longest text.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Batch:
    """``image`` and ``neg_image`` uint8 [B,3,H,W]; ``text`` int64 [B,L] and ``neg_text`` int64 [K*B,L], one common L.

    Negative k of all rows is block k of ``neg_text``. In a plain batch both negatives are ``None``.
    """

    keys: list[str]
    image: Tensor
    text: Tensor
    neg_image: Tensor | None
    neg_text: Tensor | None

    def pin_memory(self) -> "Batch":
        """The same in page-locked memory: copies to a GPU need not be waited for. torch's loader calls this."""
        return replace(
            self,
            image=self.image.pin_memory(),
            text=self.text.pin_memory(),
            neg_image=None if self.neg_image is None else self.neg_image.pin_memory(),
            neg_text=None if self.neg_text is None else self.neg_text.pin_memory(),
        )


def trimmed(text_BL: Tensor, neg_text_ML: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Cut the columns after the last token of the longest text of both; at least one column stays."""
    both = text_BL if neg_text_ML is None else torch.cat([text_BL, neg_text_ML])
    used_columns = both.ne(0).any(dim=0).nonzero()
    length = int(used_columns.max()) + 1 if len(used_columns) else 1
    cut = both[:, :length].to(torch.int64)
    size = len(text_BL)
    return cut[:size].contiguous(), None if neg_text_ML is None else cut[size:].contiguous()
