"""The animate pipeline with random weights: what must hold whatever the model has learned."""

import numpy as np
import pytest
import torch

from core.checkpoint import save_checkpoint
from core.config import config_from_dict, config_to_dict, load_config
from core.errors import Cancelled, CheckpointError, HandleError, M2VError
from core.io.mesh.source_mesh import build_source_mesh
from core.models.diffusion_models import build_motion_autoencoder, build_motion_diffusion, build_shape_autoencoder
from core.pipelines import motion_sampling, prepared_mesh
from core.pipelines.animate import Animator
from core.pipelines.devices import choose_device
from core.pipelines.living_motion import estimate_share
from core.pipelines.request import Progress, SamplingOptions
from core.sequence import Handle, HandleTracks, SourceMesh
from tests.pipelines.conftest import tube_mesh

ONE = SamplingOptions(seeds=1)


def drag(mesh: SourceMesh, frames: int = 9, count: int = 3) -> HandleTracks:
    """Handles spread over the mesh: keyed in the last frame, keyed twice, pinned, held, in turn."""
    rng = np.random.default_rng(count)
    vertices = np.linspace(0, len(mesh.vertices) - 1, count).astype(int)
    last = frames - 1
    handles = []
    for number, vertex in enumerate(vertices):
        target = mesh.vertices[vertex] + 0.1 * mesh.size * rng.normal(size=3)
        between = mesh.vertices[vertex] + 0.05 * mesh.size * rng.normal(size=3)
        kind = number % 4
        if kind == 1:
            handles.append(Handle(int(vertex), pinned=True))
        else:
            keys = {last: target} if kind == 0 else {max(1, last // 2): between, last: target}
            handles.append(Handle(int(vertex), keys, hold=kind == 3))
    return HandleTracks(tuple(handles), frames=frames)


def largest_error(mesh: SourceMesh, tracks: HandleTracks, vertices: np.ndarray) -> float:
    targets, keyframe_mask = tracks.constraints(mesh.vertices)
    at_handles = vertices[:, [handle.vertex for handle in tracks.handles]].swapaxes(0, 1)
    return float(np.linalg.norm(at_handles - targets, axis=-1)[keyframe_mask].max()) / mesh.size


def check(mesh: SourceMesh, tracks: HandleTracks, samples) -> None:
    for sample in samples.samples:
        vertices = sample.sequence.vertices
        assert vertices.shape == (tracks.frames, len(mesh.vertices), 3)
        np.testing.assert_array_equal(vertices[0], mesh.vertices)
        assert sample.handle_error < 1e-5
        if tracks.handles:
            assert largest_error(mesh, tracks, vertices) < 1e-5
    assert samples.disagreement.shape == (tracks.frames, len(mesh.vertices))


@pytest.mark.parametrize("frames", [2, 3, 5, 6, 9, 17, 40])
def test_handles_are_exact_for_any_number_of_frames(animator, mesh, frames):
    tracks = drag(mesh, frames)
    check(mesh, tracks, animator.animate(mesh, tracks, ONE))


@pytest.mark.parametrize("count", [0, 1, 2, 17, 64])
def test_handles_are_exact_for_any_number_of_handles(animator, mesh, count):
    tracks = drag(mesh, 9, count)
    check(mesh, tracks, animator.animate(mesh, tracks, ONE))


@pytest.mark.parametrize("quality", ["draft", "normal", "best"])
def test_handles_are_exact_at_every_quality(animator, mesh, quality):
    tracks = drag(mesh)
    check(mesh, tracks, animator.animate(mesh, tracks, SamplingOptions(seeds=1, quality=quality)))


@pytest.mark.parametrize(
    "shape",
    [
        {"copies": 3},
        {"up_axis": "z"},
        {"up_axis": "x"},
        {"scale": 1000.0},
        {"scale": 1e-4},
        {"rings": 500, "around": 40},
    ],
    ids=lambda shape: str(shape),
)
def test_any_mesh_can_be_animated(animator, shape):
    mesh = tube_mesh(**shape)
    tracks = drag(mesh, 6)
    check(mesh, tracks, animator.animate(mesh, tracks, ONE))


def test_units_do_not_change_the_motion(animator):
    small, large = tube_mesh(), tube_mesh(scale=1024.0)
    tracks = drag(small)
    moved = HandleTracks(
        tuple(Handle(h.vertex, {f: 1024.0 * p for f, p in h.keys.items()}, h.hold, h.pinned) for h in tracks.handles),
        tracks.frames,
    )
    one = animator.animate(small, tracks, ONE).samples[0].sequence.vertices
    other = animator.animate(large, moved, ONE).samples[0].sequence.vertices
    # Rounding in float32 may turn a neighbour of the warm start's graph into another one.
    np.testing.assert_allclose(other / 1024.0, one, atol=5e-3 * small.size)


def test_a_seed_gives_the_same_motion_again_and_in_any_batch(animator, mesh):
    tracks = drag(mesh)
    four = animator.animate(mesh, tracks, SamplingOptions(seeds=4, seed=5))
    again = animator.animate(mesh, tracks, SamplingOptions(seeds=4, seed=5))
    alone = animator.animate(mesh, tracks, SamplingOptions(seeds=1, seed=7))
    assert [sample.seed for sample in four.samples] == [5, 6, 7, 8]
    for one, other in zip(four.samples, again.samples, strict=True):
        np.testing.assert_array_equal(one.sequence.vertices, other.sequence.vertices)
    in_batch = four.samples[2].sequence.vertices
    np.testing.assert_allclose(alone.samples[0].sequence.vertices, in_batch, atol=1e-4 * mesh.size)


def test_seeds_differ_and_their_figures_say_so(animator, mesh):
    samples = animator.animate(mesh, drag(mesh), SamplingOptions(seeds=3))
    stacked = np.stack([sample.sequence.vertices for sample in samples.samples]).astype(float) / mesh.size
    apart = np.linalg.norm(stacked - stacked.mean(axis=0), axis=-1)
    assert apart.max() > 1e-3
    np.testing.assert_allclose([s.difference for s in samples.samples], apart.mean(axis=(1, 2)), rtol=1e-4)
    np.testing.assert_allclose(samples.disagreement, np.sqrt(np.square(apart).mean(axis=0)), rtol=1e-3, atol=1e-6)
    assert all(sample.soft_handle_error > sample.handle_error for sample in samples.samples)


def test_a_draft_is_one_motion_for_all_seeds(animator, mesh):
    samples = animator.animate(mesh, drag(mesh), SamplingOptions(seeds=4, seed=3, quality="draft"))
    assert [sample.seed for sample in samples.samples] == [3]


def test_without_handles_the_model_invents(animator, mesh):
    samples = animator.animate(mesh, HandleTracks((), frames=9), SamplingOptions(seeds=2))
    moved = samples.samples[0].sequence.vertices - mesh.vertices
    assert np.abs(moved[1:]).max() > 1e-3 * mesh.size
    assert samples.samples[0].handle_error == samples.samples[0].soft_handle_error == 0.0


@pytest.mark.parametrize("quality, calls", [("draft", 1), ("normal", 4), ("best", 2 * 6 - 1)])
def test_progress_counts_every_denoiser_call(animator, mesh, quality, calls):
    reports: list[Progress] = []
    tracks = drag(mesh)
    samples = animator.animate(mesh, tracks, SamplingOptions(seeds=2, quality=quality), reports.append)
    total = 1 + calls + len(samples.samples)  # the search of the bank, the denoiser, the surfaces
    assert {report.total for report in reports} == {total}
    done = [report.done for report in reports]
    assert done == sorted(done) and done[-1] == total and set(done) == set(range(total + 1))


@pytest.mark.parametrize("stop_at", [0, 1, 3])
def test_cancelling_stops_at_once_and_leaves_the_animator_usable(animator, mesh, stop_at):
    seen: list[int] = []

    def stop(progress: Progress) -> None:
        seen.append(progress.done)
        if progress.done == stop_at:
            raise Cancelled

    with pytest.raises(Cancelled):
        animator.animate(mesh, drag(mesh), ONE, stop)
    assert seen[-1] == stop_at
    check(mesh, drag(mesh), animator.animate(mesh, drag(mesh), ONE))


def test_the_mesh_is_read_once(animator, monkeypatch):
    mesh = tube_mesh()
    animator.animate(mesh, drag(mesh), ONE)
    monkeypatch.setattr(animator.shape_autoencoder, "encode", None)
    check(mesh, drag(mesh, 5), animator.animate(mesh, drag(mesh, 5), ONE))


def test_decoding_in_chunks_changes_nothing(animator, mesh, monkeypatch):
    tracks = drag(mesh)
    whole = animator.animate(mesh, tracks, ONE).samples[0].sequence.vertices
    monkeypatch.setattr("core.pipelines.decoding.DECODER_NUMBERS", 20_000)
    np.testing.assert_allclose(animator.animate(mesh, tracks, ONE).samples[0].sequence.vertices, whole, atol=1e-5)


def test_bad_requests_are_refused_with_a_sentence(animator, mesh):
    with pytest.raises(HandleError, match="vertices 0 to"):
        animator.animate(mesh, HandleTracks((Handle(10**6, pinned=True),)), ONE)
    with pytest.raises(HandleError, match="frame"):
        animator.animate(mesh, HandleTracks((), frames=1), ONE)
    with pytest.raises(M2VError, match="seeds"):
        animator.animate(mesh, drag(mesh), SamplingOptions(seeds=0))
    with pytest.raises(M2VError, match="device 'abacus'"):
        choose_device("abacus")


def save_tiny(folder, change=None) -> None:
    config = load_config("tiny")
    torch.manual_seed(0)
    builders = {
        "shape-autoencoder": build_shape_autoencoder,
        "motion-autoencoder": build_motion_autoencoder,
        "motion-diffusion": build_motion_diffusion,
    }
    for stage, build in builders.items():
        own = config_from_dict(change(config_to_dict(config))) if change and stage == "shape-autoencoder" else config
        save_checkpoint(folder / f"{stage}.safetensors", stage, own, build(own).state_dict(), {"step": 1}, half=True)


def test_weights_come_from_a_folder(tmp_path, mesh):
    save_tiny(tmp_path)
    loaded = Animator.load(str(tmp_path), "cpu")
    assert loaded.preset == "tiny" and str(loaded.device) == "cpu"
    check(mesh, drag(mesh, 5), loaded.animate(mesh, drag(mesh, 5), ONE))


def test_weights_that_do_not_belong_together_are_refused(tmp_path):
    def change(tree):
        tree["shape"]["neighbours"] = 5  # same tensors, another model
        return tree

    save_tiny(tmp_path, change)
    with pytest.raises(CheckpointError, match=r"different models \(shape.neighbours differs\)"):
        Animator.load(str(tmp_path), "cpu")


def test_a_missing_stage_is_named(tmp_path):
    save_tiny(tmp_path)
    (tmp_path / "motion-autoencoder.safetensors").unlink()
    with pytest.raises(CheckpointError, match="motion-autoencoder"):
        Animator.load(str(tmp_path), "cpu")


@pytest.mark.parametrize("quality", ["draft", "normal"])
def test_motion_between_keys_is_calm(animator, mesh, monkeypatch, quality):
    tracks = drag(mesh, 17)
    options = SamplingOptions(seeds=1, quality=quality)
    jitter = lambda sample: np.square(np.diff(sample.sequence.vertices, n=3, axis=0)).sum()  # noqa: E731
    calm = animator.animate(mesh, tracks, options).samples[0]
    monkeypatch.setattr(motion_sampling, "binomial_smooth", lambda paths, resting=True: paths)
    monkeypatch.setattr(motion_sampling, "whittaker_smooth", lambda paths, between: paths)
    as_sampled = animator.animate(mesh, tracks, options).samples[0]
    assert jitter(calm) < 0.6 * jitter(as_sampled)
    assert calm.handle_error < 1e-5


def hairpin(gap: float = 0.01, radius: float = 0.04) -> SourceMesh:
    """A tube bent back on itself until its arms nearly touch: like a horse's legs at a gallop."""
    along, around = np.linspace(0, 2, 81), np.linspace(0, 2 * np.pi, 13)[:-1]
    spine = np.stack([np.minimum(along, 2 - along), 0 * along, (2 * radius + gap) * (along > 1)], axis=1)
    ring = np.stack([0 * around, np.cos(around), np.sin(around)], axis=1) * radius
    index = np.arange(81 * 12).reshape(81, 12)
    a, b = index[:-1].ravel(), index[1:].ravel()
    c, d = np.roll(index[1:], -1, axis=1).ravel(), np.roll(index[:-1], -1, axis=1).ravel()
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)])
    return build_source_mesh((spine[:, None] + ring).reshape(-1, 3), faces, up_axis="y")


def test_what_only_comes_close_does_not_follow(animator, monkeypatch):
    """One arm of a hairpin is lifted at its tip: the other, which all but touches it, is far along the surface."""

    def follows() -> float:
        mesh = hairpin()  # another mesh each time: a prepared one is kept
        x, _, z = mesh.vertices.T
        tip = int(np.flatnonzero((x < 0.01) & (z < 0.045))[4])
        fixed = int(np.flatnonzero((x < 0.01) & (z > 0.045))[4])
        root = int(np.argmax(x))
        lift = {8: mesh.vertices[tip] - np.array([0, 0, 0.4])}
        tracks = HandleTracks((Handle(tip, lift), Handle(fixed, pinned=True), Handle(root, pinned=True)), frames=9)
        motion = animator.animate(mesh, tracks, SamplingOptions(seeds=1, quality="draft")).samples[0].sequence.vertices
        other = (x < 0.5) & (z > 0.045)
        return float(np.linalg.norm(motion[-1] - motion[0], axis=-1)[other].mean())

    along = follows()
    monkeypatch.setattr(prepared_mesh, "MOST_VERTICES", 0)  # so that distances are straight ones
    assert along < 0.7 * follows()


def test_distances_of_a_prepared_mesh_belong_to_its_nodes_and_handles(animator, mesh):
    handles = np.array([5, 100, 250])
    prepared = animator._meshes.of(mesh)
    with torch.inference_mode():
        surface = prepared.nodes(handles)
    count = min(surface.nodes.shape[1], animator.config.diffusion.warm_start_nodes)
    assert surface.distance.shape == (1, count + 3, count + 3)
    from_anchors = prepared.from_anchors(surface)
    assert from_anchors.shape == (1, len(mesh.vertices), animator.config.motion.latents)
    places = torch.cat([surface.nodes[0, :count], prepared.rest[0, handles]])
    straight = torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")
    assert (surface.distance[0] >= straight - 1e-4).all()
    for number, vertex in enumerate(handles):  # handles are the first anchors
        assert from_anchors[0, vertex, number] < 1e-5
        assert surface.distance[0, number, count + number] < 1e-5


def test_one_drag_is_left_to_borrowed_motion_and_three_tracks_to_the_estimate():
    certainty = np.array([[0.0, 0.5, 1.0]], np.float32)
    assert not estimate_share(certainty, 1).any()
    assert 0 < estimate_share(certainty, 2)[0, 1] < estimate_share(certainty, 3)[0, 1] < 1
    assert estimate_share(certainty, 3)[0, 2] == pytest.approx(0.6)
    # Ten have compared what leads the motion: where they determine the body the estimate adds less, elsewhere more.
    ten = estimate_share(np.array([[0.05, 1.0]], np.float32), 10)[0]
    assert ten[1] < 0.6 < ten[0]
