import pytest

from profilers.host import layer_probe
from profilers.host.layer_probe import LayerKey, LayerProber, turn_time


def conv(channels: int, size: int = 14) -> LayerKey:
    return LayerKey("conv2d", channels, channels, (size, size), (size, size), (3, 3), padding=(1, 1))


def test_a_turn_counts_by_its_least_run() -> None:
    # turns' minima: 1, 2, 3, 4, 5; position 0.1 * 4 = 0.4 lies between the first two
    assert turn_time([9, 1, 8, 2, 9, 9, 7, 7, 3, 4, 4, 4, 6, 5, 50], burst=3) == pytest.approx(1.4)


def test_heavier_layers_cost_more_and_equal_keys_the_same() -> None:
    keys = [conv(8), conv(64), conv(8), conv(32)]
    with LayerProber(seconds_per_probe=0.01) as prober:
        costs = prober.costs(keys)
        assert prober.runtime_version
        assert prober.overhead_ms > 0
    # 1 : 16 : 64 in MACs; even a bad clock tells them apart
    assert costs[0] == costs[2]
    assert 0 < costs[0].ms < costs[3].ms < costs[1].ms
    assert all(cost.n >= layer_probe.BURST * layer_probe.ROUNDS[0] for cost in costs)


def test_batches_hold_all_keys_once_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [conv(c) for c in (512, 8, 256, 16, 384)]
    monkeypatch.setattr(layer_probe, "TOGETHER_MIB", 10.0)
    batches = list(layer_probe.batches(keys))
    flat = [key for batch in batches for key in batch]
    assert sorted(flat, key=LayerKey.macs) == flat
    assert set(flat) == set(keys)
    assert all(len(batch) == 1 or sum(map(layer_probe._mib, batch)) <= 10 for batch in batches)
    assert len(batches) > 1


def test_no_layers_no_times() -> None:
    with LayerProber() as prober:
        assert prober.time_ms([]) == []


def test_several_batches_and_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_probe, "TOGETHER_MIB", 0.01)
    seen: list[tuple[int, int]] = []
    with LayerProber(seconds_per_probe=0.001, on_progress=lambda done, of: seen.append((done, of))) as prober:
        times = prober.time_ms([conv(8), conv(16), LayerKey("linear", 64, 10)])
    assert all(ms >= 0 for ms in times)
    assert seen == [(1, 3), (2, 3), (3, 3)]
