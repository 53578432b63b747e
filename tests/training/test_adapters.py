"""LoRA in place and out again, and FILA's start: against the formulas in numpy, gradients in float64, and what transformers reads."""

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from baldro import models
from baldro.prompts.encode import Tokens
from baldro.training.adapters import Adapters, fila, linear_layers

VOCABULARY = 40
PARTS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
PARTS += ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
NAMES = {f"model.layers.{layer}.{part}" for layer in range(2) for part in PARTS}


def llama(seed=0, dtype=torch.float32, kind="Llama", tied=True, **shape):
    size = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)
    torch.manual_seed(seed)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=VOCABULARY, tie_word_embeddings=tied, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        initializer_range=0.2, **{**size, **shape},
    )  # fmt: skip
    return getattr(transformers, f"{kind}ForCausalLM")(config).to(dtype).eval()


def sequences(seed, lengths=(9, 7, 12, 8)):
    made = torch.Generator().manual_seed(seed)
    return [Tokens(ids=tuple(torch.randint(3, VOCABULARY, (n,), generator=made).tolist()), start=3) for n in lengths]


IDS = torch.tensor([[5, 9, 22, 7, 31, 8], [3, 4, 11, 39, 20, 6]])


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def weights(model):
    return {name: p.detach().clone() for name, p in model.state_dict().items()}


def moved(adapters, size=0.3):
    """As training might leave them."""
    for i, factor in enumerate(adapters.trained().values()):
        torch.manual_seed(i)
        with torch.no_grad():
            factor += size * torch.randn_like(factor)


# In place ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_adapters_are_put_in_place_on_every_linear_layer_but_the_head(tied):
    model = llama(tied=tied)
    head, body, before = model.get_output_embeddings(), model.base_model, logits(model)
    adapters = Adapters(model, rank=3, alpha=6)
    assert type(model) is transformers.LlamaForCausalLM and set(adapters.layers) == NAMES
    assert model.get_output_embeddings() is head and type(head) is torch.nn.Linear and model.base_model is body
    assert torch.equal(logits(model), before), "B is 0"
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {f"{name}.lora_{part}.default.weight" for name in NAMES for part in "AB"}
    assert {id(p) for p in model.parameters() if p.requires_grad} == {id(p) for p in adapters.trained().values()}
    assert adapters.trained()["model.layers.1.mlp.down_proj.A"].shape == (3, 24)
    assert adapters.trained()["model.layers.1.mlp.down_proj.B"].shape == (16, 3)


def test_a_layer_computes_what_the_formula_says():
    """W x + (alpha / R) B A x, in float64."""
    model = llama(dtype=torch.float64)
    adapters = Adapters(model, rank=3, alpha=5)
    moved(adapters)
    name = "model.layers.0.mlp.up_proj"
    x = torch.randn(7, 16, dtype=torch.float64)
    a, b = (adapters.trained()[f"{name}.{part}"].detach().numpy() for part in "AB")
    plain = weights(llama(dtype=torch.float64))[f"{name}.weight"].numpy()
    with torch.no_grad():
        found = adapters.layers[name](x).numpy()
    assert found == pytest.approx(x.numpy() @ (plain + 5 / 3 * b @ a).T, rel=1e-12)


def test_the_seed_makes_the_adapters_and_leaves_other_draws_alone():
    made = []
    for seed in (4, 4, 5):
        model = llama()
        torch.manual_seed(7)
        adapters = Adapters(model, rank=2, alpha=2, seed=seed)
        made.append((adapters.state_dict(), torch.rand(3)))
    for name in made[0][0]:
        assert torch.equal(made[0][0][name], made[1][0][name])
        assert name.endswith("B") or not torch.equal(made[0][0][name], made[2][0][name])
    assert torch.equal(made[0][1], made[2][1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_adapters_have_the_type_of_the_weights(dtype):
    adapters = Adapters(llama(dtype=dtype), rank=2, alpha=2)
    assert {factor.dtype for factor in adapters.trained().values()} == {dtype}
    assert {p.dtype for p in adapters.model.parameters()} == {dtype}


def test_dropout_is_in_training_only():
    model = llama()
    adapters = Adapters(model, rank=2, alpha=2, dropout=0.5)
    moved(adapters)
    assert torch.equal(logits(model), logits(model))
    model.train()
    assert not torch.equal(logits(model), logits(model))


@pytest.mark.parametrize("kind", ["Mistral", "Qwen2", "Qwen3", "Gemma"])
def test_other_architectures_too(kind):
    model = llama(kind=kind, head_dim=8) if kind in ("Gemma", "Qwen3") else llama(kind=kind)
    before = weights(model)
    adapters = Adapters(model, rank=2, alpha=2)
    assert set(adapters.layers) == NAMES
    moved(adapters)
    expected = logits(model)
    adapters.merge()
    assert list(weights(model)) == list(before) and torch.allclose(logits(model), expected, atol=1e-5)


def test_an_architecture_without_linear_layers_is_refused_in_one_line():
    config = transformers.GPT2Config(
        n_embd=16, n_layer=1, n_head=2, vocab_size=VOCABULARY, bos_token_id=1, eos_token_id=2
    )
    with refused("lora-does-not-reach", "100%", "GPT2LMHeadModel", "attn.c_attn.weight"):
        Adapters(transformers.GPT2LMHeadModel(config), rank=2, alpha=2)


def test_a_mixture_with_fused_experts_is_refused_with_what_adapters_would_not_reach():
    """4 experts of 3 matrices of 16 x 24, a router of 4 x 16; attention has 4 matrices, two of 16 x 16 and two of 8 x 16."""
    model = llama(kind="Mixtral", num_local_experts=4)
    apart, linear = 4 * 3 * 16 * 24 + 4 * 16, 2 * 16 * 16 + 2 * 8 * 16
    names = "mlp.experts.down_proj, mlp.experts.gate_up_proj, mlp.gate.weight"
    with refused("lora-does-not-reach", f"{apart / (apart + linear):.0%}", "MixtralForCausalLM", names):
        Adapters(model, rank=2, alpha=2)


@pytest.mark.parametrize("kind, reached", [
    ("Qwen2Moe", False), ("Qwen3Moe", False), ("GptOss", False), ("GraniteMoe", False), ("Olmoe", False), ("DeepseekV3", False),
    ("Gemma2", True), ("Cohere", True), ("Phi3", True), ("OPT", True), ("GPTNeoX", True), ("Falcon", True),
])  # fmt: skip
def test_architectures_that_adapters_reach(kind, reached):
    """Of the sizes that they have by default; nothing is allocated."""
    config = getattr(transformers, f"{kind}Config")(num_hidden_layers=4)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    if reached:
        assert linear_layers(model)
        return
    with refused("lora-does-not-reach", "experts"):
        linear_layers(model)


# Out again -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_merged_is_plain_again(tied):
    """Same names, same function; what changed is s B A, and only where an adapter was."""
    model = llama(tied=tied)
    before = weights(model)
    adapters = Adapters(model, rank=3, alpha=6)
    moved(adapters)
    factors = {name: factor.detach().double().numpy() for name, factor in adapters.trained().items()}
    expected = logits(model)
    adapters.merge()
    after = weights(model)
    assert list(after) == list(before) and [str(m) for m in model.modules()] == [
        str(m) for m in llama(tied=tied).modules()
    ]
    assert torch.allclose(logits(model), expected, atol=1e-5) and not torch.allclose(expected, logits(llama(tied=tied)))
    assert all(p.requires_grad for p in model.parameters()) and not hasattr(model, "peft_config")
    for name, weight in after.items():
        layer = name.removesuffix(".weight")
        if layer in NAMES:
            delta = 2 * factors[f"{layer}.B"] @ factors[f"{layer}.A"]
            assert (weight - before[name]).double().numpy() == pytest.approx(delta, abs=1e-5), name
        else:
            assert torch.equal(weight, before[name]), name


def test_unmoved_adapters_leave_every_bit(tmp_path):
    model = llama()
    Adapters(model, rank=3, alpha=6).merge()
    for name, weight in weights(llama()).items():
        assert torch.equal(model.state_dict()[name], weight)


@pytest.mark.parametrize("precision", ["fp32", "bf16-only"])
def test_what_is_saved_is_read_by_transformers_alone(tmp_path, precision):
    class NoTokenizer:
        def save_pretrained(self, folder):
            pass

    model = llama(dtype=models.DTYPES[precision])
    adapters = Adapters(model, rank=3, alpha=6)
    moved(adapters)
    adapters.merge()
    models.save(model, NoTokenizer(), tmp_path, precision=precision)
    assert not list(tmp_path.glob("adapter*"))
    read = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto").eval()
    assert type(read) is transformers.LlamaForCausalLM
    for name, weight in weights(model).items():
        assert torch.equal(read.state_dict()[name], weight), name
    plain = models.load(str(tmp_path), precision=precision)
    assert list(plain.state_dict()) == list(llama().state_dict())


# FILA: the decomposition ---------------------------------------------------------------------------------------------


def reference(weight, w, rank, scale):
    """Row-weighted low-rank approximation, as the paper writes it: A, B from U, S, V of diag(w) W."""
    u, s, v = np.linalg.svd(w[:, None] * weight, full_matrices=False)
    root = np.sqrt(s[:rank] / scale)
    return root[:, None] * v[:rank], u[:, :rank] * root / w[:, None]


def error(weight, w, product):
    return np.linalg.norm(w[:, None] * (weight - product))


@settings(max_examples=60)
@given(
    rows=st.integers(2, 9), columns=st.integers(2, 9), seed=st.integers(0, 99), scale=st.floats(0.1, 8), data=st.data()
)
def test_factors_are_those_of_the_weighted_decomposition(rows, columns, seed, scale, data):
    rank = data.draw(st.integers(1, min(rows, columns)))
    made = np.random.default_rng(seed)
    weight, w = made.normal(size=(rows, columns)), made.uniform(0.3, 3, rows)
    a, b = fila.weighted_factors(torch.tensor(weight), torch.tensor(w), rank=rank, scale=scale, what="w")
    product = scale * b.double().numpy() @ a.double().numpy()
    their_a, their_b = reference(weight, w, rank, scale)
    best = error(weight, w, scale * their_b @ their_a)
    assert error(weight, w, product) == pytest.approx(best, rel=1e-4, abs=1e-4)
    assert np.linalg.matrix_rank(product, tol=1e-4) <= rank
    u, s, v = np.linalg.svd(weight, full_matrices=False)
    assert error(weight, w, product) <= error(weight, w, u[:, :rank] * s[:rank] @ v[:rank]) + 1e-4
    gaps = np.diff(np.linalg.svd(w[:, None] * weight, compute_uv=False))
    if rank == min(rows, columns) or -gaps[rank - 1] > 0.1:  # else another basis is as good
        assert product == pytest.approx(scale * their_b @ their_a, abs=1e-3)
        assert np.linalg.norm(a) == pytest.approx(np.linalg.norm(their_a), rel=1e-3), (
            "the split between A and B is the paper's"
        )
        assert np.linalg.norm(b) == pytest.approx(np.linalg.norm(their_b), rel=1e-3)


def test_weights_of_rows_matter():
    """A heavy row is kept, a light one is not."""
    weight = torch.diag(torch.tensor([1.0, 2.0, 3.0]))
    a, b = fila.weighted_factors(weight, torch.tensor([9.0, 1.0, 1.0]), rank=1, scale=1, what="w")
    assert (b @ a).numpy() == pytest.approx(np.diag([1.0, 0, 0]), abs=1e-6)
    a, b = fila.weighted_factors(weight, torch.tensor([0.0, 1.0, 1.0]), rank=2, scale=1, what="w")
    assert (b @ a).numpy() == pytest.approx(np.diag([0, 2.0, 3.0]), abs=1e-6)


def test_a_rank_that_a_matrix_does_not_have_is_one_line():
    with refused("rank-too-high", "4", "at most 3", "w"):
        fila.weighted_factors(torch.randn(3, 5), torch.ones(3), rank=4, scale=1, what="w")


# FILA: the Fisher information ----------------------------------------------------------------------------------------


def row_weights_by_hand(forget, retain):
    """In float64, a backward pass a sample through transformers' own head."""
    fisher = []
    for samples in (forget, retain):
        total = {}
        for tokens in samples:
            model = llama(dtype=torch.float64)
            logp = torch.log_softmax(model(input_ids=torch.tensor([tokens.ids])).logits[0], -1)
            chosen = [logp[t - 1, tokens.ids[t]] for t in range(tokens.start, len(tokens.ids))]
            (-sum(chosen) / len(chosen)).backward()
            for name in NAMES:
                g = model.get_submodule(name).weight.grad.numpy()
                total[name] = total.get(name, 0) + len(chosen) * g**2
        count = sum(len(tokens.ids) - tokens.start for tokens in samples)
        fisher.append({name: value / count for name, value in total.items()})
    of_forget, of_retain = fisher
    floor = {name: 1e-5 * of_retain[name].mean() for name in NAMES}
    return {name: np.sqrt((of_forget[name] / (of_retain[name] + floor[name])).sum(1)) for name in NAMES}


def test_row_weights_are_the_quotient_of_fisher_informations():
    forget, retain = sequences(1), sequences(2, (10, 6, 9))
    model = llama(attention_dropout=0.5).train()  # without dropout all the same
    layers = {name: model.get_submodule(name).weight for name in linear_layers(model)}
    found = fila.row_weights(model, layers, forget, retain)
    for name, expected in row_weights_by_hand(forget, retain).items():
        assert found[name].numpy() == pytest.approx(expected, rel=2e-3), name
    assert model.training and all(p.requires_grad and p.grad is None for p in model.parameters())


def test_as_many_retain_samples_as_forget_samples():
    retain = sequences(2, range(5, 35))
    few = fila.drawn(retain, 4, seed=1)
    assert len({tokens.ids for tokens in few}) == 4 and few == fila.drawn(retain, 4, seed=1) != fila.drawn(
        retain, 4, seed=2
    )
    assert sorted(tokens.ids for tokens in fila.drawn(retain, 99, seed=1)) == sorted(tokens.ids for tokens in retain)


def test_a_layer_that_nothing_moves_is_one_line():
    model = llama()
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.zero_()  # then neither gate nor up has a gradient
    with refused("no-fisher-information", "model.layers.1.mlp.", "retain"):
        Adapters(model, rank=2, alpha=2).start_fila(sequences(1), sequences(2), seed=0)


@pytest.mark.parametrize(("forget", "retain"), [(0, 3), (3, 0)])
def test_without_both_sets_there_is_no_fila(forget, retain):
    adapters = Adapters(llama(), rank=2, alpha=2)
    with refused("fila-without-both-sets"):
        adapters.start_fila(sequences(1)[:forget], sequences(2)[:retain], seed=0)


# FILA: the start -----------------------------------------------------------------------------------------------------


def started(dtype=torch.float32, rank=3, alpha=6, **options):
    model = llama(dtype=dtype)
    adapters = Adapters(model, rank=rank, alpha=alpha)
    adapters.start_fila(sequences(1), sequences(2), seed=0, **options)
    return model, adapters


def test_the_function_at_the_start_is_the_models():
    model, adapters = started()
    plain = llama()
    assert torch.allclose(logits(model), logits(plain), atol=1e-5)
    expected = row_weights_by_hand(sequences(1), fila.drawn(sequences(2), 4, 0))
    for name, layer in adapters.layers.items():
        weight, w = plain.get_submodule(name).weight.detach().double().numpy(), expected[name]
        a, b = (adapters.trained()[f"{name}.{part}"].detach().double().numpy() for part in "AB")
        assert 2 * b @ a + layer.get_base_layer().weight.detach().numpy() == pytest.approx(weight, abs=1e-6)
        assert np.linalg.matrix_rank(2 * b @ a, tol=1e-4) == 3
        their_a, their_b = reference(weight, w, 3, 2)
        assert error(weight, w, 2 * b @ a) == pytest.approx(error(weight, w, 2 * their_b @ their_a), rel=1e-3), name
        u, s, v = np.linalg.svd(weight, full_matrices=False)
        assert error(weight, w, 2 * b @ a) < error(weight, w, u[:, :3] * s[:3] @ v[:3])
    assert all(bool((factor != 0).any()) for factor in adapters.trained().values())
    adapters.merge()
    assert torch.allclose(logits(model), logits(plain), atol=1e-5)


def test_the_start_trains_as_the_random_one_does():
    model, _ = started()
    adapted = llama()
    Adapters(adapted, rank=3, alpha=6)
    assert [(n, p.requires_grad) for n, p in model.named_parameters()] == [
        (n, p.requires_grad) for n, p in adapted.named_parameters()
    ]
    assert all(p.grad is None for p in model.parameters())


def test_a_checkpoint_gives_every_bit_back():
    for model, adapters in (started(), started(dtype=torch.bfloat16)):
        moved(adapters)
        kept = {name: factor.clone() for name, factor in adapters.state_dict().items()}
        assert len(kept) == 4 * len(NAMES), "A and B, now and at the start, and no weight of the model"
        other = llama(dtype=model.dtype)
        Adapters(other, rank=3, alpha=6, seed=8).load_state_dict(kept)
        for (name, mine), theirs in zip(other.state_dict().items(), model.state_dict().values(), strict=True):
            assert torch.equal(mine, theirs), name


def test_the_first_devices_start_is_taken():
    _, adapters = started(agreed=torch.ones_like)
    assert all(bool((factor == 1).all()) for factor in adapters.trained().values())
    base = adapters.layers["model.layers.0.mlp.up_proj"].get_base_layer().weight
    assert torch.allclose(base, llama().model.layers[0].mlp.up_proj.weight - 2 * 3)


def test_a_start_can_be_ended_between_two_samples():
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 6:
            raise InterruptedError

    model = llama()
    adapters = Adapters(model, rank=3, alpha=6)
    with pytest.raises(InterruptedError):
        adapters.start_fila(sequences(1), sequences(2), seed=0, check=check)
    assert {p.requires_grad for p in adapters.trained().values()} == {True} and torch.equal(
        logits(model), logits(llama())
    )
