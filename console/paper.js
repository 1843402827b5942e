/*
 * The shared paper: 4000 x 3000 units, scaled to whatever room the screen has.
 *
 * A stroke travels in pieces. A finished piece is kept, in the order the room gave it, and drawn
 * once on the base canvas; what somebody is drawing right now is a preview, drawn anew on the
 * live canvas on top at each frame, and replaced by the piece that follows it. A piece starts
 * with the last two points of the one before, so that each can be drawn alone: whatever is
 * missing or comes late, the rest is right.
 */

export const WIDTH = 4000;
export const HEIGHT = 3000;
export const PENS = [10, 28, 72];
const PIECES_MAX = 6000;
const NUMBERS_MAX = 600000;
const PREVIEWS_MAX = 200;
const STALE_MS = 10000;

/* [x, y, dx, dy, ...] to [x, y, x, y, ...], or null if it is not such a list. */
export function unpackPoints(list) {
	if (!Array.isArray(list) || list.length < 2 || list.length > 512 || list.length % 2 !== 0)
		return null;
	const points = new Int16Array(list.length);
	let x = 0;
	let y = 0;

	for (let i = 0; i < list.length; i += 2) {
		if (!Number.isInteger(list[i]) || !Number.isInteger(list[i + 1]))
			return null;
		x += list[i];
		y += list[i + 1];
		if (x < 0 || x > WIDTH || y < 0 || y > HEIGHT)
			return null;
		points[i] = x;
		points[i + 1] = y;
	}
	return points;
}

export function packPoints(points) {
	const list = [points[0], points[1]];

	for (let i = 2; i < points.length; i += 2)
		list.push(points[i] - points[i - 2], points[i + 1] - points[i - 1]);
	return list;
}

/*
 * Quadratic curves through the midpoints, the points themselves as control points. A piece that
 * goes on from another begins at its first midpoint; one that will be gone on from ends at its
 * last.
 */
function traceCurve(context, p, isFirst, isLast) {
	const n = p.length;

	context.beginPath();
	if (n <= 4) {
		context.moveTo(p[0], p[1]);
		context.lineTo(p[n - 2], p[n - 1]);
		return;
	}
	if (isFirst) {
		context.moveTo(p[0], p[1]);
		context.lineTo((p[0] + p[2]) / 2, (p[1] + p[3]) / 2);
	} else {
		context.moveTo((p[0] + p[2]) / 2, (p[1] + p[3]) / 2);
	}
	for (let i = 2; i < n - 2; i += 2) {
		context.quadraticCurveTo(p[i], p[i + 1],
			(p[i] + p[i + 2]) / 2, (p[i + 1] + p[i + 3]) / 2);
	}
	if (isLast)
		context.lineTo(p[n - 2], p[n - 1]);
}

function isDot(p) {
	for (let i = 2; i < p.length; i += 2) {
		if (p[i] !== p[0] || p[i + 1] !== p[1])
			return false;
	}
	return true;
}

export class Paper {
	/* `colours` is a function that returns the palette of the present theme. */
	constructor(base, live, colours) {
		this.base = base;
		this.live = live;
		this.colours = colours;
		this.pieces = [];
		this.numbers = 0;
		this.previews = new Map();
		this.newest = new Map();
		this.frame = 0;
		this.scale = 1;
	}

	resize(width, height) {
		const ratio = Math.min(window.devicePixelRatio || 1, 3);

		this.scale = width / WIDTH;
		for (const canvas of [this.base, this.live]) {
			canvas.width = Math.round(width * ratio);
			canvas.height = Math.round(height * ratio);
		}
		this.redraw();
	}

	context(canvas) {
		const context = canvas.getContext("2d");
		const zoom = canvas.width / WIDTH;

		context.setTransform(zoom, 0, 0, zoom, 0, 0);
		context.lineCap = "round";
		context.lineJoin = "round";
		return context;
	}

	drawPiece(context, piece) {
		const colour = this.colours()[piece.colour];
		/* a thin line must stay visible on a small screen */
		const width = Math.max(PENS[piece.pen], 1.4 / this.scale);

		if (isDot(piece.points)) {
			context.fillStyle = colour;
			context.beginPath();
			context.arc(piece.points[0], piece.points[1], width / 2, 0, 2 * Math.PI);
			context.fill();
			return;
		}
		context.strokeStyle = colour;
		context.lineWidth = width;
		traceCurve(context, piece.points, piece.index === 0, piece.isLast);
		context.stroke();
	}

	redraw() {
		const context = this.context(this.base);

		this.pieces.sort((a, b) => a.seq - b.seq);
		context.clearRect(0, 0, WIDTH, HEIGHT);
		for (const piece of this.pieces)
			this.drawPiece(context, piece);
		this.touch();
	}

	/*
	 * Keeps and draws a piece {by, stroke, index, colour, pen, points, isLast, seq}; `seq` is Infinity
	 * while the room has not given it a place yet.
	 */
	add(piece) {
		const preview = this.previews.get(piece.by);
		const newest = this.newest.get(piece.by);

		this.pieces.push(piece);
		this.numbers += piece.points.length;
		while (this.pieces.length > PIECES_MAX || this.numbers > NUMBERS_MAX)
			this.numbers -= this.pieces.shift().points.length;
		if (newest === undefined || piece.stroke >= newest.stroke) {
			this.newest.delete(piece.by);
			this.newest.set(piece.by, { stroke: piece.stroke, index: piece.index });
		}
		if (this.newest.size > PREVIEWS_MAX)
			this.newest.delete(this.newest.keys().next().value);
		if (preview !== undefined && preview.stroke === piece.stroke && preview.index <= piece.index)
			this.previews.delete(piece.by);
		this.drawPiece(this.context(this.base), piece);
		this.touch();
	}

	/* Gives the own piece (stroke, index) its place; false when it is not here any more. */
	confirm(by, stroke, index, seq) {
		for (let i = this.pieces.length - 1; i >= 0; i--) {
			const piece = this.pieces[i];

			if (piece.by === by && piece.stroke === stroke && piece.index === index) {
				piece.seq = seq;
				return true;
			}
		}
		return false;
	}

	/* Shows what `piece.by` is drawing; what came out of order after its finished piece is dropped. */
	preview(piece) {
		const newest = this.newest.get(piece.by);

		if (newest !== undefined && (piece.stroke < newest.stroke
		    || (piece.stroke === newest.stroke && piece.index <= newest.index)))
			return;
		if (!this.previews.has(piece.by) && this.previews.size >= PREVIEWS_MAX)
			return;
		piece.at = performance.now();
		this.previews.set(piece.by, piece);
		this.touch();
	}

	forget(by) {
		if (this.previews.delete(by))
			this.touch();
	}

	/* Everything that has a place goes; what the room has yet to order comes after the clearing. */
	clear() {
		this.pieces = this.pieces.filter((piece) => piece.seq === Infinity);
		this.numbers = this.pieces.reduce((sum, piece) => sum + piece.points.length, 0);
		this.redraw();
	}

	expire() {
		const now = performance.now();

		for (const [by, piece] of this.previews) {
			if (now - piece.at > STALE_MS)
				this.forget(by);
		}
	}

	touch() {
		if (this.frame === 0)
			this.frame = requestAnimationFrame(() => this.drawLive());
	}

	drawLive() {
		const context = this.context(this.live);

		this.frame = 0;
		context.clearRect(0, 0, WIDTH, HEIGHT);
		for (const piece of this.previews.values())
			this.drawPiece(context, piece);
	}

	get strokes() {
		const seen = new Set();

		for (const piece of this.pieces)
			seen.add(`${piece.by}:${piece.stroke}`);
		return seen.size;
	}

	get points() {
		return this.numbers / 2;
	}
}
