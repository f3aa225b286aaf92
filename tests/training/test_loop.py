import math

import pytest
import torch

from posteriori.hub.folder import save_folder
from posteriori.schedule import linear_betas
from posteriori.training.config import TrainConfig
from posteriori.training.data import Dataset
from posteriori.training.loop import DamagedCheckpoint, Trainer, draw_times, learning_rate, loss_weight, previous

TINY = TrainConfig(
    size=16, channels=(16, 32), norm_groups=8, images=80, batch_size=8, warmup=2, optimiser="adamw", learning_rate=2e-3
)

with_each_optimiser = pytest.mark.parametrize("optimiser", ["adamw"] + ["muon"] * hasattr(torch.optim, "Muon"))


def blobs(n=24, size=16):
    """Pictures with something to learn: one smooth bright blob each."""
    grid = torch.linspace(-1, 1, size)
    centres = torch.rand(n, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    y, x = (centres[:, i, None, None] for i in (0, 1))
    squared = (grid[None, :, None] - y) ** 2 + (grid[None, None] - x) ** 2
    pixels = (255 * torch.exp(-4 * squared)).byte()[:, None].expand(-1, 3, -1, -1)
    return Dataset([str(i) for i in range(n)], pixels.contiguous())


@with_each_optimiser
def test_training_lowers_the_loss(optimiser):
    trainer = Trainer(TrainConfig.from_json(TINY.to_json() | {"images": 480, "optimiser": optimiser}), blobs())
    losses = [trainer.advance().loss for _ in range(60)]
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


@with_each_optimiser
def test_interrupted_and_resumed_equals_uninterrupted(optimiser, tmp_path):
    config = TrainConfig.from_json(TINY.to_json() | {"optimiser": optimiser})
    whole = Trainer(config, blobs())
    losses = [whole.advance().loss for _ in range(8)]
    first = Trainer(config, blobs())
    for _ in range(3):
        first.advance()
    first.save(tmp_path / "checkpoint.pt")
    torch.manual_seed(123)  # the state of the global generator must not matter
    second = Trainer(config, blobs())
    second.load(tmp_path / "checkpoint.pt")
    assert [second.advance().loss for _ in range(5)] == losses[3:]
    for part in ("net", "ema"):
        a, b = getattr(whole, part).state_dict(), getattr(second, part).state_dict()
        assert all(torch.equal(a[k], b[k]) for k in a)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    Trainer(TINY, blobs()).save(tmp_path / "c.pt")
    with pytest.raises(ValueError, match=r"other settings \(learning_rate\)"):
        Trainer(TrainConfig.from_json(TINY.to_json() | {"learning_rate": 1e-3}), blobs()).load(tmp_path / "c.pt")
    with pytest.raises(ValueError, match="other images"):
        Trainer(TINY, blobs(n=23)).load(tmp_path / "c.pt")


def test_a_run_can_start_from_a_prior(tmp_path):
    first = Trainer(TINY, blobs())
    for _ in range(3):
        first.advance()
    about = {"prediction": TINY.prediction, "size": TINY.size, "name": "first", "licence": "none"}
    save_folder(tmp_path / "first", first.ema, first.schedule, **about, dtype=torch.float32)
    second = Trainer(TrainConfig.from_json(TINY.to_json() | {"start": str(tmp_path / "first")}), blobs())
    for network in (second.net, second.ema):
        for key, value in network.state_dict().items():
            assert torch.equal(value, first.ema.state_dict()[key])
    wider = TINY.to_json() | {"start": str(tmp_path / "first"), "channels": [16, 64]}
    with pytest.raises(ValueError, match="whose network differs from these settings: give"):
        Trainer(TrainConfig.from_json(wider), blobs())


def test_arithmetic_is_as_asked_and_never_float16():
    assert Trainer(TINY, blobs(), dtype="float32").dtype == torch.float32
    trainer = Trainer(TINY, blobs(), dtype="bfloat16")
    assert trainer.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="gradients underflow"):
        Trainer(TINY, blobs(), dtype="float16")


def test_a_run_can_be_made_longer(tmp_path):
    Trainer(TINY, blobs()).save(tmp_path / "c.pt")
    longer = Trainer(TrainConfig.from_json(TINY.to_json() | {"images": 160}), blobs())
    longer.load(tmp_path / "c.pt")
    assert longer.config.steps == 20


def test_settings_that_came_after_a_checkpoint_have_their_defaults(tmp_path):
    Trainer(TINY, blobs()).save(tmp_path / "c.pt")
    state = torch.load(tmp_path / "c.pt", weights_only=True)
    del state["config"]["times"]
    torch.save(state, tmp_path / "c.pt")
    Trainer(TINY, blobs()).load(tmp_path / "c.pt")
    with pytest.raises(ValueError, match=r"other settings \(times\)"):
        Trainer(TrainConfig.from_json(TINY.to_json() | {"times": "log-normal"}), blobs()).load(tmp_path / "c.pt")


def test_the_checkpoint_before_is_kept(tmp_path):
    trainer = Trainer(TINY, blobs())
    for _ in range(3):
        trainer.advance()
        trainer.save(tmp_path / "c.pt")
    steps = [torch.load(p, weights_only=True)["step"] for p in (tmp_path / "c.pt", previous(tmp_path / "c.pt"))]
    assert steps == [3, 2]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda data: data[:1000], lambda _: b"", lambda data: data[:-9000] + bytes(9000)])
def test_a_damaged_checkpoint_is_named(damage, tmp_path):
    Trainer(TINY, blobs()).save(tmp_path / "c.pt")
    (tmp_path / "c.pt").write_bytes(damage((tmp_path / "c.pt").read_bytes()))
    with pytest.raises(DamagedCheckpoint, match=r"c\.pt is damaged"):
        Trainer(TINY, blobs()).load(tmp_path / "c.pt")


def test_a_compiled_network_computes_the_same(monkeypatch, tmp_path):
    """Without a compiler: what is compiled is the network itself, under its own names in the checkpoint."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda net: compiled.append(net) or (lambda *args: net(*args)))
    plain, other = Trainer(TINY, blobs()), Trainer(TINY, blobs(), compile=True)
    assert compiled == [other.net]
    assert [plain.advance().loss for _ in range(3)] == [other.advance().loss for _ in range(3)]
    other.save(tmp_path / "c.pt")
    plain.load(tmp_path / "c.pt")


def test_out_of_memory_says_what_to_lower(monkeypatch):
    trainer = Trainer(TINY, blobs())
    monkeypatch.setattr(trainer, "forward", lambda *_: torch.empty(2**60))
    with pytest.raises(MemoryError, match=r"out of memory at step 0: lower batch_size \(now 8\)"):
        trainer.advance()


@pytest.mark.parametrize(("times", "uniform"), [("log-normal", 1 / 8), ("mixed", 1 / 2)])
def test_times_are_log_normal_and_uniform_in_their_shares(times, uniform):
    """Quantiles of log(sigma / alpha) are those of N(-1.2, 1.2^2) and of uniform times, in their shares."""
    schedule = linear_betas()
    t = draw_times(schedule, 40_000, times, torch.Generator().manual_seed(0))
    assert (t.min(), t.max()) == (1, schedule.T)
    log_sigma_bar = torch.from_numpy(schedule.log_sigma_bar)
    for bound in (-3.0, -2.0, -1.2, 0.0, 1.2):
        normal = torch.distributions.Normal(-1.2, 1.2).cdf(torch.tensor(bound)).item()
        among_uniform = (log_sigma_bar < bound).double().mean().item()
        expected = (1 - uniform) * normal + uniform * among_uniform
        assert (log_sigma_bar[t - 1] < bound).double().mean() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("times", ["uniform", "log-normal", "mixed"])
def test_no_time_is_below_min_sigma_and_all_above_it_are_drawn(times):
    schedule = linear_betas(T=50)
    t = draw_times(schedule, 20_000, times, torch.Generator().manual_seed(0), min_sigma=0.5)
    sigma_bar = torch.from_numpy(schedule.log_sigma_bar).exp()
    assert sigma_bar[t - 1].min() >= 0.5
    assert len(t.unique()) == (sigma_bar >= 0.5).sum()


@pytest.mark.parametrize("times", ["uniform", "log-normal", "mixed"])
def test_all_times_between_min_sigma_and_max_sigma_are_drawn_and_no_other(times):
    schedule = linear_betas(T=50)
    t = draw_times(schedule, 20_000, times, torch.Generator().manual_seed(0), min_sigma=0.1, max_sigma=0.5)
    sigma_bar = torch.from_numpy(schedule.log_sigma_bar).exp()
    within = (sigma_bar >= 0.1) & (sigma_bar < 0.5)
    assert set((t - 1).tolist()) == set(within.nonzero().flatten().tolist())


def test_uniform_times_are_all_levels():
    schedule = linear_betas(T=10)
    t = draw_times(schedule, 10_000, "uniform", torch.Generator().manual_seed(0))
    assert torch.bincount(t, minlength=11)[1:].min() > 900
    assert torch.bincount(t)[0] == 0


def test_nan_loss_names_the_step_and_what_to_lower():
    trainer = Trainer(TINY, blobs())
    with torch.no_grad():
        trainer.net.net.conv_in.weight.fill_(math.nan)
    with pytest.raises(FloatingPointError, match=r"step 0: lower learning_rate"):
        trainer.advance()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_loss_weights_are_the_papers_on_x0(prediction):
    """|x_0 - x0hat|^2 is weighted by w, whatever the network predicts."""
    schedule = linear_betas()
    alpha, sigma = schedule.level(300).alpha, schedule.level(300).sigma
    snr = torch.tensor(alpha**2 / sigma**2)
    # error of the prediction for an error of 1 in x_0
    own = {"epsilon": alpha / sigma, "v_prediction": 1 / sigma, "sample": 1.0}[prediction] ** 2
    assert own * loss_weight(snr, "min-snr", prediction) == pytest.approx(min(float(snr), 5.0), rel=1e-5)
    assert own * loss_weight(snr, "p2", prediction) == pytest.approx(float(snr / (1 + snr)), rel=1e-5)
    assert loss_weight(snr, "constant", prediction) == 1


def test_min_snr_stops_at_five():
    assert loss_weight(torch.tensor(100.0), "min-snr", "sample") == 5
    assert loss_weight(torch.tensor(2.0), "min-snr", "sample") == 2


def test_learning_rate_warms_up_stays_and_cools_down():
    config = TrainConfig(images=32_000, batch_size=32, warmup=100, cooldown=0.2, learning_rate=1e-3)
    assert learning_rate(config, 0) == pytest.approx(1e-5)
    assert learning_rate(config, 500) == 1e-3
    assert learning_rate(config, 900) == pytest.approx(5e-4)
    assert learning_rate(config, 999) == pytest.approx(5e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 30}, "multiples of"),
        ({"channels": [10]}, "norm_groups"),
        ({"channels": [7], "norm_groups": 7}, "channels start with 7: give an even number"),
        ({"images": 0}, "images is 0"),
        ({"min_crop": 0.0}, "min_crop"),
        ({"min_sigma": 0.5, "max_sigma": 0.5}, "max_sigma 0.5 is not above min_sigma 0.5"),
        ({"crop": "center"}, "crop is 'center': give one of centre, random"),
        ({"colour_jitter": 1}, "unknown training setting 'colour_jitter'"),
    ],
)
def test_bad_settings_say_what_is_taken(values, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig.from_json(values)
