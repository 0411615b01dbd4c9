const film = /*DATA*/;
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
