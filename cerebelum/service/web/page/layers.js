// Where the boxes and lines of a graph go, as cerebelum.render.layers has it: one layer above the other, with few
// crossings, wide layers in several rows. What many steps need together is gathered in a joint; lines pass in lanes.

const GAP = 22,
  ROW_GAP = 26,
  LAYER_GAP = 40,
  JOINT_GAP = 18,
  LANE = 8;
const SWEEPS = 8,
  SETTLINGS = 9;

const mean = (values, otherwise) => (values.length ? values.reduce((a, b) => a + b, 0) / values.length : otherwise);

/** Steps by how many others must come before them, one after the other. */
export function rowsOf(steps) {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const rank = new Map();
  const visit = (step, path) => {
    if (rank.has(step.id)) return rank.get(step.id);
    if (path.has(step.id)) return 0;
    path.add(step.id);
    const found =
      1 + Math.max(-1, ...step.needs.filter((need) => byId.has(need)).map((need) => visit(byId.get(need), path)));
    rank.set(step.id, found);
    return found;
  };
  const rows = [];
  for (const step of steps) (rows[visit(step, new Set())] ??= []).push(step.id);
  return [...rows].map((row) => row ?? []);
}

/** Boxes, lanes and joints as numbered nodes, with the lines between neighbouring layers. */
class Net {
  constructor(rows, needs) {
    this.layers = rows.map(() => []);
    this.names = [];
    this.layer = [];
    this.joints = [];
    this.above = [];
    this.below = [];
    this.lanes = new Map();
    const boxes = new Map();
    rows.forEach((row, at) => {
      for (const name of row) boxes.set(name, this.node(at, name));
    });
    for (const node of boxes.values()) this.layers[this.layer[node]].push(node);
    const together = new Map();
    for (const name of boxes.keys()) {
      const wanted = [...new Set(needs.get(name).filter((need) => boxes.has(need)))]
        .map((need) => boxes.get(need))
        .sort((a, b) => a - b);
      if (!wanted.length) continue;
      const key = wanted.join();
      if (!together.has(key)) together.set(key, [wanted, []]);
      together.get(key)[1].push(boxes.get(name));
    }
    for (const [sources, targets] of together.values()) this.gather(sources, targets);
  }

  gather(sources, targets) {
    if (sources.length > 1 && targets.length > 1) {
      const joint = this.node(this.layer[targets[0]], null);
      this.joints.push(joint);
      for (const target of targets) this.join(joint, target);
      targets = [joint];
    }
    for (const source of sources) for (const target of targets) this.connect(source, target);
  }

  node(layer, name) {
    this.layer.push(layer);
    this.above.push([]);
    this.below.push([]);
    return this.names.push(name) - 1;
  }

  connect(source, target) {
    let at = source;
    for (let layer = this.layer[source] + 1; layer < this.layer[target]; layer++) {
      const key = `${source},${layer}`;
      let lane = this.lanes.get(key);
      if (lane === undefined) {
        this.lanes.set(key, (lane = this.node(layer, null)));
        this.layers[layer].push(lane);
        this.join(at, lane);
      }
      at = lane;
    }
    this.join(at, target);
  }

  join(upper, lower) {
    this.below[upper].push(lower);
    this.above[lower].push(upper);
  }

  /** For each node the middle of what it is joined to on one side. */
  spread(at, nodes, down) {
    const side = down ? this.above : this.below;
    return nodes.map((node) =>
      mean(
        side[node].map((other) => this.seen(at, other, side)),
        at.get(node),
      ),
    );
  }

  seen(at, node, side) {
    if (!at.has(node))
      at.set(
        node,
        mean(
          side[node].map((other) => at.get(other) ?? 0),
          0,
        ),
      );
    return at.get(node);
  }
}

// -- the order in a layer ---------------------------------------------------------------------------------------------

const numbered = (layer) => layer.map((node, index) => [node, index - (layer.length - 1) / 2]);

function order(net) {
  let best = net.layers.map((layer) => [...layer]),
    fewest = crossings(net);
  for (let sweep = 0; sweep < SWEEPS && fewest; sweep++) {
    const down = sweep % 2 === 0;
    const at = new Map(net.layers.flatMap(numbered));
    for (const layer of down ? net.layers : [...net.layers].reverse()) {
      const spread = net.spread(at, layer, down);
      const wanted = new Map(layer.map((node, index) => [node, spread[index]]));
      layer.sort((a, b) => wanted.get(a) - wanted.get(b));
      for (const [node, place] of numbered(layer)) at.set(node, place);
    }
    const found = crossings(net);
    if (found < fewest) [best, fewest] = [net.layers.map((layer) => [...layer]), found];
  }
  net.layers = best;
}

function crossings(net) {
  let found = 0;
  const place = new Map(net.layers.flatMap((layer) => layer.map((node, index) => [node, index])));
  for (const layer of net.layers.slice(1)) {
    const ends = layer.flatMap((node) =>
      net.above[node].filter((upper) => place.has(upper)).map((upper) => [place.get(upper), place.get(node)]),
    );
    ends.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const seen = [];
    for (const [, end] of ends) {
      let low = 0,
        high = seen.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (seen[middle] <= end) low = middle + 1;
        else high = middle;
      }
      found += seen.length - low;
      seen.splice(low, 0, end);
    }
  }
  return found;
}

/** Middles as near to the wanted ones as can be, in the given order, without touching one another. */
function apart(wanted, widths) {
  const offsets = [];
  let at = 0;
  widths.forEach((width, index) => offsets.push((at += index ? (widths[index - 1] + width) / 2 + GAP : 0)));
  const blocks = [];
  wanted.forEach((want, index) => {
    let total = want - offsets[index],
      count = 1;
    while (blocks.length && blocks.at(-1)[0] / blocks.at(-1)[1] > total / count) {
      const [before, members] = blocks.pop();
      total += before;
      count += members;
    }
    blocks.push([total, count]);
  });
  return blocks
    .flatMap(([total, count]) => Array(count).fill(total / count))
    .map((start, index) => start + offsets[index]);
}

// -- coordinates ------------------------------------------------------------------------------------------------------

class Placed {
  constructor(net, widths, height, most) {
    Object.assign(this, {
      net,
      height,
      joints: new Set(net.joints),
      grids: new Map(),
      cells: new Map(),
      row: new Map(),
    });
    this.width = net.names.map((name) => (name === null ? LANE : widths.get(name)));
    net.layers.forEach((layer, number) => this.wrap(number, layer, most));
    for (const grid of this.grids.values())
      grid.forEach((nodes, row) => {
        for (const node of nodes) this.row.set(node, row);
      });
    this.across();
    this.down();
  }

  wrap(number, layer, most) {
    const boxes = layer.filter((node) => this.net.names[node] !== null);
    const wide = Math.max(0, ...boxes.map((node) => this.width[node]));
    if (boxes.length < 2 || boxes.reduce((sum, node) => sum + this.width[node] + GAP, -GAP) <= most) return;
    let columns = Math.max(1, Math.floor((most + GAP) / (wide + GAP)));
    const rows = Math.ceil(boxes.length / columns);
    columns = Math.ceil(boxes.length / rows);
    this.grids.set(
      number,
      Array.from({ length: rows }, (_, row) => boxes.slice(row * columns, (row + 1) * columns)),
    );
    this.cells.set(number, wide);
  }

  across() {
    const { net } = this;
    const at = (this.x = new Map());
    const put = (number, layer, wanted) =>
      this.fitted(number, layer, wanted).forEach((x, index) => at.set(layer[index], x));
    net.layers.forEach((layer, number) =>
      put(
        number,
        layer,
        layer.map(() => 0),
      ),
    );
    const every = [...net.layers.entries()];
    for (let settling = 0; settling < SETTLINGS; settling++) {
      const down = settling % 2 === 0;
      for (const joint of net.joints) at.delete(joint);
      for (const [number, layer] of down ? every : [...every].reverse())
        put(number, layer, net.spread(at, layer, down));
    }
    for (const joint of net.joints)
      at.set(
        joint,
        mean(
          [...net.above[joint], ...net.below[joint]].map((node) => at.get(node)),
          0,
        ),
      );
  }

  fitted(number, layer, wanted) {
    if (!this.grids.has(number))
      return apart(
        wanted,
        layer.map((node) => this.width[node]),
      );
    const grid = this.grids.get(number),
      cell = this.cells.get(number);
    const found = new Map();
    for (const nodes of grid)
      nodes.forEach((node, column) => found.set(node, (column - (grid[0].length - 1) / 2) * (cell + GAP)));
    // Lanes go past it, on the side where they are in the order.
    const edge = ((cell + GAP) * grid[0].length) / 2 + LANE,
      half = layer.length >> 1;
    const left = layer
      .slice(0, half)
      .filter((node) => !found.has(node))
      .reverse();
    const right = layer.slice(half).filter((node) => !found.has(node));
    left.forEach((node, index) => found.set(node, -edge - index * 2 * LANE));
    right.forEach((node, index) => found.set(node, edge + index * 2 * LANE));
    return layer.map((node) => found.get(node));
  }

  down() {
    const jointed = new Set(this.net.joints.map((joint) => this.net.layer[joint]));
    this.top = [];
    this.bottom = [];
    let y = 0;
    this.net.layers.forEach((_, number) => {
      if (number) y += LAYER_GAP + (jointed.has(number) ? JOINT_GAP : 0);
      this.top.push(y);
      const rows = this.grids.get(number)?.length ?? 1;
      y += rows * this.height + (rows - 1) * ROW_GAP;
      this.bottom.push(y);
    });
    this.whole = y;
  }

  drawing() {
    const { net } = this;
    const nodes = net.layers.flat();
    const edges = nodes.flatMap((node) => [
      this.x.get(node) - this.width[node] / 2,
      ...[...this.entry(node), ...this.exit(node)].map(([x]) => x),
    ]);
    const left = Math.min(...edges);
    for (const [node, x] of this.x) this.x.set(node, x - left);
    const lines = net.names.flatMap((_, upper) =>
      net.below[upper].map((lower) => [...this.exit(upper), ...this.entry(lower)]),
    );
    for (const node of nodes) if (net.names[node] === null) lines.push([this.entry(node)[0], this.exit(node).at(-1)]);
    const boxed = nodes.filter((node) => net.names[node] !== null);
    const boxes = new Map(boxed.map((node) => [net.names[node], this.place(node)]));
    const right = [...[...boxes.values()].map((place) => place.x + place.width), ...lines.flat().map(([x]) => x)];
    return {
      boxes,
      lines,
      heads: boxed.filter((node) => net.above[node].length).map((node) => this.entry(node).at(-1)),
      joints: net.joints.map((joint) => this.entry(joint)[0]),
      width: Math.max(0, ...right),
      height: this.whole,
    };
  }

  place(node) {
    return {
      x: this.x.get(node) - this.width[node] / 2,
      y: this.boxTop(node),
      width: this.width[node],
      height: this.height,
    };
  }

  boxTop(node) {
    return this.top[this.net.layer[node]] + (this.row.get(node) || 0) * (this.height + ROW_GAP);
  }

  /** The points of a line that comes from the layer above: through a channel to the further rows of a layer. */
  entry(node) {
    const x = this.x.get(node),
      layer = this.net.layer[node];
    if (this.net.names[node] === null) return [[x, this.top[layer] - (this.joints.has(node) ? ROW_GAP : 0)]];
    const top = this.boxTop(node);
    if (!this.row.get(node)) return [[x, top]];
    const channel = x - (this.cells.get(layer) + GAP) / 2;
    return [
      [channel, this.top[layer]],
      [channel, top - ROW_GAP],
      [x, top],
    ];
  }

  exit(node) {
    const x = this.x.get(node),
      layer = this.net.layer[node];
    if (this.net.names[node] === null)
      return [[x, this.joints.has(node) ? this.top[layer] - ROW_GAP : this.bottom[layer]]];
    const bottom = this.boxTop(node) + this.height;
    if (!this.grids.has(layer) || this.row.get(node) === this.grids.get(layer).length - 1) return [[x, bottom]];
    const channel = x + (this.cells.get(layer) + GAP) / 2;
    return [
      [x, bottom],
      [channel, bottom + ROW_GAP],
      [channel, this.bottom[layer]],
    ];
  }
}

/** The drawing of boxes in `rows`, each of which follows what it `needs` in rows before; none is wider than `most`. */
export function layered(rows, needs, widths, height, most) {
  const net = new Net(rows, needs);
  order(net);
  return new Placed(net, widths, height, most).drawing();
}
