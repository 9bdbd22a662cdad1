// @ts-check
// Small live charts: the last three minutes of a number or two, drawn as lines.

import { make } from "./inspect-parts.js";

const POINTS = 90;
const WIDTH = 180;
const HEIGHT = 40;
const SVG = "http://www.w3.org/2000/svg";

/** @typedef {number | null} Value null: there was nothing to measure */

export class Chart {
  /**
   * @param {string} title
   * @param {(value: Value) => string} inWords
   * @param {{lines?: number, steep?: boolean, note?: string, join?: (values: Value[]) => string}}
   *   form how many lines; steep: each tenfold is as high as the one before; note: what the values
   *   are; join: all of them in words
   */
  constructor(title, inWords, { lines = 1, steep = false, note = "", join } = {}) {
    this.inWords = inWords;
    this.join = join ?? ((/** @type {Value[]} */ values) => values.map(inWords).join(" · "));
    this.title = note ? `${title}, ${note}` : title;
    this.steep = steep;
    /** @type {Value[][]} */
    this.points = Array.from({ length: lines }, () => []);
    this.value = make("p", { class: "value" });
    this.note = make("p", { class: "muted small" }, note);
    this.drawing = document.createElementNS(SVG, "svg");
    this.drawing.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.drawing.setAttribute("preserveAspectRatio", "none");
    this.drawing.setAttribute("role", "img");
    this.range = make("p", { class: "range", "aria-hidden": "true" });
    this.element = make(
      "div",
      { class: "card chart" },
      make("h3", {}, title),
      this.value,
      this.note,
      this.drawing,
      this.range,
    );
  }

  /** @param {...Value} values one for each line */
  add(...values) {
    this.points.forEach((points, line) => {
      points.push(values[line] ?? null);
      if (points.length > POINTS) points.shift();
    });
    const said = this.join(values);
    this.value.textContent = said;
    const range = this._range();
    this.drawing.setAttribute("aria-label", `${this.title}: ${said}. ${range}`);
    this.range.textContent = range;
    this._draw();
  }

  _range() {
    const known = this.points.flat().filter((value) => value !== null);
    if (!known.length) return "Nothing measured";
    return `Peak ${this.inWords(Math.max(...known))}`;
  }

  _draw() {
    const heights = this.points.map((points) => points.map((value) => this._height(value)));
    const top = Math.max(1, ...heights.flat().map((height) => height ?? 0));
    const ground = document.createElementNS(SVG, "line");
    for (const [name, value] of Object.entries({
      x1: 0,
      x2: WIDTH,
      y1: HEIGHT - 1,
      y2: HEIGHT - 1,
    }))
      ground.setAttribute(name, String(value));
    const drawn = heights.flatMap((line, place) =>
      stretches(line).map((stretch) => {
        const shape = document.createElementNS(SVG, "polyline");
        if (place) shape.setAttribute("class", "second");
        const points = stretch.map(([at, height]) => {
          const x = WIDTH - ((line.length - 1 - at) * WIDTH) / (POINTS - 1);
          return `${x.toFixed(1)},${(HEIGHT - 2 - (height / top) * (HEIGHT - 4)).toFixed(1)}`;
        });
        // A single point is a line of no length, which is not drawn.
        if (points.length === 1)
          points.push(String(points[0]).replace(/^[\d.]+/, (x) => String(+x - 1)));
        shape.setAttribute("points", points.join(" "));
        return shape;
      }),
    );
    this.drawing.replaceChildren(ground, ...drawn);
  }

  /** @param {Value} value */
  _height(value) {
    return value === null ? null : this.steep ? Math.log10(1 + value) : value;
  }
}

/**
 * The parts of a line that are not interrupted.
 *
 * @param {(number | null)[]} line
 */
function stretches(line) {
  /** @type {[number, number][][]} */
  const found = [];
  let open = false;
  line.forEach((height, at) => {
    if (height === null) {
      open = false;
      return;
    }
    if (!open) found.push([]);
    open = true;
    found.at(-1)?.push([at, height]);
  });
  return found;
}
