"""Mixtures of experts: feed-forward networks of which each token goes through a few."""

from __future__ import annotations

from dataclasses import dataclass

from vatra.models.config import choice_of_number, count, flag, number
from vatra.models.feed_forward import Unit, gated
from vatra.models.plan import Tensor
from vatra.models.verbs import (
    activation,
    add,
    expert_linear,
    linear,
    mul,
    split,
    top_experts,
    weighted_sum,
)
from vatra.models.weights import Matrix, Vector, fused, group, matrix, row, vector


@dataclass(frozen=True)
class Gating:
    """The keys of a mixture of experts: how many there are, and how a token chooses."""

    n_expert: int = count("expert_count", default=0, at_least=0)
    n_expert_used: int = count(
        "expert_used_count",
        default=0,
        at_least=lambda c: min(c["n_expert"], 1),
        at_most="n_expert",
    )
    n_group: int = count("expert_group_count", default=1, at_least=0)
    n_group_used: int = count("expert_group_used_count", default=1, at_least=0)
    gating: str = choice_of_number(
        "expert_gating_func",
        default=0,
        known={0: "", 1: "softmax", 2: "sigmoid", 3: "chosen_softmax", 4: "sqrt_softplus"},
    )
    shares_sum_to_1: bool | None = flag("expert_weights_norm", default=None)
    shares_scale: float = number("expert_weights_scale", default=1.0, at_least=0.0)


@dataclass(frozen=True)
class Experts:
    """Each token goes through n_expert_used of n_expert gated networks; their sum by share.

    Shazeer et al. 2017, arXiv:1701.06538.
    """

    ffn_gate_inp: Matrix = matrix("n_expert", "n_embd", bias=True)
    exp_probs_b: Vector | None = vector("n_expert", optional=True, suffix=".bias")
    ffn_gate_up_exps: Matrix | None = matrix(
        "n_expert", "2 * n_ff_exp", "n_embd", bias=True, optional=True
    )
    ffn_gate_exps: Matrix | None = matrix(
        "n_expert", "n_ff_exp", "n_embd", bias=True, optional=True
    )
    ffn_up_exps: Matrix | None = matrix("n_expert", "n_ff_exp", "n_embd", bias=True, optional=True)
    ffn_down_exps: Matrix = matrix("n_expert", "n_embd", "n_ff_exp", bias=True)

    def __call__(
        self,
        x: Tensor,
        c: Gating,
        kind: Unit = "silu",
        *,
        by: str = "softmax",
        normalise: bool = True,
        router: Tensor | None = None,
    ) -> Tensor:
        """(n_embd,): `by` and `normalise` hold where the file does not say them.

        The experts are chosen by `router` (n_embd,), if that is not x.
        """
        scores = linear(x if router is None else router, self.ffn_gate_inp)  # (n_expert,)
        e, shares = top_experts(
            scores,
            c.n_expert_used,
            normalise=normalise if c.shares_sum_to_1 is None else c.shares_sum_to_1,
            scale=c.shares_scale or 1.0,
            gating=c.gating or by,
            bias=self.exp_probs_b,
            n_group=c.n_group or 1,
            n_group_used=c.n_group_used or 1,
        )  # (k,), (k,)
        return weighted_sum(self.of_chosen(x, e, kind), shares)  # (n_embd,)

    def of_chosen(self, x: Tensor, e: Tensor, kind: Unit) -> Tensor:
        """(k, n_embd): what each of the experts `e` (k,) makes of x."""
        if self.ffn_gate_up_exps is not None:
            both = expert_linear(x, e, self.ffn_gate_up_exps)  # (k, 2 * n_ff_exp)
            gate, up = split(both, both.shape[1] // 2, both.shape[1] // 2)
            h = gated(gate, up, kind)  # (k, n_ff_exp)
        elif self.ffn_gate_exps is not None and self.ffn_up_exps is not None:
            gate = expert_linear(x, e, self.ffn_gate_exps)  # (k, n_ff_exp)
            h = gated(gate, expert_linear(x, e, self.ffn_up_exps), kind)  # (k, n_ff_exp)
        else:
            assert self.ffn_up_exps is not None and isinstance(kind, str)
            h = activation(expert_linear(x, e, self.ffn_up_exps), kind)  # (k, n_ff_exp)
        return expert_linear(h, e, self.ffn_down_exps)  # (k, n_embd)


@dataclass(frozen=True)
class SharedExpert:
    """A gated network that all tokens go through, beside the experts that each chooses."""

    ffn_gate_inp_shexp: Matrix | None = row("n_embd", optional=True)
    ffn_gate_shexp: Matrix = matrix("n_ff_shexp", "n_embd")
    ffn_up_shexp: Matrix = matrix("n_ff_shexp", "n_embd")
    ffn_down_shexp: Matrix = matrix("n_embd", "n_ff_shexp")

    def __call__(self, x: Tensor, kind: Unit = "silu") -> Tensor:
        gate, up = linear(x, self.ffn_gate_shexp), linear(x, self.ffn_up_shexp)  # (n_ff_shexp,)
        h = gated(gate, up, kind)  # (n_ff_shexp,)
        out = linear(h, self.ffn_down_shexp)  # (n_embd,)
        if self.ffn_gate_inp_shexp is None:
            return out
        return mul(out, activation(linear(x, self.ffn_gate_inp_shexp), "sigmoid"))  # (n_embd,)


@dataclass(frozen=True)
class FusedSharedExpert:
    """The same with gate and up in one matrix, the gate first."""

    ffn_up_shexp: tuple[Matrix, Matrix] = fused(
        "ffn_up_shexp", "n_embd", ffn_gate_shexp="n_ff_shexp", ffn_up_shexp="n_ff_shexp"
    )
    ffn_down_shexp: Matrix = matrix("n_embd", "n_ff_shexp")

    def __call__(self, x: Tensor, kind: Unit = "silu") -> Tensor:
        gate, up = (linear(x, w) for w in self.ffn_up_shexp)  # (n_ff_shexp,), (n_ff_shexp,)
        return linear(gated(gate, up, kind), self.ffn_down_shexp)  # (n_embd,)


@dataclass(frozen=True)
class Mixture(Experts):
    """The experts that each token chooses, and the shared one if the file has it."""

    shared: SharedExpert | FusedSharedExpert | None = group(
        SharedExpert, where="ffn_up_shexp.weight"
    )

    def __call__(
        self,
        x: Tensor,
        c: Gating,
        kind: Unit = "silu",
        *,
        by: str = "softmax",
        normalise: bool = True,
        router: Tensor | None = None,
        shared_kind: Unit | None = None,
    ) -> Tensor:
        """(n_embd,): as Experts, the shared one gated by `shared_kind` if not by `kind` too."""
        out = super().__call__(x, c, kind, by=by, normalise=normalise, router=router)  # (n_embd,)
        if self.shared is None:
            return out
        return add(out, self.shared(x, shared_kind or kind))  # (n_embd,)
