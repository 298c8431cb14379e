"""Batches of texts that halve when a device runs out of memory."""

from smilearn.embedding._tokens import longest_first
from smilearn.exceptions import DeviceMemoryError
from smilearn.utils._out_of_memory import empty_cache, is_out_of_memory

# in a forward pass, by device; the states of more tokens leave the cache of a CPU
_TOKENS = {"cpu": 1024}
_TOKENS_ELSEWHERE = 32_768


class HalvingBatches:
    """Batches of like length, as large as memory has allowed so far."""

    def __init__(self, batch_size, device):
        self.by_tokens, self.device = batch_size == "auto", device
        usual = _TOKENS.get(device.type, _TOKENS_ELSEWHERE)
        self.most = usual if self.by_tokens else batch_size

    def run(self, input_ids, work):
        """Work on texts a batch at a time, the longest first."""
        order, start = longest_first(input_ids), 0
        while start < len(order):
            longest = len(input_ids[order[start]])
            most = self.most // longest if self.by_tokens else self.most
            batch = order[start : start + max(1, most)]
            try:
                rows = work([input_ids[each] for each in batch])
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(batch) == 1:
                    raise _no_memory(self.device, longest) from error
            else:
                yield batch, rows
                start += len(batch)
                continue
            # the error is gone by now, and with it the tensors that its traceback held
            self.most = len(batch) * (longest if self.by_tokens else 1) // 2
            empty_cache(self.device)


def _no_memory(device, longest):
    return DeviceMemoryError(
        f"device={str(device)!r} has no memory left for one text of {longest} tokens. "
        'Take a smaller max_length, dtype="bfloat16", fewer layers, or device="cpu".'
    )
