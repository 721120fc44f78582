// Renders the standings. One <tr> per user, kept for as long as the user stays
// on the board, so that a change of rank is a move and not a repaint.

const MOVE_MS = 320;
const GAIN_MS = 900;
const GAIN_ADDS_UP_MS = 600; // a burst of increments shows as one growing sum

const scores = new Intl.NumberFormat();
const gains = new Intl.NumberFormat(undefined, { signDisplay: "always" });
const stillness = matchMedia("(prefers-reduced-motion: reduce)");

export class Leaderboard {
  #body;
  #rows = new Map(); // userId → { tr, rank, user, score, move, gain, gainAddsUpUntil }

  constructor(body) {
    this.#body = body;
  }

  has(userId) {
    return this.#rows.has(userId);
  }

  render(standings) {
    const present = new Set(standings.map((standing) => standing.userId));
    const before = this.#orderChanged(standings) ? this.#positions() : null;

    for (const [userId, row] of this.#rows) {
      if (present.has(userId)) continue;
      row.tr.remove();
      this.#rows.delete(userId);
    }
    const leading = standings[0]?.score ?? 0;
    standings.forEach((standing, index) => {
      let row = this.#rows.get(standing.userId);
      if (!row) this.#rows.set(standing.userId, (row = createRow(standing.userId)));
      fill(row, standing, leading);
      const occupant = this.#body.children[index];
      if (occupant !== row.tr) this.#body.insertBefore(row.tr, occupant ?? null);
    });
    // Lets the style sheet fit the longest score on a narrow screen.
    const digits = Math.max(1, ...standings.map(({ score }) => scores.format(score).length));
    this.#body.style.setProperty("--digits", digits);
    if (before && !stillness.matches) this.#animateMoves(before);
  }

  /** Highlights a user's row and shows by how much the score changed. */
  highlight(userId, increment, now) {
    const row = this.#rows.get(userId);
    if (!row) return;
    const addsUp = now < row.gainAddsUpUntil;
    row.gain = addsUp ? row.gain + increment : increment;
    row.score.dataset.gain = gains.format(row.gain);
    if (addsUp) return;
    row.gainAddsUpUntil = now + GAIN_ADDS_UP_MS;
    row.tr.animate([{ backgroundColor: "var(--flash)", offset: 0 }], GAIN_MS);
    row.score.animate([{ opacity: 1, offset: 0 }, { opacity: 1, offset: 0.7 }], {
      duration: GAIN_MS,
      pseudoElement: "::before",
    });
  }

  #orderChanged(standings) {
    const { children } = this.#body;
    return (
      children.length !== standings.length ||
      standings.some(({ userId }, index) => this.#rows.get(userId)?.tr !== children[index])
    );
  }

  #positions() {
    const seen = new Map();
    for (const row of this.#rows.values()) {
      seen.set(row, { laidOut: row.tr.offsetTop, visible: row.tr.getBoundingClientRect().top });
    }
    return seen;
  }

  // FLIP: the rows already stand where they belong; each starts from where the
  // eye last saw it, even half-way through an earlier move.
  #animateMoves(before) {
    const firstBoard = before.size === 0;
    const moved = [...this.#rows.values()].filter(
      (row) => !firstBoard && before.get(row)?.laidOut !== row.tr.offsetTop,
    );
    for (const row of moved) row.move?.cancel();
    // Reads follow all writes, so the browser lays out once.
    const shifts = moved.map((row) => {
      const { top, height } = row.tr.getBoundingClientRect();
      return before.has(row) ? before.get(row).visible - top : height;
    });
    moved.forEach((row, index) => {
      const zIndex = shifts[index] > 0 ? 2 : 1; // who climbs passes in front
      row.move = row.tr.animate(
        [
          { transform: `translateY(${shifts[index]}px)`, zIndex },
          { transform: "none", zIndex },
        ],
        { duration: MOVE_MS, easing: "cubic-bezier(0.2, 0.7, 0.2, 1)" },
      );
    });
  }
}

function createRow(userId) {
  const tr = document.createElement("tr");
  tr.dataset.userId = userId;
  const cell = (tag, name) => {
    const element = document.createElement(tag);
    element.dataset.cell = name;
    tr.append(element);
    return element;
  };
  const rank = cell("td", "rank");
  const header = cell("th", "user");
  header.scope = "row";
  // <bdi> keeps a right-to-left name from reordering its neighbours.
  const user = header.appendChild(document.createElement("bdi"));
  const score = cell("td", "score");
  return { tr, rank, user, score, move: null, gain: 0, gainAddsUpUntil: 0 };
}

function fill(row, standing, leading) {
  write(row.rank, scores.format(standing.rank));
  write(row.user, standing.user);
  write(row.score, scores.format(standing.score));
  row.tr.classList.toggle("leads", standing.rank === 1);
  const share = leading > 0 ? Math.max(0, standing.score / leading) : 0;
  row.tr.style.setProperty("--share", share.toFixed(4));
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
