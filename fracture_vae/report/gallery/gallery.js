"use strict";

// Sorting: a head's button sorts the rows by its column; figures as figures, words as words, what is missing last.
for (const head of document.querySelectorAll("table.runs thead th")) {
  head.querySelector("button").addEventListener("click", () => sortBy(head));
}

function sortBy(head) {
  const falling = head.getAttribute("aria-sort") === "ascending";
  for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const body = head.closest("table").tBodies[0];
  const missing = (cell) => cell.textContent === "–" || (cell.classList.contains("number") && !("value" in cell.dataset));
  const compare = (one, other) =>
    "value" in one.dataset && "value" in other.dataset
      ? Number(one.dataset.value) - Number(other.dataset.value)
      : one.textContent.localeCompare(other.textContent, undefined, { numeric: true });
  const rows = [...body.rows].sort((a, b) => {
    const [one, other] = [a.cells[head.cellIndex], b.cells[head.cellIndex]];
    if (missing(one) || missing(other)) return missing(one) - missing(other);
    return falling ? compare(other, one) : compare(one, other);
  });
  body.append(...rows);
}

// Curves: the pointer, or the arrow keys, show the values of an epoch.
for (const svg of document.querySelectorAll("svg[data-curve]")) showValues(svg);

function showValues(svg) {
  const { across: [first, last, left, right], series } = JSON.parse(svg.dataset.curve);
  const output = svg.parentElement.querySelector("output");
  const mark = svg.querySelector(".mark");
  const rest = [...output.childNodes];
  const epochs = [...new Set(series.flatMap(({ points }) => points.map(([epoch]) => epoch)))].sort((a, b) => a - b);
  const place = (epoch) => (last > first ? left + ((epoch - first) / (last - first)) * (right - left) : (left + right) / 2);
  let shown = epochs.length;
  const show = (index) => {
    shown = Math.max(0, Math.min(epochs.length - 1, index));
    const epoch = epochs[shown];
    const values = series.flatMap(({ split, name, points }) =>
      points.filter(([own]) => own === epoch).map(([, value]) => {
        const word = document.createElement("b");
        word.className = split;
        word.textContent = `${name} ${Number(value.toPrecision(4))}`;
        return [", ", word];
      }).flat());
    output.replaceChildren(`epoch ${epoch}: `, ...values.slice(1));
    mark.setAttribute("d", `M${place(epoch)} 8V148`);
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const away = epochs.map((epoch) => Math.abs(place(epoch) - x));
    show(away.indexOf(Math.min(...away)));
  });
  svg.addEventListener("pointerleave", () => {
    shown = epochs.length;
    output.replaceChildren(...rest);
    mark.setAttribute("d", "");
  });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    show(shown + step);
  });
}

// Latent explorer: the decoded image under the pointer, blended from the four cells around it.
for (const explorer of document.querySelectorAll(".explorer")) explore(explorer);

function explore(explorer) {
  const known = JSON.parse(explorer.querySelector("script").textContent);
  const plane = explorer.querySelector(".plane canvas");
  const decoded = explorer.querySelector(".decoded canvas");
  const sprite = explorer.querySelector(".sprite img");
  const output = explorer.querySelector("output");
  const [height, width] = known.size;
  const at = { x: 0.5, y: 0.5 }; // of the plane, from its left and top
  [decoded.width, decoded.height] = [width, height];
  sprite.loading = "eager";
  const scattered = scatter(plane, known);

  const show = () => {
    const pen = decoded.getContext("2d");
    pen.clearRect(0, 0, width, height);
    pen.globalCompositeOperation = "lighter"; // adds weighted cells up: a bilinear blend
    const [column, row] = [at.x * (known.cells - 1), at.y * (known.cells - 1)];
    const [left, top] = [column, row].map((cell) => Math.min(Math.floor(cell), known.cells - 2));
    for (const [right, below] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
      pen.globalAlpha = (right ? column - left : 1 - column + left) * (below ? row - top : 1 - row + top);
      pen.drawImage(sprite, (left + right) * width, (top + below) * height, width, height, 0, 0, width, height);
    }
    const pointer = plane.getContext("2d");
    pointer.drawImage(scattered, 0, 0);
    ring(pointer, at.x * plane.width, at.y * plane.height);
    const z = [at.x, 1 - at.y].map((share, axis) => known.low[axis] + share * (known.high[axis] - known.low[axis]));
    const where = known.axes.map((axis, index) => `${axis} = ${z[index].toFixed(2)}`).join(", ");
    output.textContent = `${where}; the nearest image is of class ${known.names[known.classes[nearest(known, at)]]}`;
  };
  const move = (x, y) => {
    [at.x, at.y] = [x, y].map((share) => Math.max(0, Math.min(1, share)));
    show();
  };
  const follow = (event) => {
    const box = plane.getBoundingClientRect();
    move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  plane.addEventListener("pointermove", follow);
  plane.addEventListener("pointerdown", follow);
  plane.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    move(at.x + step[0] * 0.02, at.y + step[1] * 0.02);
  });
  sprite.decode().then(show);
}

// Draws the images' places once; what is returned is laid below the pointer's ring.
function scatter(plane, known) {
  plane.width = plane.height = 760;
  const drawn = document.createElement("canvas");
  drawn.width = drawn.height = 760;
  const pen = drawn.getContext("2d");
  const scale = 760 / known.steps;
  pen.globalAlpha = 0.75;
  known.classes.forEach((own, index) => {
    pen.fillStyle = known.colours[own];
    pen.beginPath();
    pen.arc(known.places[2 * index] * scale, 760 - known.places[2 * index + 1] * scale, 4.5, 0, 2 * Math.PI);
    pen.fill();
  });
  return drawn;
}

function ring(pen, x, y) {
  for (const [radius, colour] of [[15, "#fff"], [12, "#000"]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = 3;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.stroke();
  }
}

function nearest(known, at) {
  const [x, y] = [at.x * known.steps, (1 - at.y) * known.steps];
  let [best, least] = [0, Infinity];
  for (let index = 0; index < known.classes.length; index++) {
    const away = (known.places[2 * index] - x) ** 2 + (known.places[2 * index + 1] - y) ** 2;
    if (away < least) [best, least] = [index, away];
  }
  return best;
}
