import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

import s5
from s5.config.choices import Head
from s5.errors import UserError
from s5.originals.importer import LAYOUTS
from s5.originals.weight_file import read_arrays
from tests.s5.originals.original_models import (
    Draws,
    Tree,
    agree,
    batch_norm,
    dense,
    gelu,
    layer_norm,
    recur,
    residual,
    sigmoid,
    wide,
    write,
)

batch, L, D_IN, H, P, CLASSES = 2, 9, 3, 4, 6, 5
U = np.random.default_rng(7).standard_normal((batch, L, D_IN)).astype(np.float32)


def s5_tree(
    *, bidirectional: bool = False, retrieval: bool = False, full: bool = False, batchnorm: bool = True
) -> Tree:
    draw = Draws()

    def layer() -> Tree:
        seq = {
            "Lambda_re": draw.uniform(-2, -0.1, P),
            "Lambda_im": draw.normal(P),
            "B": draw.normal(P, H, 2),
            "D": draw.normal(H),
            "log_step": draw.uniform(-3, 0, P, 1),
        }
        seq |= {name: draw.normal(H, P, 2) for name in (("C1", "C2") if bidirectional else ("C",))}
        out = {"out2": draw.dense(H, H), "norm": draw.norm(H)} | ({"out1": draw.dense(H, H)} if full else {})
        return {"seq": seq, **out}

    decoder = (
        {"layer1": draw.dense(4 * H, H), "layer2": draw.dense(H, CLASSES)} if retrieval else draw.dense(H, CLASSES)
    )
    layers = {f"layers_{i}": layer() for i in range(2)}
    statistics = {f"layers_{i}": {"norm": draw.statistics(H)} for i in range(2)}
    tree = {"params": {"encoder": {"encoder": draw.dense(D_IN, H), **layers}, "decoder": decoder}}
    return tree | ({"batch_stats": {"encoder": statistics}} if batchnorm else {})


def s5_layer(p: Tree, u: np.ndarray) -> np.ndarray:
    C = np.concatenate([p["C1"], p["C2"]], axis=1) if "C1" in p else p["C"]
    B, C = p["B"][..., 0] + 1j * p["B"][..., 1], C[..., 0] + 1j * C[..., 1]
    Lambda, step = p["Lambda_re"] + 1j * p["Lambda_im"], np.exp(p["log_step"][:, 0])
    Lambda_bar = np.exp(Lambda * step)
    Bu = u @ (((Lambda_bar - 1) / Lambda)[:, None] * B).T
    states = [recur(Lambda_bar, Bu, reverse=reverse) for reverse in (False, True)[: C.shape[1] // P]]
    return 2 * (np.concatenate(states, axis=-1) @ C.T).real + p["D"] * u


def s5_model(tree: Tree, u: np.ndarray, *, prenorm: bool = True, half_glu2: bool = False) -> np.ndarray:
    """The features that the S5 repository's decoder reads, by its formulas."""
    tree = wide(tree)
    p, statistics = tree["params"]["encoder"], tree.get("batch_stats", {}).get("encoder")
    x = dense(p["encoder"], np.asarray(u, np.float64))
    for i in range(2):
        layer = p[f"layers_{i}"]

        def norm(x: np.ndarray, i: int = i, layer: Tree = layer) -> np.ndarray:
            if statistics is None:
                return layer_norm(layer["norm"], x)
            return batch_norm(layer["norm"], statistics[f"layers_{i}"]["norm"], x)

        def inner(x: np.ndarray, layer: Tree = layer) -> np.ndarray:
            y = s5_layer(layer["seq"], x)
            value = dense(layer["out1"], gelu(y)) if "out1" in layer else y if half_glu2 else gelu(y)
            return value * sigmoid(dense(layer["out2"], gelu(y)))

        x = residual(x, norm, inner, prenorm=prenorm)
    return x.mean(1)


def test_a_model_of_the_s5_repository(tmp_path: Path) -> None:
    tree = s5_tree(bidirectional=True)
    state = {"step": 3, "opt_state": {"0": {"mu": tree["params"]}}, **tree}
    model = s5.import_weights(write(tmp_path / "checkpoint", state), "s5")
    agree(model, U, dense(wide(tree["params"]["decoder"]), s5_model(tree, U)))


def test_a_retrieval_model_of_the_s5_repository_with_other_options(tmp_path: Path) -> None:
    tree = s5_tree(retrieval=True, batchnorm=False)
    file = write(tmp_path / "checkpoint", tree["params"])
    model = s5.import_weights(file, "s5", prenorm=False, activation="half_glu2")
    assert model.kind is Head.retrieval
    pairs = np.stack([U, U[:, ::-1]], axis=1)
    one, two = (s5_model(tree, pairs[:, i], prenorm=False, half_glu2=True) for i in range(2))
    p = wide(tree["params"]["decoder"])
    hidden = gelu(dense(p["layer1"], np.concatenate([one, two, one - two, one * two], axis=-1)))
    agree(model, pairs, dense(p["layer2"], hidden))


def test_a_model_of_minimal_lru(tmp_path: Path) -> None:
    draw = Draws()
    layers = {}
    for i in range(2):
        seq = {"nu_log": draw.uniform(-3, 0, P), "theta_log": draw.normal(P), "gamma_log": draw.uniform(-1, 0, P)}
        seq |= {name: draw.normal(P, H) for name in ("B_re", "B_im")} | {"D": draw.normal(H)}
        seq |= {name: draw.normal(H, P) for name in ("C_re", "C_im")}
        out = {"out1": draw.dense(H, H), "out2": draw.dense(H, H), "normalization": draw.norm(H)}
        layers[f"layers_{i}"] = {"seq": seq, **out}
    tree = {"encoder": {"encoder": draw.dense(D_IN, H), **layers}, "decoder": draw.dense(H, CLASSES)}

    def layer(p: Tree, u: np.ndarray) -> np.ndarray:
        Lambda = np.exp(-np.exp(p["nu_log"]) + 1j * np.exp(p["theta_log"]))
        B = np.exp(p["gamma_log"])[:, None] * (p["B_re"] + 1j * p["B_im"])
        return (recur(Lambda, u @ B.T) @ (p["C_re"] + 1j * p["C_im"]).T).real + p["D"] * u

    def inner(p: Tree, u: np.ndarray) -> np.ndarray:
        x = gelu(layer(p["seq"], u))
        return dense(p["out1"], x) * sigmoid(dense(p["out2"], x))

    p = wide(tree)
    x = dense(p["encoder"]["encoder"], np.float64(U))
    for one in (p["encoder"][f"layers_{i}"] for i in range(2)):
        x = layer_norm(one["normalization"], x + inner(one, x))
    # The order of the steps as the last answers: the original's `pooling="none"`.
    model = s5.import_weights(write(tmp_path / "x.msgpack", tree), "minimal-lru", head="regression", prenorm=False)
    agree(model, U, dense(p["decoder"], x))


def test_all_formats_have_the_same_arrays(tmp_path: Path) -> None:
    tree = s5_tree(batchnorm=False)["params"]
    flat = {".".join(map(str, path)): array for path, array in nnx.traversals.flatten_mapping(tree).items()}
    save_file(flat, tmp_path / "x.safetensors")
    np.savez(tmp_path / "x.npz", **{name.replace(".", "/"): array for name, array in flat.items()})
    want = nnx.to_pure_dict(nnx.state(s5.import_weights(write(tmp_path / "x", tree), "s5")))
    for name in ("x.safetensors", "x.npz"):
        got = nnx.to_pure_dict(nnx.state(s5.import_weights(tmp_path / name, "s5")))
        assert nnx.traversals.flatten_mapping(got).keys() == nnx.traversals.flatten_mapping(want).keys()
        for path, array in nnx.traversals.flatten_mapping(got).items():
            np.testing.assert_array_equal(array, nnx.traversals.flatten_mapping(want)[path])


def test_errors_name_what_does_not_fit(tmp_path: Path) -> None:
    tree = s5_tree()
    del tree["params"]["encoder"]["layers_1"]["seq"]["D"]
    tree["params"]["encoder"]["layers_0"]["extra"] = np.zeros((2, 3), np.float32)
    with pytest.raises(UserError) as error:
        s5.import_weights(write(tmp_path / "x", tree), "s5")
    assert (
        "layers.layer.ssm.D [2, 4] of the model: the file has no params.encoder.layers_*.seq.D" in error.value.message
    )
    assert "params.encoder.layers_0.extra [2, 3] of the file" in error.value.message
    file = write(tmp_path / "x", s5_tree())
    with pytest.raises(UserError, match=r"model.d_model=8: the file has 4"):
        s5.import_weights(file, "s5", d_model=8)
    with pytest.raises(UserError, match=r"model.n_layers=6: the file has 2; .*d_model=128"):
        s5.import_weights(file, "s5", s5.Config())
    with pytest.raises(UserError, match="did you mean prenorm"):
        s5.import_weights(file, "s5", prenrm=False)
    with pytest.raises(UserError, match="did you mean half_glu2"):
        s5.import_weights(file, "s5", activation="half_glu22")
    with pytest.raises(UserError, match="did you mean minimal-lru"):
        s5.import_weights(file, "minimal-lr")
    with pytest.raises(UserError, match="has no array params"):
        s5.import_weights(file, "minimal-lru")


@pytest.mark.parametrize("name", ["x", "x.npz", "x.safetensors"])
def test_a_file_of_another_kind_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="no such file"):
        s5.import_weights(tmp_path / name, "s5")
    for content in (b"", b"some text", b"\xc1\xff" * 9):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=r"not a file of weights|has no array"):
            s5.import_weights(tmp_path / name, "s5")


def test_arrays_with_other_axes_are_named(tmp_path: Path) -> None:
    seq = "params.encoder.layers_1.seq"
    for name, shape, message in (
        ("log_step", (P,), rf"{seq}.log_step \[6\]: cannot be converted"),
        ("D", (H + 1,), r"layers differ in shape.*D \[4\]; .*D \[5\]"),
        ("Lambda_re", (P, 1), "shapes of the layout s5|differ in shape"),
    ):
        tree = s5_tree()
        tree["params"]["encoder"]["layers_1"]["seq"][name] = np.zeros(shape, np.float32)
        with pytest.raises(UserError, match=message):
            s5.import_weights(write(tmp_path / "x", tree), "s5")
    tree["params"]["encoder"]["layers_0"]["seq"]["Lambda_re"] = np.zeros((P, 1), np.float32)
    with pytest.raises(UserError, match="shapes of the layout s5"):
        s5.import_weights(write(tmp_path / "x", tree), "s5")
    tree = s5_tree()
    tree["params"]["decoder"]["bias"][0] = np.nan
    with pytest.raises(UserError, match=r"params.decoder.bias \[5\]: give infinite numbers or none"):
        s5.import_weights(write(tmp_path / "x", tree), "s5")


def test_a_file_of_torch_without_torch_says_how_to_convert_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.ckpt").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="torch, which is missing") as error:
        s5.import_weights(tmp_path / "x.ckpt", "s5")
    assert "safetensors" in error.value.hint


def test_a_file_of_torch_is_read_as_weights_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tensor:
        def detach(self) -> "Tensor":
            return self

        def numpy(self) -> np.ndarray:
            return np.ones(3, np.float32)

    class Torch:
        found: object = {"epoch": 3, "state_dict": {"encoder.weight": Tensor(), "name": "x"}, "hooks": [Tensor()]}

        def load(self, file: Path, map_location: str, weights_only: bool) -> object:
            assert (file, map_location, weights_only) == (tmp_path / "x.ckpt", "cpu", True)
            if self.found is None:
                raise ValueError("Unsupported global")
            return self.found

    monkeypatch.setitem(sys.modules, "torch", Torch())
    (tmp_path / "x.ckpt").write_bytes(b"")
    arrays = read_arrays(tmp_path / "x.ckpt")
    assert arrays.keys() == {"epoch", "state_dict.encoder.weight"} and arrays["state_dict.encoder.weight"].sum() == 3
    Torch.found = None
    with pytest.raises(UserError, match=r"refuses it .Unsupported global"):
        read_arrays(tmp_path / "x.ckpt")


def test_the_page_has_the_tables_of_all_layouts() -> None:
    script = Path(__file__).parents[3] / "scripts" / "import_tables.py"
    spec = importlib.util.spec_from_file_location("import_tables", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = module.PAGE.read_text()
    assert page.endswith(module.HEADING + module.make_tables()), "run python scripts/import_tables.py"
    assert all(f"| `{layout}` |" in page for layout in LAYOUTS)
