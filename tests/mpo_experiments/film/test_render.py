"""Films of agents: the physics as recorded, in files that need no network."""

import dataclasses
import io
import json
import re

import numpy as np
import pytest
from brax import envs
from PIL.GifImagePlugin import GifImageFile
from typer.testing import CliRunner

from adapters.brax.environments import BraxTask
from cli.app import app
from mpo_core.settings import UnusableSetting
from mpo_experiments.film.drawing import ground_lines
from mpo_experiments.film.files import write_film
from mpo_experiments.film.gif import caption, gif_bytes
from mpo_experiments.film.html_page import heights, html_page
from mpo_experiments.film.rollout import Film, Panel, bodies_of, film, project
from mpo_experiments.page_parts import POLICY
from mpo_experiments.tasks.load import load_task


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """What `mpo render` films of halfcheetah's own two agents in half a second, and the page that it writes."""
    made, path = [], tmp_path_factory.mktemp("film") / "film.html"

    def kept(*arguments, **more):
        made.append(film(*arguments, **more))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mpo_experiments.film.rollout.film", kept)
        arguments = ("render", "--task", "halfcheetah", "--seconds", "0.5", "--out", str(path))
        found = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert found.exit_code == 0
    assert all(f"  {name} " in found.stdout for name in ("original", "target"))
    return made[0], path.read_text()


@pytest.fixture(scope="module")
def cheetah(rendered):
    return rendered[0]


def one_panel(fell=None, frames=4) -> Film:
    capsules = np.tile([[-0.5, 0.5, 0.5, 0.5, 0.1]], (frames, 1, 1))
    camera = np.stack([np.linspace(0, 0.4, frames), np.zeros(frames)], 1)
    return Film("one", (Panel("a", capsules, camera, np.arange(frames) * 10.0, fell),), 0.05, 4.0, True)


def told_by(page: str) -> dict:
    """The film in a page."""
    found = re.search(r"const film = (\{.*\});\n", page)
    assert found
    return json.loads(found.group(1))


def test_bodies_are_those_of_the_model():
    bodies = bodies_of(load_task("halfcheetah"))
    assert len(bodies.link) == 8  # torso, head, and three parts of either leg
    assert set(bodies.link) == set(range(7))
    lengths = np.linalg.norm(bodies.ends[:, 1] - bodies.ends[:, 0], axis=1)
    np.testing.assert_allclose(sorted(lengths)[-1], 1.0, atol=1e-3)  # the torso
    np.testing.assert_allclose(bodies.radius, 0.046, atol=1e-6)


def test_a_film_has_the_length_and_the_agents_that_were_asked_for(cheetah):
    assert (cheetah.frames, cheetah.interval) == (10, pytest.approx(0.05))
    assert [panel.name for panel in cheetah.panels] == ["original", "target"]
    for panel in cheetah.panels:
        assert panel.capsules.shape == (10, 8, 5)
        assert np.isfinite(panel.capsules).all()
        assert panel.fell is None
        assert np.abs(panel.capsules[..., [0, 2]]).max() < cheetah.width / 2
        lengths = np.hypot(*(panel.capsules[..., 2:4] - panel.capsules[..., 0:2]).T)
        np.testing.assert_allclose(lengths.max(), 1.0, atol=0.02)  # links do not stretch
    first, second = (panel.capsules for panel in cheetah.panels)
    assert np.abs(first[0] - second[0]).max() < 0.2  # one start state
    assert np.abs(first[-1] - second[-1]).max() > 0.02


def test_the_projection_turns_and_does_not_stretch():
    flat = project(np.array(1.0), np.array(5.0), np.array(2.0), flat=True)
    assert [float(value) for value in flat] == [1.0, 2.0, 5.0]
    point = np.random.default_rng(0).normal(size=3)
    np.testing.assert_allclose(np.linalg.norm(project(*point[:, None], flat=False)), np.linalg.norm(point))


def test_ground_moves_against_the_camera():
    made = one_panel()
    before, after = (ground_lines(made, np.array([x, 0.0]))[1:] for x in (0.0, 0.25))
    moved = {round(start[0] + 0.25, 6) for start, _ in after}
    assert moved & {round(start[0], 6) for start, _ in before}
    solid = Film("solid", made.panels, 0.05, 4.0, False)
    for start, end in ground_lines(solid, np.array([0.3, 0.1])):
        assert max(abs(start[0]), abs(end[0])) <= 2.0 + 1e-6


def test_a_page_holds_the_film_and_asks_for_nothing(rendered):
    made, page = rendered
    assert page == html_page(made)
    assert not re.search(r"(https?:)?//[a-z]|src=|@import|url\(", page.split("<script>")[0])
    assert "http" not in page.replace(POLICY, "")
    assert "two &lt;agents&gt;" in html_page(dataclasses.replace(made, title="two <agents>"))
    told = told_by(page)
    assert [len(panel["capsules"]) for panel in told["panels"]] == [10, 10]
    assert [len(panel["lines"]) for panel in told["panels"]] == [10, 10]
    assert told["panels"][0]["role"] == "where training starts, score 0"
    assert all(len(panel["return"]) == 10 for panel in told["panels"])  # the curve of each


def test_a_panel_is_as_high_as_what_moves_in_it():
    made = one_panel()
    above, below = heights(made)
    top = max((panel.capsules[..., [1, 3]].max(-1) + panel.capsules[..., 4]).max() for panel in made.panels)
    assert top < above * made.width < 1.1 * top
    assert below > 0


def test_a_gif_has_every_frame_and_something_moves_in_it():
    made = one_panel()
    image = GifImageFile(io.BytesIO(gif_bytes(made)))
    assert (image.n_frames, image.info["duration"]) == (4, 50)
    pictures = []
    for frame in range(4):
        image.seek(frame)
        pictures.append(np.asarray(image.convert("L"), int))
    assert (pictures[0] < 250).mean() > 0.01
    assert not np.array_equal(pictures[0], pictures[3])


def test_captions_say_how_far_it_got_and_where_it_ended(tmp_path):
    made = one_panel(fell=2)
    assert [caption(made, made.panels[0], frame) for frame in (1, 3)] == ["return 10", "return 30, ended at 0.1 s"]
    write_film(tmp_path / "a.html", made)
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")


class Bare(envs.Env):
    """An environment without a model."""

    observation_size = action_size = 1  # pyright: ignore
    backend = "none"  # pyright: ignore

    def reset(self, rng):
        raise NotImplementedError

    def step(self, state, action):
        raise NotImplementedError


def test_a_task_without_bodies_is_refused():
    with pytest.raises(UnusableSetting, match="no bodies that could be drawn"):
        bodies_of(BraxTask("bare", "none", Bare(), 1, 1))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--task", "halfcheeta"), "did you mean 'halfcheetah'"),
        (("--task", "halfcheetah", "--out", "film.mp4"), "ends in .html or .gif"),
        (("--task", "halfcheetah", "--objective", "dop"), "unknown objective 'dop'"),
        (("--task", "halfcheetah", "--data", "mixd:1"), "mixd"),
        (("--task", "halfcheetah", "--seconds", "0"), "--seconds"),
        (("--task", "halfcheetah", *("--objective", "dpo") * 9), "at most 8"),
    ],
)
def test_mistakes_are_refused(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, ["render", *arguments])
    assert (found.exit_code, found.stdout) == (2, "")
    assert says in found.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_command_films_what_an_objective_trains(tmp_path):
    path = tmp_path / "film.html"
    arguments = ("--task", "halfcheetah", "--preset", "smoke", "--objective", "orpo", "--seconds", "0.5")
    found = CliRunner().invoke(app, ["render", *arguments, "--out", str(path)], catch_exceptions=False)
    assert found.exit_code == 0
    assert "orpo" in found.stdout
    told = told_by(path.read_text())
    assert [panel["name"] for panel in told["panels"]] == ["original", "target", "orpo"]
    ends = [np.array(panel["capsules"][-1]) for panel in told["panels"]]
    assert np.abs(ends[2] - ends[0]).max() > 1  # a millimetre: training changed what the agent does
