"""A film as a file: one HTML page that needs no network, or an animated GIF."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from adapters.plotting.panels import font_file
from adapters.storage.files import write_whole
from mpo_experiments.figures.style import INK, LEARNED, MARKS, MUTED
from mpo_experiments.film.rollout import Film, Panel, project

PANEL_WIDTH, PANEL_HEIGHT, MARGIN = 300, 230, 10
GROUND_AT = 0.72
"""Height of the ground in a panel, from the top."""
ROLES = {"original": "where training starts, score 0", "target": "the better agent, score 1"}
"""What the agents of a task are; any other was trained from the original with the objective of its name."""
COLOURS = (MUTED, MARKS[0], LEARNED, *MARKS[1:])
"""Of original, target, and trained agents in turn."""
SMOOTHING = 2
"""A GIF is drawn this much larger and then reduced."""


def write_film(path: Path, film: Film) -> None:
    """Writes a film in the form that the suffix of its file names."""
    content = gif_bytes(film) if path.suffix == ".gif" else html_page(film).encode()
    write_whole(path, content)


def caption(film: Film, panel: Panel, frame: int) -> str:
    """What stands under a panel's name."""
    if panel.fell is not None and frame >= panel.fell:
        return f"return {panel.return_[frame]:.0f}, ended at {panel.fell * film.interval:.1f} s"
    return f"return {panel.return_[frame]:.0f}"


def gif_bytes(film: Film) -> bytes:
    """The film as an animated GIF."""
    frames = [draw_frame(film, frame) for frame in range(film.frames)]
    out = io.BytesIO()
    milliseconds = max(20, round(film.interval * 100) * 10)  # a GIF counts in hundredths of a second
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, optimize=True)
    return out.getvalue()


def draw_frame(film: Film, frame: int) -> Image.Image:
    """One picture, panels side by side."""
    size = SMOOTHING * len(film.panels) * PANEL_WIDTH, SMOOTHING * PANEL_HEIGHT
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for place, panel in enumerate(film.panels):
        _draw_panel(draw, film, panel, frame, place)
    return image.resize((size[0] // SMOOTHING, size[1] // SMOOTHING), Image.Resampling.LANCZOS).quantize(64)


def _draw_panel(draw: ImageDraw.ImageDraw, film: Film, panel: Panel, frame: int, place: int) -> None:
    left, wide, high = SMOOTHING * place * PANEL_WIDTH, SMOOTHING * PANEL_WIDTH, SMOOTHING * PANEL_HEIGHT
    scale, middle, ground = wide / film.width, left + wide / 2, GROUND_AT * high
    for start, end in ground_lines(film, panel.camera[frame]):
        inside = np.clip([start[0], end[0]], -film.width / 2, film.width / 2) * scale + middle
        draw.line((inside[0], ground - start[1] * scale, inside[1], ground - end[1] * scale), fill="#d5dae1", width=2)
    colour = _mixed(COLOURS[place % len(COLOURS)], panel.fell is not None and frame >= panel.fell)
    for x0, y0, x1, y1, radius in panel.capsules[frame]:
        ends = [(middle + x * scale, ground - y * scale) for x, y in ((x0, y0), (x1, y1))]
        for shade, size in (("white", radius * scale + 3), (colour, radius * scale)):
            draw.line(ends, fill=shade, width=max(1, round(2 * size)))
            for x, y in ends:
                draw.ellipse((x - size, y - size, x + size, y + size), fill=shade)
    draw.rectangle((left + wide - 3, 0, left + wide, high), fill="white")
    at = left + SMOOTHING * MARGIN
    draw.text((at, SMOOTHING * MARGIN), panel.name, fill=INK, font=_font(14))
    draw.text((at, SMOOTHING * (MARGIN + 19)), caption(film, panel, frame), fill=MUTED, font=_font(12))


def ground_lines(film: Film, camera: np.ndarray) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The ground, with a mark or line a metre so that one sees how fast an agent moves; in metres on the picture."""
    reach = int(np.ceil(film.width)) + 1
    first = np.floor(camera).astype(int)
    if film.flat:
        marks = [float(x - camera[0]) for x in range(first[0] - reach, first[0] + reach + 1)]
        ticks = [((x, 0.0), (x, -0.04 * film.width)) for x in marks if abs(x) < film.width / 2]
        return [((-film.width / 2, 0.0), (film.width / 2, 0.0)), *ticks]
    lines = []
    for offset in range(-reach, reach + 1):
        x, y = first[0] + offset - camera[0], first[1] + offset - camera[1]
        for start, end in (((x, -reach), (x, reach)), ((-reach, y), (reach, y))):
            ends = np.array([start, end], float)
            right, up, _ = project(ends[:, 0], ends[:, 1], np.zeros(2), flat=False)
            kept = _cut(np.stack([right, up], 1), film.width / 2, 0.28 * film.width)
            lines += [kept] if kept else []
    return lines


def _cut(
    ends: np.ndarray, half_width: float, half_height: float
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The part of a line inside a box about the origin."""
    way, low, high = ends[1] - ends[0], 0.0, 1.0
    for axis, half in ((0, half_width), (1, half_height)):
        if abs(way[axis]) < 1e-9:
            if abs(ends[0, axis]) > half:
                return None
            continue
        one, other = sorted(((-half - ends[0, axis]) / way[axis], (half - ends[0, axis]) / way[axis]))
        low, high = max(low, one), min(high, other)
    if low >= high:
        return None
    (x0, y0), (x1, y1) = ends[0] + low * way, ends[0] + high * way
    return (float(x0), float(y0)), (float(x1), float(y1))


def _mixed(colour: str, faded: bool) -> str:
    """The colour, or half of it with white."""
    if not faded:
        return colour
    parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return "#" + "".join(f"{(part + 255) // 2:02x}" for part in parts)


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_file(), SMOOTHING * size)


def html_page(film: Film) -> str:
    """A page that plays the film on a canvas; nothing in it comes from the network."""
    panels = [
        {
            "name": panel.name,
            "role": ROLES.get(panel.name, "trained from the original with this objective"),
            "colour": COLOURS[place % len(COLOURS)],
            "fell": panel.fell,
            "return": [round(float(value)) for value in panel.return_],
            "capsules": (1000 * panel.capsules).round().astype(int).tolist(),
            "lines": [
                [[round(1000 * v) for v in (*a, *b)] for a, b in ground_lines(film, camera)] for camera in panel.camera
            ],
        }
        for place, panel in enumerate(film.panels)
    ]
    above, below = heights(film)
    told = {
        "panels": panels, "interval": film.interval, "width": round(1000 * film.width),
        "ground": above / (above + below), "size": [PANEL_WIDTH, round(PANEL_WIDTH * (above + below))],
    }  # fmt: skip
    script = json.dumps(told, separators=(",", ":")).replace("<", "\\u003c")
    title = film.title.replace("&", "&amp;").replace("<", "&lt;")
    return PAGE.replace("TITLE", title).replace("FILM_DATA", script)


def heights(film: Film) -> tuple[float, float]:
    """How much of a page's panel lies above and below the ground, in widths: as much as something moves in."""
    top = max(float((panel.capsules[..., [1, 3]].max(-1) + panel.capsules[..., 4]).max()) for panel in film.panels)
    lowest = min(float((panel.capsules[..., [1, 3]].min(-1) - panel.capsules[..., 4]).min()) for panel in film.panels)
    return 1.06 * top / film.width, max(0.06 if film.flat else 0.14, -1.06 * lowest / film.width)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>TITLE</title>
<style>
body { font: 15px system-ui, sans-serif; margin: 1rem; color: #1b1f24; background: #fff }
#panels { display: flex; flex-wrap: wrap; gap: 8px }
figure { margin: 0; border: 1px solid #e5e7eb; border-radius: 6px; overflow: hidden }
figcaption { padding: 6px 10px } figcaption span { color: #6b7280; font-variant-numeric: tabular-nums }
canvas { display: block; width: 300px; max-width: 100%; background: #fff }
figcaption i { color: #6b7280; font-style: normal; font-size: .85em; display: block }
figcaption b::before { content: ""; display: inline-block; width: .8em; height: .8em; border-radius: 50%;
  margin-right: .45em; background: var(--own) }
#returns { border: 1px solid #e5e7eb; border-radius: 6px; margin-top: 8px; width: 916px; max-width: 100% }
#controls { margin: .8rem 0; display: flex; gap: .6rem; align-items: center; max-width: 916px }
input { flex: 1 }
</style></head><body>
<h1 style="font-size:1.15rem">TITLE</h1>
<div id="panels"></div>
<canvas id="returns" role="img" aria-label="Return so far of each agent over time"></canvas>
<div id="controls"><button id="play">Pause</button><input id="at" type="range" min="0" value="0">
<span id="clock"></span></div>
<script>
const film = FILM_DATA;
const frames = film.panels[0].return.length, ratio = 2, at = document.getElementById("at");
at.max = frames - 1;
let frame = 0, playing = true, last = 0;
const views = film.panels.map(panel => {
  const figure = document.createElement("figure"), words = document.createElement("figcaption");
  const name = document.createElement("b"), said = document.createElement("span");
  const canvas = document.createElement("canvas");
  const role = document.createElement("i");
  name.textContent = panel.name + "  "; role.textContent = panel.role;
  name.style.setProperty("--own", panel.colour); words.append(name, said, role); figure.append(words, canvas);
  [canvas.width, canvas.height] = film.size.map(side => side * ratio);
  document.getElementById("panels").append(figure);
  return { panel, said, canvas, pen: canvas.getContext("2d") };
});
function show() {
  for (const { panel, said, canvas, pen } of views) {
    const scale = canvas.width / film.width, middle = canvas.width / 2, ground = film.ground * canvas.height;
    const over = panel.fell !== null && frame >= panel.fell;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.globalAlpha = 1; pen.strokeStyle = "#d5dae1"; pen.lineWidth = 2; pen.lineCap = "butt";
    for (const [a, b, c, d] of panel.lines[frame]) {
      pen.beginPath(); pen.moveTo(middle + a * scale, ground - b * scale);
      pen.lineTo(middle + c * scale, ground - d * scale); pen.stroke();
    }
    pen.lineCap = "round"; pen.globalAlpha = over ? 0.5 : 1;
    for (const [a, b, c, d, r] of panel.capsules[frame])
      for (const [colour, wide] of [["#fff", 2 * r * scale + 5], [panel.colour, 2 * r * scale]]) {
        pen.strokeStyle = colour; pen.lineWidth = wide; pen.beginPath();
        pen.moveTo(middle + a * scale, ground - b * scale);
        pen.lineTo(middle + c * scale + 0.01, ground - d * scale); pen.stroke();
      }
    const ended = over ? ", ended at " + (panel.fell * film.interval).toFixed(1) + " s" : "";
    said.textContent = "return " + panel.return[frame] + ended;
  }
  curves();
  at.value = frame;
  document.getElementById("clock").textContent = (frame * film.interval).toFixed(1) + " s";
}
const chart = document.getElementById("returns"), ink = chart.getContext("2d");
[chart.width, chart.height] = [916 * ratio, 190 * ratio];
const all = film.panels.flatMap(panel => panel.return), low = Math.min(0, ...all), high = Math.max(1, ...all);
const box = { left: 130, right: chart.width - 30, top: 50, bottom: chart.height - 64 };
const across = step => box.left + (box.right - box.left) * step / Math.max(1, frames - 1);
const up = value => box.bottom - (box.bottom - box.top) * (value - low) / (high - low);
function curves() {
  ink.clearRect(0, 0, chart.width, chart.height);
  ink.font = 22 + "px system-ui, sans-serif"; ink.fillStyle = "#6b7280"; ink.lineWidth = 2; ink.strokeStyle = "#e5e7eb";
  ink.textAlign = "left"; ink.fillText("return so far", 20, 30);
  for (const value of [...new Set([low, 0, high])]) {
    ink.beginPath(); ink.moveTo(box.left, up(value)); ink.lineTo(box.right, up(value)); ink.stroke();
    ink.textAlign = "right"; ink.fillText(Math.round(value), box.left - 12, up(value) + 8);
  }
  for (const [step, side] of [[0, "left"], [frames - 1, "right"]]) {
    ink.textAlign = side; ink.fillText((step * film.interval).toFixed(1) + " s", across(step), chart.height - 24);
  }
  for (const panel of film.panels)
    for (const [end, alpha] of [[frames - 1, 0.3], [frame, 1]]) {
      ink.globalAlpha = alpha; ink.strokeStyle = panel.colour; ink.lineWidth = alpha < 1 ? 3 : 5; ink.beginPath();
      for (let step = 0; step <= end; step++) ink.lineTo(across(step), up(panel.return[step]));
      ink.stroke(); ink.globalAlpha = 1;
    }
  ink.strokeStyle = "#1b1f24"; ink.lineWidth = 2; ink.beginPath();
  ink.moveTo(across(frame), box.top); ink.lineTo(across(frame), box.bottom); ink.stroke();
}
function tick(now) {
  if (playing && now - last >= 1000 * film.interval) { last = now; frame = (frame + 1) % frames; show(); }
  requestAnimationFrame(tick);
}
const button = document.getElementById("play");
button.onclick = () => { playing = !playing; button.textContent = playing ? "Pause" : "Play"; };
at.oninput = () => { playing = false; button.textContent = "Play"; frame = +at.value; show(); };
show(); requestAnimationFrame(tick);
</script></body></html>
"""
