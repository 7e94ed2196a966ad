"""Where the boxes and lines of a graph go: one layer above the other, with few crossings, wide layers in several rows.

What many steps need together is gathered in a joint, so that a hundred steps after a hundred others take two hundred
lines. Lines that go past a layer have a lane there, which all that come from one box share.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Iterable, Mapping, Sequence

import msgspec

GAP = 22.0
ROW_GAP = 26.0
LAYER_GAP = 44.0
JOINT_GAP = 18.0
LANE = 8.0
_SWEEPS = 8
_SETTLINGS = 9

Point = tuple[float, float]


class Place(msgspec.Struct, frozen=True):
    """Where a box is: its left upper corner and its size."""

    x: float
    y: float
    width: float
    height: float


class Drawing(msgspec.Struct, frozen=True):
    """A graph that only has to be drawn."""

    boxes: dict[str, Place]
    lines: tuple[tuple[Point, ...], ...]
    """Each through its points, leaving and reaching them upright."""
    heads: tuple[Point, ...]
    """Where lines reach a box."""
    joints: tuple[Point, ...]
    width: float
    height: float


class _Net:
    """Boxes, lanes and joints as numbered nodes, with the lines between neighbouring layers."""

    def __init__(self, rows: Sequence[Sequence[str]], needs: Mapping[str, Sequence[str]]) -> None:
        self.layers: list[list[int]] = [[] for _ in rows]
        self.names: list[str] = []
        """Of boxes; empty for lanes and joints."""
        self.layer: list[int] = []
        """A joint's is that of the boxes below it."""
        self.joints: list[int] = []
        self.above: list[list[int]] = []
        self.below: list[list[int]] = []
        self._lanes: dict[tuple[int, int], int] = {}
        boxes = {name: self._node(at, name) for at, row in enumerate(rows) for name in row}
        for node in boxes.values():
            self.layers[self.layer[node]].append(node)
        together: dict[frozenset[str], list[str]] = {}
        for name in boxes:
            if wanted := frozenset(need for need in needs[name] if need in boxes):
                together.setdefault(wanted, []).append(name)
        for wanted, names in together.items():
            targets = [boxes[name] for name in names]
            sources = sorted(boxes[need] for need in wanted)
            if len(sources) > 1 and len(targets) > 1:
                joint = self._node(self.layer[targets[0]], "")
                self.joints.append(joint)
                for target in targets:
                    self._join(joint, target)
                targets = [joint]
            for source in sources:
                for target in targets:
                    self._connect(source, target)

    def _node(self, layer: int, name: str) -> int:
        self.names.append(name)
        self.layer.append(layer)
        self.above.append([])
        self.below.append([])
        return len(self.names) - 1

    def _connect(self, source: int, target: int) -> None:
        at = source
        for layer in range(self.layer[source] + 1, self.layer[target]):
            lane = self._lanes.get((source, layer))
            if lane is None:
                lane = self._lanes[source, layer] = self._node(layer, "")
                self.layers[layer].append(lane)
                self._join(at, lane)
            at = lane
        self._join(at, target)

    def _join(self, upper: int, lower: int) -> None:
        self.below[upper].append(lower)
        self.above[lower].append(upper)

    def spread(self, at: dict[int, float], nodes: Iterable[int], *, down: bool) -> list[float]:
        """For each node the middle of what it is joined to on one side; its own place where there is nothing."""
        side = self.above if down else self.below
        return [_mean([self._seen(at, other, side) for other in side[node]], at[node]) for node in nodes]

    def _seen(self, at: dict[int, float], node: int, side: list[list[int]]) -> float:
        """A node's place; a joint stands where the middle of what is behind it is."""
        found = at.get(node)
        if found is None:
            found = at[node] = _mean([at[other] for other in side[node]], 0.0)
        return found


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def layered(
    rows: Sequence[Sequence[str]],
    needs: Mapping[str, Sequence[str]],
    widths: Mapping[str, float],
    height: float,
    most: float,
) -> Drawing:
    """The drawing of boxes in `rows`, each of which follows what it `needs` in rows before.

    A row that is wider than `most` is put into several.
    """
    net = _Net(rows, needs)
    _order(net)
    return _Placed(net, widths, height, most).drawing()


# -- the order in a layer ---------------------------------------------------------------------------------------------


def _order(net: _Net) -> None:
    """Sort every layer by where its neighbours are, down and up again, and keep the order with the fewest crossings."""
    best, fewest = [list(layer) for layer in net.layers], _crossings(net)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        at = {node: place for layer in net.layers for node, place in _numbered(layer)}
        for layer in net.layers if down else reversed(net.layers):
            wanted = dict(zip(layer, net.spread(at, layer, down=down), strict=True))
            layer.sort(key=wanted.__getitem__)
            at.update(_numbered(layer))
        if (found := _crossings(net)) < fewest:
            best, fewest = [list(layer) for layer in net.layers], found
    net.layers = best


def _numbered(layer: Sequence[int]) -> Iterable[tuple[int, float]]:
    return ((node, index - (len(layer) - 1) / 2) for index, node in enumerate(layer))


def _crossings(net: _Net) -> int:
    """How often lines cross between neighbouring layers; those of a joint meet instead."""
    found = 0
    place = {node: index for layer in net.layers for index, node in enumerate(layer)}
    for layer in net.layers[1:]:
        ends = sorted((place[upper], place[node]) for node in layer for upper in net.above[node] if upper in place)
        seen: list[int] = []
        for _, end in ends:
            found += len(seen) - bisect(seen, end)
            insort(seen, end)
    return found


def _apart(wanted: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Middles as near to the wanted ones as can be, in the given order, without touching one another."""
    offsets, at = [], 0.0
    for index, width in enumerate(widths):
        at += (widths[index - 1] + width) / 2 + GAP if index else 0.0
        offsets.append(at)
    # Neighbours that want to be where the other is share what is best for both.
    blocks: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        total, count = want - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            before, members = blocks.pop()
            total, count = total + before, count + members
        blocks.append((total, count))
    starts = [total / count for total, count in blocks for _ in range(count)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]


# -- coordinates ------------------------------------------------------------------------------------------------------


class _Placed:
    """Nodes with their places: middles across, and where each layer begins and ends."""

    def __init__(self, net: _Net, widths: Mapping[str, float], height: float, most: float) -> None:
        self._net, self._height, self._joints = net, height, frozenset(net.joints)
        self._width = [widths[name] if name else LANE for name in net.names]
        self._grids: dict[int, list[list[int]]] = {}
        self._cells: dict[int, float] = {}
        for number, layer in enumerate(net.layers):
            self._wrap(number, layer, most)
        self._x = self._across()
        self._top, self._bottom, self._whole = self._down()
        self._row = {n: row for rows in self._grids.values() for row, nodes in enumerate(rows) for n in nodes}

    def _wrap(self, number: int, layer: Sequence[int], most: float) -> None:
        boxes = [node for node in layer if self._net.names[node]]
        wide = max((self._width[node] for node in boxes), default=0.0)
        if len(boxes) < 2 or sum(self._width[node] + GAP for node in boxes) - GAP <= most:
            return
        columns = max(1, int((most + GAP) // (wide + GAP)))
        rows = -(-len(boxes) // columns)
        columns = -(-len(boxes) // rows)
        self._grids[number] = [boxes[at : at + columns] for at in range(0, len(boxes), columns)]
        self._cells[number] = wide

    def _across(self) -> dict[int, float]:
        net = self._net
        at: dict[int, float] = {}
        for number, layer in enumerate(net.layers):
            at.update(zip(layer, self._fitted(number, layer, [0.0] * len(layer)), strict=True))
        for settling in range(_SETTLINGS):
            down = settling % 2 == 0
            for joint in net.joints:
                at.pop(joint, None)
            for number, layer in self._layers(down):
                at.update(zip(layer, self._fitted(number, layer, net.spread(at, layer, down=down)), strict=True))
        for joint in net.joints:
            at[joint] = _mean([at[node] for node in (*net.above[joint], *net.below[joint])], 0.0)
        return at

    def _layers(self, down: bool) -> list[tuple[int, list[int]]]:
        every = list(enumerate(self._net.layers))
        return every if down else every[::-1]

    def _fitted(self, number: int, layer: Sequence[int], wanted: Sequence[float]) -> list[float]:
        if number not in self._grids:
            return _apart(wanted, [self._width[node] for node in layer])
        grid, cell = self._grids[number], self._cells[number]
        found = {}
        for nodes in grid:
            for column, node in enumerate(nodes):
                found[node] = (column - (len(grid[0]) - 1) / 2) * (cell + GAP)
        # Lanes go past it, on the side where they are in the order.
        edge = (cell + GAP) * len(grid[0]) / 2 + LANE
        left = [node for node in layer[: len(layer) // 2] if node not in found]
        right = [node for node in layer[len(layer) // 2 :] if node not in found]
        found |= {node: -edge - index * 2 * LANE for index, node in enumerate(reversed(left))}
        found |= {node: edge + index * 2 * LANE for index, node in enumerate(right)}
        return [found[node] for node in layer]

    def _down(self) -> tuple[list[float], list[float], float]:
        tops, bottoms, y = [], [], 0.0
        jointed = {self._net.layer[joint] for joint in self._net.joints}
        for number in range(len(self._net.layers)):
            if number:
                y += LAYER_GAP + (JOINT_GAP if number in jointed else 0.0)
            tops.append(y)
            rows = len(self._grids.get(number, [[]]))
            y += rows * self._height + (rows - 1) * ROW_GAP
            bottoms.append(y)
        return tops, bottoms, y

    def drawing(self) -> Drawing:
        """Everything moved so that it begins at 0, 0."""
        net = self._net
        nodes = [node for layer in net.layers for node in layer]
        left = min((self._x[node] - self._width[node] / 2 for node in nodes), default=0.0)
        left = min([left, *(p[0] for node in nodes for p in (*self._entry(node), *self._exit(node)))])
        self._x = {node: x - left for node, x in self._x.items()}
        lines = tuple(
            (*self._exit(upper), *self._entry(lower)) for upper in range(len(net.names)) for lower in net.below[upper]
        )
        lines += tuple((self._entry(n)[0], self._exit(n)[-1]) for n in nodes if not net.names[n])
        boxes = {net.names[node]: self._place(node) for node in nodes if net.names[node]}
        right = [*(p.x + p.width for p in boxes.values()), *(x for line in lines for x, _ in line)]
        return Drawing(
            boxes=boxes,
            lines=lines,
            heads=tuple(self._entry(n)[-1] for n in nodes if net.names[n] and net.above[n]),
            joints=tuple(self._entry(joint)[0] for joint in net.joints),
            width=max(right, default=0.0),
            height=self._whole,
        )

    def _place(self, node: int) -> Place:
        width = self._width[node]
        return Place(self._x[node] - width / 2, self._box_top(node), width, self._height)

    def _box_top(self, node: int) -> float:
        return self._top[self._net.layer[node]] + self._row.get(node, 0) * (self._height + ROW_GAP)

    def _entry(self, node: int) -> tuple[Point, ...]:
        """The points of a line that comes from the layer above: through a channel to the further rows of a layer."""
        net, x = self._net, self._x[node]
        layer = net.layer[node]
        if not net.names[node]:
            return ((x, self._top[layer] - (ROW_GAP if node in self._joints else 0.0)),)
        top = self._box_top(node)
        if not self._row.get(node):
            return ((x, top),)
        channel = x - (self._cells[layer] + GAP) / 2
        return ((channel, self._top[layer]), (channel, top - ROW_GAP), (x, top))

    def _exit(self, node: int) -> tuple[Point, ...]:
        net, x = self._net, self._x[node]
        layer = net.layer[node]
        if not net.names[node]:
            return ((x, self._top[layer] - ROW_GAP if node in self._joints else self._bottom[layer]),)
        bottom = self._box_top(node) + self._height
        if layer not in self._grids or self._row[node] == len(self._grids[layer]) - 1:
            return ((x, bottom),)
        channel = x + (self._cells[layer] + GAP) / 2
        return ((x, bottom), (channel, bottom + ROW_GAP), (channel, self._bottom[layer]))
